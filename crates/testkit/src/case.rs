//! Case files: what a machine looks like before, one resource, what becomes of it, what the machine looks like after.
//!
//! The same cases run on the machine in memory and on a real one; `{root}` in them is the folder that stands for `/` there.
//!
//! ```text
//! case: a file that is not there is made
//! before:
//!   folder {root}/etc 0755
//!   secret web/token canary-5f1c
//! resource:
//!   target_path: {root}/etc/motd
//!   content: "token secret:web/token\n"
//! expect: created
//! line: create `{root}/etc/motd`
//! after:
//!   file {root}/etc/motd 0600 "token canary-5f1c\n"
//! ```

mod reading;

use crate::fake::{Effect, FakeCommand, FakeHost, Node, NodeKind};
use vigo_base::{AbsolutePath, Mode, SecretPath, SecretVersion, Value};
use vigo_resource::{
    AllHeld, AnyResource, Attributes, Context, Failure, Host, NothingManaged, Outcome, Plan, ResourceType,
    SecretChange, Storage, StorageContent, SwapArea, SwapModel, SwapState, Unchanged,
};

/// One case.
#[derive(Debug)]
pub struct Case {
    /// What it shows, as a sentence.
    pub name: String,
    /// What is there before.
    pub before: Vec<Given>,
    /// The attributes of the resource.
    pub attributes: Vec<(String, Value)>,
    /// `allow_exposure` of the resource.
    pub allow_exposure: Vec<String>,
    /// What becomes of it.
    pub expect: Expected,
    /// Texts that stand in the lines of the change.
    pub lines: Vec<String>,
    /// Texts that stand in the diff.
    pub diff: Vec<String>,
    /// Texts that stand in the reason.
    pub reasons: Vec<String>,
    /// What is there after.
    pub after: Vec<Fact>,
    /// It does the same again each time: a command without a guard.
    pub repeats: bool,
}

/// What becomes of the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Its attributes are refused.
    Refused,
    /// It comes to that outcome.
    Outcome(Outcome),
}

/// Something that is there before.
#[derive(Clone, Debug)]
pub enum Given {
    /// A file, folder or link.
    Node(AbsolutePath, Node),
    /// Another name of a file.
    Name(AbsolutePath, AbsolutePath),
    /// A user.
    User(String, u32),
    /// A group.
    Group(String, u32),
    /// A secret and its value.
    Secret(SecretPath, String),
    /// A secret that has another version than the resource was last applied with.
    Rotated(SecretPath),
    /// A secret whose value cannot be had.
    Withheld(SecretPath),
    /// A secret that the machine was given before.
    Served(SecretPath),
    /// A device or file that could be swap.
    Storage(Storage),
    /// One of them that is in use: what is used of it, and its priority.
    Swap(String, u64, i32),
    /// A fact about the machine's swap.
    Machine(String, String),
    /// A path of Vigo's own.
    Guarded(AbsolutePath),
    /// A command and what it does.
    Command(String, FakeCommand),
}

/// Something that holds after.
#[derive(Clone, Debug)]
pub enum Fact {
    /// That stands there. `None` for a mode or an owner that does not matter.
    Node {
        /// Where.
        path: AbsolutePath,
        /// What.
        kind: NodeKind,
        /// Its mode.
        mode: Option<Mode>,
        /// Its owner and group.
        owner: Option<(u32, u32)>,
    },
    /// Nothing stands there.
    Missing(AbsolutePath),
    /// That command ran.
    Ran(String),
    /// Exactly these are in use as swap, each as `/dev/zram0 zram`.
    Swaps(Vec<String>),
    /// That device or file begins so.
    Holds(String, StorageContent),
}

/// A machine on which cases run.
pub trait Machine {
    /// Brings something there; `Err` with the reason when this machine cannot have it, and the case does not run here.
    fn give(&mut self, given: &Given) -> Result<(), String>;
    /// The host.
    fn host(&mut self) -> &mut dyn Host;
    /// The same, to look at only.
    fn view(&self) -> &dyn Host;
    /// What stands at a path.
    fn node(&self, path: &AbsolutePath) -> Option<Node>;
    /// Its swap, where the machine may be asked: what is in use, and what is there.
    fn swap(&self) -> Option<&SwapModel>;
    /// The commands that ran, where the machine knows.
    fn ran(&self) -> Option<&[String]>;
}

impl Machine for FakeHost {
    fn give(&mut self, given: &Given) -> Result<(), String> {
        match given.clone() {
            Given::Node(path, node) => self.put(&path, node),
            Given::Name(path, to) => {
                let ownership = vigo_resource::Ownership::default();
                self.make_link(&path, &vigo_resource::Link::Hard(to), ownership)
                    .map_err(|failure| failure.reason)?;
            }
            Given::User(name, id) => self.add_user(&name, id),
            Given::Group(name, id) => self.add_group(&name, id),
            Given::Secret(path, value) => self.set_secret(&path, &value),
            Given::Guarded(path) => self.guard(path),
            Given::Command(text, command) => self.add_command(&text, command),
            Given::Storage(storage) => self.swap().storages.push(storage),
            Given::Swap(path, used, priority) => {
                let storage = self.swap().storage(&path).cloned().ok_or("no such storage")?;
                self.swap().state.areas.push(SwapArea { storage, used, priority });
            }
            Given::Machine(word, value) => set(&mut self.swap().state, &word, &value)?,
            Given::Rotated(_) | Given::Withheld(_) | Given::Served(_) => {}
        }
        Ok(())
    }

    fn host(&mut self) -> &mut dyn Host {
        self
    }

    fn view(&self) -> &dyn Host {
        self
    }

    fn node(&self, path: &AbsolutePath) -> Option<Node> {
        Self::node(self, path).cloned()
    }

    fn swap(&self) -> Option<&SwapModel> {
        Some(self.swap_model())
    }

    fn ran(&self) -> Option<&[String]> {
        Some(Self::ran(self))
    }
}

/// Reads a case file. `root` takes the place of `{root}`.
pub fn read(text: &str, root: &str) -> Result<Vec<Case>, String> {
    reading::read(&text.replace("{root}", root))
}

/// What one resource came to, with every text that it said.
#[derive(Debug)]
pub struct Ended {
    /// What became of it; `None` when its attributes were refused.
    pub outcome: Option<Outcome>,
    /// Lines of the change and of apply.
    pub lines: Vec<String>,
    /// The diff.
    pub diff: Vec<String>,
    /// Reason and help.
    pub reason: String,
}

impl Ended {
    /// Everything that was said, as one text.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}\n{}\n{}", self.lines.join("\n"), self.diff.join("\n"), self.reason)
    }

    fn failed(failure: &Failure) -> Self {
        Self {
            outcome: Some(failure.outcome()),
            lines: Vec::new(),
            diff: Vec::new(),
            reason: format!("{} {}", failure.reason, failure.help),
        }
    }
}

impl Case {
    /// The context that the case gives the resource.
    pub fn with_context<T>(&self, kind: &dyn ResourceType, act: impl FnOnce(&Context<'_>) -> T) -> T {
        let mut missing = None;
        let mut versions = Vec::new();
        let mut secret_change = SecretChange::Same;
        let mut served = Vec::new();
        for given in &self.before {
            match given {
                Given::Secret(path, _) => versions.push((path.clone(), SecretVersion(3))),
                Given::Withheld(path) => {
                    missing = Some(Failure::blocked(format!("cannot get secret `{path}`")));
                }
                Given::Served(path) => served.push(path.clone()),
                Given::Rotated(_) => secret_change = SecretChange::Rotated,
                _ => {}
            }
        }
        act(&Context {
            id: "case:resource",
            timeout: kind.info().timeout,
            allow_exposure: &self.allow_exposure,
            diff: true,
            secret_change,
            versions: &versions,
            missing_secret: missing.as_ref(),
            served: &served,
            on_demand: &AllHeld,
            managed: &NothingManaged,
        })
    }

    /// Parse, as an engine would.
    pub fn parse(&self, kind: &dyn ResourceType) -> Result<Box<dyn AnyResource>, Ended> {
        kind.parse(Attributes::new(kind.info(), self.attributes.clone())).map_err(|problems| Ended {
            outcome: None,
            lines: Vec::new(),
            diff: Vec::new(),
            reason: problems.iter().map(|problem| format!("{problem} {}", problem.help)).collect(),
        })
    }

    /// Parse, plan and apply once.
    pub fn go(&self, kind: &dyn ResourceType, machine: &mut dyn Machine) -> Ended {
        let resource = match self.parse(kind) {
            Ok(resource) => resource,
            Err(ended) => return ended,
        };
        self.with_context(kind, |context| {
            let (outcome, change, steps) = match resource.plan(machine.view(), context) {
                Ok(Plan::Unchanged(how)) => return unchanged(how),
                Ok(Plan::Change { outcome, change, steps }) => (outcome, change, steps),
                Err(failure) => return Ended::failed(&failure),
            };
            match resource.apply(machine.host(), context, steps) {
                Ok(applied) => Ended {
                    outcome: Some(outcome),
                    lines: change.lines.into_iter().chain(applied.lines).collect(),
                    diff: change.diff.iter().map(ToString::to_string).collect(),
                    reason: String::new(),
                },
                Err(failure) => Ended::failed(&failure),
            }
        })
    }

    /// What of the case does not hold after `ended` on that machine.
    #[must_use]
    pub fn complaints(&self, ended: &Ended, machine: &dyn Machine) -> Vec<String> {
        let mut complaints = Vec::new();
        let got = ended.outcome.map_or(Expected::Refused, Expected::Outcome);
        if got != self.expect {
            complaints.push(format!("{:?} expected, it is {got:?}: {}", self.expect, ended.said().trim()));
        }
        let mut look = |wanted: &[String], text: &str, place: &str| {
            for part in wanted.iter().filter(|part| !text.contains(part.as_str())) {
                complaints.push(format!("{place} lacks `{part}`: {text}"));
            }
        };
        look(&self.lines, &ended.lines.join("\n"), "the change");
        look(&self.diff, &ended.diff.join("\n"), "the diff");
        look(&self.reasons, &ended.reason, "the reason");
        complaints.extend(self.after.iter().filter_map(|fact| fact.complaint(machine)));
        complaints
    }
}

impl Fact {
    fn complaint(&self, machine: &dyn Machine) -> Option<String> {
        match self {
            Self::Missing(path) => machine.node(path).map(|node| format!("`{path}` is there: {node:?}")),
            Self::Swaps(wanted) => {
                let areas = &machine.swap()?.state.areas;
                let there: Vec<String> = areas
                    .iter()
                    .map(|area| format!("{} {}", area.storage.path, area.storage.class))
                    .collect();
                (there != *wanted).then(|| format!("swap is {there:?}, not {wanted:?}"))
            }
            Self::Holds(path, wanted) => {
                let found = machine.swap()?.storage(path).map(|storage| storage.content);
                (found != Some(*wanted)).then(|| format!("`{path}` holds {found:?}, not {wanted:?}"))
            }
            Self::Ran(command) => {
                let ran = machine.ran()?;
                (!ran.contains(command)).then(|| format!("`{command}` did not run, but {ran:?}"))
            }
            Self::Node { path, kind, mode, owner } => {
                let Some(node) = machine.node(path) else { return Some(format!("`{path}` is missing")) };
                let same = node.kind == *kind
                    && mode.is_none_or(|mode| mode == node.mode)
                    && owner.is_none_or(|owner| owner == (node.owner, node.group));
                (!same).then(|| format!("`{path}`: {kind:?} {mode:?} {owner:?} expected, it is {node:?}"))
            }
        }
    }
}

/// Facts by their words: `memory 1024 512` (all, available; in MiB), `refused TEXT`, `read_only /etc`, `zram yes`, `crypt TOOL`.
fn set(state: &mut SwapState, word: &str, value: &str) -> Result<(), String> {
    match word {
        "memory" => {
            let (total, available) = value.split_once(' ').ok_or("memory ALL AVAILABLE")?;
            let bytes = |text: &str| text.parse::<u64>().map(|mib| mib << 20).map_err(|_| "no number");
            (state.memory_total, state.memory_available) = (bytes(total)?, bytes(available)?);
        }
        "refused" => state.refused = Some(value.to_owned()),
        "read_only" => state.is_etc_read_only = true,
        "zram" => state.has_zram = true,
        "crypt" => state.crypt_tool = Some(value.to_owned()),
        _ => return Err("no such fact".to_owned()),
    }
    Ok(())
}

fn unchanged(how: Unchanged) -> Ended {
    let reason = match how {
        Unchanged::Verified => String::new(),
        Unchanged::Unverified(reason) | Unchanged::Guard(reason) => reason,
    };
    Ended { outcome: Some(Outcome::Unchanged), lines: Vec::new(), diff: Vec::new(), reason }
}

/// An effect, for [`Given::Command`].
#[must_use]
pub const fn writes(path: AbsolutePath, text: String) -> Effect {
    Effect::Write(path, text)
}
