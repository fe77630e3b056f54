//! What processes are, seen from outside, held against what the agent says of itself.

use super::process::{Mapping, Process};
use super::report::{Check, Verdict};
use std::io;
use vigo_wire::control::{HandFacts, ProcessFacts, WorkerFacts};

/// The largest soft core limit that never gives a core: less than a page (core(5)).
const HARMLESS_CORE: u64 = 1;
/// The user that owns /proc/PID of a process that is not dumpable (proc(5)).
const ROOT: u32 = 0;

/// A role of a process, for names and texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `vigo`.
    Agent,
    /// `vigo-hand`.
    Hand,
    /// `vigo-net`.
    Worker,
}

impl Role {
    /// As in names of checks.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Hand => "hand",
            Self::Worker => "worker",
        }
    }
}

/// Makes a check.
#[must_use]
pub fn check(name: String, about: &'static str, verdict: Verdict, evidence: String, mend: &str) -> Check {
    let mend = if verdict == Verdict::Bad { mend.to_owned() } else { String::new() };
    Check { name, about, verdict, evidence, mend }
}

/// What a refused or failed look comes to: nothing is known.
fn unseen(error: &io::Error) -> (Verdict, String) {
    let why = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "only root may look there (the process is not dumpable); run `vigo doctor` as root, with the same --state-dir"
        }
        io::ErrorKind::NotFound => "the process has ended",
        _ => return (Verdict::NotConclusive, format!("it could not be read: {error}")),
    };
    (Verdict::NotConclusive, why.to_owned())
}

/// The checks that every process gets. `said` is what it reads back of itself.
#[must_use]
pub fn process(role: Role, process: Process, said: Option<&ProcessFacts>) -> Vec<Check> {
    vec![
        core_limit(role, process, said),
        dumpable(role, process, said),
        tracer(role, process, said),
        sandbox(role, process),
    ]
}

fn core_limit(role: Role, process: Process, said: Option<&ProcessFacts>) -> Check {
    let (verdict, evidence) = match process.core_limit() {
        Ok((soft, hard)) => {
            let shown = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
            let line = format!("/proc/{}/limits: {} and {}", process.0, shown(soft), shown(hard));
            let harmless = soft.is_some_and(|soft| soft <= HARMLESS_CORE);
            match said {
                Some(said) if (said.core_soft, said.core_hard) != (soft, hard) => {
                    let other = format!("; it says {} and {}", shown(said.core_soft), shown(said.core_hard));
                    (Verdict::Bad, line + &other)
                }
                _ => (if harmless { Verdict::Ok } else { Verdict::Bad }, line),
            }
        }
        Err(error) => unseen(&error),
    };
    let mend = "somebody raised it from outside (prlimit): restart the agent, and find out who";
    check(format!("core-limit-{}", role.word()), "it leaves no core in a file", verdict, evidence, mend)
}

/// No line of the kernel says it. The owner of the folder does, unless the process is root's anyway.
fn dumpable(role: Role, process: Process, said: Option<&ProcessFacts>) -> Check {
    let says = match said {
        Some(said) if said.dumpable => "; it says itself that it is dumpable",
        Some(_) => "; it says itself that it is not",
        None => "",
    };
    let (verdict, evidence) = match (process.user(), process.owner()) {
        _ if said.is_some_and(|said| said.dumpable) => {
            (Verdict::Bad, "PR_GET_DUMPABLE, as it says itself, is not 0".to_owned())
        }
        (Ok(ROOT), Ok(_)) => (
            Verdict::NotConclusive,
            format!(
                "it runs as root, so that /proc/{} is root's either way, and there is no `Dumpable:` line in \
                 /proc/{}/status{says}; `vigo doctor --attack` shows it on a throw-away instance",
                process.0, process.0
            ),
        ),
        (Ok(user), Ok(owner)) => {
            let line = format!("/proc/{}/environ of user {user} belongs to {owner}{says}", process.0);
            (if owner == user { Verdict::Bad } else { Verdict::Ok }, line)
        }
        (Err(error), _) | (_, Err(error)) => unseen(&error),
    };
    let about = "no core through a pipe, no look by its own user";
    let mend = "restart the agent; if it stays so, see the warnings in its log";
    check(format!("not-dumpable-{}", role.word()), about, verdict, evidence, mend)
}

fn tracer(role: Role, process: Process, said: Option<&ProcessFacts>) -> Check {
    let said = said.and_then(|said| said.tracer);
    let (verdict, evidence) = match process.status("TracerPid:") {
        Ok(pid) if pid == "0" && said.is_none() => (Verdict::Ok, "TracerPid: 0".to_owned()),
        Ok(pid) => {
            let by = said.map_or(pid, |pid| pid.to_string());
            (Verdict::Bad, format!("TracerPid: {by}: that process sees and changes all it does"))
        }
        Err(error) => unseen(&error),
    };
    let mend = "end the tracing process (`ps -p PID`); debug a throw-away instance with another --state-dir";
    check(format!("not-traced-{}", role.word()), "nobody debugs it", verdict, evidence, mend)
}

/// proc_pid_status(5): `Seccomp: 2` is a filter. The thread that starts children has none, on purpose; the worker has no such thread.
fn sandbox(role: Role, process: Process) -> Check {
    let about = match role {
        Role::Worker => "a filter on all threads, no new privileges",
        Role::Agent | Role::Hand => "a filter keeps its work from the network",
    };
    let seen = process.of_threads("Seccomp:").and_then(|filters| {
        let filtered = filters.iter().filter(|mode| *mode == "2").count();
        let line = format!("a filter on {filtered} of {} threads", filters.len());
        Ok(match role {
            Role::Worker => {
                let privileges = process.of_threads("NoNewPrivs:")?;
                let good = filtered == filters.len() && privileges.iter().all(|set| set == "1");
                (good, format!("{line}; NoNewPrivs: {}", privileges.join(", ")))
            }
            // Whatever has started it, the thread that is not filtered is the one that starts children.
            Role::Agent => (process.status("Seccomp:")? == "2" && filtered + 1 >= filters.len(), line),
            Role::Hand => (filtered > 0 && filtered + 1 >= filters.len(), line),
        })
    });
    let (verdict, evidence) = match seen {
        Ok((good, line)) => (if good { Verdict::Ok } else { Verdict::Bad }, line),
        Err(error) => unseen(&error),
    };
    let mend = "the kernel or the container forbids seccomp: see the reasons of the level, use a kernel with CONFIG_SECCOMP_FILTER";
    check(format!("sandbox-{}", role.word()), about, verdict, evidence, mend)
}

/// Where the hand's values lie.
#[must_use]
pub fn pages(process: Process, said: &HandFacts) -> Vec<Check> {
    let mappings = process.mappings();
    let (verdict, evidence, mend) = match &mappings {
        Ok(mappings) => judge_pages(mappings, said),
        Err(error) => {
            let (verdict, why) = unseen(error);
            (verdict, format!("{why}; it says itself: {} pages", said.pages), "")
        }
    };
    let pages = check("pages-hand".to_owned(), "values lie in pages out of reach", verdict, evidence, mend);
    let (verdict, evidence) = match process.secret_descriptors() {
        Ok(open) if open.is_empty() && said.open_descriptors == 0 => {
            (Verdict::Ok, format!("none in /proc/{}/fd", process.0))
        }
        Ok(open) => (
            Verdict::Bad,
            format!(
                "descriptors {} (it says {}): pidfd_getfd(2) takes one and reads all",
                open.join(", "),
                said.open_descriptors
            ),
        ),
        Err(error) => unseen(&error),
    };
    let about = "no open descriptor leads to those pages";
    let mend = "restart the agent, and report this: it is a fault of Vigo";
    vec![pages, check("page-descriptors-hand".to_owned(), about, verdict, evidence, mend)]
}

fn judge_pages(mappings: &[Mapping], said: &HandFacts) -> (Verdict, String, &'static str) {
    let secret: Vec<&Mapping> =
        mappings.iter().filter(|mapping| mapping.is_secret() && mapping.is_writable).collect();
    let locked: Vec<&Mapping> = mappings
        .iter()
        .filter(|mapping| {
            let protected = mapping.has("lo") && mapping.has("dd") && mapping.has("wf");
            !mapping.is_secret() && mapping.is_writable && protected
        })
        .collect();
    let bytes = |found: &[&Mapping]| found.iter().map(|mapping| mapping.length()).sum::<u64>();
    let reasons =
        if said.reasons.is_empty() { String::new() } else { format!(" ({})", said.reasons.join("; ")) };
    let dearer = "run where memfd_secret(2) can be had: Linux 6.5, or 5.14 booted with secretmem.enable=1, no `arena: mlock`, a container \
                  profile that allows it, and RLIMIT_MEMLOCK of 16 MiB (`LimitMEMLOCK=16M`)";
    match said.pages.as_str() {
        "secret" => {
            let flags = secret.iter().all(|mapping| mapping.has("lo") && mapping.has("dd"));
            let evidence = format!("{} KiB of memfd_secret, VmFlags lo dd: {flags}", bytes(&secret) / 1024);
            // Guard pages and the rounding of sizes are not counted, so that what is said is the least there must be.
            let whole = bytes(&secret) >= said.size;
            match flags && whole && !secret.is_empty() {
                true => (Verdict::Ok, evidence, ""),
                false => (Verdict::Bad, format!("{evidence}; it says {} KiB", said.size / 1024), dearer),
            }
        }
        "locked" => {
            let evidence = format!(
                "{} KiB of locked pages (lo dd wf), which root can read{reasons}",
                bytes(&locked) / 1024
            );
            (Verdict::Bad, evidence, dearer)
        }
        _ => (Verdict::Bad, format!("plain pages: they can be swapped and dumped{reasons}"), dearer),
    }
}

/// Who the worker is.
#[must_use]
pub fn worker(agent: u32, running: Option<Process>, said: &WorkerFacts) -> Vec<Check> {
    let (user, where_from) = match running.map(|process| process.user()) {
        Some(Ok(user)) => (user, format!("/proc/{}/status", said.process)),
        _ => (said.user, "as it said of itself when it ran last".to_owned()),
    };
    let verdict = if user == agent || user != said.user { Verdict::Bad } else { Verdict::Ok };
    let evidence = format!("user {user}, the agent's is {agent} ({where_from})");
    let mend = "run the agent as root with CAP_SETUID: only then can the worker have a user of its own";
    let about = "who takes the network process gets no more";
    let mut found = vec![check("user-worker".to_owned(), about, verdict, evidence, mend)];
    let evidence = match said.missing.is_empty() {
        true => "seccomp, landlock, no capabilities, no new privileges: as it says itself".to_owned(),
        false => said.missing.join("; "),
    };
    let verdict = if said.missing.is_empty() { Verdict::Ok } else { Verdict::Bad };
    let mend =
        "use a kernel with landlock (5.13) that names it in `lsm=`, and a container profile that allows it";
    found.push(check("cage-worker".to_owned(), "the worker's cage is whole", verdict, evidence, mend));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(name: &str, flags: &str) -> Mapping {
        Mapping {
            start: 0,
            end: 2 << 20,
            is_writable: true,
            name: name.to_owned(),
            flags: flags.split(' ').map(str::to_owned).collect(),
        }
    }

    fn judged(mappings: &[Mapping], pages: &str) -> Verdict {
        let said = HandFacts { pages: pages.to_owned(), size: 2 << 20, ..HandFacts::default() };
        judge_pages(mappings, &said).0
    }

    #[test]
    fn pages_are_what_the_kernel_shows_and_not_what_the_hand_says() {
        let secret = mapping("/secretmem (deleted)", "rd wr lo dd");
        assert_eq!(judged(std::slice::from_ref(&secret), "secret"), Verdict::Ok);
        assert_eq!(judged(&[mapping("/secretmem (deleted)", "rd wr dd")], "secret"), Verdict::Bad);
        assert_eq!(judged(&[mapping("", "rd wr lo dd wf")], "secret"), Verdict::Bad, "none is there");
        assert_eq!(judged(&[], "secret"), Verdict::Bad);
        let half = Mapping { end: 1 << 20, ..secret.clone() };
        assert_eq!(judged(&[half], "secret"), Verdict::Bad, "less than it says");
        assert_eq!(judged(std::slice::from_ref(&secret), "locked"), Verdict::Bad);
        assert_eq!(judged(&[secret], "plain"), Verdict::Bad);
    }

    #[test]
    fn a_process_that_is_not_what_it_says_is_bad() {
        let own = Process(std::process::id());
        let (soft, hard) = own.core_limit().unwrap();
        let said = ProcessFacts {
            core_soft: soft.map_or(Some(5), |_| None),
            core_hard: hard,
            ..ProcessFacts::default()
        };
        assert_eq!(core_limit(Role::Agent, own, Some(&said)).verdict, Verdict::Bad);
        let traced = ProcessFacts { tracer: Some(7), ..ProcessFacts::default() };
        assert_eq!(tracer(Role::Agent, own, Some(&traced)).verdict, Verdict::Bad);
        assert_eq!(tracer(Role::Agent, own, None).verdict, Verdict::Ok);
        let dumped = ProcessFacts { dumpable: true, ..ProcessFacts::default() };
        assert_eq!(dumpable(Role::Agent, own, Some(&dumped)).verdict, Verdict::Bad);
        assert_eq!(sandbox(Role::Agent, own).verdict, Verdict::Bad, "a test has no filter");
    }

    #[test]
    fn a_worker_of_the_agents_own_user_or_with_a_hole_in_its_cage_is_bad() {
        let verdicts = |agent, said: &WorkerFacts| -> Vec<Verdict> {
            worker(agent, None, said).into_iter().map(|check| check.verdict).collect()
        };
        let mut said = WorkerFacts { process: 0, user: 61_184, missing: Vec::new() };
        assert_eq!(verdicts(0, &said), [Verdict::Ok, Verdict::Ok]);
        assert_eq!(verdicts(61_184, &said), [Verdict::Bad, Verdict::Ok]);
        said.missing.push("landlock".into());
        assert_eq!(verdicts(0, &said), [Verdict::Ok, Verdict::Bad]);
    }
}
