//! The messages of an enrolment.

use crate::assignment::KeyCertificate;

/// From the node.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EnrolRequest {
    /// [`super::FORMAT`] of who wrote it.
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// The token's id, 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub token: Vec<u8>,
    /// The name it asks for.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Its Ed25519 public key.
    #[prost(bytes = "vec", tag = "4")]
    pub identity: Vec<u8>,
    /// Its X25519 public key.
    #[prost(bytes = "vec", tag = "5")]
    pub exchange: Vec<u8>,
    /// A certificate request (PKCS #10, DER) by the worker's transport key.
    #[prost(bytes = "vec", tag = "6")]
    pub certificate_request: Vec<u8>,
    /// 32 random bytes.
    #[prost(bytes = "vec", tag = "7")]
    pub nonce: Vec<u8>,
    /// By the identity key, in the context `vigo enrol request v1`, over this message without signature and MAC.
    #[prost(bytes = "vec", tag = "8")]
    pub signature: Vec<u8>,
    /// HMAC-SHA256 by the token's key over this message without the MAC.
    #[prost(bytes = "vec", tag = "9")]
    pub mac: Vec<u8>,
    /// The token stood on a command line: it must be for a single use within an hour.
    #[prost(bool, tag = "10")]
    pub token_on_command_line: bool,
}

/// From the server.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EnrolReply {
    /// Yes or no.
    #[prost(oneof = "Outcome", tags = "1, 2")]
    pub outcome: Option<Outcome>,
}

/// The kinds of [`EnrolReply`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Outcome {
    /// Yes.
    #[prost(message, boxed, tag = "1")]
    Granted(Box<EnrolAnswer>),
    /// No.
    #[prost(message, tag = "2")]
    Refused(EnrolRefused),
}

/// What an enrolled node needs to know.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EnrolAnswer {
    /// [`super::FORMAT`] of who wrote it.
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// The request's nonce.
    #[prost(bytes = "vec", tag = "2")]
    pub nonce: Vec<u8>,
    /// SHA-256 of the request's bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub request: Vec<u8>,
    /// The envoy's id, 16 bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub envoy: Vec<u8>,
    /// The envoy's name.
    #[prost(string, tag = "5")]
    pub name: String,
    /// The trust anchor's public key: its digest stands in the token.
    #[prost(bytes = "vec", tag = "6")]
    pub anchor: Vec<u8>,
    /// The transport certificate and its chain (X.509, DER each).
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub chain: Vec<Vec<u8>>,
    /// The authority's own certificate (X.509, DER).
    #[prost(bytes = "vec", tag = "8")]
    pub authority: Vec<u8>,
    /// Bundle keys, certified by the anchor.
    #[prost(message, repeated, tag = "9")]
    pub keys: Vec<KeyCertificate>,
    /// The server's X25519 key of the inner session, certified by the anchor.
    #[prost(message, optional, tag = "10")]
    pub session: Option<KeyCertificate>,
    /// The server's term.
    #[prost(uint64, tag = "11")]
    pub term: u64,
    /// The first generation that may be taken.
    #[prost(uint64, tag = "12")]
    pub generation: u64,
    /// The server's clock, seconds since 1970.
    #[prost(uint64, tag = "13")]
    pub server_time: u64,
    /// By the anchor, in the context `vigo enrol answer v1`, over this message without signature and MAC.
    #[prost(bytes = "vec", tag = "14")]
    pub signature: Vec<u8>,
    /// HMAC-SHA256 by the token's key over this message without the MAC.
    #[prost(bytes = "vec", tag = "15")]
    pub mac: Vec<u8>,
}

/// No, and why.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EnrolRefused {
    /// One of [`RefusalCode`].
    #[prost(string, tag = "1")]
    pub code: String,
    /// For people: what and what to do.
    #[prost(string, tag = "2")]
    pub message: String,
    /// The request's nonce.
    #[prost(bytes = "vec", tag = "3")]
    pub nonce: Vec<u8>,
    /// HMAC-SHA256 by the token's key over this message without the MAC; empty where the server knows no such token.
    #[prost(bytes = "vec", tag = "4")]
    pub mac: Vec<u8>,
}

/// Why an enrolment is refused. Words are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// No such token here: another server, or deleted.
    UnknownToken,
    /// The MAC does not fit: the token's line was changed.
    WrongToken,
    /// Every use of the token is spent.
    SpentToken,
    /// The token's time is over.
    ExpiredToken,
    /// The token is not for this name.
    NameNotAllowed,
    /// The name has a living id.
    NameTaken,
    /// The request makes no sense.
    Malformed,
    /// Waits for an operator's approval: ask again later with the same request.
    Pending,
    /// An operator said no.
    Rejected,
    /// Not now: ask again later with the same request.
    Busy,
    /// The token stood on a command line and is good for more than a single use within an hour.
    TokenExposed,
}

impl RefusalCode {
    /// Every code.
    pub const ALL: [Self; 11] = [
        Self::UnknownToken,
        Self::WrongToken,
        Self::SpentToken,
        Self::ExpiredToken,
        Self::NameNotAllowed,
        Self::NameTaken,
        Self::Malformed,
        Self::Pending,
        Self::Rejected,
        Self::Busy,
        Self::TokenExposed,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownToken => "unknown-token",
            Self::WrongToken => "wrong-token",
            Self::SpentToken => "spent-token",
            Self::ExpiredToken => "expired-token",
            Self::NameNotAllowed => "name-not-allowed",
            Self::NameTaken => "name-taken",
            Self::Malformed => "malformed",
            Self::Pending => "pending",
            Self::Rejected => "rejected",
            Self::Busy => "busy",
            Self::TokenExposed => "token-exposed",
        }
    }

    /// The code of that word.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// True if the same request may succeed later.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Pending | Self::Busy)
    }
}
