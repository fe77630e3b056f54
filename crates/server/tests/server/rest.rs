//! The table of routes, walked: who may, what is taken, what is answered when the answer is no.

use crate::support::Vigosrv;
use serde_json::json;
use vigo_server::rest::routes::{Access, ROUTES, Takes, Verb};

fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "GET",
        Verb::Put => "PUT",
        Verb::Post => "POST",
        Verb::Delete => "DELETE",
    }
}

fn filled(path: &str) -> String {
    path.replace("{path}", "web%2Ftoken")
        .replace("{version}", "1")
        .replace("{id}", "11")
        .replace("{envoy}", "web-1")
        .replace("{run}", "22")
        .replace("{scope}", "web%2F")
}

#[tokio::test]
async fn every_route_but_health_wants_a_token_and_the_right_one() {
    let server = Vigosrv::new();
    let (admin, nobody, wrong) = (server.admin(), server.nobody(), server.with_token("vigo-admin-00"));
    for route in ROUTES {
        let (method, path) = (method(route.verb), filled(route.path));
        let refused = |reply: &crate::support::Reply| (reply.status, reply.code());
        let bare = nobody.send(method, &path, "application/json", "").await;
        let forged = wrong.send(method, &path, "application/json", "").await;
        let permitted = admin.send(method, &path, "application/json", "").await;
        match route.access {
            Access::Open | Access::LoopbackOr(_) => {
                assert_eq!((bare.status, forged.status, permitted.status), (200, 200, 200), "{path}");
            }
            Access::Needs(permission) => {
                assert_eq!(refused(&bare), (401, "not-logged-in".into()), "{method} {path}");
                assert_eq!(refused(&forged), (401, "not-logged-in".into()), "{method} {path}");
                let may = permission.as_str() != "secrets.get";
                assert_eq!(permitted.status == 403, !may, "{method} {path}: {permitted:?}");
                assert_ne!(permitted.status, 401, "{method} {path}");
                assert!(permitted.status < 500, "{method} {path}: {permitted:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_a_route_does_not_take_is_refused_by_kind_and_size() {
    let server = Vigosrv::new();
    let admin = server.admin();
    for route in ROUTES
        .iter()
        .filter(|route| route.takes != Takes::Nothing && route.path != "/api/v1/secrets/{path}/get")
    {
        let (method, path) = (method(route.verb), filled(route.path));
        for kind in ["", "text/plain", "application/x-www-form-urlencoded"] {
            let refused = admin.send(method, &path, kind, "{}").await;
            assert_eq!((refused.status, refused.code().as_str()), (415, "media-type"), "{path} {kind}");
        }
        if route.takes != Takes::Tree {
            let large = vec![b' '; route.takes.limit() + 1];
            let refused = admin.send(method, &path, "application/json; charset=utf-8", large).await;
            assert_eq!((refused.status, refused.code().as_str()), (413, "too-large"), "{path}");
        }
    }
}

#[tokio::test]
async fn routes_and_methods_that_are_none_are_problems_too() {
    let server = Vigosrv::new();
    let admin = server.admin();
    assert_eq!(admin.get("/api/v1/nonsense").await.code(), "not-found");
    assert_eq!(admin.get("/").await.code(), "not-found");
    assert_eq!(admin.delete("/api/v1/status").await.code(), "method-not-allowed");
    assert_eq!(admin.get("/api/v1/envoys/nobody").await.code(), "not-found");
    assert_eq!(admin.get("/api/v1/runs/nonsense").await.code(), "not-found");
    assert_eq!(admin.get("/api/v1/runs?envoy=nobody").await.code(), "not-found");
    assert_eq!(admin.delete("/api/v1/tokens/xyz").await.code(), "not-found");
    assert_eq!(admin.get("/api/v1/config/versions/7/tree").await.code(), "not-found");
    assert_eq!(admin.get("/api/v1/audit?cursor=nonsense").await.code(), "malformed");
    assert_eq!(admin.get("/api/v1/secrets/..%2F..%2Fetc/history").await.code(), "malformed");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = Vigosrv::new();
    let admin = server.admin();
    for number in 0..5 {
        admin.set_secret(&format!("web/{number}"), b"x").await.ok();
    }
    admin.set_secret("db/0", b"x").await.ok();
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = admin.get(&format!("/api/v1/secrets?prefix=web/&limit=2&cursor={next}")).await.ok();
        assert_eq!(page["format"], 1);
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["path"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(cursor) => cursor.clone_into(&mut next),
            None => break,
        }
    }
    assert_eq!(seen, ["web/0", "web/1", "web/2", "web/3", "web/4"]);
}

#[tokio::test]
async fn the_numbers_have_no_label_that_names_somebody() {
    let server = Vigosrv::new();
    let admin = server.admin();
    crate::support::Envoy::enrolled(&server, "web-1").await.check_in().await;
    admin.get("/api/v1/envoys/web-1").await.ok();
    let metrics = server.nobody().get("/metrics").await;
    assert_eq!(metrics.kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(
        metrics.text.contains("vigo_envoy_requests_total{what=\"check-in\",outcome=\"done\"} 1"),
        "{}",
        metrics.text
    );
    assert!(metrics.text.contains("route=\"/api/v1/envoys/{envoy}\""), "{}", metrics.text);
    assert!(!metrics.text.contains("web-1"));
    assert_eq!(admin.get("/api/v1/envoys?name=web").await.ok()["items"][0]["name"], "web-1");
    let _ = json!({});
}
