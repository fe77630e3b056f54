//! Whose turn it is on the port for envoys: bounds what requests take of memory and time, so that one envoy that was taken cannot keep the others out.

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use vigo_base::EnvoyId;

/// Requests of one envoy at a time: one that runs, one after a new session, and some slack.
const EACH: usize = 4;
/// Up to here a body is small: check-ins, requests for secrets, ordinary reports.
const SMALL: usize = 64 << 10;
/// Larger bodies at a time, over all envoys.
const LARGE: usize = 16;
/// Enrolments whose body is read at a time: anybody may begin one.
const STRANGERS: usize = 512;

/// Who is being served.
#[derive(Clone)]
pub struct Turns {
    envoys: Arc<Mutex<HashMap<EnvoyId, usize>>>,
    large: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            envoys: Arc::default(),
            large: Arc::new(Semaphore::new(LARGE)),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
        }
    }
}

/// A turn of one envoy, given back when dropped.
pub struct Turn {
    envoys: Arc<Mutex<HashMap<EnvoyId, usize>>>,
    envoy: EnvoyId,
}

impl Turns {
    /// A turn for this envoy; `None` when it has all that it gets at a time.
    #[must_use]
    pub fn of(&self, envoy: EnvoyId) -> Option<Turn> {
        let mut envoys = self.envoys.lock().unwrap_or_else(PoisonError::into_inner);
        let running = envoys.entry(envoy).or_default();
        if *running >= EACH {
            return None;
        }
        *running += 1;
        Some(Turn { envoys: Arc::clone(&self.envoys), envoy })
    }

    /// A turn for somebody who is not known yet; `None` when there are too many.
    #[must_use]
    pub fn of_stranger(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.strangers).try_acquire_owned().ok()
    }

    /// A body that waits for its turn before it becomes large.
    #[must_use]
    pub fn metered(&self, body: Incoming) -> Metered {
        Metered { body, seen: 0, large: Arc::clone(&self.large), waiting: None, turn: None }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut envoys = self.envoys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = envoys.get_mut(&self.envoy) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                envoys.remove(&self.envoy);
            }
        }
    }
}

type Waiting = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send + Sync>>;

/// A request's body. Beyond [`SMALL`] it is read only while it holds one of the [`LARGE`] turns.
pub struct Metered {
    body: Incoming,
    seen: usize,
    large: Arc<Semaphore>,
    waiting: Option<Waiting>,
    turn: Option<OwnedSemaphorePermit>,
}

impl Body for Metered {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        if this.seen > SMALL && this.turn.is_none() {
            let large = &this.large;
            let waiting = this.waiting.get_or_insert_with(|| Box::pin(Arc::clone(large).acquire_owned()));
            // The semaphore is never closed.
            this.turn = ready!(waiting.as_mut().poll(context)).ok();
            this.waiting = None;
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            this.seen = this.seen.saturating_add(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_envoy_that_takes_all_its_turns_leaves_those_of_others() {
        let turns = Turns::default();
        let envoy = |number: u8| EnvoyId::from_bytes(&[number; 16]).unwrap();
        let mut taken: Vec<Turn> = (0..EACH).map(|_| turns.of(envoy(1)).unwrap()).collect();
        assert!(turns.of(envoy(1)).is_none());
        let other = turns.of(envoy(2)).unwrap();
        taken.pop();
        assert!(turns.of(envoy(1)).is_some());
        drop((taken, other));
        assert!(turns.envoys.lock().unwrap().is_empty());
    }
}
