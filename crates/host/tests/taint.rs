//! Taint on the real machine, with a real hand: what counts as a file with a secret, and what becomes of output that may be one.
//!
//! Without the usual harness, because this program is also the hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types
)]

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
use vigo_host::{Hands, Parts, RealHost};
use vigo_resource::{
    CommandLine, CommandRequest, Comparison, Context, Host, Link, ManagedPaths, Output, OutputRule,
    Ownership, SecretChange,
};
use vigo_sys::spawn::Spawner;

#[global_allocator]
static ALLOCATOR: vigo_sys::ProcessAllocator = vigo_sys::ProcessAllocator;

type Test = fn(&Rc<Spawner>);

const TESTS: &[(&str, Test)] = &[
    ("a_file_that_was_found_to_hold_a_secret_is_tainted", a_file_that_was_found_to_hold_a_secret_is_tainted),
    ("another_name_of_a_tainted_file_is_tainted", another_name_of_a_tainted_file_is_tainted),
    ("what_no_hand_can_scrub_is_dropped", what_no_hand_can_scrub_is_dropped),
    (
        "what_was_handed_over_is_noted_and_what_was_refused_is_not",
        what_was_handed_over_is_noted_and_what_was_refused_is_not,
    ),
];

const VALUE: &str = "a-value-of-a-secret";

/// A machine in a folder of its own.
struct Place {
    _folder: tempfile::TempDir,
    root: PathBuf,
    hands: Rc<Hands>,
    host: RealHost,
}

impl Place {
    fn new(spawner: &Rc<Spawner>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let mut place = Self::on(spawner, folder, root);
        // One file that got a secret the usual way, and its value in the hand.
        let path = "web/token".parse().unwrap();
        let file = place.root.join("given");
        fs::write(&file, VALUE).unwrap();
        place.hands.with(|hand| hand.take_from_file(&path, &file)).unwrap();
        let placement = vigo_resource::Placement {
            path: place.path("token"),
            mode: "0644".parse().unwrap(),
            ownership: Ownership::default(),
            in_place: false,
            validation: None,
        };
        place.host.write_text(&placement, &secret(), &context()).unwrap();
        place
    }

    fn on(spawner: &Rc<Spawner>, folder: tempfile::TempDir, root: PathBuf) -> Self {
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
            swap: || Some(vigo_base::SwapClass::None),
        })
        .unwrap();
        Self { _folder: folder, root, hands, host }
    }

    fn path(&self, name: &str) -> AbsolutePath {
        self.root.join(name).to_str().unwrap().parse().unwrap()
    }
}

struct Nothing;

impl ManagedPaths for Nothing {
    fn holds(&self, path: &AbsolutePath) -> bool {
        HashSet::<&AbsolutePath>::new().contains(path)
    }
}

fn context() -> Context<'static> {
    Context {
        id: "test:a",
        timeout: Duration::from_secs(20),
        allow_exposure: &[],
        diff: true,
        secret_change: SecretChange::Same,
        versions: &[],
        missing_secret: None,
        managed: &Nothing,
    }
}

fn command(words: &[&str]) -> CommandRequest {
    CommandRequest {
        line: CommandLine::Arguments(words.iter().copied().map(Pieces::literal).collect()),
        user: None,
        group: None,
        folder: "/".parse().unwrap(),
        environment: Vec::new(),
        stdin: None,
        umask: 0o022,
        timeout: Duration::from_secs(20),
        output: OutputRule::Scrub,
        resource: "test:a".to_owned(),
    }
}

fn secret() -> Pieces {
    let mut pieces = Pieces::default();
    pieces.push_slot(Slot { path: "web/token".parse().unwrap(), filters: Vec::new() });
    pieces
}

fn a_file_that_was_found_to_hold_a_secret_is_tainted(spawner: &Rc<Spawner>) {
    let place = Place::new(spawner);
    let copy = place.path("copy");
    fs::write(copy.as_path(), VALUE).unwrap();
    fs::set_permissions(copy.as_path(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!place.host.is_tainted(&copy).unwrap());
    assert_eq!(place.host.compare_text(&copy, &secret(), &context()).unwrap(), Comparison::Same);
    assert!(place.host.is_tainted(&copy).unwrap());
    let second = place.path("second");
    fs::write(second.as_path(), VALUE).unwrap();
    fs::set_permissions(second.as_path(), fs::Permissions::from_mode(0o644)).unwrap();
    let found = place.host.compare_copy(&second, &copy, &context()).unwrap();
    assert_eq!((found, place.host.is_tainted(&second).unwrap()), (Comparison::Same, true));
    // So that a diff against it shows nothing of it.
    let found = place.host.compare_text(&copy, &Pieces::literal("none\n"), &context()).unwrap();
    assert!(matches!(&found, Comparison::Different { .. }));
    assert!(!format!("{found:?}").contains(VALUE), "{found:?}");
}

fn what_was_handed_over_is_noted_and_what_was_refused_is_not(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let noted = |place: &Place| -> Vec<String> {
        let exposed = place.host.take_exposures();
        exposed.iter().map(|exposed| format!("{} {}", exposed.secret, exposed.way)).collect()
    };
    assert_eq!(noted(&place), ["web/token file"], "the file that was written");
    assert!(noted(&place).is_empty(), "it was asked for before");
    place.host.compare_text(&place.path("token"), &secret(), &context()).unwrap();
    assert_eq!(noted(&place), ["web/token file"], "the file that was found as written");
    place.host.compare_text(&place.path("given-not"), &secret(), &context()).unwrap();
    assert!(noted(&place).is_empty(), "no such file");
    let mut request = command(&["/bin/false"]);
    request.environment = vec![("TOKEN".to_owned(), secret())];
    request.stdin = Some(secret());
    place.host.run(&request).unwrap();
    assert_eq!(noted(&place), ["web/token stdin", "web/token environment"]);
    let slot = Slot { path: "web/absent".parse().unwrap(), filters: Vec::new() };
    let mut absent = Pieces::default();
    absent.push_slot(slot);
    request.stdin = Some(absent);
    place.host.run(&request).unwrap_err();
    assert!(noted(&place).is_empty(), "it was not started");
}

fn another_name_of_a_tainted_file_is_tainted(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let (token, other) = (place.path("token"), place.path("other"));
    place.host.make_link(&other, &Link::Hard(token), Ownership::default()).unwrap();
    assert!(place.host.is_tainted(&other).unwrap());
    let plain = place.path("plain");
    fs::write(plain.as_path(), "x").unwrap();
    fs::set_permissions(plain.as_path(), fs::Permissions::from_mode(0o644)).unwrap();
    let third = place.path("third");
    place.host.make_link(&third, &Link::Hard(plain), Ownership::default()).unwrap();
    assert!(!place.host.is_tainted(&third).unwrap());
}

fn what_no_hand_can_scrub_is_dropped(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let token = place.path("token");
    let request = command(&["cat", token.as_str()]);
    // A hand may hold another version than the file: what it does not know it cannot scrub.
    let dropped = Output::Dropped { stdout_bytes: VALUE.len() as u64, stderr_bytes: 0 };
    assert_eq!(place.host.run(&request).unwrap().output, dropped);
    place.hands.end();
    assert_eq!(place.host.run(&request).unwrap().output, dropped);
}

fn main() -> ExitCode {
    if let Some(code) = vigo_hand::enter() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The flags of the usual harness that cargo and nextest give.
    if arguments.iter().any(|word| word == "--list") {
        if !arguments.iter().any(|word| word == "--ignored") {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let spawner = Rc::new(Spawner::start().unwrap());
    for (name, test) in TESTS {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            test(&spawner);
            println!("test {name} ... ok");
        }
    }
    ExitCode::SUCCESS
}
