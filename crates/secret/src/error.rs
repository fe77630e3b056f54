//! What can go wrong with the bytes of a secret. No variant holds one of them, nor its length.

use vigo_base::Blame;

/// Why something could not be done to a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// A sealed value does not open.
    #[error(
        "cannot open a sealed value: it was sealed to another key, or for another envoy, path, version, epoch or request"
    )]
    Seal,
    /// A public key is none.
    #[error("cannot seal to this public key: it is no X25519 key")]
    PublicKey,
    /// A vault record does not open.
    #[error(
        "cannot open a vault record: it was changed, belongs to another path or version, or another master key made it"
    )]
    Record,
    /// A vault record of a newer format.
    #[error("cannot read a vault record of format {0}: this build knows formats up to {RECORD_FORMAT}", RECORD_FORMAT = crate::RECORD_FORMAT)]
    RecordFormat(u8),
    /// Wrapped bytes do not open.
    #[error("cannot unwrap: it was changed, was wrapped for another purpose, or another master key made it")]
    Wrapped,
    /// A text that is no master key.
    #[error("cannot read the master key: {0}")]
    MasterKey(&'static str),
    /// A passphrase cannot be tried in so little memory.
    #[error(
        "cannot try the passphrase: that takes {0} KiB of protected memory in one piece; raise RLIMIT_MEMLOCK (`ulimit -l`, LimitMEMLOCK=)"
    )]
    NoMemory(u32),
    /// A filter that cannot take this value.
    #[error("cannot apply the filter `{filter}`: {why}")]
    Filter {
        /// The filter's name.
        filter: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// An alphabet or a length from which no value is made.
    #[error("cannot generate a value: {0}")]
    Generate(&'static str),
    /// The values hold so many different bytes that no mask can stand for them.
    #[error("cannot scrub output: no mask is free of the secrets' own bytes")]
    NoMask,
    /// The kernel gives no random bytes.
    #[error("cannot get random bytes from the kernel")]
    Random,
}

impl SecretError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Seal | Self::PublicKey => Blame::Peer,
            Self::Record
            | Self::RecordFormat(_)
            | Self::Wrapped
            | Self::Random
            | Self::NoMask
            | Self::NoMemory(_) => Blame::Machine,
            Self::MasterKey(_) | Self::Generate(_) => Blame::Operator,
            Self::Filter { .. } => Blame::Author,
        }
    }
}
