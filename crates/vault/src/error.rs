//! Why a vault does not open, or does not do what it was asked.

use std::io;
use std::path::PathBuf;
use vigo_base::{Blame, SecretPath};
use vigo_hand::HandError;

/// Why a vault does not open, or does not do what it was asked. No variant holds a byte of a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// There is none.
    #[error("cannot open the vault `{}`: there is none; `vigocli secrets --vault '{}' set PATH` makes one", path.display(), path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds something else.
    #[error("cannot open the vault `{}`: the folder holds something else ({found}); name an empty folder or one that does not exist yet", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What was found, or is missing.
        found: &'static str,
    },
    /// Others may read or change it.
    #[error("cannot open the vault: `{}` is open to others (mode {mode:04o}); run `chmod go= '{}'`", path.display(), path.display())]
    Exposed {
        /// The folder or file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another process works on it.
    #[error("cannot open the vault `{}`: another program works on it; try again", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// It was changed by something that is not Vigo.
    #[error("cannot trust the vault: `{}` {why}; put back the last good copy of the whole folder", path.display())]
    Edited {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: &'static str,
    },
    /// An older state of it was put back.
    #[error(
        "cannot trust the vault: it was at change {seen} before and its manifest is of change {found}, so an older copy was put back; \
         put back the newer one, or accept this one with `vigocli secrets --vault '{}' accept-rollback`", path.display()
    )]
    RolledBack {
        /// The folder.
        path: PathBuf,
        /// The change that it had come to.
        seen: u64,
        /// The change of the manifest.
        found: u64,
    },
    /// It is what it was left as: there is nothing to accept.
    #[error("cannot accept an older copy: the vault `{}` is the one that was written last", path.display())]
    NotRolledBack {
        /// The folder.
        path: PathBuf,
    },
    /// Its manifest is under a master key that is not there.
    #[error(
        "cannot trust the vault: `{}` is under another master key than the one in `keys`, so one of the two is an older copy; \
         put back the copies that belong together", path.display()
    )]
    OtherKey {
        /// The manifest.
        path: PathBuf,
    },
    /// It is under a passphrase that cannot be asked for.
    #[error("cannot open the vault `{}`: it is under a passphrase, which cannot be asked for", path.display())]
    Passphrase {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A newer Vigo wrote it.
    #[error(
        "cannot open the vault: its format is {found} and this program knows {known}; use the newer one again"
    )]
    Newer {
        /// Its format.
        found: u32,
        /// What is known.
        known: u32,
    },
    /// No such secret.
    #[error("cannot find the secret `{0}` in the vault")]
    NoSecret(SecretPath),
    /// More than a vault takes.
    #[error("cannot store `{0}`: the vault is full ({max} bytes of names and versions)", max = crate::folder::MANIFEST)]
    Full(SecretPath),
    /// A file.
    #[error("cannot {doing} `{}`", path.display())]
    File {
        /// `read`, `write`, `make`, `remove`.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The hand says no.
    #[error(transparent)]
    Hand(#[from] HandError),
    /// The kernel gives no random bytes.
    #[error(transparent)]
    Random(#[from] vigo_wire::WireError),
}

impl VaultError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Missing { .. }
            | Self::Foreign { .. }
            | Self::Exposed { .. }
            | Self::Newer { .. }
            | Self::NotRolledBack { .. }
            | Self::Passphrase { .. }
            | Self::NoSecret(_)
            | Self::Full(_) => Blame::Operator,
            Self::InUse { .. }
            | Self::Edited { .. }
            | Self::RolledBack { .. }
            | Self::OtherKey { .. }
            | Self::File { .. }
            | Self::Random(_) => Blame::Machine,
            Self::Hand(error) => error.blame(),
        }
    }
}
