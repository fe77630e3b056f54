//! The inner session with the server, through the worker. Whatever is asked here is asked of the server itself: the worker can delay and deny, nothing else.

use crate::enrolment::Enrolment;
use crate::error::AgentError;
use crate::worker::Worker;
use prost::Message;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vigo_base::{Digest, limits};
use vigo_sys::spawn::Spawner;
use vigo_wire::WireError;
use vigo_wire::inner::{Answer, Ask, Refused, Reply, Request};
use vigo_wire::session::{Initiator, Session, SessionContext};
use vigo_wire::worker::{Client, Configured, Kind, TransportKey};

/// One request and its answer may take so long.
const PATIENCE: Duration = Duration::from_secs(30);
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
    /// The pipe failed, so it is out of step: nothing more is asked over it.
    is_lost: bool,
    /// A key for the next transport certificate.
    transport_key: Option<TransportKey>,
}

impl Link {
    /// Starts a worker and tells it where the server is; gives what the worker says of its sandbox, if it says anything. Nothing is sent yet.
    ///
    /// # Errors
    /// When the worker cannot be started.
    pub fn start(spawner: &Spawner, enrolment: &Enrolment) -> Result<(Self, Option<Configured>), AgentError> {
        let (worker, client) = Worker::start(spawner)?;
        let (link, says) = Self::over(client, enrolment);
        Ok((Self { worker: Some(worker), ..link }, says))
    }

    /// Over a worker that somebody else started. For one that does not do as it is told, the server is away.
    #[must_use]
    pub fn over(client: Client, enrolment: &Enrolment) -> (Self, Option<Configured>) {
        let context = SessionContext { anchor: Digest::of(&enrolment.anchor), envoy: enrolment.envoy };
        let mut link =
            Self { client, worker: None, context, session: None, is_lost: false, transport_key: None };
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

    /// Tells the worker where the server is and who the worker is to networks.
    ///
    /// # Errors
    /// When the worker cannot use it.
    pub fn configure(&mut self, enrolment: &Enrolment) -> Result<Configured, AgentError> {
        let says = self.client.configure(enrolment.transport());
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
        self.client.make_transport_key().map_err(|error| self.relay_error(error))
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
        if reply.len() > limits::INNER_MESSAGE {
            return Err(AgentError::Answer("it is too large"));
        }
        let reply = Reply::decode(reply.as_slice()).map_err(|_| AgentError::Answer("it is no reply"))?;
        match reply.answer {
            Some(Answer::Refused(Refused { code, message })) => Err(AgentError::Refused { code, message }),
            Some(answer) => Ok(answer),
            None => Err(AgentError::Answer("it is empty")),
        }
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
        let answer = self.client.exchange(id, &enrolment.envoy, payload, PATIENCE);
        self.is_lost = answer.as_ref().is_err_and(|error| !matches!(error, WireError::Worker(_)));
        answer
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
