//! A line on standard error that says what is waited for, once that takes longer than a second and somebody looks.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How long nothing is said, and then how often.
const STEP: Duration = Duration::from_secs(1);

/// What is waited for.
pub struct Progress {
    what: &'static str,
    began: Instant,
    shown: Cell<bool>,
    on: bool,
}

impl Progress {
    /// Begins to wait.
    #[must_use]
    pub fn start(what: &'static str) -> Self {
        let on = std::io::stderr().is_terminal();
        Self { what, began: Instant::now(), shown: Cell::new(false), on }
    }

    /// Waits for `work`, and says so.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        if !self.on {
            return work.await;
        }
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(STEP) => {
                    self.shown.set(true);
                    // Nobody to tell it to if this fails.
                    let _ = write!(std::io::stderr(), "\r{} … {} s ", self.what, self.began.elapsed().as_secs());
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.get() {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}
