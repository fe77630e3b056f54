//! The outer protocol: what the worker and the server say over gRPC and TLS. It carries what it cannot read.
//!
//! Unary calls of the service `vigo.v1.Relay`: `Enrol(Bytes) -> Bytes` without a client certificate, `Exchange(Frame) -> Frame` with one.
//! Neither side's TLS identity proves anything to the protocol inside. The transport itself is left to `agent-net` and `server`.

use vigo_base::limits;

/// The gRPC service.
pub const SERVICE: &str = "vigo.v1.Relay";
/// HTTP path of `Enrol`.
pub const ENROL: &str = "/vigo.v1.Relay/Enrol";
/// HTTP path of `Exchange`.
pub const EXCHANGE: &str = "/vigo.v1.Relay/Exchange";
/// The ALPN protocol of gRPC (RFC 9113).
pub const ALPN: &[u8] = b"h2";
/// The port when none is written.
pub const PORT: u16 = 1530;
/// An encoded [`Frame`] has at most so many bytes.
pub const FRAME_LIMIT: usize = crate::session::SEALED_LIMIT + 64;
/// An encoded [`Bytes`] has at most so many bytes.
pub const ENROL_LIMIT: usize = limits::ENROL_MESSAGE + 16;
/// Length of a session's id.
pub const SESSION_ID: usize = 16;

/// An enrolment request or its answer ([`crate::enrol`]).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Bytes {
    /// The encoded message.
    #[prost(bytes = "vec", tag = "1")]
    pub data: Vec<u8>,
}

/// One frame of an inner session. The first of a session carries the handshake's first message, its answer the second; each later one
/// carries what [`crate::session::Session::send`] gave.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Frame {
    /// 16 random bytes that the node chose for this session. Unknown to the server: gRPC status `FAILED_PRECONDITION`.
    #[prost(bytes = "vec", tag = "1")]
    pub session: Vec<u8>,
    /// The envoy's id: tells the server which key to expect, and proves nothing.
    #[prost(bytes = "vec", tag = "2")]
    pub envoy: Vec<u8>,
    /// The bytes of the inner session.
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
}
