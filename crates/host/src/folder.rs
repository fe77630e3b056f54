//! A private folder of small files that survive a crash: each is written whole, synced and renamed into place.

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Why a file of the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A call to the kernel failed.
    #[error("cannot {verb} `{path}`")]
    Call {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Others could read or change what must be private.
    #[error(
        "cannot use `{path}`: others may enter it; `chmod 700` it, or choose another folder with --state-dir"
    )]
    NotPrivate {
        /// Which folder.
        path: PathBuf,
    },
    /// It is not this user's.
    #[error(
        "cannot use `{path}`: it belongs to user {owner}; run this as that user, or choose another folder with --state-dir (root can look at its agent with `vigo doctor`)"
    )]
    OtherUser {
        /// Which folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// It was opened to be looked at.
    #[error("cannot change `{path}`: it is another user's, and was opened to be looked at")]
    OnlyToLook {
        /// Which folder.
        path: PathBuf,
    },
    /// A file is larger than anything this agent writes there.
    #[error("cannot read `{path}`: it is larger than {limit} bytes, so this agent did not write it")]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
}

/// An open folder with mode 0700 that belongs to this user, or to another one and is only looked at.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    descriptor: OwnedFd,
    /// Nothing in it is made, changed or removed.
    only_to_look: bool,
}

impl Folder {
    /// Opens the folder, making it and its missing parents.
    ///
    /// # Errors
    /// When it cannot be made or opened, or is not private to this user.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let call =
            |verb| move |source: std::io::Error| FolderError::Call { verb, path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(call("make the folder above"))?;
        }
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(call("make folder")(errno.into())),
        }
        let (folder, owner) = Self::private(path, false)?;
        if owner != rustix::process::geteuid().as_raw() {
            return Err(FolderError::OtherUser { path: path.to_owned(), owner });
        }
        Ok(folder)
    }

    /// Opens a folder that may be another user's, for who may look into it: nothing in it is made or changed.
    ///
    /// # Errors
    /// When it is not there, cannot be opened, or others than its owner may enter it.
    pub fn look(path: &Path) -> Result<Self, FolderError> {
        Self::private(path, true).map(|(folder, _)| folder)
    }

    fn private(path: &Path, only_to_look: bool) -> Result<(Self, u32), FolderError> {
        let call = |verb| {
            move |errno: Errno| FolderError::Call { verb, path: path.to_owned(), source: errno.into() }
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let descriptor = rustix::fs::open(path, flags, Mode::empty()).map_err(call("open folder"))?;
        let stat = rustix::fs::fstat(&descriptor).map_err(call("look at folder"))?;
        if stat.st_mode & 0o077 != 0 {
            return Err(FolderError::NotPrivate { path: path.to_owned() });
        }
        Ok((Self { path: path.to_owned(), descriptor, only_to_look }, stat.st_uid))
    }

    /// True if nothing in it is made or changed.
    #[must_use]
    pub const fn is_only_to_look(&self) -> bool {
        self.only_to_look
    }

    fn may_change(&self) -> Result<(), FolderError> {
        if self.only_to_look { Err(FolderError::OnlyToLook { path: self.path.clone() }) } else { Ok(()) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, verb: &'static str, name: &str) -> impl FnOnce(Errno) -> FolderError + use<> {
        let path = self.path.join(name);
        move |errno| FolderError::Call { verb, path, source: errno.into() }
    }

    /// Reads a whole file; `None` when it is not there.
    ///
    /// # Errors
    /// When it cannot be read or is larger than `limit` bytes.
    pub fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, FolderError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = match rustix::fs::openat(&self.descriptor, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.failed("open", name)(errno)),
        };
        let mut bytes = Vec::new();
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        file.take(bound).read_to_end(&mut bytes).map_err(|source| FolderError::Call {
            verb: "read",
            path: self.path.join(name),
            source,
        })?;
        if bytes.len() > limit {
            return Err(FolderError::TooLarge { path: self.path.join(name), limit });
        }
        Ok(Some(bytes))
    }

    /// Writes a whole file with mode 0600: after a crash there is the old one or the new one.
    ///
    /// # Errors
    /// When it cannot be written; the old file is then untouched.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        self.may_change()?;
        let fresh = format!("{name}.new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.descriptor, &fresh, flags, Mode::RUSR | Mode::WUSR)
            .map_err(self.failed("make", &fresh))?;
        let mut file = File::from(file);
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|source| FolderError::Call {
            verb: "write",
            path: self.path.join(&fresh),
            source,
        })?;
        rustix::fs::renameat(&self.descriptor, &fresh, &self.descriptor, name)
            .map_err(self.failed("put in place", name))?;
        self.sync()
    }

    /// Adds a line to a file with mode 0600, durably if so asked: what is not is on disk when a durable line after it is. A crash leaves all of it or a part without its end, which [`Folder::lines`] passes over;
    /// nothing may be added behind such a part.
    ///
    /// # Errors
    /// When it cannot be written; a part of it may stand there.
    pub fn append(&self, name: &str, line: &[u8], is_durable: bool) -> Result<(), FolderError> {
        self.may_change()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.descriptor, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(self.failed("open", name))?;
        let mut file = File::from(file);
        let call = |source| FolderError::Call { verb: "add to", path: self.path.join(name), source };
        let is_new = file.metadata().map_err(call)?.len() == 0;
        let mut whole = Vec::with_capacity(line.len() + 1);
        whole.extend_from_slice(line);
        whole.push(b'\n');
        let added = file.write_all(&whole).and_then(|()| if is_durable { file.sync_data() } else { Ok(()) });
        added.map_err(call)?;
        if is_new { self.sync() } else { Ok(()) }
    }

    /// The whole lines of such a file, and whether there is anything in it; nothing when it is not there.
    ///
    /// # Errors
    /// When it cannot be read or is larger than `limit` bytes.
    pub fn lines(&self, name: &str, limit: usize) -> Result<(Vec<Vec<u8>>, bool), FolderError> {
        let bytes = self.read(name, limit)?.unwrap_or_default();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        let lines = bytes.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
        Ok((lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect(), !bytes.is_empty()))
    }

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), FolderError> {
        self.may_change()?;
        match rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) => self.sync(),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.failed("remove", name)(errno)),
        }
    }

    /// The names of the files in it, in byte order, without those that a crash left half written.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn names(&self) -> Result<Vec<String>, FolderError> {
        let listing = rustix::fs::Dir::read_from(&self.descriptor).map_err(self.failed("list", ""))?;
        let mut names = Vec::new();
        for entry in listing {
            let entry = entry.map_err(self.failed("list", ""))?;
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
                && !name.ends_with(".new")
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync(&self) -> Result<(), FolderError> {
        rustix::fs::fsync(&self.descriptor).map_err(self.failed("sync", ""))
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_written_is_read_back_and_private() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(&place.path().join("a/b")).unwrap();
        assert_eq!(folder.read("x", 10).unwrap(), None);
        folder.write("x", b"one").unwrap();
        folder.write("x", b"two").unwrap();
        assert_eq!(folder.read("x", 3).unwrap().as_deref(), Some(&b"two"[..]));
        assert!(matches!(folder.read("x", 2), Err(FolderError::TooLarge { .. })));
        let mode = std::fs::metadata(folder.path().join("x")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(folder.lines("l", 100).unwrap(), (Vec::new(), false));
        folder.append("l", b"one", true).unwrap();
        folder.append("l", b"two", false).unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join("l"))
            .unwrap()
            .write_all(b"thr")
            .unwrap();
        assert_eq!(folder.lines("l", 100).unwrap(), (vec![b"one".to_vec(), b"two".to_vec()], true));
        folder.write("l", b"a part").unwrap();
        assert_eq!(folder.lines("l", 100).unwrap(), (Vec::new(), true));
        folder.remove("l").unwrap();
        std::fs::write(folder.path().join("y.new"), b"half").unwrap();
        assert_eq!(folder.names().unwrap(), ["x"]);
        folder.remove("x").unwrap();
        folder.remove("x").unwrap();
        assert!(folder.names().unwrap().is_empty());
    }

    #[test]
    fn a_folder_that_is_looked_at_is_not_made_and_nothing_in_it_changes() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a");
        assert!(Folder::look(&path).is_err() && !path.exists());
        Folder::open(&path).unwrap().write("x", b"one").unwrap();
        let folder = Folder::look(&path).unwrap();
        assert_eq!(folder.read("x", 3).unwrap().as_deref(), Some(&b"one"[..]));
        let refused = [folder.write("x", b"two"), folder.append("x", b"two", true), folder.remove("x")];
        for refused in refused {
            assert!(matches!(refused, Err(FolderError::OnlyToLook { .. })));
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
            assert!(matches!(Folder::open(&path), Err(FolderError::OtherUser { owner: 65_534, .. })));
            Folder::look(&path).unwrap();
        } else {
            println!("not root: no folder of another user was looked at");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(Folder::look(&path), Err(FolderError::NotPrivate { .. })));
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let place = tempfile::tempdir().unwrap();
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(Folder::open(place.path()), Err(FolderError::NotPrivate { .. })));
    }
}
