//! Inner sessions in memory: bounded in all and per envoy, forgotten with age. A lost one costs its envoy one round trip.
//!
//! What a session carries is none of its business: [`crate::relay`] opens and seals, [`crate::dispatch`] answers.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vigo_base::EnvoyId;
use vigo_wire::session::{GRACE_S, LIFE_S, Session};

/// Sessions in memory at most; beyond that the oldest of all goes.
const TOTAL: usize = 250_000;
/// Sessions of one envoy whose first message was opened. Two, so that one may end while the next begins.
const PROVEN_EACH: usize = 2;
/// Sessions of one envoy that were only begun: the first message of a handshake can be replayed by whoever saw it.
const BEGUN_EACH: usize = 2;

/// A session's id, chosen by the node.
pub type SessionId = [u8; 16];

/// One session. Its lock is held from opening a request to sealing its reply, so replies leave in the order of requests.
pub struct Entry {
    /// Whose it is.
    pub envoy: EnvoyId,
    /// The Noise state.
    pub session: tokio::sync::Mutex<Session>,
    began_s: u64,
    proven: AtomicBool,
}

impl Entry {
    /// True when a message was opened over it: then the other side is this envoy.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }
}

/// All sessions of this server.
#[derive(Default)]
pub struct Sessions {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    by_id: HashMap<SessionId, Arc<Entry>>,
    by_envoy: HashMap<EnvoyId, Vec<SessionId>>,
    /// Oldest first; ids that are gone are passed over.
    by_age: VecDeque<(u64, SessionId)>,
}

impl Sessions {
    /// The session of that id, if it is this envoy's.
    #[must_use]
    pub fn find(&self, id: &SessionId, envoy: EnvoyId) -> Option<Arc<Entry>> {
        self.table().by_id.get(id).filter(|entry| entry.envoy == envoy).cloned()
    }

    /// True if the id is taken, by whomever.
    #[must_use]
    pub fn is_known(&self, id: &SessionId) -> bool {
        self.table().by_id.contains_key(id)
    }

    /// Keeps a session that was begun at `now_s`. Of those only begun, the oldest of this envoy goes when there are too many.
    pub fn begin(&self, id: SessionId, envoy: EnvoyId, session: Session, now_s: u64) {
        let mut table = self.table();
        table.forget_old(now_s);
        table.trim(envoy, false, BEGUN_EACH - 1);
        let session = tokio::sync::Mutex::new(session);
        let entry = Entry { envoy, session, began_s: now_s, proven: AtomicBool::new(false) };
        table.by_id.insert(id, Arc::new(entry));
        table.by_envoy.entry(envoy).or_default().push(id);
        table.by_age.push_back((now_s, id));
    }

    /// Notes that a message was opened over it; older proven ones of this envoy go when there are too many.
    pub fn prove(&self, entry: &Entry) {
        if !entry.proven.swap(true, Ordering::Relaxed) {
            self.table().trim(entry.envoy, true, PROVEN_EACH);
        }
    }

    /// Forgets one.
    pub fn forget(&self, id: &SessionId) {
        self.table().forget(id);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table().by_id.len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change below leaves the three maps usable, whatever was half done.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn forget(&mut self, id: &SessionId) {
        let Some(entry) = self.by_id.remove(id) else { return };
        if let Some(ids) = self.by_envoy.get_mut(&entry.envoy) {
            ids.retain(|one| one != id);
            if ids.is_empty() {
                self.by_envoy.remove(&entry.envoy);
            }
        }
    }

    fn forget_old(&mut self, now_s: u64) {
        while let Some(&(began_s, id)) = self.by_age.front() {
            let is_old = now_s.saturating_sub(began_s) > LIFE_S + GRACE_S;
            if !is_old && self.by_id.len() < TOTAL {
                break;
            }
            self.by_age.pop_front();
            if self.by_id.get(&id).is_some_and(|entry| entry.began_s == began_s) {
                self.forget(&id);
            }
        }
        // Ids whose session went early stay in the queue until they are old; not more than there are sessions.
        if self.by_age.len() > 2 * self.by_id.len() + 1024 {
            let by_id = &self.by_id;
            self.by_age.retain(|(_, id)| by_id.contains_key(id));
        }
    }

    /// Forgets the oldest of this envoy's sessions of one kind until at most `keep` are left.
    fn trim(&mut self, envoy: EnvoyId, proven: bool, keep: usize) {
        let ids = self.by_envoy.get(&envoy).cloned().unwrap_or_default();
        let of_kind: Vec<_> = ids
            .into_iter()
            .filter(|id| self.by_id.get(id).is_some_and(|entry| entry.is_proven() == proven))
            .collect();
        let surplus = of_kind.len().saturating_sub(keep);
        of_kind.iter().take(surplus).for_each(|id| self.forget(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vigo_base::Digest;
    use vigo_wire::identity::ExchangeKey;
    use vigo_wire::session::{Initiator, SessionContext, respond};

    fn envoy(number: u8) -> EnvoyId {
        EnvoyId::from_bytes(&[number; 16]).unwrap()
    }

    fn session(envoy: EnvoyId) -> Session {
        let (node, server) = (ExchangeKey::generate().unwrap(), ExchangeKey::generate().unwrap());
        let context = SessionContext { anchor: Digest::of(b"anchor"), envoy };
        let (_, first) = Initiator::begin(&node, server.public(), &context).unwrap();
        respond(&server, node.public(), &context, &first, 0).unwrap().0
    }

    #[test]
    fn a_replayed_handshake_does_not_push_out_the_session_in_use() {
        let sessions = Sessions::default();
        let who = envoy(1);
        sessions.begin([0; 16], who, session(who), 0);
        sessions.prove(&sessions.find(&[0; 16], who).unwrap());
        for id in 1..20_u8 {
            sessions.begin([id; 16], who, session(who), 1);
        }
        assert!(sessions.find(&[0; 16], who).is_some());
        assert_eq!(sessions.count(), 1 + BEGUN_EACH);
    }

    #[test]
    fn a_session_is_found_by_its_own_envoy_only() {
        let sessions = Sessions::default();
        sessions.begin([1; 16], envoy(1), session(envoy(1)), 0);
        assert!(sessions.find(&[1; 16], envoy(2)).is_none());
        assert!(sessions.is_known(&[1; 16]));
    }

    #[test]
    fn new_sessions_replace_old_ones_and_age_ends_all() {
        let sessions = Sessions::default();
        let who = envoy(1);
        for id in 0..10_u8 {
            sessions.begin([id; 16], who, session(who), u64::from(id));
            sessions.prove(&sessions.find(&[id; 16], who).unwrap());
        }
        assert_eq!(sessions.count(), PROVEN_EACH);
        assert!(sessions.find(&[9; 16], who).is_some());
        sessions.begin([99; 16], envoy(2), session(envoy(2)), 20 + LIFE_S + GRACE_S);
        assert_eq!(sessions.count(), 1);
    }
}
