//! The inner session with the server, through the worker. Whatever is asked here is asked of the server itself: the worker can delay and deny, nothing else.

use crate::enrolment::Enrolment;
use crate::error::AgentError;
use crate::waiting;
use crate::worker::Worker;
use prost::Message;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use vigo_base::{Digest, limits};
use vigo_sys::spawn::Spawner;
use vigo_wire::WireError;
use vigo_wire::inner::{Answer, Ask, Refused, Reply, Request};
use vigo_wire::session::{Initiator, Session, SessionContext};
use vigo_wire::worker::{Client, Configured, Kind, TransportKey};

/// One request and its answer may take so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// All requests of one run together are waited for so long: a worker that delays every answer as long as it may delays a run no longer than this.
const RUN_PATIENCE: Duration = Duration::from_secs(120);
/// What an answer that was held may take beyond its time.
pub const HELD_PATIENCE: Duration = Duration::from_secs(20);
/// Asked to stop, a process waits no longer than this for all answers of the server that it still wants: what is not reported then is reported by the
/// next start.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// A session that turned out to be unknown, or of which nothing is known, is made anew so many times.
const SESSIONS: u32 = 3;
/// Of what the worker says is missing of its cage, so many lines are kept.
const MISSING_LINES: usize = 20;
/// And so much of each.
const MISSING_LENGTH: usize = 200;

/// A session with the server, made when it is first used and again when it is lost.
pub struct Link {
    client: Client,
    worker: Option<Worker>,
    context: SessionContext,
    session: Option<([u8; 16], Session)>,
    /// A request whose answer may be held.
    held: Option<Held>,
    /// The pipe failed, so it is out of step: nothing more is asked over it.
    is_lost: bool,
    /// What is left of the time for waiting in this run.
    patience: Duration,
    /// When it was first seen that the process is asked to stop.
    stop_seen: Option<Instant>,
    /// After so long a connection on which nothing comes is asked whether it lives; zero for the worker's own choice.
    keep_alive: Duration,
    /// A key for the next transport certificate.
    transport_key: Option<TransportKey>,
}

/// A request whose answer may be held, on its way.
struct Held {
    message: Vec<u8>,
    time: Duration,
    step: Step,
}

/// How far it is.
enum Step {
    Handshake([u8; 16], Initiator),
    Asked([u8; 16], Session),
}

impl Link {
    /// Starts a worker and tells it where the server is; gives what the worker says of its sandbox, if it says anything. Nothing is sent yet.
    ///
    /// # Errors
    /// When the worker cannot be started.
    pub fn start(
        spawner: &Spawner,
        enrolment: &Enrolment,
        keep_alive: Duration,
    ) -> Result<(Self, Option<Configured>), AgentError> {
        let (worker, client) = Worker::start(spawner)?;
        let (link, says) = Self::with(client, enrolment, keep_alive);
        Ok((Self { worker: Some(worker), ..link }, says))
    }

    /// Over a worker that somebody else started. For one that does not do as it is told, the server is away.
    #[must_use]
    pub fn over(client: Client, enrolment: &Enrolment) -> (Self, Option<Configured>) {
        Self::with(client, enrolment, Duration::ZERO)
    }

    fn with(client: Client, enrolment: &Enrolment, keep_alive: Duration) -> (Self, Option<Configured>) {
        let context = SessionContext { anchor: Digest::of(&enrolment.anchor), envoy: enrolment.envoy };
        let mut link = Self {
            client,
            worker: None,
            context,
            session: None,
            held: None,
            is_lost: false,
            patience: RUN_PATIENCE,
            stop_seen: None,
            keep_alive,
            transport_key: None,
        };
        if enrolment.is_renewal_due(seconds_now()) {
            // Made before the worker first touches the network: nobody can have taken it yet.
            link.transport_key = link.make_transport_key().ok();
        }
        let says = link.configure(enrolment);
        (link, says.inspect_err(|error| tracing::warn!("{}", vigo_base::chain(error))).ok())
    }

    /// The worker's process, if it was started here.
    #[must_use]
    pub fn worker_process(&self) -> Option<u32> {
        self.worker.as_ref().map(Worker::process)
    }

    /// A run begins: its time for waiting is counted from here. `patience`: as much as that, instead of the usual.
    pub fn begin_run(&mut self, patience: Option<Duration>) {
        self.patience = patience.unwrap_or(RUN_PATIENCE);
    }

    /// True if nothing can be asked over it any more: start another one.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Tells the worker where the server is and who the worker is to networks.
    ///
    /// # Errors
    /// When the worker cannot use it.
    pub fn configure(&mut self, enrolment: &Enrolment) -> Result<Configured, AgentError> {
        let keep_alive_ms = u64::try_from(self.keep_alive.as_millis()).unwrap_or(u64::MAX);
        let mut configure = enrolment.transport();
        configure.keep_alive_ms = keep_alive_ms;
        let says = self.timed(|client, _| client.configure(configure));
        says.map(printable).map_err(|error| self.relay_error(error))
    }

    /// A key for a new transport certificate: the one that was made before the worker touched the network, if there is one.
    ///
    /// # Errors
    /// When the worker does not make one.
    pub fn new_transport_key(&mut self) -> Result<TransportKey, AgentError> {
        match self.transport_key.take() {
            Some(key) => Ok(key),
            None => self.make_transport_key(),
        }
    }

    fn make_transport_key(&mut self) -> Result<TransportKey, AgentError> {
        self.timed(|client, _| client.make_transport_key()).map_err(|error| self.relay_error(error))
    }

    /// Asks the worker something, and counts how long that took. `ask` gets the time that it may take at most.
    fn timed<T>(
        &mut self,
        ask: impl FnOnce(&Client, Duration) -> Result<T, WireError>,
    ) -> Result<T, WireError> {
        if self.patience.is_zero() {
            self.is_lost = true;
            return Err(WireError::Timeout { what: "the answers of the server to one run" });
        }
        let began = Instant::now();
        let answer = ask(&self.client, PATIENCE.min(self.patience));
        self.patience = self.patience.saturating_sub(began.elapsed());
        answer
    }

    /// An error of the worker or of its pipe. After one of the pipe, no answer on it can be told from another.
    fn relay_error(&mut self, error: WireError) -> AgentError {
        self.is_lost |= !matches!(error, WireError::Worker(_));
        AgentError::Relay(error)
    }

    /// Asks the server and gives its answer. Every request may be sent twice: see the decision on frames.
    ///
    /// # Errors
    /// When the server cannot be reached, does not hold its key, or refuses.
    pub fn ask(&mut self, enrolment: &Enrolment, ask: Ask) -> Result<Answer, AgentError> {
        let message = Request { ask: Some(ask) }.encode_to_vec();
        let mut tried = 0;
        let reply = loop {
            tried += 1;
            match self.exchange(enrolment, &message) {
                Err(error) if tried < SESSIONS && is_lost_session(&error) => {
                    tracing::debug!(%error, "the inner session is lost, making a new one");
                    self.session = None;
                }
                Err(error) if self.is_lost || matches!(error, WireError::Worker(_)) => {
                    return Err(AgentError::Relay(error));
                }
                other => break other?,
            }
        };
        answer_in(&reply)
    }

    /// Sends a request whose answer the server may hold for `time`. The link becomes readable when something came: then
    /// [`Link::advance_held`]. Nothing else is asked meanwhile.
    ///
    /// # Errors
    /// When the worker does not take it.
    pub fn begin_held(&mut self, enrolment: &Enrolment, ask: Ask, time: Duration) -> Result<(), AgentError> {
        let message = Request { ask: Some(ask) }.encode_to_vec();
        let now = seconds_now();
        let session = self.session.take().filter(|(_, session)| !session.is_due(now));
        let begun = match session {
            Some(session) => self.send_held(enrolment, message, time, session),
            None => self.greet_held(enrolment, message, time),
        };
        begun.map_err(|error| self.relay_error(error))
    }

    /// Takes what came; gives the answer when that was it.
    ///
    /// # Errors
    /// When the server did not hold its key, refuses, or the connection was lost: then it may be asked again, with a new session.
    pub fn advance_held(&mut self, enrolment: &Enrolment) -> Result<Option<Answer>, AgentError> {
        let held = self.held.take().ok_or(AgentError::Relay(WireError::Poisoned))?;
        let came = self.client.finish_exchange().map_err(|error| self.relay_error(error))?;
        let now = seconds_now();
        match held.step {
            Step::Handshake(id, initiator) => {
                let session = initiator.finish(&came, now).map_err(AgentError::Relay)?;
                let sent = self.send_held(enrolment, held.message, held.time, (id, session));
                sent.map(|()| None).map_err(|error| self.relay_error(error))
            }
            Step::Asked(id, mut session) => {
                let reply = session.receive(&came, now).map_err(AgentError::Relay)?;
                self.session = Some((id, session));
                answer_in(&reply).map(Some)
            }
        }
    }

    fn greet_held(
        &mut self,
        enrolment: &Enrolment,
        message: Vec<u8>,
        time: Duration,
    ) -> Result<(), WireError> {
        let id = vigo_wire::random::array::<16>()?;
        let (initiator, hello) =
            Initiator::begin(enrolment.identity.exchange(), &enrolment.session, &self.context)?;
        self.client.begin_exchange(&id, &enrolment.envoy, hello, HELD_PATIENCE)?;
        self.held = Some(Held { message, time, step: Step::Handshake(id, initiator) });
        Ok(())
    }

    fn send_held(
        &mut self,
        enrolment: &Enrolment,
        message: Vec<u8>,
        time: Duration,
        (id, mut session): ([u8; 16], Session),
    ) -> Result<(), WireError> {
        let sealed = session.send(&message, seconds_now())?;
        self.client.begin_exchange(&id, &enrolment.envoy, sealed, time + HELD_PATIENCE)?;
        self.held = Some(Held { message, time, step: Step::Asked(id, session) });
        Ok(())
    }

    fn exchange(&mut self, enrolment: &Enrolment, message: &[u8]) -> Result<Vec<u8>, WireError> {
        let now = seconds_now();
        if self.session.as_ref().is_none_or(|(_, session)| session.is_due(now)) {
            self.session = Some(self.handshake(enrolment, now)?);
        }
        let (id, mut session) = self.session.take().ok_or(WireError::Poisoned)?;
        let sealed = session.send(message, now)?;
        let answer = self.relay(&id, enrolment, sealed)?;
        let message = session.receive(&answer, now)?;
        self.session = Some((id, session));
        Ok(message)
    }

    fn handshake(&mut self, enrolment: &Enrolment, now: u64) -> Result<([u8; 16], Session), WireError> {
        let id = vigo_wire::random::array::<16>()?;
        let (initiator, hello) =
            Initiator::begin(enrolment.identity.exchange(), &enrolment.session, &self.context)?;
        let answer = self.relay(&id, enrolment, hello)?;
        Ok((id, initiator.finish(&answer, now)?))
    }

    fn relay(
        &mut self,
        id: &[u8; 16],
        enrolment: &Enrolment,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, WireError> {
        if self.is_lost {
            return Err(WireError::Closed { what: "the network worker" });
        }
        let mut stop_seen = self.stop_seen;
        let answer = self.timed(|client, time| {
            client.begin_exchange(id, &enrolment.envoy, payload, time)?;
            wait_for_answer(client, time, &mut stop_seen)?;
            client.finish_exchange()
        });
        self.stop_seen = stop_seen;
        self.is_lost = answer.as_ref().is_err_and(|error| !matches!(error, WireError::Worker(_)));
        answer
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }
}

/// Waits until there is something to read, and no longer than a process may that is asked to stop. The worker is told by its end.
fn wait_for_answer(
    client: &Client,
    time: Duration,
    stop_seen: &mut Option<Instant>,
) -> Result<(), WireError> {
    let too_late = || WireError::Timeout { what: "the answer of the network worker" };
    let came = |first: std::io::Result<Option<usize>>| match first {
        Ok(first) => Ok(first),
        Err(_) => Err(WireError::Closed { what: "the network worker" }),
    };
    let until = Instant::now() + client.patience(time);
    if stop_seen.is_none() {
        let watched: Vec<BorrowedFd<'_>> =
            [Some(client.as_fd()), vigo_sys::signal::stop()].into_iter().flatten().collect();
        match came(waiting::first_readable(&watched, until))? {
            Some(0) => return Ok(()),
            Some(_) => *stop_seen = Some(Instant::now()),
            None => return Err(too_late()),
        }
    }
    let last = stop_seen.map_or(until, |seen| until.min(seen + LAST_ANSWERS));
    came(waiting::first_readable(&[client.as_fd()], last))?.map(|_| ()).ok_or_else(too_late)
}

fn answer_in(reply: &[u8]) -> Result<Answer, AgentError> {
    if reply.len() > limits::INNER_MESSAGE {
        return Err(AgentError::Answer("it is too large"));
    }
    let reply = Reply::decode(reply).map_err(|_| AgentError::Answer("it is no reply"))?;
    match reply.answer {
        Some(Answer::Refused(Refused { code, message })) => Err(AgentError::Refused { code, message }),
        Some(answer) => Ok(answer),
        None => Err(AgentError::Answer("it is empty")),
    }
}

/// True if a new session may mend it: the server forgot the old one, or a frame of it is in doubt.
fn is_lost_session(error: &WireError) -> bool {
    match error {
        WireError::Worker(failure) => matches!(failure.kind, Kind::UnknownSession | Kind::UnknownOutcome),
        WireError::Frame | WireError::Poisoned | WireError::Expired { .. } => true,
        _ => false,
    }
}

/// What the worker says stands in reports and on terminals: few short lines without control characters.
fn printable(mut says: Configured) -> Configured {
    says.missing.truncate(MISSING_LINES);
    for line in &mut says.missing {
        let letters = line.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
        *line = letters.take(MISSING_LENGTH).collect();
    }
    says
}

/// The machine's clock in seconds since 1970.
#[must_use]
pub fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
