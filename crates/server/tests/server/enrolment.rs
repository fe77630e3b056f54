//! Enrolment: who gets in, who does not, and what is spent.

use crate::support::{Candidate, Envoy, Outer, Vigosrv};
use serde_json::json;
use vigo_wire::inner::Ask;

#[tokio::test]
async fn a_token_is_good_for_its_uses_and_its_names() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let token = admin.token(json!({ "match": "web-*", "labels": { "site": "north" } })).await;
    assert_eq!(Candidate::new(&token, "db-1").refusal(&server).await, ("name-not-allowed".into(), true));
    let envoy = Candidate::new(&token, "web-1").enrol(&server).await;
    assert_eq!((envoy.enrolled.term, envoy.enrolled.generation), (1, 1));
    assert_eq!(Candidate::new(&token, "web-2").refusal(&server).await, ("spent-token".into(), true));
    let shown = admin.get("/api/v1/envoys/web-1").await.ok();
    assert_eq!(shown["id"], envoy.id().to_string());
    assert_eq!(shown["labels"]["site"], "north");
    assert_eq!(shown["state"], "active");
    assert_eq!(admin.get("/api/v1/status").await.ok()["envoys"], 1);
    let audit = admin.audit().await;
    let has = |end: &str| audit.iter().any(|line| line.starts_with("token:") && line.ends_with(end));
    assert!(has("envoys.enrol db-1 denied"), "{audit:?}");
    assert!(has("envoys.enrol web-1 allowed"), "{audit:?}");
    assert!(has("envoys.enrol web-2 denied"), "{audit:?}");
}

#[tokio::test]
async fn a_token_that_stood_on_a_command_line_is_for_a_single_use_within_an_hour() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let too_good = [json!({ "match": "*", "uses": 2 }), json!({ "match": "*", "ttl_seconds": 3601 })];
    for (number, too_good) in too_good.into_iter().enumerate() {
        let token = admin.token(too_good).await;
        assert_eq!(Candidate::seen(&token, "web-1").refusal(&server).await, ("token-exposed".into(), true));
        assert!(
            Candidate::new(&token, &format!("db-{number}")).ask(&server).await.is_ok(),
            "the same token from a file"
        );
    }
    let token = admin.token(json!({ "match": "*" })).await;
    assert!(Candidate::seen(&token, "web-3").ask(&server).await.is_ok());
}

#[tokio::test]
async fn a_token_that_is_unknown_wrong_or_expired_lets_nobody_in() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let token = admin.token(json!({ "match": ["web-1"] })).await;
    let mut parts: Vec<&str> = token.split('.').collect();
    let other_secret = "00".repeat(32);
    parts[2] = &other_secret;
    // Not the holder of the token: the answer is proven with the key that the server has, which is not the sender's.
    assert_eq!(
        Candidate::new(&parts.join("."), "web-1").refusal(&server).await,
        ("wrong-token".into(), false)
    );
    let other_id = "11".repeat(16);
    let mut parts: Vec<&str> = token.split('.').collect();
    parts[1] = &other_id;
    assert_eq!(
        Candidate::new(&parts.join("."), "web-1").refusal(&server).await,
        ("unknown-token".into(), false)
    );

    let listed = admin.get("/api/v1/tokens").await.ok();
    assert_eq!(listed["items"][0]["uses_left"], 1, "refusals spend nothing");
    assert!(!listed.to_string().contains(token.split('.').nth(2).unwrap()), "the secret is shown once");
    let id = listed["items"][0]["id"].as_str().unwrap();
    admin.delete(&format!("/api/v1/tokens/{id}")).await.ok();
    assert_eq!(Candidate::new(&token, "web-1").refusal(&server).await, ("unknown-token".into(), false));

    let short = admin.token(json!({ "match": "*", "ttl_seconds": 1 })).await;
    let candidate = Candidate::new(&short, "web-1");
    // The clock of the server is the one thing that cannot be set from outside: ask until it has passed, each time a use is not spent
    // because the name does not fit.
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_millis(2100) {
        admin.get("/healthz").await;
    }
    assert_eq!(candidate.refusal(&server).await, ("expired-token".into(), true));
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer_and_spends_one_use() {
    let server = Vigosrv::new();
    let token = server.admin().token(json!({ "match": "*" })).await;
    let candidate = Candidate::new(&token, "web-1");
    let first = Outer::new(&server, None).enrol(candidate.request.clone()).await.unwrap();
    let again = Outer::new(&server, None).enrol(candidate.request.clone()).await.unwrap();
    assert_eq!(first, again);
    let server = server.killed_and_restarted();
    let after = Outer::new(&server, None).enrol(candidate.request.clone()).await.unwrap();
    assert_eq!(first, after);
    let mut envoy = candidate.enrol(&server).await;
    envoy.check_in().await;
}

#[tokio::test]
async fn a_name_has_one_living_id() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let mut first = Envoy::enrolled(&server, "web-1").await;
    let token = admin.token(json!({ "match": "*", "uses": 5 })).await;
    let second = Candidate::new(&token, "web-1");
    let told = match second.ask(&server).await {
        Err(vigo_wire::WireError::Refused { code, message, proven: true }) if code == "name-taken" => message,
        other => panic!("{other:?}"),
    };
    assert!(told.contains("vigocli envoys revoke web-1") && told.contains("--replace"), "{told}");

    admin.send("POST", "/api/v1/envoys/web-1/revoke", "", "").await.ok();
    let second = second.enrol(&server).await;
    assert_ne!(second.id(), first.id());
    assert_eq!(first.refused(Ask::CheckIn(first.check_in_request())).await, "revoked");

    let replacing = admin.token(json!({ "match": "web-1", "replace": true })).await;
    let third = Candidate::new(&replacing, "web-1").enrol(&server).await;
    let mut second = second;
    assert_eq!(second.refused(Ask::CheckIn(second.check_in_request())).await, "revoked");
    assert_eq!(admin.get("/api/v1/envoys/web-1").await.ok()["id"], third.id().to_string());
    assert_eq!(admin.get("/api/v1/status").await.ok()["envoys"], 1);
}

#[tokio::test]
async fn tokens_that_make_no_sense_are_refused() {
    let server = Vigosrv::new();
    let admin = server.admin();
    for body in [
        json!({ "match": [] }),
        json!({ "match": "" }),
        json!({ "match": "a b" }),
        json!({ "match": "*", "uses": 0 }),
        json!({ "match": "*", "ttl_seconds": 0 }),
        json!({ "match": "*", "labels": { "": "x" } }),
    ] {
        assert_eq!(admin.post("/api/v1/tokens", &body).await.code(), "invalid", "{body}");
    }
    for body in [json!({}), json!({ "match": "*", "use": 1 }), json!({ "match": 1 })] {
        assert_eq!(admin.post("/api/v1/tokens", &body).await.code(), "malformed", "{body}");
    }
}
