//! What a command says of a value that the hand does not hold: a program that quotes its own configuration file, in every way in which the value
//! is not there to be scrubbed. It is dropped, and the line says why; what can be had for it is fetched.

use crate::node::{Node, canaries};
use crate::world::{Ended, World};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use vigo_testkit::scan::{Canary, Kind, Scanner, Sink};

/// What the program says for itself.
const OWN: &str = "the-program-says";
const DROPPED: &str = "its output is not kept";

/// A file with a secret in it, and a program that says what stands there; no command names the file.
fn resources(root: &Path, between: &str) -> String {
    let program = root.join("appcheck");
    fs::write(&program, format!("#!/bin/sh\necho {OWN}; cat {}/app.conf; exit 1\n", root.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let conf = file("conf", "app.conf");
    let check = format!(
        "  - name: check\n    type: exec\n    creates: /no/such/file\n    command: [\"{}\"]\n    shell: false\n",
        program.display()
    );
    format!("{conf}{between}{check}")
}

fn only_check(resources: &str) -> &str {
    resources.split_at(resources.find("  - name: check").unwrap()).1
}

fn file(name: &str, target: &str) -> String {
    format!(
        "  - name: {name}\n    type: file\n    target_path: \"{{{{ vars.root }}}}/{target}\"\n    content: \"token = secret:app/token\\n\"\n"
    )
}

/// Everything in the state folder of the agent and in the store of the server, and that: nothing of the value is in it, and it is kept or not.
fn clean(world: &World, what: &str, said: &str, value: &Canary, is_kept: bool) {
    let control = Canary::fresh(Kind::Plain).unwrap();
    let mut bytes = said.as_bytes().to_vec();
    let mut files = Vec::new();
    for folder in ["agent", "srv"].map(|name| world.path(name)) {
        files_below(&folder, &mut files);
    }
    for file in files {
        bytes.extend(fs::read(&file).unwrap_or_default());
    }
    bytes.extend(control.plain());
    let scanned = Scanner::of([value]).bytes(Sink::Output, what, &bytes, &control).unwrap();
    assert!(scanned.hits.is_empty(), "{what}: {:?}\n{said}", scanned.hits);
    // The control of this test: the same scan finds the value where the program found it.
    bytes.extend(fs::read(world.root().join("app.conf")).unwrap());
    let scanned = Scanner::of([value]).bytes(Sink::Output, what, &bytes, &control).unwrap();
    assert!(!scanned.hits.is_empty(), "{what}: the file does not hold it");
    assert_eq!(said.contains(OWN), is_kept, "{what}:\n{said}");
    assert_eq!(said.contains(DROPPED), !is_kept, "{what}:\n{said}");
    assert_eq!(said.contains("token = ‹secret›"), is_kept, "{what}:\n{said}");
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files_below(&entry.path(), files),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

fn text(ended: &Ended) -> String {
    format!("{}\n{}", ended.out, ended.err)
}

#[test]
fn what_a_command_says_of_a_value_that_apply_does_not_hold_is_dropped() {
    let mut node = Node::new();
    let [value, other] = canaries(Kind::SixtyFour);
    node.set("app/token", &value.plain());
    let resources = resources(&node.world.root(), "");
    node.policy("", &resources);
    let check = |node: &Node, what: &str, words: &[&str], is_kept: bool| {
        let ended = node.apply(words);
        assert_eq!(ended.code, 5, "{what}:\n{}", text(&ended));
        clean(&node.world, what, &text(&ended), &value, is_kept);
    };
    check(&node, "whole", &[], true);
    // What is not obtained for the resource at hand is for its output.
    check(&node, "only it", &["--only", "first:check"], true);
    let stacks = node.world.path("stacks").display().to_string();
    let without = node.world.vigo_command(&["apply", &stacks, "--name", "web-1"]);
    let ended = crate::world::run(without, b"");
    clean(&node.world, "without a vault", &text(&ended), &value, false);
    assert!(text(&ended).contains("the value of `app/token` v1 is not here"), "{}", text(&ended));
    // The vault has another version by now, and the file still the old one.
    node.set("app/token", &other.plain());
    check(&node, "rotated", &["--only", "first:check"], false);
    node.world.cli(&["secrets", "--vault", &node.vault(), "rm", "app/token"]).expect(0);
    node.policy("", only_check(&resources));
    check(&node, "removed", &[], false);
}

#[test]
fn what_a_command_says_of_a_value_of_an_earlier_run_that_had_no_version_is_dropped() {
    let mut node = Node::new();
    let [value, other] = canaries(Kind::SixtyFour);
    let resources = resources(&node.world.root(), "");
    node.policy("", &resources);
    let stacks = node.world.path("stacks").display().to_string();
    let apply = |node: &Node, given: &Canary, words: &[&str]| {
        let start = ["apply", &stacks, "--name", "web-1", "--secrets", "env"];
        let mut command = node.world.vigo_command(&[&start, words].concat());
        command.env("VIGO_SECRET_app__token", String::from_utf8(given.plain()).unwrap());
        crate::world::run(command, b"")
    };
    let ended = apply(&node, &value, &[]);
    clean(&node.world, "the run that put it there", &text(&ended), &value, true);
    // Both are version 1, and the other one is held.
    let check = only_check(&resources);
    node.policy("", &format!("{}{check}", file("second", "second.conf")));
    let ended = apply(&node, &other, &[]);
    clean(&node.world, "another value", &text(&ended), &value, false);
    assert_eq!(node.target("second.conf"), [b"token = ".to_vec(), other.plain(), b"\n".to_vec()].concat());
}

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

/// A server with the secret and a machine that is enrolled.
fn enrolled(value: &Canary) -> World {
    let mut world = World::new();
    let text = resources(&world.root(), "");
    world.stack("configcrates/first.vgo", &format!("configcrate: first\nresources:\n{text}"));
    world.start_server();
    world.cli_with_input(&["secrets", "set", "app/token", "--exact"], &value.plain()).expect(0);
    world.publish().expect(0);
    world.enroll("web-1").expect(0);
    world
}

#[test]
fn what_a_command_says_is_scrubbed_in_every_run_of_a_daemon_that_keeps_no_values() {
    let [value] = canaries(Kind::SixtyFour);
    let world = enrolled(&value);
    let mut command = world.vigo_command(&["daemon", "--interval", "1s"]);
    let daemon = Daemon(command.env("VIGO_SECRET_CACHE", "apply").stdout(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(120);
    let runs = || {
        let text = world.cli(&["runs", "list", "--limit", "500", "--json"]).expect(0).out;
        let list = serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let items = list["items"].as_array().unwrap().clone();
        items.iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    while runs().len() < 3 {
        assert!(Instant::now() < deadline, "three runs did not come");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(daemon);
    let reported = runs();
    for run in &reported {
        let shown = world.cli(&["runs", "show", run]).expect(0);
        clean(&world, "a run of a daemon", &text(&shown), &value, true);
    }
    assert!(reported.len() >= 3);
}

#[test]
fn what_a_command_says_of_a_value_that_the_server_does_not_give_is_dropped() {
    let [value, other] = canaries(Kind::SixtyFour);
    let mut world = enrolled(&value);
    let run = |world: &World, what: &str, words: &[&str], is_kept: bool| {
        let ended = world.vigo(&[&["run"], words].concat());
        clean(world, what, &text(&ended), &value, is_kept);
    };
    run(&world, "online", &[], true);
    run(&world, "only it", &["--only", "first:check"], true);
    world.kill_server();
    run(&world, "offline", &[], false);
    world.start_server();
    run(&world, "online again", &["--only", "first:check"], true);
    world.cli_with_input(&["secrets", "set", "app/token", "--exact"], &other.plain()).expect(0);
    run(&world, "rotated", &["--only", "first:check"], false);
    world.cli(&["secrets", "rm", "app/token", "--force"]).expect(0);
    run(&world, "removed", &["--only", "first:check"], false);
}

#[test]
fn a_hand_that_is_killed_in_the_midst_of_a_run_takes_no_scrubbing_with_it() {
    let [value] = canaries(Kind::SixtyFour);
    let mut world = enrolled(&value);
    // Kills the hand of its run.
    let killer = world.root().join("killer");
    let script = "#!/bin/sh\nfor p in /proc/[0-9]*; do\n  case \"$(tr '\\0' ' ' < $p/cmdline 2>/dev/null)\" in *vigo-hand*) \
                  grep -q \"^PPid:[[:space:]]*$VIGO$\" $p/status && kill -9 \"${p#/proc/}\" && echo killed > killed;; esac\ndone\nexit 0\n";
    let script =
        script.replace("#!/bin/sh\n", &format!("#!/bin/sh\ncd {}\nVIGO=$PPID\n", world.root().display()));
    fs::write(&killer, script).unwrap();
    fs::set_permissions(&killer, fs::Permissions::from_mode(0o755)).unwrap();
    let kill = format!(
        "  - name: kill\n    type: exec\n    creates: /no/such/file\n    command: [\"{}\"]\n    shell: false\n",
        killer.display()
    );
    let text_of = resources(&world.root(), &kill);
    world.stack("configcrates/first.vgo", &format!("configcrate: first\nresources:\n{text_of}"));
    world.publish().expect(0);
    let ended = world.vigo(&["run"]);
    println!("{}", text(&ended));
    assert_eq!(world.target("killed"), "killed\n", "no hand was found:\n{}", text(&ended));
    clean(&world, "after the hand was killed", &text(&ended), &value, true);
}

#[test]
fn what_validators_guards_and_commands_say_of_a_file_is_not_in_the_memory_of_the_agent() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: no process was scanned");
        return;
    }
    let mut node = Node::new();
    let [value] = canaries(Kind::SixtyFour);
    node.set("app/token", &value.plain());
    let root = node.world.root();
    let program = root.join("appcheck");
    // The last of them waits until it was looked at.
    let script = format!(
        "#!/bin/sh\ncd {}\ncat app.conf; cat app.conf >&2\n[ -z \"$1\" ] && exit 1\necho x > here\n\
         i=0; while [ ! -e seen ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done\n",
        root.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let conf = file("conf", "app.conf") + "    validate: \"cat %; cat % >&2\"\n";
    let program = program.display();
    let check = format!(
        "  - name: check\n    type: exec\n    creates: /no/such/file\n    unless: [\"{program}\"]\n    command: [\"{program}\", \"wait\"]\n    shell: false\n    \
         log_output: always\n"
    );
    node.policy("", &format!("{conf}{check}"));
    let child = Daemon(node.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    while !root.join("here").exists() {
        assert!(Instant::now() < deadline, "the command did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    // The agent itself; the name of a resource is the control.
    let found = Scanner::of([&value]).processes(&[child.0.id()], &node.control).unwrap();
    // The same look finds it in a process that holds it: this one.
    let own = [value.plain(), node.control.plain()];
    let held = Scanner::of([&value]).processes(&[std::process::id()], &node.control).unwrap();
    drop(std::hint::black_box(own));
    fs::write(root.join("seen"), "x").unwrap();
    assert!(found.hits.is_empty(), "{:?}", found.hits);
    assert!(!held.hits.is_empty(), "the control is not found");
}
