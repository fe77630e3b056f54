//! The files of a vault: modes, lock, writes that are whole or not there. What stands in them is left to the others.

use crate::error::VaultError;
use crate::manifest::Manifest;
use rustix::fs::FlockOperation;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vigo_base::{SecretPath, SecretVersion, limits};

/// A manifest: some ten thousand versions.
pub(crate) const MANIFEST: usize = 16 << 20;
/// A record: the value, its wrapped data key, nonces and tags.
pub(crate) const RECORD: usize = limits::SECRET_VALUE.saturating_add(4096);
/// How long another program is waited for, and how often it is looked.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_STEP: Duration = Duration::from_millis(20);
/// Files that were written but not named yet begin so.
const CANDIDATE: &str = ".vigo-";

/// Where everything stands.
#[derive(Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// A folder by its absolute path.
    pub(crate) fn new(root: &Path) -> Result<Self, VaultError> {
        let root = std::path::absolute(root).map_err(|source| failed("find", root, source))?;
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn master_key(&self) -> PathBuf {
        self.root.join("keys/master.key")
    }

    /// The key that is to take its place, until all is under it.
    pub(crate) fn next_master_key(&self) -> PathBuf {
        self.root.join("keys/master.key.next")
    }

    /// The witness of the manifest under that key.
    pub(crate) fn next_witness(&self) -> PathBuf {
        self.root.join("keys/witness.next")
    }

    pub(crate) fn witness(&self) -> PathBuf {
        self.root.join("keys/witness")
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.root.join("manifest")
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    pub(crate) fn record(&self, path: &SecretPath, version: SecretVersion) -> PathBuf {
        self.secrets().join(path.as_str()).join(format!("@{}.sealed", version.0))
    }

    /// That record under the next master key.
    pub(crate) fn next_record(&self, path: &SecretPath, version: SecretVersion) -> PathBuf {
        self.secrets().join(path.as_str()).join(format!("@{}.sealed.next", version.0))
    }

    /// True if there is nothing yet, or what an interrupted first step left: folders that hold nothing, and the lock.
    pub(crate) fn is_bare(&self) -> Result<bool, VaultError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(source) => return Err(failed("read", &self.root, source)),
        };
        for entry in entries {
            let entry = entry.map_err(|source| failed("read", &self.root, source))?;
            let path = entry.path();
            let empty = || fs::read_dir(&path).is_ok_and(|mut inside| inside.next().is_none());
            match entry.file_name().to_str() {
                Some("lock") => {}
                Some("keys" | "secrets") if empty() => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// True if nothing stands where the records stand.
    pub(crate) fn has_no_secrets(&self) -> Result<bool, VaultError> {
        Ok(!self.secrets().exists() || entries(&self.secrets())?.is_empty())
    }

    /// Makes the folders where they are missing.
    pub(crate) fn make(&self) -> Result<(), VaultError> {
        for folder in [self.root.clone(), self.root.join("keys"), self.secrets()] {
            make_folder(&folder)?;
        }
        Ok(())
    }

    /// Refuses folders that others may look into or write to.
    pub(crate) fn check_modes(&self) -> Result<(), VaultError> {
        for path in [self.root.clone(), self.root.join("keys")] {
            let metadata = match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => metadata,
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("read", &path, error));
                }
                _ => return Err(VaultError::Foreign { path: self.root.clone(), found: "it has no `keys`" }),
            };
            let mode = metadata.permissions().mode() & 0o7777;
            if mode & 0o077 != 0 {
                return Err(VaultError::Exposed { path, mode });
            }
        }
        Ok(())
    }

    /// Waits for the lock: alone to write, together to read. It is held as long as the file is.
    pub(crate) fn lock(&self, alone: bool) -> Result<File, VaultError> {
        let path = self.root.join("lock");
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(no_follow());
        if alone {
            options.write(true).create(true).truncate(false).mode(0o600);
        }
        let file = options.open(&path).map_err(|source| failed("open", &path, source))?;
        let operation = if alone {
            FlockOperation::NonBlockingLockExclusive
        } else {
            FlockOperation::NonBlockingLockShared
        };
        let began = Instant::now();
        loop {
            match rustix::fs::flock(&file, operation) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(LOCK_STEP);
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(VaultError::InUse { path: self.root.clone() });
                }
                Err(errno) => return Err(failed("lock", &path, errno.into())),
            }
        }
    }

    /// Writes a record under a name of its own; the manifest makes it count.
    pub(crate) fn write_record(
        &self,
        path: &SecretPath,
        version: SecretVersion,
        record: &[u8],
    ) -> Result<(), VaultError> {
        let file = self.record(path, version);
        let mut folder = self.secrets();
        for segment in path.as_str().split('/') {
            folder.push(segment);
            make_folder(&folder)?;
        }
        write(&file, record)
    }

    /// Puts what a rekey made in the place of what it is for: the records, then the witness, then the key, so that the key that the manifest is
    /// under can be found at every moment.
    pub(crate) fn settle(&self, manifest: &Manifest) -> Result<(), VaultError> {
        for (path, version) in manifest.held() {
            rename(&self.next_record(&path, version), &self.record(&path, version))?;
        }
        rename(&self.next_witness(), &self.witness())?;
        rename(&self.next_master_key(), &self.master_key())
    }

    /// Removes what a rekey made that did not come to its end. The records are swept.
    pub(crate) fn forget_next(&self) -> Result<(), VaultError> {
        for path in [self.next_witness(), self.next_master_key()] {
            if path.symlink_metadata().is_ok() {
                remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Removes what no version of the manifest needs: records of an interrupted step, records of removed secrets, candidates, empty folders.
    pub(crate) fn sweep(&self, manifest: &Manifest) -> Result<(), VaultError> {
        for folder in [self.root.clone(), self.root.join("keys")] {
            for entry in entries(&folder)? {
                if entry.file_name().as_encoded_bytes().starts_with(CANDIDATE.as_bytes()) {
                    remove_file(&entry.path())?;
                }
            }
        }
        self.sweep_secrets(&self.secrets(), String::new(), manifest).map(|_| ())
    }

    /// Gives whether the folder is empty now. `path` is the secret's path that it stands for; its length bounds the depth.
    fn sweep_secrets(&self, folder: &Path, path: String, manifest: &Manifest) -> Result<bool, VaultError> {
        let mut empty = true;
        for entry in entries(folder)? {
            let name = entry.file_name();
            let kind = entry.file_type().map_err(|source| failed("read", &entry.path(), source))?;
            let text = name.to_str().unwrap_or_default();
            if kind.is_dir() && SecretPath::is_segment(text) && path.len() <= limits::SECRET_PATH {
                let below = if path.is_empty() { text.to_owned() } else { format!("{path}/{text}") };
                if self.sweep_secrets(&entry.path(), below, manifest)? {
                    fs::remove_dir(entry.path()).map_err(|source| failed("remove", &entry.path(), source))?;
                } else {
                    empty = false;
                }
            } else if stray(&name, &path, manifest) {
                remove_file(&entry.path())?;
            } else {
                empty = false;
            }
        }
        Ok(empty && !path.is_empty())
    }
}

/// A file of ours that nothing needs. What is not ours is left alone.
fn stray(name: &OsStr, path: &str, manifest: &Manifest) -> bool {
    let Some(name) = name.to_str() else { return false };
    if name.starts_with(CANDIDATE) {
        return true;
    }
    if name.starts_with('@') && name.ends_with(".sealed.next") {
        return true;
    }
    let version = name.strip_prefix('@').and_then(|name| name.strip_suffix(".sealed"));
    let version = version.and_then(|number| number.parse().ok()).map(SecretVersion);
    let (Some(version), Ok(path)) = (version, path.parse::<SecretPath>()) else { return false };
    !manifest.holds(&path, version)
}

fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>, VaultError> {
    let read = || fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>();
    read().map_err(|source| failed("read", folder, source))
}

/// The bytes of a file of a vault, or `None` when it is not there. Refuses what others may read, links, and more than `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, VaultError> {
    let file = match OpenOptions::new().read(true).custom_flags(no_follow()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("read", path, source)),
    };
    let metadata = file.metadata().map_err(|source| failed("read", path, source))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(VaultError::Exposed { path: path.into(), mode });
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(|source| failed("read", path, source))?;
    if bytes.len() > limit {
        return Err(VaultError::Edited { path: path.into(), why: "is too long" });
    }
    Ok(Some(bytes))
}

/// Puts `bytes` at `path`, whole or not at all, and on disk when this returns.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = format!("{CANDIDATE}{}", vigo_base::encode_hex(&vigo_wire::random::array::<8>()?));
    let candidate = folder.join(name);
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&candidate)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&candidate, path)?;
        sync_folder(folder)
    };
    written().map_err(|source| {
        // It may not be there; what stays is swept later.
        let _ = fs::remove_file(&candidate);
        failed("write", path, source)
    })
}

/// Renames over what is there; nothing to rename is what an earlier try has done already.
fn rename(from: &Path, to: &Path) -> Result<(), VaultError> {
    match fs::rename(from, to) {
        Ok(()) => {
            sync_folder(to.parent().unwrap_or(Path::new("/"))).map_err(|source| failed("write", to, source))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(failed("write", to, source)),
    }
}

fn remove_file(path: &Path) -> Result<(), VaultError> {
    let removed = || {
        fs::remove_file(path)?;
        sync_folder(path.parent().unwrap_or(Path::new("/")))
    };
    removed().map_err(|source| failed("remove", path, source))
}

fn make_folder(path: &Path) -> Result<(), VaultError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_folder(path.parent().unwrap_or(Path::new("/")))
            .map_err(|source| failed("make", path, source)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(source) => Err(failed("make", path, source)),
    }
}

/// A name is on disk only when its folder is (fsync(2)).
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// `O_NOFOLLOW`: a link in the place of a file of the vault is none.
fn no_follow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0)
}

pub(crate) fn failed(doing: &'static str, path: &Path, source: io::Error) -> VaultError {
    VaultError::File { doing, path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use tempfile::TempDir;

    fn folder() -> (TempDir, Folder) {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(&place.path().join("vault")).unwrap();
        folder.make().unwrap();
        (place, folder)
    }

    fn path(text: &str) -> SecretPath {
        text.parse().unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn folders_and_files_are_the_owners_alone() {
        let (_place, folder) = folder();
        folder.write_record(&path("web/token"), SecretVersion(1), b"sealed").unwrap();
        assert_eq!(mode(folder.root()), 0o700);
        assert_eq!(mode(&folder.root().join("secrets/web")), 0o700);
        assert_eq!(mode(&folder.root().join("secrets/web/token/@1.sealed")), 0o600);
        folder.check_modes().unwrap();
        fs::set_permissions(folder.root(), Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(folder.check_modes(), Err(VaultError::Exposed { mode: 0o750, .. })));
    }

    #[test]
    fn no_record_is_in_the_way_of_another_secret() {
        let (_place, folder) = folder();
        folder.write_record(&path("a"), SecretVersion(1), b"one").unwrap();
        folder.write_record(&path("a/1.sealed"), SecretVersion(1), b"two").unwrap();
        folder.write_record(&path("a/1"), SecretVersion(1), b"three").unwrap();
        let read = |text| read(&folder.record(&path(text), SecretVersion(1)), RECORD).unwrap().unwrap();
        assert_eq!(
            [read("a"), read("a/1.sealed"), read("a/1")],
            [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]
        );
    }

    #[test]
    fn the_lock_is_shared_by_readers_and_waits_for_nobody_when_free() {
        let (_place, folder) = folder();
        drop(folder.lock(true).unwrap());
        let (_one, _two) = (folder.lock(false).unwrap(), folder.lock(false).unwrap());
    }

    #[test]
    fn a_bare_folder_is_told_from_one_that_holds_something() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(&place.path().join("vault")).unwrap();
        assert!(folder.is_bare().unwrap());
        folder.make().unwrap();
        drop(folder.lock(true).unwrap());
        assert!(folder.is_bare().unwrap(), "an interrupted first step is no other thing");
        fs::write(folder.root().join("letter.txt"), b"dear").unwrap();
        assert!(!folder.is_bare().unwrap());
    }

    #[test]
    fn the_sweep_takes_what_nothing_needs_and_leaves_what_is_not_ours() {
        let (_place, folder) = folder();
        let mut manifest = Manifest::new(&[0; 16]);
        manifest.add(&path("web/token"), b"one", 1, "a");
        folder.write_record(&path("web/token"), SecretVersion(1), b"one").unwrap();
        folder.write_record(&path("web/token"), SecretVersion(2), b"interrupted").unwrap();
        folder.write_record(&path("gone/for/good"), SecretVersion(1), b"removed").unwrap();
        fs::write(folder.root().join("secrets/web/.vigo-00"), b"candidate").unwrap();
        fs::write(folder.root().join("keys/.vigo-00"), b"candidate").unwrap();
        fs::write(folder.root().join("secrets/web/notes"), b"mine").unwrap();
        folder.sweep(&manifest).unwrap();
        assert!(folder.record(&path("web/token"), SecretVersion(1)).exists());
        assert!(!folder.record(&path("web/token"), SecretVersion(2)).exists());
        assert!(!folder.root().join("secrets/gone").exists());
        assert!(!folder.root().join("secrets/web/.vigo-00").exists());
        assert!(!folder.root().join("keys/.vigo-00").exists());
        assert!(folder.root().join("secrets/web/notes").exists());
    }

    #[test]
    fn links_and_files_open_to_others_are_refused() {
        let (_place, folder) = folder();
        let file = folder.manifest();
        assert!(read(&file, 10).unwrap().is_none());
        write(&file, b"0123456789a").unwrap();
        assert!(matches!(read(&file, 10), Err(VaultError::Edited { .. })));
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&file, 20), Err(VaultError::Exposed { .. })));
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
        assert!(matches!(read(&file, 20), Err(VaultError::File { .. })));
    }
}
