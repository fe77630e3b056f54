//! Starts the attacker and takes what it says: each try beside what the same came to against the unprotected process.

use super::attacker::{CANARY, CONTROL, NAME, Outcome, Tried};
use super::holder;
use super::report::{Attack, Won};
use crate::error::AgentError;
use crate::machine::Machine;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};
use vigo_host::Folder;
use vigo_sys::arena::Choice;
use vigo_sys::spawn::Spec;

/// The longest is the scan of swap.
const PATIENCE: Duration = Duration::from_secs(180);
/// What an attacker says is no longer than this.
const LARGEST: usize = 1 << 20;
/// Where throw-away processes run, and may leave a core; removed afterwards.
const FOLDER: &str = "doctor";

/// What of the running agent is attacked; 0 where there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Running {
    /// The agent.
    pub agent: u32,
    /// Its hand.
    pub hand: u32,
    /// The hand's protected pages.
    pub address: u64,
}

/// Tries everything. What cannot be tried at all is in the answer too.
///
/// # Errors
/// When the attacker cannot be started.
pub fn attack(machine: &Machine, running: Running) -> Result<Vec<Attack>, AgentError> {
    let start = |source| AgentError::Start { process: "vigo-attack", source };
    let arena = match machine.settings.arena {
        Choice::Auto => "auto",
        Choice::Mlock => "mlock",
        Choice::Plain => "plain",
    };
    let Running { agent, hand, address } = running;
    let path = machine.settings.state_dir.join(FOLDER);
    let folder = Folder::open(&path)?;
    let words: [&[String]; 3] = [
        &["look".to_owned(), agent.to_string(), hand.to_string(), format!("{address:x}"), arena.to_owned()],
        &["core".to_owned(), folder.path().display().to_string()],
        &["swap".to_owned(), arena.to_owned()],
    ];
    let mut found = Vec::new();
    for words in words {
        let outcome = one(machine, words);
        match outcome {
            Ok(tried) => found.extend(beside_controls(&tried)),
            Err(error) => found.push(Attack {
                name: words.first().cloned().unwrap_or_default(),
                target: "everything".to_owned(),
                verdict: Won::NotConclusive,
                why: format!("it could not be tried: {}", vigo_base::chain(&start(error))),
                control: "not tried".to_owned(),
            }),
        }
    }
    if let Err(error) = std::fs::remove_dir_all(&path) {
        tracing::warn!(path = %path.display(), "the folder of the attack is left: {error}");
    }
    Ok(found)
}

fn one(machine: &Machine, words: &[String]) -> io::Result<Vec<Tried>> {
    let (answer, said) = pipe_with(PipeFlags::CLOEXEC)?;
    let words = words.iter().map(|word| CString::new(word.as_str())).collect::<Result<Vec<_>, _>>()?;
    let mut arguments = vec![NAME];
    arguments.extend(words.iter().map(CString::as_c_str));
    let canary = CString::new(format!("{CANARY}={}", holder::canary()?))?;
    let stderr = rustix::stdio::stderr();
    let spec = Spec {
        arguments: &arguments,
        environment: &[&canary],
        descriptors: &[(said.as_fd(), 1), (stderr, 2)],
        ..Spec::default()
    };
    let mut child = machine.spawner.spawn(&spec)?;
    drop(said);
    let text = read(answer.into());
    if text.is_err() {
        let _gone_already = child.kill_group();
    }
    let status = child.wait()?;
    let text = text?;
    if !status.success() {
        return Err(io::Error::other(format!("it ended with {status:?}")));
    }
    serde_json::from_str(&text).map_err(io::Error::other)
}

/// Everything until the other end closes, bounded in size and time.
fn read(mut answer: File) -> io::Result<String> {
    let until = Instant::now() + PATIENCE;
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::from_borrowed_fd(answer.as_fd(), PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let came = answer.read(&mut piece)?;
        if came == 0 {
            return String::from_utf8(text).map_err(io::Error::other);
        }
        text.extend_from_slice(piece.get(..came).unwrap_or_default());
        if text.len() > LARGEST {
            return Err(io::Error::other("it says too much"));
        }
    }
}

/// An attack that does not even work on an unprotected process proves nothing by being refused.
fn beside_controls(tried: &[Tried]) -> Vec<Attack> {
    let control = |name: &str| tried.iter().find(|tried| tried.name == name && tried.target == CONTROL);
    let attacks = tried.iter().filter(|tried| tried.target != CONTROL);
    attacks
        .map(|attack| {
            let control = control(&attack.name);
            let works = control.is_some_and(|control| control.outcome == Outcome::Succeeded);
            let (verdict, why) = match (attack.outcome, works) {
                (Outcome::Succeeded, _) => (Won::Succeeded, attack.why.clone()),
                (Outcome::Refused, true) => (Won::Refused, attack.why.clone()),
                (Outcome::Refused, false) => (
                    Won::NotConclusive,
                    format!("{}; but it does not work on an unprotected process here either", attack.why),
                ),
                (Outcome::Unclear, _) => (Won::NotConclusive, attack.why.clone()),
            };
            Attack {
                name: attack.name.clone(),
                target: attack.target.clone(),
                verdict,
                why,
                control: match control {
                    Some(control) => {
                        format!("{} ({})", if works { "succeeded" } else { "did not work" }, control.why)
                    }
                    None => "not tried".to_owned(),
                },
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(target: &str, outcome: Outcome) -> Tried {
        Tried { name: "ptrace".into(), target: target.into(), outcome, why: "EPERM".into() }
    }

    fn verdict(outcome: Outcome, control: Option<Outcome>) -> Won {
        let mut all = vec![tried("the hand", outcome)];
        all.extend(control.map(|outcome| tried(CONTROL, outcome)));
        let found = beside_controls(&all);
        assert_eq!(found.len(), 1);
        found[0].verdict
    }

    #[test]
    fn a_refusal_counts_only_where_the_attack_works_on_the_unprotected() {
        assert_eq!(verdict(Outcome::Refused, Some(Outcome::Succeeded)), Won::Refused);
        assert_eq!(verdict(Outcome::Refused, Some(Outcome::Refused)), Won::NotConclusive);
        assert_eq!(verdict(Outcome::Refused, None), Won::NotConclusive);
        assert_eq!(verdict(Outcome::Unclear, Some(Outcome::Succeeded)), Won::NotConclusive);
        assert_eq!(verdict(Outcome::Succeeded, Some(Outcome::Refused)), Won::Succeeded);
    }
}
