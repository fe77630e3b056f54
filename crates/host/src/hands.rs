//! The hand of this process: started when the first secret or tainted file needs it, shared by who fetches values and who uses them.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use vigo_base::Blame;
use vigo_hand::{Hand, HandError, HandStatus, StartOptions};
use vigo_resource::Failure;
use vigo_sys::arena::Kind;
use vigo_sys::spawn::Spawner;

/// A hand that may not be running yet.
pub struct Hands {
    spawner: Rc<Spawner>,
    options: StartOptions,
    allow_plain: bool,
    running: RefCell<Option<Hand>>,
}

impl Hands {
    /// None is started yet. `allow_plain`: go on where no protected pages can be had.
    #[must_use]
    pub const fn new(spawner: Rc<Spawner>, options: StartOptions, allow_plain: bool) -> Self {
        Self { spawner, options, allow_plain, running: RefCell::new(None) }
    }

    /// The running hand, started now if there is none.
    ///
    /// # Errors
    /// When it cannot be started, or has no protected pages and may not go on without: then what needs it is blocked.
    pub fn get(&self) -> Result<RefMut<'_, Hand>, Failure> {
        let mut running = self.running.borrow_mut();
        if running.is_none() {
            let mut hand = Hand::start(&self.spawner, &self.options).map_err(|error| failure(&error))?;
            let status = hand.status().map_err(|error| failure(&error))?;
            tracing::info!(process = status.process, arena = ?status.arena.kind, "the hand is started");
            if status.arena.kind == Kind::Plain && !self.allow_plain {
                let why = status.arena.reasons.join("; ");
                return Err(Failure::blocked(format!("cannot hold a secret: this machine gives no protected pages ({why})"))
                    .help("raise RLIMIT_MEMLOCK to 2 MiB or more, or accept the risk with `allow_insecure_arena: true` in the settings"));
            }
            *running = Some(hand);
        }
        RefMut::filter_map(running, Option::as_mut).map_err(|_| Failure::failed("cannot start `vigo-hand`"))
    }

    /// Does something with the hand. One that ended meanwhile is forgotten, so that the next use starts a new one.
    ///
    /// # Errors
    /// What the hand says, for the report.
    pub fn with<T>(&self, act: impl FnOnce(&mut Hand) -> Result<T, HandError>) -> Result<T, Failure> {
        let outcome = act(&mut *self.get()?);
        outcome.map_err(|error| {
            if error.is_gone() {
                self.end();
            }
            failure(&error)
        })
    }

    /// True if one runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.borrow().is_some()
    }

    /// What the running one says of its protection; `None` when none runs.
    #[must_use]
    pub fn status(&self) -> Option<HandStatus> {
        let mut running = self.running.borrow_mut();
        running.as_mut().and_then(|hand| hand.status().ok())
    }

    /// Ends it, and with it every value it holds.
    pub fn end(&self) {
        *self.running.borrow_mut() = None;
    }
}

/// What an error of the hand means for the resource that needed it.
fn failure(error: &HandError) -> Failure {
    let text = vigo_base::chain(error);
    match (error.code(), error.blame()) {
        (
            Some(
                vigo_hand::FailureCode::NotHeld
                | vigo_hand::FailureCode::Locked
                | vigo_hand::FailureCode::Room,
            ),
            _,
        ) => Failure::blocked(text),
        (Some(vigo_hand::FailureCode::Unavailable), _) => Failure::blocked(text).help(
            "run Vigo as root where it may mount, or hand the secret over with `stdin`, or with `environment`, which counts as an exposure",
        ),
        (None, Blame::Machine) => Failure::failed(text)
            .help("run again; if it happens again, see the log of the kernel for why `vigo-hand` ended"),
        _ => Failure::failed(text),
    }
}
