//! Publishing: checked, planned, stored, given to everybody, taken back.

use crate::support::{Envoy, Vigosrv, plain_tree, tree, tree_with_secret};
use serde_json::json;

#[tokio::test]
async fn a_wrong_tree_is_refused_with_every_place() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let wrong = tree(&[
        ("envoys.vgo", "envoys:\n  - match: \"*\"\n    configcrates: [nowhere]\n"),
        ("configcrates/a.vgo", "configcrate: a\nresources:\n  - type: fiel\n    target_path: /a\n"),
    ]);
    let report = admin.post("/api/v1/config/validate", &wrong).await.ok();
    let found = report["diagnostics"].as_array().unwrap().clone();
    assert!(found.len() >= 2, "{found:?}");
    assert!(found.iter().any(|one| one["file"] == "configcrates/a.vgo" && one["line"] == 3), "{found:?}");
    let refused = admin.post("/api/v1/config/publish", &json!({ "message": "", "tree": wrong })).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "invalid"));
    assert_eq!(refused.json()["diagnostics"], json!(found));
    assert!(admin.get("/api/v1/status").await.ok()["publish"].is_null());
    let planned = admin.post("/api/v1/config/plan", &wrong).await.ok();
    assert_eq!((planned["diagnostics"].clone(), planned["changes"].clone()), (json!(found), json!([])));
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_an_error_at_publish() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let refused = admin.post("/api/v1/config/publish", &json!({ "tree": tree_with_secret() })).await;
    assert_eq!(refused.code(), "invalid");
    assert_eq!(refused.json()["diagnostics"][0]["code"], "V080");
    admin.set_secret("web/token", b"x").await.ok();
    assert_eq!(admin.publish(tree_with_secret()).await["version"], 1);
}

#[tokio::test]
async fn what_vigo_itself_lives_on_is_managed_by_no_policy() {
    let server = Vigosrv::new();
    let admin = server.admin();
    for path in ["/etc/vigo/agent.yaml", "/var/lib/vigo/identity", "/run/vigo/control", "/usr/bin/vigo"] {
        let site =
            format!("configcrate: site\nresources:\n  - {{type: file, target_path: {path}, content: x}}\n");
        let tree = tree(&[
            ("envoys.vgo", "envoys:\n  - match: \"*\"\n    configcrates: [site]\n"),
            ("configcrates/site.vgo", &site),
        ]);
        let refused = admin.post("/api/v1/config/publish", &json!({ "tree": tree })).await;
        assert_eq!(refused.code(), "invalid", "{path}");
        assert_eq!(refused.json()["diagnostics"][0]["code"], "V085", "{path}");
    }
}

#[tokio::test]
async fn a_plan_says_who_changes_and_who_could_read_which_secret() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", b"x").await.ok();
    let (mut web, _db) = (Envoy::enrolled(&server, "web-1").await, Envoy::enrolled(&server, "db-1").await);
    let planned = admin.post("/api/v1/config/plan", &tree_with_secret()).await.ok();
    assert_eq!(planned["base"], 0);
    assert_eq!(planned["new_secret_readers"], json!([{ "envoy": "web-1", "secret": "web/token" }]));
    let change = &planned["changes"][0];
    assert_eq!((&change["envoys"], &change["added"]), (&json!(["web-1"]), &json!(["site:token"])));
    assert_eq!((&change["unmatched_before"], &change["unmatched_after"]), (&json!(true), &json!(false)));
    assert!(web.check_in().await.assignment.is_some());
    assert!(web.check_in().await.assignment.is_none(), "a plan changes nothing");

    let done = admin.publish(tree_with_secret()).await;
    assert_eq!(done["envoys_affected"], 1);
    let again = admin.post("/api/v1/config/plan", &tree_with_secret()).await.ok();
    assert_eq!((&again["changes"], &again["new_secret_readers"]), (&json!([]), &json!([])));
    assert_eq!(again["base"], 1);
}

#[tokio::test]
async fn a_change_is_told_by_resource_and_a_moved_line_is_none() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let _web = Envoy::enrolled(&server, "web-1").await;
    let of = |vars: &str, comment: &str, more: &str| {
        let site = format!(
            "configcrate: site\nresources:\n{comment}  - name: conf\n    type: file\n    target_path: /srv/conf\n    source: conf.j2\n  - name: other\n    type: file\n    target_path: /srv/other\n    content: \"x\"\n{more}"
        );
        tree(&[
            (
                "envoys.vgo",
                &format!("envoys:\n  - match: \"web-*\"\n    configcrates: [site]\n    vars: {vars}\n"),
            ),
            ("configcrates/site.vgo", &site),
            ("templates/conf.j2", "port {{ vars.port }}\n"),
        ])
    };
    admin.publish(of("{port: 1, base: 7}", "", "")).await;
    let plan = async |tree| admin.post("/api/v1/config/plan", &tree).await.ok()["changes"].clone();
    assert_eq!(plan(of("{port: 1, base: 7}", "  # moved\n", "")).await, json!([]));
    let changed = plan(of("{port: 2, base: 7}", "", "")).await;
    assert_eq!(changed[0]["changed"], json!(["site:conf"]));
    let indirect = plan(of("{port: \"{{ vars.base }}\", base: 7}", "", "")).await;
    assert_eq!(indirect[0]["changed"], json!(["site:conf"]));
    let more = "  - name: third\n    type: file\n    target_path: /srv/third\n    content: \"y\"\n";
    let added = plan(of("{port: 1, base: 7}", "", more)).await;
    assert_eq!((&added[0]["added"], &added[0]["changed"]), (&json!(["site:third"]), &json!([])));
}

#[tokio::test]
async fn versions_are_kept_and_an_old_one_comes_back_as_a_new_one() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    let git = json!({ "commit": "0123abcd", "dirty": true });
    let body = json!({ "message": "first", "base": 0, "git": git, "tree": plain_tree("one") });
    assert_eq!(admin.post("/api/v1/config/publish", &body).await.ok()["version"], 1);
    let first = envoy.check_in().await.assignment.unwrap();
    let late = json!({ "message": "late", "base": 0, "tree": plain_tree("two") });
    assert_eq!(admin.post("/api/v1/config/publish", &late).await.code(), "conflict");
    admin.publish(plain_tree("two")).await;
    envoy.check_in().await.assignment.unwrap();
    let back = admin.post("/api/v1/config/rollback", &json!({ "version": 1, "message": null })).await.ok();
    assert_eq!(back["version"], 3);
    let third = envoy.check_in().await.assignment.unwrap();
    let bundle = |signed: &vigo_wire::assignment::SignedAssignment| {
        let assignment: vigo_wire::assignment::Assignment =
            prost::Message::decode(signed.assignment.as_slice()).unwrap();
        assignment.bundle
    };
    assert_eq!(bundle(&first), bundle(&third), "a new generation with an old digest");
    let history = admin.get("/api/v1/config/history").await.ok();
    let versions: Vec<_> =
        history["items"].as_array().unwrap().iter().map(|one| one["version"].clone()).collect();
    assert_eq!(versions, [3, 2, 1]);
    assert_eq!(history["items"][2]["git"], git);
    assert_eq!(history["items"][0]["digest"], history["items"][2]["digest"]);
    assert_eq!(history["items"][0]["message"], "back to version 1");
    let mut files = admin.get("/api/v1/config/versions/2/tree").await.ok();
    files.as_object_mut().unwrap().remove("format");
    assert_eq!(admin.post("/api/v1/config/plan", &files).await.status, 200);
    assert_eq!(admin.post("/api/v1/config/rollback", &json!({ "version": 9 })).await.code(), "not-found");
    let audit = admin.audit().await;
    assert_eq!(audit.iter().filter(|line| line.contains("config.publish")).count(), 3, "{audit:?}");
}

#[tokio::test]
async fn trees_that_are_none_are_refused() {
    let server = Vigosrv::new();
    let admin = server.admin();
    for path in ["../x", "/etc/passwd", "a//b", ""] {
        let refused = admin.post("/api/v1/config/validate", &tree(&[(path, "")])).await;
        assert_eq!(refused.code(), "invalid", "{path}");
    }
    for body in [json!([]), json!({}), json!({ "files": [{ "path": "a" }] }), json!({ "files": [], "x": 1 })]
    {
        assert_eq!(admin.post("/api/v1/config/validate", &body).await.code(), "malformed", "{body}");
    }
}

#[tokio::test]
async fn what_an_envoy_says_of_itself_chooses_a_block_and_entitles_to_nothing() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", b"x").await.ok();
    admin
        .publish(tree(&[
            ("envoys.vgo", "envoys:\n  - where: traits.os.family == \"debian\"\n    configcrates: [site]\n"),
            (
                "configcrates/site.vgo",
                "configcrate: site\nresources:\n  - name: token\n    type: file\n    target_path: /srv/token\n    content: \"secret:web/token\"\n",
            ),
        ]))
        .await;
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    envoy.check_in().await;
    let empty = envoy.held;
    let mut check_in = envoy.check_in_request();
    let family = vigo_wire::node::Node::literal("debian");
    check_in.traits = Some(vigo_wire::node::Node::map([(
        "os".into(),
        vigo_wire::node::Node::map([("family".into(), family)]),
    )]));
    check_in.traits_digest = vec![1; 32];
    envoy.ask(vigo_wire::inner::Ask::CheckIn(check_in)).await;
    let reply = envoy.check_in().await;
    assert!(reply.assignment.is_some());
    assert!(envoy.held > empty, "the block fits now");
    assert!(reply.secrets.is_empty());
    assert!(envoy.secrets(&["web/token"]).await[0].2.is_err());
}
