//! Lists, single objects, tokens, the audit log.

use crate::harness::{Answer, Asked, Server};
use serde_json::{Value, json};

/// Ten envoys, three to a page.
fn envoys(asked: &Asked) -> Answer {
    let query = asked.path.split_once('?').unwrap().1;
    let value = |name: &str| {
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or("").to_owned()
    };
    let from: usize = value("cursor").replace("page%20", "").parse().unwrap_or(0);
    let count = value("limit").parse::<usize>().unwrap().min(3).min(10 - from);
    let item = |number| {
        json!({"name": format!("web-{number}"), "state": "active", "last_seen": "2026-11-23T10:00:00Z",
            "last_run": {"summary": {"changed": number}}})
    };
    let items: Vec<_> = (from..from + count).map(item).collect();
    let next = (from + count < 10).then(|| format!("page {}", from + count));
    Answer::Json(200, json!({"format": 1, "items": items, "next": next}))
}

#[test]
fn a_list_is_gathered_from_all_its_pages() {
    let server = Server::start(envoys);
    let ran = server.cli(&["envoys", "list", "--json"]);
    let list = ran.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 10);
    assert_eq!((&list["format"], &list["next"]), (&json!(1), &Value::Null));
    assert_eq!(server.asked().len(), 4);
    let ran = server.cli(&["envoys", "list"]);
    assert_eq!(ran.out.lines().count(), 11, "{}", ran.out);
    assert!(ran.out.starts_with("NAME"), "{}", ran.out);
}

#[test]
fn a_limit_ends_a_list_and_its_cursor_goes_on() {
    let server = Server::start(envoys);
    let list = server.cli(&["envoys", "list", "web-", "--json", "--limit", "4"]).json();
    assert_eq!(list["items"].as_array().unwrap().len(), 4);
    assert_eq!(list["next"], "page 4");
    assert!(server.asked()[0].path.contains("&name=web-"), "{:?}", server.asked());
    let list = server.cli(&["envoys", "list", "--json", "--cursor", "page 4"]).json();
    assert_eq!(list["items"][0]["name"], "web-4");
    let ran = server.cli(&["envoys", "list", "--limit", "4"]);
    assert!(ran.err.contains("--limit"), "{}", ran.err);
}

#[test]
fn one_envoy_is_shown_with_its_traits_and_one_run_with_its_resources() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/api/v1/envoys/web-1" => {
            Answer::Json(200, json!({"format": 1, "name": "web-1", "traits": {"os": {"family": "debian"}}}))
        }
        "/api/v1/runs/ab" => Answer::Json(
            200,
            json!({"format": 1, "run": "ab", "resources": [{"id": "site:conf", "outcome": "updated", "changes": ["mode"], "reason": "", "duration_ms": 3}]}),
        ),
        _ => Answer::Problem(404, json!({"detail": "there is no envoy `x/y`"})),
    });
    assert!(server.cli(&["envoys", "show", "web-1"]).out.contains("traits.os.family"));
    let ran = server.cli(&["runs", "show", "ab"]);
    assert!(ran.out.contains("site:conf  updated"), "{}", ran.out);
    let ran = server.cli(&["envoys", "show", "x/y"]);
    assert_eq!((ran.code, server.asked()[2].path.as_str()), (1, "/api/v1/envoys/x%2Fy"));
}

#[test]
fn revoking_and_removing_say_what_was_done() {
    let server = Server::start(|_| Answer::Json(200, json!({"format": 1})));
    assert_eq!(server.cli(&["envoys", "revoke", "web-1"]).out, "revoked web-1\n");
    assert_eq!(server.cli(&["envoys", "rm", "web-1"]).out, "removed web-1\n");
    assert_eq!(server.cli(&["token", "rm", "0a"]).out, "removed 0a\n");
    let asked: Vec<_> =
        server.asked().iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect();
    assert_eq!(
        asked,
        ["POST /api/v1/envoys/web-1/revoke", "DELETE /api/v1/envoys/web-1", "DELETE /api/v1/tokens/0a"]
    );
}

#[test]
fn a_token_is_printed_as_one_line_and_nothing_else() {
    let server = Server::start(|_| {
        Answer::Json(200, json!({"format": 1, "id": "0a", "token": "vigo-0a-ff", "expires_at": 1}))
    });
    let ran = server.cli(&["token", "create", "--match", "web-*", "--ttl", "2h", "--label", "tier=front"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "vigo-0a-ff\n", ""));
    assert_eq!(
        server.asked()[0].json(),
        json!({"match": ["web-*"], "ttl_seconds": 7200, "uses": 1, "labels": {"tier": "front"}, "replace": false})
    );
}

#[test]
fn a_broken_audit_chain_ends_with_five() {
    let server = Server::start(|_| {
        Answer::Json(200, json!({"format": 1, "intact": false, "records": 3, "head": "ff"}))
    });
    let ran = server.cli(&["audit", "verify"]);
    assert_eq!(ran.code, 5);
    assert!(ran.out.starts_with("BROKEN after 3"), "{}", ran.out);
    let server = Server::start(|_| {
        Answer::Json(200, json!({"format": 1, "intact": true, "records": 3, "head": "ff"}))
    });
    let ran = server.cli(&["audit", "verify", "--json"]);
    assert_eq!((ran.code, &ran.json()["records"]), (0, &json!(3)));
}
