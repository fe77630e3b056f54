//! Why the store did not do what it was asked, and whose fault that is.

use std::path::PathBuf;
use vigo_base::Blame;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file or its folder is not to be had.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Others may read it.
    #[error("cannot open `{}`: others may read it (mode {mode:04o}); run `chmod go= '{}'`", path.display(), path.display())]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another process has it.
    #[error("cannot open `{}`: another vigosrv has it open", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A newer Vigo wrote it.
    #[error("cannot open `{}`: its schema is {found} and this vigosrv knows up to {known}; install the newer vigosrv again", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest that this build knows.
        known: i64,
    },
    /// A database of something else.
    #[error("cannot open `{}`: it is no store of Vigo", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Its pages are damaged.
    #[error("cannot open `{}`: it is damaged ({detail}); restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        detail: String,
    },
    /// The database failed.
    #[error("cannot {doing}")]
    Database {
        /// What was to be done.
        doing: &'static str,
        /// Why not.
        source: rusqlite::Error,
    },
    /// What is stored cannot be read back as what it should be.
    #[error("cannot read the stored {what}: it is malformed")]
    Malformed {
        /// What.
        what: &'static str,
    },
    /// A cursor that no list gave.
    #[error("cannot list: the cursor is none that a list gave")]
    Cursor,
    /// Beyond a limit.
    #[error("cannot store the {what}: it is larger than {limit} bytes")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// More than there may be.
    #[error("cannot store more than {limit} {what}")]
    TooMany {
        /// What.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Somebody else changed the policies of secrets in between.
    #[error("cannot store revision {given} of the policies of secrets: the next one is {next}")]
    PolicyRevision {
        /// What was given.
        given: u64,
        /// What would fit.
        next: u64,
    },
    /// There is no such thing.
    #[error("cannot find the {what} `{name}`")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The store already belongs to a deployment, or is not empty.
    #[error("cannot found the deployment: the store is not empty")]
    NotEmpty,
    /// Somebody published in between.
    #[error("cannot publish on base {base}: {current} is current now")]
    StaleBase {
        /// What the caller built on.
        base: u64,
        /// What is current.
        current: u64,
    },
    /// The next version of a secret is another.
    #[error("cannot store version {given} of the secret `{path}`: the next one is {next}")]
    SecretVersion {
        /// The secret.
        path: String,
        /// What was given.
        given: u64,
        /// What would fit.
        next: u64,
    },
    /// An assignment that is not newer than the stored one.
    #[error("cannot store generation {given_term}.{given} of envoy `{envoy}`: {term}.{generation} is stored")]
    Generation {
        /// The envoy's id.
        envoy: String,
        /// The term given.
        given_term: u64,
        /// The generation given.
        given: u64,
        /// The stored term.
        term: u64,
        /// The stored generation.
        generation: u64,
    },
    /// No such token.
    #[error("cannot enrol: the token is unknown; ask for a new one (`vigocli token create`)")]
    TokenUnknown,
    /// The token's time is over.
    #[error("cannot enrol: the token is expired; ask for a new one (`vigocli token create`)")]
    TokenExpired,
    /// The token has no uses left.
    #[error("cannot enrol: the token is spent; ask for a new one (`vigocli token create`)")]
    TokenSpent,
    /// The name has a living id.
    #[error(
        "cannot enrol `{name}`: envoy {holder} has that name; run `vigocli envoys revoke {name}` first, or use a token made with `--replace`"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        holder: String,
    },
    /// The id was used before; ids never return.
    #[error("cannot enrol: the id {id} was used before")]
    IdUsed {
        /// The id.
        id: String,
    },
    /// Only what is revoked can be removed.
    #[error("cannot remove envoy `{name}`: it is not revoked; run `vigocli envoys revoke {name}` first")]
    NotRevoked {
        /// Its name.
        name: String,
    },
    /// What was read is not what is there any more.
    #[error("cannot replace what is under the master key: rows came or went meanwhile; try again")]
    Changed,
    /// A revoked envoy stays revoked.
    #[error("cannot change envoy `{name}`: it is revoked, and a revoked id never returns")]
    Revoked {
        /// Its name.
        name: String,
    },
}

impl StoreError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Open { .. } | Self::Damaged { .. } | Self::Database { .. } => Blame::Machine,
            Self::Exposed { .. }
            | Self::InUse { .. }
            | Self::Newer { .. }
            | Self::Foreign { .. }
            | Self::Cursor
            | Self::NotFound { .. }
            | Self::NotEmpty
            | Self::StaleBase { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::PolicyRevision { .. }
            | Self::SecretVersion { .. }
            | Self::NotRevoked { .. } => Blame::Operator,
            Self::TokenUnknown
            | Self::TokenExpired
            | Self::TokenSpent
            | Self::NameTaken { .. }
            | Self::Revoked { .. } => Blame::Permission,
            Self::Changed | Self::Malformed { .. } | Self::Generation { .. } | Self::IdUsed { .. } => {
                Blame::Bug
            }
        }
    }
}
