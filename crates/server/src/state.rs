//! What the whole server shares. Each part has its own lock; none is held while another is taken, and none across anything that waits.

use crate::auth::Tokens;
use crate::bundles::Bundles;
use crate::fleet::Fleet;
use crate::held::HeldCheckIns;
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::published::Published;
use crate::rights::Rights;
use crate::secret_index::SecretIndex;
use crate::sessions::Sessions;
use crate::witness::Witness;
use crate::{ServerError, clock};
use prost::Message as _;
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::Semaphore;
use vigo_base::{Digest, EnvoyId, SecretPath, SecretVersion, chain};
use vigo_store::{NewAudit, SecretUse, Store, StoreError};
use vigo_wire::node::Node;

/// Denials written to the audit log in one second; more are counted and logged only, else whoever knocks could fill the disk.
const DENIALS_A_SECOND: u32 = 20;

/// The server.
pub struct Server {
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// The keys, and the hand behind them.
    pub keys: Keys,
    /// How far the store had come, beside the master key.
    pub witness: Witness,
    /// The authority's certificate.
    pub authority: CertificateDer<'static>,
    /// Envoys in memory.
    pub fleet: Fleet,
    /// Check-ins that are kept back while there is nothing new.
    pub held: HeldCheckIns,
    /// Inner sessions.
    pub sessions: Sessions,
    /// Names and versions of secrets.
    pub secrets: SecretIndex,
    /// Bundles in memory.
    pub bundles: Bundles,
    /// Tokens of operators.
    pub tokens: Tokens,
    /// The numbers.
    pub metrics: Metrics,
    /// Large bodies of the REST side, one after the other.
    pub large_bodies: Semaphore,
    published: RwLock<Arc<Published>>,
    publishing: Mutex<()>,
    changing_secrets: Mutex<()>,
    /// Revision, digest and MAC of the policies of secrets that were last found to be this server's.
    pub checked_policies: Mutex<Option<(u64, Digest, Vec<u8>)>>,
    secret_uses: Mutex<HashMap<(SecretPath, String), (SecretVersion, u64)>>,
    denials: Mutex<(u64, u32)>,
    started: Instant,
}

impl Server {
    /// Reads from the store what has to be in memory. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read, or what is published cannot be used.
    pub fn open(
        store: Arc<dyn Store>,
        keys: Keys,
        witness: Witness,
        authority: CertificateDer<'static>,
        tokens: Tokens,
    ) -> Result<Self, ServerError> {
        let server = Self {
            published: RwLock::new(Arc::new(Published::nothing())),
            store,
            keys,
            witness,
            authority,
            fleet: Fleet::default(),
            held: HeldCheckIns::default(),
            sessions: Sessions::default(),
            secrets: SecretIndex::default(),
            bundles: Bundles::default(),
            tokens,
            metrics: Metrics::new(),
            large_bodies: Semaphore::new(2),
            publishing: Mutex::new(()),
            changing_secrets: Mutex::new(()),
            checked_policies: Mutex::new(None),
            secret_uses: Mutex::default(),
            denials: Mutex::new((0, 0)),
            started: Instant::now(),
        };
        server.secrets.catch_up(&*server.store)?;
        server.count_envoys()?;
        crate::publish::reopen(&server)?;
        Ok(server)
    }

    /// Writes down how far the store has come. Blocks.
    ///
    /// # Errors
    /// When the store, the hand or the file stand in the way.
    pub fn follow(&self) -> Result<(), ServerError> {
        self.witness.follow(&*self.store, |row| self.keys.mac(row))
    }

    /// Changes policies or tokens: `change` says what `write` does to the store. Blocks.
    ///
    /// # Errors
    /// When the store, the hand or the witness stand in the way.
    pub fn change_rights<T>(
        &self,
        change: impl FnOnce(&mut Rights),
        write: impl FnOnce(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, ServerError> {
        self.witness.change(&*self.store, |row| self.keys.mac(row), change, write)
    }

    /// What is published now.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everybody gets this from now on.
    pub fn swap_in(&self, published: Published) {
        self.metrics.publish.set(i64::try_from(published.version).unwrap_or(i64::MAX));
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(published);
        self.held.news();
    }

    /// Takes in every change of a secret that the store has. Blocks; called after each change of this server's own, and now and then.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn note_secret_changes(&self) -> Result<(), ServerError> {
        if self.secrets.catch_up(&*self.store)? {
            self.held.news();
        }
        Ok(())
    }

    /// One publish at a time.
    pub fn publishing(&self) -> MutexGuard<'_, ()> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One change of a secret at a time: the hand needs the version before the store has it.
    pub fn secret_changes(&self) -> MutexGuard<'_, ()> {
        self.changing_secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds since the start, by a clock that only goes forward.
    #[must_use]
    pub fn uptime_seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// The traits that an envoy last sent. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn traits(&self, envoy: &EnvoyId) -> Result<Option<Node>, ServerError> {
        Ok(self.store.traits(envoy)?.and_then(|traits| Node::decode(traits.bytes.as_slice()).ok()))
    }

    /// Appends to the audit log; when it returns the records are on disk. Blocks.
    ///
    /// # Errors
    /// When the store cannot be written; then what was to be recorded must not happen.
    pub fn append_audit(&self, records: &[NewAudit]) -> Result<(), ServerError> {
        self.store.append_audit(records)?;
        self.metrics.audit_records.inc_by(u64::try_from(records.len()).unwrap_or(0));
        Ok(())
    }

    /// Notes that somebody got a value; written to the store with the next batch. The audit log has it already.
    pub fn note_secret_use(&self, path: &SecretPath, actor: &str, version: SecretVersion) {
        let mut uses = self.secret_uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.insert((path.clone(), actor.to_owned()), (version, clock::now()));
    }

    /// Writes what was noted. Blocks.
    ///
    /// # Errors
    /// When the store cannot be written; then it is noted again.
    pub fn flush_secret_uses(&self) -> Result<(), ServerError> {
        let noted = std::mem::take(&mut *self.secret_uses.lock().unwrap_or_else(PoisonError::into_inner));
        if noted.is_empty() {
            return Ok(());
        }
        let used = |((path, actor), (version, at)): (&(SecretPath, String), &(SecretVersion, u64))| {
            SecretUse { path: path.clone(), actor: actor.clone(), version: *version, at: *at }
        };
        let uses: Vec<SecretUse> = noted.iter().map(used).collect();
        if let Err(error) = self.store.record_secret_uses(&uses) {
            let mut later = self.secret_uses.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, value) in noted {
                later.entry(key).or_insert(value);
            }
            return Err(error.into());
        }
        Ok(())
    }

    /// Records a denial of somebody who proved little; beyond a rate it is logged only. Blocks.
    pub fn note_denial(&self, record: NewAudit) {
        tracing::warn!(
            actor = record.actor,
            action = record.action,
            object = record.object,
            detail = record.detail,
            "denied"
        );
        let second = clock::now();
        let mut denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        if denials.0 != second {
            *denials = (second, 0);
        }
        denials.1 = denials.1.saturating_add(1);
        let is_too_many = denials.1 > DENIALS_A_SECOND;
        drop(denials);
        if is_too_many {
            return;
        }
        if let Err(error) = self.append_audit(&[record]) {
            tracing::error!(error = chain(&error), "cannot write the audit record of a denial");
        }
    }

    fn count_envoys(&self) -> Result<(), ServerError> {
        crate::plan::each_envoy(self, |_| {
            self.metrics.envoys.inc();
            Ok(())
        })
    }
}
