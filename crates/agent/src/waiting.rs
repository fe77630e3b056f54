//! Waiting for whatever comes first of several descriptors and a time, without a thread for each (poll(2)).

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// At most so long at once: a timeout that the kernel takes on every system. The deadline is looked at again.
const AT_ONCE: Duration = Duration::from_secs(86_400);

/// Waits until one of the descriptors can be read (or its other end is gone), and gives its place in the list; `None` at the deadline.
/// Of several the first one counts: put what must not wait in front.
///
/// # Errors
/// The kernel's; ENOMEM is all that poll(2) has for good descriptors.
pub fn first_readable(descriptors: &[BorrowedFd<'_>], deadline: Instant) -> io::Result<Option<usize>> {
    let mut watched: Vec<PollFd<'_>> =
        descriptors.iter().map(|descriptor| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN)).collect();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left.min(AT_ONCE)).map_err(io::Error::other)?;
        match poll(&mut watched, Some(&timeout)) {
            Ok(0) if left <= AT_ONCE => return Ok(None),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(watched.iter().position(|one| !one.revents().is_empty())),
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_first_that_can_be_read_is_named_and_the_deadline_is_kept() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let (_silent, quiet) = UnixStream::pair().unwrap();
        let begun = Instant::now();
        let soon = begun + Duration::from_millis(20);
        assert_eq!(first_readable(&[quiet.as_fd(), far.as_fd()], soon).unwrap(), None);
        assert!(begun.elapsed() >= Duration::from_millis(20));
        near.write_all(b"x").unwrap();
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(first_readable(&[quiet.as_fd(), far.as_fd()], later).unwrap(), Some(1));
        assert_eq!(first_readable(&[far.as_fd(), quiet.as_fd()], later).unwrap(), Some(0));
        assert!(first_readable(&[], Instant::now()).unwrap().is_none());
    }
}
