//! Pages of the three kinds that an arena can be made of, each run between two guard pages.
//!
//! Called from inside the allocator when the arena grows: nothing here allocates. Which kind to take, and what to tell
//! the operator, is decided in `arena`.

use std::fmt;
use std::io;
use std::ptr::{self, NonNull};

/// What the pages of an arena are, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// memfd_secret(2): out of the kernel's direct map, never swapped, not readable from outside, not even by root.
    Secret,
    /// mlock(2) and no core, no fork, no page merging: never swapped, but readable by whoever may trace the process.
    Locked,
    /// Ordinary pages: wiped on free, and nothing else.
    Plain,
}

/// A step that the kernel refused. Plain data: it is made while the allocator's lock is held.
#[derive(Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) step: &'static str,
    pub(crate) length: usize,
    pub(crate) errno: i32,
    /// Whether fewer bytes might be granted (a limit), or never any (no such call, or forbidden).
    pub(crate) smaller_may_do: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = io::Error::from_raw_os_error(self.errno);
        write!(out, "{} for {} KiB refused: {cause}", self.step, self.length / 1024)
    }
}

/// Bytes in a page.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf(3) takes no pointers and has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).ok().filter(|size| size.is_power_of_two()).unwrap_or(4096)
}

/// `length` rounded up to whole pages.
pub(crate) fn round_up(length: usize) -> usize {
    let mask = page_size() - 1;
    length.saturating_add(mask) & !mask
}

/// Maps `length` bytes (whole pages) of `kind`, zeroed, readable and writable, with a guard page before and after.
pub(crate) fn map(kind: Kind, length: usize) -> Result<NonNull<u8>, Refusal> {
    let guard = page_size();
    let total = length.checked_add(2 * guard).ok_or_else(|| refusal("mmap", length, libc::ENOMEM))?;
    let start = match kind {
        Kind::Secret => secret(total)?,
        Kind::Locked | Kind::Plain => anonymous(total)?,
    };
    // SAFETY: `start` is the beginning of a mapping of `total = guard + length + guard` bytes made just above and known
    // to nobody else; both offsets are inside it or its end.
    let (inner, behind) = unsafe { (start.add(guard), start.add(guard + length)) };
    let protected = forbid(start, guard).and_then(|()| forbid(behind, guard));
    let done = protected.map_err(|_| refusal("mprotect", length, errno())).and_then(|()| match kind {
        Kind::Secret => advise_secret(inner, length),
        Kind::Locked => lock_down(inner, length),
        Kind::Plain => Ok(()),
    });
    match done {
        Ok(()) => Ok(inner),
        Err(refused) => {
            // SAFETY: the whole mapping made above, and no pointer into it was given to anyone.
            unsafe { libc::munmap(start.as_ptr().cast(), total) };
            Err(refused)
        }
    }
}

/// Gives back what [`map`] returned.
///
/// # Safety
/// `start` and `length` must be those of one successful `map`, and nothing may use those pages any more.
pub(crate) unsafe fn unmap(start: NonNull<u8>, length: usize) {
    let guard = page_size();
    // SAFETY: `map` put one guard page before `start` and one after `start + length` (its first lines), all one mapping
    // of ours; that nobody uses it is this function's own contract.
    unsafe { libc::munmap(start.as_ptr().sub(guard).cast(), length + 2 * guard) };
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn refusal(step: &'static str, length: usize, errno: i32) -> Refusal {
    // mmap of a memfd_secret beyond RLIMIT_MEMLOCK gives EAGAIN, mlock(2) ENOMEM, or EPERM where the limit is 0.
    let smaller_may_do = matches!(errno, libc::EAGAIN | libc::ENOMEM);
    Refusal { step, length, errno, smaller_may_do }
}

fn forbid(start: NonNull<u8>, length: usize) -> io::Result<()> {
    // SAFETY: called by `map` only, on pages of its own new mapping that hold nothing.
    match unsafe { libc::mprotect(start.as_ptr().cast(), length, libc::PROT_NONE) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn mapped(address: *mut libc::c_void, step: &'static str, length: usize) -> Result<NonNull<u8>, Refusal> {
    if address == libc::MAP_FAILED {
        return Err(refusal(step, length, errno()));
    }
    NonNull::new(address.cast()).ok_or_else(|| refusal(step, length, libc::ENOMEM))
}

fn anonymous(length: usize) -> Result<NonNull<u8>, Refusal> {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
    // SAFETY: no address is asked for, so the kernel takes a free one; mmap(2) touches no memory of ours.
    let address = unsafe { libc::mmap(ptr::null_mut(), length, access, flags, -1, 0) };
    mapped(address, "mmap", length)
}

/// memfd_secret(2): size set once, shared mapping only; the descriptor is closed at once, because pidfd_getfd(2) on an
/// open one gives its content to root.
#[cfg(target_os = "linux")]
fn secret(length: usize) -> Result<NonNull<u8>, Refusal> {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    // SAFETY: memfd_secret(2) takes one integer.
    let raw = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let Ok(raw) = i32::try_from(raw).map_err(drop).and_then(|raw| if raw < 0 { Err(()) } else { Ok(raw) })
    else {
        return Err(Refusal { smaller_may_do: false, ..refusal("memfd_secret", length, errno()) });
    };
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    let file = unsafe { OwnedFd::from_raw_fd(raw) };
    let size = libc::off_t::try_from(length).map_err(|_| refusal("ftruncate", length, libc::ENOMEM))?;
    // SAFETY: ftruncate(2) on our own descriptor; no pointers.
    if unsafe { libc::ftruncate(file.as_raw_fd(), size) } != 0 {
        return Err(refusal("ftruncate of memfd_secret", length, errno()));
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: no address is asked for, so the kernel takes a free one; the descriptor is open and `length` long.
    let address =
        unsafe { libc::mmap(ptr::null_mut(), length, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    mapped(address, "mmap of memfd_secret", length)
}

#[cfg(not(target_os = "linux"))]
fn secret(length: usize) -> Result<NonNull<u8>, Refusal> {
    Err(Refusal { smaller_may_do: false, ..refusal("memfd_secret", length, libc::ENOSYS) })
}

#[cfg(target_os = "linux")]
fn advise(start: NonNull<u8>, length: usize, advice: i32) -> Result<(), Refusal> {
    // SAFETY: called on the inner pages of a new mapping of `map`. None of the advices used here changes what an access
    // does in this process (madvise(2): DONTFORK, WIPEONFORK, DONTDUMP, UNMERGEABLE, NOHUGEPAGE).
    match unsafe { libc::madvise(start.as_ptr().cast(), length, advice) } {
        0 => Ok(()),
        _ => Err(Refusal { smaller_may_do: false, ..refusal("madvise", length, errno()) }),
    }
}

/// A forked child must not share the pages (MAP_SHARED would); WIPEONFORK is EINVAL on shared mappings.
fn advise_secret(start: NonNull<u8>, length: usize) -> Result<(), Refusal> {
    #[cfg(target_os = "linux")]
    return advise(start, length, libc::MADV_DONTFORK);
    #[cfg(not(target_os = "linux"))]
    Err(refusal("memfd_secret", start.as_ptr().addr() & length, libc::ENOSYS))
}

#[cfg(target_os = "linux")]
fn lock_down(start: NonNull<u8>, length: usize) -> Result<(), Refusal> {
    advise(start, length, libc::MADV_DONTDUMP)?;
    advise(start, length, libc::MADV_WIPEONFORK)?;
    // EINVAL here means a kernel without KSM or huge pages: then there is nothing to keep away.
    for advice in [libc::MADV_UNMERGEABLE, libc::MADV_NOHUGEPAGE] {
        if let Err(refused) = advise(start, length, advice)
            && refused.errno != libc::EINVAL
        {
            return Err(refused);
        }
    }
    // SAFETY: mlock2(2) on our own new pages; flags 0 brings all of them into memory now.
    match unsafe { libc::syscall(libc::SYS_mlock2, start.as_ptr(), length, 0) } {
        0 => Ok(()),
        _ => Err(refusal("mlock2", length, errno())),
    }
}

#[cfg(not(target_os = "linux"))]
fn lock_down(start: NonNull<u8>, length: usize) -> Result<(), Refusal> {
    // No minherit(2) with INHERIT_ZERO: here children are forked by a thread whose stack and words lie in these pages.
    #[cfg(target_os = "freebsd")]
    // SAFETY: our own new pages; MADV_NOCORE keeps them out of cores (madvise(2)) and changes no access.
    let advised = unsafe { libc::madvise(start.as_ptr().cast(), length, libc::MADV_NOCORE) };
    #[cfg(not(target_os = "freebsd"))]
    let advised = 0;
    if advised != 0 {
        return Err(refusal("madvise", length, errno()));
    }
    // SAFETY: mlock(2) on our own new pages.
    match unsafe { libc::mlock(start.as_ptr().cast(), length) } {
        0 => Ok(()),
        _ => Err(refusal("mlock", length, errno())),
    }
}
