//! Secrets: in sealed, out sealed, to those whose bundle refers to them and to nobody else, and never without a record.

use crate::support::{Envoy, Vigosrv, plain_tree, tree, tree_with_secret};
use serde_json::json;
use vigo_wire::inner::{Answer, Ask};

const CANARY: &[u8] = b"canary-9f8e7d6c5b4a";

#[tokio::test]
async fn a_value_reaches_the_envoy_that_is_entitled_and_stands_nowhere_in_the_clear() {
    let server = Vigosrv::new();
    let admin = server.admin();
    assert_eq!(admin.set_secret("web/token", CANARY).await.ok()["version"], 1);
    admin.publish(tree_with_secret()).await;
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    let reply = envoy.check_in().await;
    assert_eq!((reply.secrets[0].path.as_str(), reply.secrets[0].version), ("web/token", 1));
    let items = envoy.secrets(&["web/token"]).await;
    assert_eq!(items, [("web/token".into(), 1, Ok(CANARY.to_vec()))]);
    let id = envoy.id();
    let audit = admin.audit().await;
    assert!(audit.contains(&format!("envoy:{id} secrets.resolve web/token allowed")), "{audit:?}");
    let who = admin.get("/api/v1/secrets/web/token/who").await.ok();
    assert_eq!(who["items"][0]["name"], "web-1");
    assert_eq!(who["items"][0]["resources"], json!(["site:token"]));

    let (data, _home) = (server.data(), server.keep_home());
    let (_, log) = server.stop();
    let holds = |bytes: &[u8]| bytes.windows(CANARY.len()).any(|window| window == CANARY);
    assert!(!holds(log.as_bytes()));
    let mut looked_at = 0;
    for entry in std::fs::read_dir(&data).unwrap().chain(std::fs::read_dir(data.join("keys")).unwrap()) {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            looked_at += bytes.len();
            assert!(!holds(&bytes), "{}", path.display());
        }
    }
    assert!(looked_at > 10_000 && holds(CANARY));
}

#[tokio::test]
async fn a_new_version_is_a_new_epoch_for_those_it_concerns() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", b"one").await.ok();
    admin.publish(tree_with_secret()).await;
    let mut web = Envoy::enrolled(&server, "web-1").await;
    let mut other = Envoy::enrolled(&server, "db-1").await;
    web.check_in().await;
    other.check_in().await;
    let epoch = |reply: &vigo_wire::inner::CheckInReply| {
        let signed = reply.assignment.as_ref().unwrap();
        let assignment: vigo_wire::assignment::Assignment =
            prost::Message::decode(signed.assignment.as_slice()).unwrap();
        assignment.secrets_epoch
    };
    admin.set_secret("web/token", b"two").await.ok();
    let second = web.check_in().await;
    assert_eq!(second.secrets[0].version, 2);
    assert!(other.check_in().await.assignment.is_none());
    assert_eq!(web.secrets(&["web/token"]).await, [("web/token".into(), 2, Ok(b"two".to_vec()))]);
    let rotated = admin.post("/api/v1/secrets/web/token/rotate", &json!({ "length": 40 })).await.ok();
    assert_eq!(rotated["version"], 3);
    let third = web.check_in().await;
    assert!(epoch(&third) > epoch(&second));
    let items = web.secrets(&["web/token"]).await;
    assert_eq!(items[0].2.as_ref().unwrap().len(), 40);

    let history = admin.get("/api/v1/secrets/web/token/history").await.ok();
    let states: Vec<_> =
        history["items"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["current", "kept", "kept"]);
    let refused = admin.delete("/api/v1/secrets/web/token").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "conflict"),
        "what is published refers to it"
    );
    assert!(refused.text.contains("web-1") && refused.text.contains("--force"), "{refused:?}");
    admin.delete("/api/v1/secrets/web/token?force=true").await.ok();
    web.check_in().await;
    let why = web.secrets(&["web/token"]).await[0].2.clone().unwrap_err();
    assert!(why.contains("vigocli secrets set web/token"), "{why}");
    let server = server.killed_and_restarted();
    assert_eq!(
        server.admin().set_secret("web/token", b"four").await.ok()["version"],
        4,
        "numbers never return"
    );
}

#[tokio::test]
async fn what_does_not_stand_in_the_bundle_is_refused_and_audited() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", b"one").await.ok();
    admin.set_secret("db/password", b"other").await.ok();
    admin.publish(tree_with_secret()).await;
    let mut web = Envoy::enrolled(&server, "web-1").await;
    let mut stranger = Envoy::enrolled(&server, "db-1").await;
    web.check_in().await;
    stranger.check_in().await;
    let items = web.secrets(&["db/password", "web/token", "no/such"]).await;
    assert!(items[0].2.as_ref().unwrap_err().contains("does not stand in the bundle"), "{items:?}");
    assert_eq!(items[1].2, Ok(b"one".to_vec()));
    assert!(items[2].2.is_err());
    assert!(stranger.secrets(&["web/token"]).await[0].2.is_err());
    let audit = admin.audit().await;
    let (web_id, stranger_id) = (web.id(), stranger.id());
    assert!(audit.contains(&format!("envoy:{web_id} secrets.resolve db/password denied")), "{audit:?}");
    assert!(audit.contains(&format!("envoy:{stranger_id} secrets.resolve web/token denied")), "{audit:?}");
    assert_eq!(admin.get("/api/v1/audit/verify").await.ok()["intact"], true);
}

#[tokio::test]
async fn the_assignment_before_is_good_for_a_while_and_older_ones_are_stale() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", b"one").await.ok();
    admin.publish(tree_with_secret()).await;
    let mut web = Envoy::enrolled(&server, "web-1").await;
    web.check_in().await;
    let first = web.held;
    admin.publish(plain_tree("two")).await;
    web.check_in().await;
    assert!(web.secrets(&["web/token"]).await[0].2.is_err(), "no longer in the bundle");
    let second = std::mem::replace(&mut web.held, first);
    assert_eq!(
        web.secrets(&["web/token"]).await[0].2,
        Ok(b"one".to_vec()),
        "a run that began with it may end"
    );
    // The clock of the server cannot be set from outside, but when the second replaced it can.
    let earlier = |seconds: u32| {
        let connection = rusqlite::Connection::open(server.data().join("store.db")).unwrap();
        let sql = format!(
            "UPDATE assignments SET issued_at = issued_at - {seconds} WHERE (term, generation) = {second:?}"
        );
        assert_eq!(connection.execute(&sql, []).unwrap(), 1);
    };
    earlier(800);
    assert_eq!(web.secrets(&["web/token"]).await[0].2, Ok(b"one".to_vec()), "it is still at it");
    earlier(101);
    assert_eq!(web.refused(Ask::Secrets(web.secret_request(&["web/token"]))).await, "stale-bundle");
    web.held = second;
    admin.publish(plain_tree("three")).await;
    web.check_in().await;
    web.held = first;
    assert_eq!(web.refused(Ask::Secrets(web.secret_request(&["web/token"]))).await, "stale-bundle");
    web.held = (9, 9);
    assert_eq!(web.refused(Ask::Secrets(web.secret_request(&["web/token"]))).await, "stale-bundle");
}

#[tokio::test]
async fn who_avoids_to_check_in_does_not_keep_what_a_publish_took_away() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", b"one").await.ok();
    admin.publish(tree_with_secret()).await;
    let mut web = Envoy::enrolled(&server, "web-1").await;
    web.check_in().await;
    for text in ["two", "three"] {
        admin.publish(plain_tree(text)).await;
        // What it holds is the assignment before after the first publish, and stale after the second: as if it had checked in.
        let asked = web.secret_request(&["web/token"]);
        let answer = web.ask(Ask::Secrets(asked)).await;
        let is_stale = matches!(&answer, Answer::Refused(refused) if refused.code == "stale-bundle");
        assert_eq!(is_stale, text == "three", "{answer:?}");
    }
}

#[tokio::test]
async fn requests_for_secrets_that_make_no_sense_are_refused() {
    let server = Vigosrv::new();
    let mut web = Envoy::enrolled(&server, "web-1").await;
    web.check_in().await;
    let good = web.secret_request(&["web/token"]);
    for wrong in [
        vigo_wire::inner::SecretRequest { key: vec![1; 31], ..good.clone() },
        vigo_wire::inner::SecretRequest { request: vec![1; 15], ..good.clone() },
        vigo_wire::inner::SecretRequest { paths: vec!["../x".into()], ..good.clone() },
    ] {
        assert_eq!(web.refused(Ask::Secrets(wrong)).await, "malformed");
    }
    let many = vigo_wire::inner::SecretRequest { paths: vec!["a".into(); 257], ..good };
    assert_eq!(web.refused(Ask::Secrets(many)).await, "too-large");
}

#[tokio::test]
async fn a_plain_value_is_taken_in_no_form() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let path = "/api/v1/secrets/web/token";
    let plain = String::from_utf8(CANARY.to_vec()).unwrap();
    for (kind, body) in [
        ("text/plain", plain.clone()),
        ("application/octet-stream", plain.clone()),
        ("", plain.clone()),
        ("application/json", json!({ "value": plain }).to_string()),
        ("application/json", json!(plain).to_string()),
        ("application/json", plain.clone()),
    ] {
        let refused = admin.send("PUT", path, kind, body).await;
        assert_eq!((refused.status, refused.code().as_str()), (415, "media-type"), "{kind}");
        assert!(!refused.text.contains(&plain));
    }
    let sealed =
        json!({ "format": 1, "key_id": "0000000000000000", "encapsulated": "AAAA", "ciphertext": "AAAA" });
    assert_eq!(admin.send("PUT", path, "application/json", sealed.to_string()).await.code(), "wrong-key");
    let key_id = admin.get("/api/v1/entry-key").await.ok()["key_id"].clone();
    let sealed = json!({ "format": 1, "key_id": key_id, "encapsulated": "AAAA", "ciphertext": "AAAA" });
    assert_eq!(admin.send("PUT", path, "application/json", sealed.to_string()).await.code(), "invalid");
    assert_eq!(admin.get(&format!("{path}/history")).await.code(), "not-found");
    assert_eq!(admin.set_secret("web/token", b"").await.code(), "invalid");
    admin.set_secret("web/large", &vec![b'x'; 64 << 10]).await.ok();
    let (_, log) = server.stop();
    assert!(!log.contains(&plain));
}

#[tokio::test]
async fn the_admin_token_reads_no_value() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", b"one").await.ok();
    let body = json!({ "key": "11".repeat(32), "request": "22".repeat(16) });
    let refused = admin.post("/api/v1/secrets/web/token/get", &body).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "not-permitted"));
    let audit = admin.audit().await;
    assert!(
        audit.contains(&"admin.token secrets.get /api/v1/secrets/web%2Ftoken/get denied".to_owned()),
        "{audit:?}"
    );
}

#[tokio::test]
async fn a_computed_path_entitles_by_what_the_server_knows_of_the_envoy() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web-1/token", b"own").await.ok();
    admin.set_secret("web-2/token", b"another's").await.ok();
    admin
        .publish(tree(&[
            ("envoys.vgo", "envoys:\n  - match: \"web-*\"\n    configcrates: [site]\n"),
            (
                "configcrates/site.vgo",
                "configcrate: site\nresources:\n  - name: token\n    type: file\n    target_path: /srv/token\n    content: \"{{ secret(envoy.name ~ '/token') }}\"\n",
            ),
        ]))
        .await;
    let mut web = Envoy::enrolled(&server, "web-1").await;
    web.check_in().await;
    let items = web.secrets(&["web-1/token", "web-2/token"]).await;
    assert_eq!(items[0].2, Ok(b"own".to_vec()));
    assert!(items[1].2.is_err());
}
