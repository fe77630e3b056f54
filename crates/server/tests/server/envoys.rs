//! Check-in, assignment, bundle, report, renewal, revocation.

use crate::support::{Envoy, Outer, Vigosrv, plain_tree, tree};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;
use vigo_base::Digest;
use vigo_wire::inner::{Answer, Ask, BundleRequest, Posture, Renew, Report, ResourceReport};
use vigo_wire::node::{Kind, Node};
use vigo_wire::{check_bundle, verify_assignment};

#[tokio::test]
async fn an_envoy_is_given_an_assignment_once_and_a_new_one_when_something_changed_for_it() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    let first = envoy.check_in().await;
    assert!(first.assignment.is_some(), "before the first publish it is an empty one");
    assert_eq!(envoy.held, (1, 1));
    assert!(envoy.check_in().await.assignment.is_none());

    admin.publish(plain_tree("one")).await;
    assert!(envoy.check_in().await.assignment.is_some());
    assert_eq!(envoy.held, (1, 2));
    assert!(envoy.check_in().await.assignment.is_none());
    admin.publish(plain_tree("one")).await;
    assert!(envoy.check_in().await.assignment.is_none(), "nothing changed for it");

    // After a power cut: the same assignment, and the next one is newer.
    let server = server.killed_and_restarted();
    envoy.reconnect(&server);
    envoy.forget_session();
    assert!(envoy.check_in().await.assignment.is_none());
    server.admin().publish(plain_tree("two")).await;
    assert!(envoy.check_in().await.assignment.is_some());
    assert_eq!(envoy.held, (1, 3));
}

#[tokio::test]
async fn a_bundle_goes_to_those_it_is_assigned_to_and_to_nobody_else() {
    let server = Vigosrv::new();
    server
        .admin()
        .publish(tree(&[
            ("envoys.vgo", "envoys:\n  - match: \"web-*\"\n    environment: production\n    configcrates: [motd]\n"),
            ("environments.vgo", "environments:\n  production:\n    vars: {greeting: \"hello\"}\n"),
            (
                "configcrates/motd.vgo",
                "configcrate: motd\nresources:\n  - name: motd\n    type: file\n    target_path: /srv/motd\n    content: \"{{ vars.greeting }}\"\n",
            ),
        ]))
        .await;
    let mut web = Envoy::enrolled(&server, "web-1").await;
    let reply = web.check_in().await;
    let (signed, anchor, id) = (reply.assignment.unwrap(), web.enrolled.anchor, web.id());
    let verified = verify_assignment(&signed, &reply.keys, &anchor, &id, reply.server_time).unwrap();
    assert_eq!(verified.assignment().environment, "production");
    assert!(!verified.assignment().unmatched);
    let digest = *verified.bundle();
    let asked = BundleRequest { digest: digest.as_bytes().to_vec() };
    let Answer::Bundle(bundle) = web.ask(Ask::Bundle(asked.clone())).await else { panic!("no bundle") };
    let bundle = check_bundle(&bundle.bundle, &digest).unwrap();
    assert_eq!(bundle.resources.len(), 1);
    assert_eq!(bundle.resources[0].name, "motd");

    let mut other = Envoy::enrolled(&server, "db-1").await;
    let reply = other.check_in().await;
    let anchor = other.enrolled.anchor;
    let verified =
        verify_assignment(&reply.assignment.unwrap(), &reply.keys, &anchor, &other.id(), reply.server_time)
            .unwrap();
    assert!(verified.assignment().unmatched);
    assert_eq!(other.refused(Ask::Bundle(asked)).await, "stale-bundle");
    let nonsense = BundleRequest { digest: Digest::of(b"x").as_bytes().to_vec() };
    assert_eq!(other.refused(Ask::Bundle(nonsense)).await, "stale-bundle");
}

#[tokio::test]
async fn traits_posture_and_runs_are_shown_as_they_were_told() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    let mut check_in = envoy.check_in_request();
    let traits = Node::map([("os".into(), Node::map([("family".into(), Node::literal("debian"))]))]);
    check_in.traits_digest = Digest::of(b"those traits").as_bytes().to_vec();
    let posture = Posture { level: "weak".into(), reasons: vec!["no landlock".into()], swap: "zram".into() };
    check_in.posture = Some(posture.clone());
    let Answer::CheckIn(reply) = envoy.ask(Ask::CheckIn(check_in.clone())).await else { panic!() };
    assert!(reply.want_traits);
    check_in.traits = Some(traits);
    let Answer::CheckIn(reply) = envoy.ask(Ask::CheckIn(check_in.clone())).await else { panic!() };
    assert!(!reply.want_traits);
    let report = Report {
        run: vec![7; 16],
        started_at: 1_795_000_000,
        duration_ms: 12,
        resources: vec![
            ResourceReport {
                id: "motd:motd".into(),
                r#type: "file".into(),
                outcome: "created".into(),
                ..Default::default()
            },
            ResourceReport {
                id: "motd:x".into(),
                outcome: "failed".into(),
                reason: "no".into(),
                ..Default::default()
            },
        ],
        posture: Some(posture),
        ..Report::default()
    };
    for _ in 0..2 {
        assert!(matches!(envoy.ask(Ask::Report(report.clone())).await, Answer::Report(_)));
    }
    assert_eq!(envoy.refused(Ask::Report(Report { run: vec![1], ..report })).await, "malformed");

    let shown = admin.get("/api/v1/envoys/web-1").await.ok();
    assert_eq!(shown["traits"]["os"]["family"], "debian");
    assert_eq!((&shown["level"], &shown["swap"]), (&json!("weak"), &json!("zram")));
    assert_eq!(shown["reasons"][0], "no landlock");
    assert_eq!(shown["stale"], false);
    assert_eq!(shown["last_run"]["summary"]["changed"], 1);
    let runs = admin.get("/api/v1/runs?envoy=web-1").await.ok();
    assert_eq!(runs["items"].as_array().unwrap().len(), 1, "the same run sent again is the same run");
    assert_eq!(runs["items"][0]["name"], "web-1");
    assert_eq!(
        runs["items"][0]["summary"],
        json!({ "unchanged": 0, "changed": 1, "failed": 1, "blocked": 0, "skipped": 0 })
    );
    let run = runs["items"][0]["run"].as_str().unwrap();
    let run = admin.get(&format!("/api/v1/runs/{run}")).await.ok();
    assert_eq!(run["resources"][1]["reason"], "no");
    let _ = Kind::Boolean(true);
}

#[tokio::test]
async fn a_revoked_envoy_is_told_so_and_gets_nothing_until_it_is_removed_and_then_not_even_that() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    envoy.check_in().await;
    assert_eq!(admin.delete("/api/v1/envoys/web-1").await.code(), "conflict");
    admin.send("POST", "/api/v1/envoys/web-1/revoke", "", "").await.ok();
    let digest = vec![0; 32];
    assert_eq!(envoy.refused(Ask::CheckIn(envoy.check_in_request())).await, "revoked");
    assert_eq!(envoy.refused(Ask::Bundle(BundleRequest { digest })).await, "revoked");
    assert_eq!(envoy.refused(Ask::Secrets(envoy.secret_request(&["web/token"]))).await, "revoked");
    assert_eq!(envoy.refused(Ask::Report(Report { run: vec![1; 16], ..Report::default() })).await, "revoked");
    assert_eq!(envoy.refused(Ask::Renew(Renew { request: vec![] })).await, "revoked");

    let server = server.restarted();
    let admin = server.admin();
    envoy.reconnect(&server);
    envoy.forget_session();
    assert_eq!(envoy.refused(Ask::CheckIn(envoy.check_in_request())).await, "revoked");
    admin.delete("/api/v1/envoys/web-1").await.ok();
    envoy.forget_session();
    assert_eq!(envoy.handshake().await.unwrap_err().code(), tonic::Code::PermissionDenied);
    assert_eq!(admin.get("/api/v1/envoys/web-1").await.code(), "not-found");
    let audit = admin.audit().await;
    let denied = format!("envoy:{} check-in  denied", envoy.id());
    assert!(audit.contains(&denied), "{audit:?}");
}

#[tokio::test]
async fn a_renewed_certificate_is_for_the_new_key_and_the_same_envoy() {
    let server = Vigosrv::new();
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let request =
        CertificateParams::new(vec!["evil.example".into()]).unwrap().serialize_request(&key).unwrap();
    let Answer::Renew(reply) = envoy.ask(Ask::Renew(Renew { request: request.der().to_vec() })).await else {
        panic!()
    };
    envoy.certificate = (reply.chain, key.serialize_der());
    envoy.reconnect(&server);
    envoy.forget_session();
    envoy.check_in().await;
    assert_eq!(envoy.refused(Ask::Renew(Renew { request: b"garbage".to_vec() })).await, "malformed");
    let none = Outer::new(&server, None).exchange(&[1; 16], envoy.id().as_bytes(), vec![0; 48]).await;
    assert_eq!(none.unwrap_err().code(), tonic::Code::Unauthenticated);
}
