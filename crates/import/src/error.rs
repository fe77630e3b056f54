//! Why a file cannot be imported. No variant holds a byte of a value: names, lines and numbers only.

use vigo_base::Blame;

/// Why a file cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is nothing that is known here.
    #[error("cannot tell what kind of file this is: {0}; say it with `--format age|sops|ansible|env`")]
    Unknown(&'static str),
    /// It is not what it was said to be.
    #[error("cannot read this as {0}: it does not begin like one, or lacks what every such file has")]
    NotThis(&'static str),
    /// It is not well-formed.
    #[error("cannot read this as {format}: {why}{}", place(*line))]
    Malformed {
        /// As what it was read.
        format: &'static str,
        /// The line, from 1; 0 where lines say nothing.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// What authenticates it does not fit.
    #[error("cannot open this {0} file: it was changed or cut off since it was encrypted")]
    Damaged(&'static str),
    /// A value inside it is not what was encrypted there.
    #[error("cannot open `{key}`: it was changed, or moved to another place in the file")]
    DamagedValue {
        /// Its name.
        key: String,
    },
    /// The identity is none of those that it was encrypted to.
    #[error(
        "cannot open this file: none of the identities given is one that it was encrypted to ({0} recipients)"
    )]
    OtherIdentity(usize),
    /// It takes an identity.
    #[error("cannot open this file without an age identity: name its file with `--identity-file`")]
    NoIdentity,
    /// It takes a passphrase.
    #[error("cannot open this file without its passphrase")]
    NoPassphrase,
    /// The passphrase is another.
    #[error("cannot open this file: the passphrase is another, or the file was changed{}", of(.0))]
    OtherPassphrase(String),
    /// Trying a passphrase takes too long.
    #[error("cannot try the passphrase: the file asks for 2^{found} steps of scrypt and 2^{most} are the limit", most = crate::age::WORK)]
    Work {
        /// The work factor of the file.
        found: u32,
    },
    /// There is no memory for it.
    #[error(
        "cannot try the passphrase in so little protected memory; raise RLIMIT_MEMLOCK (`ulimit -l`, LimitMEMLOCK=)"
    )]
    NoMemory,
    /// An age file for recipients that are not known here.
    #[error(
        "cannot open this age file: it is encrypted to {0}, and only X25519 identities (`AGE-SECRET-KEY-1..`) and passphrases are known here; \
         decrypt it with age into a pipe, and set the value from there"
    )]
    Recipients(String),
    /// A text that is no age identity.
    #[error("cannot read the identity file: {why}{}", place(*line))]
    Identity {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// A sops file whose data key is not under age.
    #[error(
        "cannot open this sops file: its data key is under {0}, and only age is known here; add an age recipient with `sops rotate --add-age`"
    )]
    Service(String),
    /// Two values of one name.
    #[error("cannot import a file that has `{key}` twice")]
    Duplicate {
        /// The name.
        key: String,
    },
    /// One of its values.
    #[error("cannot import `{key}`: {why}")]
    Value {
        /// Its name.
        key: String,
        /// Why not.
        why: &'static str,
    },
    /// Asked for by name, and not there.
    #[error("cannot find `{0}` in the file")]
    NoSuchKey(String),
    /// Nothing to import.
    #[error("cannot import this file: it holds no value that is a secret")]
    NoValues,
    /// More than is taken.
    #[error("cannot import this file: {most} {what} are the limit")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many.
        most: usize,
    },
}

fn place(line: usize) -> String {
    if line == 0 { String::new() } else { format!(" (line {line})") }
}

fn of(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!(" (`{what}`)") }
}

impl ImportError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::NoMemory => Blame::Machine,
            _ => Blame::Operator,
        }
    }

    /// It is about the value of that name.
    pub(crate) fn about(self, key: &str) -> Self {
        match self {
            Self::OtherPassphrase(label) if label.is_empty() => Self::OtherPassphrase(key.into()),
            Self::OtherPassphrase(label) => Self::OtherPassphrase(format!("{key}, label {label}")),
            Self::Malformed { why, .. } | Self::NotThis(why) => Self::Value { key: key.into(), why },
            other => other,
        }
    }
}
