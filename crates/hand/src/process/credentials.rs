//! Files that exist for one command only: on a ramfs that is attached nowhere and ends with the last process that has it open.
//!
//! Memory of a ramfs is never swapped (Documentation/filesystems/ramfs-rootfs-initramfs). The mount is made with the calls of fsopen(2) and
//! never gets a place in the tree, so no path leads to it and no table of mounts names it: it is reached through the descriptor that the
//! command was given, by the command, by what it hands the descriptor on to, and by who may trace one of them (proc_pid_fd(5)).

use super::filled::Filled;
use super::refused::Refused;
use super::state::State;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, chownat, fchown, openat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use vigo_secret::SecretBuf;
use vigo_wire::hand::{self as wire, FailureCode};

/// The descriptor by which a command gets its folder.
pub(super) const NUMBER: i32 = 3;
/// The folder as the command names it.
pub(super) const FOLDER: &str = "/proc/self/fd/3";
/// So many files may stand in it.
const MOST: usize = 64;

/// Makes the folder with one file for each text. `short` becomes true if a value is too short to be scrubbed from output.
pub(super) fn folder(
    state: &mut State,
    request: &wire::Run,
    short: &mut bool,
) -> Result<Option<OwnedFd>, Refused> {
    if request.files.is_empty() {
        return Ok(None);
    }
    if request.files.len() > MOST {
        let text = format!("cannot give a command more than {MOST} credentials");
        return Err(Refused::new(FailureCode::Author, text));
    }
    let folder = ramfs().map_err(|errno| unavailable(&errno))?;
    let owner = request.credentials.as_ref().map(|owner| (owner.user, owner.group));
    for file in &request.files {
        write(state, &folder, file, owner, &request.resource, short)?;
    }
    close_off(&folder, owner).map_err(|errno| unavailable(&errno))?;
    Ok(Some(folder))
}

/// A new file system in memory that is never swapped, attached nowhere.
#[cfg(target_os = "linux")]
fn ramfs() -> Result<OwnedFd, Errno> {
    use rustix::mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    };
    let context = fsopen(c"ramfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, c"mode", c"0500")?;
    fsconfig_create(&context)?;
    let flags = MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

/// The last that is done to it: it becomes its owner's, who cannot put anything more into it. A ramfs has no limit of its own.
fn close_off(folder: &OwnedFd, owner: Option<(u32, u32)>) -> Result<(), Errno> {
    if let Some((user, group)) = owner {
        chownat(folder, c"", Some(Uid::from_raw(user)), Some(Gid::from_raw(group)), AtFlags::EMPTY_PATH)?;
    }
    read_only(folder)
}

#[cfg(target_os = "linux")]
fn read_only(folder: &OwnedFd) -> Result<(), Errno> {
    use rustix::mount::{FsPickFlags, fsconfig_reconfigure, fsconfig_set_flag, fspick};
    let context = fspick(folder, c"", FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC)?;
    fsconfig_set_flag(&context, c"ro")?;
    fsconfig_reconfigure(&context)
}

/// Elsewhere there is no such file system: the command does not start.
#[cfg(not(target_os = "linux"))]
const fn ramfs() -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

#[cfg(not(target_os = "linux"))]
const fn read_only(_: &OwnedFd) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

fn unavailable(errno: &Errno) -> Refused {
    let why = match *errno {
        Errno::PERM | Errno::ACCESS => "the kernel refuses it to this process, which takes CAP_SYS_ADMIN",
        Errno::NOSYS => "the kernel has no fsopen(2), or hides it",
        Errno::NODEV => "the kernel has no ramfs",
        _ => "the kernel refuses it",
    };
    let text = format!(
        "cannot make a folder for the command's `credentials`, in memory and for it alone: {why} ({})",
        std::io::Error::from(*errno)
    );
    Refused::new(FailureCode::Unavailable, text)
}

/// One file: its owner and mode first, then its content, piece by piece.
fn write(
    state: &mut State,
    folder: &OwnedFd,
    file: &wire::Variable,
    owner: Option<(u32, u32)>,
    resource: &str,
    short: &mut bool,
) -> Result<(), Refused> {
    let name = &file.name;
    if !vigo_base::is_credential_name(name) {
        let text = format!("cannot name a credential `{name}`: letters, digits, `_`, `-` and `.` only");
        return Err(Refused::new(FailureCode::Author, text));
    }
    let failed = |errno: Errno| Refused::machine(format!("cannot write the credential `{name}`"), &errno);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let out = openat(folder, name.as_str(), flags, Mode::RUSR).map_err(failed)?;
    if let Some((user, group)) = owner {
        fchown(&out, Some(Uid::from_raw(user)), Some(Gid::from_raw(group))).map_err(failed)?;
    }
    for piece in &file.value.pieces {
        let Some(slot) = &piece.slot else {
            write_all(&out, piece.literal.as_bytes()).map_err(failed)?;
            continue;
        };
        let filled = Filled::new(state, std::slice::from_ref(slot), resource)?;
        *short |= filled.has_short();
        write_all(&out, filled.value(0).map(SecretBuf::expose).unwrap_or_default()).map_err(failed)?;
    }
    Ok(())
}

fn write_all(out: &OwnedFd, mut rest: &[u8]) -> Result<(), Errno> {
    while !rest.is_empty() {
        match rustix::io::write(out, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
