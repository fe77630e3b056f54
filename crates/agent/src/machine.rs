//! What every command needs of this machine: settings, state, the thread that starts children, the hand that may come.

use crate::error::AgentError;
use crate::posture::Facts;
use crate::settings::{SecretCache, Settings};
use crate::state::State;
use crate::traits;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use vigo_base::{AbsolutePath, EnvoyId};
use vigo_hand::target::Intents;
use vigo_hand::{Role, StartOptions};
use vigo_host::{Folder, Hands, Parts, RealHost};
use vigo_resource::Values;
use vigo_sys::harden::Hardened;
use vigo_sys::spawn::Spawner;
use vigo_wire::worker::Configured;

/// The seed from which salts are derived: so long.
const SEED: usize = 32;

/// This machine, ready to run.
pub struct Machine {
    /// What holds for this process.
    pub settings: Settings,
    /// What is remembered.
    pub state: State,
    /// Starts children outside of the sandbox.
    pub spawner: Rc<Spawner>,
    /// What could not be hardened.
    pub warnings: Vec<String>,
    /// What was seen last, for who asks the running daemon.
    pub seen: RefCell<Seen>,
}

/// What a running agent saw last of itself and of its server.
#[derive(Debug, Default)]
pub struct Seen {
    /// What the worker said of its cage.
    pub worker: Option<Configured>,
    /// The worker's process while it runs.
    pub worker_process: Option<u32>,
    /// When the server last answered a check-in, in seconds since 1970.
    pub checked_in_at: Option<u64>,
    /// When the last run ended.
    pub ran_at: Option<u64>,
    /// Why the last run failed.
    pub failure: Option<String>,
}

impl Machine {
    /// A machine of which nothing was seen yet.
    #[must_use]
    pub fn new(settings: Settings, state: State, spawner: Rc<Spawner>) -> Self {
        Self { settings, state, spawner, warnings: Vec::new(), seen: RefCell::default() }
    }

    /// Opens the state folder, that of another user's agent to look at it only if this is root and `looks`.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn open(
        settings: Settings,
        spawner: Rc<Spawner>,
        hardened: Hardened,
        looks: bool,
    ) -> Result<Self, AgentError> {
        let path = &settings.state_dir;
        let state = if looks && State::is_anothers(path) { State::look(path)? } else { State::open(path)? };
        Ok(Self { warnings: hardened.warnings, ..Self::new(settings, state, spawner) })
    }

    /// A hand that is started when it is first needed.
    ///
    /// # Errors
    /// When the seed of the salts cannot be read or made.
    pub fn hands(&self, envoy: Option<EnvoyId>) -> Result<Rc<Hands>, AgentError> {
        let options = StartOptions {
            arena: self.settings.arena,
            arena_max: self.settings.arena_max,
            intents: Some(self.state.intents()),
            salt_seed: Some(seed(&self.state.root)?),
            envoy,
            detect_drift: self.settings.secret_cache == SecretCache::Apply,
            ..StartOptions::new(Role::Node)
        };
        Ok(Rc::new(Hands::new(Rc::clone(&self.spawner), options, self.settings.allow_insecure_arena)))
    }

    /// The real machine for the engine. What an earlier run left half done is removed first.
    ///
    /// # Errors
    /// When the state folder cannot be used.
    pub fn host<'a>(&self, hands: &Rc<Hands>, values: &'a dyn Values) -> Result<RealHost<'a>, AgentError> {
        let cannot = |error: vigo_hand::target::TargetError| AgentError::Run(error.full_text());
        let intents = Intents::open(&self.state.intents()).map_err(cannot)?;
        let recovered = intents.recover().map_err(cannot)?;
        for path in recovered.removed {
            tracing::warn!(path = %path.display(), "removed what an interrupted run left");
        }
        for problem in recovered.problems {
            tracing::warn!("what an interrupted run left cannot be removed: {}", problem.full_text());
        }
        RealHost::new(Parts {
            spawner: Rc::clone(&self.spawner),
            hands: Rc::clone(hands),
            state: self.state.root.path().to_owned(),
            intents,
            guarded: self.guarded(),
            swap: traits::swap_class,
            values,
        })
        .map_err(|failure| AgentError::Run(failure.reason))
    }

    /// What no policy may touch: this program and its siblings, and the folders in use.
    #[must_use]
    pub fn guarded(&self) -> Vec<AbsolutePath> {
        let mut paths: Vec<PathBuf> = vec![self.state.root.path().to_owned(), PathBuf::from("/etc/vigo")];
        if let Some(folder) = std::env::current_exe().ok().as_deref().and_then(Path::parent) {
            paths.extend(["vigo", "vigocli", "vigosrv"].map(|name| folder.join(name)));
        }
        paths.iter().filter_map(|path| path.to_str()?.parse().ok()).collect()
    }

    /// What is known of the protection, with a hand that may be running.
    #[must_use]
    pub fn facts(&self, hands: &Hands) -> Facts {
        Facts { hand: hands.status(), warnings: self.warnings.clone(), ..Facts::default() }
    }
}

/// The seed of this node, made when it is first needed. It is no secret of the operator's: it keeps salts stable and unlike those of other nodes.
fn seed(folder: &Folder) -> Result<[u8; SEED], AgentError> {
    if let Some(bytes) = folder.read("seed", SEED)?
        && let Ok(seed) = bytes.try_into()
    {
        return Ok(seed);
    }
    let seed: [u8; SEED] = vigo_wire::random::array()?;
    folder.write("seed", &seed)?;
    Ok(seed)
}
