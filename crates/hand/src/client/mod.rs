//! The handle on a hand: starts the process, asks, and ends it when dropped.
//!
//! What may be asked is split by who asks: `node`, `operator`, `server`. A request of another role ends the process.

mod master;
pub(crate) mod message;
mod node;
mod operator;
mod server;
mod transit;

pub use master::NewPassphrase;

use crate::HandError;
use crate::types::{HandStatus, StartOptions};
use prost::Message;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use vigo_sys::arena::Choice;
use vigo_sys::spawn::{Child, Core, Program, Spawner, Spec, Status};
use vigo_wire::hand::{self as wire, Ask, DONE, FAILED, Failure, FailureCode};
use vigo_wire::{WireError, frame};

/// The largest frame in either direction: a batch of sealed values.
pub(crate) const LARGEST_FRAME: usize = 4 << 20;
/// How long an ordinary request may take. Generous: a slow disk is no reason to lose every value.
const ORDINARY: Duration = Duration::from_secs(600);
/// How long the process gets to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// A running hand. Dropping it ends the process and with it all it holds.
pub struct Hand {
    socket: Option<OwnedFd>,
    child: Child,
    how_it_ended: Option<String>,
    /// The master key that it has.
    unlocked: Option<[u8; 16]>,
    /// It was asked something whose answer was not taken yet.
    owes: bool,
}

impl Hand {
    /// Starts the process and waits until it is protected.
    ///
    /// # Errors
    /// When it does not start, or does not come as far as to answer.
    pub fn start(spawner: &Spawner, options: &StartOptions) -> Result<Self, HandError> {
        let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let (ours, theirs) = pair.map_err(|errno| HandError::Start(errno.into()))?;
        let choice = match options.arena {
            Choice::Auto => c"auto",
            Choice::Mlock => c"mlock",
            Choice::Plain => c"plain",
        };
        let max =
            CString::new(options.arena_max.to_string()).map_err(|error| HandError::Start(error.into()))?;
        let stderr = rustix::stdio::stderr();
        let spec = Spec {
            program: Program::Myself,
            arguments: &[c"vigo-hand", c"--arena", choice, c"--arena-max", &max],
            descriptors: &[(stderr, 2), (theirs.as_fd(), 3)],
            core: Core::One,
            dies_with_parent: true,
            // Only the foreground process group of a terminal may read from it.
            own_group: !options.reads_terminal,
            ..Spec::default()
        };
        let child = spawner.spawn(&spec).map_err(HandError::Start)?;
        drop(theirs);
        let mut hand = Self { socket: Some(ours), child, how_it_ended: None, unlocked: None, owes: false };
        let intents = options.intents.as_deref().map(message::path_text).transpose()?;
        let hello = wire::Hello {
            format: wire::FORMAT,
            role: options.role.into(),
            intents: intents.unwrap_or_default(),
            salt_seed: options.salt_seed.map(Vec::from).unwrap_or_default(),
            envoy: options.envoy.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
            detect_drift: options.detect_drift,
        };
        let _: wire::Status = hand.ask(Ask::Hello, &hello)?;
        Ok(hand)
    }

    /// How well it is protected, read back now.
    ///
    /// # Errors
    /// When it has ended.
    pub fn status(&mut self) -> Result<HandStatus, HandError> {
        message::status(self.ask(Ask::Status, &wire::Nothing {})?)
    }

    /// Its process id.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.pid()
    }

    /// Asks, with the usual deadline and no descriptor.
    fn ask<A: Message + Default>(&mut self, ask: Ask, request: &impl Message) -> Result<A, HandError> {
        self.ask_with(ask, request, &[], Some(ORDINARY))
    }

    /// Asks. Whatever fails in the pipe itself ends the process: its next answer could be the one to this request.
    fn ask_with<A: Message + Default>(
        &mut self,
        ask: Ask,
        request: &impl Message,
        descriptors: &[BorrowedFd<'_>],
        within: Option<Duration>,
    ) -> Result<A, HandError> {
        let deadline = within.map(|within| Instant::now() + within);
        self.begin(ask, request, descriptors, deadline)?;
        self.answer(ask, deadline)
    }

    /// The first half: sends a request. [`Hand::answer`] has to come next.
    fn begin(
        &mut self,
        ask: Ask,
        request: &impl Message,
        descriptors: &[BorrowedFd<'_>],
        deadline: Option<Instant>,
    ) -> Result<(), HandError> {
        let what = ask.name();
        let size = request.encoded_len();
        if size >= LARGEST_FRAME {
            let why = format!("it has {size} bytes, {LARGEST_FRAME} are the limit");
            return Err(HandError::Request { what, why });
        }
        if self.owes {
            // Its next answer would be taken for the one to this request.
            return Err(self.ended(what));
        }
        let Some(socket) = &self.socket else {
            let how = self.how_it_ended.clone().unwrap_or_default();
            return Err(HandError::Ended { what, how });
        };
        let mut bytes = Vec::with_capacity(size + 1);
        bytes.push(ask as u8);
        bytes.extend_from_slice(&request.encode_to_vec());
        let sent = frame::write_with(socket, &bytes, descriptors, LARGEST_FRAME, deadline);
        sent.map_err(|error| self.lost(what, error))?;
        self.owes = true;
        Ok(())
    }

    /// The second half: the answer to what was asked last.
    fn answer<A: Message + Default>(&mut self, ask: Ask, deadline: Option<Instant>) -> Result<A, HandError> {
        let what = ask.name();
        let Some(socket) = self.socket.as_ref().filter(|_| self.owes) else {
            let how = self.how_it_ended.clone().unwrap_or_default();
            return Err(HandError::Ended { what, how });
        };
        let answer = frame::read(socket, LARGEST_FRAME, deadline);
        self.owes = false;
        match answer {
            Ok(Some(answer)) => self.understand(what, &answer),
            Ok(None) => Err(self.ended(what)),
            Err(error) => Err(self.lost(what, error)),
        }
    }

    /// The pipe failed.
    fn lost(&mut self, what: &'static str, error: WireError) -> HandError {
        match error {
            WireError::Closed { .. } | WireError::Pipe { .. } => self.ended(what),
            source => {
                self.end();
                HandError::Pipe { what, source }
            }
        }
    }

    fn understand<A: Message + Default>(
        &mut self,
        what: &'static str,
        answer: &[u8],
    ) -> Result<A, HandError> {
        match answer.split_first() {
            Some((&DONE, message)) => A::decode(message).map_err(|_| HandError::Answer { what }),
            Some((&FAILED, message)) => {
                let failure = Failure::decode(message).map_err(|_| HandError::Answer { what })?;
                let code = FailureCode::try_from(failure.code).unwrap_or(FailureCode::Bug);
                Err(HandError::Failed { code, text: failure.text })
            }
            _ => {
                self.end();
                Err(HandError::Answer { what })
            }
        }
    }

    /// The pipe is closed: the process ended, or is about to.
    fn ended(&mut self, what: &'static str) -> HandError {
        let how = self.end();
        HandError::Ended { what, how }
    }

    /// Closes the pipe, which ends the process, and waits for that; says how it ended.
    fn end(&mut self) -> String {
        self.socket = None;
        if let Some(how) = &self.how_it_ended {
            return how.clone();
        }
        let mut status = self.child.wait_until(Instant::now() + GRACE);
        if matches!(status, Ok(None)) {
            let _ = self.child.kill_group();
            status = self.child.wait().map(Some);
        }
        let how = match status {
            Ok(Some(Status::Signalled(signal))) => format!("by signal {signal}"),
            Ok(Some(Status::Exited(code))) => crate::process::explain_exit(code),
            Ok(None) | Err(_) => "nobody knows how".into(),
        };
        self.how_it_ended = Some(how.clone());
        how
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.end();
    }
}
