//! A machine that applies a policy with a vault, without a server, and what it says.

use crate::world::{Ended, World, run};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use vigo_testkit::scan::{Canary, Kind, Scanned, Scanner, Sink};

/// What makes programs loud, here and elsewhere.
pub const LOUD: [(&str, &str); 4] =
    [("VIGO_LOG_LEVEL", "trace"), ("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full"), ("DEBUG", "1")];

pub struct Node {
    pub world: World,
    /// The name of a resource in every policy, and so in whatever is said of it: who does not find it would find nothing.
    pub control: Canary,
}

impl Node {
    pub fn new() -> Self {
        let mut world = World::new();
        world.environment = LOUD.map(|(name, value)| (name, value.to_owned())).to_vec();
        Self { world, control: Canary::fresh(Kind::Plain).unwrap() }
    }

    pub fn vault(&self) -> String {
        self.world.path("vault").display().to_string()
    }

    /// Sets a secret in the vault.
    pub fn set(&self, path: &str, value: &[u8]) {
        let words = ["secrets", "--vault", &self.vault(), "set", path, "--exact"];
        self.world.cli_with_input(&words, value).expect(0);
    }

    /// The policy: a resource with the control's name, and these after it.
    pub fn policy(&mut self, vars: &str, resources: &str) {
        let control = String::from_utf8(self.control.plain()).unwrap();
        let text = format!(
            "configcrate: first\nvars: {{root: \"{}\"{vars}}}\nresources:\n  - name: \"{control}\"\n    type: file\n    \
             target_path: \"{{{{ vars.root }}}}/control\"\n    content: \"x\"\n{resources}",
            self.world.root().display()
        );
        self.world.stack("configcrates/first.vgo", &text);
        self.world.stack("common.vgo", "vars: {}\n");
    }

    /// Not yet started.
    pub fn command(&self, words: &[&str]) -> Command {
        let (stacks, vault) = (self.world.path("stacks").display().to_string(), self.vault());
        let start = ["apply", &stacks, "--name", "web-1", "--secrets", &vault];
        self.world.vigo_command(&[&start, words].concat())
    }

    pub fn apply(&self, words: &[&str]) -> Ended {
        run(self.command(words), b"")
    }

    /// A dry run and a run, each as text and as JSON, with differences and all that is unchanged; in all that they say there is none of these.
    pub fn says_nothing_of(&self, secrets: &[&Canary], code: i32) {
        let dry: &[&str] = &["--dry-run"];
        for first in [dry, &[]] {
            for second in [&["--diff", "-v"] as &[&str], &["--diff", "--json"], &["--log-format", "json"]] {
                let ended = self.apply(&[first, second].concat());
                if first.is_empty() {
                    assert_eq!(ended.code, code, "{second:?}:\n{}\n{}", ended.out, ended.err);
                }
                self.clean(&format!("{first:?} {second:?}"), &ended, secrets);
            }
        }
    }

    /// None of these is in what was said; the control is put behind it where the command says no name.
    pub fn clean(&self, what: &str, ended: &Ended, secrets: &[&Canary]) {
        let mut text = format!("{}\n{}", ended.out, ended.err).into_bytes();
        if !what.contains("--diff") {
            text.extend(self.control.plain());
        }
        let scanned = self.scan(Sink::Output, what, &text, secrets);
        assert!(scanned.hits.is_empty(), "{what}: {:?}\n{}\n{}", scanned.hits, ended.out, ended.err);
    }

    pub fn scan(&self, sink: Sink, what: &str, bytes: &[u8], secrets: &[&Canary]) -> Scanned {
        Scanner::of(secrets.iter().copied()).bytes(sink, what, bytes, &self.control).unwrap()
    }

    /// The value of a target.
    pub fn target(&self, name: &str) -> Vec<u8> {
        fs::read(self.world.root().join(name)).unwrap()
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.world.root().join(name)
    }
}

/// Some, fresh.
pub fn canaries<const COUNT: usize>(kind: Kind) -> [Canary; COUNT] {
    std::array::from_fn(|_| Canary::fresh(kind).unwrap())
}
