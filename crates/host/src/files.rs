//! Looking at files and changing what is said of them. Every call starts at a folder that was opened without being led astray, and never follows a link in the last part.

use rustix::fs::{AtFlags, FileType, Gid, OFlags, Uid};
use rustix::io::Errno;
use std::cell::RefCell;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use vigo_base::{AbsolutePath, Mode};
use vigo_resource::{Entry, EntryKind, Failure, Link, Ownership, Timestamp};

/// So many folders are kept open at a time.
const KEPT: usize = 16;

/// Folders that were opened lately. They are forgotten whenever something is made, moved or removed that could be on the way to one.
#[derive(Debug, Default)]
pub struct Folders {
    recent: RefCell<Vec<(AbsolutePath, Rc<OwnedFd>)>>,
}

/// A failure of a call, with the path it was about.
pub fn failed(verb: &str, path: &AbsolutePath, errno: Errno) -> Failure {
    let failure = Failure::failed(format!("cannot {verb} `{path}`: {}", std::io::Error::from(errno)));
    match errno {
        Errno::LOOP => failure.help("a symbolic link on the way to it stands in a folder that others can write to: name the path it leads to"),
        Errno::NOSPC | Errno::DQUOT => failure.help("make room on that file system"),
        Errno::ROFS => failure.help("the file system is mounted read-only"),
        Errno::PERM | Errno::ACCESS if !rustix::process::geteuid().is_root() => {
            failure.help("Vigo does not run as root here: it can change only what its user may")
        }
        _ => failure,
    }
}

impl Folders {
    /// The folder that `path` stands in, and the last part of `path`.
    pub fn parent(&self, path: &AbsolutePath) -> Result<(Rc<OwnedFd>, String), Errno> {
        let Some(parent) = path.parent() else {
            return Ok((self.open(path)?, ".".to_owned()));
        };
        Ok((self.open(&parent)?, path.file_name().to_owned()))
    }

    /// That folder itself.
    pub fn open(&self, path: &AbsolutePath) -> Result<Rc<OwnedFd>, Errno> {
        let mut recent = self.recent.borrow_mut();
        if let Some((_, folder)) = recent.iter().rev().find(|(known, _)| known == path) {
            return Ok(Rc::clone(folder));
        }
        let folder = Rc::new(vigo_sys::walk::open_folder(path.as_path())?);
        if recent.len() == KEPT {
            recent.remove(0);
        }
        recent.push((path.clone(), Rc::clone(&folder)));
        Ok(folder)
    }

    /// Forgets all, because what stands on the way may be another thing now.
    pub fn forget(&self) {
        self.recent.borrow_mut().clear();
    }

    /// What stands at `path`; `None` when nothing does.
    pub fn entry(&self, path: &AbsolutePath) -> Result<Option<Entry>, Failure> {
        let look = || {
            let (folder, name) = self.parent(path)?;
            let stat = rustix::fs::statat(&*folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)?;
            let mut entry = entry_of(&stat);
            if entry.kind == EntryKind::Symlink {
                let target = rustix::fs::readlinkat(&*folder, name.as_str(), Vec::new())?;
                entry.link_target = Some(String::from_utf8_lossy(target.as_bytes()).into_owned());
            }
            Ok(entry)
        };
        match look() {
            Ok(entry) => Ok(Some(entry)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(failed("look at", path, errno)),
        }
    }

    /// The names in a folder, in byte order.
    pub fn list(&self, path: &AbsolutePath) -> Result<Vec<String>, Failure> {
        let cannot = |errno| failed("list", path, errno);
        let folder = self.open(path).map_err(cannot)?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&*folder).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            let Ok(name) = entry.file_name().to_str() else {
                let shown = entry.file_name().to_string_lossy();
                return Err(Failure::failed(format!(
                    "cannot list `{path}`: the name `{shown}` in it is not UTF-8"
                ))
                .help("rename or remove that file by hand"));
            };
            if !matches!(name, "." | "..") {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Opens a regular file for reading; `None` when it is missing.
    pub fn open_file(&self, path: &AbsolutePath) -> Result<Option<(File, Entry)>, Failure> {
        let open = || {
            let (folder, name) = self.parent(path)?;
            // NONBLOCK: opening a pipe would otherwise wait for a writer (open(2)).
            let flags =
                OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
            rustix::fs::openat(&*folder, name.as_str(), flags, rustix::fs::Mode::empty())
        };
        let file = match open() {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(Errno::LOOP) => {
                return Err(Failure::failed(format!("cannot read `{path}`: it is a symbolic link")));
            }
            Err(errno) => return Err(failed("read", path, errno)),
        };
        let entry = entry_of(&rustix::fs::fstat(&file).map_err(|errno| failed("look at", path, errno))?);
        if entry.kind == EntryKind::File {
            Ok(Some((File::from(file), entry)))
        } else {
            Err(Failure::failed(format!("cannot read `{path}`: it is {}", entry.kind.describe())))
        }
    }

    /// Makes one folder with exactly that mode and owner.
    pub fn make_folder(&self, path: &AbsolutePath, mode: Mode, ownership: Ownership) -> Result<(), Failure> {
        let make = || {
            let (parent, name) = self.parent(path)?;
            // Private until owner and mode are right: nobody else can put anything into it before.
            rustix::fs::mkdirat(&*parent, name.as_str(), rustix::fs::Mode::RWXU)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let folder = rustix::fs::openat(&*parent, name.as_str(), flags, rustix::fs::Mode::empty())?;
            if !ownership.is_empty() {
                rustix::fs::fchown(&folder, uid(ownership), gid(ownership))?;
            }
            rustix::fs::fchmod(&folder, rustix::fs::Mode::from_raw_mode(mode.bits() as _))
        };
        self.forget();
        make().map_err(|errno| failed("make directory", path, errno))
    }

    /// Makes a link under a name of its own and renames it, so that the path always leads somewhere.
    pub fn make_link(&self, path: &AbsolutePath, link: &Link, ownership: Ownership) -> Result<(), Failure> {
        let make = || {
            let (folder, name) = self.parent(path)?;
            let fresh = fresh_name()?;
            match link {
                Link::Soft(target) => rustix::fs::symlinkat(target.as_str(), &*folder, fresh.as_str())?,
                Link::Hard(target) => {
                    let (from, from_name) = self.parent(target)?;
                    rustix::fs::linkat(
                        &*from,
                        from_name.as_str(),
                        &*folder,
                        fresh.as_str(),
                        AtFlags::empty(),
                    )?;
                }
            }
            let place = || {
                if matches!(link, Link::Soft(_)) && !ownership.is_empty() {
                    let flags = AtFlags::SYMLINK_NOFOLLOW;
                    rustix::fs::chownat(&*folder, fresh.as_str(), uid(ownership), gid(ownership), flags)?;
                }
                rustix::fs::renameat(&*folder, fresh.as_str(), &*folder, name.as_str())
            };
            let placed = place();
            // Renaming one name of a file onto another of its names does nothing at all (rename(2)), so the fresh one may be left.
            match rustix::fs::unlinkat(&*folder, fresh.as_str(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => placed,
                Err(errno) => placed.and(Err(errno)),
            }
        };
        self.forget();
        make().map_err(|errno| failed("link", path, errno))
    }

    /// Removes what is no folder.
    pub fn remove_file(&self, path: &AbsolutePath) -> Result<(), Failure> {
        self.remove(path, AtFlags::empty())
    }

    /// Removes an empty folder.
    pub fn remove_folder(&self, path: &AbsolutePath) -> Result<(), Failure> {
        self.remove(path, AtFlags::REMOVEDIR)
    }

    fn remove(&self, path: &AbsolutePath, flags: AtFlags) -> Result<(), Failure> {
        let remove = || {
            let (folder, name) = self.parent(path)?;
            rustix::fs::unlinkat(&*folder, name.as_str(), flags)
        };
        self.forget();
        remove().map_err(|errno| failed("remove", path, errno))
    }

    /// Sets the permission bits of a file or folder.
    pub fn set_mode(&self, path: &AbsolutePath, mode: Mode) -> Result<(), Failure> {
        let set = || {
            let (folder, name) = self.parent(path)?;
            // Through a descriptor that was opened without following a link: fchmodat(2) would follow one.
            let flags =
                OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
            let bits = rustix::fs::Mode::from_raw_mode(mode.bits() as _);
            match rustix::fs::openat(&*folder, name.as_str(), flags, rustix::fs::Mode::empty()) {
                Ok(file) => rustix::fs::fchmod(&file, bits),
                // Not readable for its own owner, who may still change its mode.
                Err(Errno::ACCESS) => rustix::fs::chmodat(&*folder, name.as_str(), bits, AtFlags::empty()),
                Err(errno) => Err(errno),
            }
        };
        set().map_err(|errno| failed("set the mode of", path, errno))
    }

    /// Sets owner or group or both; of a link, its own.
    pub fn set_owner(&self, path: &AbsolutePath, ownership: Ownership) -> Result<(), Failure> {
        let set = || {
            let (folder, name) = self.parent(path)?;
            rustix::fs::chownat(
                &*folder,
                name.as_str(),
                uid(ownership),
                gid(ownership),
                AtFlags::SYMLINK_NOFOLLOW,
            )
        };
        set().map_err(|errno| failed("set the owner of", path, errno))
    }
}

fn uid(ownership: Ownership) -> Option<Uid> {
    ownership.owner.map(Uid::from_raw)
}

fn gid(ownership: Ownership) -> Option<Gid> {
    ownership.group.map(Gid::from_raw)
}

fn fresh_name() -> Result<String, Errno> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| Errno::IO)?;
    Ok(format!(".vigo-{}", vigo_base::encode_hex(&bytes)))
}

/// The numbers that stat(2) gives have other widths on other systems.
#[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation, clippy::useless_conversion)]
fn entry_of(stat: &rustix::fs::Stat) -> Entry {
    let kind = match FileType::from_raw_mode(stat.st_mode as _) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Folder,
        FileType::Symlink => EntryKind::Symlink,
        _ => EntryKind::Other,
    };
    Entry {
        kind,
        mode: Mode::from_bits(stat.st_mode as u32),
        owner: stat.st_uid,
        group: stat.st_gid,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        links: stat.st_nlink as u64,
        changed_at: Timestamp {
            seconds: stat.st_ctime as i64,
            nanoseconds: u32::try_from(stat.st_ctime_nsec).unwrap_or(0),
        },
        link_target: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(place: &tempfile::TempDir, name: &str) -> AbsolutePath {
        place.path().join(name).to_str().unwrap().parse().unwrap()
    }

    #[test]
    fn what_is_made_is_seen_and_what_is_not_there_is_nothing() {
        let place = tempfile::tempdir().unwrap();
        let folders = Folders::default();
        let below = path(&place, "a");
        assert_eq!(folders.entry(&below).unwrap(), None);
        assert_eq!(folders.entry(&path(&place, "a/b")).unwrap(), None);
        folders.make_folder(&below, "0750".parse().unwrap(), Ownership::default()).unwrap();
        let entry = folders.entry(&below).unwrap().unwrap();
        assert_eq!((entry.kind, entry.mode.bits()), (EntryKind::Folder, 0o750));
        folders.set_mode(&below, "0700".parse().unwrap()).unwrap();
        assert_eq!(folders.entry(&below).unwrap().unwrap().mode.bits(), 0o700);

        let link = path(&place, "l");
        folders.make_link(&link, &Link::Soft("a".to_owned()), Ownership::default()).unwrap();
        folders.make_link(&link, &Link::Soft("b".to_owned()), Ownership::default()).unwrap();
        assert_eq!(folders.entry(&link).unwrap().unwrap().link_target.as_deref(), Some("b"));
        assert_eq!(folders.list(&path(&place, "")).unwrap(), ["a", "l"]);
        assert!(folders.open_file(&link).unwrap_err().reason.contains("symbolic link"));
        folders.remove_file(&link).unwrap();
        folders.remove_folder(&below).unwrap();
        assert!(folders.list(&path(&place, "")).unwrap().is_empty());
    }

    #[test]
    fn a_hard_link_to_itself_leaves_nothing_behind() {
        let place = tempfile::tempdir().unwrap();
        let folders = Folders::default();
        let (file, other) = (path(&place, "f"), path(&place, "g"));
        std::fs::write(file.as_path(), "x").unwrap();
        for _ in 0..2 {
            folders.make_link(&other, &Link::Hard(file.clone()), Ownership::default()).unwrap();
        }
        assert_eq!(folders.list(&path(&place, "")).unwrap(), ["f", "g"]);
        assert_eq!(folders.entry(&file).unwrap().unwrap().links, 2);
    }
}
