//! Rows that were taken away and come back, and versions that were given and lost: a store with a past that is not its own.

use crate::support::{Envoy, Operator, Vigosrv, tree_with_secret};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;
use vigo_wire::inner::Ask;

/// The database as it is, with nothing left in its journal.
fn copy(data: &Path, to: &Path) {
    let _not_there = fs::remove_file(to);
    let connection = Connection::open(data.join("store.db")).unwrap();
    connection.execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
    fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// Does that to the database, with the older one attached as `old`.
fn past_the_server(data: &Path, old: &Path, sql: &str) {
    let connection = Connection::open(data.join("store.db")).unwrap();
    connection.execute("ATTACH ?1 AS old", [old.to_str().unwrap()]).unwrap();
    connection.execute_batch(sql).unwrap();
}

/// What it says, and how it ended: a server that serves where it must not is ended after a while.
fn offline(home: &Path, words: &[&str]) -> String {
    let mut command = Command::new("timeout");
    command
        .env_clear()
        .args(["30", env!("CARGO_BIN_EXE_vigosrv")])
        .arg("--data-dir")
        .arg(home.join("srv"))
        .args(words);
    let output = command.stdin(Stdio::null()).output().unwrap();
    format!("{}{}", output.status, String::from_utf8(output.stderr).unwrap())
}

async fn api_token(admin: &Operator) -> (String, String) {
    let wanted = json!({ "user": "alice", "permissions": ["secrets.list"], "ttl_seconds": 600 });
    let made = admin.post("/api/v1/api-tokens", &wanted).await.ok();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

async fn policy(admin: &Operator, policy: &Value) {
    let (method, path) = ("PUT", "/api/v1/secret-policies/web%2F");
    admin.send(method, path, "application/json", policy.to_string()).await.ok();
}

const TOKEN_BACK: &str = "INSERT INTO api_tokens SELECT * FROM old.api_tokens";
const ENROLMENT_BACK: &str = "INSERT INTO tokens SELECT * FROM old.tokens";
const POLICIES_BACK: &str = "DROP TRIGGER the_secret_policy_set_stays; DROP TRIGGER its_revision_never_falls; \
     DELETE FROM secret_policies; INSERT INTO secret_policies SELECT * FROM old.secret_policies; \
     DELETE FROM secret_policy_set; INSERT INTO secret_policy_set SELECT * FROM old.secret_policy_set";

/// None are left, as before the first one was set.
const POLICIES_GONE: &str = "DROP TRIGGER the_secret_policy_set_stays; DROP TRIGGER its_revision_never_falls; \
     DELETE FROM secret_policies; DELETE FROM secret_policy_set";

/// A server that stopped, after a policy was made stricter and tokens were taken away; the database before that; and the tokens.
async fn stopped() -> (Arc<TempDir>, String, String) {
    let server = Vigosrv::new();
    let admin = server.admin();
    let (id, line) = api_token(&admin).await;
    let enrolment = admin.token(json!({ "match": ["web-*"], "uses": 1, "ttl_seconds": 600 })).await;
    let listed = admin.get("/api/v1/tokens").await.ok();
    let enrolment_id = listed["items"][0]["id"].as_str().unwrap().to_owned();
    policy(&admin, &json!({ "require": "weak" })).await;
    copy(&server.data(), &server.home().join("old.db"));
    admin.delete(&format!("/api/v1/api-tokens/{id}")).await.ok();
    admin.delete(&format!("/api/v1/tokens/{enrolment_id}")).await.ok();
    policy(&admin, &json!({ "require": "secure" })).await;
    let home = server.keep_home();
    server.stop();
    (home, line, enrolment)
}

#[tokio::test]
async fn rows_that_are_put_back_while_the_server_is_stopped_are_noticed() {
    let (home, line, _) = stopped().await;
    let (data, old, now) = (home.path().join("srv"), home.path().join("old.db"), home.path().join("now.db"));
    copy(&data, &now);
    // A record more in the audit log, rightly chained, does not hide it.
    for (sql, more) in [
        (TOKEN_BACK, false),
        (ENROLMENT_BACK, false),
        (POLICIES_BACK, false),
        (POLICIES_GONE, false),
        (TOKEN_BACK, true),
    ] {
        past_the_server(&data, &old, sql);
        if more {
            // A store of its own is what a holder of the database has to write such a record.
            use vigo_store::{NewAudit, SqliteStore, Store as _};
            let record = |text: &str| text.to_owned();
            let audit = NewAudit {
                at_ms: 1,
                actor: record("eve"),
                action: record("x"),
                object: record(""),
                outcome: record("allowed"),
                detail: record(""),
            };
            SqliteStore::open(&data.join("store.db")).unwrap().append_audit(&[audit]).unwrap();
        }
        let text = offline(home.path(), &["--grpc-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"]);
        assert!(text.contains("rows were put back or taken away past the server"), "{sql}: {text}");
        for name in ["store.db-wal", "store.db-shm"] {
            let _not_there = fs::remove_file(data.join(name));
        }
        fs::copy(&now, data.join("store.db")).unwrap();
    }
    // The control: without that it serves, and what was removed is not known.
    let server = Vigosrv::on(Arc::clone(&home));
    assert_eq!(server.with_token(&line).get("/api/v1/secrets").await.code(), "not-logged-in");
    server.stop();
    past_the_server(&data, &old, TOKEN_BACK);
    let text = offline(home.path(), &["accept-rollback"]);
    assert!(text.starts_with("exit status: 0"), "{text}");
    let server = Vigosrv::on(home);
    server.with_token(&line).get("/api/v1/secrets").await.ok();
}

#[tokio::test]
async fn a_token_that_is_put_back_while_the_server_runs_is_not_known_nor_after_a_restart() {
    let (home, line, enrolment) = stopped().await;
    let server = Vigosrv::on(Arc::clone(&home));
    let (data, old) = (server.data(), home.path().join("old.db"));
    past_the_server(&data, &old, &format!("{TOKEN_BACK}; {ENROLMENT_BACK}"));
    assert_eq!(server.with_token(&line).get("/api/v1/secrets").await.code(), "not-logged-in");
    let candidate = crate::support::Candidate::seen(&enrolment, "web-1");
    assert_eq!(candidate.refusal(&server).await.0, "unknown-token");
    // Nor does anything that happens since make it good.
    server.admin().set_secret("web/token", b"one").await.ok();
    let (_, other) = api_token(&server.admin()).await;
    server.with_token(&other).get("/api/v1/secrets").await.ok();
    assert_eq!(server.with_token(&line).get("/api/v1/secrets").await.code(), "not-logged-in");
    server.stop();
    let text = offline(home.path(), &["rekey"]);
    assert!(text.contains("rows were put back"), "{text}");
}

/// Who accepts a store accepts no row that the server did not write: there the MAC alone tells.
#[tokio::test]
async fn an_api_token_that_was_widened_in_a_store_that_is_accepted_is_not_known() {
    let server = Vigosrv::new();
    let (_, line) = api_token(&server.admin()).await;
    server.with_token(&line).get("/api/v1/secrets").await.ok();
    let (data, home) = (server.data(), server.keep_home());
    server.stop();
    let connection = Connection::open(data.join("store.db")).unwrap();
    let widened = r#"UPDATE api_tokens SET permissions = '["secrets.list","secrets.get"]'"#;
    assert_eq!(connection.execute(widened, []).unwrap(), 1);
    drop(connection);
    let text = offline(home.path(), &["accept-rollback"]);
    assert!(text.starts_with("exit status: 0"), "{text}");
    let server = Vigosrv::on(home);
    assert_eq!(server.with_token(&line).get("/api/v1/secrets").await.code(), "not-logged-in");
    let (_, log) = server.stop();
    assert!(log.contains("its MAC is wrong"), "{log}");
}

#[tokio::test]
async fn policies_that_are_put_back_or_gone_before_anybody_asked_give_no_secret() {
    for sql in [POLICIES_BACK, POLICIES_GONE] {
        let (home, ..) = stopped().await;
        let server = Vigosrv::on(Arc::clone(&home));
        let admin = server.admin();
        admin.set_secret("web/token", b"one").await.ok();
        admin.publish(tree_with_secret()).await;
        let mut envoy = Envoy::enrolled(&server, "web-1").await;
        envoy.says("weak", "none");
        envoy.check_in().await;
        past_the_server(&server.data(), &home.path().join("old.db"), sql);
        let asked = envoy.secret_request(&["web/token"]);
        assert_eq!(envoy.refused(Ask::Secrets(asked)).await, "untrusted-policy", "{sql}");
        assert_eq!(admin.get("/api/v1/secret-policies").await.ok()["intact"], false, "{sql}");
    }
}

#[tokio::test]
async fn policies_and_tokens_that_are_changed_at_any_time_are_those_after_a_kill() {
    let mut server = Vigosrv::new();
    for round in 0..3 {
        let admin = server.admin();
        let (id, line) = api_token(&admin).await;
        policy(&admin, &json!({ "require": "weak", "envoys": [format!("web-{round}")] })).await;
        server = server.killed_and_restarted();
        server.with_token(&line).get("/api/v1/secrets").await.ok();
        server.admin().delete(&format!("/api/v1/api-tokens/{id}")).await.ok();
        server = server.killed_and_restarted();
        assert_eq!(server.with_token(&line).get("/api/v1/secrets").await.code(), "not-logged-in");
    }
}

#[tokio::test]
async fn no_version_of_a_secret_is_given_twice_after_an_older_store_was_accepted() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let set = |server: &Vigosrv, path: &'static str, value: &'static [u8]| {
        let admin = server.admin();
        async move { admin.set_secret(path, value).await.ok()["version"].as_u64().unwrap() }
    };
    assert_eq!(set(&server, "web/token", b"one").await, 1);
    admin.publish(tree_with_secret()).await;
    let home = server.keep_home();
    let (data, old) = (server.data(), home.path().join("old.db"));
    server.stop();
    copy(&data, &old);
    let put_back = || {
        for name in ["store.db-wal", "store.db-shm"] {
            let _not_there = fs::remove_file(data.join(name));
        }
        fs::copy(&old, data.join("store.db")).unwrap();
        let text = offline(home.path(), &["accept-rollback"]);
        assert!(text.starts_with("exit status: 0"), "{text}");
    };
    let server = Vigosrv::on(Arc::clone(&home));
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    envoy.check_in().await;
    for version in 2..=4 {
        assert_eq!(set(&server, "web/token", b"lost").await, version);
    }
    envoy.check_in().await;
    assert_eq!(envoy.secrets(&["web/token"]).await[0].1, 4);
    let asked = envoy.secret_request(&["web/token"]);
    let _answered = envoy.ask(Ask::Secrets(asked)).await;
    // Killed at once: the witness knows of a version before anybody can have it.
    drop(server.killed_and_restarted());
    put_back();
    let server = Vigosrv::on(Arc::clone(&home));
    assert_eq!(set(&server, "web/token", b"after").await, 5);
    assert_eq!(set(&server, "never/set", b"after").await, 5, "nobody knows which secrets were lost");
    server.stop();
    // Without a witness nobody knows the highest: it starts far above.
    fs::remove_file(data.join("keys/witness")).unwrap();
    put_back();
    let server = Vigosrv::on(Arc::clone(&home));
    assert_eq!(set(&server, "web/token", b"again").await, 1_000_002);
}
