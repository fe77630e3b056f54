//! The messages on the pipe of the network worker.

use super::Failure;
use std::fmt;

/// From `vigo`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkerRequest {
    /// Which.
    #[prost(oneof = "Asked", tags = "1, 2, 3, 4")]
    pub asked: Option<Asked>,
}

/// The kinds of [`WorkerRequest`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Asked {
    /// Where to connect, what to trust.
    #[prost(message, tag = "1")]
    Configure(Configure),
    /// Make a transport key.
    #[prost(message, tag = "2")]
    MakeTransportKey(MakeTransportKey),
    /// Relay an enrolment.
    #[prost(message, tag = "3")]
    Enrol(Enrol),
    /// Relay a frame of the inner session.
    #[prost(message, tag = "4")]
    Exchange(Exchange),
}

/// From the worker.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkerAnswer {
    /// Which.
    #[prost(oneof = "Answered", tags = "1, 2, 3, 4")]
    pub answered: Option<Answered>,
}

/// The kinds of [`WorkerAnswer`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Answered {
    /// To [`Asked::Configure`].
    #[prost(message, tag = "1")]
    Configured(Configured),
    /// To [`Asked::MakeTransportKey`].
    #[prost(message, tag = "2")]
    TransportKey(TransportKey),
    /// To [`Asked::Enrol`] and [`Asked::Exchange`].
    #[prost(message, tag = "3")]
    Relayed(Relayed),
    /// To anything: it could not be done.
    #[prost(message, tag = "4")]
    Error(Error),
}

/// Where to connect, what to trust, and who the worker is to networks and load balancers.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct Configure {
    /// `HOST[:PORT]`, an IPv6 address in brackets where a port follows.
    #[prost(string, tag = "1")]
    pub server: String,
    /// The authority's certificate (X.509, DER) to which the server's must lead.
    #[prost(bytes = "vec", tag = "2")]
    pub authority: Vec<u8>,
    /// The private key of the transport certificate (PKCS #8, DER).
    #[prost(bytes = "vec", tag = "3")]
    pub key: Vec<u8>,
    /// The transport certificate and its chain (X.509, DER each).
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub chain: Vec<Vec<u8>>,
    /// To connect and to agree on keys; 0 means 10 s.
    #[prost(uint64, tag = "5")]
    pub connect_timeout_ms: u64,
    /// A connection on which nothing happened for so long is closed; 0 means 10 min.
    #[prost(uint64, tag = "6")]
    pub idle_timeout_ms: u64,
    /// The last time that the server gave inside a session, seconds since 1970; 0 when it is not known. A machine whose clock is wrong still gets
    /// through: a server certificate is good if it is good now or was good then.
    #[prost(uint64, tag = "7")]
    pub server_time: u64,
    /// While an answer is waited for, a connection on which so long nothing came is asked whether it still lives, and given up after as long again; 0
    /// means 25 s.
    #[prost(uint64, tag = "8")]
    pub keep_alive_ms: u64,
}

impl fmt::Debug for Configure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Configure").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Drop for Configure {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

/// Done; and what the worker says of its own cage, before it ever touched the network.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Configured {
    /// The user it runs as.
    #[prost(uint32, tag = "1")]
    pub user: u32,
    /// What is missing of its sandbox and hardening, a line each; empty when everything holds.
    #[prost(string, repeated, tag = "2")]
    pub missing: Vec<String>,
}

/// Make a key and a certificate request.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct MakeTransportKey {}

/// A new key. It is for TLS only and proves nothing to the protocol inside.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct TransportKey {
    /// The private key (PKCS #8, DER).
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The certificate request (PKCS #10, DER).
    #[prost(bytes = "vec", tag = "2")]
    pub certificate_request: Vec<u8>,
}

impl fmt::Debug for TransportKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TransportKey").finish_non_exhaustive()
    }
}

impl Drop for TransportKey {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.key);
    }
}

/// Relay an enrolment to a server that is not trusted yet.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Enrol {
    /// `HOST[:PORT]`.
    #[prost(string, tag = "1")]
    pub server: String,
    /// The encoded [`crate::enrol::EnrolRequest`].
    #[prost(bytes = "vec", tag = "2")]
    pub bytes: Vec<u8>,
    /// Answer within this, whatever happens.
    #[prost(uint64, tag = "3")]
    pub deadline_ms: u64,
}

/// Relay a frame of the inner session to the configured server.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Exchange {
    /// Goes into [`crate::outer::Frame::session`].
    #[prost(bytes = "vec", tag = "1")]
    pub session: Vec<u8>,
    /// Goes into [`crate::outer::Frame::envoy`].
    #[prost(bytes = "vec", tag = "2")]
    pub envoy: Vec<u8>,
    /// Goes into [`crate::outer::Frame::payload`].
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
    /// Answer within this, whatever happens.
    #[prost(uint64, tag = "4")]
    pub deadline_ms: u64,
}

/// What the server sent.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Relayed {
    /// The bytes as they came.
    #[prost(bytes = "vec", tag = "1")]
    pub bytes: Vec<u8>,
}

/// It could not be done.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Error {
    /// What kind.
    #[prost(enumeration = "Kind", tag = "1")]
    pub kind: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub text: String,
}

/// What kind of failure. The worker's word on it is a hint, never a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    /// A fault of Vigo.
    Bug = 0,
    /// No connection; nothing was sent, or sending again does no harm.
    Unreachable = 1,
    /// The server refused the call.
    Refused = 2,
    /// No connection, or no answer, before the deadline; nothing was sent, or sending again does no harm.
    Timeout = 3,
    /// The server does not know the session: make a new one.
    UnknownSession = 4,
    /// The other end is not the server, or its TLS is not good enough; nothing was sent.
    Tls = 5,
    /// The frame may or may not have reached the server: make a new session.
    UnknownOutcome = 6,
    /// The answer is larger than any right one.
    TooLarge = 7,
    /// The server is there and cannot take it now: come back later, with a new session.
    Busy = 8,
}

impl From<Error> for Failure {
    /// A kind of a newer worker is taken for a fault; the text is made fit for a terminal.
    fn from(error: Error) -> Self {
        let text = error.text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        Self { kind: error.kind(), text: text.take(1000).collect() }
    }
}
