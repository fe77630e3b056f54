//! The pipe between `vigo` and its network worker `vigo-net`: one request, one answer, in order.
//!
//! The worker is told where to connect and what to trust, makes the key of its own transport certificate, and relays bytes. It never gets the
//! node's identity, a token, or anything of the inner session. Starting the process is left to the agent; TLS is left to `agent-net`.

mod message;
#[cfg(test)]
mod tests;

pub use message::{
    Answered, Asked, Configure, Configured, Enrol, Error, Exchange, Kind, MakeTransportKey, Relayed,
    TransportKey, WorkerAnswer, WorkerRequest,
};

use crate::error::{check_size, decode};
use crate::{WireError, frame, outer};
use prost::Message as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use vigo_base::{Blame, EnvoyId};

/// A frame on this pipe has at most so many bytes: the largest message of the inner session, sealed, and what stands around it.
pub const FRAME_LIMIT: usize = outer::FRAME_LIMIT + (64 << 10);
/// The worker answers within the deadline it was given; so much later `vigo` takes it for hung.
const GRACE: Duration = Duration::from_secs(5);
/// For requests that need no network.
const LOCAL: Duration = Duration::from_secs(30);
/// A transport key of any kind that TLS knows has fewer bytes.
const TRANSPORT_KEY_LIMIT: usize = 4096;
/// A certificate request has at most so many bytes.
const CERTIFICATE_REQUEST_LIMIT: usize = 16 << 10;

/// The worker's first argument (`argv[0]`) and name.
pub const NAME: &std::ffi::CStr = c"vigo-net";
/// The descriptor at which the worker finds its end of the pipe.
pub const DESCRIPTOR: i32 = 3;

/// Why the worker could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// What kind.
    pub kind: Kind,
    /// For people: what, where, why.
    pub text: String,
}

impl Failure {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self.kind {
            Kind::Refused => Blame::Permission,
            Kind::Bug => Blame::Bug,
            Kind::Unreachable
            | Kind::Timeout
            | Kind::UnknownSession
            | Kind::Tls
            | Kind::UnknownOutcome
            | Kind::TooLarge
            | Kind::Busy => Blame::Peer,
        }
    }
}

/// The end of the pipe that `vigo` holds. After an error of the pipe itself (not of [`WireError::Worker`]) it is of no more use: start another worker.
pub struct Client {
    socket: OwnedFd,
    most: Duration,
}

impl Client {
    /// Over the socket whose other end the worker has at [`DESCRIPTOR`].
    #[must_use]
    pub const fn new(socket: OwnedFd) -> Self {
        Self::impatient(socket, Duration::MAX)
    }

    /// One that waits at most so long for an answer, whatever time was given to the request.
    #[must_use]
    pub const fn impatient(socket: OwnedFd, most: Duration) -> Self {
        Self { socket, most }
    }

    /// Tells where to connect and what to trust, and gives what the worker says of its sandbox. Again at any time: old connections are dropped.
    ///
    /// # Errors
    /// When the worker cannot use it.
    pub fn configure(&self, configure: Configure) -> Result<Configured, WireError> {
        match self.ask(Asked::Configure(configure), LOCAL)? {
            Answered::Configured(configured) => Ok(configured),
            _ => Err(out_of_step()),
        }
    }

    /// Makes a key for a transport certificate (P-256) and the request for it. `vigo` keeps the key and gives it back by [`Client::configure`].
    ///
    /// # Errors
    /// When the worker cannot.
    pub fn make_transport_key(&self) -> Result<TransportKey, WireError> {
        match self.ask(Asked::MakeTransportKey(MakeTransportKey {}), LOCAL)? {
            Answered::TransportKey(key) => {
                // It is kept in the state folder: a taken worker must not be able to fill that.
                check_size("the transport key", key.key.len(), TRANSPORT_KEY_LIMIT)?;
                let request = key.certificate_request.len();
                check_size("the certificate request", request, CERTIFICATE_REQUEST_LIMIT)?;
                Ok(key)
            }
            _ => Err(out_of_step()),
        }
    }

    /// Sends an enrolment request to `server` (`HOST[:PORT]`) and gives its answer. Repeated by the worker until it is answered or the time is over: the same
    /// request gets the same answer.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn enrol(&self, server: &str, bytes: &[u8], time: Duration) -> Result<Vec<u8>, WireError> {
        let enrol = Enrol { server: server.into(), bytes: bytes.to_vec(), deadline_ms: milliseconds(time) };
        self.relayed(Asked::Enrol(enrol), time)
    }

    /// Sends one frame of an inner session to the configured server and gives the answer's payload. Repeated by the worker only while nothing can have reached
    /// the server; after [`Kind::UnknownOutcome`] and [`Kind::UnknownSession`] make a new session.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn exchange(
        &self,
        session: &[u8; outer::SESSION_ID],
        envoy: &EnvoyId,
        payload: Vec<u8>,
        time: Duration,
    ) -> Result<Vec<u8>, WireError> {
        self.relayed(exchange_of(session, envoy, payload, time), time)
    }

    /// How long an answer to a request that was given so much time is waited for.
    #[must_use]
    pub fn patience(&self, time: Duration) -> Duration {
        time.saturating_add(GRACE).min(self.most)
    }

    /// Begins an exchange whose answer may take long: [`Client::finish_exchange`] gives it once this becomes readable (poll(2)), and nothing else is
    /// asked before.
    ///
    /// # Errors
    /// When the worker does not take it.
    pub fn begin_exchange(
        &self,
        session: &[u8; outer::SESSION_ID],
        envoy: &EnvoyId,
        payload: Vec<u8>,
        time: Duration,
    ) -> Result<(), WireError> {
        let deadline = Instant::now().checked_add(GRACE.min(self.most));
        self.write(exchange_of(session, envoy, payload, time), deadline)
    }

    /// The answer to what was begun; to be called when there is something to read.
    ///
    /// # Errors
    /// As [`Client::exchange`].
    pub fn finish_exchange(&self) -> Result<Vec<u8>, WireError> {
        match self.read(Instant::now().checked_add(GRACE.min(self.most)))? {
            Answered::Relayed(Relayed { bytes }) => Ok(bytes),
            _ => Err(out_of_step()),
        }
    }

    fn relayed(&self, asked: Asked, time: Duration) -> Result<Vec<u8>, WireError> {
        match self.ask(asked, time)? {
            Answered::Relayed(Relayed { bytes }) => Ok(bytes),
            _ => Err(out_of_step()),
        }
    }

    fn ask(&self, asked: Asked, time: Duration) -> Result<Answered, WireError> {
        let deadline = Instant::now().checked_add(self.patience(time));
        self.write(asked, deadline)?;
        self.read(deadline)
    }

    fn write(&self, asked: Asked, deadline: Option<Instant>) -> Result<(), WireError> {
        let request = zeroize::Zeroizing::new(WorkerRequest { asked: Some(asked) }.encode_to_vec());
        frame::write(&self.socket, &request, FRAME_LIMIT, deadline)
    }

    fn read(&self, deadline: Option<Instant>) -> Result<Answered, WireError> {
        let answer = frame::read(&self.socket, FRAME_LIMIT, deadline)?
            .map(zeroize::Zeroizing::new)
            .ok_or(WireError::Closed { what: "the network worker" })?;
        let answer: WorkerAnswer = decode("the answer of the network worker", &answer, FRAME_LIMIT)?;
        match answer.answered {
            Some(Answered::Error(error)) => Err(WireError::Worker(error.into())),
            Some(answered) => Ok(answered),
            None => Err(out_of_step()),
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn exchange_of(
    session: &[u8; outer::SESSION_ID],
    envoy: &EnvoyId,
    payload: Vec<u8>,
    time: Duration,
) -> Asked {
    Asked::Exchange(Exchange {
        session: session.to_vec(),
        envoy: envoy.as_bytes().to_vec(),
        payload,
        deadline_ms: milliseconds(time),
    })
}

const fn out_of_step() -> WireError {
    WireError::Malformed { what: "the answer of the network worker", why: "it answers another request" }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
