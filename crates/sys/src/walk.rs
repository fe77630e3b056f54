//! Opens folders without being led astray: a symbolic link on the way is followed only where nobody but root or this process's user could have placed it.
//!
//! Whoever can write to a folder can put a link into it. A path is therefore walked part by part, unless the kernel says in one call that there is no link on it (openat2(2), RESOLVE_NO_SYMLINKS).

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, Result};
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// As many links as the kernel follows itself (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Opens the folder at the absolute `path` for use as the base of `*at` calls and for syncing.
///
/// # Errors
/// `ELOOP` when a link on the way stands in a folder that others can write to; else what open(2) says.
pub fn open_folder(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, ResolveFlags, openat2};
        match openat2(
            CWD,
            path,
            flags,
            Mode::empty(),
            ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
        ) {
            // ELOOP: there is a link. ENOSYS, EPERM: an older kernel, or a seccomp profile that does not know the call.
            Err(Errno::LOOP | Errno::NOSYS | Errno::PERM | Errno::AGAIN) => {}
            done => return done,
        }
    }
    let folder = walk(path)?;
    // What was walked to is held without read access; open it anew for reading, through itself.
    rustix::fs::openat(&folder, ".", flags, Mode::empty())
}

fn walk(path: &Path) -> Result<OwnedFd> {
    let start = || rustix::fs::open("/", path_flags() | OFlags::DIRECTORY, Mode::empty());
    let mut here = start()?;
    let mut todo = parts(path);
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == ".." {
            here = rustix::fs::openat(&here, "..", path_flags() | OFlags::DIRECTORY, Mode::empty())?;
            continue;
        }
        let next =
            rustix::fs::openat(&here, part.as_os_str(), path_flags() | OFlags::NOFOLLOW, Mode::empty())?;
        let stat = rustix::fs::fstat(&next)?;
        match FileType::from_raw_mode(stat.st_mode as _) {
            FileType::Directory => here = next,
            FileType::Symlink => {
                links += 1;
                if links > MOST_LINKS || !may_hold_links(here.as_fd(), stat.st_uid)? {
                    return Err(Errno::LOOP);
                }
                let target = rustix::fs::readlinkat(&here, part.as_os_str(), Vec::new())?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    here = start()?;
                }
                todo.extend(parts(&target));
            }
            _ => return Err(Errno::NOTDIR),
        }
    }
    Ok(here)
}

#[cfg(target_os = "linux")]
const fn path_flags() -> OFlags {
    OFlags::PATH.union(OFlags::CLOEXEC)
}

#[cfg(not(target_os = "linux"))]
const fn path_flags() -> OFlags {
    OFlags::RDONLY.union(OFlags::CLOEXEC)
}

/// The parts of a path, last first.
fn parts(path: &Path) -> Vec<OsString> {
    let mut parts: Vec<OsString> = path
        .as_os_str()
        .as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(|part| OsString::from_vec(part.to_vec()))
        .collect();
    parts.reverse();
    parts
}

/// True if a link in `folder` that belongs to `link_owner` can be trusted: nobody but root or this user can write to the folder, or it is sticky and the link is theirs.
fn may_hold_links(folder: BorrowedFd<'_>, link_owner: u32) -> Result<bool> {
    let stat = rustix::fs::statat(folder, "", AtFlags::EMPTY_PATH)?;
    let mine = |owner: u32| owner == 0 || owner == rustix::process::geteuid().as_raw();
    let others_write = stat.st_mode & 0o022 != 0;
    let sticky = stat.st_mode & 0o1000 != 0;
    Ok(mine(stat.st_uid) && (!others_write || (sticky && mine(link_owner))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn links_are_followed_only_where_no_other_could_place_them() {
        let place = std::env::temp_dir().join(format!("vigo-walk-{}", std::process::id()));
        let real = place.join("real/below");
        let open = place.join("open");
        std::fs::create_dir_all(&real).unwrap();
        std::fs::create_dir(&open).unwrap();
        symlink("real", place.join("link")).unwrap();
        symlink(&real, open.join("absolute")).unwrap();
        symlink("loop", place.join("loop")).unwrap();

        assert!(open_folder(&real).is_ok());
        assert!(open_folder(&place.join("link/below")).is_ok());
        assert!(open_folder(&place.join("link/below/../below")).is_ok());
        assert!(open_folder(&open.join("absolute")).is_ok());
        assert_eq!(open_folder(&place.join("loop")).err(), Some(Errno::LOOP));
        assert_eq!(open_folder(&place.join("none")).err(), Some(Errno::NOENT));
        set_mode(&open, 0o777);
        assert_eq!(open_folder(&open.join("absolute")).err(), Some(Errno::LOOP));
        assert!(open_folder(&open).is_ok(), "without a link on the way it does not matter who may write");
        set_mode(&open, 0o1777);
        assert!(open_folder(&open.join("absolute")).is_ok());
        std::fs::remove_dir_all(&place).unwrap();
    }
}
