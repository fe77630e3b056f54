//! What a test started, and what that started in turn: ended by its id, also what is stopped, and what lost its parent meanwhile.

use super::patiently;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, waitpid};
use std::collections::BTreeSet;
use std::fs;
use vigo_testkit::memory::processes_below;

/// Everything that is started below this process from now on.
pub struct Descendants {
    before: BTreeSet<u32>,
}

impl Descendants {
    /// Who loses its parent from now on becomes a child of this process instead of init's (PR_SET_CHILD_SUBREAPER(2const)), so that it is found.
    pub fn adopt() -> Self {
        set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        Self { before: below_us() }
    }

    /// Those that run still, with what they were started as. Those that have ended are reaped.
    pub fn left(&self) -> Vec<(u32, String)> {
        let ours = below_us();
        let late = ours.difference(&self.before).filter(|process| !has_ended(**process));
        late.map(|process| (*process, command_of(*process))).collect()
    }

    /// Ends those that run still.
    pub fn end(&self) {
        self.left().into_iter().for_each(|(process, _)| strike(process));
    }

    /// Nothing runs any more. Where other tests run in this process, what is theirs cannot be told from it: that is said.
    pub fn expect_none(self) {
        if !std::env::args().any(|word| word == "--exact") {
            println!("other tests may run in this process: whether one of these runs on was not looked at");
            return;
        }
        let gone = patiently(|| match self.left() {
            left if left.is_empty() => Ok(()),
            left => Err(left),
        });
        if let Err(left) = gone {
            self.end();
            panic!("these were left running: {left:#?}");
        }
    }
}

/// Ends a process and all below it. The process itself is left to be waited for.
pub fn end_with_all_below(process: u32) {
    let below = processes_below(process).unwrap();
    strike(process);
    below.iter().copied().for_each(strike);
    // Those that are ours now: whose parent was the one that ended.
    let _gone = patiently(|| if below.iter().copied().all(has_ended) { Ok(()) } else { Err(()) });
}

/// Ends what was started as `program` with `word` among its words, and lost its parent. strace(1) leaves such: what it forks to find out what the
/// kernel can, and the first step of what it traces, stop themselves and wait for it.
pub fn end_orphans(program: &str, word: &str) {
    let is_meant = |process: &u32| {
        let command = command_of(*process);
        command.starts_with(program) && command.contains(word)
    };
    let meant: Vec<u32> = below_us().into_iter().filter(is_meant).collect();
    meant.iter().copied().for_each(strike);
    let _gone = patiently(|| if meant.iter().copied().all(has_ended) { Ok(()) } else { Err(()) });
}

fn below_us() -> BTreeSet<u32> {
    processes_below(std::process::id()).unwrap().into_iter().collect()
}

/// SIGKILL also ends what is stopped or traced (signal(7), ptrace(2)).
fn strike(process: u32) {
    if let Some(pid) = id(process) {
        let _gone_already = kill_process(pid, Signal::KILL);
    }
}

/// True if it is gone, or was a child of ours that has ended and is reaped by this.
fn has_ended(process: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{process}/stat")) else { return true };
    let is_over = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
    // A child of somebody else is theirs to reap.
    is_over
        && id(process)
            .is_none_or(|pid| waitpid(Some(pid), WaitOptions::NOHANG).is_ok_and(|ended| ended.is_some()))
}

fn command_of(process: u32) -> String {
    let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim().to_owned()
}

fn id(process: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(process).ok()?)
}
