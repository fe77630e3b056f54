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
use vigo_wire::worker::{Client, Configured, Kind};

/// One request and its answer may take so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// A session that turned out to be unknown, or of which nothing is known, is made anew so many times.
const SESSIONS: u32 = 3;

/// A session with the server, made when it is first used and again when it is lost.
pub struct Link {
    client: Client,
    _worker: Option<Worker>,
    context: SessionContext,
    session: Option<([u8; 16], Session)>,
}

impl Link {
    /// Starts a worker and tells it where the server is; gives what the worker says of its sandbox. Nothing is sent yet.
    ///
    /// # Errors
    /// When the worker cannot be started.
    pub fn start(spawner: &Spawner, enrolment: &Enrolment) -> Result<(Self, Configured), AgentError> {
        let (worker, client) = Worker::start(spawner)?;
        let says = client.configure(enrolment.transport())?;
        Ok((Self { _worker: Some(worker), ..Self::over(client, enrolment) }, says))
    }

    /// Over a worker that somebody else started.
    #[must_use]
    pub fn over(client: Client, enrolment: &Enrolment) -> Self {
        let context = SessionContext { anchor: Digest::of(&enrolment.anchor), envoy: enrolment.envoy };
        Self { client, _worker: None, context, session: None }
    }

    /// What the worker can be asked that needs no session.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
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
        let Some((id, session)) = self.session.as_mut() else { return Err(WireError::Poisoned) };
        let sealed = session.send(message, now)?;
        let answer = self.client.exchange(id, &enrolment.envoy, sealed, PATIENCE)?;
        session.receive(&answer, now)
    }

    fn handshake(&self, enrolment: &Enrolment, now: u64) -> Result<([u8; 16], Session), WireError> {
        let id = vigo_wire::random::array::<16>()?;
        let (initiator, hello) =
            Initiator::begin(enrolment.identity.exchange(), &enrolment.session, &self.context)?;
        let answer = self.client.exchange(&id, &enrolment.envoy, hello, PATIENCE)?;
        Ok((id, initiator.finish(&answer, now)?))
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

/// The machine's clock in seconds since 1970.
#[must_use]
pub fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
