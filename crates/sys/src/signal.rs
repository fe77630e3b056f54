//! Being asked to stop, by SIGTERM or SIGINT, as something that can be waited for beside other things (signal-safety(7), the self-pipe).
//!
//! What to do then is decided above. The second signal of a kind ends the process as it does without this.

use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Set by the handler.
static IS_ASKED: AtomicBool = AtomicBool::new(false);
/// Where the handler writes; -1 before there is a pipe.
static WRITER: AtomicI32 = AtomicI32::new(-1);
/// Both ends, open as long as the process lives: the handler may run at any time.
static PIPE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();

/// From now on SIGTERM and SIGINT are noted. What this gives becomes readable with the first of them and stays so; nothing is to be read from it.
/// Children that are spawned have the default action again.
///
/// # Errors
/// When there is no descriptor left, or a handler cannot be set.
pub fn catch_stop() -> io::Result<BorrowedFd<'static>> {
    let (reader, writer) = match PIPE.get() {
        Some(pipe) => pipe,
        None => {
            let made = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
            PIPE.get_or_init(|| made)
        }
    };
    WRITER.store(writer.as_raw_fd(), Ordering::SeqCst);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: an all-zero struct sigaction is a valid one: SIG_DFL, no flags, an empty mask (sigaction(2)).
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        let handler: extern "C" fn(libc::c_int) = note;
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART | libc::SA_RESETHAND;
        // SAFETY: `action` is initialised, and `note` only calls what signal-safety(7) allows; no old action is asked for.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(reader.as_fd())
}

/// What [`catch_stop`] gave; `None` where nobody called it: then a signal ends the process as always.
#[must_use]
pub fn stop() -> Option<BorrowedFd<'static>> {
    PIPE.get().map(|(reader, _)| reader.as_fd())
}

/// True once a stop was asked for.
#[must_use]
pub fn is_stop_asked() -> bool {
    IS_ASKED.load(Ordering::SeqCst)
}

/// The handler. write(2) changes errno only when it fails, and a pipe that two signals write to at most is never full.
extern "C" fn note(_: libc::c_int) {
    IS_ASKED.store(true, Ordering::SeqCst);
    let writer = WRITER.load(Ordering::SeqCst);
    if writer >= 0 {
        // SAFETY: one byte of a static; the descriptor is never closed (`PIPE`). write(2) is async-signal-safe.
        let _noted_above = unsafe { libc::write(writer, b"!".as_ptr().cast(), 1) };
    }
}
