//! Who is at the other end: the credentials of a socket's peer, the death of the parent, and the descriptor it gave us.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a child of [`crate::spawn`] finds its end of the pipe to its parent.
pub const PIPE: i32 = 3;

static PIPE_TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes the descriptor [`PIPE`] that the parent has put there, and makes it close-on-exec. Once, and before anything
/// else is opened: only then is it certain whose it is.
///
/// # Errors
/// If there is none, or it was taken before.
pub fn take_pipe() -> io::Result<OwnedFd> {
    if PIPE_TAKEN.swap(true, Ordering::SeqCst) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the pipe to the parent was taken before"));
    }
    // SAFETY: F_SETFD takes an integer (fcntl(2)); EBADF is the answer if there is no such descriptor.
    if unsafe { libc::fcntl(PIPE, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open (above), and ours alone: nobody else in this process owns it, as the caller has opened nothing
    // yet and the flag lets one caller through.
    Ok(unsafe { OwnedFd::from_raw_fd(PIPE) })
}

/// The process at the other end of a connected Unix socket, as it was when it connected or made the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process id, where the system tells. A hint only: it may be another's by now.
    pub pid: Option<u32>,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

/// Asks the kernel who is at the other end (SO_PEERCRED, unix(7)).
///
/// # Errors
/// If this is not a connected Unix socket.
#[cfg(target_os = "linux")]
pub fn credentials(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    use std::os::fd::AsRawFd;
    let mut found = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let wanted = libc::socklen_t::try_from(size_of::<libc::ucred>()).map_err(io::Error::other)?;
    let mut length = wanted;
    // SAFETY: the kernel writes at most `length` bytes, the size of `found`; both live until the call returns. (Not
    // through rustix, whose type for it holds a process id that cannot be 0, which a peer of another namespace has.)
    let code = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    if length != wanted || found.uid == u32::MAX {
        // What an unconnected socket answers.
        return Err(io::Error::from(io::ErrorKind::NotConnected));
    }
    Ok(Peer { pid: u32::try_from(found.pid).ok().filter(|&pid| pid != 0), uid: found.uid, gid: found.gid })
}

/// Asks the kernel who is at the other end (getpeereid(3)).
///
/// # Errors
/// If this is not a connected Unix socket.
#[cfg(not(target_os = "linux"))]
pub fn credentials(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    use std::os::fd::AsRawFd;
    let (mut uid, mut gid) = (0, 0);
    // SAFETY: getpeereid(3) writes one id through each pointer; both live until the call returns.
    match unsafe { libc::getpeereid(socket.as_raw_fd(), &raw mut uid, &raw mut gid) } {
        0 => Ok(Peer { pid: None, uid, gid }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has this process killed when its parent ends. For a process that has changed its user itself, which clears what the
/// spawner has set. The parent must be the one that is expected: it may have ended already.
///
/// # Errors
/// The system's; `NotFound` if the parent is another.
pub fn die_with_parent(parent: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    #[cfg(target_os = "freebsd")]
    {
        let mut signal = libc::SIGKILL;
        // SAFETY: PROC_PDEATHSIG_CTL reads one int through the pointer (procctl(2)).
        if unsafe { libc::procctl(libc::P_PID, 0, libc::PROC_PDEATHSIG_CTL, (&raw mut signal).cast()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    match rustix::process::getppid() {
        Some(found) if found.as_raw_nonzero().get().unsigned_abs() == parent => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "the parent has ended already")),
    }
}
