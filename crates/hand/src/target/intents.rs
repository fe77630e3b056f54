//! Intents: which file beside a target is ours to remove, should we be killed before it takes the target's place.
//!
//! One small file per intent in a folder of the state: written before the name exists, removed when it does not exist any more.
//! Only one process at a time places files over one folder of intents (the run's lock sees to that), so what is found there at a start is a remnant.

use super::TargetError;
use super::step::step;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fsync, openat, statat, unlinkat};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use vigo_base::encode_hex;

/// First word of the file of an intent; the number is its format.
const MAGIC: &str = "vigo-intent 1";
/// Last word: without it the file was not finished, so the name was never made.
const END: &str = "end";
/// No intent is longer: a path, a name and some numbers.
const LONGEST: usize = 8192;

/// The folder of intents.
#[derive(Debug)]
pub struct Intents {
    folder: OwnedFd,
}

/// What a recovery found.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Files that were removed.
    pub removed: Vec<PathBuf>,
    /// Intents that could not be dealt with; they are kept for the next time.
    pub problems: Vec<TargetError>,
}

/// An intent that was written down. Dropping it leaves it there: only [`Intents::strike_out`] removes it.
pub(super) struct Intent {
    hex: String,
}

impl Intents {
    /// Opens the folder; makes it (0700) if it is missing.
    ///
    /// # Errors
    /// When it cannot be made or opened, or others may write to it.
    pub fn open(folder: &Path) -> Result<Self, TargetError> {
        let intent = |action| move |errno: Errno| TargetError::Intent { action, source: errno.into() };
        match rustix::fs::mkdir(folder, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(intent("make a file")(errno)),
        }
        let folder = vigo_sys::walk::open_folder(folder).map_err(intent("look"))?;
        let stat = rustix::fs::fstat(&folder).map_err(intent("look"))?;
        let mine = stat.st_uid == rustix::process::geteuid().as_raw();
        if !mine || stat.st_mode & 0o022 != 0 {
            let source = io::Error::new(io::ErrorKind::PermissionDenied, "others may write to it");
            return Err(TargetError::Intent { action: "trust what is", source });
        }
        Ok(Self { folder })
    }

    /// Removes every file that an intent names and that is still the one that was meant, then the intent. At every start and before every run.
    ///
    /// # Errors
    /// When the folder itself cannot be read; what goes wrong with one intent stands in the answer.
    pub fn recover(&self) -> Result<Recovered, TargetError> {
        let intent = |errno: Errno| TargetError::Intent { action: "look", source: errno.into() };
        let mut recovered = Recovered::default();
        for entry in rustix::fs::Dir::read_from(&self.folder).map_err(intent)? {
            let entry = entry.map_err(intent)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            match self.recover_one(entry.file_name()) {
                Ok(Some(path)) => recovered.removed.push(path),
                Ok(None) => {}
                Err(error) => recovered.problems.push(error),
            }
        }
        Ok(recovered)
    }

    fn recover_one(&self, entry: &std::ffi::CStr) -> Result<Option<PathBuf>, TargetError> {
        let removed = match Named::parse(&self.read(entry)?) {
            Some(named) => named.remove()?,
            // Not finished: the name was not made yet.
            None => None,
        };
        let failed = |errno: Errno| TargetError::Intent { action: "remove a file", source: errno.into() };
        unlinkat(&self.folder, entry, AtFlags::empty()).map_err(failed)?;
        Ok(removed)
    }

    fn read(&self, entry: &std::ffi::CStr) -> Result<Vec<u8>, TargetError> {
        let failed = |source| TargetError::Intent { action: "read a file", source };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.folder, entry, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let mut text = Vec::new();
        let limit = LONGEST as u64;
        io::Read::read_to_end(&mut io::Read::take(std::fs::File::from(file), limit), &mut text)
            .map_err(failed)?;
        Ok(text)
    }

    /// Writes down that `name` in `folder` will be a file with this device and inode, or with any if it does not exist yet.
    pub(super) fn record(
        &self,
        folder: &Path,
        name: &str,
        identity: Option<(u64, u64)>,
        durable: bool,
    ) -> Result<Intent, TargetError> {
        let hex = random_name()?;
        let (device, inode) = identity.unwrap_or_default();
        let mut text = format!("{MAGIC}\0{device}\0{inode}\0{name}\0").into_bytes();
        text.extend_from_slice(folder.as_os_str().as_bytes());
        text.extend_from_slice(b"\0");
        text.extend_from_slice(END.as_bytes());
        let written = self.write(&hex, &text, durable);
        let intent = Intent { hex };
        match written {
            Ok(()) => Ok(intent),
            Err(errno) => {
                let _ = self.strike_out(intent);
                Err(TargetError::Intent { action: "write a file", source: errno.into() })
            }
        }
    }

    /// The name that was written down does not exist any more.
    pub(super) fn strike_out(&self, intent: Intent) -> Result<(), TargetError> {
        step("before the intent is struck out");
        let failed = |errno: Errno| TargetError::Intent { action: "remove a file", source: errno.into() };
        unlinkat(&self.folder, intent.hex, AtFlags::empty()).map_err(failed)?;
        step("intent struck out");
        Ok(())
    }

    fn write(&self, hex: &str, mut text: &[u8], durable: bool) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        step("before the intent");
        let file = openat(&self.folder, hex, flags, Mode::RUSR | Mode::WUSR)?;
        step("intent without text");
        while !text.is_empty() {
            let written = rustix::io::write(&file, text)?;
            text = text.get(written..).unwrap_or_default();
        }
        step("intent written");
        if durable {
            fsync(&file)?;
            fsync(&self.folder)?;
        }
        step("intent on disk");
        Ok(())
    }
}

/// A name that nobody else has.
pub(super) fn random_name() -> Result<String, TargetError> {
    let random = |_| TargetError::Intent {
        action: "name a file",
        source: io::Error::other("the kernel gives no random bytes"),
    };
    Ok(encode_hex(&vigo_secret::random_array::<16>().map_err(random)?))
}

/// What an intent names.
struct Named {
    identity: Option<(u64, u64)>,
    folder: PathBuf,
    name: String,
}

impl Named {
    fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.split(|byte| *byte == 0).map(std::str::from_utf8);
        let mut next = || parts.next()?.ok();
        if next()? != MAGIC {
            return None;
        }
        let (device, inode) = (next()?.parse().ok()?, next()?.parse().ok()?);
        let (name, folder) = (next()?.to_owned(), PathBuf::from(next()?));
        let ours =
            name.strip_prefix(super::place::PREFIX).is_some_and(|hex| hex.len() == 32 && !hex.contains('/'));
        if next()? != END || !ours || !folder.is_absolute() {
            return None;
        }
        Some(Self { identity: (inode != 0).then_some((device, inode)), folder, name })
    }

    /// Removes the file if it is there and is the one that was meant.
    fn remove(&self) -> Result<Option<PathBuf>, TargetError> {
        let path = self.folder.join(&self.name);
        let failed = |action| {
            let path = path.display().to_string();
            move |errno: Errno| TargetError::Step { action, path, source: errno.into() }
        };
        let folder = match vigo_sys::walk::open_folder(&self.folder) {
            Ok(folder) => folder,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(failed("open the folder of")(errno)),
        };
        let stat = match statat(&folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed("look at")(errno)),
        };
        let is_meant = self.identity.is_none_or(|identity| identity == super::place::identity(&stat));
        if !is_meant || FileType::from_raw_mode(stat.st_mode as _) != FileType::RegularFile {
            return Ok(None);
        }
        unlinkat(&folder, &self.name, AtFlags::empty()).map_err(failed("remove"))?;
        let _ = fsync(&folder);
        Ok(Some(path))
    }
}
