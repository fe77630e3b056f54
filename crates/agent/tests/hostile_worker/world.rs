//! A machine in a temporary folder with its agent, and what is looked at after each attack.

use crate::origin::{NAME, Origin, Stage, Twist};
use crate::worker::{Attacker, Worker, honest};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use vigo_agent::AgentError;
use vigo_agent::over::Agent;
use vigo_base::{Blame, EnvoyName, Exit};
use vigo_sys::spawn::Spawner;
use vigo_wire::enrol::Token;
use vigo_wire::inner::{Ask, Report};

pub type Ran = Result<Exit, AgentError>;

pub struct World {
    place: tempfile::TempDir,
    pub origin: Arc<Mutex<Origin>>,
    pub agent: Agent,
    canary: String,
    /// What the worker saw, over all runs.
    pub transcript: Vec<u8>,
    /// So long the agent waits for its worker.
    pub patience: Option<Duration>,
}

/// What must not change under an attack.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept(BTreeMap<PathBuf, Vec<u8>>);

impl World {
    /// A machine that is nobody's yet.
    pub fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("root")).unwrap();
        let spawner = Rc::new(Spawner::start().unwrap());
        let agent = Agent::open(&place.path().join("state"), spawner).unwrap();
        let canary = vigo_base::encode_hex(&vigo_wire::random::array::<16>().unwrap());
        let origin = Arc::new(Mutex::new(Origin::new()));
        Self { place, origin, agent, canary, transcript: Vec::new(), patience: None }
    }

    /// An envoy that never ran.
    pub fn enrolled() -> Self {
        let mut world = Self::new();
        let token = world.origin().token();
        world.enroll(&token, honest()).unwrap();
        world
    }

    /// An envoy that applied generation 1; generation 2 is published, and somebody changed the file without a secret.
    pub fn settled() -> Self {
        let mut world = Self::enrolled();
        world.publish(1);
        assert_eq!(world.run(honest()).unwrap(), Exit::Success);
        world.assert_applied(1);
        world.publish(2);
        std::fs::write(world.target("motd"), "drift").unwrap();
        world
    }

    pub fn origin(&self) -> MutexGuard<'_, Origin> {
        self.origin.lock().unwrap()
    }

    /// The values of a generation: nobody else has them.
    pub fn values(&self, generation: u64) -> [String; 2] {
        ["token", "key"].map(|name| format!("{}-{name}-{generation}", self.canary))
    }

    /// What the file with secrets holds in a generation.
    pub fn token_file(&self, generation: u64) -> String {
        self.values(generation).join(" and ")
    }

    pub fn canary(&self) -> &str {
        &self.canary
    }

    pub fn publish(&self, generation: u64) {
        let [token, key] = self.values(generation);
        self.origin().publish(&self.place.path().join("root"), generation, [&token, &key]);
    }

    pub fn enroll(&mut self, token: &Token, attacker: Attacker) -> Result<(), AgentError> {
        let (worker, client) = Worker::start(&self.origin, attacker, self.patience);
        let name: EnvoyName = NAME.parse().unwrap();
        let outcome = self.agent.enroll(&client, "server.example:1530", token, &name);
        drop(client);
        self.transcript.extend(worker.join());
        outcome
    }

    /// One run in front of that worker.
    pub fn run(&mut self, attacker: Attacker) -> Ran {
        let (worker, client) = Worker::start(&self.origin, attacker, self.patience);
        let outcome = self.agent.run(client, false);
        self.transcript.extend(worker.join());
        outcome
    }

    pub fn target(&self, name: &str) -> PathBuf {
        self.place.path().join("root").join(name)
    }

    pub fn state(&self, path: &str) -> PathBuf {
        self.place.path().join("state").join(path)
    }

    /// A target's content; `None` when it is not there.
    pub fn content(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.target(name)).ok()
    }

    /// The assignment held with its bundle, and who this envoy is.
    pub fn kept(&self) -> Kept {
        let mut files = BTreeMap::new();
        for folder in ["bundle", "identity"] {
            for entry in std::fs::read_dir(self.state(folder)).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                // What the server was told of traits is no matter of trust.
                if !name.starts_with("traits") {
                    files.insert(path.clone(), std::fs::read(&path).unwrap());
                }
            }
        }
        Kept(files)
    }

    /// True if the last run that ended went on without the server.
    pub fn was_offline(&self) -> bool {
        let last: serde_json::Value =
            serde_json::from_slice(&std::fs::read(self.state("last-run")).unwrap()).unwrap();
        last["offline"].as_bool().unwrap()
    }

    /// How many reports wait.
    pub fn waiting(&self) -> usize {
        std::fs::read_dir(self.state("queue")).unwrap().count()
    }

    pub fn reports(&self) -> Vec<Report> {
        let report = |ask: &Ask| if let Ask::Report(report) = ask { Some(report.clone()) } else { None };
        self.origin().seen.iter().filter_map(report).collect()
    }

    /// Versions that the hand holds, by path.
    pub fn in_hand(&self) -> Vec<(String, u64)> {
        self.agent.values().into_iter().map(|(path, version)| (path.to_string(), version.0)).collect()
    }

    #[track_caller]
    pub fn assert_in_hand(&self, generation: u64) {
        let paths = ["web/key", "web/token"].map(|path| (path.to_owned(), generation));
        let wanted: &[(String, u64)] = if generation == 0 { &[] } else { &paths };
        assert_eq!(self.in_hand(), wanted);
    }

    /// All of it is applied, and the hand holds its values.
    #[track_caller]
    pub fn assert_applied(&self, generation: u64) {
        assert_eq!(self.content("motd").unwrap(), format!("generation {generation}"));
        assert_eq!(self.content("token").unwrap(), self.token_file(generation));
        self.assert_in_hand(generation);
    }

    /// Nothing of any policy is on this machine.
    #[track_caller]
    pub fn assert_untouched(&self) {
        assert_eq!(std::fs::read_dir(self.target("")).unwrap().count(), 0, "something was written");
        assert_eq!(std::fs::read_dir(self.state("bundle")).unwrap().count(), 0, "something is held");
        self.assert_in_hand(0);
    }

    /// Once the worker is honest again, everything comes right by itself.
    #[track_caller]
    pub fn assert_recovers(&mut self, generation: u64) {
        self.origin().twist = None;
        self.patience = None;
        assert_eq!(self.run(honest()).unwrap(), Exit::Success);
        assert!(!self.was_offline());
        self.assert_applied(generation);
        assert_eq!(self.waiting(), 0, "a report was not sent");
        let name = generation_name(generation);
        assert!(self.reports().iter().any(|report| (report.term, report.generation) == name));
    }

    /// The machine never held anything, and the worker did not let it have anything: the run ends with an error of the peer.
    #[track_caller]
    pub fn assert_denied(&self, ran: Ran) -> String {
        let error = ran.expect_err("a run without an assignment ended well");
        assert_eq!(error.blame(), Blame::Peer, "{error}");
        self.assert_untouched();
        text(&error)
    }

    /// The machine went on with generation 1, which it held.
    #[track_caller]
    pub fn assert_went_on(&self, ran: Ran, kept: &Kept) {
        assert_eq!(ran.unwrap(), Exit::Success);
        assert!(self.was_offline());
        assert_eq!(self.kept(), *kept, "what is held was changed");
        self.assert_applied(1);
        assert!(self.waiting() > 0, "the report is gone");
    }

    /// Asserts what may be, when a worker lets a run come as far as `stage` and no further: nothing was held before.
    #[track_caller]
    pub fn assert_stopped_fresh(&self, stage: Stage, ran: Ran) {
        match stage {
            Stage::Secrets => {
                assert_eq!(ran.unwrap(), Exit::Bad);
                assert_eq!(
                    (self.content("motd"), self.content("token")),
                    (Some("generation 1".into()), None)
                );
                self.assert_in_hand(0);
            }
            Stage::Report => {
                assert_eq!(ran.unwrap(), Exit::Success);
                self.assert_applied(1);
                assert!(self.waiting() > 0, "the report is gone");
            }
            _ => drop(self.assert_denied(ran)),
        }
    }

    /// The same after [`World::settled`].
    #[track_caller]
    pub fn assert_stopped_settled(&self, stage: Stage, ran: Ran, kept: &Kept) {
        match stage {
            Stage::Secrets => {
                assert_eq!(ran.unwrap(), Exit::Bad);
                assert_eq!(self.content("motd").unwrap(), "generation 2");
                assert_eq!(self.content("token").unwrap(), self.token_file(1));
                // The values of before may be dropped: they are no longer the current ones.
                assert!(self.in_hand().iter().all(|(_, version)| *version == 1), "{:?}", self.in_hand());
            }
            Stage::Report => {
                assert_eq!(ran.unwrap(), Exit::Success);
                self.assert_applied(2);
                assert!(self.waiting() > 0, "the report is gone");
            }
            _ => self.assert_went_on(ran, kept),
        }
    }
}

const fn generation_name(generation: u64) -> (u64, u64) {
    (1, generation)
}

/// An error with its causes.
pub fn text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Runs attacks that let a run come as far as `stage`, one after the other: on a machine that holds nothing, then on one that holds generation 1.
/// Each comes right afterwards.
#[track_caller]
pub fn stopped_at(stage: Stage, attackers: impl Fn() -> Vec<Attacker>) {
    let mut world = World::enrolled();
    world.publish(1);
    for attacker in attackers() {
        let ran = world.run(attacker);
        world.assert_stopped_fresh(stage, ran);
    }
    world.assert_recovers(1);

    let mut world = World::settled();
    for attacker in attackers() {
        std::fs::write(world.target("motd"), "drift").unwrap();
        let kept = world.kept();
        let ran = world.run(attacker);
        world.assert_stopped_settled(stage, ran, &kept);
    }
    world.assert_recovers(2);
}

/// The same with an honest worker, and a server whose answers at `stage` are what `twists` make of them.
#[track_caller]
pub fn twisted_at(stage: Stage, twists: impl Fn() -> Vec<Twist>) {
    let mut world = World::enrolled();
    world.publish(1);
    for twist in twists() {
        world.origin().twist = Some(twist);
        let ran = world.run(honest());
        world.assert_stopped_fresh(stage, ran);
    }
    world.assert_recovers(1);

    let mut world = World::settled();
    for twist in twists() {
        std::fs::write(world.target("motd"), "drift").unwrap();
        let kept = world.kept();
        world.origin().twist = Some(twist);
        let ran = world.run(honest());
        world.assert_stopped_settled(stage, ran, &kept);
    }
    world.assert_recovers(2);
}

/// True if `needle` stands in `bytes`.
pub fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}
