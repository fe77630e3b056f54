//! Putting a file in its place so that a kill at any moment leaves the old file or the new one, and nothing that is not removed at the next start.
//!
//! Knows nothing of secrets: the hand uses it for targets with a secret, `vigo-host` for ordinary ones. The content comes from a closure.
//!
//! A candidate has its final owner, mode, access list and label before its first byte, and no name. A new target is linked straight to its
//! name. An existing one cannot be linked over (link(2), EEXIST), so the candidate is linked as `.vigo-<hex>` beside it and renamed over it;
//! that name was written to the state folder first ([`Intents`]), so the next start can remove it.

mod intents;
mod place;
mod step;
#[cfg(test)]
mod tests;

pub use crate::types::Placed;
pub use intents::{Intents, Recovered};
pub(crate) use place::placed as stamp_of;
pub use place::{Content, Staged, create, place, stage};

use std::io;
use vigo_base::{AbsolutePath, Blame, Mode};

/// Where a file is to stand, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its path. The last part is never followed if it is a symbolic link.
    pub path: AbsolutePath,
    /// Its mode.
    pub mode: Mode,
    /// Its owner; `None`: that of the file that is there, or ours.
    pub owner: Option<u32>,
    /// Its group; likewise.
    pub group: Option<u32>,
    /// Write into the file that is there instead of replacing it. A kill can then leave half of it.
    pub in_place: bool,
    /// Only owner, group and mode say who may read it: no access list (acl(5)) goes over from the file that is there, and none from its folder.
    pub closed: bool,
    /// When it is on disk.
    pub durability: Durability,
}

/// When a file is on disk. After a kill it is whole in any case; this is about the power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When [`place`] returns.
    #[default]
    Each,
    /// When whoever places many has synced the file system.
    Later,
}

/// Why a file could not be put in its place. The target is as it was, unless it was to be written in place.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The folder of the target.
    #[error("cannot open the folder of `{path}`")]
    Folder {
        /// The target.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// A symbolic link stands there.
    #[error(
        "cannot replace `{0}`: it is a symbolic link; manage it as `symlink`, or the file that it points to"
    )]
    Link(String),
    /// Something else than a file stands there.
    #[error("cannot replace `{0}`: it is not a file")]
    NotAFile(String),
    /// It has other names, which would go on to show the old content.
    #[error(
        "cannot replace `{path}`: it has {links} hard links, which a replacement would part; write `in_place: true` to change it under all its names"
    )]
    Linked {
        /// The target.
        path: String,
        /// Its names.
        links: u64,
    },
    /// It is a mount of its own, which cannot be renamed over.
    #[error(
        "cannot replace `{0}`: it is bind-mounted; write `in_place: true` to change the file that is mounted there"
    )]
    Mounted(String),
    /// It is written in place, so there is no candidate to look at first.
    #[error("cannot look at the content of `{0}` before it is there: it is written in place")]
    InPlace(String),
    /// There was no such file, and now there is one.
    #[error("cannot create `{0}`: there is such a file by now")]
    Appeared(String),
    /// It belongs to somebody whom nobody named, and would get a secret.
    #[error(
        "cannot put a secret into `{path}`: it belongs to the user {owner} by now, whom the policy does not name"
    )]
    Stranger {
        /// The target.
        path: String,
        /// Whose it is.
        owner: u32,
    },
    /// Others could read it before it is to get a secret in place.
    #[error(
        "cannot write a secret into `{0}` in place: others could read it, and who has it open would read the secret; leave `in_place` out, or remove the file first"
    )]
    WasOpen(String),
    /// A step failed.
    #[error("cannot {action} `{path}`")]
    Step {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The intents in the state folder.
    #[error("cannot {action} in the folder of intents")]
    Intent {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl TargetError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Link(_)
            | Self::NotAFile(_)
            | Self::Linked { .. }
            | Self::Mounted(_)
            | Self::InPlace(_)
            | Self::WasOpen(_)
            | Self::Stranger { .. } => Blame::Author,
            Self::Folder { .. } | Self::Appeared(_) | Self::Step { .. } | Self::Intent { .. } => {
                Blame::Machine
            }
        }
    }

    /// The error with its causes, on one line.
    #[must_use]
    pub fn full_text(&self) -> String {
        match self {
            Self::Folder { source, .. } | Self::Step { source, .. } | Self::Intent { source, .. } => {
                format!("{self}: {source}")
            }
            _ => self.to_string(),
        }
    }
}
