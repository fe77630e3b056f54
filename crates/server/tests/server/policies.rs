//! Policies of secrets and the posture gate, against a server that runs: who is refused, told what, and what stands in the audit log.

use crate::support::{Candidate, Envoy, Operator, Vigosrv, tree, tree_with_secret};
use rusqlite::Connection;
use serde_json::{Value, json};
use vigo_wire::inner::Ask;

const TOKEN: &str = "web/token";

async fn set(admin: &Operator, scope: &str, policy: Value) -> crate::support::Reply {
    let path = format!("/api/v1/secret-policies/{}", scope.replace('/', "%2F"));
    admin.send("PUT", &path, "application/json", policy.to_string()).await
}

async fn served() -> (Vigosrv, Operator, Envoy) {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret(TOKEN, b"one").await.ok();
    admin.publish(tree_with_secret()).await;
    let mut web = Envoy::enrolled(&server, "web-1").await;
    web.check_in().await;
    (server, admin, web)
}

/// How often the secret was denied to that envoy.
async fn denials(admin: &Operator, envoy: &Envoy) -> usize {
    let line = format!("envoy:{} secrets.resolve {TOKEN} denied", envoy.id());
    admin.audit().await.iter().filter(|record| **record == line).count()
}

#[tokio::test]
async fn a_machine_below_the_required_level_is_refused_until_it_is_mended() {
    let (_server, admin, mut web) = served().await;
    web.says("insecure", "plain");
    let served = web.secrets(&[TOKEN]).await;
    assert_eq!(served[0].2, Ok(b"one".to_vec()), "by default it is served, with a warning");
    let audit = admin.get("/api/v1/audit?limit=1").await.ok();
    assert_eq!(audit["items"][0]["detail"], "v1, level insecure, swap plain");

    set(&admin, TOKEN, json!({ "require": "secure" })).await.ok();
    web.check_in().await;
    for level in ["insecure", "weak", "", "SECURE"] {
        web.says(level, "none");
        let why = web.secrets(&[TOKEN]).await[0].2.clone().unwrap_err();
        assert!(why.contains("requires the protection level `secure`"), "{level}: {why}");
    }
    web.says("secure", "none");
    assert_eq!(web.secrets(&[TOKEN]).await[0].2, Ok(b"one".to_vec()));
}

#[tokio::test]
async fn swap_that_is_open_is_refused_where_closed_is_required() {
    let (_server, admin, mut web) = served().await;
    set(&admin, "web/", json!({ "require_swap": "closed" })).await.ok();
    web.check_in().await;
    for (class, is_served) in
        [("plain", false), ("", false), ("none", true), ("zram", true), ("encrypted-persistent", true)]
    {
        web.says("insecure", class);
        assert_eq!(web.secrets(&[TOKEN]).await[0].2.is_ok(), is_served, "{class}");
    }
}

#[tokio::test]
async fn a_refusal_has_a_code_and_what_mends_it_and_the_others_of_its_request_are_served() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret(TOKEN, b"one").await.ok();
    admin.set_secret("app/token", b"two").await.ok();
    admin
        .publish(tree(&[
            ("envoys.vgo", "envoys:\n  - match: \"web-*\"\n    configcrates: [site]\n"),
            (
                "configcrates/site.vgo",
                "configcrate: site\nresources:\n  - {type: file, target_path: /srv/a, content: \"secret:web/token\"}\n  - {type: file, target_path: /srv/b, content: \"secret:app/token\"}\n",
            ),
        ]))
        .await;
    set(&admin, "web/", json!({ "require": "weak" })).await.ok();
    let mut web = Envoy::enrolled(&server, "web-1").await;
    web.says("insecure", "none");
    web.check_in().await;
    let asked = web.secret_request(&[TOKEN, "app/token"]);
    let vigo_wire::inner::Answer::Secrets(reply) = web.ask(Ask::Secrets(asked)).await else {
        panic!("no secrets")
    };
    let [refused, given] = reply.items.as_slice() else { panic!("two items") };
    assert_eq!((refused.code.as_str(), refused.ciphertext.is_empty(), refused.version), ("level", true, 0));
    assert!(refused.help.contains("vigo doctor") && refused.help.contains("vigo run"), "{refused:?}");
    assert!(given.refused.is_empty() && given.code.is_empty() && !given.ciphertext.is_empty());
}

#[tokio::test]
async fn what_is_refused_again_and_again_stands_in_the_audit_log_once() {
    let (_server, admin, mut web) = served().await;
    set(&admin, TOKEN, json!({ "require": "secure" })).await.ok();
    web.says("weak", "none");
    web.check_in().await;
    for _ in 0..5 {
        assert!(web.secrets(&[TOKEN]).await[0].2.is_err());
    }
    assert_eq!(denials(&admin, &web).await, 1);
    web.says("secure", "none");
    assert!(web.secrets(&[TOKEN]).await[0].2.is_ok());
    web.says("weak", "none");
    assert!(web.secrets(&[TOKEN]).await[0].2.is_err());
    assert_eq!(denials(&admin, &web).await, 2, "after it was given, a refusal is news again");
}

#[tokio::test]
async fn a_policy_allows_by_what_the_server_knows_and_not_by_what_a_machine_says() {
    let (server, admin, mut web) = served().await;
    web.says("secure", "none");
    for (policy, word) in [
        (json!({ "envoys": ["db-*"] }), "`web-1`"),
        (json!({ "environments": ["production"] }), "without an environment"),
        (json!({ "labels": { "tier": "front" } }), "`tier=front`"),
    ] {
        set(&admin, "web/", policy).await.ok();
        web.check_in().await;
        let why = web.secrets(&[TOKEN]).await[0].2.clone().unwrap_err();
        assert!(why.contains("policy of `web/`") && why.contains(word), "{why}");
    }
    let token = admin.token(json!({ "match": "web-2", "labels": { "tier": "front" } })).await;
    let mut labelled = Candidate::new(&token, "web-2").enrol(&server).await;
    labelled.check_in().await;
    assert_eq!(labelled.secrets(&[TOKEN]).await[0].2, Ok(b"one".to_vec()));

    let who = admin.get("/api/v1/secrets/web/token/who").await.ok();
    let verdicts: Vec<_> =
        who["items"].as_array().unwrap().iter().map(|one| (&one["name"], &one["may"])).collect();
    assert_eq!(verdicts, [(&json!("web-1"), &json!(false)), (&json!("web-2"), &json!(true))]);
    assert!(who["items"][0]["why"].as_str().unwrap().contains("`tier=front`"), "{who}");
    assert!(who["items"][1]["why"].as_str().unwrap().contains("label tier=front"), "{who}");
    assert_eq!(who["items"][1]["ways"], json!(["file"]));
}

#[tokio::test]
async fn a_policy_that_is_tightened_takes_the_secret_from_what_an_envoy_is_told_it_has() {
    let (_server, admin, mut web) = served().await;
    let paths = |reply: &vigo_wire::inner::CheckInReply| -> Vec<String> {
        reply.secrets.iter().map(|state| state.path.clone()).collect()
    };
    set(&admin, "/", json!({ "envoys": ["db-*"] })).await.ok();
    let told = web.check_in().await;
    assert!(told.assignment.is_some() && paths(&told).is_empty(), "its hand drops what it held: {told:?}");
    assert_eq!(admin.delete("/api/v1/secret-policies/%2F").await.ok()["scope"], "/");
    assert_eq!(paths(&web.check_in().await), [TOKEN]);
    assert!(web.secrets(&[TOKEN]).await[0].2.is_ok());
}

#[tokio::test]
async fn policies_are_set_shown_and_removed_and_nonsense_is_refused() {
    let server = Vigosrv::new();
    let admin = server.admin();
    set(&admin, "/", json!({ "require": "weak" })).await.ok();
    set(&admin, "web/", json!({ "require_swap": "closed", "environments": ["production"] })).await.ok();
    set(&admin, "db/a", json!({ "labels": { "a": "b" } })).await.ok();
    let scopes = |list: &Value| -> Vec<String> {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["scope"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = admin.get("/api/v1/secret-policies").await.ok();
    assert_eq!(
        (scopes(&all), &all["intact"]),
        (vec!["/".into(), "db/a".into(), "web/".into()], &json!(true))
    );
    let holding = admin.get("/api/v1/secret-policies/web%2Ftoken").await.ok();
    assert_eq!(scopes(&holding), ["/", "web/"], "every one that holds for it");
    assert_eq!(holding["items"][0]["set_by"], "admin.token");
    for (scope, policy) in [
        ("web/", json!({})),
        ("web/", json!({ "require": "insecure" })),
        ("web/", json!({ "require": "good" })),
        ("web/", json!({ "require_swap": "open" })),
        ("web/", json!({ "envoys": ["a b"] })),
        ("web/", json!({ "labels": { "": "b" } })),
        ("web/", json!({ "environments": vec!["a"; 65] })),
    ] {
        assert_eq!(set(&admin, scope, policy.clone()).await.code(), "invalid", "{policy}");
    }
    assert_eq!(set(&admin, "..", json!({ "require": "weak" })).await.code(), "malformed");
    assert_eq!(admin.delete("/api/v1/secret-policies/web%2Ftoken").await.code(), "not-found");
    let server = server.killed_and_restarted();
    let all = server.admin().get("/api/v1/secret-policies").await.ok();
    assert_eq!((scopes(&all).len(), &all["intact"]), (3, &json!(true)));
    assert!(server.admin().audit().await.contains(&"admin.token secrets.policy web/ allowed".to_owned()));
}

#[tokio::test]
async fn policies_that_were_changed_past_the_server_give_no_secret_to_anybody() {
    for sql in [
        "UPDATE secret_policies SET require = 'weak'",
        "UPDATE secret_policies SET envoys = '[\"web-*\"]'",
        "DELETE FROM secret_policies",
        "INSERT INTO secret_policies VALUES ('db/', '', 0, '[\"production\"]', '[]', '{}', 'admin.token', 1)",
        "DROP TRIGGER the_secret_policy_set_stays; DELETE FROM secret_policy_set; DELETE FROM secret_policies",
    ] {
        let (server, admin, mut web) = served().await;
        set(&admin, TOKEN, json!({ "require": "secure" })).await.ok();
        web.says("insecure", "none");
        web.check_in().await;
        assert!(web.secrets(&[TOKEN]).await[0].2.is_err());
        Connection::open(server.data().join("store.db")).unwrap().execute_batch(sql).unwrap();
        let asked = web.secret_request(&[TOKEN]);
        assert_eq!(web.refused(Ask::Secrets(asked)).await, "untrusted-policy", "{sql}");
        assert_eq!(denials(&admin, &web).await, 2, "for another reason than before: {sql}");
        assert_eq!(admin.get("/api/v1/secret-policies").await.ok()["intact"], false, "{sql}");
        assert_eq!(set(&admin, "db/", json!({ "require": "weak" })).await.code(), "conflict", "{sql}");
    }
}

#[tokio::test]
async fn changed_policies_are_taken_as_they_are_only_when_an_operator_says_so() {
    let (server, admin, mut web) = served().await;
    set(&admin, TOKEN, json!({ "require": "secure" })).await.ok();
    web.says("weak", "none");
    web.check_in().await;
    let sql = "UPDATE secret_policies SET require = 'weak'";
    Connection::open(server.data().join("store.db")).unwrap().execute_batch(sql).unwrap();
    assert!(matches!(
        web.ask(Ask::Secrets(web.secret_request(&[TOKEN]))).await,
        vigo_wire::inner::Answer::Refused(_)
    ));
    let accepted = admin.send("POST", "/api/v1/secret-policies", "", "").await.ok();
    assert_eq!(accepted["accepted"], 1);
    web.check_in().await;
    assert_eq!(web.secrets(&[TOKEN]).await[0].2, Ok(b"one".to_vec()));
    assert_eq!(admin.send("POST", "/api/v1/secret-policies", "", "").await.ok()["accepted"], 0);
}

#[tokio::test]
async fn secrets_in_a_block_that_traits_choose_are_warned_of_and_refused_for_that_reason() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret(TOKEN, b"one").await.ok();
    let published = admin
        .publish(tree(&[
            ("envoys.vgo", "envoys:\n  - where: \"traits.os.family == 'debian'\"\n    configcrates: [site]\n"),
            (
                "configcrates/site.vgo",
                "configcrate: site\nresources:\n  - {type: file, target_path: /srv/a, content: \"secret:web/token\"}\n",
            ),
        ]))
        .await;
    assert_eq!(published["diagnostics"][0]["code"], "V088", "{published}");
    assert_eq!(published["new_secret_readers"], json!([]));
    let mut web = Envoy::enrolled(&server, "web-1").await;
    let family =
        vigo_wire::node::Node::map([("family".to_owned(), vigo_wire::node::Node::literal("debian"))]);
    let traits = vigo_wire::node::Node::map([("os".to_owned(), family)]);
    let request = vigo_wire::inner::CheckIn {
        traits_digest: vigo_base::Digest::of(&prost::Message::encode_to_vec(&traits)).as_bytes().to_vec(),
        traits: Some(traits),
        ..web.check_in_request()
    };
    web.ask(Ask::CheckIn(request)).await;
    web.check_in().await;
    let why = web.secrets(&[TOKEN]).await[0].2.clone().unwrap_err();
    assert!(why.contains("chosen by traits (envoys.vgo:2)"), "{why}");
}

#[tokio::test]
async fn where_a_secret_can_be_seen_is_joined_from_bundles_and_reports() {
    let (_server, admin, mut web) = served().await;
    web.says("weak", "plain");
    web.check_in().await;
    let exposed = |list: Value| -> Vec<Value> { list["items"].as_array().unwrap().clone() };
    let before = exposed(admin.get("/api/v1/exposure").await.ok());
    assert_eq!(before.len(), 1);
    assert_eq!(
        (&before[0]["name"], &before[0]["resource"], &before[0]["target"], &before[0]["way"]),
        (&json!("web-1"), &json!("site:token"), &json!("/srv/token"), &json!("file"))
    );
    assert_eq!((&before[0]["given_at"], &before[0]["reported_at"]), (&Value::Null, &Value::Null));
    web.secrets(&[TOKEN]).await;
    let said = |resource: &str, path: &str, way: &str| vigo_wire::inner::Exposure {
        resource: resource.into(),
        path: path.into(),
        version: 1,
        way: way.into(),
    };
    let report = vigo_wire::inner::Report {
        run: vec![7; 16],
        exposures: vec![
            said("site:token", TOKEN, "file_on_swap"),
            said("old:job", "old/key", "argv"),
            said("site:token", "../x", "file"),
            said("site:token", TOKEN, "nonsense"),
        ],
        ..vigo_wire::inner::Report::default()
    };
    web.ask(Ask::Report(report)).await;
    let after = exposed(admin.get("/api/v1/exposure?envoy=web-1").await.ok());
    let shown: Vec<_> =
        after.iter().map(|one| (&one["path"], &one["way"], &one["planned"], &one["version"])).collect();
    assert_eq!(
        shown,
        [
            (&json!(TOKEN), &json!("file_on_swap"), &json!(true), &json!(1)),
            (&json!("old/key"), &json!("argv"), &json!(false), &json!(1)),
        ]
    );
    assert!(after[0]["given_at"].is_string() && after[0]["reported_at"].is_string(), "{after:?}");
    assert_eq!((&after[0]["level"], &after[0]["swap"]), (&json!("weak"), &json!("plain")));
    assert_eq!(exposed(admin.get("/api/v1/exposure?path=old/key").await.ok()).len(), 1);
    assert!(exposed(admin.get("/api/v1/exposure?path=no/such").await.ok()).is_empty());
    let listed = admin.get("/api/v1/secrets").await.ok();
    assert!(listed["items"][0]["used_at"].is_string(), "{listed}");
}

#[tokio::test]
async fn envoys_are_listed_by_level_swap_and_state() {
    let server = Vigosrv::new();
    let admin = server.admin();
    for (name, level, swap) in
        [("a", "secure", "none"), ("b", "insecure", "plain"), ("c", "insecure", "zram")]
    {
        let mut envoy = Envoy::enrolled(&server, name).await;
        envoy.says(level, swap);
        envoy.check_in().await;
    }
    admin.send("POST", "/api/v1/envoys/c/revoke", "", "").await.ok();
    for (filter, wanted) in [
        ("level=insecure", vec!["b", "c"]),
        ("level=insecure&state=active", vec!["b"]),
        ("state=revoked", vec!["c"]),
        ("swap=none", vec!["a"]),
        ("level=weak", vec![]),
    ] {
        let list = admin.get(&format!("/api/v1/envoys?limit=1&{filter}")).await.ok();
        let mut names: Vec<String> = Vec::new();
        let mut page = list;
        loop {
            names.extend(
                page["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next"].as_str().map(|next| next.replace(' ', "%20")) else { break };
            page = admin.get(&format!("/api/v1/envoys?limit=1&{filter}&cursor={next}")).await.ok();
        }
        assert_eq!(names, wanted, "{filter}");
    }
}
