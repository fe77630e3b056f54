//! What tells a file from every other, whatever names it has. Only looks; what follows from it is for others.

use rustix::fs::{AtFlags, FileType};
use serde::{Deserialize, Serialize};
use vigo_base::AbsolutePath;

/// A file, under whatever names it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The device (stat(2)). After a restart of the machine the same file system may have another number.
    pub device: u64,
    /// The inode. It goes to another file once this one is gone.
    pub inode: u64,
    /// When it was made, in seconds since 1970 and nanoseconds (statx(2), `stx_btime`): no rename, link, write or change of owner alters it, and
    /// a file that is made later has another. `None` where the file system does not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<(i64, u32)>,
}

impl Identity {
    /// True if both are the same file: the same inode that was born at the same moment, or, where that is not known, on the same device.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.inode == other.inode
            && match (self.born, other.born) {
                (Some(one), Some(another)) => one == another,
                _ => self.device == other.device,
            }
    }

    /// True if that file has this one's number, and so this one is gone.
    #[must_use]
    pub fn was_followed_by(&self, other: &Self) -> bool {
        self.device == other.device && self.inode == other.inode && !self.is(other)
    }
}

/// A file as it stands now.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Which one.
    pub identity: Identity,
    /// How many names it has.
    pub links: u64,
}

/// Which file stands at that path; `None` where none does, or where it cannot be looked at. A link in the last part is followed only if
/// `follow` says so.
pub fn standing_at(path: &AbsolutePath, follow: bool) -> Option<Standing> {
    let flags = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    look(path, flags)
}

#[cfg(target_os = "linux")]
fn look(path: &AbsolutePath, flags: AtFlags) -> Option<Standing> {
    use rustix::fs::{CWD, StatxFlags, makedev, statx};
    let wanted = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);
    let Ok(found) = statx(CWD, path.as_path(), flags, wanted) else {
        // ENOSYS before Linux 4.11, EPERM under a seccomp profile that does not know the call.
        return look_without_birth(path, flags);
    };
    let is_file = FileType::from_raw_mode(u32::from(found.stx_mode)) == FileType::RegularFile;
    let born = (found.stx_btime.tv_sec, found.stx_btime.tv_nsec);
    let is_known = found.stx_mask & StatxFlags::BTIME.bits() != 0 && born != (0, 0);
    is_file.then_some(Standing {
        identity: Identity {
            device: makedev(found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            born: is_known.then_some(born),
        },
        links: u64::from(found.stx_nlink),
    })
}

#[cfg(not(target_os = "linux"))]
fn look(path: &AbsolutePath, flags: AtFlags) -> Option<Standing> {
    look_without_birth(path, flags)
}

#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the types differ between systems")]
fn look_without_birth(path: &AbsolutePath, flags: AtFlags) -> Option<Standing> {
    let stat = rustix::fs::statat(rustix::fs::CWD, path.as_path(), flags).ok()?;
    let is_file = FileType::from_raw_mode(stat.st_mode as _) == FileType::RegularFile;
    is_file.then_some(Standing {
        identity: Identity { device: stat.st_dev as u64, inode: stat.st_ino as u64, born: None },
        links: stat.st_nlink as u64,
    })
}

/// True if the file there has an access list of its own (acl(5), under the name that xattr(7) gives it). False where there are none.
#[cfg(target_os = "linux")]
pub fn has_access_list(path: &AbsolutePath) -> bool {
    rustix::fs::lgetxattr_query(path.as_path(), "system.posix_acl_access").is_ok_and(|length| length > 0)
}

#[cfg(not(target_os = "linux"))]
pub fn has_access_list(_path: &AbsolutePath) -> bool {
    false
}

/// The path without links on the way: the real name of its folder, and its last part as it is. As it was given where its folder is missing.
pub fn in_real_folder(path: &AbsolutePath) -> AbsolutePath {
    let real = path.parent().and_then(|folder| std::fs::canonicalize(folder.as_path()).ok());
    let real = real.and_then(|folder| folder.join(path.file_name()).to_str()?.parse().ok());
    real.unwrap_or_else(|| path.clone())
}

/// The path without links, also in its last part; `None` where nothing stands there.
pub fn real(path: &AbsolutePath) -> Option<AbsolutePath> {
    std::fs::canonicalize(path.as_path()).ok()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_identity_under_every_name_and_its_number_alone_is_none() {
        let place = tempfile::tempdir().unwrap();
        let path =
            |name: &str| -> AbsolutePath { place.path().join(name).to_str().unwrap().parse().unwrap() };
        let (file, linked, moved) = (path("file"), path("linked"), path("moved"));
        std::fs::write(file.as_path(), "x").unwrap();
        let first = standing_at(&file, false).unwrap();
        std::fs::hard_link(file.as_path(), linked.as_path()).unwrap();
        std::fs::rename(file.as_path(), moved.as_path()).unwrap();
        std::fs::write(moved.as_path(), "y").unwrap();
        for name in [&linked, &moved] {
            let now = standing_at(name, false).unwrap();
            assert!(now.identity.is(&first.identity));
            assert_eq!(now.links, 2);
        }
        assert!(standing_at(&file, false).is_none() && standing_at(&path(""), false).is_none());
        std::os::unix::fs::symlink("moved", file.as_path()).unwrap();
        assert!(standing_at(&file, false).is_none());
        assert!(standing_at(&file, true).unwrap().identity.is(&first.identity));

        let later = Identity { born: Some((1, 1)), ..first.identity };
        let earlier = Identity { born: Some((1, 0)), ..first.identity };
        assert!(!later.is(&earlier) && earlier.was_followed_by(&later));
        assert!(later.is(&Identity { device: first.identity.device + 1, ..later }), "after a restart");
        assert!(
            later.is(&Identity { born: None, ..later }),
            "it cannot be told, so it is taken for the same"
        );
    }
}
