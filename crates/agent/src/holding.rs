//! Between two runs of the daemon: a check-in that the server holds until there is news, and the pauses after one that failed.
//!
//! The same check-in as at the beginning of a run, over the same inner session; its answer is what the next run begins with.

use crate::arguments::Mode;
use crate::daemon::{Daemon, Woken, chance};
use crate::error::AgentError;
use crate::link::HELD_PATIENCE;
use crate::run;
use std::time::{Duration, Instant};
use vigo_base::Blame;
use vigo_wire::inner::{Answer, Ask, CheckIn, CheckInReply, HOLD_MOST_S};

/// The pause after the first failure has this bound; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(4);
/// The longest bound: so long after a server is back at most, everybody is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// An answer without news that came in less of its time than this counts as a failure: else a server that does not hold would be asked without pause.
const TOO_EARLY: f64 = 0.5;

/// What the next run begins with.
type News = Option<CheckInReply>;

/// What came of one held check-in.
enum Held {
    /// A reason for a run, now.
    Run(News),
    /// No news; the server held it as long as it was asked to.
    Nothing,
    /// No answer, or none that says anything; the next one comes after a pause.
    Failed,
    /// The process is asked to stop.
    Stop,
}

impl Daemon<'_> {
    /// Waits until `due`, or until the server has news; gives what the next run begins with. `None` when the process is asked to stop.
    /// `failures`: so many runs in a row left something open, and what is open is tried again after a pause.
    ///
    /// # Errors
    /// When the server does not permit this envoy any more.
    pub fn rest(&mut self, due: Instant, mut failures: u32) -> Result<Option<News>, AgentError> {
        let mut wants_traits = false;
        loop {
            let pause = if failures > 0 { paced(failures) } else { Duration::ZERO };
            let from = (Instant::now() + pause).min(due);
            if self.wait(false, from) == Woken::Stop {
                return Ok(None);
            }
            let left = due.saturating_duration_since(Instant::now()).as_secs().min(u64::from(HOLD_MOST_S));
            let hold_s = u32::try_from(left).unwrap_or(HOLD_MOST_S);
            let check_in = match &self.check_in {
                Some(check_in) if self.machine.settings.mode == Mode::Stream && hold_s > 0 => check_in,
                _ => return Ok((self.wait(false, due) != Woken::Stop).then_some(None)),
            };
            let hold_s = if self.is_settled { hold_s } else { 0 };
            let traits = check_in.traits.clone().filter(|_| wants_traits);
            let (ask, had_traits) = (CheckIn { traits, hold_s, ..check_in.clone() }, wants_traits);
            wants_traits = false;
            match self.hold(ask)? {
                Held::Run(news) if news.as_ref().is_some_and(is_for_traits) && self.is_settled => {
                    // Once: a server that has them and asks again is not asked without pause.
                    wants_traits = !had_traits;
                    failures = if had_traits { failures.saturating_add(1) } else { 0 };
                }
                Held::Run(news) => return Ok(Some(news)),
                Held::Nothing => failures = 0,
                Held::Failed => failures = failures.saturating_add(1),
                Held::Stop => return Ok(None),
            }
        }
    }

    /// One check-in, from sending it to what came of it.
    fn hold(&mut self, ask: CheckIn) -> Result<Held, AgentError> {
        let (began, time) = (Instant::now(), Duration::from_secs(u64::from(ask.hold_s)));
        match self.held_answer(ask, time) {
            Ok(None) => Ok(Held::Stop),
            Ok(Some(Answer::CheckIn(reply))) => {
                self.machine.seen.borrow_mut().checked_in_at = Some(crate::link::seconds_now());
                if reply.assignment.is_some() {
                    tracing::info!("the server has news");
                }
                // Asked without holding, the answer itself is the news: the server is there, and what was left open can be done.
                let is_reason = reply.assignment.is_some() || reply.want_traits || time.is_zero();
                Ok(match is_reason {
                    true => Held::Run(Some(reply)),
                    false if began.elapsed() < time.mul_f64(TOO_EARLY) => Held::Failed,
                    false => Held::Nothing,
                })
            }
            Ok(Some(_)) => Ok(Held::Failed),
            Err(AgentError::Refused { code, .. }) if code == run::EXPIRED => Ok(Held::Run(None)),
            Err(error) if error.blame() == Blame::Permission => Err(error),
            Err(error) => {
                tracing::info!("the server holds no check-in of this machine: {}", vigo_base::chain(&error));
                // Whatever became of it: the next one goes through a worker that knows nothing of it.
                if self.link.as_ref().is_some_and(|(link, _)| link.is_lost()) {
                    self.drop_link();
                }
                Ok(Held::Failed)
            }
        }
    }

    /// The answer; `None` when the process is asked to stop first.
    fn held_answer(&mut self, ask: CheckIn, time: Duration) -> Result<Option<Answer>, AgentError> {
        let ask =
            CheckIn { continuity: run::continuity(self.machine)?, clock: crate::link::seconds_now(), ..ask };
        self.link()?;
        // The handshake that may come first has as long as an answer.
        let until = Instant::now() + time + 2 * HELD_PATIENCE;
        let Self { link, enrolment, .. } = &mut *self;
        let (link, _) = link.as_mut().ok_or(AgentError::Stopped)?;
        link.begin_held(enrolment, Ask::CheckIn(ask), time)?;
        tracing::debug!(seconds = time.as_secs(), "the server may hold this check-in");
        loop {
            match self.wait(true, until) {
                Woken::Stop => {
                    // What is on its way has no taker any more.
                    self.drop_link();
                    return Ok(None);
                }
                Woken::Time => {
                    self.drop_link();
                    return Err(AgentError::Answer("it did not come"));
                }
                Woken::Link => {
                    let Self { link, enrolment, .. } = &mut *self;
                    let (link, _) = link.as_mut().ok_or(AgentError::Stopped)?;
                    if let Some(answer) = link.advance_held(enrolment)? {
                        if let Answer::CheckIn(reply) = &answer {
                            run::keep_continuity(self.machine, reply)?;
                        }
                        return Ok(Some(answer));
                    }
                }
            }
        }
    }
}

/// True for an answer that asks for the traits and says nothing else.
const fn is_for_traits(reply: &CheckInReply) -> bool {
    reply.want_traits && reply.assignment.is_none()
}

/// A random pause whose bound doubles with each failure: two machines never come back as one.
fn paced(failures: u32) -> Duration {
    bound(failures).mul_f64(0.25 + 0.75 * chance())
}

fn bound(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_after_a_lost_server_double_up_to_a_cap_and_differ() {
        let bounds: Vec<u64> = (1..8).map(|failures| bound(failures).as_secs()).collect();
        assert_eq!(bounds, [4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(bound(u32::MAX), LONGEST_PAUSE);
        let pauses: Vec<Duration> = (0..100).map(|_| paced(3)).collect();
        assert!(pauses.iter().all(|pause| *pause >= bound(3) / 4 && *pause <= bound(3)));
        assert!(pauses.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
