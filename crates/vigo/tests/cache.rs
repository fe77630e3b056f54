//! `secret_cache: apply`: a daemon that keeps no value between its runs, and asks for one only when something needs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_types,
    reason = "test code"
)]

mod world;
use serde_json::Value;
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use world::{World, canary};

const FIRST: &str = r#"configcrate: first
resources:
  - type: file
    target_path: "{{ vars.root }}/token"
    content: "token = secret:app/token\n"
"#;

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}

fn start(world: &World, cache: &str) -> Daemon {
    let mut command = world.vigo_command(&["daemon", "--interval", "1s"]);
    Daemon(command.env("VIGO_SECRET_CACHE", cache).stdout(Stdio::null()).spawn().unwrap())
}

/// Looks until `found` finds something.
fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn items(world: &World, words: &[&str]) -> Vec<Value> {
    let text = world.cli(&[words, &["--limit", "500", "--json"]].concat()).expect(0).out;
    serde_json::from_str::<Value>(&text).unwrap()["items"].as_array().unwrap().clone()
}

/// How often a value was handed out.
fn handed_out(world: &World) -> usize {
    let records = items(world, &["audit", "list"]);
    let is_one = |record: &&Value| record["action"] == "secrets.resolve" && record["outcome"] == "allowed";
    records.iter().filter(is_one).count()
}

/// Waits until so many more runs are reported, each of which began after this was called but for one.
fn more_runs(world: &World, count: usize) {
    let runs = || items(world, &["runs", "list"]).len();
    let before = runs();
    wait("another run", || (runs() > before + count).then_some(()));
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

#[test]
fn a_daemon_that_keeps_no_values_sees_drift_without_them_and_asks_only_when_one_is_needed() {
    let world = enrolled();
    let target = world.root().join("token");
    let daemon = start(&world, "apply");
    let first = wait("the first run", || fs::read_to_string(&target).ok());
    more_runs(&world, 2);
    assert_eq!(handed_out(&world), 1, "unchanged targets need no value");
    let status: Value = serde_json::from_str(&world.vigo(&["status", "--json"]).expect(0).out).unwrap();
    assert_eq!(status["agent"]["held_secrets"], 0, "nothing is held between runs");

    fs::write(&target, "by hand\n").unwrap();
    wait("the old content", || (fs::read_to_string(&target).unwrap() == first).then_some(()));
    more_runs(&world, 1);
    assert_eq!(handed_out(&world), 2, "what was touched needs it once");

    world.cli(&["secrets", "rotate", "app/token"]).expect(0);
    let second = wait("the new value", || {
        let content = fs::read_to_string(&target).unwrap();
        (content != first).then_some(content)
    });
    more_runs(&world, 1);
    assert_eq!(handed_out(&world), 3);

    // The key of the MACs is gone with the hand.
    drop(daemon);
    let _again = start(&world, "apply");
    more_runs(&world, 1);
    assert_eq!(handed_out(&world), 4, "after a restart it is fetched");
    assert_eq!(fs::read_to_string(&target).unwrap(), second);
}

#[test]
fn a_daemon_that_keeps_values_is_asked_for_nothing_more_and_holds_them() {
    let world = enrolled();
    let target = world.root().join("token");
    let _daemon = start(&world, "epoch");
    let first = wait("the first run", || fs::read_to_string(&target).ok());
    fs::write(&target, "by hand\n").unwrap();
    wait("the old content", || (fs::read_to_string(&target).unwrap() == first).then_some(()));
    assert_eq!(handed_out(&world), 1);
    let status: Value = serde_json::from_str(&world.vigo(&["status", "--json"]).expect(0).out).unwrap();
    assert_eq!(status["agent"]["held_secrets"], 1);
}
