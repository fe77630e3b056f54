//! Everything that a server writes, answers and holds, searched for values of every kind in every form: each route, the metrics, the audit log, the
//! database with its journal and a copy of it, the log at its most talkative, all files of the data folder, all memory outside the hand.

use crate::support::{Envoy, Operator, Vigosrv, tree};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use vigo_server::rest::routes::{ROUTES, Verb};
use vigo_testkit::memory::processes_below;
use vigo_testkit::scan::{Canary, Kind, Scanner, Sink};

/// Files of the data folder, and in which scan below they are. One that is new fails the test until it stands here.
const FILES: &[(&str, Sink)] = &[
    ("store.db", Sink::Database),
    ("store.db-wal", Sink::Database),
    ("store.db-shm", Sink::Database),
    ("admin.token", Sink::Files),
    ("ca.pem", Sink::Files),
    ("keys/", Sink::Files),
    ("store.db.lock", Sink::Database),
    ("lock", Sink::Files),
];

/// What stands for the parameters of a route.
fn filled(path: &str, secret: &str, envoy: &str) -> String {
    let filled = path
        .replace("{path}", &secret.replace('/', "%2F"))
        .replace("{scope}", &secret.replace('/', "%2F"))
        .replace("{version}", "1")
        .replace("{envoy}", envoy)
        .replace("{run}", "1")
        .replace("{id}", "1")
        .replace("{name}", "somebody")
        .replace("{user}", "somebody");
    assert!(
        !filled.contains('{'),
        "a parameter that this test does not know: {filled}; say here what stands for it"
    );
    filled
}

/// Asks every route, those that only look last, so that they show what the others did. Gives all that was answered, by route.
async fn asked(admin: &Operator, secret: &str, envoy: &str) -> BTreeMap<String, String> {
    let mut answers = BTreeMap::new();
    // What takes something away comes at the very end.
    let turn = |verb: Verb| match verb {
        Verb::Put | Verb::Post => 0,
        Verb::Get => 1,
        Verb::Delete => 2,
    };
    let mut routes: Vec<_> = ROUTES.iter().collect();
    routes.sort_by_key(|route| (turn(route.verb), route.path.contains("revoke")));
    for route in routes {
        let path = filled(route.path, secret, envoy);
        let method = format!("{:?}", route.verb).to_uppercase();
        let (kind, body) = if route.verb == Verb::Get { ("", "") } else { ("application/json", "{}") };
        // A route that ends the session of who asks, or the envoy, would end the walk.
        let body = if route.path.ends_with("/rotate") { r#"{"length": 24}"# } else { body };
        let reply = admin.send(&method, &path, kind, body).await;
        answers.insert(format!("{method} {}", route.path), format!("{} {}", reply.status, reply.text));
    }
    answers
}

#[tokio::test]
async fn no_value_is_in_an_answer_a_file_the_log_or_the_memory_of_a_server() {
    let begun = SystemTime::now();
    let canaries = Canary::one_of_each().unwrap();
    let scanner = Scanner::of(&canaries);
    let home = Arc::new(tempfile::tempdir().unwrap());
    let server = Vigosrv::with(Arc::clone(&home), &["--log-level", "trace"]);
    let admin = server.admin();

    // The control is part of each secret's path: it reaches whatever names a secret.
    let control = Canary::fresh(Kind::Plain).unwrap();
    let control_text = String::from_utf8(control.plain()).unwrap();
    let path = |number: usize| format!("leak/a{control_text}a/v{number}");
    for (number, canary) in canaries.iter().enumerate() {
        admin.set_secret(&path(number), &canary.plain()).await.ok();
    }
    let mut envoy = used(&server, &admin, &path, &canaries).await;
    let text = envoy.id().to_string();

    if rustix::process::geteuid().is_root() {
        let below = processes_below(server.process()).unwrap();
        let scanned = scanner.memory(&[&below[..], &[server.process()]].concat()).unwrap();
        let in_hand = |place: &str| below.iter().any(|pid| place.starts_with(&format!("process {pid}:")));
        let outside: Vec<_> = scanned.hits.iter().filter(|hit| !in_hand(&hit.place)).collect();
        assert!(outside.is_empty() && !below.is_empty(), "{outside:#?}");
    } else {
        println!("not root: the server's memory was not scanned");
    }
    // It stood in memory because the test put it there; a refused value is in no log and no audit record all the same.
    let plain = json!({ "value": String::from_utf8(canaries[0].plain()).unwrap() });
    let place = format!("/api/v1/secrets/{}", path(0));
    let refused = admin.send("PUT", &place, "application/json", plain.to_string());
    assert!(refused.await.status >= 400);
    // A second value under each path, so that histories have something to show.
    admin.set_secret(&path(0), b"another one").await.ok();
    envoy.check_in().await;
    let answers = asked(&admin, &path(0), &text).await;
    answers_are_clean(&scanner, &answers, &control);

    let (data, address) = (server.data(), server.api.to_string());
    files_are_clean(&scanner, &data, begun, &control);
    let (_, log) = server.stop();
    let said = Canary::of(Kind::Plain, address.as_bytes());
    scanner.bytes(Sink::Output, "the log", log.as_bytes(), &said).unwrap().expect_nothing("the log");
    files_are_clean(&scanner, &data, begun, &control);
}

/// An envoy that gets every value, and a run of it.
async fn used(
    server: &Vigosrv,
    admin: &Operator,
    path: &dyn Fn(usize) -> String,
    canaries: &[Canary],
) -> Envoy {
    let mut crate_text = String::from("configcrate: site\nresources:\n");
    for number in 0..canaries.len() {
        crate_text.push_str(&format!(
            "  - {{type: file, target_path: /srv/v{number}, content: \"secret:{{{}}}\"}}\n",
            path(number)
        ));
    }
    let envoys = "envoys:\n  - match: \"*\"\n    configcrates: [site]\n";
    admin.publish(tree(&[("envoys.vgo", envoys), ("configcrates/site.vgo", &crate_text)])).await;
    let mut envoy = Envoy::enrolled(server, "web-1").await;
    envoy.check_in().await;
    let paths: Vec<String> = (0..canaries.len()).map(path).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    for (number, (_, _, value)) in envoy.secrets(&paths).await.into_iter().enumerate() {
        assert!(value == Ok(canaries[number].plain()), "value {number} did not arrive");
    }
    envoy
}

fn answers_are_clean(scanner: &Scanner, answers: &BTreeMap<String, String>, control: &Canary) {
    let all: String = answers.iter().map(|(route, text)| format!("{route}\n{text}\n")).collect();
    scanner.bytes(Sink::Rest, "all routes", all.as_bytes(), control).unwrap().expect_nothing("REST");
    let audit = &answers["GET /api/v1/audit"];
    scanner.bytes(Sink::Audit, "audit", audit.as_bytes(), control).unwrap().expect_nothing("audit");
    // No label of a metric is what somebody chose: the control is a name that stands nowhere else.
    let metrics = &answers["GET /metrics"];
    let name = Canary::of(Kind::Plain, b"vigo_secrets_sealed_total");
    scanner.bytes(Sink::Metrics, "metrics", metrics.as_bytes(), &name).unwrap().expect_nothing("metrics");
    for route in ROUTES {
        let name = format!("{} {}", format!("{:?}", route.verb).to_uppercase(), route.path);
        assert!(answers.contains_key(&name), "{name} was not asked");
    }
}

fn files_are_clean(scanner: &Scanner, data: &Path, begun: SystemTime, control: &Canary) {
    scanner.folder(data, begun).unwrap().expect_nothing("the data folder");
    let mut database = Vec::new();
    for path in vigo_testkit::scan::changed_below(data, begun).unwrap() {
        let name = path.strip_prefix(data).unwrap().to_str().unwrap().to_owned();
        let known =
            FILES.iter().find(|(known, _)| name == *known || known.ends_with('/') && name.starts_with(known));
        let (_, sink) = known
            .unwrap_or_else(|| panic!("`{name}` in the data folder belongs to no sink; add it to FILES"));
        if *sink == Sink::Database {
            database.push(path);
        }
    }
    let all = |look: &mut vigo_testkit::scan::Look<'_>| database.iter().try_for_each(|path| look.file(path));
    scanner.scan(Sink::Database, "store.db", control, all).unwrap().expect_nothing("the database");
    // A copy as SQLite itself makes it, for another day.
    let copy = data.with_extension("backup");
    let _of_the_scan_before = std::fs::remove_file(&copy);
    let connection = rusqlite::Connection::open(data.join("store.db")).unwrap();
    connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    scanner.file(Sink::Backup, &copy, control).unwrap().expect_nothing("the backup");
}
