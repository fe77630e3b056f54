//! Policies of secrets, API tokens, exposure: what is asked of the server, what is printed, how it ends.

use crate::harness::{Answer, Server};
use serde_json::json;

#[test]
fn a_policy_is_set_as_it_was_written() {
    let server = Server::start(|_| Answer::Json(200, json!({"format": 1, "scope": "web/"})));
    let ran = server.cli(&[
        "secrets",
        "policy",
        "set",
        "web/",
        "--require",
        "secure",
        "--require-swap",
        "closed",
        "--allow-environment",
        "production",
        "test",
        "--allow-envoy",
        "web-*",
        "--allow-label",
        "tier=front",
    ]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "set the policy of web/\n"), "{}", ran.err);
    let asked = &server.asked()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("PUT", "/api/v1/secret-policies/web%2F"));
    assert_eq!(
        asked.json(),
        json!({
            "require": "secure", "require_swap": "closed", "environments": ["production", "test"],
            "envoys": ["web-*"], "labels": {"tier": "front"},
        })
    );
    assert_eq!(server.cli(&["secrets", "policy", "rm", "/"]).out, "removed the policy of /\n");
    assert_eq!(server.asked()[1].path, "/api/v1/secret-policies/%2F");
}

#[test]
fn policies_that_were_changed_past_the_server_end_with_five() {
    for (intact, code) in [(true, 0), (false, 5)] {
        let answer = json!({"format": 1, "items": [{"scope": "web/", "require": "weak"}], "next": null, "intact": intact});
        let server = Server::start(move |_| Answer::Json(200, answer.clone()));
        for words in [&["secrets", "policy", "list"][..], &["secrets", "policy", "show", "web/token"]] {
            let ran = server.cli(words);
            assert_eq!(ran.code, code, "{}", ran.err);
            assert!(
                ran.out.contains("web/") && ran.err.contains("changed past the server") != intact,
                "{}",
                ran.err
            );
        }
    }
}

#[test]
fn where_there_is_no_policy_it_is_said_what_that_means() {
    let answer = json!({"format": 1, "items": [], "next": null, "intact": true});
    let server = Server::start(move |_| Answer::Json(200, answer.clone()));
    let ran = server.cli(&["secrets", "policy", "show", "web/token"]);
    assert!(ran.code == 0 && ran.err.contains("no policy covers it"), "{}", ran.err);
}

#[test]
fn an_api_token_is_printed_alone_on_its_line() {
    let server = Server::start(|_| {
        Answer::Json(
            200,
            json!({"format": 1, "id": "ab", "token": "vigo-api-ab-cd", "expires_at": "2026-11-23T10:00:00Z"}),
        )
    });
    let ran = server.cli(&[
        "api-token",
        "create",
        "--user",
        "alice",
        "--permission",
        "secrets.get,secrets.list",
        "--paths",
        "web/",
        "--ttl",
        "1h",
    ]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "vigo-api-ab-cd\n"), "{}", ran.err);
    assert_eq!(
        server.asked()[0].json(),
        json!({"user": "alice", "permissions": ["secrets.get", "secrets.list"], "paths": ["web/"], "ttl_seconds": 3600})
    );
}

#[test]
fn exposure_and_envoys_are_asked_for_with_their_filters() {
    let server = Server::start(|_| Answer::Json(200, json!({"format": 1, "items": [], "next": null})));
    assert_eq!(server.cli(&["secrets", "exposure", "--envoy", "web-1", "--path", "web/token"]).code, 0);
    assert_eq!(
        server.cli(&["envoys", "list", "--level", "insecure", "--swap", "plain", "--state", "active"]).code,
        0
    );
    assert_eq!(server.cli(&["secrets", "rm", "web/token", "--force"]).code, 0);
    let paths: Vec<String> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(
        paths,
        [
            "/api/v1/exposure?limit=500&envoy=web-1&path=web%2Ftoken",
            "/api/v1/envoys?limit=500&level=insecure&swap=plain&state=active",
            "/api/v1/secrets/web%2Ftoken?force=true",
        ]
    );
}

#[test]
fn who_of_a_secret_that_there_is_not_ends_with_one() {
    let server = Server::start(|_| {
        Answer::Problem(
            404,
            json!({"status": 404, "code": "not-found", "detail": "there is no secret `no/such`", "help": "set it"}),
        )
    });
    let ran = server.cli(&["secrets", "who", "no/such"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("there is no secret `no/such`"), "{}", ran.err);
}
