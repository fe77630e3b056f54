//! The daemon and its news: a new version of a secret and a publish reach the machines that they concern within seconds, while nobody else is told;
//! what used the old value is applied anew and nothing else, and the old value is gone; and the daemon stops when it is asked to, wherever it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "test code"
)]

mod world;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use vigo_testkit::memory::{Canary, look, processes_below};
use world::{World, binary, canary};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a new version may take to the file that uses it.
const SECONDS: Duration = Duration::from_secs(5);

const ENVOYS: &str = "envoys:\n  - match: \"web-*\"\n    configcrates: [shop, plain]\n  - match: \"*\"\n    configcrates: [plain]\n";

const PLAIN: &str = r#"configcrate: plain
resources:
  - type: file
    target_path: "{{ vars.root }}/{{ envoy.name }}.motd"
    content: "first\n"
"#;

const SHOP: &str = r#"configcrate: shop
resources:
  - name: token
    type: file
    target_path: "{{ vars.root }}/token"
    content: "secret:app/token"
  - name: other
    type: file
    target_path: "{{ vars.root }}/other"
    content: "secret:app/other"
  - name: subscriber
    type: exec
    command: "echo run >> {{ vars.root }}/subscriber"
    when: changed
    subscribes: "secret:app/token"
  - name: guarded
    type: exec
    command: "cat > /dev/null; echo run >> {{ vars.root }}/guarded"
    creates: "{{ vars.root }}/guarded"
    stdin: "secret:app/token"
  - name: again
    type: exec
    command: "cat > /dev/null; echo run >> {{ vars.root }}/again"
    creates: "{{ vars.root }}/again"
    stdin: "secret:app/token"
    rerun_on: secret
"#;

/// A daemon; it is ended with the test, however that ends.
struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Daemon {
    /// Starts it with that state folder; the next run by itself is an hour away.
    fn start(world: &World, state: &str, words: &[&str]) -> Self {
        let log = world.path(&format!("{state}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(binary("vigo"))
            .arg("--config")
            .arg(world.path("agent.yaml"))
            .arg("--state-dir")
            .arg(world.path(state))
            .args(["--log-level", "debug", "daemon", "--interval", "1h"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until its log says something so often.
    fn says(&self, words: &str, times: usize) {
        wait(words, || (self.text().matches(words).count() >= times).then_some(()), || self.text());
    }

    /// Waits until it ran so often and its next check-in is with the server.
    fn is_held(&self, times: usize) {
        self.says("the server may hold this check-in", times);
    }

    fn ask_to_stop(&self) {
        let process = Pid::from_child(&self.child);
        rustix::process::kill_process(process, Signal::TERM).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait("the end of the daemon", || child.try_wait().unwrap(), String::new)
    }

    fn processes(&self) -> Vec<(u32, String)> {
        let mut all = vec![self.child.id()];
        all.extend(processes_below(self.child.id()).unwrap());
        let name =
            |process: u32| Some(fs::read_to_string(format!("/proc/{process}/comm")).ok()?.trim().to_owned());
        all.into_iter().filter_map(|process| Some((process, name(process)?))).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.processes().iter().any(|(_, process)| process == name)
    }
}

fn wait<T>(what: &str, mut done: impl FnMut() -> Option<T>, more: impl Fn() -> String) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(Instant::now() < deadline, "`{what}` did not come:\n{}", more());
        let _ = rustix::thread::nanosleep(&rustix::thread::Timespec { tv_sec: 0, tv_nsec: 10_000_000 });
    }
}

/// Waits until a target holds that; gives how long it took.
fn becomes(world: &World, name: &str, content: &str, daemon: &Daemon) -> Duration {
    let began = Instant::now();
    let is_there = || (fs::read_to_string(world.root().join(name)).ok()? == content).then_some(());
    wait(name, is_there, || daemon.text());
    began.elapsed()
}

/// Stacks for two kinds of machines, a server whose hand's memory root can read, and values.
fn world() -> (World, [String; 2]) {
    let mut world = World::new();
    world.stack("envoys.vgo", ENVOYS);
    world.stack("configcrates/plain.vgo", PLAIN);
    world.stack("configcrates/shop.vgo", SHOP);
    fs::write(world.path("agent.yaml"), "arena: mlock\n").unwrap();
    world.environment = vec![("VIGO_ARENA", "plain".to_owned())];
    world.start_server();
    let values = [canary(), canary()];
    world.cli_with_input(&["secrets", "set", "app/token"], values[0].as_bytes()).expect(0);
    world.cli_with_input(&["secrets", "set", "app/other"], values[1].as_bytes()).expect(0);
    world.publish().expect(0);
    (world, values)
}

fn enrolled(world: &World, state: &str, name: &str) {
    let token = world.token(&[]);
    world.enroll_with(state, name, &token).expect(0);
}

/// The runs of an envoy that the server knows, newest first.
fn runs(world: &World, envoy: &str) -> Vec<Value> {
    let listed = world.cli(&["--json", "runs", "list", "--envoy", envoy]).expect(0).out;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    listed["items"].as_array().unwrap().clone()
}

/// What tells a file that nobody touched.
fn stamp(path: &Path) -> (u64, i64, i64) {
    let entry = fs::metadata(path).unwrap();
    (entry.ino(), entry.ctime(), entry.ctime_nsec())
}

/// Whole copies of the value in the memory of these processes, and how much was read.
fn copies(processes: &[(u32, String)], value: &Canary) -> (Vec<String>, u64) {
    let (mut found, mut read) = (Vec::new(), 0);
    for (process, name) in processes {
        let scan = look(*process, value).unwrap();
        read += scan.read;
        found.extend(scan.hits.into_iter().map(|hit| format!("{name}: {}", hit.mapping)));
    }
    (found, read)
}

#[test]
fn a_new_version_reaches_the_entitled_envoy_in_seconds_and_the_old_value_is_gone() {
    let (world, [old, other]) = world();
    enrolled(&world, "web", "web-1");
    enrolled(&world, "db", "db-1");
    let (web, db) = (Daemon::start(&world, "web", &[]), Daemon::start(&world, "db", &[]));
    web.is_held(1);
    db.is_held(1);
    assert_eq!((world.target("token"), world.target("other")), (old.clone(), other));
    assert!(runs(&world, "web-1").len() == 1 && runs(&world, "db-1").len() == 1);
    let is_root = rustix::process::geteuid().is_root();
    let old = Canary::new(old.as_bytes());
    let ours = || {
        let server = world.server_pid();
        let mut all: Vec<_> = processes_below(server).unwrap().into_iter().chain([server]).collect();
        all.extend(web.processes().into_iter().chain(db.processes()).map(|(process, _)| process));
        let name = |process: &u32| fs::read_to_string(format!("/proc/{process}/comm")).ok();
        let named = all.into_iter().filter_map(|process| Some((process, name(&process)?.trim().to_owned())));
        named.collect::<Vec<_>>()
    };
    if is_root {
        let (found, _) = copies(&ours(), &old);
        assert!(found.iter().any(|one| one.starts_with("vigo-hand")), "the control finds nothing: {found:?}");
    } else {
        println!("not root: no process was scanned");
    }
    let untouched = ["other", "web-1.motd", "db-1.motd", "guarded"];
    let before: Vec<_> = untouched.iter().map(|name| stamp(&world.root().join(name))).collect();

    let new = canary();
    world.cli_with_input(&["secrets", "set", "app/token"], new.as_bytes()).expect(0);
    let took = becomes(&world, "token", &new, &web);
    assert!(took < SECONDS, "it took {took:?}");
    web.is_held(2);
    let after: Vec<_> = untouched.iter().map(|name| stamp(&world.root().join(name))).collect();
    assert_eq!(before, after, "something was touched that does not use it, of {untouched:?}");
    let newest = &runs(&world, "web-1")[0];
    assert_eq!(newest["summary"]["changed"], 3, "token, subscriber and again: {newest}");
    assert_eq!(world.target("subscriber"), "run\nrun\n", "once at first, once by the version alone");
    assert_eq!(world.target("guarded"), "run\n", "its guard holds");
    assert_eq!(world.target("again"), "run\nrun\n", "`rerun_on: secret` goes before its guard");
    if is_root {
        let (found, read) = copies(&ours(), &Canary::new(new.as_bytes()));
        assert!(found.iter().any(|one| one.starts_with("vigo-hand")), "the control finds nothing: {found:?}");
        let (found, _) = copies(&ours(), &old);
        assert!(found.is_empty() && read > 0, "the old value is in: {found:#?}");
    }

    // Made by the server's hand: nobody saw it, and it arrives all the same.
    world.cli(&["secrets", "rotate", "app/token", "--length", "40"]).expect(0);
    let began = Instant::now();
    let rotated = || Some(world.target("token")).filter(|now| *now != new);
    let rotated = wait("the rotated value", rotated, || web.text());
    assert!(rotated.len() == 40 && began.elapsed() < SECONDS, "{:?}", began.elapsed());
    web.is_held(3);
    // Nobody else was told.
    assert_eq!(runs(&world, "db-1").len(), 1);
    assert!(!db.text().contains("the server has news"), "{}", db.text());
}

#[test]
fn one_missing_secret_blocks_its_own_resources_and_the_rest_goes_on() {
    let (world, [_, other]) = world();
    enrolled(&world, "web", "web-1");
    let web = Daemon::start(&world, "web", &[]);
    web.is_held(1);
    let taken = Canary::new(other.as_bytes());
    let held = || rustix::process::geteuid().is_root().then(|| copies(&web.processes(), &taken));
    match held() {
        Some((found, _)) => {
            let is_seen = found.iter().any(|one| one.starts_with("vigo-hand"));
            assert!(is_seen, "the control finds nothing: {found:?}");
        }
        None => println!("not root: no process was scanned"),
    }
    world.cli(&["secrets", "rm", "app/other", "--force"]).expect(0);
    web.is_held(2);
    if let Some((found, read)) = held() {
        assert!(found.is_empty() && read > 0, "the value that was taken away is in: {found:#?}");
    }
    let newest = &runs(&world, "web-1")[0];
    assert_eq!((&newest["summary"]["blocked"], &newest["summary"]["failed"]), (&1.into(), &0.into()));
    assert_eq!(world.target("other"), other, "what was right stays");
    let new = canary();
    world.cli_with_input(&["secrets", "set", "app/token"], new.as_bytes()).expect(0);
    becomes(&world, "token", &new, &web);
    web.is_held(3);
    assert_eq!(runs(&world, "web-1")[0]["summary"]["blocked"], 1);
    // It comes back by itself.
    world.cli_with_input(&["secrets", "set", "app/other"], new.as_bytes()).expect(0);
    becomes(&world, "other", &new, &web);
    web.is_held(4);
    assert_eq!(runs(&world, "web-1")[0]["summary"]["blocked"], 0);
}

#[test]
fn a_publish_reaches_who_is_held_and_a_server_that_was_killed_is_found_again() {
    let (mut world, _) = world();
    enrolled(&world, "web", "web-1");
    let web = Daemon::start(&world, "web", &[]);
    web.is_held(1);
    world.stack("configcrates/plain.vgo", &PLAIN.replace("first", "second"));
    world.publish().expect(0);
    let took = becomes(&world, "web-1.motd", "second\n", &web);
    assert!(took < SECONDS, "it took {took:?}");
    web.is_held(2);
    world.restart_server();
    let new = canary();
    world.cli_with_input(&["secrets", "set", "app/token"], new.as_bytes()).expect(0);
    becomes(&world, "token", &new, &web);
    assert!(web.text().contains("the server holds no check-in"), "{}", web.text());
    // While it was away, nothing ran for that reason.
    web.says("the server has news", 2);
    assert!(runs(&world, "web-1").iter().all(|run| run["offline"] == false));
}

#[test]
fn a_daemon_that_is_held_or_rests_stops_at_once_when_it_is_asked_to() {
    let (world, _) = world();
    enrolled(&world, "web", "web-1");
    for mode in ["stream", "poll"] {
        let mut web = Daemon::start(&world, "web", &["--mode", mode]);
        let times = if mode == "stream" { 1 } else { 0 };
        web.is_held(times);
        let words = "0 failed, 0 blocked";
        web.says(words, if mode == "stream" { 1 } else { 2 });
        let all = || {
            let is_right = web.has("vigo-hand") && web.has("vigo-net") == (mode == "stream");
            is_right.then_some(())
        };
        wait("the hand, and a worker in stream mode alone", all, || format!("{:?}", web.processes()));
        let below = web.processes();
        let began = Instant::now();
        web.ask_to_stop();
        assert_eq!(web.ended().code(), Some(0), "{}", web.text());
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        for (process, name) in below {
            wait(&name, || (!Path::new(&format!("/proc/{process}")).exists()).then_some(()), String::new);
        }
    }
}

#[test]
fn a_daemon_that_is_asked_to_stop_ends_the_resource_at_hand_and_reports() {
    let mut world = World::new();
    let gate = world.path("gate");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &gate, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let policy = format!(
        "configcrate: first\nresources:\n  - name: at-hand\n    type: exec\n    command: \"cat {}; echo done > {{{{ vars.root }}}}/at-hand\"\n    creates: \"{{{{ vars.root }}}}/at-hand\"\n  - name: after\n    type: file\n    target_path: \"{{{{ vars.root }}}}/after\"\n    content: x\n",
        gate.display()
    );
    world.stack("configcrates/first.vgo", &policy);
    fs::write(world.path("agent.yaml"), "").unwrap();
    world.start_server();
    world.publish().expect(0);
    enrolled(&world, "web", "web-1");
    let mut web = Daemon::start(&world, "web", &[]);
    // fifo(7): opening for writing without a reader is ENXIO.
    let open = || {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
        File::options().write(true).custom_flags(flags).open(&gate).ok()
    };
    let at = wait("the gate", open, || web.text());
    web.ask_to_stop();
    // It is at the resource at hand as long as that takes.
    assert!(web.child.try_wait().unwrap().is_none());
    drop(at);
    assert_eq!(web.ended().code(), Some(0), "{}", web.text());
    assert_eq!(world.target("at-hand"), "done\n");
    assert!(!world.root().join("after").exists(), "something was begun after it was asked to stop");
    let newest = &runs(&world, "web-1")[0];
    assert_eq!((&newest["summary"]["changed"], &newest["summary"]["blocked"]), (&1.into(), &1.into()));
    let shown = world.cli(&["runs", "show", newest["run"].as_str().unwrap()]).expect(0);
    shown.says(&["asked to stop"]);
    // The next start goes on with it.
    let web = Daemon::start(&world, "web", &[]);
    becomes(&world, "after", "x", &web);
}
