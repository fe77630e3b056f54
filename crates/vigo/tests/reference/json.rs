//! What the programs print with `--json`: one server, one envoy, every command once.

use crate::shapes::Printed;
use crate::world::World;
use serde_json::Value;
use std::path::Path;

const FIRST: &str = r#"configcrate: first
resources:
  - type: directory
    target_path: "{{ vars.root }}/d"
  - type: file
    target_path: "{{ vars.root }}/d/token"
    content: "token secret:app/token\n"
  - type: exec
    command: "true"
    environment: {TOKEN: "secret:app/token"}
    creates: "{{ vars.root }}/done"
"#;
const MISTAKEN: &str = "configcrate: first\nresources:\n  - {name: a, type: file, target_path: /a, content: \"{{ vars.foot }}\"}\n";

/// What was printed, by the title of its shape.
pub fn printed() -> Printed {
    let mut world = World::new();
    world.stack("configcrates/first.vgo", FIRST);
    world.start_server();
    let mut printed = Printed::default();
    let run = without_trouble(&world, &mut printed);
    in_trouble(&mut world, &mut printed);
    let show = |words: &[&str]| parse(&world.cli(&[words, &["--json"]].concat()).expect(0).out);
    printed.add("runs show", show(&["runs", "show", &run]));
    alone(&world, &mut printed);
    for (name, words) in
        [("envoys revoke", ["envoys", "revoke", "web-1"]), ("envoys rm", ["envoys", "rm", "web-1"])]
    {
        printed.add(name, show(&words));
    }
    printed
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|cause| panic!("no JSON ({cause}): {text}"))
}

/// From nothing to an envoy that converged, and everything there is to be seen of it. The id of its run.
fn without_trouble(world: &World, printed: &mut Printed) -> String {
    let stacks = world.path("stacks");
    let stacks = stacks.to_str().unwrap();
    let init = world.path("init");
    let mut cli = |name: &'static str, words: &[&str], input: &[u8], code: i32| {
        let value = parse(&world.cli_with_input(&[words, &["--json"]].concat(), input).expect(code).out);
        printed.add(name, value.clone());
        value
    };
    cli("status", &["status"], b"", 0);
    cli("config init", &["config", "init", init.to_str().unwrap()], b"", 0);
    cli("secrets set, rotate", &["secrets", "set", "app/token"], b"0123456789abcdef", 0);
    cli("secrets set, rotate", &["secrets", "rotate", "app/token"], b"", 0);
    let env = world.path("app.env");
    std::fs::write(&env, "DB_PASSWORD=0123456789\nEMPTY=\n").unwrap();
    let words = ["secrets", "import", env.to_str().unwrap(), "--prefix", "imported"];
    cli("secrets import", &words, b"", 0);
    cli("secrets import", &[words.as_slice(), &["--replace", "--dry-run"]].concat(), b"", 0);
    cli("config validate", &["config", "validate", stacks], b"", 0);
    cli("config publish", &["config", "publish", stacks, "-m", "first"], b"", 0);
    let words = ["token", "create", "--match", "web-*", "--label", "site=a", "--uses", "2"];
    let token = cli("token create", &words, b"", 0);
    std::fs::write(world.path("token"), token["token"].as_str().unwrap()).unwrap();

    let words = ["api-token", "create", "--user", "alice", "--permission", "secrets.get", "--paths", "app/"];
    let key = cli("api-token create", &words, b"", 0);

    let vigo =
        |words: &[&str], code: i32| parse(&world.vigo(&[words, &["--json"]].concat()).expect(code).out);
    let path = world.path("token");
    let words = ["enroll", &world.grpc, "--token-file", path.to_str().unwrap(), "--name", "web-1"];
    let enrolled = vigo(&words, 0);
    let runs = [vigo(&["run", "--dry-run", "--diff"], 3), vigo(&["run"], 0)];

    cli("config plan", &["config", "plan", stacks], b"", 0);
    cli("status", &["status"], b"", 0);
    for (name, words) in [
        ("secrets list", &["secrets", "list"] as &[&str]),
        ("secrets history", &["secrets", "history", "app/token"]),
        ("secrets who", &["secrets", "who", "app/token"]),
        ("secrets exposure", &["secrets", "exposure"]),
        ("secrets policy set", &["secrets", "policy", "set", "app/", "--allow-envoy", "web-*"]),
        ("secrets policy list, show", &["secrets", "policy", "list"]),
        ("secrets policy list, show", &["secrets", "policy", "show", "app/token"]),
        ("secrets policy rm", &["secrets", "policy", "rm", "app/"]),
        ("secrets policy accept", &["secrets", "policy", "accept"]),
        ("api-token list", &["api-token", "list"]),
        ("config history", &["config", "history"]),
        ("token list", &["token", "list"]),
        ("envoys list", &["envoys", "list"]),
        ("envoys show", &["envoys", "show", "web-1"]),
        ("audit list", &["audit", "list"]),
        ("audit verify", &["audit", "verify"]),
    ] {
        cli(name, words, b"", 0);
    }
    let runs_listed = cli("runs list", &["runs", "list", "--envoy", "web-1"], b"", 0);
    cli("api-token rm", &["api-token", "rm", key["id"].as_str().unwrap()], b"", 0);
    cli("token rm", &["token", "rm", token["id"].as_str().unwrap()], b"", 0);
    printed.add("enroll", enrolled);
    runs.into_iter().for_each(|run| printed.add("run, apply", run));
    runs_listed["items"][0]["run"].as_str().unwrap().to_owned()
}

/// Mistakes, changes, a secret that is gone.
fn in_trouble(world: &mut World, printed: &mut Printed) {
    let published = world.path("stacks");
    world.stack("configcrates/first.vgo", MISTAKEN);
    let stacks = published.to_str().unwrap().to_owned();
    let cli = |words: &[&str], code: i32| parse(&world.cli(&[words, &["--json"]].concat()).expect(code).out);
    printed.add("config validate", cli(&["config", "validate", &stacks], 5));
    // What has mistakes is planned, and no more.
    printed.add("config plan", cli(&["config", "publish", &stacks], 5));
    let changed = FIRST.replace("token secret:", "the token secret:");
    std::fs::write(published.join("configcrates/first.vgo"), changed).unwrap();
    // With a warning, which keeps nothing from being published: the second block is never reached.
    let blocks = "envoys:\n  - {match: \"*\", configcrates: [first]}\n  - {match: web-1}\n";
    std::fs::write(published.join("envoys.vgo"), blocks).unwrap();
    printed.add("config plan", cli(&["config", "plan", &stacks], 3));
    printed.add("config publish", cli(&["config", "publish", &stacks], 0));
    printed.add("config rollback", cli(&["config", "rollback", "1"], 0));
    printed.add("secrets rm", cli(&["secrets", "rm", "app/token", "--force"], 0));
    let blocked = world.vigo(&["run", "--json"]).expect(5);
    printed.add("run, apply", parse(&blocked.out));
    printed.add("vigo status", parse(&world.vigo(&["status", "--json"]).expect(0).out));
}

/// What needs no server.
fn alone(world: &World, printed: &mut Printed) {
    let local = |words: &[&str]| parse(&world.vigo_as("alone", words).out);
    let stacks = world.path("stacks");
    let words = ["apply", stacks.to_str().unwrap(), "--name", "web-9", "--dry-run", "--json"];
    printed.add("run, apply", local(&words));
    printed.add("vigo status", local(&["status", "--json"]));
    printed.add("vigo doctor", local(&["doctor", "--attack", "--json"]));
    printed.add("traits", local(&["traits", "--json"]));
    printed.add("version", local(&["version", "--json"]));
    printed.add("explain", local(&["explain", "--json"]));
    printed.add("explain TYPE", local(&["explain", "file", "--json"]));
    assert!(Path::new(&stacks).exists(), "the stacks are still there");
}
