//! What outlives a run: debts of notification, what secrets resources were last applied with, and where secrets come from.

use std::collections::{BTreeMap, BTreeSet};
use vigo_base::{Digest, SecretPath, SecretVersion};
use vigo_resource::{Entry, Failure, Timestamp, Values};

/// Notifications that are owed. A debt is written before its source is changed and struck out when its target succeeded, so a kill in between loses none.
pub trait OwedStore {
    /// True if that target is owed a notification.
    fn is_owed(&self, target: &str) -> bool;
    /// Notes that `source` is about to change and these targets will have to hear of it. It must last when this returns.
    fn add(&mut self, source: &str, targets: &[&str]) -> Result<(), Failure>;
    /// The target heard of everything.
    fn strike(&mut self, target: &str) -> Result<(), Failure>;
}

/// What resources with secrets were last applied with. No values, and nothing computed from one.
pub trait AppliedStore {
    /// What is recorded of that resource.
    fn get(&self, id: &str) -> Option<AppliedRecord>;
    /// The secrets of all records, each once, in the order of their names.
    fn secrets(&self) -> Vec<SecretPath>;
    /// Records it.
    fn put(&mut self, id: &str, record: AppliedRecord) -> Result<(), Failure>;
}

/// What a resource with secrets was last applied with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedRecord {
    /// The versions, by path.
    pub secrets: Vec<(SecretPath, SecretVersion)>,
    /// Digest of the attributes, in which secrets stand by their names.
    pub attributes: Digest,
    /// The file that it made, as it was afterwards.
    pub target: Option<Stamp>,
}

/// What tells a file that nobody touched since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The device it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Its size.
    pub size: u64,
    /// When it or what is said of it was last changed (ctime; nobody can set it back).
    pub changed_at: Timestamp,
}

impl Stamp {
    /// The stamp of what stands at a path.
    #[must_use]
    pub const fn of(entry: &Entry) -> Self {
        Self { device: entry.device, inode: entry.inode, size: entry.size, changed_at: entry.changed_at }
    }
}

/// Where the values of secrets come from. They never come here: only word that the hand holds them.
pub trait Secrets: Values {
    /// Sees to it that the hand holds these values, or can hold them on demand; one answer per path, in that order. Asked at most once a run, and not at all when nothing needs a secret.
    fn obtain(&self, paths: &[SecretPath]) -> Vec<Result<SecretVersion, Failure>>;
    /// True if [`Secrets::obtain`] left the value of that secret for later, because what it stands in can be looked at without it.
    fn is_left_for_later(&self, path: &SecretPath) -> bool {
        let _ = path;
        false
    }
    /// Fetches those of these values that were left for later: a resource needs one of them after all.
    fn hold(&self, paths: &[SecretPath]) -> Result<(), Failure> {
        let _ = paths;
        Ok(())
    }
    /// The version that is current as far as is known, without fetching a value.
    fn version(&self, path: &SecretPath) -> Option<SecretVersion>;
    /// True if values are missing only because who has them cannot be reached now. Then, and only then, a file that nobody touched since it was applied is taken as right; a secret that was refused or removed blocks.
    fn is_away(&self) -> bool {
        false
    }
}

/// Stores that end with the process: for `apply` without a state folder, and for tests.
#[derive(Clone, Debug, Default)]
pub struct MemoryStores {
    /// Targets that are owed a notification.
    pub owed: BTreeSet<String>,
    /// What was applied.
    pub applied: BTreeMap<String, AppliedRecord>,
}

impl OwedStore for MemoryStores {
    fn is_owed(&self, target: &str) -> bool {
        self.owed.contains(target)
    }

    fn add(&mut self, _source: &str, targets: &[&str]) -> Result<(), Failure> {
        self.owed.extend(targets.iter().map(|target| (*target).to_owned()));
        Ok(())
    }

    fn strike(&mut self, target: &str) -> Result<(), Failure> {
        self.owed.remove(target);
        Ok(())
    }
}

impl AppliedStore for MemoryStores {
    fn get(&self, id: &str) -> Option<AppliedRecord> {
        self.applied.get(id).cloned()
    }

    fn secrets(&self) -> Vec<SecretPath> {
        let all = self.applied.values().flat_map(|record| &record.secrets);
        all.map(|(path, _)| path.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn put(&mut self, id: &str, record: AppliedRecord) -> Result<(), Failure> {
        self.applied.insert(id.to_owned(), record);
        Ok(())
    }
}
