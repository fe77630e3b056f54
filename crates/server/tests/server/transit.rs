//! The master key under a key of OpenBao, against a real one; and a service that means ill.

use crate::support::{Envoy, KeyService, OpenBao, Vigosrv, options, private_file, tree_with_secret};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use vigo_sys::arena::{self, Choice, Kind};
use vigo_testkit::memory::{Canary, look, processes_below};

const CANARY: &[u8] = b"canary-7a1b2c3d4e5f";
const PHRASE: &str = "seven words that nobody else would take";

/// Options, and what is to be done with them.
fn with<'a>(words: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [words, more].concat()
}

fn texts(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn command(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vigosrv"));
    command.env_clear().arg("--data-dir").arg(home.join("srv")).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ended(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

/// A command that ends by itself, as one that does not come to serve.
fn run(home: &Path, words: &[&str]) -> (Option<i32>, String) {
    ended(&command(home, words).output().unwrap())
}

fn done(home: &Path, words: &[&str]) {
    let (code, text) = run(home, words);
    assert_eq!(code, Some(0), "{words:?}: {text}");
}

fn refused(home: &Path, words: &[&str], part: &str) {
    let (code, text) = run(home, words);
    assert!(code == Some(2) && text.contains(part), "{words:?}: {code:?} {text}");
}

fn key_file(home: &Path) -> String {
    fs::read_to_string(home.join("srv/keys/master.key")).unwrap()
}

async fn reads_the_secret(server: &Vigosrv, envoy: &mut Envoy) {
    envoy.reconnect(server);
    envoy.forget_session();
    envoy.check_in().await;
    assert_eq!(envoy.secrets(&["web/token"]).await[0].2, Ok(CANARY.to_vec()));
}

#[tokio::test]
async fn a_master_key_that_openbao_wraps_opens_with_it_only() {
    let Some(bao) = OpenBao::start() else { return };
    let home = Arc::new(tempfile::tempdir().unwrap());
    let token = bao.token_file(home.path());
    let words = bao.options(&token);
    let words = texts(&words);
    let server = Vigosrv::with(Arc::clone(&home), &words);
    let admin = server.admin();
    admin.set_secret("web/token", CANARY).await.ok();
    admin.publish(tree_with_secret()).await;
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    let status = admin.get("/api/v1/status").await.ok();
    assert_eq!(status["master_key"], json!({"kept": "transit", "exported": false}));
    assert!(status["warnings"][0].as_str().unwrap().contains("vigosrv key export"), "{status}");
    assert!(key_file(home.path()).starts_with("vigo-master-key-transit 1 "));
    // A hand that ends is replaced by one that has the key unwrapped again.
    let hand =
        processes_below(server.process()).unwrap().into_iter().find(|process| *process != server.process());
    let hand = rustix::process::Pid::from_raw(i32::try_from(hand.unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(hand, rustix::process::Signal::KILL).unwrap();
    reads_the_secret(&server, &mut envoy).await;
    server.stop();

    // Sealed: the server waits, says so, and goes on by itself.
    bao.seal();
    let mut waited = 0;
    let server = Vigosrv::watched(Arc::clone(&home), &words, |line| {
        if line.contains("waits for the key service") && line.contains("is sealed") {
            waited += 1;
            bao.unseal();
        }
    });
    assert!(waited > 0, "it did not say that it waits");
    reads_the_secret(&server, &mut envoy).await;
    let (_, log) = server.stop();
    assert!(log.contains("kept=\"transit\"") || log.contains("kept=transit"), "{log}");

    // What no waiting mends ends at once, with what to do.
    let other = private_file(home.path(), "other", "s.notatokenofthisserver00");
    let serve = |words: &[String]| {
        let listen = ["--grpc-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"];
        run(home.path(), &[&listen, texts(words).as_slice()].concat())
    };
    let (code, text) = serve(&bao.options(&other));
    assert!(code == Some(2) && text.contains("refuses the token"), "{code:?} {text}");
    assert!(!text.contains("s.notatoken"), "{text}");
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (code, text) = serve(&bao.options(&other));
    assert!(code == Some(2) && text.contains("chmod 600"), "{code:?} {text}");
    let somebody = KeyService::start(home.path());
    let mut wrong = bao.options(&token);
    wrong[5].clone_from(&somebody.ca_file);
    let (code, text) = serve(&wrong);
    assert!(code == Some(2) && text.contains("certificate does not hold"), "{code:?} {text}");
    let (code, text) = serve(&words[..2].iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    assert!(code == Some(2) && text.contains("transit_address"), "{code:?} {text}");
    bao.call("POST", "transit/keys/vigo/config", &json!({"deletion_allowed": true}));
    bao.call("DELETE", "transit/keys/vigo", &json!({}));
    let (code, text) = serve(&bao.options(&token));
    assert!(code == Some(2) && text.contains("no key `vigo`"), "{code:?} {text}");
}

#[tokio::test]
async fn a_store_goes_under_a_key_of_openbao_and_back_and_its_key_can_be_rotated() {
    let Some(bao) = OpenBao::start() else { return };
    let home = Arc::new(tempfile::tempdir().unwrap());
    let server = Vigosrv::on(Arc::clone(&home));
    server.admin().set_secret("web/token", CANARY).await.ok();
    server.admin().publish(tree_with_secret()).await;
    let mut envoy = Envoy::enrolled(&server, "web-1").await;
    server.stop();

    let token = bao.token_file(home.path());
    let words = bao.options(&token);
    let words = texts(&words);
    // A service that takes the key and does not give it back, and one that is not there: all stays as it was.
    let before = key_file(home.path());
    let rules = "path \"transit/encrypt/vigo\" {\n capabilities = [\"update\"]\n}\n";
    bao.call("PUT", "sys/policies/acl/half", &json!({"policy": rules}));
    let half =
        bao.call("POST", "auth/token/create", &json!({"policies": ["half"], "no_default_policy": true}));
    let half = private_file(home.path(), "half", half["auth"]["client_token"].as_str().unwrap());
    let half = bao.options(&half);
    refused(home.path(), &[texts(&half).as_slice(), &["rekey"]].concat(), "refuses the token");
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = options(&format!("https://{nowhere}"), words[5], &token);
    let (code, text) = run(home.path(), &with(&texts(&nowhere), &["rekey"]));
    assert!(code == Some(1) && text.contains("cannot connect to the key service"), "{code:?} {text}");
    assert_eq!(key_file(home.path()), before);
    assert!(!home.path().join("srv/keys/master.key.next").exists());

    done(home.path(), &with(&words, &["rekey"]));
    assert!(key_file(home.path()).contains(" transit vigo vault:v1:"), "{}", key_file(home.path()));
    let server = Vigosrv::with(Arc::clone(&home), &words);
    reads_the_secret(&server, &mut envoy).await;
    server.stop();

    // The service's key is rotated: what it made still opens, and the next rekey is under the new one.
    bao.call("POST", "transit/keys/vigo/rotate", &json!({}));
    Vigosrv::with(Arc::clone(&home), &words).stop();
    done(home.path(), &with(&words, &["rekey"]));
    assert!(key_file(home.path()).contains(" transit vigo vault:v2:"), "{}", key_file(home.path()));
    bao.call("POST", "transit/keys/vigo/config", &json!({"min_decryption_version": 2}));
    let server = Vigosrv::with(Arc::clone(&home), &words);
    reads_the_secret(&server, &mut envoy).await;
    server.stop();

    let phrase = private_file(home.path(), "phrase", PHRASE);
    let exported = home.path().join("exported");
    done(
        home.path(),
        &with(&words, &["key", "export", exported.to_str().unwrap(), "--new-passphrase-file", &phrase]),
    );
    done(home.path(), &[&["--master-key", "file"], &words[2..], &["rekey"]].concat());
    assert!(key_file(home.path()).starts_with("vigo-master-key 1 "));
    drop(bao);
    let server = Vigosrv::on(home);
    reads_the_secret(&server, &mut envoy).await;
}

#[tokio::test]
async fn an_approle_logs_in_first() {
    let Some(bao) = OpenBao::start() else { return };
    let home = Arc::new(tempfile::tempdir().unwrap());
    let _policy = bao.token_file(home.path());
    bao.call("POST", "sys/auth/approle", &json!({"type": "approle"}));
    bao.call("POST", "auth/approle/role/vigo", &json!({"token_policies": ["vigo"], "token_num_uses": 1}));
    let role = bao.call("GET", "auth/approle/role/vigo/role-id", &json!({}));
    let secret = bao.call("POST", "auth/approle/role/vigo/secret-id", &json!({}));
    let secret = private_file(home.path(), "secret", secret["data"]["secret_id"].as_str().unwrap());
    let role = role["data"]["role_id"].as_str().unwrap();
    let words = bao.options(&secret);
    let server =
        Vigosrv::with(Arc::clone(&home), &[texts(&words).as_slice(), &["--transit-role-id", role]].concat());
    server.admin().set_secret("web/token", CANARY).await.ok();
    server.stop();
    let words = texts(&words);
    refused(
        home.path(),
        &[&words, &["--transit-role-id", "somebody-else", "rekey"][..]].concat(),
        "role id or the secret id",
    );
}

/// A home with a store that is kept in a file, and the options for a service that is the test's own.
fn at_a_service() -> (Arc<tempfile::TempDir>, KeyService, Vec<String>) {
    let home = Arc::new(tempfile::tempdir().unwrap());
    Vigosrv::on(Arc::clone(&home)).stop();
    let service = KeyService::start(home.path());
    let token = private_file(home.path(), "token", &format!("s.{}", "tokenof64bytes/".repeat(4)));
    let words = options(&format!("https://{}", service.address), &service.ca_file, &token);
    (home, service, words)
}

/// What the base64 of a field of a request's body says.
fn field(request: &str, name: &str) -> Vec<u8> {
    let body: serde_json::Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    STANDARD.decode(body[name].as_str().unwrap()).unwrap()
}

#[test]
fn what_a_service_answers_is_believed_only_if_it_is_the_key() {
    let (home, service, words) = at_a_service();
    let words = [texts(&words).as_slice(), &["rekey"]].concat();
    let before = key_file(home.path());
    let long = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(1 << 20));
    let other = format!("vigo-master-key 1 {} {}\n", "0".repeat(32), "0".repeat(64));
    let plain = |text: &str| json!({"data": {"plaintext": STANDARD.encode(text)}}).to_string();
    let ok = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let sealed = ok(r#"{"data":{"ciphertext":"vault:v1:AAAA"}}"#);
    for (answers, part) in [
        (vec![long], "more than 16 KiB"),
        (vec!["SSH-2.0-x\r\n\r\n".to_owned()], "it is no HTTP"),
        (vec![ok("{\"data\":")], "no JSON"),
        (vec![ok("{}")], "no ciphertext"),
        (vec![ok(r#"{"data":{"ciphertext":"vault:v1:AA AA"}}"#)], "vault:v1:BASE64"),
        (vec![ok(r#"{"data":{"ciphertext":"plain"}}"#)], "vault:v1:BASE64"),
        (vec![sealed.clone(), ok(r#"{"data":{"plaintext":"!"}}"#)], "no base64"),
        (vec![sealed.clone(), ok(&plain("hello"))], "does not start with"),
        (vec![sealed.clone(), ok(&plain(&other))], "does not belong to its id"),
    ] {
        let child = command(home.path(), &words).spawn().unwrap();
        for answer in &answers {
            service.asked();
            service.answer(answer);
        }
        let (code, text) = ended(&child.wait_with_output().unwrap());
        assert!(code == Some(2) && text.contains(part), "{part}: {code:?} {text}");
        assert_eq!(key_file(home.path()), before);
        assert!(!home.path().join("srv/keys/master.key.next").exists());
    }
    // Another key, whole and right in itself: that of another store.
    let (elsewhere, ..) = at_a_service();
    let child = command(home.path(), &words).spawn().unwrap();
    service.asked();
    service.answer(&sealed);
    service.asked();
    service.answer_json(&plain(&key_file(elsewhere.path())));
    let (code, text) = ended(&child.wait_with_output().unwrap());
    assert!(code == Some(2) && text.contains("another key than was wrapped"), "{code:?} {text}");
    // The control: what does what it should is taken.
    let child = command(home.path(), &words).spawn().unwrap();
    let request = service.asked();
    service.answer(&sealed);
    assert!(service.asked().contains("\"ciphertext\":\"vault:v1:AAAA\""));
    service.answer_json(
        &json!({"data": {"plaintext": STANDARD.encode(field(&request, "plaintext"))}}).to_string(),
    );
    let (code, text) = ended(&child.wait_with_output().unwrap());
    assert_eq!(code, Some(0), "{text}");
}

/// Where the bytes stand while the service has not answered yet: in the hand, and elsewhere; and whether the hand's pages are memfd_secret.
fn copies(child: &Child, canary: &Canary) -> (usize, Vec<String>, bool) {
    let (mut in_hand, mut elsewhere, mut is_secret) = (0, Vec::new(), false);
    for process in processes_below(child.id()).unwrap() {
        let arguments = fs::read(format!("/proc/{process}/cmdline")).unwrap();
        let scan = look(process, canary).unwrap();
        assert!(scan.read > 0, "nothing was read");
        if arguments.starts_with(b"vigo-hand") {
            in_hand += scan.hits.len();
            is_secret = scan.unreadable.iter().any(|mapping| mapping.contains("secretmem"));
        } else {
            elsewhere.extend(scan.hits.iter().map(|hit| format!("{hit:?}")));
        }
    }
    (in_hand, elsewhere, is_secret)
}

#[test]
fn key_and_token_on_their_way_to_a_key_service_are_in_the_pages_of_the_hand_alone() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: no process was scanned");
        return;
    }
    let (home, service, words) = at_a_service();
    for arena_kind in ["auto", "plain"] {
        let words = [&["--arena", arena_kind], texts(&words).as_slice(), &["rekey"]].concat();
        let child = command(home.path(), &words).spawn().unwrap();
        let request = service.asked();
        let token = request.lines().find_map(|line| line.strip_prefix("X-Vault-Token: ")).unwrap();
        let key = String::from_utf8(field(&request, "plaintext")).unwrap();
        let key = key.trim_end().rsplit(' ').next().unwrap().to_owned();
        for (name, text) in [("token", token), ("key", key.as_str())] {
            let (in_hand, elsewhere, is_secret) = copies(&child, &Canary::new(text.as_bytes()));
            assert!(elsewhere.is_empty(), "{name}, outside the hand: {elsewhere:#?}");
            if arena_kind == "plain" {
                assert!(in_hand > 0, "the control did not find the {name}");
            } else if arena::probe(Choice::Auto).0 == Kind::Secret {
                assert!(is_secret && in_hand == 0, "{name}: {in_hand} copies in pages that can be read");
            } else {
                println!("no memfd_secret pages here; what the hand holds in others was not held against it");
            }
        }
        service.answer_json(r#"{"data":{"ciphertext":"vault:v1:AAAA"}}"#);
        service.asked();
        service.answer_json("{}");
        assert!(!child.wait_with_output().unwrap().status.success());
    }
}
