//! API tokens, against a server that runs: what they are good for and what not, and that the server keeps none.

use crate::support::{Operator, Vigosrv};
use rusqlite::Connection;
use serde_json::{Value, json};
use vigo_secret::{KeyPair, SealBinding, SealPurpose, open};

const CANARY: &[u8] = b"canary-3f9ab27c51d04e68";

async fn create(by: &Operator, permissions: &[&str], paths: &[&str]) -> crate::support::Reply {
    let body = json!({ "user": "alice", "permissions": permissions, "paths": paths, "ttl_seconds": 600 });
    by.post("/api/v1/api-tokens", &body).await
}

async fn holder(server: &Vigosrv, permissions: &[&str], paths: &[&str]) -> (Operator, Value) {
    let made = create(&server.admin(), permissions, paths).await.ok();
    (server.with_token(made["token"].as_str().unwrap()), made)
}

/// Asks for a value as `vigocli secrets get` does.
async fn get(who: &Operator, path: &str) -> Result<Vec<u8>, String> {
    let (key, request) = (KeyPair::generate().unwrap(), [5_u8; 16]);
    let body =
        json!({ "key": vigo_base::encode_hex(key.public()), "request": vigo_base::encode_hex(&request) });
    let reply = who.post(&format!("/api/v1/secrets/{path}/get"), &body).await;
    if reply.status != 200 {
        return Err(reply.code());
    }
    assert!(!reply.text.contains(std::str::from_utf8(CANARY).unwrap()));
    let answer = reply.json();
    let bytes = |name: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(answer[name].as_str().unwrap()).unwrap()
    };
    let binding = SealBinding {
        purpose: SealPurpose::Delivery,
        party: &[0; 16],
        path: &path.parse().unwrap(),
        version: vigo_base::SecretVersion(answer["version"].as_u64().unwrap()),
        epoch: 0,
        request: &request,
    };
    let sealed = vigo_base::Sealed { encapsulated: bytes("encapsulated"), ciphertext: bytes("ciphertext") };
    Ok(open(&key, &binding, &sealed).unwrap().expose().to_vec())
}

#[tokio::test]
async fn with_a_token_that_may_a_value_is_read_sealed_and_on_record() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", CANARY).await.ok();
    admin.set_secret("db/token", b"another").await.ok();
    let (alice, made) = holder(&server, &["secrets.get", "secrets.list"], &["web/"]).await;
    assert_eq!(get(&alice, "web/token").await, Ok(CANARY.to_vec()));
    assert_eq!(get(&alice, "db/token").await, Err("not-permitted".into()), "its paths are `web/`");
    assert_eq!(get(&admin, "web/token").await, Err("not-permitted".into()), "the admin token reads no value");
    let who = format!("alice#{}", made["id"].as_str().unwrap());
    let audit = admin.audit().await;
    for line in [
        format!("{who} secrets.get web/token allowed"),
        format!("{who} secrets.get db/token denied"),
        format!("admin.token api-tokens.create {} allowed", made["id"].as_str().unwrap()),
    ] {
        assert!(audit.contains(&line), "{line}: {audit:?}");
    }
    let listed = alice.get("/api/v1/secrets").await.ok();
    let paths: Vec<_> = listed["items"].as_array().unwrap().iter().map(|one| one["path"].clone()).collect();
    assert_eq!(paths, ["web/token"]);
    for (method, path) in [
        ("DELETE", "/api/v1/secrets/web/token"),
        ("GET", "/api/v1/status"),
        ("POST", "/api/v1/api-tokens"),
        ("GET", "/api/v1/api-tokens"),
        ("PUT", "/api/v1/secret-policies/web%2F"),
    ] {
        let refused = alice.send(method, path, "application/json", "{}").await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "not-permitted"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_token_gives_no_more_than_it_has_itself() {
    let server = Vigosrv::new();
    let (maker, _) = holder(&server, &["api-tokens.create", "secrets.get"], &["web/"]).await;
    for (permissions, paths) in [
        (&["secrets.set"] as &[&str], &["web/"] as &[&str]),
        (&["secrets.get"], &["db/"]),
        (&["secrets.get"], &["/"]),
        (&["secrets.get"], &[]),
    ] {
        assert_eq!(
            create(&maker, permissions, paths).await.code(),
            "not-permitted",
            "{permissions:?} {paths:?}"
        );
    }
    let made = create(&maker, &["secrets.get"], &["web/a/"]).await.ok();
    assert!(made["token"].as_str().unwrap().starts_with("vigo-api-"));
}

#[tokio::test]
async fn a_token_is_kept_by_its_hash_listed_without_itself_and_gone_when_removed() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let (alice, made) = holder(&server, &["secrets.list"], &[]).await;
    let (id, line) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap().to_owned());
    alice.get("/api/v1/secrets").await.ok();
    let listed = admin.get("/api/v1/api-tokens").await.ok();
    assert_eq!(
        (&listed["items"][0]["user"], &listed["items"][0]["expired"]),
        (&json!("alice"), &json!(false))
    );
    let secret = line.rsplit('-').next().unwrap().to_owned();
    assert!(!listed.to_string().contains(&secret));
    let stored = |server: &Vigosrv, wanted: &[u8]| {
        std::fs::read_dir(server.data()).unwrap().any(|entry| {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
            bytes.windows(wanted.len()).any(|window| window == wanted)
        })
    };
    assert!(stored(&server, b"alice"), "the search can find");
    assert!(!stored(&server, secret.as_bytes()));
    assert!(!stored(&server, &vigo_base::decode_hex(&secret).unwrap()));
    let server = server.killed_and_restarted();
    server.with_token(&line).get("/api/v1/secrets").await.ok();
    server.admin().delete(&format!("/api/v1/api-tokens/{id}")).await.ok();
    assert_eq!(server.with_token(&line).get("/api/v1/secrets").await.code(), "not-logged-in");
}

#[tokio::test]
async fn a_token_that_is_expired_widened_or_wrong_is_not_known() {
    let server = Vigosrv::new();
    let (_, made) = holder(&server, &["secrets.list"], &["web/"]).await;
    let line = made["token"].as_str().unwrap().to_owned();
    let known = |line: String| {
        let who = server.with_token(&line);
        async move { who.get("/api/v1/secrets").await.status }
    };
    assert_eq!(known(line.clone()).await, 200);
    let mut other = line.clone();
    let last = other.pop().unwrap();
    other.push(if last == '0' { '1' } else { '0' });
    assert_eq!(known(other).await, 401);
    for wrong in ["vigo-api-", "vigo-api-00", "vigo-api-zz-00", "vigo-api-0011223344556677-00"] {
        assert_eq!(known(wrong.into()).await, 401, "{wrong}");
    }
    let database = server.data().join("store.db");
    for sql in [
        "UPDATE api_tokens SET permissions = '[\"secrets.list\",\"secrets.get\"]'",
        "UPDATE api_tokens SET paths = '[]'",
        "UPDATE api_tokens SET expires_at = expires_at + 1",
    ] {
        let raw = Connection::open(&database).unwrap();
        raw.execute_batch(&format!("CREATE TEMP TABLE kept AS SELECT * FROM api_tokens; {sql}")).unwrap();
        assert_eq!(known(line.clone()).await, 401, "{sql}");
        raw.execute_batch("DELETE FROM api_tokens; INSERT INTO api_tokens SELECT * FROM kept").unwrap();
        assert_eq!(known(line.clone()).await, 200, "what was put back is good again");
    }
    let short = json!({ "user": "bob", "permissions": ["secrets.list"], "ttl_seconds": 1 });
    let short = server.admin().post("/api/v1/api-tokens", &short).await.ok();
    let short = short["token"].as_str().unwrap().to_owned();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while known(short.clone()).await == 200 {
        assert!(std::time::Instant::now() < until, "it does not expire");
    }
    assert_eq!(known(short).await, 401);
    assert!(
        server
            .admin()
            .audit()
            .await
            .iter()
            .any(|line| line.contains("api-tokens.use") && line.ends_with("denied"))
    );
}

#[tokio::test]
async fn what_is_no_token_to_be_made_is_refused() {
    let server = Vigosrv::new();
    let admin = server.admin();
    for body in [
        json!({ "user": "", "permissions": ["secrets.get"] }),
        json!({ "user": "a b", "permissions": ["secrets.get"] }),
        json!({ "user": "a", "permissions": [] }),
        json!({ "user": "a", "permissions": ["secrets.read"] }),
        json!({ "user": "a", "permissions": ["secrets.get"], "paths": ["../x"] }),
        json!({ "user": "a", "permissions": ["secrets.get"], "ttl_seconds": 0 }),
        json!({ "user": "a", "permissions": ["secrets.get"], "ttl_seconds": 99_999_999 }),
    ] {
        assert_eq!(admin.post("/api/v1/api-tokens", &body).await.code(), "invalid", "{body}");
    }
}

#[tokio::test]
async fn a_publish_needs_secrets_use_on_the_path_of_each_new_reference() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", b"one").await.ok();
    admin.set_secret("db/token", b"two").await.ok();
    let tree = |reference: &str| {
        let site = format!(
            "configcrate: site\nresources:\n  - {{type: file, target_path: /srv/a, content: '{reference}'}}\n"
        );
        crate::support::tree(&[
            ("envoys.vgo", "envoys:\n  - match: \"web-*\"\n    configcrates: [site]\n"),
            ("configcrates/site.vgo", &site),
        ])
    };
    let (alice, _) = holder(&server, &["config.publish", "secrets.use"], &["web/"]).await;
    let publish = |reference: &str| {
        let body = json!({ "message": "test", "tree": tree(reference) });
        let alice = &alice;
        async move { alice.post("/api/v1/config/publish", &body).await }
    };
    assert_eq!(publish("secret:db/token").await.code(), "not-permitted");
    assert_eq!(
        publish("{{ secret(envoy.name ~ \"/token\") }}").await.code(),
        "not-permitted",
        "it may come to any"
    );
    publish("secret:web/token").await.ok();
}

#[tokio::test]
async fn policies_are_set_by_a_token_for_its_own_secrets_only() {
    let server = Vigosrv::new();
    let (alice, made) = holder(&server, &["secrets.policy", "secrets.list"], &["web/"]).await;
    let set = |scope: &str| {
        let path = format!("/api/v1/secret-policies/{}", scope.replace('/', "%2F"));
        let alice = &alice;
        async move { alice.send("PUT", &path, "application/json", "{\"require\":\"weak\"}").await }
    };
    set("web/").await.ok();
    set("web/token").await.ok();
    server
        .admin()
        .send("PUT", "/api/v1/secret-policies/db%2F", "application/json", "{\"require\":\"weak\"}")
        .await
        .ok();
    for scope in ["/", "db/", "webb"] {
        assert_eq!(set(scope).await.code(), "not-permitted", "{scope}");
    }
    assert_eq!(alice.delete("/api/v1/secret-policies/db%2F").await.code(), "not-permitted");
    assert_eq!(alice.send("POST", "/api/v1/secret-policies", "", "").await.code(), "not-permitted");
    let seen = alice.get("/api/v1/secret-policies").await.ok();
    let scopes: Vec<_> = seen["items"].as_array().unwrap().iter().map(|one| one["scope"].clone()).collect();
    assert_eq!(scopes, ["web/", "web/token"], "nor does it see the others");
    let line = format!("alice#{} secrets.policy db/ denied", made["id"].as_str().unwrap());
    assert!(server.admin().audit().await.contains(&line));
}
