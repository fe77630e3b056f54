//! Secrets as the store sees them: names, versions, and records that only the hand can open.

use vigo_base::{SecretPath, SecretVersion};

/// A new version of a secret.
#[derive(Clone, Copy)]
pub struct NewSecret<'a> {
    /// The path.
    pub path: &'a SecretPath,
    /// It must be the next one: see [`crate::Store::next_secret_version`].
    pub version: SecretVersion,
    /// The record that the hand made for this path and version.
    pub record: &'a [u8],
    /// When.
    pub at: u64,
    /// By whom.
    pub by: &'a str,
}

/// A secret that has a current version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The path.
    pub path: SecretPath,
    /// The current version.
    pub version: SecretVersion,
    /// How many versions are kept.
    pub versions: u64,
    /// When the current version came.
    pub updated_at: u64,
    /// By whom.
    pub updated_by: String,
    /// When anybody last got a value of it; `None` for never. What the last seconds before a crash brought may be lost here, not in the audit log.
    pub used_at: Option<u64>,
}

/// The sealed bytes of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRecord {
    /// The version.
    pub version: SecretVersion,
    /// The record, for the hand.
    pub record: Vec<u8>,
}

/// What a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionState {
    /// What envoys get.
    Current,
    /// An older one that is kept.
    Kept,
    /// Removed: its record is gone, its number is not used again.
    Removed,
}

impl VersionState {
    /// The word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Kept => "kept",
            Self::Removed => "removed",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Current, Self::Kept, Self::Removed].into_iter().find(|state| state.as_str() == text)
    }
}

/// One version in the history of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretHistory {
    /// The version.
    pub version: SecretVersion,
    /// When it came.
    pub at: u64,
    /// By whom.
    pub by: String,
    /// What it is now.
    pub state: VersionState,
}

/// Something happened to a secret. Numbers rise over all secrets, without reuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretChange {
    /// The number of the change.
    pub change: u64,
    /// The secret.
    pub path: SecretPath,
    /// Its current version since; `None` when it was removed.
    pub version: Option<SecretVersion>,
}
