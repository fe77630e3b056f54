//! `vigo doctor`: asks the running agent what it is, then checks from outside what it said; with `--attack` tries what an attacker would.
//!
//! Where no agent runs, a hand and a worker are started to be examined. `checks` looks at processes, `host` at the machine and the state
//! folder, `attack` starts the attacker that `attacker` is. It changes nothing of the running agent.

#[cfg(target_os = "linux")]
mod attack;
#[cfg(target_os = "linux")]
mod attacker;
mod checks;
#[cfg(target_os = "linux")]
mod cores;
#[cfg(target_os = "linux")]
mod holder;
mod host;
mod process;
mod report;
#[cfg(target_os = "linux")]
mod swapped;

#[cfg(target_os = "linux")]
pub use attacker::enter;

/// There is no attacker on this system.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn enter() -> Option<std::process::ExitCode> {
    None
}

use crate::arguments::DoctorArguments;
use crate::enrolment::{self, Enrolment};
use crate::error::AgentError;
use crate::link::Link;
use crate::machine::Machine;
use crate::posture::{Facts, Posture};
use crate::{about, control, output, traits};
use checks::{Role, check};
use process::Process;
use report::{Check, Examined, Findings, Verdict};
use std::path::Path;
use std::time::Duration;
use vigo_base::Exit;
use vigo_hand::{Hand, StartOptions};
use vigo_wire::control::{AgentStatus, Answered, Asked, HandFacts, StatusRequest, WorkerFacts};

/// How long the running agent is waited for, which answers between two runs.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is examined: what it says, and the processes that were started for that and end with this.
struct Subject {
    said: AgentStatus,
    hand: HandFacts,
    is_running: bool,
    _hand: Option<Hand>,
    _link: Option<Link>,
}

/// Examines this machine's agent and prints what was found.
///
/// # Errors
/// When the running agent does not answer, or what is to be examined cannot be started.
pub fn doctor(machine: &Machine, arguments: &DoctorArguments) -> Result<Exit, AgentError> {
    let looks = machine.state.root.is_only_to_look();
    if looks && arguments.attack {
        return Err(another("the attack takes the rights of the agent's user"));
    }
    let subject = match ask(machine)? {
        Some(said) => of_running(machine, said)?,
        None if looks => return Err(another("no agent runs there, and root's would be another")),
        None => of_own(machine)?,
    };
    let mut checks = vec![level(&subject.said)];
    checks.extend(of_processes(&subject));
    checks.extend(host::machine(Path::new("/"), &subject.hand.pages));
    // Whoever can have the lock knows that nobody runs.
    let lock = machine.state.lock(Duration::ZERO);
    checks.extend(host::state(&machine.settings.state_dir, lock.is_err()));
    drop(lock);
    let attacks = if arguments.attack { attacks(machine, &subject)? } else { Vec::new() };
    let Subject { said, hand, is_running, .. } = &subject;
    let process = |facts: Option<u32>| facts.filter(|&process| process != 0);
    let examined = Examined {
        is_running: *is_running,
        agent: said.process.as_ref().map_or(0, |facts| facts.process),
        hand: process(hand.process.as_ref().map(|facts| facts.process)),
        worker: process(said.worker.as_ref().map(|worker| worker.process)),
    };
    let level = (said.level.clone(), said.reasons.clone());
    let findings = Findings::new(examined, level, said.settings.clone(), checks, attacks);
    if arguments.json {
        output::print_json(&findings)?
    } else {
        output::print(&findings.text())?
    }
    Ok(findings.exit())
}

fn another(why: &str) -> AgentError {
    AgentError::Operator(format!(
        "cannot do that to the agent of another user: {why}; run `vigo doctor` as that user"
    ))
}

fn ask(machine: &Machine) -> Result<Option<AgentStatus>, AgentError> {
    let asked = Asked::Status(StatusRequest {});
    match control::ask(&machine.settings.state_dir, asked, PATIENCE)? {
        Some(Answered::Status(status)) => Ok(Some(*status)),
        _ => Ok(None),
    }
}

fn own_hand(machine: &Machine) -> Result<(Hand, HandFacts), AgentError> {
    let options = StartOptions {
        arena: machine.settings.arena,
        arena_max: machine.settings.arena_max,
        ..StartOptions::new(vigo_hand::Role::Node)
    };
    let mut hand = Hand::start(&machine.spawner, &options)?;
    let facts = about::hand_facts(hand.status()?);
    Ok((hand, facts))
}

/// The running agent; without a hand of its own one is started as it would start it.
fn of_running(machine: &Machine, said: AgentStatus) -> Result<Subject, AgentError> {
    let (own, facts) = match said.hand.clone() {
        Some(facts) => (None, facts),
        // Root's hand would not be like that one.
        None if machine.state.root.is_only_to_look() => (None, HandFacts::default()),
        None => own_hand(machine).map(|(hand, facts)| (Some(hand), facts))?,
    };
    Ok(Subject { said, hand: facts, is_running: true, _hand: own, _link: None })
}

/// Nobody runs: this process, a hand and a worker stand for those that would.
fn of_own(machine: &Machine) -> Result<Subject, AgentError> {
    let enrolment = Enrolment::load(&machine.state)?;
    let (mut hand, facts) = own_hand(machine)?;
    let (link, worker) = match &enrolment {
        Some(enrolment) => Link::start(&machine.spawner, enrolment, machine.settings.keep_alive)
            .map(|(link, says)| (Some(link), says))?,
        None => (None, None),
    };
    let known = Facts {
        hand: Some(hand.status()?),
        no_hand: None,
        worker: worker.clone(),
        enrolled: enrolment.is_some(),
        warnings: machine.warnings.clone(),
        swap: traits::swap_class(),
    };
    let identity = enrolment::identity_path(&machine.state);
    let posture = Posture::assess(&known, machine.settings.arena, &identity).to_wire();
    let said = AgentStatus {
        process: Some(about::own(machine)),
        level: posture.level,
        reasons: posture.reasons,
        swap: posture.swap,
        hand: Some(facts.clone()),
        worker: worker.map(|worker| WorkerFacts {
            process: link.as_ref().and_then(Link::worker_process).unwrap_or_default(),
            user: worker.user,
            missing: worker.missing,
        }),
        settings: about::settings(machine),
        ..AgentStatus::default()
    };
    Ok(Subject { said, hand: facts, is_running: false, _hand: Some(hand), _link: link })
}

fn level(said: &AgentStatus) -> Check {
    let verdict = if said.level == "secure" { Verdict::Ok } else { Verdict::Bad };
    let why = if said.reasons.is_empty() { String::new() } else { format!(": {}", said.reasons.join("; ")) };
    let about = "the agent says that all of its protection holds";
    let mend = "see the checks below, and docs/guide/harden-an-envoy.md";
    check("level".to_owned(), about, verdict, format!("{}{why}", said.level), mend)
}

fn of_processes(subject: &Subject) -> Vec<Check> {
    let said = &subject.said;
    let mut checks = Vec::new();
    let mut user = rustix::process::geteuid().as_raw();
    if let Some(facts) = &said.process {
        let agent = Process(facts.process);
        user = agent.user().unwrap_or(user);
        checks.extend(checks::process(Role::Agent, agent, Some(facts)));
    }
    if let Some(facts) = &subject.hand.process {
        let hand = Process(facts.process);
        checks.extend(checks::process(Role::Hand, hand, Some(facts)));
        checks.extend(checks::pages(hand, &subject.hand));
    }
    if let Some(worker) = &said.worker {
        let running = Some(Process(worker.process)).filter(|process| process.0 != 0);
        if let Some(process) = running {
            checks.extend(checks::process(Role::Worker, process, None));
        }
        checks.extend(checks::worker(user, running, worker));
    }
    checks
}

#[cfg(not(target_os = "linux"))]
fn attacks(_: &Machine, _: &Subject) -> Result<Vec<report::Attack>, AgentError> {
    Err(AgentError::Operator("cannot attack: `--attack` knows how to on Linux only".to_owned()))
}

/// Attacks the running agent, its hand only where it is its own, and what is started for that.
#[cfg(target_os = "linux")]
fn attacks(machine: &Machine, subject: &Subject) -> Result<Vec<report::Attack>, AgentError> {
    if !subject.is_running {
        return attack::attack(machine, attack::Running::default());
    }
    let process = |facts: Option<u32>| facts.unwrap_or_default();
    let hand = subject.said.hand.as_ref().and_then(|hand| hand.process.as_ref()).map(|facts| facts.process);
    let pages = hand.and_then(|hand| Process(hand).mappings().ok()).unwrap_or_default();
    let address = pages.iter().find(|mapping| mapping.is_writable && mapping.has("lo"));
    let running = attack::Running {
        agent: process(subject.said.process.as_ref().map(|facts| facts.process)),
        hand: process(hand),
        address: address.map_or(0, |mapping| mapping.start),
    };
    attack::attack(machine, running)
}
