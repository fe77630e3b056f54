//! Programs that cannot start because what they need is broken, and what is kept of who did what.

use crate::node::{LOUD, Node, canaries};
use crate::world::{Ended, World, run};
use std::fs;
use std::process::Stdio;
use vigo_testkit::scan::{Canary, Kind, Scanner, Sink};

#[test]
fn an_agent_that_cannot_start_says_no_value_and_no_key() {
    let mut node = Node::new();
    let [value] = canaries(Kind::SixtyFour);
    node.set("app/token", &value.plain());
    node.policy("", "  - name: token\n    type: file\n    target_path: \"{{ vars.root }}/token\"\n    content: \"secret:app/token\"\n");
    node.apply(&[]).expect(0);
    let keys = keys_in(&node.world.path("vault"));
    let all: Vec<&Canary> = [&value].into_iter().chain(&keys).collect();
    for (file, damage) in files(&node.world.path("vault")).into_iter().flat_map(|file| damages(&file)) {
        let whole = fs::read(&file).unwrap();
        fs::write(&file, damage).unwrap();
        let ended = node.apply(&[]);
        node.clean(&format!("with {} damaged", file.display()), &ended, &all);
        fs::write(&file, whole).unwrap();
    }
    // Settings that are wrong beside everything else.
    fs::write(node.world.path("agent.yaml"), "arena: [\nlog_level: loud\n").unwrap();
    let mut command = node.command(&[]);
    command.env("VIGO_CONFIG", node.world.path("agent.yaml"));
    let ended = run(command, b"");
    assert_ne!(ended.code, 0);
    node.clean("wrong settings", &ended, &all);
}

#[test]
fn a_vault_under_a_passphrase_is_applied_with_it_and_says_nothing_without() {
    let mut node = Node::new();
    let [value, phrase, other] = canaries(Kind::Plain);
    node.set("app/token", &value.plain());
    node.policy("", "  - name: token\n    type: file\n    target_path: \"{{ vars.root }}/token\"\n    content: \"secret:app/token\"\n");
    let file = |name: &str, canary: &Canary| {
        let path = node.world.path(name).display().to_string();
        fs::write(&path, canary.plain()).unwrap();
        path
    };
    let (right, wrong) = (file("phrase", &phrase), file("other", &other));
    let vault = node.vault();
    let words =
        ["secrets", "--vault", &vault, "rekey", "--to", "passphrase", "--new-passphrase-file", &right];
    node.world.cli(&words).expect(0);
    for (words, why) in [
        (vec![], "--passphrase-file"),
        (vec!["--passphrase-file", wrong.as_str()], "passphrase is not the one"),
        (vec!["--passphrase-file", "/nowhere"], "No such file"),
    ] {
        let ended = node.apply(&words);
        assert!(ended.code != 0 && ended.err.contains(why), "{words:?}: {} {}", ended.code, ended.err);
        assert!(!node.at("token").exists(), "{words:?}");
        node.clean(&format!("{words:?}"), &ended, &[&value, &phrase, &other]);
    }
    let ended = node.apply(&["--passphrase-file", &right]);
    node.clean("with the passphrase", &ended, &[&value, &phrase]);
    ended.expect(0);
    assert_eq!(node.target("token"), value.plain());
}

#[test]
fn a_server_that_cannot_start_says_no_value_and_no_key_and_its_log_has_none_at_the_loudest() {
    let mut world = World::new();
    world.environment = LOUD.map(|(name, value)| (name, value.to_owned())).to_vec();
    let [value] = canaries(Kind::SixtyFour);
    world.start_server();
    world.cli_with_input(&["secrets", "set", "app/token", "--exact"], &value.plain()).expect(0);
    world.stack("configcrates/first.vgo", "configcrate: first\nresources:\n  - {type: file, target_path: \"{{ vars.root }}/token\", content: \"secret:app/token\"}\n");
    world.publish().expect(0);
    world.enroll("web-1").expect(0);
    world.vigo(&["run"]).expect(0);
    let admin =
        Canary::of(Kind::Plain, fs::read_to_string(world.path("srv/admin.token")).unwrap().trim().as_bytes());
    let token = Canary::of(Kind::Plain, fs::read_to_string(world.path("token")).unwrap().trim().as_bytes());
    world.kill_server();
    let mut all = keys_in(&world.path("srv/keys"));
    all.extend([value, admin, token]);
    clean(&fs::read(world.path("srv.log")).unwrap(), "the log", &all);
    for (file, damage) in files(&world.path("srv")).into_iter().flat_map(|file| damages(&file)) {
        let whole = fs::read(&file).unwrap();
        fs::write(&file, damage).unwrap();
        clean(&started(&world), &format!("with {} damaged", file.display()), &all);
        fs::write(&file, whole).unwrap();
    }
}

#[test]
fn the_audit_log_says_who_did_what_and_no_token_and_no_value() {
    let mut world = World::new();
    let [value] = canaries(Kind::SixtyFour);
    world.start_server();
    world.cli_with_input(&["secrets", "set", "app/token", "--exact"], &value.plain()).expect(0);
    world.cli(&["secrets", "rotate", "app/made"]).expect(0);
    world.stack("configcrates/first.vgo", "configcrate: first\nresources:\n  - {type: file, target_path: \"{{ vars.root }}/token\", content: \"secret:app/token\"}\n");
    world.publish().expect(0);
    world.enroll("web-1").expect(0);
    world.vigo(&["run"]).expect(0);
    world.cli(&["secrets", "get", "app/token", "--stdout"]).expect(4);
    world.cli(&["secrets", "rm", "app/made"]).expect(0);
    let listed: Ended = world.cli(&["audit", "list", "--json"]).expect(0);
    for action in ["secrets", "token", "enrol", "publish", "app/token", "app/made", "web-1"] {
        assert!(listed.out.contains(action), "`{action}` is not in the audit log:\n{}", listed.out);
    }
    let of = |name: &str| fs::read_to_string(world.path(name)).unwrap().trim().to_owned();
    // Of an enrolment token its id and the anchor's digest are no secrets, and they are what the log names it by.
    let (admin, token) = (of("srv/admin.token"), of("token"));
    let key = token.split('.').nth(2).unwrap();
    let tokens = [admin.as_str(), key].map(|secret| Canary::of(Kind::Plain, secret.as_bytes()));
    let all: Vec<Canary> = tokens.into_iter().chain([value]).collect();
    clean(listed.out.as_bytes(), "the audit log", &all);
    world.cli(&["audit", "verify"]).expect(0);
}

/// None of these is in it. The control is put behind it.
fn clean(text: &[u8], what: &str, secrets: &[Canary]) {
    let control = Canary::fresh(Kind::SixtyFour).unwrap();
    let text = [text, b"\n", &control.plain()].concat();
    let scanned = Scanner::of(secrets).bytes(Sink::Output, what, &text, &control).unwrap();
    assert!(scanned.hits.is_empty(), "{what}: {:?}\n{}", scanned.hits, String::from_utf8_lossy(&text));
}

/// What the server says when it is started and ended again, or ends by itself.
fn started(world: &World) -> Vec<u8> {
    let log = world.path("broken.log");
    let file = fs::File::create(&log).unwrap();
    let _absent = fs::remove_file(world.path("ready"));
    let mut command = world.server_command();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let mut server = command.spawn().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while server.try_wait().unwrap().is_none()
        && fs::read(world.path("ready")).map_or(0, |text| text.len()) == 0
    {
        assert!(std::time::Instant::now() < deadline, "{}", fs::read_to_string(&log).unwrap());
        let _ = rustix::thread::nanosleep(&rustix::thread::Timespec { tv_sec: 0, tv_nsec: 5_000_000 });
    }
    let _gone = server.kill();
    server.wait().unwrap();
    fs::read(log).unwrap()
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path.is_file() {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// A file that is cut off, and one with something else in it.
fn damages(file: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let whole = fs::read(file).unwrap();
    let half = whole[..whole.len() / 2].to_vec();
    let other = whole.iter().map(|byte| byte ^ 1).collect();
    vec![(file.to_owned(), half), (file.to_owned(), other)]
}

/// The lines of text files that hold keys.
fn keys_in(folder: &std::path::Path) -> Vec<Canary> {
    let named = |path: &std::path::PathBuf| path.to_string_lossy().contains("key");
    let lines = |path: std::path::PathBuf| String::from_utf8(fs::read(path).unwrap()).unwrap_or_default();
    let text: String = files(folder).into_iter().filter(named).map(lines).collect();
    let keys: Vec<Canary> = text
        .split_whitespace()
        .filter(|word| word.len() >= 32 && !word.contains("---"))
        .map(|word| Canary::of(Kind::Plain, word.as_bytes()))
        .collect();
    assert!(!keys.is_empty(), "no key was found in {}", folder.display());
    keys
}
