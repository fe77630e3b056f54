//! The data folder: 0700, one server at a time, and the small files in it that others read (`ca.pem`, `admin.token`).
//!
//! What stands in the store and under `keys/` belongs to the store and to the hand.

use crate::ServerError;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A data folder that this process alone uses. Holding one proves that the lock is held.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is not there, and takes it.
    ///
    /// # Errors
    /// When it cannot be made, others may enter it, or another server has it.
    pub fn take(path: &Path) -> Result<Self, ServerError> {
        let failed = |cause: io::Error| ServerError::Folder { path: path.into(), cause };
        make(path).map_err(failed)?;
        check(path)?;
        let lock = path.join("lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let lock = File::from(
            rustix::fs::open(&lock, flags, Mode::RUSR | Mode::WUSR).map_err(|cause| failed(cause.into()))?,
        );
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(ServerError::FolderInUse { path: path.into() }),
            Err(cause) => return Err(failed(cause.into())),
        }
        Ok(Self { path: path.canonicalize().map_err(failed)?, _lock: lock })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the hand keeps what it must write itself; made 0700.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn keys(&self) -> Result<PathBuf, ServerError> {
        let path = self.path.join("keys");
        make(&path).map_err(|cause| ServerError::Folder { path: path.clone(), cause })?;
        Ok(path)
    }

    /// Where `admin.token` stands.
    #[must_use]
    pub fn admin_token(&self) -> PathBuf {
        self.path.join("admin.token")
    }

    /// Where `ca.pem` stands.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.path.join("ca.pem")
    }
}

fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Others must not even see names in it: a folder that is already there keeps its mode, and too wide a one is refused.
fn check(path: &Path) -> Result<(), ServerError> {
    let failed = |cause: io::Error| ServerError::Folder { path: path.into(), cause };
    let folder = rustix::fs::stat(path).map_err(|cause| failed(cause.into()))?;
    if folder.st_uid != rustix::process::geteuid().as_raw() {
        return Err(ServerError::FolderOwner { path: path.into() });
    }
    if folder.st_mode & 0o077 != 0 {
        return Err(ServerError::FolderMode { path: path.into(), mode: folder.st_mode & 0o7777 });
    }
    Ok(())
}

/// Puts `content` at `path` in one step: whoever looks sees the old file or the whole new one, never with a wider mode.
///
/// # Errors
/// When the folder cannot be written.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), ServerError> {
    let failed = |cause: io::Error| ServerError::Write { path: path.into(), cause };
    let mut candidate = path.as_os_str().to_owned();
    candidate.push(".new");
    let candidate = PathBuf::from(candidate);
    let write = || -> io::Result<()> {
        match std::fs::remove_file(&candidate) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file = File::from(rustix::fs::open(&candidate, flags, Mode::from_bits_truncate(mode))?);
        rustix::fs::fchmod(&file, Mode::from_bits_truncate(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&candidate, path)?;
        // The rename itself lasts over a loss of power only when the folder is on disk (fsync(2)).
        let folder = match path.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            Some(folder) => folder,
            None => Path::new("/"),
        };
        File::open(folder)?.sync_all()
    };
    write().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    #[test]
    fn a_new_folder_is_for_its_owner_only_and_has_one_server() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("srv");
        let folder = Folder::take(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o700);
        assert!(matches!(Folder::take(&path), Err(ServerError::FolderInUse { .. })));
        drop(folder);
        Folder::take(&path).unwrap();
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused_and_left_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(Folder::take(home.path()), Err(ServerError::FolderMode { mode: 0o755, .. })));
        assert_eq!(home.path().metadata().unwrap().mode() & 0o7777, 0o755);
    }

    #[test]
    fn a_replaced_file_has_its_mode_whatever_stood_there() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.token");
        std::fs::write(&path, "old, longer").unwrap();
        std::fs::write(home.path().join("admin.token.new"), "left over").unwrap();
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
