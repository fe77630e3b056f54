//! Check-ins that are held: kept back while there is nothing new, answered when there is. All in memory: who is held costs no database work.
//!
//! News come from [`crate::publish`] and from changes of secrets. Who is concerned is found out once for all that are held, away from them, and each
//! of those is woken at a moment of its own, so that a publish to thousands does not bring thousands at once. What a woken envoy is told is left to
//! [`crate::checkin`].

use crate::assign::{self, Current};
use crate::fleet::Member;
use crate::state::Server;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use vigo_base::EnvoyId;

/// So many envoys are told of the same news in one second: each comes for its assignment, its bundle and its secrets, and reports.
const WOKEN_A_SECOND: u32 = 200;
/// The last of them is told after so long at most, however many they are.
const SPREAD_MOST: Duration = Duration::from_secs(120);

/// Why a held check-in is to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There are news for it, to be told after that time.
    News(Duration),
    /// The same envoy holds another one now.
    Replaced,
    /// The server is stopping.
    Stopping,
}

/// All that are held.
#[derive(Default)]
pub struct HeldCheckIns {
    table: Mutex<Table>,
    news: Notify,
}

#[derive(Default)]
struct Table {
    by_envoy: HashMap<EnvoyId, Waiting>,
    last: u64,
    is_stopping: bool,
}

struct Waiting {
    number: u64,
    member: Arc<Member>,
    current: Current,
    wake: oneshot::Sender<Wake>,
}

/// A place among those that are held, given back when dropped.
pub struct Place {
    server: Arc<Server>,
    envoy: EnvoyId,
    number: u64,
    wake: oneshot::Receiver<Wake>,
}

impl Place {
    /// Takes a place for this envoy, which has `current`. An older one of the same envoy is replaced: nobody waits at its other end any more.
    #[must_use]
    pub fn take(server: &Arc<Server>, member: &Arc<Member>, current: Current) -> Self {
        let (sender, wake) = oneshot::channel();
        let mut table = server.held.table();
        table.last += 1;
        let (number, envoy) = (table.last, member.id());
        if table.is_stopping {
            let _received_below = sender.send(Wake::Stopping);
        } else {
            let waiting = Waiting { number, member: Arc::clone(member), current, wake: sender };
            if let Some(older) = table.by_envoy.insert(envoy, waiting) {
                let _gone_already = older.wake.send(Wake::Replaced);
            }
        }
        drop(table);
        Self { server: Arc::clone(server), envoy, number, wake }
    }

    /// Waits until there is a reason to look again.
    pub async fn woken(&mut self) -> Wake {
        // The other half is dropped only with the table, that is with the server.
        (&mut self.wake).await.unwrap_or(Wake::Stopping)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.server.held.table();
        if table.by_envoy.get(&self.envoy).is_some_and(|waiting| waiting.number == self.number) {
            table.by_envoy.remove(&self.envoy);
        }
    }
}

impl HeldCheckIns {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table().by_envoy.len()
    }

    /// Something was published, or a secret changed: those whom it concerns are looked for.
    pub fn news(&self) {
        self.news.notify_one();
    }

    /// Answers all of them, and every later one at once: the server is stopping.
    pub fn stop(&self) {
        let mut table = self.table();
        table.is_stopping = true;
        for (_, waiting) in table.by_envoy.drain() {
            let _gone_already = waiting.wake.send(Wake::Stopping);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No change below leaves the table half done.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everybody who is held, to be looked at without the lock.
    fn all(&self) -> Vec<(u64, Arc<Member>, Current)> {
        let table = self.table();
        let one = |waiting: &Waiting| (waiting.number, Arc::clone(&waiting.member), waiting.current.clone());
        table.by_envoy.values().map(one).collect()
    }

    /// Wakes one, if it is still the same.
    fn wake(&self, envoy: EnvoyId, number: u64, after: Duration) -> bool {
        let mut table = self.table();
        if table.by_envoy.get(&envoy).is_none_or(|waiting| waiting.number != number) {
            return false;
        }
        let woken = table.by_envoy.remove(&envoy).map(|waiting| waiting.wake.send(Wake::News(after)));
        woken.is_some_and(|sent| sent.is_ok())
    }
}

/// Wakes whom news concern, until the server stops.
pub async fn keep_waking(server: Arc<Server>, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = server.held.news.notified() => {}
            _ = stop.changed() => return server.held.stop(),
        }
        let worker = Arc::clone(&server);
        if tokio::task::spawn_blocking(move || wake_concerned(&worker)).await.is_err() {
            tracing::error!("looking for whom news concern hit a fault of vigosrv");
        }
    }
}

/// Wakes those whose assignment is another one now. Blocks. One that takes its place meanwhile looks for itself: [`crate::checkin`].
fn wake_concerned(server: &Server) {
    let mut concerned = Vec::new();
    for (number, member, current) in server.held.all() {
        let is_outdated = assign::is_outdated(server, &member, &current).unwrap_or_else(|error| {
            tracing::warn!(envoy = %member.id(), error = vigo_base::chain(&error), "cannot tell whether news concern an envoy: it is told to look");
            true
        });
        if is_outdated {
            concerned.push((member.id(), number));
        }
    }
    let most = spread(concerned.len());
    for (envoy, number) in &concerned {
        if server.held.wake(*envoy, *number, chance(most)) {
            server.metrics.woken.inc();
        }
    }
    if !concerned.is_empty() {
        tracing::info!(envoys = concerned.len(), within_s = most.as_secs_f32(), "telling news");
    }
}

/// Over how long so many are told.
fn spread(envoys: usize) -> Duration {
    let envoys = u32::try_from(envoys).unwrap_or(u32::MAX);
    (Duration::from_secs(1) / WOKEN_A_SECOND).saturating_mul(envoys).min(SPREAD_MOST)
}

/// A random moment up to `most`.
fn chance(most: Duration) -> Duration {
    let random = vigo_wire::random::array().map_or(u32::MAX / 2, u32::from_le_bytes);
    most.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_told_at_once_and_thousands_over_a_while_with_an_end() {
        assert!(spread(1) < Duration::from_millis(10));
        assert_eq!(spread(2000), Duration::from_secs(10));
        assert_eq!(spread(usize::MAX), SPREAD_MOST);
        let moments: Vec<Duration> = (0..200).map(|_| chance(SPREAD_MOST)).collect();
        assert!(moments.iter().all(|moment| *moment <= SPREAD_MOST));
        let late = moments.iter().filter(|moment| **moment > SPREAD_MOST / 2).count();
        assert!((40..160).contains(&late), "{late} of 200 in the second half");
    }
}
