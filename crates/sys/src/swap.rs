//! Swap areas and what stands on devices: the calls that have no safe wrapper (swapon(2), BLKDISCARD).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// The priority stands in the lower 15 bits (swapon(2)).
#[cfg(target_os = "linux")]
const PREFER: i32 = 0x8000;

/// Uses the device or file at `path` as swap. Priorities are 0 to 32767; `None` leaves it to the kernel.
///
/// # Errors
/// What swapon(2) says: `EINVAL` for what has no header, or for a file with holes; `EBUSY` for what is in use.
#[cfg(target_os = "linux")]
pub fn on(path: &CStr, priority: Option<i32>) -> io::Result<()> {
    let flags = priority.map_or(0, |priority| PREFER | priority.clamp(0, 0x7fff));
    // SAFETY: `path` ends in a zero byte and lives until the call returns (swapon(2)).
    done(unsafe { libc::swapon(path.as_ptr(), flags) })
}

/// Uses it no longer. Returns when everything in it is back in memory.
///
/// # Errors
/// What swapoff(2) says: `ENOMEM` when it does not fit in memory, `EINVAL` for what is not in use.
#[cfg(target_os = "linux")]
pub fn off(path: &CStr) -> io::Result<()> {
    // SAFETY: `path` ends in a zero byte and lives until the call returns (swapoff(2)).
    done(unsafe { libc::swapoff(path.as_ptr()) })
}

/// Tells a device to forget `length` bytes from `start` on (BLKDISCARD, include/uapi/linux/fs.h).
///
/// # Errors
/// `EOPNOTSUPP` when the device cannot.
#[cfg(target_os = "linux")]
pub fn discard(device: BorrowedFd<'_>, start: u64, length: u64) -> io::Result<()> {
    /// `_IO(0x12, 119)`.
    const BLKDISCARD: libc::c_ulong = 0x1277;
    let range = [start, length];
    // SAFETY: the request reads two 64-bit numbers through its argument, which is what `range` holds until the call returns.
    done(unsafe { libc::ioctl(device.as_raw_fd(), BLKDISCARD as _, range.as_ptr()) })
}

#[cfg(target_os = "linux")]
fn done(code: libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn unknown() -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "swap is managed on Linux only"))
}

/// Linux only.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn on(_path: &CStr, _priority: Option<i32>) -> io::Result<()> {
    unknown()
}

/// Linux only.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn off(_path: &CStr) -> io::Result<()> {
    unknown()
}

/// Linux only.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn discard(device: BorrowedFd<'_>, _start: u64, _length: u64) -> io::Result<()> {
    let _ = device.as_raw_fd();
    unknown()
}
