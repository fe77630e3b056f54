//! A bundle, a machine in memory and stores, for tests that run the engine.
#![allow(dead_code)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use vigo_base::{AbsolutePath, SecretPath, SecretVersion};
use vigo_engine::{FailedTrait, MemoryStores, OwedStore, RunInput, RunOptions, RunReport, Secrets, run};
use vigo_resource::{Failure, Outcome};
use vigo_template::EnvoyFacts;
use vigo_testkit::fake::{FakeHost, Node, NodeKind};
use vigo_wire::bundle::{Bundle, Configcrate, Resource};
use vigo_wire::node::{Entry, Kind, Node as Data};

/// Everything that a run needs.
#[derive(Default)]
pub struct World {
    pub bundle: Bundle,
    pub host: FakeHost,
    pub owed: Debts,
    pub applied: MemoryStores,
    pub secrets: Vault,
    pub options: RunOptions,
    pub failed_traits: Vec<FailedTrait>,
}

/// Debts that can refuse to be written.
#[derive(Default)]
pub struct Debts {
    pub store: MemoryStores,
    pub refuses: bool,
}

impl OwedStore for Debts {
    fn is_owed(&self, target: &str) -> bool {
        self.store.is_owed(target)
    }
    fn add(&mut self, source: &str, targets: &[&str]) -> Result<(), Failure> {
        if self.refuses { Err(Failure::failed("disk full")) } else { self.store.add(source, targets) }
    }
    fn strike(&mut self, target: &str) -> Result<(), Failure> {
        self.store.strike(target)
    }
}

/// Secrets by path, and what was asked for.
#[derive(Default)]
pub struct Vault {
    pub versions: BTreeMap<SecretPath, u64>,
    pub away: bool,
    pub asked: RefCell<Vec<Vec<String>>>,
    /// Left for later by `obtain`, and those that were fetched after all.
    pub later: BTreeSet<SecretPath>,
    pub held: RefCell<Vec<String>>,
}

impl vigo_resource::Values for Vault {}

impl Secrets for Vault {
    fn obtain(&self, paths: &[SecretPath]) -> Vec<Result<SecretVersion, Failure>> {
        self.asked.borrow_mut().push(paths.iter().map(ToString::to_string).collect());
        let answer = |path: &SecretPath| match self.versions.get(path) {
            _ if self.away => Err(Failure::blocked("the server is away")),
            Some(version) => Ok(SecretVersion(*version)),
            None => Err(Failure::blocked("there is no such secret")),
        };
        paths.iter().map(answer).collect()
    }
    fn is_left_for_later(&self, path: &SecretPath) -> bool {
        self.later.contains(path)
    }
    fn hold(&self, paths: &[SecretPath]) -> Result<(), Failure> {
        self.held.borrow_mut().extend(paths.iter().map(ToString::to_string));
        Ok(())
    }
    fn version(&self, path: &SecretPath) -> Option<SecretVersion> {
        self.versions.get(path).map(|version| SecretVersion(*version))
    }
    fn is_away(&self) -> bool {
        self.away
    }
}

pub fn path(text: &str) -> AbsolutePath {
    text.parse().unwrap()
}

pub fn traits() -> Data {
    let os = Data::map([("family".to_owned(), Data::literal("debian"))]);
    Data::map([("os".to_owned(), os)])
}

/// A resource of a type with attributes: `key` is literal text, `key=` an expression, `key~` a template.
pub fn resource(kind: &str, name: &str, attributes: &[(&str, &str)]) -> Resource {
    let entry = |(key, text): &(&str, &str)| {
        let (name, node) = match (key.strip_suffix('='), key.strip_suffix('~')) {
            (Some(name), _) => (name, Data::new(Kind::Expression((*text).to_owned()))),
            (_, Some(name)) => (name, Data::new(Kind::Template((*text).to_owned()))),
            _ => (*key, Data::literal(*text)),
        };
        Entry { name: name.to_owned(), value: Some(node) }
    };
    Resource {
        r#type: kind.into(),
        name: name.into(),
        attributes: attributes.iter().map(entry).collect(),
        origin: "x.vgo:1".into(),
        ..Resource::default()
    }
}

pub fn file(name: &str, target: &str, content: &str) -> Resource {
    resource("file", name, &[("target_path", target), ("content", content)])
}

/// A file whose content is one secret.
pub fn secret_file(name: &str, target: &str, secret: &str) -> Resource {
    let content = format!("token {{{{ secret(\"{secret}\") }}}}\n");
    resource("file", name, &[("target_path", target), ("content~", &content)])
}

impl World {
    pub fn new(resources: Vec<Resource>) -> Self {
        let configcrates = vec![Configcrate { name: "c".into(), ..Configcrate::default() }];
        let mut world = Self {
            bundle: Bundle { configcrates, resources, ..Bundle::default() },
            host: FakeHost::new(),
            ..Self::default()
        };
        let folder = Node { kind: NodeKind::Folder, mode: "0755".parse().unwrap(), owner: 0, group: 0 };
        world.host.put(&path("/etc"), folder);
        world
    }

    pub fn secret(&mut self, name: &str, version: u64, value: &str) {
        let secret: SecretPath = name.parse().unwrap();
        self.host.set_secret(&secret, value);
        self.secrets.versions.insert(secret, version);
    }

    pub fn run(&mut self) -> RunReport {
        self.try_run().unwrap()
    }

    pub fn try_run(&mut self) -> Result<RunReport, vigo_engine::EngineError> {
        let input = RunInput {
            bundle: &self.bundle,
            parameters: &[],
            traits: &traits(),
            failed_traits: &self.failed_traits,
            envoy: &EnvoyFacts { name: "web-1".into(), ..EnvoyFacts::default() },
            registry: &vigo_resources::REGISTRY,
            owed: &mut self.owed,
            applied: &mut self.applied,
            secrets: &self.secrets,
            options: self.options.clone(),
        };
        run(input, &mut self.host)
    }

    pub fn text(&self, target: &str) -> Option<String> {
        match &self.host.node(&path(target))?.kind {
            NodeKind::File(text) => Some(text.clone()),
            _ => None,
        }
    }

    pub fn write(&mut self, target: &str, text: &str) {
        let mode = "0644".parse().unwrap();
        self.host.put(&path(target), Node { kind: NodeKind::File(text.into()), mode, owner: 0, group: 0 });
    }
}

/// The outcomes in order, as `id outcome`.
pub fn outcomes(report: &RunReport) -> Vec<String> {
    report.resources.iter().map(|one| format!("{} {}", one.id, one.outcome)).collect()
}

pub fn outcome(report: &RunReport, id: &str) -> Outcome {
    find(report, id).outcome
}

pub fn find<'a>(report: &'a RunReport, id: &str) -> &'a vigo_engine::ResourceReport {
    report.resources.iter().find(|one| one.id == id).unwrap_or_else(|| panic!("{id} in {report:?}"))
}
