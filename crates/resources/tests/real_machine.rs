//! The cases of every type on this machine, in a folder of its own: real files, the real host, a real hand.
//!
//! Without the usual harness, because this program is also the hand. Cases that need another user, or a command that only the machine in memory has, do not run here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use vigo_base::{AbsolutePath, Mode};
use vigo_hand::target::Intents;
use vigo_hand::{Role, StartOptions};
use vigo_host::{Hands, Parts, RealHost};
use vigo_resource::{Host, Outcome};
use vigo_sys::arena::Choice;
use vigo_sys::spawn::Spawner;
use vigo_testkit::case::{self, Case, Expected, Fact, Given, Machine};
use vigo_testkit::fake::{Node, NodeKind};

#[global_allocator]
static ALLOCATOR: vigo_sys::ProcessAllocator = vigo_sys::ProcessAllocator;

const TEST: &str = "every_case_that_a_real_machine_can_have_holds_on_it";

struct Real {
    host: RealHost<'static>,
    hands: Rc<Hands>,
    state: PathBuf,
}

impl Real {
    fn new(spawner: &Rc<Spawner>, state: &Path, case: &Case) -> Self {
        let intents = state.join("intents");
        let options = StartOptions {
            role: Role::Node,
            arena: Choice::Auto,
            arena_max: 4 << 20,
            intents: Some(intents.clone()),
            salt_seed: None,
            envoy: None,
            detect_drift: false,
            reads_terminal: false,
        };
        // Where a test runs there may be no protected pages; its secrets are none.
        let hands = Rc::new(Hands::new(Rc::clone(spawner), options, true));
        let guarded = case.before.iter().filter_map(|given| match given {
            Given::Guarded(path) => Some(path.clone()),
            _ => None,
        });
        let host = RealHost::new(Parts {
            spawner: Rc::clone(spawner),
            hands: Rc::clone(&hands),
            state: state.to_owned(),
            intents: Intents::open(&intents).unwrap(),
            guarded: guarded.collect(),
            swap: || Some(vigo_base::SwapClass::None),
            values: &vigo_resource::NoValues,
        })
        .unwrap();
        Self { host, hands, state: state.to_owned() }
    }
}

impl Machine for Real {
    fn give(&mut self, given: &Given) -> Result<(), String> {
        match given {
            Given::Node(path, node) => {
                fs::create_dir_all(path.parent().unwrap().as_path()).unwrap();
                let path = path.as_path();
                match &node.kind {
                    NodeKind::File(text) => fs::write(path, text).unwrap(),
                    NodeKind::Folder => fs::create_dir_all(path).unwrap(),
                    NodeKind::Symlink(to) => std::os::unix::fs::symlink(to, path).unwrap(),
                }
                std::os::unix::fs::lchown(path, Some(owner(node.owner)), Some(group(node.group))).unwrap();
                if !matches!(node.kind, NodeKind::Symlink(_)) {
                    fs::set_permissions(path, fs::Permissions::from_mode(node.mode.bits())).unwrap();
                }
            }
            Given::Name(path, of) => fs::hard_link(of.as_path(), path.as_path()).unwrap(),
            Given::Secret(path, value) => {
                let file = self.state.join("value");
                fs::write(&file, value).unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
                self.hands.with(|hand| hand.take_from_file(path, &file)).map_err(|failure| failure.reason)?;
                fs::remove_file(&file).unwrap();
            }
            Given::Command(text, _) if text.starts_with("true") || text.starts_with("false") => {}
            Given::Guarded(_) | Given::Rotated(_) | Given::Withheld(_) | Given::Served(_) => {}
            Given::Storage(_) | Given::Swap(..) | Given::Machine(..) => {
                return Err("the swap of a machine belongs to all that runs on it".to_owned());
            }
            Given::User(name, _) | Given::Group(name, _) => return Err(format!("no user or group `{name}`")),
            Given::Command(text, _) => return Err(format!("no command `{text}`")),
        }
        Ok(())
    }

    fn host(&mut self) -> &mut dyn Host {
        &mut self.host
    }

    fn view(&self) -> &dyn Host {
        &self.host
    }

    fn node(&self, path: &AbsolutePath) -> Option<Node> {
        let told = fs::symlink_metadata(path.as_path()).ok()?;
        let kind = match () {
            () if told.is_dir() => NodeKind::Folder,
            () if told.is_symlink() => {
                NodeKind::Symlink(fs::read_link(path.as_path()).ok()?.to_str()?.to_owned())
            }
            () => NodeKind::File(fs::read_to_string(path.as_path()).ok()?),
        };
        Some(Node { kind, mode: Mode::from_bits(told.mode()), owner: told.uid(), group: told.gid() })
    }

    fn swap(&self) -> Option<&vigo_resource::SwapModel> {
        None
    }

    fn ran(&self) -> Option<&[String]> {
        None
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// In a case 0 is who runs Vigo.
fn owner(number: u32) -> u32 {
    if number == 0 { rustix::process::geteuid().as_raw() } else { number }
}

fn group(number: u32) -> u32 {
    if number == 0 { rustix::process::getegid().as_raw() } else { number }
}

/// What a machine like this cannot have.
fn lacks(kind: &str, case: &Case) -> Option<&'static str> {
    let owners = case.attributes.iter().any(|(name, _)| name == "owner" || name == "group")
        || case.after.iter().any(|fact| matches!(fact, Fact::Node { owner: Some(_), .. }))
        || case.before.iter().any(|given| matches!(given, Given::Node(_, node) if node.owner != 0));
    match kind {
        // There is one /etc/fstab and one table of swap: those are tried where nobody else is, in `swap.rs` and on a machine of its own.
        "swap" | "swap_policy" => Some("the swap of a machine belongs to all that runs on it"),
        _ if owners && !is_root() => Some("only root gives files away"),
        // What its commands do is in a table of the machine in memory.
        "exec"
            if case.expect != Expected::Refused && case.expect != Expected::Outcome(Outcome::Unchanged) =>
        {
            Some("its commands are not real")
        }
        _ => None,
    }
}

/// What does not hold; `None` when the case cannot be had here.
fn try_case(
    spawner: &Rc<Spawner>,
    kind: &'static dyn vigo_resource::ResourceType,
    text: &str,
    number: usize,
) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    // Where others can write, no link on the way is followed: the folder's own name must be without one.
    let root = folder.path().canonicalize().unwrap();
    let state = root.join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(root.join("root")).unwrap();
    let case = case::read(text, root.join("root").to_str().unwrap()).unwrap().remove(number);
    if lacks(kind.info().name, &case).is_some() {
        return None;
    }
    let mut machine = Real::new(spawner, &state, &case);
    for given in &case.before {
        machine.give(given).ok()?;
    }
    let ended = case.go(kind, &mut machine);
    let mut complaints = case.complaints(&ended, &machine);
    if ended.outcome.is_some_and(Outcome::satisfies) && !case.repeats {
        let again = case.go(kind, &mut machine);
        if again.outcome != Some(Outcome::Unchanged) {
            complaints.push(format!("the second run is not empty: {again:?}"));
        }
    }
    for given in &case.before {
        if let Given::Secret(path, value) = given
            && ended.said().contains(value.as_str())
        {
            complaints.push(format!("says the secret `{path}`"));
        }
    }
    let left = fs::read_dir(state.join("intents")).unwrap().count();
    if left > 0 {
        complaints.push(format!("{left} intents are left"));
    }
    Some(
        complaints
            .into_iter()
            .map(|complaint| format!("{}: {}: {complaint}", kind.info().name, case.name))
            .collect(),
    )
}

fn every_case() -> bool {
    let spawner = Rc::new(Spawner::start().unwrap());
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cases");
    let (mut ran, mut complaints) = (0, Vec::new());
    for kind in vigo_resources::REGISTRY.iter() {
        let text = fs::read_to_string(folder.join(format!("{}.case", kind.info().name))).unwrap();
        for number in 0..case::read(&text, "").unwrap().len() {
            if let Some(found) = try_case(&spawner, kind, &text, number) {
                ran += 1;
                complaints.extend(found);
            }
        }
    }
    complaints.iter().for_each(|complaint| println!("{complaint}"));
    println!("{ran} cases ran here");
    complaints.is_empty() && ran >= 45
}

fn main() -> ExitCode {
    if let Some(code) = vigo_hand::enter() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The flags of the usual harness that cargo and nextest give.
    if arguments.iter().any(|word| word == "--list") {
        if !arguments.iter().any(|word| word == "--ignored") {
            println!("{TEST}: test");
        }
        return ExitCode::SUCCESS;
    }
    let mut wanted = arguments.iter().filter(|word| !word.starts_with('-')).peekable();
    if wanted.peek().is_some() && !wanted.any(|word| TEST.contains(word.as_str())) {
        return ExitCode::SUCCESS;
    }
    let passed = every_case();
    println!("test {TEST} ... {}", if passed { "ok" } else { "FAILED" });
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
