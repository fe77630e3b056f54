//! A worker that was taken, and strangers: they can delay and deny, and nothing else.

use crate::support::{Candidate, Envoy, Outer, Vigosrv, tree_with_secret};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use vigo_wire::inner::{Answer, Ask, Report};

#[tokio::test]
async fn a_frame_that_is_replayed_or_changed_ends_the_session_and_does_nothing() {
    let server = Vigosrv::new();
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    let who = *envoy.id().as_bytes();
    let (session, sealed) = envoy.seal(Ask::CheckIn(envoy.check_in_request())).await;
    let reply = envoy.outer.exchange(&session, &who, sealed.clone()).await.unwrap();
    assert!(matches!(envoy.open(&reply), Answer::CheckIn(_)));
    let replayed = envoy.outer.exchange(&session, &who, sealed).await;
    assert_eq!(replayed.unwrap_err().code(), Code::FailedPrecondition);
    let after = envoy.try_ask(Ask::CheckIn(envoy.check_in_request())).await;
    assert_eq!(after.unwrap_err().code(), Code::FailedPrecondition, "the session is over");

    envoy.forget_session();
    let (session, mut sealed) = envoy.seal(Ask::CheckIn(envoy.check_in_request())).await;
    let last = sealed.len() - 1;
    sealed[last] ^= 1;
    let changed = envoy.outer.exchange(&session, &who, sealed).await;
    assert_eq!(changed.unwrap_err().code(), Code::FailedPrecondition);
    envoy.forget_session();
    envoy.check_in().await;
}

#[tokio::test]
async fn handshakes_that_are_replayed_do_not_touch_the_session_in_use() {
    let server = Vigosrv::new();
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    let who = *envoy.id().as_bytes();
    envoy.check_in().await;
    let first = envoy.first_message();
    for number in 0..20_u8 {
        envoy.outer.exchange(&[number; 16], &who, first.clone()).await.unwrap();
    }
    envoy.check_in().await;
}

#[tokio::test]
async fn the_certificate_of_one_envoy_opens_no_session_of_another() {
    let server = Vigosrv::new();
    let mut one = Envoy::enrolled(&server, "web-1").await;
    let mut other = Envoy::enrolled(&server, "web-2").await;
    let (session, sealed) = other.seal(Ask::CheckIn(other.check_in_request())).await;
    let (one_id, other_id) = (*one.id().as_bytes(), *other.id().as_bytes());
    let as_other = one.outer.exchange(&session, &other_id, sealed.clone()).await;
    assert_eq!(as_other.unwrap_err().code(), Code::PermissionDenied);
    let as_itself = one.outer.exchange(&session, &one_id, sealed).await;
    assert_eq!(as_itself.unwrap_err().code(), Code::FailedPrecondition);
    let handshake = one.outer.exchange(&[9; 16], &one_id, other.first_message()).await;
    assert_eq!(handshake.unwrap_err().code(), Code::PermissionDenied);
    // What was withheld costs a new session, no more.
    other.forget_session();
    other.check_in().await;
}

#[tokio::test]
async fn an_unknown_session_is_told_to_be_made_anew() {
    let server = Vigosrv::new();
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    envoy.check_in().await;
    let server = server.killed_and_restarted();
    envoy.reconnect(&server);
    let lost = envoy.try_ask(Ask::CheckIn(envoy.check_in_request())).await;
    assert_eq!(lost.unwrap_err().code(), Code::FailedPrecondition);
    // As long as a handshake's first message, and none: the same answer.
    envoy.forget_session();
    let (_, sealed) = envoy.seal_bytes(&[0; 26]).await;
    assert_eq!(sealed.len(), vigo_wire::session::HANDSHAKE);
    let who = *envoy.id().as_bytes();
    let lost = envoy.outer.exchange(&[5; 16], &who, sealed).await;
    assert_eq!(lost.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn garbage_is_refused_inside_and_outside_of_a_session() {
    let server = Vigosrv::new();
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    let who = *envoy.id().as_bytes();
    for bytes in [&b""[..], b"garbage", &[0xff; 3000]] {
        let (session, sealed) = envoy.seal_bytes(bytes).await;
        let reply = envoy.outer.exchange(&session, &who, sealed).await.unwrap();
        assert!(matches!(envoy.open(&reply), Answer::Refused(refused) if refused.code == "malformed"));
    }
    for (session, payload) in
        [(vec![1; 16], vec![0; 48]), (vec![1; 16], vec![]), (vec![1; 16], vec![7; 5000])]
    {
        assert!(envoy.outer.exchange(&session, &who, payload).await.is_err());
    }
    let short = envoy.outer.exchange(&[1; 15], &who, vec![0; 48]).await;
    assert_eq!(short.unwrap_err().code(), Code::InvalidArgument);
    let mut stranger = Outer::new(&server, None);
    for bytes in [vec![], b"garbage".to_vec(), vec![0xff; 40_000]] {
        let answer = stranger.enrol(bytes).await.unwrap();
        let reply: vigo_wire::enrol::EnrolReply = prost::Message::decode(answer.as_slice()).unwrap();
        assert!(
            matches!(reply.outcome, Some(vigo_wire::enrol::Outcome::Refused(refused)) if refused.code == "malformed")
        );
    }
    assert!(stranger.enrol(vec![0; 1 << 20]).await.is_err(), "larger than any enrolment");
    envoy.forget_session();
    envoy.check_in().await;
}

#[tokio::test]
async fn a_report_that_no_store_can_hold_is_refused_and_one_that_unfolds_is_not_even_decoded() {
    let server = Vigosrv::new();
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    let report = Report { run: vec![1; 16], ..Report::default() };
    let beyond = Report { started_at: u64::MAX, ..report.clone() };
    assert_eq!(envoy.refused(Ask::Report(beyond)).await, "malformed");
    let problems = vec![String::new(); 2_000_000];
    assert_eq!(envoy.refused(Ask::Report(Report { problems, ..report.clone() })).await, "too-large");
    assert!(matches!(envoy.ask(Ask::Report(report)).await, Answer::Report(_)));
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_no_certificate() {
    let server = Vigosrv::new();
    let other = Vigosrv::new();
    let stranger = Envoy::enrolled(&other, "web-1").await;
    let mut outer = Outer::new(&server, Some(stranger.certificate.clone()));
    let refused = outer.exchange(&[1; 16], stranger.id().as_bytes(), stranger.first_message()).await;
    // No answer of ours: the handshake of TLS already fails, and the library has several words for that.
    let code = refused.unwrap_err().code();
    assert!(matches!(code, Code::Unavailable | Code::Cancelled | Code::Unknown), "{code}");
}

#[tokio::test]
async fn ports_survive_what_is_no_tls_and_no_http() {
    let server = Vigosrv::new();
    for address in [server.grpc, server.api] {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00garbage", &[0; 5000]] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // The server may close as soon as it has seen enough: then the rest is not sent, which is fine.
            let _closed_early = stream.write_all(bytes).await;
            let _closed_early = stream.shutdown().await;
            let mut answer = Vec::new();
            let _reset = stream.read_to_end(&mut answer).await;
            assert!(!answer.starts_with(b"HTTP"));
        }
    }
    assert_eq!(server.admin().get("/healthz").await.status, 200);
    Envoy::enrolled(&server, "web-1").await.check_in().await;
}

#[tokio::test]
async fn a_row_that_was_written_past_the_server_grants_nothing() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", b"one").await.ok();
    admin.publish(tree_with_secret()).await;
    let mut stranger = Envoy::enrolled(&server, "db-1").await;
    stranger.check_in().await;
    let (data, _home) = (server.data(), server.keep_home());
    let database = data.join("store.db");
    let server = {
        let (home, _) = (server.keep_home(), server.stop());
        let connection = rusqlite::Connection::open(&database).unwrap();
        connection.execute("UPDATE envoys SET name = 'web-1'", []).unwrap();
        drop(connection);
        Vigosrv::on(home)
    };
    stranger.reconnect(&server);
    stranger.forget_session();
    assert_eq!(stranger.handshake().await.unwrap_err().code(), Code::Unavailable);
    let (_, log) = server.stop();
    assert!(log.contains("its MAC is wrong"), "{log}");
}

#[tokio::test]
async fn an_enrolment_token_that_was_changed_past_the_server_lets_nobody_in() {
    let server = Vigosrv::new();
    let admin = server.admin();
    // The first changes nothing that grants: the control.
    for (number, (change, is_good)) in [
        ("uses_left = 5", true),
        (r#"globs = '["*"]'"#, false),
        ("expires_at = expires_at + 1", false),
        ("replaces = 1", false),
        (r#"labels = '{"site":"north"}'"#, false),
    ]
    .into_iter()
    .enumerate()
    {
        let token = admin.token(json!({ "match": "web-*" })).await;
        let connection = rusqlite::Connection::open(server.data().join("store.db")).unwrap();
        assert!(connection.execute(&format!("UPDATE tokens SET {change}"), []).unwrap() > 0);
        drop(connection);
        let candidate = Candidate::new(&token, &format!("web-{number}"));
        let answer = Outer::new(&server, None).enrol(candidate.request.clone()).await;
        assert_eq!(answer.is_ok(), is_good, "{change}");
        let shown = admin.get(&format!("/api/v1/envoys/web-{number}")).await;
        assert_eq!(shown.status, if is_good { 200 } else { 404 }, "{change}");
    }
    let (_, log) = server.stop();
    assert!(log.contains("its MAC is wrong"), "{log}");
}
