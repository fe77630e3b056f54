//! `vigo daemon`: the same run again and again, moved by chance so that a fleet never acts as one.

use crate::about::{self, Running};
use crate::arguments::ConvergeArguments;
use crate::control::Control;
use crate::enrolment::Enrolment;
use crate::error::AgentError;
use crate::link::seconds_now;
use crate::machine::Machine;
use crate::{run, waiting};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use vigo_base::{Blame, Exit};

/// Shorter intervals are taken as this.
const SHORTEST: Duration = Duration::from_secs(1);
/// After failures the pause doubles up to this, however short the interval.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Runs until the process is ended. One failed run is no reason to stop; an envoy that was revoked stops.
///
/// # Errors
/// When this machine is not enrolled, or not permitted any more; when another daemon has this state folder.
pub fn daemon(machine: &Machine) -> Result<Exit, AgentError> {
    let interval = machine.settings.interval.max(SHORTEST);
    let mut enrolment = Enrolment::load(&machine.state)?.ok_or(AgentError::NotEnrolled)?;
    let control = control(machine)?;
    let started_at = seconds_now();
    let hands = machine.hands(Some(enrolment.envoy))?;
    let converge = ConvergeArguments {
        dry_run: false,
        diff: false,
        only: Vec::new(),
        verbose: false,
        detailed_exit_code: false,
        wait: Duration::from_secs(60),
        json: false,
    };
    let mut failures = 0;
    loop {
        let lock = machine.state.lock(converge.wait);
        let outcome = lock
            .map_err(AgentError::from)
            .and_then(|_lock| run::once(machine, &mut enrolment, &hands, false, &converge));
        match outcome {
            Ok(_) => {
                failures = 0;
                about::ran(machine, None);
            }
            Err(error) if error.blame() == Blame::Permission => return Err(error),
            Err(error) => {
                failures += 1;
                let why = vigo_base::chain(&error);
                tracing::error!("the run failed: {why}");
                about::ran(machine, Some(why));
            }
        }
        let running = Running { machine, enrolment: &enrolment, hands: &hands, started_at };
        rest(Instant::now() + jittered(pause(interval, failures)), control.as_ref(), &running);
    }
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

/// Waits until it is time for the next run, and answers who asks meanwhile.
fn rest(until: Instant, control: Option<&Control>, running: &Running<'_>) {
    let watched: Vec<_> = control.iter().map(|control| control.as_fd()).collect();
    loop {
        match (waiting::first_readable(&watched, until), control) {
            (Ok(Some(_)), Some(control)) => control.serve(|asked| running.answer(&asked)),
            (Ok(_), _) => return,
            (Err(error), _) => {
                tracing::warn!("cannot wait for who asks: {error}");
                return std::thread::sleep(until.saturating_duration_since(Instant::now()));
            }
        }
    }
}

/// The interval, doubled for each failure in a row, within bounds.
fn pause(interval: Duration, failures: u32) -> Duration {
    interval.saturating_mul(1 << failures.min(12)).min(LONGEST_PAUSE.max(interval))
}

/// Moved by up to a tenth in either direction.
fn jittered(pause: Duration) -> Duration {
    let chance = vigo_wire::random::array::<2>()
        .map_or(0.5, |bytes| f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX));
    pause.mul_f64(0.9 + 0.2 * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

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
