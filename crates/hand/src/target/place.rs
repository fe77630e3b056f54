//! One file, put in its place.

use super::intents::{Intent, Intents, random_name};
#[cfg(target_os = "linux")]
use super::step::is_without_nameless;
use super::step::step;
use super::{Durability, Placed, Placement, TargetError};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fchmod, fchown, fstat, fsync, ftruncate, linkat, openat, renameat,
    statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use std::fs::File;
use std::io::{self, BufWriter, Write};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use vigo_base::AbsolutePath;

/// Starts the name of a candidate beside its target.
pub(super) const PREFIX: &str = ".vigo-";
/// A file is written in steps of this.
const WINDOW: usize = 32 << 10;

/// Gives the content: called once, with the file to write to.
pub type Content<'a> = dyn FnMut(&mut dyn Write) -> io::Result<()> + 'a;

/// Puts a file in its place: creates it, replaces the one that is there, or writes into it.
///
/// # Errors
/// When it cannot; then the old file is untouched, and nothing of the new one is left (unless it was to be written in place).
pub fn place(
    intents: &Intents,
    placement: &Placement,
    content: &mut Content<'_>,
) -> Result<Placed, TargetError> {
    let job = Job::new(placement)?;
    match job.look()? {
        None => job.create(Some(intents), content),
        Some(old) if placement.in_place => job.write_in_place(&old, content),
        Some(old) => {
            job.check_replaceable(&old)?;
            job.replace(intents, Some(&old), content)
        }
    }
}

/// Makes the candidate for a place and lets it stand beside it under a name of its own, to be looked at before it takes the place or is thrown away.
///
/// # Errors
/// As [`place`]; and when the target is to be written in place, which has no candidate.
pub fn stage(
    intents: &Intents,
    placement: &Placement,
    content: &mut Content<'_>,
) -> Result<Staged, TargetError> {
    if placement.in_place {
        return Err(TargetError::InPlace(placement.path.to_string()));
    }
    let job = Job::new(placement)?;
    let old = job.look()?;
    if let Some(old) = &old {
        job.check_replaceable(old)?;
    }
    let (name, intent) = job.stand_beside(intents, old.as_ref(), content)?;
    Ok(Staged { job, name, intent, is_new: old.is_none() })
}

/// A candidate that stands beside its target. One that is dropped, or whose process is killed, is removed at the next start ([`Intents::recover`]).
pub struct Staged {
    job: Job,
    name: String,
    intent: Intent,
    is_new: bool,
}

impl Staged {
    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.job.parent.as_path().join(&self.name)
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// When it cannot; then it is thrown away.
    pub fn commit(self, intents: &Intents) -> Result<Placed, TargetError> {
        self.job.rename(&self.name, self.is_new)?;
        let placed = self.job.finish()?;
        intents.strike_out(self.intent)?;
        Ok(placed)
    }

    /// Throws it away.
    ///
    /// # Errors
    /// When it cannot be removed; the next start tries again.
    pub fn discard(self, intents: &Intents) -> Result<(), TargetError> {
        let removed = unlinkat(&self.job.folder, &self.name, AtFlags::empty());
        removed.map_err(self.job.failed("remove the candidate for"))?;
        intents.strike_out(self.intent)
    }
}

/// Creates a file that must not be there yet. For keys: nothing is ever written over, and there is never half of one.
///
/// # Errors
/// `Appeared` when there is one.
pub fn create(placement: &Placement, content: &mut Content<'_>) -> Result<Placed, TargetError> {
    let job = Job::new(placement)?;
    if job.look()?.is_some() {
        return Err(TargetError::Appeared(placement.path.to_string()));
    }
    job.create(None, content)
}

/// Device and inode.
#[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
pub(super) const fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// A placement with its folder open.
struct Job {
    placement: Placement,
    parent: AbsolutePath,
    folder: OwnedFd,
}

impl Job {
    fn new(placement: &Placement) -> Result<Self, TargetError> {
        let path = || placement.path.to_string();
        let parent = placement.path.parent().ok_or_else(|| TargetError::NotAFile(path()))?;
        let folder = vigo_sys::walk::open_folder(parent.as_path())
            .map_err(|errno| TargetError::Folder { path: path(), source: errno.into() })?;
        Ok(Self { placement: placement.clone(), parent, folder })
    }

    fn name(&self) -> &str {
        self.placement.path.file_name()
    }

    fn failed(&self, action: &'static str) -> impl Fn(Errno) -> TargetError + use<> {
        let path = self.placement.path.to_string();
        move |errno| TargetError::Step { action, path: path.clone(), source: errno.into() }
    }

    fn is_durable(&self) -> bool {
        self.placement.durability == Durability::Each
    }

    /// The file that is there.
    fn look(&self) -> Result<Option<Stat>, TargetError> {
        let stat = match statat(&self.folder, self.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.failed("look at")(errno)),
        };
        match FileType::from_raw_mode(stat.st_mode as _) {
            FileType::RegularFile => Ok(Some(stat)),
            FileType::Symlink => Err(TargetError::Link(self.placement.path.to_string())),
            _ => Err(TargetError::NotAFile(self.placement.path.to_string())),
        }
    }

    /// A replacement is another file: other names and mounts would go on to show the old one.
    fn check_replaceable(&self, old: &Stat) -> Result<(), TargetError> {
        let path = || self.placement.path.to_string();
        #[allow(
            clippy::unnecessary_cast,
            clippy::useless_conversion,
            reason = "the types differ between systems"
        )]
        let links = old.st_nlink as u64;
        if links > 1 {
            return Err(TargetError::Linked { path: path(), links });
        }
        let folder = fstat(&self.folder).map_err(self.failed("look at the folder of"))?;
        if folder.st_dev != old.st_dev || is_mount(&self.folder, self.name()) {
            return Err(TargetError::Mounted(path()));
        }
        Ok(())
    }

    fn create(&self, intents: Option<&Intents>, content: &mut Content<'_>) -> Result<Placed, TargetError> {
        let Some(candidate) = self.nameless()? else {
            return self.create_by_name(intents, content);
        };
        self.fill(&candidate, None, content)?;
        step("candidate filled");
        match link(&candidate, &self.folder, self.name()) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(TargetError::Appeared(self.placement.path.to_string())),
            Err(errno) => return Err(self.failed("create")(errno)),
        }
        step("target linked");
        self.finish()
    }

    fn replace(
        &self,
        intents: &Intents,
        old: Option<&Stat>,
        content: &mut Content<'_>,
    ) -> Result<Placed, TargetError> {
        let (name, intent) = self.stand_beside(intents, old, content)?;
        self.rename(&name, old.is_none())?;
        let placed = self.finish()?;
        intents.strike_out(intent)?;
        Ok(placed)
    }

    /// Makes the candidate under a name beside the target, which an intent names first.
    fn stand_beside(
        &self,
        intents: &Intents,
        old: Option<&Stat>,
        content: &mut Content<'_>,
    ) -> Result<(String, Intent), TargetError> {
        let name = format!("{PREFIX}{}", random_name()?);
        let Some(candidate) = self.nameless()? else {
            return self.stand_beside_by_name(intents, name, old, content);
        };
        self.fill(&candidate, old, content)?;
        step("candidate filled");
        let stat = fstat(&candidate).map_err(self.failed("look at the candidate for"))?;
        let intent =
            intents.record(self.parent.as_path(), &name, Some(identity(&stat)), self.is_durable())?;
        let linked = link(&candidate, &self.folder, &name);
        step("candidate linked");
        if let Err(errno) = linked {
            intents.strike_out(intent)?;
            return Err(self.failed("make a file beside")(errno));
        }
        Ok((name, intent))
    }

    /// Where the file system has no nameless files (NFS, FUSE), or the system has none.
    fn stand_beside_by_name(
        &self,
        intents: &Intents,
        name: String,
        old: Option<&Stat>,
        content: &mut Content<'_>,
    ) -> Result<(String, Intent), TargetError> {
        // The name is random, so whatever regular file has it is ours: the inode need not be known.
        let intent = intents.record(self.parent.as_path(), &name, None, self.is_durable())?;
        let filled = self.named(&name).and_then(|candidate| self.fill(&candidate, old, content));
        step("candidate filled");
        if let Err(error) = filled {
            let _ = unlinkat(&self.folder, &name, AtFlags::empty());
            intents.strike_out(intent)?;
            return Err(error);
        }
        Ok((name, intent))
    }

    /// The same for a new file: with intents it is renamed to its name; a key, which has none, is written under it.
    fn create_by_name(
        &self,
        intents: Option<&Intents>,
        content: &mut Content<'_>,
    ) -> Result<Placed, TargetError> {
        if let Some(intents) = intents {
            return self.replace(intents, None, content);
        }
        let candidate = self.named(self.name())?;
        let filled = self.fill(&candidate, None, content);
        if filled.is_err() {
            let _ = unlinkat(&self.folder, self.name(), AtFlags::empty());
        }
        filled?;
        self.finish()
    }

    fn rename(&self, name: &str, is_new: bool) -> Result<(), TargetError> {
        let renamed = rename(&self.folder, name, self.name(), is_new);
        step("candidate renamed");
        renamed.map_err(|errno| {
            // The intent stays: should this fail as well, the next start removes it.
            let _ = unlinkat(&self.folder, name, AtFlags::empty());
            let path = || self.placement.path.to_string();
            match errno {
                // rename(2): the new path is in use by the system, for example as a mount point.
                Errno::BUSY => TargetError::Mounted(path()),
                Errno::EXIST => TargetError::Appeared(path()),
                errno => self.failed("replace")(errno),
            }
        })
    }

    fn write_in_place(&self, old: &Stat, content: &mut Content<'_>) -> Result<Placed, TargetError> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.folder, self.name(), flags, Mode::empty()).map_err(self.failed("open"))?;
        let stat = fstat(&file).map_err(self.failed("look at"))?;
        if identity(&stat) != identity(old) {
            return Err(TargetError::Appeared(self.placement.path.to_string()));
        }
        if self.placement.closed && self.was_open(&stat) {
            return Err(TargetError::WasOpen(self.placement.path.to_string()));
        }
        self.fill(&file, Some(old), content)?;
        self.finish()
    }

    /// True if somebody could read that file who may not read what is to stand in it. Its access list counts by its mask, which is in the mode.
    #[allow(clippy::useless_conversion, reason = "the types differ between systems")]
    fn was_open(&self, old: &Stat) -> bool {
        let readable = u32::from(old.st_mode) & 0o044 & !self.placement.mode.bits();
        let owner = self.placement.owner.unwrap_or(old.st_uid);
        let group = self.placement.group.unwrap_or(old.st_gid);
        readable != 0 || owner != old.st_uid || (u32::from(old.st_mode) & 0o040 != 0 && group != old.st_gid)
    }

    /// A file without a name, or `None` where there are none (open(2), O_TMPFILE: EOPNOTSUPP, and EISDIR from kernels that do not know it).
    #[cfg(target_os = "linux")]
    fn nameless(&self) -> Result<Option<OwnedFd>, TargetError> {
        step("before the candidate");
        if is_without_nameless() {
            return Ok(None);
        }
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        match openat(&self.folder, ".", flags, Mode::RUSR | Mode::WUSR) {
            Ok(candidate) => Ok(Some(candidate)),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
            Err(errno) => Err(self.failed("make a file in the folder of")(errno)),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn nameless(&self) -> Result<Option<OwnedFd>, TargetError> {
        step("before the candidate");
        Ok(None)
    }

    fn named(&self, name: &str) -> Result<OwnedFd, TargetError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| match errno {
            Errno::EXIST => TargetError::Appeared(self.placement.path.to_string()),
            errno => self.failed("make a file in the folder of")(errno),
        })
    }

    /// Owner, access list, label and mode first, then the content, then the disk.
    fn fill(&self, file: &OwnedFd, old: Option<&Stat>, content: &mut Content<'_>) -> Result<(), TargetError> {
        if let Some(old) = old.filter(|_| self.placement.closed && self.placement.owner.is_none()) {
            let ours = rustix::process::geteuid().as_raw();
            if old.st_uid != 0 && old.st_uid != ours {
                let path = self.placement.path.to_string();
                return Err(TargetError::Stranger { path, owner: old.st_uid });
            }
        }
        let now = fstat(file).map_err(self.failed("look at the candidate for"))?;
        let owner = self.placement.owner.or(old.map(|old| old.st_uid)).filter(|owner| *owner != now.st_uid);
        let group = self.placement.group.or(old.map(|old| old.st_gid)).filter(|group| *group != now.st_gid);
        if owner.is_some() || group.is_some() {
            // chown(2) takes setuid and setgid away, so the mode comes after it.
            fchown(file, owner.map(Uid::from_raw), group.map(Gid::from_raw))
                .map_err(self.failed("set the owner of"))?;
        }
        step("owner set");
        if let Some(old) = old.filter(|old| identity(old) != identity(&now)) {
            self.keep_attributes(file, old)?;
        }
        if self.placement.closed {
            self.clear_access_list(file)?;
        }
        fchmod(file, Mode::from_raw_mode(self.placement.mode.bits() as _))
            .map_err(self.failed("set the mode of"))?;
        step("mode set");
        let failed = |source| {
            let path = self.placement.path.to_string();
            TargetError::Step { action: "write", path, source }
        };
        let file = File::from(rustix::io::dup(file).map_err(self.failed("write"))?);
        let mut out = Counted { out: BufWriter::with_capacity(WINDOW, &file), bytes: 0 };
        content(&mut out).and_then(|()| out.flush()).map_err(failed)?;
        step("content written");
        let bytes = out.bytes;
        drop(out);
        ftruncate(&file, bytes).map_err(self.failed("cut"))?;
        if self.placement.mode.bits() & 0o6000 != 0 {
            // A write takes setuid and setgid away from who has no CAP_FSETID (inode(7)).
            fchmod(&file, Mode::from_raw_mode(self.placement.mode.bits() as _))
                .map_err(self.failed("set the mode of"))?;
        }
        if self.is_durable() {
            fsync(&file).map_err(self.failed("write to disk"))?;
        }
        step("content on disk");
        Ok(())
    }

    /// True if the access list of that file is the word of who may say who reads its successor: of root, of us, or of its owner to be.
    #[cfg(target_os = "linux")]
    fn is_heard(&self, old: &Stat) -> bool {
        let ours = rustix::process::geteuid().as_raw();
        old.st_uid == 0 || old.st_uid == ours || Some(old.st_uid) == self.placement.owner
    }

    /// Takes away what the folder's default access list gave, or what stood on a file that is written in place (acl(5)).
    #[cfg(target_os = "linux")]
    fn clear_access_list(&self, file: &OwnedFd) -> Result<(), TargetError> {
        use rustix::fs::{fgetxattr_query, fremovexattr};
        let failed = self.failed("take away the access list of");
        match fgetxattr_query(file, ACCESS_LIST) {
            Ok(_) => {}
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        }
        // With a list the group's bits are its mask: left alone, they would be the group's own as soon as it is gone.
        fchmod(file, Mode::RUSR | Mode::WUSR).map_err(&failed)?;
        match fremovexattr(file, ACCESS_LIST) {
            Ok(()) | Err(Errno::NODATA) => Ok(()),
            Err(errno) => Err(failed(errno)),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn clear_access_list(&self, _file: &OwnedFd) -> Result<(), TargetError> {
        Ok(())
    }

    /// The access list and the security label of the file that is there go over to its successor (acl(5), xattr(7)).
    #[cfg(target_os = "linux")]
    fn keep_attributes(&self, file: &OwnedFd, old_file: &Stat) -> Result<(), TargetError> {
        use rustix::fs::{XattrFlags, fsetxattr, lgetxattr};
        let old = format!("/proc/self/fd/{}/{}", self.folder.as_raw_fd(), self.name());
        let keeps_list = !self.placement.closed && self.is_heard(old_file);
        for attribute in keeps_list.then_some(ACCESS_LIST).into_iter().chain(["security.selinux"]) {
            let mut value = vec![0; LARGEST_ATTRIBUTE];
            let length = match lgetxattr(&old, attribute, value.as_mut_slice()) {
                Ok(length) => length,
                // No such attribute, no such kind of attribute here, no /proc: nothing to keep.
                Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOENT) => continue,
                Err(errno) => return Err(self.failed("read the access list of")(errno)),
            };
            let value = value.get(..length).unwrap_or_default();
            match fsetxattr(file, attribute, value, XattrFlags::empty()) {
                // A label that the system gives by itself can often not be set by those who need not.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(Errno::PERM | Errno::ACCESS) if attribute == "security.selinux" => {}
                Err(errno) => return Err(self.failed("keep the access list of")(errno)),
            }
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn keep_attributes(&self, _file: &OwnedFd, _old_file: &Stat) -> Result<(), TargetError> {
        Ok(())
    }

    /// The folder to disk, and what stands in the place now.
    fn finish(&self) -> Result<Placed, TargetError> {
        if self.is_durable() {
            fsync(&self.folder).map_err(self.failed("write to disk the folder of"))?;
        }
        step("folder on disk");
        let stat =
            statat(&self.folder, self.name(), AtFlags::SYMLINK_NOFOLLOW).map_err(self.failed("look at"))?;
        Ok(placed(&stat))
    }
}

/// The attribute that holds the access list of a file (acl(5), xattr(7)).
#[cfg(target_os = "linux")]
const ACCESS_LIST: &str = "system.posix_acl_access";
/// No attribute is larger (xattr(7), XATTR_SIZE_MAX).
#[cfg(target_os = "linux")]
const LARGEST_ATTRIBUTE: usize = 64 << 10;

/// What tells this file from others.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the types differ between systems")]
pub(crate) fn placed(stat: &Stat) -> Placed {
    let (device, inode) = identity(stat);
    let changed = (stat.st_ctime as i64, stat.st_ctime_nsec as i64);
    Placed { device, inode, size: u64::try_from(stat.st_size).unwrap_or(0), changed }
}

/// Gives a nameless file a name (open(2), under O_TMPFILE: by /proc, or without /proc by the descriptor alone).
#[cfg(target_os = "linux")]
fn link(file: &OwnedFd, folder: &OwnedFd, name: &str) -> Result<(), Errno> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    match linkat(rustix::fs::CWD, &path, folder, name, AtFlags::SYMLINK_FOLLOW) {
        Err(Errno::NOENT) => linkat(file, "", folder, name, AtFlags::EMPTY_PATH),
        done => done,
    }
}

#[cfg(not(target_os = "linux"))]
fn link(file: &OwnedFd, folder: &OwnedFd, name: &str) -> Result<(), Errno> {
    linkat(file, "", folder, name, AtFlags::empty())
}

/// Gives a candidate the name of its target. A new name that somebody else has taken meanwhile is left to them, where the system can tell (renameat2(2)).
fn rename(folder: &OwnedFd, from: &str, to: &str, is_new: bool) -> Result<(), Errno> {
    #[cfg(target_os = "linux")]
    if is_new {
        use rustix::fs::{RenameFlags, renameat_with};
        match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS) => {}
            done => return done,
        }
    }
    let _ = is_new;
    renameat(folder, from, folder, to)
}

/// True if the file is the root of a mount (statx(2), since Linux 5.8; before, a file on the same file system is not noticed here but by rename).
#[cfg(target_os = "linux")]
fn is_mount(folder: &OwnedFd, name: &str) -> bool {
    use rustix::fs::{StatxAttributes, StatxFlags, statx};
    statx(folder, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
const fn is_mount(_folder: &OwnedFd, _name: &str) -> bool {
    false
}

/// Counts what is written, to know where the file ends.
struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
