//! The posture gate with the real programs: a machine that is protected too badly is refused one secret, told how to mend that, and gets everything else.
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

const POLICY: &str = r#"configcrate: first
resources:
  - name: guarded
    type: file
    target_path: "{{ vars.root }}/guarded"
    content: "secret:app/guarded"
  - name: open
    type: file
    target_path: "{{ vars.root }}/open"
    content: "secret:other/open"
  - name: after
    type: file
    target_path: "{{ vars.root }}/after"
    content: "needs it\n"
    depends_on: guarded
  - name: motd
    type: file
    target_path: "{{ vars.root }}/motd"
    content: "hello\n"
"#;

#[test]
fn an_insecure_machine_is_refused_one_secret_and_gets_it_when_it_is_mended() {
    let mut world = World::new();
    world.stack("configcrates/first.vgo", POLICY);
    world.start_server();
    let (guarded, open) = (canary(), canary());
    world.cli_with_input(&["secrets", "set", "app/guarded"], guarded.as_bytes()).expect(0);
    world.cli_with_input(&["secrets", "set", "other/open"], open.as_bytes()).expect(0);
    world.enroll("web-1").expect(0);
    world.publish().expect(0).says(&["web-1 reads app/guarded", "web-1 reads other/open"]);
    world.cli(&["secrets", "policy", "set", "app/", "--require", "weak"]).expect(0);
    let settings = world.path("agent.yaml");
    fs::write(&settings, "arena: plain\nallow_insecure_arena: true\n").unwrap();

    let badly = ["--config", settings.to_str().unwrap(), "run"];
    world.vigo(&badly).expect(5).says(&[
        "blocked first:guarded",
        "requires the protection level `weak` and this machine is `insecure`",
        "help: on that machine: take `arena:` out of the agent's settings",
        "vigo doctor",
        "blocked first:after",
        "2 blocked",
    ]);
    assert_eq!(world.target("open"), open, "the rest converges, with a secret that nobody guards");
    assert_eq!(world.target("motd"), "hello\n");
    assert!(!world.root().join("guarded").exists());
    let denied = || {
        let list: serde_json::Value =
            serde_json::from_str(&world.cli(&["audit", "list", "--json"]).expect(0).out).unwrap();
        let is_denial = |one: &&serde_json::Value| {
            one["action"] == "secrets.resolve" && one["object"] == "app/guarded" && one["outcome"] == "denied"
        };
        list["items"].as_array().unwrap().iter().filter(is_denial).count()
    };
    assert_eq!(denied(), 1);
    world.vigo(&badly).expect(5);
    assert_eq!(denied(), 1, "a machine that asks again and again does not fill the audit log");
    world.cli(&["secrets", "who", "app/guarded", "--json"]).expect(0).says(&["\"may\": false", "insecure"]);
    world.cli(&["secrets", "who", "other/open", "--json"]).expect(0).says(&["\"may\": true"]);
    world.cli(&["secrets", "who", "no/such"]).expect(1).says(&["there is no secret `no/such`"]);
    world.cli(&["envoys", "list", "--level", "insecure"]).expect(0).says(&["web-1"]);
    let shown = world.cli(&["runs", "list", "--json"]).expect(0);
    let run = serde_json::from_str::<serde_json::Value>(&shown.out).unwrap()["items"][0]["run"].clone();
    world.cli(&["runs", "show", run.as_str().unwrap()]).expect(0).says(&["requires the protection level"]);

    fs::remove_file(&settings).unwrap();
    world.vigo(&["run"]).expect(0);
    assert_eq!((world.target("guarded"), world.target("after")), (guarded, "needs it\n".to_owned()));
    let listed = world.cli(&["envoys", "list", "--level", "insecure"]).expect(0);
    assert!(!listed.out.contains("web-1"), "{}", listed.out);
    world.cli(&["secrets", "exposure", "--envoy", "web-1"]).expect(0).says(&["app/guarded", "file"]);
}

#[test]
fn a_value_is_read_with_an_api_token_and_goes_nowhere_but_where_it_was_asked_for() {
    let mut world = World::new();
    world.start_server();
    let value = canary();
    world.cli_with_input(&["secrets", "set", "app/token"], value.as_bytes()).expect(0);
    world.cli(&["secrets", "get", "app/token", "--stdout"]).expect(4).says(&["secrets.get"]);
    let words = ["api-token", "create", "--user", "alice", "--permission", "secrets.get", "--paths", "app/"];
    let token = world.cli(&words).expect(0).out;
    assert!(token.starts_with("vigo-api-") && token.lines().count() == 1, "{token}");
    let file = world.path("alice.token");
    fs::write(&file, &token).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let with_token = |words: &[&str]| {
        let mut command = world.cli_command(words);
        command.args(["--token-file", file.to_str().unwrap()]);
        world::run(command, b"")
    };
    assert_eq!(with_token(&["secrets", "get", "app/token", "--stdout"]).expect(0).out, value);
    // Without `--stdout` it goes to a terminal only, and here is none or one that is not captured.
    let ended = with_token(&["secrets", "get", "app/token"]);
    assert!(!ended.out.contains(&value) && !ended.err.contains(&value));
    with_token(&["secrets", "get", "other/token", "--stdout"]).expect(4).says(&["other/token"]);
    with_token(&["secrets", "list"]).expect(4).says(&["secrets.list"]);
    let audit = world.cli(&["audit", "list", "--json"]).expect(0).out;
    assert!(audit.contains("alice#") && audit.contains("secrets.get"), "{audit}");
    assert!(!audit.contains(&value) && !audit.contains(token.trim()));
    let id = token.trim().split('-').nth(2).unwrap().to_owned();
    world.cli(&["api-token", "rm", &id]).expect(0);
    with_token(&["secrets", "get", "app/token", "--stdout"]).expect(4).says(&["not known"]);
}
