//! The fleet in memory: what a check-in needs to know of its envoy, so that the common one does no database work.
//!
//! The store stays the truth. Members are read from it when they are first heard of; what check-ins say is written back in batches, and what the
//! last seconds before a crash said (last seen, posture) may be lost. Rights are never decided here alone: secrets, enrolment and renewal ask the store.

use crate::assign::Current;
use crate::rates::Rates;
use crate::state::Server;
use crate::{ServerError, clock};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::Notify;
use vigo_base::{Digest, EnvoyId, ProtectionLevel, SecretPath, SwapClass};
use vigo_store::{Envoy, EnvoyState, NewEnvoy, Posture, Sighting};

/// Members in memory at most; beyond that those unheard of for longest would have to go, which a fleet of this size never needs.
const MEMBERS: usize = 200_000;

/// One envoy. That it is here proves that its row in the store carries this server's MAC.
pub struct Member {
    /// Who it is; fixed at enrolment.
    pub identity: NewEnvoy,
    live: Mutex<Live>,
    /// Told when its state changes: whoever keeps an answer back for it looks again.
    pub(crate) state_changed: Notify,
    /// How often it may ask for what costs.
    pub(crate) rates: Rates,
    /// What was refused, why and when it was last recorded.
    denied: Mutex<HashMap<SecretPath, (String, u64)>>,
    /// Held while a new assignment is made, so that two check-ins do not make two.
    pub(crate) assigning: Mutex<()>,
}

/// What changes about a member.
#[derive(Clone)]
pub struct Live {
    /// Whether it may do anything.
    pub state: EnvoyState,
    /// When it was last heard of; 0 for never.
    pub last_seen: u64,
    /// The version of its agent.
    pub agent_version: String,
    /// Its protection, by its own word.
    pub posture: Posture,
    /// SHA-256 of its traits as they were last sent whole.
    pub traits: Option<Digest>,
    /// Its clock was found wrong; said once.
    pub clock_is_wrong: bool,
    /// What it has, as far as it was looked at since the start.
    pub assigned: Option<Current>,
}

impl Member {
    /// The member that the row is of.
    #[must_use]
    pub fn new(envoy: Envoy) -> Self {
        let live = Live {
            state: envoy.state,
            last_seen: envoy.last_seen.unwrap_or(0),
            agent_version: envoy.agent_version,
            posture: envoy.posture,
            traits: envoy.traits_digest,
            clock_is_wrong: false,
            assigned: None,
        };
        Self {
            identity: envoy.identity,
            live: Mutex::new(live),
            state_changed: Notify::new(),
            rates: Rates::default(),
            denied: Mutex::default(),
            assigning: Mutex::new(()),
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> EnvoyId {
        self.identity.id
    }

    /// Who it is in the audit log.
    #[must_use]
    pub fn actor(&self) -> String {
        actor(&self.identity.id)
    }

    /// True if a refusal has to be recorded: the same one of the same secret stands in the audit log once an hour.
    pub fn is_news(&self, path: &SecretPath, why: &str) -> bool {
        /// More refusals are not remembered than one machine can have by its bundle.
        const REMEMBERED: usize = 4096;
        const AGAIN_SECONDS: u64 = 3600;
        let now = clock::now();
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = denied
            .get(path)
            .is_some_and(|(known, at)| known == why && now.saturating_sub(*at) < AGAIN_SECONDS);
        if is_known {
            return false;
        }
        if denied.len() >= REMEMBERED {
            denied.clear();
        }
        denied.insert(path.clone(), (why.to_owned(), now));
        true
    }

    /// Forgets a refusal: the next one is recorded again.
    pub fn was_granted(&self, path: &SecretPath) {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }

    /// Takes what a machine says of its protection; in the log when that is bad and was not so before.
    pub fn note_posture(&self, posture: Posture) {
        let mut live = self.live();
        let is_bad =
            posture.level == ProtectionLevel::Insecure.as_str() || posture.swap == SwapClass::Plain.as_str();
        let is_news = is_bad && (&posture.level, &posture.swap) != (&live.posture.level, &live.posture.swap);
        live.posture = posture;
        let said = live.posture.clone();
        drop(live);
        if is_news {
            let (name, level, swap) = (self.identity.name.as_str(), said.level, said.swap);
            let reasons = said.reasons.join("; ");
            tracing::warn!(
                name,
                level,
                swap,
                reasons,
                "an envoy is badly protected; it gets the secrets whose policy does not require more"
            );
        }
    }

    /// Notes what the store says of its state. What was read before a revocation does not undo it: a revoked envoy stays revoked.
    pub fn note_state(&self, state: EnvoyState) {
        let mut live = self.live();
        if live.state == EnvoyState::Revoked || live.state == state {
            return;
        }
        live.state = state;
        drop(live);
        self.state_changed.notify_waiters();
    }

    /// What changes; never held across anything that waits.
    pub fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All members that were heard of since the start.
#[derive(Default)]
pub struct Fleet {
    members: RwLock<HashMap<EnvoyId, Arc<Member>>>,
    unwritten: Mutex<HashSet<EnvoyId>>,
}

impl Fleet {
    /// The member, if it is in memory.
    #[must_use]
    pub fn known(&self, id: &EnvoyId) -> Option<Arc<Member>> {
        self.members.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// The member, read from the store if need be; `None` if there is no such envoy. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read, or the row was not written by this server.
    pub fn find(&self, server: &Server, id: &EnvoyId) -> Result<Option<Arc<Member>>, ServerError> {
        if let Some(member) = self.known(id) {
            return Ok(Some(member));
        }
        let Some(envoy) = server.store.envoy(id)? else { return Ok(None) };
        server.keys.check_mac(
            "envoy",
            &envoy.identity.name,
            &envoy.identity.granting_bytes(),
            &envoy.identity.mac,
        )?;
        let member = self.add(Member::new(envoy));
        // A revocation since the row was read found nobody in memory to tell: from here on it does.
        match server.store.envoy(id)? {
            Some(envoy) => member.note_state(envoy.state),
            None => {
                self.forget(id);
                return Ok(None);
            }
        }
        Ok(Some(member))
    }

    /// Takes a member in; if it is there already, that one stays.
    pub fn add(&self, member: Member) -> Arc<Member> {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        if members.len() >= MEMBERS {
            // Only a cache: whoever is heard of again is read again.
            members.clear();
        }
        Arc::clone(members.entry(member.id()).or_insert_with(|| Arc::new(member)))
    }

    /// Forgets a member: the next time it is read from the store. Waits for nothing; who holds it goes on with what it says.
    pub fn forget(&self, id: &EnvoyId) {
        self.members.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Sets a member's state from now on, if it is in memory.
    pub fn set_state(&self, id: &EnvoyId, state: EnvoyState) {
        if let Some(member) = self.known(id) {
            member.note_state(state);
        }
    }

    /// Notes that a member said something that is still to be written.
    pub fn touch(&self, id: EnvoyId) {
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    /// Writes what was noted, in one transaction. Blocks.
    ///
    /// # Errors
    /// When the store cannot be written; then it is noted again.
    pub fn flush(&self, server: &Server) -> Result<usize, ServerError> {
        let ids = std::mem::take(&mut *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner));
        let sightings: Vec<Sighting> =
            ids.iter().filter_map(|id| self.known(id)).map(|one| sighting(&one)).collect();
        if sightings.is_empty() {
            return Ok(0);
        }
        if let Err(error) = server.store.record_sightings(&sightings) {
            self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
            return Err(error.into());
        }
        Ok(sightings.len())
    }
}

/// Who an envoy is in the audit log.
#[must_use]
pub fn actor(id: &EnvoyId) -> String {
    format!("envoy:{id}")
}

fn sighting(member: &Member) -> Sighting {
    let live = member.live();
    Sighting {
        envoy: member.id(),
        at: live.last_seen,
        agent_version: live.agent_version.clone(),
        posture: live.posture.clone(),
    }
}

/// True if so long unseen that somebody should look.
#[must_use]
pub fn is_stale(last_seen: u64) -> bool {
    /// Three intervals of five minutes.
    const UNSEEN_SECONDS: u64 = 900;
    clock::now().saturating_sub(last_seen) > UNSEEN_SECONDS
}
