//! `vigo run`: the way of a policy on this machine, from the check-in to the report. The server's half is `publish`.

use crate::arguments::{ConvergeArguments, RunArguments};
use crate::converge::{Wanted, converge, facts_of};
use crate::enrolment::{self, Enrolment};
use crate::error::AgentError;
use crate::held::{self, Held};
use crate::link::{Link, seconds_now};
use crate::machine::Machine;
use crate::posture::{Facts, Posture};
use crate::secrets::{ServerSecrets, drop_all, drop_stale, versions};
use crate::settings::SecretCache;
use crate::traits::{self, Traits};
use crate::{last_run, output, reports};
use prost::Message;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;
use vigo_base::{Blame, Digest, Exit};
use vigo_host::Hands;
use vigo_wire::inner::{Answer, Ask, BundleRequest, CheckIn, CheckInReply, Renew};
use vigo_wire::worker::Configured;

/// Days in seconds.
const DAY_S: u64 = 86_400;
/// The word with which a server refuses everything but a renewal.
pub const EXPIRED: &str = "expired";
/// The continuity value and the digest of the traits that the server has, in the identity folder.
const CONTINUITY: &str = "continuity";
const TRAITS_DIGEST: &str = "traits.digest";
/// Both: an envoy that is enrolled anew starts without them.
pub const KNOWN_TO_THE_SERVER: [&str; 2] = [CONTINUITY, TRAITS_DIGEST];

/// Runs once and prints the result.
///
/// # Errors
/// When it could not run; what became of single resources is in the printed result and the exit code.
pub fn run(machine: &Machine, arguments: &RunArguments) -> Result<Exit, AgentError> {
    let mut enrolment = Enrolment::load(&machine.state)?.ok_or(AgentError::NotEnrolled)?;
    let _lock = machine.state.lock(arguments.converge.wait)?;
    let hands = machine.hands(Some(enrolment.envoy))?;
    once(machine, &mut enrolment, &hands, arguments.online, &arguments.converge)
}

/// One run with a hand that may already hold values: what the daemon repeats.
///
/// # Errors
/// As [`run`].
pub fn once(
    machine: &Machine,
    enrolment: &mut Enrolment,
    hands: &Rc<Hands>,
    online: bool,
    arguments: &ConvergeArguments,
) -> Result<Exit, AgentError> {
    let (mut link, worker) = Link::start(&machine.spawner, enrolment, machine.settings.keep_alive)?;
    let way = Way { link: &mut link, worker, news: None };
    through(machine, enrolment, hands, way, online, arguments).map(|ran| ran.exit)
}

/// How a run gets to its server.
pub struct Way<'a> {
    /// Through a worker that was started.
    pub link: &'a mut Link,
    /// What that said of itself.
    pub worker: Option<Configured>,
    /// What a check-in was answered that was made already; `None` to make one.
    pub news: Option<CheckInReply>,
}

/// What came of a run.
pub struct Ran {
    /// How it ended.
    pub exit: Exit,
    /// The server was there, what it assigned was taken, and no secret had to wait.
    pub is_settled: bool,
    /// What a later check-in says of this machine, traits whole.
    pub check_in: CheckIn,
}

/// One run. Asked to stop, it ends after the resource at hand, and reports.
///
/// # Errors
/// As [`run`].
pub fn through(
    machine: &Machine,
    enrolment: &mut Enrolment,
    hands: &Rc<Hands>,
    Way { link, worker, news }: Way<'_>,
    online: bool,
    arguments: &ConvergeArguments,
) -> Result<Ran, AgentError> {
    let (started, started_at) = (Instant::now(), seconds_now());
    {
        let mut seen = machine.seen.borrow_mut();
        seen.worker.clone_from(&worker);
        seen.worker_process = link.worker_process();
    }
    let held = Held::load(&machine.state.bundle, enrolment)?;
    let facts = Facts { worker, enrolled: true, swap: traits::swap_class(), ..machine.facts(hands) };
    let posture = assess(machine, &facts, hands);
    posture.log();
    let traits = traits::collect(&posture);

    let about = About { traits: &traits, posture: &posture };
    let mut refusals = Vec::new();
    let (held, offline) = match check_in(machine, enrolment, link, held, news, &about) {
        Ok(held) => {
            machine.seen.borrow_mut().checked_in_at = Some(seconds_now());
            (held, false)
        }
        Err(failed) => match *failed {
            (held, error) if error.blame() == Blame::Peer && !online => {
                // Somebody may have signed twice, or the server was restored: the operator is to see it.
                refusals.extend(matches!(error, AgentError::Assignment(_)).then(|| error.to_string()));
                (Some(held_or(held, error)?), true)
            }
            (_, error) => return Err(error),
        },
    };
    let Some(held) = held else { return Err(AgentError::Answer("it holds no assignment for this envoy")) };

    if vigo_sys::signal::is_stop_asked() {
        return Err(AgentError::Stopped);
    }
    let standing = Held::standing(Some(&held));
    let known = versions(&held.secrets);
    if !offline {
        drop_stale(hands, &known);
    }
    let secrets = ServerSecrets {
        hands: Rc::clone(hands),
        link: RefCell::new(if offline { None } else { Some(&mut *link) }),
        enrolment,
        standing,
        versions: RefCell::new(known),
        away: Cell::new(offline),
        later: RefCell::default(),
        unobtainable: RefCell::default(),
        posture: &|hands| assess(machine, &facts, hands),
    };
    let assignment = held.assignment.assignment();
    say_what_is_special(&held);
    let wanted = Wanted {
        bundle: &held.bundle,
        parameters: &assignment.parameters,
        envoy: facts_of(&assignment.name, &enrolment.envoy.to_string(), &assignment.environment),
    };
    let report = converge(machine, hands, &wanted, &traits, &secrets, arguments);
    if machine.settings.secret_cache == SecretCache::Apply {
        drop_all(hands);
    }
    let report = report?;
    let is_settled = !secrets.away.get() && refusals.is_empty();

    let posture = assess(machine, &facts, hands);
    let frame = reports::Frame {
        started_at,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        standing,
        publish: assignment.publish,
        offline,
    };
    let mut wire_report = reports::make(&report, &frame, &posture)?;
    wire_report.problems.extend(refusals);
    reports::queue(&machine.state.queue, &wire_report)?;
    let waiting = if offline { 0 } else { reports::flush(&machine.state.queue, link, enrolment)? };
    let is_settled = is_settled && waiting == 0;
    last_run::store(&machine.state.root, &report, &frame, &posture)?;
    output::print_run(&report, &assignment.name, offline, arguments)?;
    let exit = output::exit(&report, arguments.detailed_exit_code);
    Ok(Ran { exit, is_settled, check_in: About { traits: &traits, posture: &posture }.check_in(standing) })
}

/// What a check-in says of this machine.
struct About<'a> {
    traits: &'a Traits,
    posture: &'a Posture,
}

impl About<'_> {
    /// The check-in of who holds that term and generation, traits whole. What it says of the moment is left out.
    fn check_in(&self, (term, generation): (u64, u64)) -> CheckIn {
        CheckIn {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            formats: vec![vigo_wire::bundle::FORMAT],
            term,
            generation,
            traits_digest: Digest::of(&self.traits.lasting.encode_to_vec()).as_bytes().to_vec(),
            traits: Some(self.traits.lasting.clone()),
            posture: Some(self.posture.to_wire()),
            clock: seconds_now(),
            continuity: Vec::new(),
            hold_s: 0,
        }
    }
}

/// The protection as it can be read back now, of the hand that runs now.
fn assess(machine: &Machine, facts: &Facts, hands: &Hands) -> Posture {
    let facts = Facts { hand: hands.status(), ..facts.clone() };
    Posture::assess(&facts, machine.settings.arena, &enrolment::identity_path(&machine.state))
}

fn say_what_is_special(held: &Held) {
    let assignment = held.assignment.assignment();
    if assignment.unmatched {
        tracing::warn!("no match block fits `{}`: nothing is to be done", assignment.name);
    }
    if held.bundle.observe {
        tracing::warn!("the match block says `mode: observe`: what would change is said and not done");
    }
}

/// Without the server a machine goes on with what it holds, and says how old that is.
fn held_or(held: Option<Held>, error: AgentError) -> Result<Held, AgentError> {
    let Some(held) = held else { return Err(error) };
    let age = seconds_now().saturating_sub(held.accepted_at);
    let cause = vigo_base::chain(&error);
    match error {
        AgentError::Assignment(_) => tracing::error!("{cause}; applying what is held, accepted {age} s ago"),
        _ => tracing::warn!("the server is away ({cause}); applying what is held, accepted {age} s ago"),
    }
    Ok(held)
}

type CheckedIn = Result<Option<Held>, Box<(Option<Held>, AgentError)>>;

/// Asks the server whether anything is new, unless it was asked already, and takes it. An error gives back what was held before.
fn check_in(
    machine: &Machine,
    enrolment: &mut Enrolment,
    link: &mut Link,
    held: Option<Held>,
    news: Option<CheckInReply>,
    about: &About<'_>,
) -> CheckedIn {
    let mut asked = match news {
        Some(reply) => Ok(reply),
        None => ask_check_in(machine, enrolment, link, held.as_ref(), about),
    };
    if matches!(&asked, Err(AgentError::Refused { code, .. }) if code == EXPIRED) {
        asked = renew(machine, enrolment, link, seconds_now())
            .and_then(|()| ask_check_in(machine, enrolment, link, held.as_ref(), about));
    }
    let checked = asked.and_then(|reply| take(machine, enrolment, link, held.as_ref(), reply));
    match checked {
        Ok(taken) => Ok(taken.or(held)),
        Err(error) => Err(Box::new((held, error))),
    }
}

fn ask_check_in(
    machine: &Machine,
    enrolment: &Enrolment,
    link: &mut Link,
    held: Option<&Held>,
    about: &About<'_>,
) -> Result<CheckInReply, AgentError> {
    let identity = &machine.state.identity;
    let mut ask = about.check_in(Held::standing(held));
    let digest = ask.traits_digest.clone();
    let known = identity.read(TRAITS_DIGEST, 64)?.is_some_and(|known| known == digest);
    let traits = ask.traits.take();
    ask.traits = traits.clone().filter(|_| !known);
    ask.continuity = continuity(machine)?;
    let mut reply = check_in_once(link, enrolment, ask.clone())?;
    if reply.want_traits && ask.traits.is_none() {
        ask.traits = traits;
        reply = check_in_once(link, enrolment, ask)?;
    }
    if !known {
        identity.write(TRAITS_DIGEST, &digest)?;
    }
    keep_continuity(machine, &reply)?;
    Ok(reply)
}

/// The continuity value last given.
///
/// # Errors
/// When it cannot be read.
pub fn continuity(machine: &Machine) -> Result<Vec<u8>, AgentError> {
    Ok(machine.state.identity.read(CONTINUITY, 256)?.unwrap_or_default())
}

/// Keeps a new continuity value, before anything else is done with the answer.
///
/// # Errors
/// When it cannot be stored.
pub fn keep_continuity(machine: &Machine, reply: &CheckInReply) -> Result<(), AgentError> {
    if !reply.continuity.is_empty() {
        machine.state.identity.write(CONTINUITY, &reply.continuity)?;
    }
    Ok(())
}

fn check_in_once(link: &mut Link, enrolment: &Enrolment, ask: CheckIn) -> Result<CheckInReply, AgentError> {
    match link.ask(enrolment, Ask::CheckIn(ask))? {
        Answer::CheckIn(reply) => Ok(reply),
        _ => Err(AgentError::Answer("it is no answer to a check-in")),
    }
}

/// Takes a new assignment, and renews the transport certificate when it is time.
fn take(
    machine: &Machine,
    enrolment: &mut Enrolment,
    link: &mut Link,
    held: Option<&Held>,
    reply: CheckInReply,
) -> Result<Option<Held>, AgentError> {
    let server_time = reply.server_time;
    let time = seconds_now().max(enrolment.record.server_time).max(server_time);
    let taken = held::take(&machine.state.bundle, enrolment, held, reply, time, |digest| {
        let ask = BundleRequest { digest: digest.as_bytes().to_vec() };
        match link.ask(enrolment, Ask::Bundle(ask))? {
            Answer::Bundle(reply) => Ok(reply.bundle),
            _ => Err(AgentError::Answer("it is no bundle")),
        }
    })?;
    match keep_time(machine, enrolment, link, server_time) {
        // What was taken is taken: the old certificate is good for some days yet.
        Err(error) if error.blame() == Blame::Peer => {
            tracing::warn!("the transport certificate is not renewed yet: {}", vigo_base::chain(&error));
        }
        kept => kept?,
    }
    Ok(taken)
}

/// Remembers the server's time once a day, and renews the transport certificate at two thirds of its life.
fn keep_time(
    machine: &Machine,
    enrolment: &mut Enrolment,
    link: &mut Link,
    server_time: u64,
) -> Result<(), AgentError> {
    if enrolment.is_renewal_due(server_time) {
        return renew(machine, enrolment, link, server_time);
    }
    if server_time.saturating_sub(enrolment.record.server_time) < DAY_S {
        return Ok(());
    }
    enrolment.record.server_time = server_time;
    enrolment::store(&machine.state.identity, &enrolment.record)
}

/// Gets a new transport certificate for a new key of the worker's: good for reaching the server, proof of nothing to it.
fn renew(machine: &Machine, enrolment: &mut Enrolment, link: &mut Link, now: u64) -> Result<(), AgentError> {
    let key = link.new_transport_key()?;
    let ask = Renew { request: key.certificate_request.clone() };
    let Answer::Renew(reply) = link.ask(enrolment, Ask::Renew(ask))? else {
        return Err(AgentError::Answer("it is no transport certificate"));
    };
    let mut record = enrolment.record.clone();
    record.transport_key.clone_from(&key.key);
    record.transport_chain = reply.chain;
    record.transport_since = now;
    record.server_time = record.server_time.max(now);
    enrolment::store(&machine.state.identity, &record)?;
    enrolment.record = record;
    link.configure(enrolment).map(drop)
}
