//! What can go wrong with something that crossed a process border. Whose fault it is decides what the caller does about it.

use vigo_base::{Blame, Digest, EnvoyId};

/// Why something that crossed a process border is not taken. No variant holds a byte of a key, a token or a value.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// No protobuf message of that kind.
    #[error("cannot decode {what}")]
    Decode {
        /// What it should have been.
        what: &'static str,
        /// Where the decoder stopped.
        source: prost::DecodeError,
    },
    /// More bytes than the limit says.
    #[error("cannot take {what}: it has {size} bytes, {limit} are the limit")]
    TooLarge {
        /// What it should have been.
        what: &'static str,
        /// Its size, as far as it was looked at.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A field that must not be so.
    #[error("cannot take {what}: {why}")]
    Malformed {
        /// What it should have been.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A newer format than this build knows.
    #[error("cannot read {what} of format {found}: this build knows formats up to {known}; upgrade it")]
    Format {
        /// What it is.
        what: &'static str,
        /// Its format.
        found: u32,
        /// The newest known one.
        known: u32,
    },
    /// The signature does not fit the bytes, the context and the key.
    #[error("cannot verify the signature of {what}")]
    Signature {
        /// What was signed.
        what: &'static str,
    },
    /// No certificate of the anchor for this key and this purpose.
    #[error("cannot trust the key that signed {what}: the trust anchor did not certify it for this")]
    Uncertified {
        /// What was signed, or what the key is for.
        what: &'static str,
    },
    /// A key certificate outside its time.
    #[error(
        "cannot use a key certificate that is good from {not_before} to {not_after} at {time} (seconds since 1970)"
    )]
    CertificateTime {
        /// First second.
        not_before: u64,
        /// Last second.
        not_after: u64,
        /// The time it was checked for.
        time: u64,
    },
    /// It belongs to another trust anchor.
    #[error("cannot take {what}: it belongs to the trust anchor {found}, not to {expected}")]
    OtherAnchor {
        /// What it is.
        what: &'static str,
        /// The anchor it names.
        found: String,
        /// The anchor that is trusted.
        expected: Digest,
    },
    /// It was made for another envoy.
    #[error("cannot take {what}: it is for the envoy {found}, not for {expected}")]
    OtherEnvoy {
        /// What it is.
        what: &'static str,
        /// The envoy it names.
        found: String,
        /// Who this is.
        expected: EnvoyId,
    },
    /// A bundle that is not the one of the assignment.
    #[error("cannot take a bundle with the digest {found}: the assignment names {expected}")]
    BundleDigest {
        /// Digest of the bytes.
        found: Digest,
        /// Digest in the assignment.
        expected: Digest,
    },
    /// The handshake of the inner session failed: another key, anchor, envoy or version.
    #[error("cannot set up the inner session: the other side does not hold the key it should")]
    Handshake,
    /// A frame of the inner session was changed, replayed, reordered or lost. The session is over.
    #[error(
        "cannot open a frame of the inner session: it was changed, replayed, or one before it is missing"
    )]
    Frame,
    /// The session ended by an earlier failure.
    #[error("cannot use an inner session that failed before")]
    Poisoned,
    /// The session is too old.
    #[error("cannot use an inner session that is {age_s} s old: {limit_s} s are the limit")]
    Expired {
        /// How old it is.
        age_s: u64,
        /// How old it may be.
        limit_s: u64,
    },
    /// A text that is no enrolment token. Holds nothing of it.
    #[error("cannot read the enrolment token: {0}")]
    Token(&'static str),
    /// The MAC of an enrolment message does not fit.
    #[error("cannot verify {what}: it was not made with this token")]
    Mac {
        /// What it is.
        what: &'static str,
    },
    /// The server refuses the enrolment.
    #[error("cannot enrol ({code}): {message}")]
    Refused {
        /// One of [`crate::enrol::RefusalCode`], or a word of a newer server.
        code: String,
        /// For people; control characters were taken out.
        message: String,
        /// True if it carries a MAC with the token: then the server said it, not somebody on the way.
        proven: bool,
    },
    /// A file that holds no identity of a node.
    #[error("cannot read the node identity: {0}")]
    Identity(&'static str),
    /// The other process closed the pipe.
    #[error("cannot go on with {what}: the other process ended")]
    Closed {
        /// Which pipe.
        what: &'static str,
    },
    /// The other process did not answer in time.
    #[error("cannot wait longer for {what}")]
    Timeout {
        /// Which pipe.
        what: &'static str,
    },
    /// The pipe failed.
    #[error("cannot {action}")]
    Pipe {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The kernel gives no random bytes.
    #[error("cannot get random bytes from the kernel: {0}")]
    Random(String),
    /// The worker could not do it.
    #[error("{0}")]
    Worker(#[from] crate::worker::Failure),
}

impl WireError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Token(_) => Blame::Operator,
            Self::Refused { .. } => Blame::Permission,
            Self::Closed { .. }
            | Self::Timeout { .. }
            | Self::Pipe { .. }
            | Self::Random(_)
            | Self::Identity(_) => Blame::Machine,
            Self::Worker(failure) => failure.blame(),
            Self::Decode { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Format { .. }
            | Self::Signature { .. }
            | Self::Uncertified { .. }
            | Self::CertificateTime { .. }
            | Self::OtherAnchor { .. }
            | Self::OtherEnvoy { .. }
            | Self::BundleDigest { .. }
            | Self::Handshake
            | Self::Frame
            | Self::Poisoned
            | Self::Expired { .. }
            | Self::Mac { .. } => Blame::Peer,
        }
    }
}

/// Decodes a message that came over a border: bounded, and with its name in the error.
pub(crate) fn decode<M: prost::Message + Default>(
    what: &'static str,
    bytes: &[u8],
    limit: usize,
) -> Result<M, WireError> {
    check_size(what, bytes.len(), limit)?;
    M::decode(bytes).map_err(|source| WireError::Decode { what, source })
}

/// Refuses what has more bytes than `limit`.
pub(crate) const fn check_size(what: &'static str, size: usize, limit: usize) -> Result<(), WireError> {
    if size > limit { Err(WireError::TooLarge { what, size, limit }) } else { Ok(()) }
}

/// Takes a field as an array of its only right length.
pub(crate) fn array<const N: usize>(
    what: &'static str,
    why: &'static str,
    bytes: &[u8],
) -> Result<[u8; N], WireError> {
    bytes.try_into().map_err(|_| WireError::Malformed { what, why })
}
