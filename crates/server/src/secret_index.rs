//! Which secrets there are and when each last changed, in memory: names and numbers only. The store stays the truth.

use crate::ServerError;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use vigo_base::SecretPath;
use vigo_store::Store;

/// Changes read at once.
const BATCH: usize = 1000;

/// All secrets as they are in one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The number of the last change of any secret.
    pub change: u64,
    by_path: BTreeMap<SecretPath, Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// 0 when there is none any more.
    version: u64,
    changed_at: u64,
}

impl Snapshot {
    /// The current version; 0 when there is no such secret.
    #[must_use]
    pub fn version(&self, path: &SecretPath) -> u64 {
        self.by_path.get(path).map_or(0, |known| known.version)
    }

    /// The number of its last change; 0 when there never was one.
    #[must_use]
    pub fn changed_at(&self, path: &SecretPath) -> u64 {
        self.by_path.get(path).map_or(0, |known| known.changed_at)
    }

    /// Every path that has a current version.
    pub fn paths(&self) -> impl Iterator<Item = &SecretPath> {
        self.by_path.iter().filter(|(_, known)| known.version > 0).map(|(path, _)| path)
    }
}

/// The index.
#[derive(Default)]
pub struct SecretIndex {
    current: RwLock<Arc<Snapshot>>,
}

impl SecretIndex {
    /// As it is now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads every change since the last one that is known; true if there was one. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn catch_up(&self, store: &dyn Store) -> Result<bool, ServerError> {
        let mut next = Snapshot::clone(&self.snapshot());
        loop {
            let changes = store.secret_changes(next.change, BATCH)?;
            let more = changes.len() == BATCH;
            for change in changes {
                let version = change.version.map_or(0, |version| version.0);
                next.change = next.change.max(change.change);
                next.by_path.insert(change.path, Known { version, changed_at: change.change });
            }
            if !more {
                break;
            }
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = next.change > current.change;
        if is_news {
            *current = Arc::new(next);
        }
        Ok(is_news)
    }
}
