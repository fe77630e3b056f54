//! `vigo daemon`: the same run again and again, moved by chance so that a fleet never acts as one, and at once when the server has news.
//!
//! What happens between two runs is left to `holding`.

use crate::about::{self, Running};
use crate::arguments::{ConvergeArguments, Mode};
use crate::control::Control;
use crate::enrolment::Enrolment;
use crate::error::AgentError;
use crate::link::{Link, seconds_now};
use crate::machine::Machine;
use crate::run::{self, Ran, Way};
use crate::state::{RunLock, StateError};
use crate::waiting;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};
use vigo_base::{Blame, Exit};
use vigo_host::Hands;
use vigo_sys::signal;
use vigo_wire::inner::{CheckIn, CheckInReply};
use vigo_wire::worker::Configured;

/// Shorter intervals are taken as this.
const SHORTEST: Duration = Duration::from_secs(1);
/// After failures the pause doubles up to this, however short the interval.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// So long a run that somebody else began is waited for, and looked for so often.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);
const LOCK_LOOK: Duration = Duration::from_millis(200);

/// A running daemon.
pub(crate) struct Daemon<'a> {
    pub machine: &'a Machine,
    pub enrolment: Enrolment,
    pub hands: Rc<Hands>,
    /// The worker, as long as there is one, and what it said of itself.
    pub link: Option<(Link, Option<Configured>)>,
    /// What the next check-in says of this machine; `None` before the first run that could say it.
    pub check_in: Option<CheckIn>,
    /// The last run left nothing open: the server may hold the next check-in.
    pub is_settled: bool,
    control: Option<Control>,
    /// Readable once the process is asked to stop.
    stop: BorrowedFd<'static>,
    started_at: u64,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The time is over.
    Time,
    /// The worker said something.
    Link,
    /// The process is asked to stop.
    Stop,
}

/// Runs until the process is asked to stop. One failed run is no reason to stop; an envoy that was revoked stops.
///
/// # Errors
/// When this machine is not enrolled, or not permitted any more; when another daemon has this state folder.
pub fn daemon(machine: &Machine) -> Result<Exit, AgentError> {
    let cannot = |source| AgentError::Start { process: "vigo daemon", source };
    let stop = signal::catch_stop().map_err(cannot)?;
    let enrolment = Enrolment::load(&machine.state)?.ok_or(AgentError::NotEnrolled)?;
    let control = control(machine)?;
    let hands = machine.hands(Some(enrolment.envoy))?;
    let mut daemon = Daemon {
        machine,
        enrolment,
        hands,
        link: None,
        check_in: None,
        is_settled: false,
        control,
        stop,
        started_at: seconds_now(),
    };
    let interval = machine.settings.interval.max(SHORTEST);
    let (mut failures, mut unsettled) = (0, 0);
    let mut news = None;
    while !signal::is_stop_asked() {
        match daemon.run(news.take()) {
            Ok(ran) => {
                failures = 0;
                unsettled = if ran.is_settled { 0 } else { unsettled + 1 };
                (daemon.check_in, daemon.is_settled) = (Some(ran.check_in), ran.is_settled);
                about::ran(machine, None);
            }
            Err(_) if signal::is_stop_asked() => break,
            Err(error) if error.blame() == Blame::Permission => return Err(error),
            Err(error) => {
                (failures, unsettled) = (failures + 1, unsettled + 1);
                daemon.is_settled = false;
                let why = vigo_base::chain(&error);
                tracing::error!("the run failed: {why}");
                about::ran(machine, Some(why));
            }
        }
        let due = Instant::now() + jittered(pause(interval, failures));
        match daemon.rest(due, unsettled)? {
            Some(next) => news = next,
            None => break,
        }
    }
    tracing::info!("stopping: asked to");
    Ok(Exit::Success)
}

/// The control socket. Without one the daemon goes on, and nobody can ask it.
fn control(machine: &Machine) -> Result<Option<Control>, AgentError> {
    match Control::open(&machine.settings.state_dir) {
        Ok(control) => Ok(Some(control)),
        Err(error @ AgentError::DaemonRuns { .. }) => Err(error),
        Err(error) => {
            tracing::warn!("nobody can ask this agent: {}", vigo_base::chain(&error));
            Ok(None)
        }
    }
}

impl Daemon<'_> {
    /// One run, with what the server said already, if it did.
    fn run(&mut self, news: Option<CheckInReply>) -> Result<Ran, AgentError> {
        let converge = ConvergeArguments {
            dry_run: false,
            diff: false,
            only: Vec::new(),
            verbose: false,
            detailed_exit_code: false,
            wait: LOCK_PATIENCE,
            json: false,
        };
        let _lock = self.lock()?;
        if self.enrolment.is_renewal_due(seconds_now()) {
            // A new worker makes the key for the new certificate before it touches the network.
            self.drop_link();
        }
        self.link()?;
        let (link, worker) = self.link.as_mut().ok_or(AgentError::Stopped)?;
        link.begin_run(None);
        let way = Way { link, worker: worker.clone(), news };
        let ran = run::through(self.machine, &mut self.enrolment, &self.hands, way, false, &converge);
        let is_lost = self.link.as_ref().is_some_and(|(link, _)| link.is_lost());
        if is_lost || self.machine.settings.mode == Mode::Poll {
            self.drop_link();
        }
        ran
    }

    /// Starts a worker if none runs.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn link(&mut self) -> Result<(), AgentError> {
        if self.link.is_none() {
            let keep_alive = self.machine.settings.keep_alive;
            self.link = Some(Link::start(&self.machine.spawner, &self.enrolment, keep_alive)?);
        }
        Ok(())
    }

    /// Ends the worker.
    pub fn drop_link(&mut self) {
        self.link = None;
        self.machine.seen.borrow_mut().worker_process = None;
    }

    /// The lock of the run, waited for while somebody else runs; asked to stop, nobody waits.
    fn lock(&self) -> Result<RunLock, AgentError> {
        let until = Instant::now() + LOCK_PATIENCE;
        loop {
            match self.machine.state.lock(Duration::ZERO) {
                Err(StateError::Busy { .. }) if Instant::now() < until => {}
                lock => return Ok(lock?),
            }
            if self.wait(false, Instant::now() + LOCK_LOOK) == Woken::Stop {
                return Err(AgentError::Stopped);
            }
        }
    }

    /// Waits for the time, for being asked to stop, and for the worker if it is to be listened to; answers who asks on the control socket meanwhile.
    pub fn wait(&self, listens: bool, until: Instant) -> Woken {
        let link = self.link.as_ref().filter(|_| listens).map(|(link, _)| link.as_fd());
        let control = self.control.as_ref().map(Control::as_fd);
        let watched: Vec<BorrowedFd<'_>> = [Some(self.stop), link, control].into_iter().flatten().collect();
        wait_serving(&watched, link.is_some(), until, || self.serve())
    }

    fn serve(&self) {
        let Self { machine, enrolment, hands, started_at, .. } = self;
        let running = Running { machine, enrolment, hands, started_at: *started_at };
        if let Some(control) = &self.control {
            control.serve(|asked| running.answer(&asked));
        }
    }
}

/// Of what is watched the first one is the wish to stop, the second one the worker if there is one, the last one who asks: whoever asks, and however
/// many, the time is kept.
fn wait_serving(watched: &[BorrowedFd<'_>], has_link: bool, until: Instant, serve: impl Fn()) -> Woken {
    loop {
        match waiting::first_readable(watched, until) {
            Ok(None) => return Woken::Time,
            Ok(Some(0)) => return Woken::Stop,
            Ok(Some(1)) if has_link => return Woken::Link,
            // Served once more at the most when the time is over: a client that asks again and again is no reason to wait longer.
            Ok(Some(_)) => serve(),
            Err(error) => {
                tracing::warn!("cannot wait for who asks: {error}");
                std::thread::sleep(until.saturating_duration_since(Instant::now()).min(SHORTEST));
                return if signal::is_stop_asked() { Woken::Stop } else { Woken::Time };
            }
        }
        if Instant::now() >= until {
            return Woken::Time;
        }
    }
}

/// The interval, doubled for each failure in a row, within bounds.
fn pause(interval: Duration, failures: u32) -> Duration {
    interval.saturating_mul(1 << failures.min(12)).min(LONGEST_PAUSE.max(interval))
}

/// Moved by up to a tenth in either direction.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.9 + 0.2 * chance())
}

/// A random number from 0 to 1.
pub(crate) fn chance() -> f64 {
    vigo_wire::random::array::<2>()
        .map_or(0.5, |bytes| f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn clients_that_never_end_do_not_keep_the_daemon_from_its_time() {
        let (_nobody, stop) = UnixStream::pair().unwrap();
        let (mut clients, control) = UnixStream::pair().unwrap();
        clients.write_all(b"there is always one more").unwrap();
        let begun = Instant::now();
        let until = begun + Duration::from_millis(50);
        let served = Cell::new(0);
        let woken = wait_serving(&[stop.as_fd(), control.as_fd()], false, until, || {
            served.set(served.get() + 1);
            assert!(begun.elapsed() < Duration::from_secs(20), "the time was over long ago");
        });
        assert_eq!(woken, Woken::Time);
        assert!(served.get() > 0 && Instant::now() >= until);
    }

    #[test]
    fn pauses_grow_with_failures_to_a_cap_and_are_moved_a_little() {
        let second = Duration::from_secs(1);
        assert_eq!(pause(second, 0), second);
        assert_eq!(pause(second, 3), 8 * second);
        assert_eq!(pause(second, 40), LONGEST_PAUSE);
        assert_eq!(pause(2 * LONGEST_PAUSE, 3), 2 * LONGEST_PAUSE);
        for _ in 0..100 {
            let moved = jittered(10 * second);
            assert!(moved >= 9 * second && moved <= 11 * second);
        }
    }
}
