//! Landlock (landlock(7)): of all files, reading those below the listed paths, and nothing else.
//!
//! Three raw calls: a crate for it is ten times this file and brings three more.

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// struct landlock_ruleset_attr.
#[repr(C)]
struct Ruleset {
    files: u64,
    network: u64,
    scoped: u64,
}

/// struct landlock_path_beneath_attr.
#[repr(C, packed)]
struct Beneath {
    allowed: u64,
    parent: i32,
}

const READ_FILE: u64 = 1 << 2;
const READ_FOLDER: u64 = 1 << 3;
/// Abstract Unix sockets of others, and signals to them.
const SCOPES: u64 = 0b11;
const VERSION_ONLY: libc::c_long = 1;
const PATH_BENEATH: libc::c_long = 1;

/// The rights over files that each version of the interface knows: all are taken away.
const fn handled(version: u32) -> u64 {
    match version {
        0 | 1 => (1 << 13) - 1,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    }
}

/// Restricts the calling thread, which must have no_new_privs. Returns the version of the interface.
pub(super) fn restrict(read_only: &[&Path], unreadable: &mut Vec<String>) -> Result<u32, String> {
    // SAFETY: with LANDLOCK_CREATE_RULESET_VERSION no pointer is read; the answer is a number.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, VERSION_ONLY) };
    let version = u32::try_from(version).map_err(|_| last("this kernel has no landlock"))?;
    let scoped = if version >= 6 { SCOPES } else { 0 };
    let attributes = Ruleset { files: handled(version), network: 0, scoped };
    // SAFETY: reads one struct of the size given, which lives until the call returns. Older kernels take a longer one as
    // long as what they do not know is zero, and `scoped` is.
    let ruleset = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attributes, size_of::<Ruleset>(), 0)
    };
    let ruleset = i32::try_from(ruleset).ok().filter(|&raw| raw >= 0).ok_or_else(|| last("no ruleset"))?;
    // SAFETY: a descriptor that the kernel has just made for us.
    let ruleset = unsafe { OwnedFd::from_raw_fd(ruleset) };
    for path in read_only {
        if let Err(error) = allow(&ruleset, path) {
            unreadable.push(format!("cannot open `{}` to the sandbox: {error}", path.display()));
        }
    }
    // SAFETY: numbers only.
    match unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) } {
        0 => Ok(version),
        _ => Err(last("cannot restrict this thread")),
    }
}

fn allow(ruleset: &OwnedFd, path: &Path) -> io::Result<()> {
    let parent = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let folder = FileType::from_raw_mode(fstat(&parent)?.st_mode).is_dir();
    let allowed = if folder { READ_FILE | READ_FOLDER } else { READ_FILE };
    let rule = Beneath { allowed, parent: parent.as_raw_fd() };
    // SAFETY: reads one struct landlock_path_beneath_attr, which lives until the call returns, as does the descriptor.
    let code = unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), PATH_BENEATH, &raw const rule, 0)
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn last(what: &str) -> String {
    format!("{what}: {}", io::Error::last_os_error())
}
