//! A machine in a folder of its own with a real hand, and the little harness of programs that are also the hand.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use vigo_base::{AbsolutePath, Pieces, Slot};
use vigo_hand::target::Intents;
use vigo_hand::{Role, StartOptions};
use vigo_host::{Hands, Parts, RealHost, SwapProbe};
use vigo_resource::{
    CommandLine, CommandRequest, Context, Host, ManagedPaths, OutputRule, Ownership, SecretChange,
};
use vigo_sys::spawn::Spawner;

pub type Test = fn(&Rc<Spawner>);

pub const VALUE: &str = "a-value-of-a-secret";

/// A machine in a folder of its own.
pub struct Place {
    _folder: tempfile::TempDir,
    pub root: PathBuf,
    pub hands: Rc<Hands>,
    pub host: RealHost<'static>,
}

impl Place {
    pub fn new(spawner: &Rc<Spawner>) -> Self {
        Self::with_a_token(spawner, tempfile::tempdir().unwrap(), || Some(vigo_base::SwapClass::None))
    }

    /// On a file system that the kernel may write to swap, of a machine whose swap is open; `None` where there is none.
    #[allow(dead_code, reason = "not every test program asks for it")]
    pub fn in_memory_with_open_swap(spawner: &Rc<Spawner>) -> Option<Self> {
        let folder = tempfile::tempdir_in("/dev/shm").ok()?;
        Some(Self::with_a_token(spawner, folder, || Some(vigo_base::SwapClass::Plain)))
    }

    fn with_a_token(spawner: &Rc<Spawner>, folder: tempfile::TempDir, swap: SwapProbe) -> Self {
        let root = folder.path().canonicalize().unwrap();
        let mut place = Self::on(spawner, folder, root, swap);
        // One file that got a secret the usual way, and its value in the hand.
        let path = "web/token".parse().unwrap();
        let file = place.root.join("given");
        fs::write(&file, VALUE).unwrap();
        place.hands.with(|hand| hand.take_from_file(&path, &file)).unwrap();
        let placement = Self::placement(place.path("token"));
        place.host.write_text(&placement, &secret(), &context()).unwrap();
        place
    }

    pub fn placement(path: AbsolutePath) -> vigo_resource::Placement {
        vigo_resource::Placement {
            path,
            mode: "0644".parse().unwrap(),
            ownership: Ownership::default(),
            in_place: false,
            validation: None,
        }
    }

    fn on(spawner: &Rc<Spawner>, folder: tempfile::TempDir, root: PathBuf, swap: SwapProbe) -> Self {
        let state = root.join("state");
        let options = StartOptions { intents: Some(state.join("intents")), ..StartOptions::new(Role::Node) };
        let hands = Rc::new(Hands::new(Rc::clone(spawner), options, true));
        fs::create_dir_all(&state).unwrap();
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
        let host = RealHost::new(Parts {
            spawner: Rc::clone(spawner),
            hands: Rc::clone(&hands),
            intents: Intents::open(&state.join("intents")).unwrap(),
            state,
            guarded: Vec::new(),
            swap,
            values: &vigo_resource::NoValues,
        })
        .unwrap();
        Self { _folder: folder, root, hands, host }
    }

    pub fn path(&self, name: &str) -> AbsolutePath {
        self.root.join(name).to_str().unwrap().parse().unwrap()
    }
}

struct Nothing;

impl ManagedPaths for Nothing {
    fn holds(&self, path: &AbsolutePath) -> bool {
        HashSet::<&AbsolutePath>::new().contains(path)
    }
}

pub fn context() -> Context<'static> {
    Context {
        id: "test:a",
        timeout: Duration::from_secs(20),
        allow_exposure: &[],
        diff: true,
        secret_change: SecretChange::Same,
        versions: &[],
        missing_secret: None,
        served: &[],
        on_demand: &vigo_resource::AllHeld,
        managed: &Nothing,
    }
}

pub fn command(words: &[&str]) -> CommandRequest {
    CommandRequest {
        line: CommandLine::Arguments(words.iter().copied().map(Pieces::literal).collect()),
        user: None,
        group: None,
        folder: "/".parse().unwrap(),
        environment: Vec::new(),
        allow_argv: false,
        credentials: Vec::new(),
        stdin: None,
        umask: 0o022,
        timeout: Duration::from_secs(20),
        output: OutputRule::Scrub,
        resource: "test:a".to_owned(),
    }
}

pub fn secret() -> Pieces {
    let mut pieces = Pieces::default();
    pieces.push_slot(Slot { path: "web/token".parse().unwrap(), filters: Vec::new() });
    pieces
}

/// Becomes the hand, or runs the tests.
pub fn run(tests: &[(&str, Test)]) -> ExitCode {
    if let Some(code) = vigo_hand::enter() {
        return code;
    }
    let spawner = Rc::new(Spawner::start().unwrap());
    vigo_testkit::harness::run(tests, |test| test(&spawner))
}
