//! A connection that was made elsewhere, read and written with a deadline; TLS over it, unless it goes no further than this machine.

use crate::http::{BODY, HEAD, Response, read_response};
use crate::{tls, unexpected};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, getpeername};
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Instant;
use vigo_hand::{FailureCode, ServiceError, TransitService};
use vigo_secret::SecretBuf;

/// Head, body, and what chunks add to it.
const ANSWER: usize = HEAD + 2 * BODY;

/// A connection to the service.
pub(crate) enum Connection {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Connection {
    pub(crate) fn open(
        descriptor: OwnedFd,
        service: &TransitService,
        deadline: Instant,
    ) -> Result<Self, ServiceError> {
        if service.plain && !is_loopback(&descriptor) {
            let text = "cannot speak to the key service without TLS: it is not on this machine";
            return Err(ServiceError::new(FailureCode::KeyFile, text));
        }
        let timed = Timed { descriptor, deadline };
        if service.plain {
            return Ok(Self::Plain(timed));
        }
        let session = tls::session(&service.name, &service.roots)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(session, timed))))
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask(&mut self, request: &SecretBuf) -> Result<Response, ServiceError> {
        match self {
            Self::Plain(stream) => ask(stream, request),
            Self::Tls(stream) => ask(stream, request),
        }
    }
}

fn ask(stream: &mut (impl Read + Write), request: &SecretBuf) -> Result<Response, ServiceError> {
    stream.write_all(request.expose()).and_then(|()| stream.flush()).map_err(|error| tls::explain(&error))?;
    let mut buffer = SecretBuf::zeroed(ANSWER);
    let mut length = 0;
    loop {
        let room = buffer.expose_mut().get_mut(length..).filter(|room| !room.is_empty());
        let room = room.ok_or_else(|| unexpected("it is too long"))?;
        let read = match stream.read(room) {
            // A side that only closes its socket did not end the TLS session; whether the answer is whole is known from its length.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && length > 0 => 0,
            Err(error) => return Err(tls::explain(&error)),
            Ok(read) => read,
        };
        length += read;
        let come = buffer.expose().get(..length).unwrap_or_default();
        if length == 0 {
            let text = "cannot speak to the key service now: it closed the connection";
            return Err(ServiceError::new(FailureCode::NotNow, text));
        }
        match read_response(come, read == 0) {
            Ok(Some(response)) => return Ok(response),
            Ok(None) => {}
            Err(why) => return Err(unexpected(why)),
        }
    }
}

fn is_loopback(descriptor: &OwnedFd) -> bool {
    let address = getpeername(descriptor).ok().flatten();
    let address = address.and_then(|address: SocketAddrAny| SocketAddr::try_from(address).ok());
    address.is_some_and(|address| match address.ip() {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.is_loopback(),
    })
}

/// A descriptor that is waited for until the deadline and no longer.
pub(crate) struct Timed {
    descriptor: OwnedFd,
    deadline: Instant,
}

impl Timed {
    fn ready(&self, events: PollFlags) -> io::Result<()> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long"));
            }
            let wait = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&self.descriptor, events)], Some(&wait)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.ready(PollFlags::IN)?;
            match rustix::io::read(&self.descriptor, &mut *buffer) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                read => return Ok(read?),
            }
        }
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.ready(PollFlags::OUT)?;
            // Without SIGPIPE where the other side is gone (send(2)).
            match rustix::net::send(&self.descriptor, bytes, rustix::net::SendFlags::NOSIGNAL) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                written => return Ok(written?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
