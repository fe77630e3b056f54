//! Check-ins that are held: answered when there is something new for this envoy, when the time is over, or when the server stops; and nobody else is woken.

use crate::support::{Envoy, Operator, Vigosrv, plain_tree, tree, tree_with_secret};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use vigo_wire::inner::{Answer, Ask, CheckIn, CheckInReply};

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A check-in on its way, and the envoy back with what came of it.
type Asked = JoinHandle<(Envoy, Answer)>;

fn hold(mut envoy: Envoy, hold_s: u32) -> Asked {
    tokio::spawn(async move {
        let answer = envoy.hold(hold_s).await;
        (envoy, answer)
    })
}

/// A number of the server's metrics.
async fn number(server: &Vigosrv, name: &str) -> u64 {
    let text = server.nobody().get("/metrics").await.text;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// Waits until so many are held.
async fn held(server: &Vigosrv, wanted: u64) {
    let deadline = Instant::now() + PATIENCE;
    while number(server, "vigo_held_check_ins").await != wanted {
        assert!(Instant::now() < deadline, "{wanted} are never held");
        tokio::task::yield_now().await;
    }
}

async fn answered(asked: Asked) -> (Envoy, Answer) {
    tokio::time::timeout(PATIENCE, asked).await.expect("no answer").unwrap()
}

fn reply(answer: &Answer) -> &CheckInReply {
    match answer {
        Answer::CheckIn(reply) => reply,
        other => panic!("no answer to a check-in: {other:?}"),
    }
}

/// An envoy that holds what is published.
async fn settled(server: &Vigosrv, name: &str) -> Envoy {
    let mut envoy = Envoy::enrolled(server, name).await;
    let traits = vigo_wire::node::Node::literal("traits");
    let digest = vigo_base::Digest::of(name.as_bytes());
    let mut first = envoy.check_in_request();
    first.traits = Some(traits);
    first.traits_digest = digest.as_bytes().to_vec();
    let answer = envoy.ask(Ask::CheckIn(first)).await;
    envoy.take(reply(&answer));
    envoy.traits_digest = digest.as_bytes().to_vec();
    envoy
}

async fn with_secret(server: &Vigosrv) -> Operator {
    let admin = server.admin();
    admin.set_secret("web/token", b"one").await.ok();
    admin.publish(tree_with_secret()).await;
    admin
}

#[tokio::test]
async fn a_rotation_answers_the_envoy_that_is_entitled_and_leaves_the_others_held() {
    let server = Vigosrv::new();
    let admin = with_secret(&server).await;
    let web = hold(settled(&server, "web-1").await, 200);
    let other = hold(settled(&server, "db-1").await, 200);
    held(&server, 2).await;

    admin.post("/api/v1/secrets/web/token/rotate", &json!({})).await.ok();
    let (mut web, answer) = answered(web).await;
    assert_eq!(reply(&answer).secrets[0].version, 2);
    web.take(reply(&answer));
    assert_eq!(web.secrets(&["web/token"]).await[0].1, 2);
    assert!(!other.is_finished());
    held(&server, 1).await;
    assert_eq!(number(&server, "vigo_woken_check_ins_total").await, 1);

    // One that nobody refers to wakes nobody; removed, it is news again for who referred to it.
    admin.set_secret("web/unused", b"one").await.ok();
    let web = hold(web, 200);
    held(&server, 2).await;
    admin.delete("/api/v1/secrets/web/token?force=true").await.ok();
    let (_, answer) = answered(web).await;
    assert_eq!(reply(&answer).secrets[0].version, 0);
    assert_eq!(number(&server, "vigo_woken_check_ins_total").await, 2);
    assert!(!other.is_finished());
}

#[tokio::test]
async fn a_publish_answers_whose_assignment_changed() {
    let server = Vigosrv::new();
    let admin = server.admin();
    let two = |first: &str, second: &str| {
        let configcrate = |name: &str, text: &str| {
            format!(
                "configcrate: {name}\nresources:\n  - type: file\n    target_path: /srv/{name}\n    content: \"{text}\"\n"
            )
        };
        let (first, second) = (configcrate("first", first), configcrate("second", second));
        let blocks = "envoys:\n  - match: \"web-*\"\n    configcrates: [first]\n  - match: \"*\"\n    configcrates: [second]\n";
        tree(&[
            ("envoys.vgo", blocks),
            ("configcrates/first.vgo", &first),
            ("configcrates/second.vgo", &second),
        ])
    };
    admin.publish(two("a", "b")).await;
    let web = hold(settled(&server, "web-1").await, 200);
    let other = hold(settled(&server, "db-1").await, 200);
    held(&server, 2).await;
    admin.publish(two("changed", "b")).await;
    let (_, answer) = answered(web).await;
    assert!(reply(&answer).assignment.is_some());
    assert!(!other.is_finished());
    assert_eq!(number(&server, "vigo_held_check_ins").await, 1);
    admin.publish(two("changed", "changed")).await;
    let (_, answer) = answered(other).await;
    assert!(reply(&answer).assignment.is_some());
}

#[tokio::test]
async fn what_an_envoy_does_not_hold_yet_is_told_at_once() {
    let server = Vigosrv::new();
    with_secret(&server).await;
    let envoy = settled(&server, "web-1").await;
    let admin = server.admin();
    admin.set_secret("web/token", b"two").await.ok();
    let (mut envoy, answer) = answered(hold(envoy, 200)).await;
    assert_eq!(reply(&answer).secrets[0].version, 2);
    // So is that the server lacks its traits.
    envoy.take(reply(&answer));
    envoy.traits_digest = vec![9; 32];
    let (_, answer) = answered(hold(envoy, 200)).await;
    assert!(reply(&answer).want_traits);
}

#[tokio::test]
async fn without_news_the_answer_comes_when_the_time_is_over() {
    let server = Vigosrv::new();
    with_secret(&server).await;
    let envoy = settled(&server, "web-1").await;
    let began = Instant::now();
    let (mut envoy, answer) = answered(hold(envoy, 1)).await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(reply(&answer).assignment, None);
    // The session goes on.
    assert!(envoy.check_in().await.assignment.is_none());
}

#[tokio::test]
async fn a_server_that_stops_or_revokes_answers_who_is_held() {
    let server = Vigosrv::new();
    let admin = with_secret(&server).await;
    let (web, other) = (settled(&server, "web-1").await, settled(&server, "db-1").await);
    let (web, other) = (hold(web, 200), hold(other, 200));
    held(&server, 2).await;
    admin.post("/api/v1/envoys/web-1/revoke", &json!({})).await.ok();
    let (_, answer) = answered(web).await;
    assert!(matches!(&answer, Answer::Refused(refused) if refused.code == "revoked"), "{answer:?}");
    let began = Instant::now();
    let (status, _) = server.stop();
    assert!(status.success());
    let (_, answer) = answered(other).await;
    assert!(matches!(&answer, Answer::Refused(refused) if refused.code == "busy"), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "it waited for who is held");
}

/// A relay of bytes that can swallow all of them from some moment on, without a word to either side.
async fn silencer(server: std::net::SocketAddr) -> (std::net::SocketAddr, tokio::sync::watch::Sender<bool>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (silent, silenced) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut silenced = silenced.clone();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    // Both stay open: nobody is told.
                    _ = async { silenced.wait_for(|silent| *silent).await.is_ok() } => std::future::pending().await,
                }
            });
        }
    });
    (address, silent)
}

#[tokio::test]
async fn the_place_of_an_envoy_that_went_away_without_a_word_is_given_back() {
    let home = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let settings = home.path().join("server.yaml");
    std::fs::write(&settings, "keep_alive: 1s\n").unwrap();
    let mut server = Vigosrv::with(home, &["--config", settings.to_str().unwrap()]);
    with_secret(&server).await;
    let lives = settled(&server, "web-1").await;
    let (near, silent) = silencer(server.grpc).await;
    let far = std::mem::replace(&mut server.grpc, near);
    let goes = settled(&server, "web-2").await;
    server.grpc = far;
    let (lives, goes) = (hold(lives, 200), hold(goes, 200));
    held(&server, 2).await;
    let began = Instant::now();
    silent.send_replace(true);
    held(&server, 1).await;
    println!("given back after {:?}", began.elapsed());
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?} where 1 s of silence is asked about",
        began.elapsed()
    );
    // One that lives answers whether it does, and stays.
    assert!(!lives.is_finished() && !goes.is_finished());
}

#[tokio::test]
async fn an_envoy_that_comes_again_replaces_its_older_check_in() {
    let server = Vigosrv::new();
    with_secret(&server).await;
    let mut envoy = settled(&server, "web-1").await;
    let again = envoy.twin(&server);
    let older = hold(again, 200);
    held(&server, 1).await;
    let newer = tokio::spawn(async move { envoy.hold(200).await });
    let (_, answer) = answered(older).await;
    assert!(matches!(&answer, Answer::Refused(refused) if refused.code == "busy"), "{answer:?}");
    held(&server, 1).await;
    assert!(!newer.is_finished());
}

/// The whole way for a hundred at once: TLS, session, check-in, each on a connection of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_are_held_and_a_publish_reaches_them_all() {
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.publish(plain_tree("one")).await;
    let mut all = Vec::new();
    for number in 0..100 {
        all.push(hold(settled(&server, &format!("web-{number}")).await, 200));
    }
    held(&server, 100).await;
    admin.publish(plain_tree("two")).await;
    let mut envoys = Vec::new();
    for asked in all {
        let (mut envoy, answer) = answered(asked).await;
        assert!(reply(&answer).assignment.is_some());
        envoy.take(reply(&answer));
        envoys.push(hold(envoy, 200));
    }
    held(&server, 100).await;
    assert_eq!(number(&server, "vigo_woken_check_ins_total").await, 100);
    // A publish that changes nothing for anybody wakes nobody.
    admin.publish(plain_tree("two")).await;
    assert_eq!(number(&server, "vigo_held_check_ins").await, 100);
    drop(envoys);
}

/// Transactions of the store since its start: reads, writes.
async fn store_work(server: &Vigosrv) -> (u64, u64) {
    (number(server, "vigo_store_reads_total").await, number(server, "vigo_store_writes_total").await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_in_without_news_costs_the_store_nothing_whether_it_is_held_or_not() {
    const ENVOYS: u64 = 50;
    const ROUNDS: u64 = 3;
    let server = Vigosrv::new();
    let admin = server.admin();
    admin.publish(plain_tree("one")).await;
    let mut all = Vec::new();
    for number in 0..ENVOYS {
        all.push(settled(&server, &format!("web-{number}")).await);
    }
    let began = Instant::now();
    let before = store_work(&server).await;
    for _ in 0..ROUNDS {
        let asked: Vec<Asked> = all.drain(..).map(|envoy| hold(envoy, 1)).collect();
        for one in asked {
            let (mut envoy, answer) = answered(one).await;
            assert!(reply(&answer).assignment.is_none() && !reply(&answer).want_traits);
            assert!(envoy.check_in().await.assignment.is_none());
            all.push(envoy);
        }
    }
    let after = store_work(&server).await;
    // Every two seconds the server looks for changes of others and writes what all check-ins since then said: together, in one transaction.
    let batches = began.elapsed().as_secs() / 2 + 2;
    let (reads, writes) = (after.0 - before.0, after.1 - before.1);
    println!(
        "{} check-ins in {batches} batches at most: {reads} reads, {writes} writes",
        2 * ENVOYS * ROUNDS
    );
    assert!(writes >= 1 && writes <= batches, "{writes} writes in {batches} batches");
    assert!(reads <= 8 * batches && reads < ENVOYS, "{reads} reads in {batches} batches");
    // The control: what does look and write is counted.
    admin.publish(plain_tree("two")).await;
    for envoy in &mut all {
        assert!(envoy.check_in().await.assignment.is_some());
    }
    let control = store_work(&server).await;
    assert!(control.1 - after.1 >= ENVOYS, "each gets an assignment of its own: {control:?} {after:?}");
}

#[tokio::test]
async fn a_policy_that_newly_refuses_or_allows_wakes_whom_it_concerns_and_nobody_else() {
    let server = Vigosrv::new();
    let admin = with_secret(&server).await;
    let path = "/api/v1/secret-policies/web%2Ftoken";
    let set = |body: serde_json::Value| {
        let admin = &admin;
        async move { admin.send("PUT", path, "application/json", body.to_string()).await.ok() }
    };
    let web = hold(settled(&server, "web-1").await, 200);
    let other = hold(settled(&server, "db-1").await, 200);
    held(&server, 2).await;
    // From now on it is refused: what its hand holds of it has no version any more.
    set(json!({ "envoys": ["app-*"] })).await;
    let (mut web, answer) = answered(web).await;
    assert!(reply(&answer).assignment.is_some());
    assert_eq!(reply(&answer).secrets, [], "a secret that is refused is not among those that it may keep");
    web.take(reply(&answer));
    assert!(web.secrets(&["web/token"]).await[0].2.is_err());
    let web = hold(web, 200);
    held(&server, 2).await;
    // A policy of secrets that it does not use is no news.
    let unused = "/api/v1/secret-policies/app%2F";
    admin.send("PUT", unused, "application/json", json!({ "require": "secure" }).to_string()).await.ok();
    // And it is allowed again, by another policy and then by none.
    set(json!({ "envoys": ["web-*"] })).await;
    let (mut web, answer) = answered(web).await;
    assert_eq!(reply(&answer).secrets[0].version, 1);
    web.take(reply(&answer));
    assert!(web.secrets(&["web/token"]).await[0].2.is_ok());
    let web = hold(web, 200);
    held(&server, 2).await;
    admin.delete(path).await.ok();
    let (_, answer) = answered(web).await;
    assert_eq!(reply(&answer).secrets[0].version, 1);
    assert_eq!(number(&server, "vigo_woken_check_ins_total").await, 3);
    assert!(!other.is_finished());
}

#[tokio::test]
async fn too_many_requests_of_one_envoy_are_told_to_wait_and_touch_no_other() {
    let server = Vigosrv::new();
    with_secret(&server).await;
    let mut greedy = settled(&server, "web-1").await;
    let mut other = settled(&server, "web-2").await;
    let mut refused = 0;
    for _ in 0..200 {
        let asked = greedy.secret_request(&["web/token"]);
        match greedy.ask(Ask::Secrets(asked)).await {
            Answer::Refused(no) => {
                assert_eq!(no.code, "too-many");
                assert!(no.message.contains("the next one in"), "{}", no.message);
                refused += 1;
            }
            Answer::Secrets(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=80).contains(&refused), "{refused} were refused");
    // It may still check in, and report; and others are served.
    greedy.check_in().await;
    let report = vigo_wire::inner::Report { run: vec![7; 16], ..vigo_wire::inner::Report::default() };
    assert!(matches!(greedy.ask(Ask::Report(report)).await, Answer::Report(_)));
    assert!(other.secrets(&["web/token"]).await[0].2.is_ok());
    let text = server.nobody().get("/metrics").await.text;
    assert!(text.contains("what=\"secrets\",outcome=\"too-many\""), "{text}");
}

#[tokio::test]
async fn a_stored_secret_that_does_not_open_is_refused_alone() {
    let server = Vigosrv::new();
    let admin = with_secret(&server).await;
    admin.set_secret("web/broken", b"two").await.ok();
    admin
        .publish(tree(&[
            ("envoys.vgo", "envoys:\n  - match: \"web-*\"\n    configcrates: [site]\n"),
            (
                "configcrates/site.vgo",
                "configcrate: site\nresources:\n  - type: file\n    target_path: /srv/token\n    content: \"secret:web/token\"\n  - type: file\n    target_path: /srv/broken\n    content: \"secret:web/broken\"\n",
            ),
        ]))
        .await;
    let store = rusqlite::Connection::open(server.data().join("store.db")).unwrap();
    let changed = store
        .execute("UPDATE secret_versions SET record = zeroblob(length(record)) WHERE path = 'web/broken'", [])
        .unwrap();
    assert_eq!(changed, 1);
    let mut web = settled(&server, "web-1").await;
    let items = web.secrets(&["web/broken", "web/token"]).await;
    assert_eq!(items[1].2, Ok(b"one".to_vec()));
    let why = items[0].2.clone().unwrap_err();
    assert!(why.contains("vigocli secrets set web/broken"), "{why}");
    let audit = server.admin().audit().await;
    let failed = format!("envoy:{} secrets.resolve web/broken failed", web.id());
    assert!(audit.contains(&failed), "{audit:?}");
}

/// A check-in that asks for more than may be is held for less; the bound itself is the same constant on both sides.
#[test]
fn no_check_in_is_held_beyond_the_life_of_its_session() {
    assert!(u64::from(vigo_wire::inner::HOLD_MOST_S) + 30 < vigo_wire::session::GRACE_S);
    assert_eq!(CheckIn::default().hold_s, 0, "who says nothing is answered at once");
}
