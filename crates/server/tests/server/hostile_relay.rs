//! A worker that was taken, at the port for envoys, with a transport certificate that is good: what it sends is refused, does nothing, is on
//! record where a secret was asked for, and disturbs no session of another envoy.

use crate::support::{Candidate, Envoy, Outer, Vigosrv, tree_with_secret};
use prost::Message as _;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use vigo_wire::inner::{Answer, Ask, CheckIn, Report, Request};
use vigo_wire::node::Node;

/// Two envoys with a session each: the worker of the first is taken, the second is to notice nothing.
async fn two(server: &Vigosrv) -> (Envoy, Envoy) {
    let mut taken = Envoy::enrolled(server, "web-1").await;
    let mut other = Envoy::enrolled(server, "web-2").await;
    taken.check_in().await;
    other.check_in().await;
    (taken, other)
}

/// The session that it has still works: nothing is made anew.
async fn is_undisturbed(envoy: &mut Envoy) {
    let request = Ask::CheckIn(envoy.check_in_request());
    assert!(matches!(envoy.try_ask(request).await, Ok(Answer::CheckIn(_))));
}

fn invented() -> Ask {
    Ask::CheckIn(CheckIn {
        traits: Some(Node::map([("role".to_owned(), Node::literal("database"))])),
        traits_digest: vec![1; 32],
        ..CheckIn::default()
    })
}

async fn shown(server: &Vigosrv, name: &str) -> Value {
    server.admin().get(&format!("/api/v1/envoys/{name}")).await.ok()
}

#[tokio::test]
async fn a_frame_that_is_no_frame_of_the_session_ends_that_session_and_no_other() {
    let server = Vigosrv::new();
    let (mut taken, mut other) = two(&server).await;
    let who = *taken.id().as_bytes();
    let changes: [fn(Vec<u8>) -> Vec<u8>; 8] = [
        |_| Vec::new(),
        |sealed| sealed[..sealed.len() - 1].to_vec(),
        |sealed| sealed[1..].to_vec(),
        |sealed| [&sealed[..], &[0]].concat(),
        |sealed| sealed.repeat(2),
        |mut sealed| {
            sealed.reverse();
            sealed
        },
        |sealed| vec![0; sealed.len()],
        |_| Request { ask: Some(invented()) }.encode_to_vec(),
    ];
    for change in changes {
        taken.forget_session();
        let (session, sealed) = taken.seal(invented()).await;
        let refused = taken.outer.exchange(&session, &who, change(sealed.clone())).await;
        assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
        let late = taken.outer.exchange(&session, &who, sealed).await;
        assert_eq!(late.unwrap_err().code(), Code::FailedPrecondition, "its session is over");
        is_undisturbed(&mut other).await;
    }
    assert!(shown(&server, "web-1").await["traits"]["role"].is_null(), "invented traits were taken");
    // The control: said inside, they are.
    taken.forget_session();
    taken.ask(invented()).await;
    assert_eq!(shown(&server, "web-1").await["traits"]["role"], "database");
}

#[tokio::test]
async fn requests_in_another_order_are_not_done() {
    let server = Vigosrv::new();
    let (mut taken, mut other) = two(&server).await;
    let who = *taken.id().as_bytes();
    let report = Ask::Report(Report { run: vec![7; 16], started_at: 1_795_000_000, ..Report::default() });
    let (session, first) = taken.seal(invented()).await;
    let (_, second) = taken.seal(report.clone()).await;
    for frame in [second, first] {
        let refused = taken.outer.exchange(&session, &who, frame).await;
        assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    }
    let runs =
        async || server.admin().get("/api/v1/runs?envoy=web-1").await.ok()["items"].as_array().unwrap().len();
    assert!(shown(&server, "web-1").await["traits"]["role"].is_null());
    assert_eq!(runs().await, 0);
    is_undisturbed(&mut other).await;
    taken.forget_session();
    taken.ask(report).await;
    assert_eq!(runs().await, 1, "the control: in order, it is done");
}

#[tokio::test]
async fn frames_kept_from_an_earlier_session_are_not_done() {
    let server = Vigosrv::new();
    let (mut taken, mut other) = two(&server).await;
    let who = *taken.id().as_bytes();
    taken.forget_session();
    let report = |run: u8| Ask::Report(Report { run: vec![run; 16], started_at: 1, ..Report::default() });
    let (old, first) = taken.seal(report(1)).await;
    let reply = taken.outer.exchange(&old, &who, first.clone()).await.unwrap();
    taken.open(&reply);
    taken.forget_session();
    let (new, _) = taken.seal(report(2)).await;
    for session in [old, new, [9; 16]] {
        let refused = taken.outer.exchange(&session, &who, first.clone()).await;
        assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    }
    let runs = server.admin().get("/api/v1/runs?envoy=web-1").await.ok();
    assert_eq!(runs["items"].as_array().unwrap().len(), 1);
    is_undisturbed(&mut other).await;
}

#[tokio::test]
async fn nothing_under_the_session_or_the_id_of_another_envoy_touches_it() {
    let server = Vigosrv::new();
    let (mut taken, mut other) = two(&server).await;
    let (mine, its) = (*taken.id().as_bytes(), *other.id().as_bytes());
    let (session, sealed) = other.seal(Ask::CheckIn(other.check_in_request())).await;
    let payloads = [
        sealed.clone(),
        Vec::new(),
        vec![0; 48],
        vec![0xff; 500],
        taken.first_message(),
        other.first_message(),
        Request { ask: Some(invented()) }.encode_to_vec(),
    ];
    for payload in payloads {
        let as_it = taken.outer.exchange(&session, &its, payload.clone()).await;
        assert_eq!(as_it.unwrap_err().code(), Code::PermissionDenied, "the certificate is of another envoy");
        let as_itself = taken.outer.exchange(&session, &mine, payload).await;
        assert_eq!(as_itself.unwrap_err().code(), Code::FailedPrecondition, "the session is not its own");
    }
    // What the taken worker saw and sent first still is the next message of that session.
    let reply = other.outer.exchange(&session, &its, sealed).await.unwrap();
    assert!(matches!(other.open(&reply), Answer::CheckIn(_)));
    is_undisturbed(&mut other).await;
    is_undisturbed(&mut taken).await;
}

#[tokio::test]
async fn a_request_for_secrets_of_another_envoy_gives_nothing_and_names_nobody_else() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.set_secret("web/token", b"one").await.ok();
    admin.publish(tree_with_secret()).await;
    let mut entitled = Envoy::enrolled(&server, "web-1").await;
    let mut taken = Envoy::enrolled(&server, "db-1").await;
    entitled.check_in().await;
    taken.check_in().await;
    let (session, sealed) = entitled.seal(Ask::Secrets(entitled.secret_request(&["web/token"]))).await;
    let (mine, its) = (*taken.id().as_bytes(), *entitled.id().as_bytes());
    for (session, envoy) in [(session, its), (session, mine), ([9; 16], mine)] {
        assert!(taken.outer.exchange(&session, &envoy, sealed.clone()).await.is_err());
    }
    let about = async || -> Vec<String> {
        let audit = server.admin().audit().await;
        audit.into_iter().filter(|line| line.contains("secrets.resolve")).collect()
    };
    assert!(about().await.is_empty(), "what was never opened is no request of anybody");

    // In its own name it may ask, and that stands on record.
    let items = taken.secrets(&["web/token"]).await;
    assert!(items[0].2.is_err());
    let denied = format!("envoy:{} secrets.resolve web/token denied", taken.id());
    assert_eq!(about().await, std::slice::from_ref(&denied));

    let reply = entitled.outer.exchange(&session, &its, sealed.clone()).await.unwrap();
    assert!(matches!(entitled.open(&reply), Answer::Secrets(_)));
    let allowed = format!("envoy:{} secrets.resolve web/token allowed", entitled.id());
    assert_eq!(about().await, [denied.clone(), allowed.clone()]);
    // By its own worker a second time: not done, not on record as done.
    assert!(entitled.outer.exchange(&session, &its, sealed).await.is_err());
    assert_eq!(about().await, [denied, allowed]);
}

#[tokio::test]
async fn an_envoy_that_asks_for_everything_at_once_keeps_nobody_else_out() {
    let server = Vigosrv::new();
    let (mut taken, mut other) = two(&server).await;
    let who = *taken.id().as_bytes();
    let mut waves = Vec::new();
    for connection in 0..4_u8 {
        let first = taken.first_message();
        let certificate = taken.certificate.clone();
        for number in 0..16_u8 {
            let mut outer = Outer::new(&server, Some(certificate.clone()));
            let payload = if number % 2 == 0 { first.clone() } else { vec![number; 40_000] };
            waves.push(tokio::spawn(async move {
                outer.exchange(&[connection * 16 + number; 16], &who, payload).await.is_ok()
            }));
        }
    }
    for _ in 0..5 {
        is_undisturbed(&mut other).await;
    }
    let token = server.admin().token(json!({ "match": "web-3" })).await;
    Candidate::new(&token, "web-3").enrol(&server).await.check_in().await;
    for wave in waves {
        let _begun_or_refused = wave.await.unwrap();
    }
    is_undisturbed(&mut other).await;
    // Its own session was proven: handshakes do not push it out.
    is_undisturbed(&mut taken).await;
}

/// The first byte that the server sends, HTTP/2's settings, shows that a connection is served.
async fn connected(server: &Vigosrv, envoy: &Envoy) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(server.grpc).await.unwrap();
    let tls = Outer::tls(server, Some(envoy.certificate.clone()));
    let mut stream = tls.connect(ServerName::from(server.grpc.ip()), stream).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    stream.read_exact(&mut [0; 1]).await.unwrap();
    stream
}

#[tokio::test]
async fn an_envoy_that_opens_ever_more_connections_loses_its_own_oldest() {
    let server = Vigosrv::new();
    let (taken, mut other) = two(&server).await;
    let mut oldest = connected(&server, &taken).await;
    let mut newer = Vec::new();
    for _ in 0..8 {
        newer.push(connected(&server, &taken).await);
    }
    // Ended by the server: what is still to be read ends, too.
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), oldest.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "its oldest connection is still open");
    is_undisturbed(&mut other).await;
    // The control: the newest is served; a ping is answered.
    let newest = newer.last_mut().unwrap();
    newest.write_all(b"\0\0\x08\x06\0\0\0\0\0vigovigo").await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(8).any(|window| window == b"vigovigo") {
        let mut byte = [0];
        newest.read_exact(&mut byte).await.unwrap();
        seen.push(byte[0]);
    }
}
