//! `vigo doctor` with real processes: nothing bad and no attack that succeeds on a healthy agent, and each check bad where something was made worse on
//! purpose. Every refusal has its control in the same answer: the attack on an unprotected process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "test code"
)]

mod host;
mod world;
use host::swap::Swap;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use vigo_sys::arena::{self, Choice, Kind};
use world::{Ended, World, binary, canary, run};

const FIRST: &str = r#"configcrate: first
resources:
  - type: file
    target_path: "{{ vars.root }}/token"
    content: "secret:app/token"
"#;
/// What this machine decides, not the agent.
const OF_THE_MACHINE: [&str; 7] =
    ["swap", "zswap", "hibernation", "crash-kernel", "level", "cage-worker", "user-worker"];

struct Daemon(Child);

impl Daemon {
    /// With its first run behind it, so that it answers.
    fn start(world: &World) -> Self {
        let mut command = world.vigo_command(&["daemon", "--interval", "1h"]);
        let daemon = Self(command.stdout(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let said: Value = serde_json::from_str(&world.vigo(&["status", "--json"]).expect(0).out).unwrap();
            if said["agent"]["held_secrets"] == 1 {
                return daemon;
            }
            assert!(Instant::now() < deadline, "the daemon does not answer: {said}");
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

fn enrolled() -> World {
    let mut world = World::new();
    world.stack("configcrates/first.vgo", FIRST);
    world.start_server();
    world.cli_with_input(&["secrets", "set", "app/token"], canary().as_bytes()).expect(0);
    world.publish().expect(0);
    world.enroll("web-1").expect(0);
    world
}

fn parse(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", ended.out, ended.err))
}

fn verdict<'a>(found: &'a Value, name: &str) -> &'a str {
    let check = found["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
    check.unwrap_or_else(|| panic!("no check `{name}` in {found:#}"))["verdict"].as_str().unwrap()
}

/// Nothing that is the agent's own is bad.
fn is_healthy(found: &Value) {
    for check in found["checks"].as_array().unwrap() {
        let name = check["name"].as_str().unwrap();
        if OF_THE_MACHINE.contains(&name)
            || (name == "pages-hand" && arena::probe(Choice::Auto).0 != Kind::Secret)
        {
            println!("not held against the agent here: {check}");
            continue;
        }
        assert_ne!(check["verdict"], "bad", "{check}");
    }
}

/// No attack succeeds; those that work on an unprotected process are refused. Gives how many were.
fn is_refused(found: &Value, target: &str) -> usize {
    let mut refused = 0;
    for attack in found["attacks"].as_array().unwrap().iter().filter(|attack| attack["target"] == target) {
        assert_ne!(attack["verdict"], "succeeded", "{attack}");
        if attack["control"].as_str().unwrap().starts_with("succeeded") {
            assert_eq!(attack["verdict"], "refused", "{attack}");
            refused += 1;
        } else {
            println!("not tried in earnest here: {attack}");
        }
    }
    refused
}

#[test]
fn a_healthy_agent_has_nothing_bad_and_no_attack_on_it_succeeds() {
    let world = enrolled();
    let daemon = Daemon::start(&world);
    let ended = world.vigo(&["doctor", "--attack", "--json"]);
    let found = parse(&ended);
    assert_eq!(found["examined"]["is_running"], true);
    assert_eq!(found["examined"]["agent"], daemon.0.id());
    is_healthy(&found);
    let refused: Vec<usize> = ["the running agent", "the running hand", "a throw-away hand"]
        .iter()
        .map(|target| is_refused(&found, target))
        .collect();
    // Reading /proc/PID/mem is forbidden in no container.
    assert!(refused.iter().all(|&count| count >= 1), "{refused:?}: {:#}", found["attacks"]);
    for target in ["a throw-away process hardened as the agent", "a throw-away process hardened as the hand"]
    {
        is_refused(&found, target);
    }
    let bad = found["summary"]["bad"].as_u64().unwrap();
    assert_eq!(ended.code, if bad == 0 { 0 } else { 5 });
    // It goes on, untraced, with what it held.
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.0.id())).unwrap();
    assert!(status.contains("TracerPid:\t0\n") && !status.contains("State:\tt"), "{status}");
    world.vigo(&["status"]).expect(0).says(&["holds 1 secrets"]);
    assert!(!world.path("agent/doctor").exists(), "the folder of the attack is left");
}

#[test]
fn what_was_made_worse_is_bad_and_says_how_to_mend_it() {
    let world = enrolled();
    let daemon = Daemon::start(&world);
    let doctor = || parse(&world.vigo(&["doctor", "--json"]));
    is_healthy(&doctor());

    let unlimited = Rlimit { current: None, maximum: None };
    let own = rustix::process::getrlimit(Resource::Core);
    let raised = prlimit(Some(daemon.pid()), Resource::Core, unlimited).is_ok()
        || prlimit(Some(daemon.pid()), Resource::Core, Rlimit { current: own.maximum, ..own }).is_ok();
    match raised && own.maximum != Some(0) {
        true => assert_eq!(verdict(&doctor(), "core-limit-agent"), "bad"),
        false => println!("the limit of cores cannot be raised here"),
    }

    match vigo_sys::intrude::attach(daemon.pid()) {
        Ok(traced) => {
            assert_eq!(verdict(&doctor(), "not-traced-agent"), "bad");
            drop(traced);
            assert_eq!(verdict(&doctor(), "not-traced-agent"), "ok");
        }
        Err(error) => println!("the agent cannot be traced here, not even as this user: {error}"),
    }

    let key = fs::read_dir(world.path("agent/identity")).unwrap().flatten().next().unwrap().path();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let found = doctor();
    assert_eq!((verdict(&found, "identity"), verdict(&found, "state-folder")), ("bad", "bad"));
    world.vigo(&["doctor"]).expect(5).says(&["BAD", "mend: `chmod -R go="]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

    let intent = world.path("agent/intents/left");
    fs::write(&intent, "").unwrap();
    fs::set_permissions(&intent, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(verdict(&doctor(), "intents"), "bad");
    fs::remove_file(&intent).unwrap();
    is_healthy(&doctor_without_limits(&world));
}

/// The daemon's raised limit stays; the rest is as it was.
fn doctor_without_limits(world: &World) -> Value {
    let mut found = parse(&world.vigo(&["doctor", "--json"]));
    let checks = found["checks"].as_array_mut().unwrap();
    checks.retain(|check| check["name"] != "core-limit-agent");
    found
}

#[test]
fn pages_that_are_no_secret_ones_are_bad() {
    let world = World::new();
    let settings = world.path("agent.yaml");
    fs::write(&settings, "arena: mlock\n").unwrap();
    let mut command = world.vigo_command(&["doctor", "--json", "--config"]);
    command.arg(&settings);
    let found = parse(&run(command, b"").expect(5));
    assert_eq!(verdict(&found, "pages-hand"), "bad");
    assert_eq!(found["level"], "weak");
    let file = format!("file {}", settings.display());
    let arena = found["settings"].as_array().unwrap().iter().find(|setting| setting["name"] == "arena");
    assert_eq!((&arena.unwrap()["value"], &arena.unwrap()["source"]), (&"mlock".into(), &file.into()));

    // Without the right to lock anything there are plain pages.
    let words = "--memlock=0:0 setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock --";
    if !rustix::process::geteuid().is_root() {
        return println!("not root: the right to lock memory was not taken away");
    }
    let mut command = Command::new("prlimit");
    command.args(words.split(' ')).arg(binary("vigo"));
    command.arg("--state-dir").arg(world.path("plain")).args(["doctor", "--json"]);
    let found = parse(&run(command, b"").expect(5));
    assert_eq!((verdict(&found, "pages-hand"), found["level"].as_str().unwrap()), ("bad", "insecure"));
}

/// The attack of that name on a throw-away hand.
fn attack<'a>(found: &'a Value, name: &str) -> &'a Value {
    let attacks = found["attacks"].as_array().unwrap();
    let on_a_hand = |attack: &&Value| attack["name"] == name && attack["target"] == "a throw-away hand";
    attacks.iter().find(on_a_hand).unwrap_or_else(|| panic!("no attack `{name}` in {attacks:#?}"))
}

#[test]
fn open_swap_is_bad_and_its_scan_finds_what_lies_in_ordinary_pages_and_nothing_of_a_hand() {
    let left_out = "no swap was read";
    if !host::is_root(left_out) {
        return;
    }
    let world = World::in_folder(host::folder());
    let _swap = match Swap::on(world.folder.path()) {
        Ok(swap) => swap,
        Err(why) => return println!("{left_out}: {why}"),
    };
    let doctor = |started_by: &[&str], state: &str| {
        let program = binary("vigo");
        let words = [started_by, &[program.to_str().unwrap()]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg("--state-dir").arg(world.path(state));
        command.args(["doctor", "--attack", "--json"]);
        parse(&run(command, b"").expect(5))
    };
    let found = doctor(&[], "protected");
    assert_eq!(verdict(&found, "swap"), "bad");
    let scan = attack(&found, "swap-scan");
    assert!(
        scan["control"].as_str().unwrap().starts_with("succeeded"),
        "the scan finds nothing at all: {scan}"
    );
    if arena::probe(Choice::Auto).0 != Kind::Plain {
        assert_eq!(scan["verdict"], "refused", "{scan}");
    }
    // Who may lock no memory has a hand with ordinary pages, and its value is there.
    let unlocked = "prlimit --memlock=0:0 setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock --";
    let found = doctor(&unlocked.split(' ').collect::<Vec<_>>(), "plain");
    assert_eq!(attack(&found, "swap-scan")["verdict"], "succeeded", "{found:#}");
}

#[test]
fn an_agent_without_rights_is_examined_by_its_own_user() {
    if !rustix::process::geteuid().is_root() {
        return println!("not root: the other tests ran as a user without rights already");
    }
    let world = World::new();
    fs::set_permissions(world.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let program = world.path("vigo");
    fs::copy(binary("vigo"), &program).unwrap();
    let mut command = Command::new(&program);
    command.arg("--state-dir").arg(world.path("user")).args(["doctor", "--attack", "--json"]);
    command.uid(65_534).gid(65_534);
    let found = parse(&run(command, b""));
    is_healthy(&found);
    // The owner of the folder in /proc says it of one that is not root.
    assert_eq!(verdict(&found, "not-dumpable-agent"), "ok");
    assert_eq!(verdict(&found, "not-dumpable-hand"), "ok");
    assert!(is_refused(&found, "a throw-away hand") >= 1, "{:#}", found["attacks"]);
    is_refused(&found, "a throw-away process hardened as the agent");
}

#[test]
fn the_level_and_its_reasons_stand_in_log_status_trait_report_rest_and_cli() {
    let world = enrolled();
    let settings = world.path("agent.yaml");
    fs::write(&settings, "arena: mlock\n").unwrap();
    let vigo = |words: &[&str]| {
        let mut command = world.vigo_command(words);
        command.arg("--config").arg(&settings);
        run(command, b"").expect(0)
    };
    let reason = "locked pages instead of memfd_secret, as the settings say";
    // A hand is started by the secret, so that its pages are read back and not tried out.
    let log = vigo(&["run", "--log-level", "info"]).err;
    let line = log.lines().find(|line| line.contains("protection") && line.contains("weak"));
    assert!(line.is_some_and(|line| line.contains(reason)), "{log}");
    vigo(&["status"]).says(&["protection   weak", reason]);
    let traits = parse(&vigo(&["traits", "--json"]));
    assert_eq!(traits["traits"]["protection"]["level"], "weak");
    assert!(traits["traits"]["protection"]["reasons"].to_string().contains(reason));
    let last = parse(&vigo(&["status", "--json"]));
    assert_eq!(last["last_run"]["level"], "weak", "of the report");
    // What the server has it from is the check-in before and the report after.
    let list = parse(&world.cli(&["envoys", "list", "--json"]).expect(0));
    assert_eq!(list["items"][0]["level"], "weak");
    world.cli(&["envoys", "list"]).expect(0).says(&["LEVEL", "weak"]);
    let show = parse(&world.cli(&["envoys", "show", "web-1", "--json"]).expect(0));
    assert!(show["level"] == "weak" && show["reasons"].to_string().contains(reason), "{show}");
    world.cli(&["envoys", "show", "web-1"]).expect(0).says(&["weak", reason]);
    // And the other way round: with the best pages that reason is gone everywhere.
    world.vigo(&["run"]).expect(0);
    let show = parse(&world.cli(&["envoys", "show", "web-1", "--json"]).expect(0));
    assert!(!show["reasons"].to_string().contains(reason), "{show}");
}

#[test]
fn only_the_doctor_starts_an_attacker_and_without_a_target_it_does_nothing() {
    let mut command = Command::new(binary("vigo"));
    command.arg0("vigo-attack");
    let ended = run(command, b"");
    assert!(ended.code != 0 && ended.out.is_empty() && ended.err.contains("vigo doctor --attack"));
}
