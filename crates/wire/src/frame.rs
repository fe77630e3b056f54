//! Frames on the socket pair between `vigo` and its worker or hand: a length of four bytes (little-endian), then so many bytes.
//!
//! Blocking, bounded, with a deadline, and with descriptors that travel along (unix(7), `SCM_RIGHTS`). What is in a frame is left to
//! [`crate::worker`] and to the hand.

use crate::WireError;
use crate::error::check_size;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recv, recvmsg, send, sendmsg,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// So many descriptors can travel with one frame.
pub const DESCRIPTORS: usize = 4;
/// Memory for a frame is taken in steps of this, as its bytes come in: an announced length alone takes none.
const STEP: usize = 64 << 10;
/// What a pipe is called in errors.
const WHAT: &str = "a frame of the other process";

/// Writes one frame. `socket` is a stream socket; a deadline of `None` waits for ever.
///
/// # Errors
/// When the frame is above `limit`, the other side is gone, or the deadline has passed.
pub fn write(
    socket: impl AsFd,
    bytes: &[u8],
    limit: usize,
    deadline: Option<Instant>,
) -> Result<(), WireError> {
    write_with(socket, bytes, &[], limit, deadline)
}

/// Writes one frame with descriptors that the other side gets as its own.
///
/// # Errors
/// As [`write`]; and when there are more than [`DESCRIPTORS`].
pub fn write_with(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    limit: usize,
    deadline: Option<Instant>,
) -> Result<(), WireError> {
    let socket = socket.as_fd();
    check_size(WHAT, bytes.len(), limit)?;
    check_size("the descriptors of a frame", descriptors.len(), DESCRIPTORS)?;
    let too_large = WireError::TooLarge { what: WHAT, size: bytes.len(), limit: u32::MAX as usize };
    let header = u32::try_from(bytes.len()).map_err(|_| too_large)?.to_le_bytes();
    let sent = send_header(socket, &header, descriptors, deadline)?;
    let (_, rest) = header.split_at_checked(sent).unwrap_or_default();
    send_all(socket, rest, deadline)?;
    send_all(socket, bytes, deadline)
}

/// Reads one frame; `None` when the other side closed the socket between two frames.
///
/// # Errors
/// When the frame is above `limit`, ends early, or the deadline has passed. A socket that failed is out of step and of no more use.
pub fn read(
    socket: impl AsFd,
    limit: usize,
    deadline: Option<Instant>,
) -> Result<Option<Vec<u8>>, WireError> {
    Ok(read_with(socket, limit, deadline)?.map(|frame| frame.bytes))
}

/// A frame with what came along.
#[derive(Debug)]
pub struct Received {
    /// The frame.
    pub bytes: Vec<u8>,
    /// Descriptors, close-on-exec; the receiver's own.
    pub descriptors: Vec<OwnedFd>,
}

/// Reads one frame with the descriptors that came with it (close-on-exec).
///
/// # Errors
/// As [`read`].
pub fn read_with(
    socket: impl AsFd,
    limit: usize,
    deadline: Option<Instant>,
) -> Result<Option<Received>, WireError> {
    let socket = socket.as_fd();
    let mut header = [0; 4];
    let mut descriptors = Vec::new();
    let first = receive_header(socket, &mut header, &mut descriptors, deadline)?;
    if first == 0 {
        return Ok(None);
    }
    let (_, rest) = header.split_at_mut_checked(first).unwrap_or_default();
    receive_all(socket, rest, deadline)?;
    let size = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
    check_size(WHAT, size, limit)?;
    let mut bytes = Vec::new();
    while bytes.len() < size {
        let start = bytes.len();
        bytes.resize(size.min(start + STEP), 0);
        receive_all(socket, bytes.get_mut(start..).unwrap_or_default(), deadline)?;
    }
    Ok(Some(Received { bytes, descriptors }))
}

/// Sends the header, or its beginning, with the descriptors on its first byte.
fn send_header(
    socket: BorrowedFd<'_>,
    header: &[u8],
    descriptors: &[BorrowedFd<'_>],
    deadline: Option<Instant>,
) -> Result<usize, WireError> {
    if descriptors.is_empty() {
        return Ok(0);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(WireError::Malformed { what: "the descriptors of a frame", why: "they do not fit" });
    }
    retry(socket, PollFlags::OUT, "write to the other process", deadline, || {
        sendmsg(socket, &[IoSlice::new(header)], &mut ancillary, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
    })
}

fn send_all(socket: BorrowedFd<'_>, mut bytes: &[u8], deadline: Option<Instant>) -> Result<(), WireError> {
    while !bytes.is_empty() {
        let sent = retry(socket, PollFlags::OUT, "write to the other process", deadline, || {
            send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
        })?;
        bytes = bytes.get(sent..).unwrap_or_default();
    }
    Ok(())
}

fn receive_header(
    socket: BorrowedFd<'_>,
    header: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
    deadline: Option<Instant>,
) -> Result<usize, WireError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = retry(socket, PollFlags::IN, "read from the other process", deadline, || {
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        recvmsg(socket, &mut [IoSliceMut::new(header)], &mut ancillary, flags)
    })?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok(received.bytes)
}

fn receive_all(
    socket: BorrowedFd<'_>,
    mut bytes: &mut [u8],
    deadline: Option<Instant>,
) -> Result<(), WireError> {
    while !bytes.is_empty() {
        let (received, _) = retry(socket, PollFlags::IN, "read from the other process", deadline, || {
            recv(socket, &mut *bytes, RecvFlags::DONTWAIT)
        })?;
        if received == 0 {
            return Err(WireError::Closed { what: WHAT });
        }
        bytes = bytes.get_mut(received..).unwrap_or_default();
    }
    Ok(())
}

/// Tries `action`; where it would block, waits by poll(2) until the socket is ready or the deadline has passed.
fn retry<T>(
    socket: BorrowedFd<'_>,
    ready: PollFlags,
    name: &'static str,
    deadline: Option<Instant>,
    mut action: impl FnMut() -> rustix::io::Result<T>,
) -> Result<T, WireError> {
    loop {
        match action() {
            Ok(done) => return Ok(done),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(socket, ready, name, deadline)?,
            Err(Errno::PIPE | Errno::CONNRESET) => return Err(WireError::Closed { what: WHAT }),
            Err(errno) => return Err(WireError::Pipe { action: name, source: errno.into() }),
        }
    }
}

fn wait(
    socket: BorrowedFd<'_>,
    ready: PollFlags,
    name: &'static str,
    deadline: Option<Instant>,
) -> Result<(), WireError> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(WireError::Timeout { what: WHAT });
        }
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::from_borrowed_fd(socket, ready)], left.as_ref()) {
            Ok(0) => return Err(WireError::Timeout { what: WHAT }),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(WireError::Pipe { action: name, source: errno.into() }),
        }
    }
}
