//! What an attacker would try against another process, for the doctor and for tests: thin calls, nothing is decided here.
//!
//! Nothing of it is used on the way of a secret; every filter of the sandbox forbids these calls.

use rustix::process::Pid;
use std::io;
use std::os::fd::BorrowedFd;

/// Reads another process's memory from an address on (process_vm_readv(2)); gives how many bytes came.
///
/// # Errors
/// EPERM when this process may not look into it, EFAULT when the pages cannot be read, ENOSYS.
#[cfg(target_os = "linux")]
pub fn read_memory(process: Pid, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let near = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let far = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(usize::try_from(address).map_err(io::Error::other)?),
        iov_len: into.len(),
    };
    let pid = process.as_raw_nonzero().get();
    // SAFETY: the kernel writes at most `into.len()` bytes to `into`, which lives until the call returns; the far address is the other
    // process's and is not followed here.
    let read = unsafe { libc::process_vm_readv(pid, &raw const near, 1, &raw const far, 1, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// A process that this thread traces. Dropping it lets it go.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub struct Traced(libc::pid_t);

/// Attaches to a process without stopping it (PTRACE_SEIZE, ptrace(2)).
///
/// # Errors
/// EPERM when this process may not trace it.
#[cfg(target_os = "linux")]
pub fn attach(process: Pid) -> io::Result<Traced> {
    let pid = process.as_raw_nonzero().get();
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: PTRACE_SEIZE takes a process and options, here none; no memory of ours is touched.
    match unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, none, none) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(Traced(pid)),
    }
}

#[cfg(target_os = "linux")]
impl Drop for Traced {
    /// To be let go a process has to be stopped for a moment. What fails here is put right by the end of this thread, which lets go of all.
    fn drop(&mut self) {
        let none = std::ptr::null_mut::<libc::c_void>();
        let mut status = 0;
        // SAFETY: PTRACE_INTERRUPT and PTRACE_DETACH take no memory; waitpid(2) writes one int through the pointer, which lives until then.
        unsafe {
            if libc::ptrace(libc::PTRACE_INTERRUPT, self.0, none, none) == 0 {
                libc::waitpid(self.0, &raw mut status, libc::__WALL);
                libc::ptrace(libc::PTRACE_DETACH, self.0, none, none);
            }
        }
    }
}

/// Has the kernel write pages of a process to swap (process_madvise(2), MADV_PAGEOUT).
///
/// # Errors
/// EINVAL when the pages are locked or secret, EPERM, ENOSYS.
#[cfg(target_os = "linux")]
pub fn page_out(pidfd: BorrowedFd<'_>, start: u64, length: usize) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let pages = libc::iovec {
        iov_base: std::ptr::without_provenance_mut(usize::try_from(start).map_err(io::Error::other)?),
        iov_len: length,
    };
    // SAFETY: the kernel reads one iovec, which lives until the call returns. MADV_PAGEOUT changes no content, so that it is harmless to
    // whatever lies there, in this process or another.
    let done = unsafe {
        libc::syscall(
            libc::SYS_process_madvise,
            pidfd.as_raw_fd(),
            &raw const pages,
            1_usize,
            libc::MADV_PAGEOUT,
            0_u32,
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
