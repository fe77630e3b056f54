//! The assignment: what is signed for one envoy.

use crate::node::Entry;

/// The format that this build writes.
pub const FORMAT: u32 = 1;

/// Says which bundle one envoy is to apply. Its encoded bytes are what is signed; decode them only after the signature was verified.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Assignment {
    /// [`FORMAT`] of who wrote it.
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// SHA-256 of the trust anchor's public key.
    #[prost(bytes = "vec", tag = "2")]
    pub anchor: Vec<u8>,
    /// The envoy's id, 16 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub envoy: Vec<u8>,
    /// The envoy's name.
    #[prost(string, tag = "4")]
    pub name: String,
    /// Its environment; empty for none.
    #[prost(string, tag = "5")]
    pub environment: String,
    /// Labels bound at enrolment.
    #[prost(message, repeated, tag = "6")]
    pub labels: Vec<Label>,
    /// Variables that differ from those of the shared bundle.
    #[prost(message, repeated, tag = "7")]
    pub parameters: Vec<Entry>,
    /// Raised by a restore or a failover that may have lost commits.
    #[prost(uint64, tag = "8")]
    pub term: u64,
    /// Rises with every assignment of this envoy.
    #[prost(uint64, tag = "9")]
    pub generation: u64,
    /// SHA-256 of the bundle's bytes.
    #[prost(bytes = "vec", tag = "10")]
    pub bundle: Vec<u8>,
    /// The publish that it comes from; 0 before the first.
    #[prost(uint64, tag = "11")]
    pub publish: u64,
    /// Rises whenever a secret that this envoy is entitled to changes.
    #[prost(uint64, tag = "12")]
    pub secrets_epoch: u64,
    /// Seconds since 1970, by the server's clock.
    #[prost(uint64, tag = "13")]
    pub issued_at: u64,
    /// True when no match block fits this envoy.
    #[prost(bool, tag = "14")]
    pub unmatched: bool,
}

/// A label bound to an envoy at enrolment.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// An assignment with the signature over its bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SignedAssignment {
    /// An encoded [`Assignment`].
    #[prost(bytes = "vec", tag = "1")]
    pub assignment: Vec<u8>,
    /// The bundle key's public half; it must be one that the anchor certified.
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    /// Ed25519 (RFC 8032) over the context `vigo assignment v1` and the bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub signature: Vec<u8>,
}

/// A bundle key, certified by the trust anchor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyCertificate {
    /// The public key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// What it may be used for: `bundle`, `entry` or `session`.
    #[prost(string, tag = "2")]
    pub purpose: String,
    /// Seconds since 1970 from which it is good.
    #[prost(uint64, tag = "3")]
    pub not_before: u64,
    /// Seconds since 1970 after which it is not.
    #[prost(uint64, tag = "4")]
    pub not_after: u64,
    /// The anchor's signature over the context `vigo key certificate v1` and this message without the signature.
    #[prost(bytes = "vec", tag = "5")]
    pub signature: Vec<u8>,
}
