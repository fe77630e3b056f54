//! `vigo status`, `traits` and `version`: what this machine is, holds and did.

use crate::arguments::OutputArguments;
use crate::enrolment::{self, Enrolment};
use crate::error::AgentError;
use crate::held::Held;
use crate::last_run::{self, LastRun};
use crate::link::{Link, seconds_now};
use crate::machine::Machine;
use crate::output::{self, FORMAT};
use crate::posture::{Facts, Posture};
use crate::{control, json, traits};
use serde::Serialize;
use std::fmt::Write;
use std::time::Duration;
use vigo_base::Exit;
use vigo_hand::{Hand, Role, StartOptions};
use vigo_wire::control::{AgentStatus, Answered, Asked, StatusRequest};

/// How long the daemon is waited for, which may be in a run.
const DAEMON_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Status {
    format: u32,
    version: &'static str,
    state_dir: String,
    enrolled: Option<EnrolledStatus>,
    agent: Option<AgentProcess>,
    protection: Protection,
    last_run: Option<LastRun>,
    waiting_reports: usize,
    owed_notifications: usize,
}

#[derive(Serialize)]
struct EnrolledStatus {
    name: String,
    id: String,
    server: String,
    term: u64,
    generation: u64,
    publish: u64,
    accepted_at: Option<u64>,
    resources: usize,
}

/// The daemon that runs.
#[derive(Serialize)]
struct AgentProcess {
    process: u32,
    version: String,
    started_at: u64,
    hand: Option<u32>,
    held_secrets: u64,
    last_check_in: Option<u64>,
    last_error: Option<String>,
}

#[derive(Serialize)]
struct Protection {
    level: String,
    reasons: Vec<String>,
    swap: Option<String>,
}

/// Shows who this envoy is, what it holds and how its last run ended. The running agent says how well it is protected; where none runs, a hand and
/// a worker are started to read their protection back.
///
/// # Errors
/// When what is stored cannot be read.
pub fn status(machine: &Machine, arguments: OutputArguments) -> Result<Exit, AgentError> {
    let enrolment = Enrolment::load(&machine.state)?;
    let agent = running(machine);
    let protection = match &agent {
        Some(agent) => Protection {
            level: agent.level.clone(),
            reasons: agent.reasons.clone(),
            swap: Some(agent.swap.clone()).filter(|swap| !swap.is_empty()),
        },
        None => Protection::from(posture(machine, enrolment.as_ref())?),
    };
    let enrolled = match &enrolment {
        Some(enrolment) => Some(enrolled_status(machine, enrolment)?),
        None => None,
    };
    let status = Status {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION"),
        state_dir: machine.settings.state_dir.display().to_string(),
        enrolled,
        agent: agent.map(AgentProcess::from),
        protection,
        last_run: last_run::load(&machine.state.root)?,
        waiting_reports: machine.state.queue.names()?.len(),
        owed_notifications: machine.state.owed.names()?.len(),
    };
    if arguments.json {
        output::print_json(&status)?
    } else {
        output::print(&text(&status))?
    }
    Ok(Exit::Success)
}

/// What the daemon of this state folder says, if one runs and is not busy.
fn running(machine: &Machine) -> Option<AgentStatus> {
    let asked = Asked::Status(StatusRequest {});
    match control::ask(&machine.settings.state_dir, asked, DAEMON_PATIENCE) {
        Ok(Some(Answered::Status(status))) => Some(*status),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!("the running agent is not asked: {}", vigo_base::chain(&error));
            None
        }
    }
}

impl From<Posture> for Protection {
    fn from(posture: Posture) -> Self {
        Self {
            level: posture.level.to_string(),
            reasons: posture.reasons,
            swap: posture.swap.map(|class| class.to_string()),
        }
    }
}

impl From<AgentStatus> for AgentProcess {
    fn from(status: AgentStatus) -> Self {
        let hand = status.hand.unwrap_or_default();
        Self {
            process: status.process.unwrap_or_default().process,
            version: status.version,
            started_at: status.started_at,
            hand: hand.process.map(|facts| facts.process),
            held_secrets: hand.values,
            last_check_in: Some(status.last_check_in).filter(|&at| at != 0),
            last_error: Some(status.last_error).filter(|why| !why.is_empty()),
        }
    }
}

fn enrolled_status(machine: &Machine, enrolment: &Enrolment) -> Result<EnrolledStatus, AgentError> {
    let held = Held::load(&machine.state.bundle, enrolment)?;
    let (term, generation) = Held::standing(held.as_ref());
    Ok(EnrolledStatus {
        name: enrolment.name.to_string(),
        id: enrolment.envoy.to_string(),
        server: enrolment.record.server.clone(),
        term,
        generation,
        publish: held.as_ref().map_or(0, |held| held.assignment.assignment().publish),
        accepted_at: held.as_ref().map(|held| held.accepted_at),
        resources: held.as_ref().map_or(0, |held| held.bundle.resources.len()),
    })
}

/// Reads the protection back from a hand and a worker that are started for this and end again; that no hand can be started is a part of it.
///
/// # Errors
/// When the worker cannot be started.
pub fn posture(machine: &Machine, enrolment: Option<&Enrolment>) -> Result<Posture, AgentError> {
    let options = StartOptions {
        arena: machine.settings.arena,
        arena_max: machine.settings.arena_max,
        ..StartOptions::new(Role::Node)
    };
    // Where none can be started that is what is to be said.
    let hand = Hand::start(&machine.spawner, &options).and_then(|mut hand| hand.status());
    let no_hand = hand.as_ref().err().map(|error| vigo_base::chain(error));
    let worker = match enrolment {
        Some(enrolment) => Link::start(&machine.spawner, enrolment, machine.settings.keep_alive)?.1,
        None => None,
    };
    let facts = Facts {
        hand: hand.ok(),
        no_hand,
        worker,
        enrolled: enrolment.is_some(),
        warnings: machine.warnings.clone(),
        swap: traits::swap_class(),
    };
    Ok(Posture::assess(&facts, machine.settings.arena, &enrolment::identity_path(&machine.state)))
}

fn text(status: &Status) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_text(&mut out, status);
    out
}

fn write_text(out: &mut String, status: &Status) -> std::fmt::Result {
    match &status.enrolled {
        Some(enrolled) => {
            writeln!(out, "envoy        {} ({})", enrolled.name, enrolled.id)?;
            writeln!(out, "server       {}", enrolled.server)?;
            match enrolled.accepted_at {
                Some(at) => writeln!(
                    out,
                    "holds        publish {}, generation {}.{}, {} resources, accepted {} s ago",
                    enrolled.publish,
                    enrolled.term,
                    enrolled.generation,
                    enrolled.resources,
                    seconds_now().saturating_sub(at)
                )?,
                None => writeln!(out, "holds        nothing yet; `vigo run` asks the server")?,
            }
        }
        None => writeln!(out, "envoy        not enrolled with a server")?,
    }
    match &status.agent {
        Some(agent) => {
            let since = seconds_now().saturating_sub(agent.started_at);
            write!(out, "agent        process {}, running for {since} s", agent.process)?;
            match agent.hand {
                Some(hand) => writeln!(out, "; its hand {hand} holds {} secrets", agent.held_secrets)?,
                None => writeln!(out)?,
            }
            if let Some(why) = &agent.last_error {
                writeln!(out, "             - its last run failed: {why}")?;
            }
        }
        None => writeln!(out, "agent        not running")?,
    }
    writeln!(out, "protection   {}", status.protection.level)?;
    for reason in &status.protection.reasons {
        writeln!(out, "             - {reason}")?;
    }
    writeln!(out, "swap         {}", status.protection.swap.as_deref().unwrap_or("unknown"))?;
    match &status.last_run {
        Some(run) => {
            let kind = match (run.dry_run, run.offline) {
                (true, _) => ", dry run",
                (false, true) => ", without the server",
                (false, false) => "",
            };
            writeln!(
                out,
                "last run     {} s ago{kind}: {} unchanged, {} changed, {} failed, {} blocked, {} skipped",
                seconds_now().saturating_sub(run.started_at),
                run.unchanged,
                run.changed,
                run.failed,
                run.blocked,
                run.skipped
            )?;
            for (id, reason) in &run.bad {
                writeln!(out, "             - {id}: {reason}")?;
            }
            if let Some(exposed) =
                output::exposed(run.exposures.iter().filter_map(|one| one.way.parse().ok()))
            {
                writeln!(out, "             {exposed}")?;
            }
        }
        None => writeln!(out, "last run     none")?,
    }
    if status.waiting_reports > 0 {
        writeln!(out, "waiting      reports for the server: {}", status.waiting_reports)?;
    }
    if status.owed_notifications > 0 {
        writeln!(out, "owed         notifications: {}", status.owed_notifications)?;
    }
    writeln!(out, "state        {}", status.state_dir)
}

/// Shows what this machine found out about itself.
///
/// # Errors
/// When a process to read the protection back cannot be started.
pub fn traits(machine: &Machine, arguments: OutputArguments) -> Result<Exit, AgentError> {
    let enrolment = Enrolment::load(&machine.state)?;
    let posture = posture(machine, enrolment.as_ref())?;
    let traits = crate::traits::collect(&posture);
    for failed in &traits.failed {
        tracing::warn!(trait_ = failed.name, "cannot be found out: {}", failed.reason);
    }
    let value = json::value(&traits.all);
    if arguments.json {
        let object = serde_json::json!({ "format": FORMAT, "traits": value });
        output::print_json(&object)?;
    } else {
        let text =
            serde_json::to_string_pretty(&value).map_err(|error| AgentError::Run(error.to_string()))?;
        output::print(&format!("{text}\n"))?;
    }
    Ok(if traits.failed.is_empty() { Exit::Success } else { Exit::Bad })
}

/// Prints the version.
///
/// # Errors
/// When it cannot be printed.
pub fn version(arguments: OutputArguments) -> Result<Exit, AgentError> {
    let version = env!("CARGO_PKG_VERSION");
    if arguments.json {
        output::print_json(&serde_json::json!({ "format": FORMAT, "name": "vigo", "version": version }))?;
    } else {
        output::print(&format!("vigo {version}\n"))?;
    }
    Ok(Exit::Success)
}
