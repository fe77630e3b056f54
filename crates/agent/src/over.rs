//! The agent over workers that the caller started: the same enrolment and the same runs, with the other end of the pipe in the caller's hand.
//! It is how the sentence "a taken worker can delay and deny, nothing else" is tested; the programs start their own workers.

use crate::arguments::{ConvergeArguments, LogFormat, LogLevel, Mode};
use crate::enroll;
use crate::enrolment::Enrolment;
use crate::error::AgentError;
use crate::link::Link;
use crate::machine::Machine;
use crate::run::{self, Way};
use crate::settings::Settings;
use crate::state::State;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use vigo_base::{EnvoyName, Exit, SecretPath, SecretVersion};
use vigo_hand::Hand;
use vigo_host::Hands;
use vigo_sys::arena;
use vigo_sys::spawn::Spawner;
use vigo_wire::enrol::Token;
use vigo_wire::worker::Client;

/// An agent with its own state folder, and a hand that lives from run to run as in the daemon.
pub struct Agent {
    machine: Machine,
    hands: Option<Rc<Hands>>,
    /// So long all answers to one run are waited for; `None` for the usual.
    pub patience: Option<Duration>,
}

impl Agent {
    /// Opens the state folder, making it if it is missing. The hand is this program again.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(state_dir: &Path, spawner: Rc<Spawner>) -> Result<Self, AgentError> {
        let settings = Settings {
            state_dir: state_dir.to_owned(),
            log_level: LogLevel::Warn,
            log_format: LogFormat::Text,
            interval: Duration::from_secs(300),
            mode: Mode::Poll,
            keep_alive: Duration::from_secs(25),
            arena: arena::Choice::Auto,
            arena_max: arena::Options::default().max,
            secret_cache: crate::settings::SecretCache::Epoch,
            allow_insecure_arena: false,
            origins: Vec::new(),
        };
        let state = State::open(&settings.state_dir)?;
        Ok(Self { machine: Machine::new(settings, state, spawner), hands: None, patience: None })
    }

    /// Enrols through that worker.
    ///
    /// # Errors
    /// When the token is refused, or the server cannot be reached or is not the token's.
    pub fn enroll(
        &self,
        client: &Client,
        server: &str,
        token: &Token,
        name: &EnvoyName,
    ) -> Result<(), AgentError> {
        enroll::through(&self.machine.state, client, server, token, name).map(drop)
    }

    /// One run through that worker, as the daemon does it. `online`: fail without the server.
    ///
    /// # Errors
    /// When it could not run; what became of single resources is in the exit code.
    pub fn run(&mut self, client: Client, online: bool) -> Result<Exit, AgentError> {
        let mut enrolment = Enrolment::load(&self.machine.state)?.ok_or(AgentError::NotEnrolled)?;
        let hands = match &self.hands {
            Some(hands) => Rc::clone(hands),
            None => Rc::clone(self.hands.insert(self.machine.hands(Some(enrolment.envoy))?)),
        };
        let arguments = ConvergeArguments {
            dry_run: false,
            diff: false,
            only: Vec::new(),
            verbose: false,
            detailed_exit_code: false,
            wait: Duration::ZERO,
            json: false,
        };
        let _lock = self.machine.state.lock(arguments.wait)?;
        let (mut link, worker) = Link::over(client, &enrolment);
        link.begin_run(self.patience);
        let way = Way { link: &mut link, worker, news: None };
        run::through(&self.machine, &mut enrolment, &hands, way, online, &arguments).map(|ran| ran.exit)
    }

    /// Whose values the hand holds, in which version.
    #[must_use]
    pub fn values(&self) -> Vec<(SecretPath, SecretVersion)> {
        let running = self.hands.as_ref().filter(|hands| hands.is_running());
        running.and_then(|hands| hands.with(Hand::held).ok()).unwrap_or_default()
    }
}
