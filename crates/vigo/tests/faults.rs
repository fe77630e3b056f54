//! What goes wrong for an operator, and whether the exit code and the message help: real binaries, real TLS, real store.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

mod world;
use std::fs;
use world::{World, canary};

const FIRST: &str = r#"configcrate: first
resources:
  - type: file
    target_path: "{{ vars.root }}/token"
    content: "secret:app/token"
  - type: file
    target_path: "{{ vars.root }}/motd"
    content: "hello\n"
"#;

fn served(policy: &str) -> (World, String) {
    let mut world = World::new();
    world.stack("configcrates/first.vgo", policy);
    world.start_server();
    let canary = canary();
    world.cli_with_input(&["secrets", "set", "app/token"], canary.as_bytes()).expect(0);
    (world, canary)
}

#[test]
fn every_step_survives_a_server_that_is_killed_before_it() {
    let (mut world, canary) = served(FIRST);
    world.restart_server();
    world.publish().expect(0);
    world.restart_server();
    let token = world.token(&[]);
    world.restart_server();
    world.enroll_with("agent", "web-1", &token).expect(0);
    world.restart_server();
    world.vigo(&["run", "--dry-run"]).expect(3);
    world.restart_server();
    world.vigo(&["run"]).expect(0);
    assert_eq!(world.target("token"), canary);
    world.restart_server();
    world.cli_with_input(&["secrets", "set", "app/token"], b"second-value-of-it").expect(0);
    world.restart_server();
    world.vigo(&["run"]).expect(0);
    assert_eq!(world.target("token"), "second-value-of-it");
    world.restart_server();
    world.cli(&["runs", "list"]).expect(0).says(&["web-1"]);
    world.cli(&["audit", "verify"]).expect(0);
}

#[test]
fn a_token_that_was_changed_is_refused() {
    let (world, _) = served(FIRST);
    let path = world.token(&[]);
    let token = fs::read_to_string(&path).unwrap();
    // The secret is the third field of the line; another one of the same length is well-formed and wrong.
    let mut fields: Vec<String> = token.trim().split('.').map(str::to_owned).collect();
    fields[2] = fields[2].chars().rev().collect();
    fs::write(&path, fields.join(".")).unwrap();
    world.enroll_with("agent", "web-1", &path).expect(4).says(&["token"]);
    fs::write(&path, "no token at all").unwrap();
    world.enroll_with("agent", "web-1", &path).expect(2).says(&["token"]);
}

#[test]
fn a_spent_token_is_refused_and_says_so() {
    let (world, _) = served(FIRST);
    let token = world.token(&[]);
    world.enroll_with("agent", "web-1", &token).expect(0);
    world.enroll_with("other", "web-2", &token).expect(4).says(&["token", "vigocli token create"]);
}

#[test]
fn a_server_with_another_anchor_than_the_tokens_is_refused() {
    let (world, _) = served(FIRST);
    let (other, _) = served(FIRST);
    // A server that did not make the token cannot answer with its key.
    let token = other.token(&[]);
    world.enroll_with("agent", "web-1", &token).expect(4).says(&["not the server that made it"]);
    // One that has the token's key and another anchor is no better.
    let token = world.token(&[]);
    let text = fs::read_to_string(&token).unwrap();
    let mut fields: Vec<String> = text.trim().split('.').map(str::to_owned).collect();
    fields[3] = fields[3].chars().rev().collect();
    fs::write(&token, fields.join(".")).unwrap();
    world.enroll_with("agent", "web-1", &token).expect(1).says(&["anchor"]);
    assert!(!world.path("agent/identity/enrolment").exists(), "nothing may be kept of such a server");
}

#[test]
fn a_revoked_envoy_gets_nothing_any_more() {
    let (world, _) = served(FIRST);
    world.publish().expect(0);
    world.enroll("web-1").expect(0);
    world.vigo(&["run"]).expect(0);
    world.cli(&["envoys", "revoke", "web-1"]).expect(0);
    fs::remove_file(world.root().join("token")).unwrap();
    world.vigo(&["run"]).expect(4).says(&["revoked"]);
    assert!(!world.root().join("token").exists(), "a revoked envoy got a secret");
}

#[test]
fn an_envoy_that_was_never_enrolled_is_told_what_to_do() {
    let world = World::new();
    world.vigo(&["run"]).expect(4).says(&["vigo enroll"]);
}

#[test]
fn broken_policies_say_file_line_and_column() {
    let (mut world, _) = served(FIRST);
    let cases: [(&str, &[&str]); 4] = [
        ("configcrate: first\nresources:\n  - type: file\n   bad: indentation\n", &["first.vgo:4:"]),
        (
            "configcrate: first\nresources:\n  - type: file\n    target_pth: /x\n    content: a\n",
            &["first.vgo:4:5", "target_pth", "target_path"],
        ),
        (
            "configcrate: first\nresources:\n  - {name: a, type: file, target_path: /a, content: x, depends_on: b}\n  - {name: b, type: file, target_path: /b, content: x, depends_on: a}\n",
            &["first.vgo:3:", "circle", "first:a -> first:b"],
        ),
        (
            "configcrate: first\nresources:\n  - {type: file, target_path: /a, content: \"secret:no/such\"}\n",
            &["first.vgo:3:", "no/such"],
        ),
    ];
    for (policy, words) in cases {
        world.stack("configcrates/first.vgo", policy);
        let stacks = world.path("stacks");
        world.cli(&["config", "validate", stacks.to_str().unwrap()]).expect(5).says(words).says(&["help:"]);
        world.publish().expect(5).says(words);
    }
    let file = world.path("stacks/configcrates/first.vgo");
    fs::write(&file, "configcrate: first\nresources:\n  - type: fil\n").unwrap();
    world.vigo(&["apply", file.to_str().unwrap()]).expect(1).says(&["first.vgo:3:", "file"]);
}

#[test]
fn a_secret_that_is_gone_blocks_what_needs_it_and_nothing_else() {
    let (world, _) = served(FIRST);
    world.publish().expect(0);
    world.enroll("web-1").expect(0);
    world.cli(&["secrets", "rm", "app/token", "--force"]).expect(0);
    world.vigo(&["run"]).expect(5).says(&["blocked", "app/token"]);
    assert_eq!(world.target("motd"), "hello\n");
    assert!(!world.root().join("token").exists());
}

#[test]
fn without_the_server_a_run_says_so_and_online_insists() {
    let (mut world, canary) = served(FIRST);
    world.publish().expect(0);
    world.enroll("web-1").expect(0);
    world.vigo(&["run"]).expect(0);
    world.kill_server();
    world.vigo(&["run", "--online"]).expect(1);
    fs::write(world.root().join("motd"), "drift").unwrap();
    world.vigo(&["run"]).expect(0).says(&["server"]);
    assert_eq!(world.target("motd"), "hello\n");
    assert_eq!(world.target("token"), canary);
    fs::write(world.root().join("token"), "drift").unwrap();
    world.vigo(&["run"]).expect(5).says(&["offline"]);
    assert_eq!(world.target("token"), "drift", "without its value a secret file is left alone");
    // What ran without the server is reported when it is back.
    world.start_server();
    world.vigo(&["run"]).expect(0);
    assert_eq!(world.target("token"), canary);
    let runs: serde_json::Value =
        serde_json::from_str(&world.cli(&["runs", "list", "--json"]).expect(0).out).unwrap();
    let offline = runs["items"].as_array().unwrap().iter().filter(|run| run["offline"] == true).count();
    assert!(offline >= 2, "runs without the server are missing: {runs}");
}

#[test]
fn a_name_that_is_taken_is_refused_with_the_way_out() {
    let (world, _) = served(FIRST);
    world.enroll("web-1").expect(0);
    let token = world.token(&[]);
    world.enroll_with("other", "web-1", &token).expect(4).says(&["web-1", "--replace"]);
    let token = world.token(&["--replace"]);
    world.enroll_with("other", "web-1", &token).expect(0);
    world.vigo(&["run"]).expect(4);
}

#[test]
fn a_machine_that_is_enrolled_anew_starts_without_what_it_held_before() {
    let (world, canary) = served(FIRST);
    world.publish().expect(0);
    world.enroll("web-1").expect(0);
    world.vigo(&["run"]).expect(0);
    fs::remove_dir_all(world.path("agent/identity")).unwrap();
    let token = world.token(&["--replace"]);
    world.enroll_with("agent", "web-1", &token).expect(0);
    fs::remove_file(world.root().join("token")).unwrap();
    world.vigo(&["run"]).expect(0);
    assert_eq!(world.target("token"), canary);
}

#[test]
fn of_all_processes_of_an_agent_exactly_one_is_named_vigo() {
    let (world, canary) = served(FIRST);
    world.publish().expect(0);
    world.enroll("web-1").expect(0);
    let mut command = world.vigo_command(&["daemon", "--interval", "1s"]);
    let mut daemon = Killed(command.stdout(std::process::Stdio::null()).spawn().unwrap());
    let mut seen = std::collections::BTreeSet::new();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    // The worker lives as long as a run, the hand as long as it holds values: look until all three were there.
    let token = world.root().join("token");
    while seen.len() < 3 || !token.exists() {
        assert!(std::time::Instant::now() < deadline, "seen so far: {seen:?}");
        let mut names: Vec<String> = vigo_testkit::memory::processes_below(daemon.0.id())
            .unwrap()
            .into_iter()
            .chain([daemon.0.id()])
            .filter_map(|process| fs::read_to_string(format!("/proc/{process}/comm")).ok())
            .map(|name| name.trim().to_owned())
            .collect();
        names.sort();
        // Between clone and its first instruction a child still has the name of who made it.
        let settled = names.iter().all(|name| ["vigo", "vigo-net", "vigo-hand"].contains(&name.as_str()));
        if settled && names.iter().filter(|name| *name == "vigo").count() == 1 {
            seen.extend(names);
        }
    }
    assert_eq!(world.target("token"), canary);
    // What belongs to it ends with it, however it ends.
    let below = vigo_testkit::memory::processes_below(daemon.0.id()).unwrap();
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    let gone = |process: &u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        stat.is_empty() || stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    };
    while !below.iter().all(gone) {
        assert!(std::time::Instant::now() < deadline, "a child outlived the killed agent: {below:?}");
        std::thread::yield_now();
    }
}

/// A process that does not outlive the test, however that ends.
#[allow(clippy::disallowed_types, reason = "test code")]
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped_already = self.0.wait();
    }
}
