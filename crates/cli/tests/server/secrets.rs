//! Secrets on their way to the server and back. The value is looked for in everything that was sent and printed.

use crate::harness::{Anchor, Answer, Asked, Server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use std::sync::Arc;
use vigo_base::{Sealed, SecretPath, SecretVersion, decode_hex, encode_hex};
use vigo_secret::{KeyPair, SealBinding, SealPurpose, open, seal};
use vigo_wire::sign::{CertifiedPurpose, SignContext, certificate_message, new_certificate, sign};

const VALUE: &[u8] = b"canary-6a1f0c2d9b7e4835";
const OPERATOR: [u8; 16] = [0; 16];

fn path() -> SecretPath {
    "web/upstream-token".parse().unwrap()
}

/// The answer to `GET /entry-key`, certified by `anchor` from now for as long as `until`.
fn entry_key(entry: &KeyPair, anchor: &SigningKey, purpose: CertifiedPurpose, until: u64) -> Value {
    let mut certificate = new_certificate(entry.public(), purpose, 0, until);
    let message = certificate_message(&certificate);
    certificate.signature = sign(SignContext::KeyCertificate, anchor, &message).unwrap().to_vec();
    json!({
        "format": 1,
        "key_id": "key-1",
        "key": encode_hex(entry.public()),
        "certificate": {
            "key": encode_hex(&certificate.key),
            "purpose": certificate.purpose,
            "not_before": certificate.not_before,
            "not_after": certificate.not_after,
            "signature": encode_hex(&certificate.signature),
        },
        "anchor": encode_hex(anchor.verifying_key().as_bytes()),
    })
}

fn server(answer_entry: Value) -> Server {
    server_of(Anchor::new(), answer_entry)
}

fn server_of(anchor: Anchor, answer_entry: Value) -> Server {
    let answer = move |asked: &Asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/api/v1/entry-key") => Answer::Json(200, answer_entry.clone()),
        ("PUT", "/api/v1/secrets/web%2Fupstream-token") => {
            Answer::Json(200, json!({"format": 1, "path": "web/upstream-token", "version": 3}))
        }
        _ => Answer::Problem(404, json!({"detail": "no such route"})),
    };
    Server::with_anchor(anchor, Box::new(answer))
}

/// What was put, opened with the entry key.
fn opened(asked: &Asked, entry: &KeyPair) -> Vec<u8> {
    opened_at(asked, entry, path().as_str())
}

/// What was put at that path, opened with the entry key.
pub fn opened_at(asked: &Asked, entry: &KeyPair, path: &str) -> Vec<u8> {
    let body = asked.json();
    assert_eq!((&body["format"], &body["key_id"]), (&json!(1), &json!("key-1")));
    let bytes = |name: &str| STANDARD.decode(body[name].as_str().unwrap()).unwrap();
    let sealed = Sealed { encapsulated: bytes("encapsulated"), ciphertext: bytes("ciphertext") };
    let binding = SealBinding {
        purpose: SealPurpose::Entry,
        party: &OPERATOR,
        path: &path.parse().unwrap(),
        version: SecretVersion(0),
        epoch: 0,
        request: &[0; 16],
    };
    open(entry, &binding, &sealed).unwrap().expose().to_vec()
}

/// A server with a right entry key that answers all else so.
pub fn right_with(answer: fn(&Asked) -> Answer) -> (Server, Arc<KeyPair>) {
    let (anchor, entry) = (Anchor::new(), Arc::new(KeyPair::generate().unwrap()));
    let key = entry_key(&entry, &anchor.signing_key(), CertifiedPurpose::Entry, u64::MAX);
    let all = move |asked: &Asked| match asked.path.as_str() {
        "/api/v1/entry-key" => Answer::Json(200, key.clone()),
        _ => answer(asked),
    };
    (Server::with_anchor(anchor, Box::new(all)), entry)
}

fn right() -> (Server, Arc<KeyPair>) {
    let (anchor, entry) = (Anchor::new(), Arc::new(KeyPair::generate().unwrap()));
    let answer = entry_key(&entry, &anchor.signing_key(), CertifiedPurpose::Entry, u64::MAX);
    (server_of(anchor, answer), entry)
}

#[test]
fn a_value_is_sealed_to_the_entry_key_and_stands_nowhere_else() {
    let (server, entry) = right();
    let ran = server.cli_with(&["secrets", "set", "web/upstream-token"], VALUE);
    assert_eq!((ran.code, ran.out.as_str()), (0, "set web/upstream-token v3\n"), "{}", ran.err);
    let asked = server.asked();
    assert_eq!((asked.len(), asked[1].kind.as_str()), (2, "application/json"));
    assert_eq!(opened(&asked[1], &entry), VALUE);
    let forms = [VALUE.to_vec(), STANDARD.encode(VALUE).into_bytes(), encode_hex(VALUE).into_bytes()];
    for form in &forms {
        let found = |text: &[u8]| text.windows(16).any(|window| form.windows(16).next() == Some(window));
        assert!(found(form), "the search must be able to find");
        assert!(asked.iter().all(|asked| !found(&asked.body) && !found(asked.path.as_bytes())));
        assert!(!found(ran.out.as_bytes()) && !found(ran.err.as_bytes()));
    }
}

#[test]
fn one_final_newline_of_a_single_line_is_dropped_and_said() {
    type Case = (&'static [&'static str], &'static [u8], &'static [u8], bool);
    let cases: [Case; 5] = [
        (&[], b"one line\n", b"one line", true),
        (&[], b"one line", b"one line", false),
        (&[], b"two\nlines\n", b"two\nlines\n", false),
        (&["--exact"], b"one line\n", b"one line\n", false),
        (&[], b"one line\r\n", b"one line\r", true),
    ];
    for (options, input, stored, said) in cases {
        let (server, entry) = right();
        let arguments = [&["secrets", "set", "web/upstream-token"], options].concat();
        let ran = server.cli_with(&arguments, input);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(opened(&server.asked()[1], &entry), stored);
        assert_eq!(ran.err.contains("newline was dropped"), said, "{}", ran.err);
    }
}

#[test]
fn an_empty_value_and_one_that_is_too_long_are_refused_and_nothing_is_put() {
    for input in [&b""[..], b"\n", &vec![b'x'; (64 << 10) + 1]] {
        let (server, _) = right();
        let ran = server.cli_with(&["secrets", "set", "web/upstream-token"], input);
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.starts_with("error: "), "{}", ran.err);
        assert!(server.asked().iter().all(|asked| asked.method != "PUT"));
    }
}

#[test]
fn a_key_that_the_anchor_did_not_certify_gets_no_value() {
    let entry = KeyPair::generate().unwrap();
    let (anchor, other) = (Anchor::new(), Anchor::new().signing_key());
    let own = anchor.signing_key();
    let mut swapped = entry_key(&entry, &own, CertifiedPurpose::Entry, u64::MAX);
    swapped["certificate"]["key"] = json!(encode_hex(KeyPair::generate().unwrap().public()));
    let mut without = entry_key(&entry, &own, CertifiedPurpose::Entry, u64::MAX);
    without["certificate"]["signature"] = json!("");
    let wrong = [
        entry_key(&entry, &other, CertifiedPurpose::Entry, u64::MAX),
        entry_key(&entry, &own, CertifiedPurpose::Session, u64::MAX),
        entry_key(&entry, &own, CertifiedPurpose::Entry, 1),
        swapped,
        without,
        json!({"format": 1}),
    ];
    let mut servers = vec![server_of(anchor, wrong[0].clone())];
    servers.extend(wrong.into_iter().skip(1).map(server));
    for server in servers {
        let ran = server.cli_with(&["secrets", "set", "web/upstream-token"], VALUE);
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains("cannot"), "{}", ran.err);
        assert_eq!(server.asked().len(), 1, "nothing was put");
    }
}

#[test]
fn a_value_comes_back_sealed_to_a_key_of_this_call_only() {
    let answer = |asked: &Asked| {
        let body = asked.json();
        let key: [u8; 32] = decode_hex(body["key"].as_str().unwrap()).unwrap().try_into().unwrap();
        let request: [u8; 16] = decode_hex(body["request"].as_str().unwrap()).unwrap().try_into().unwrap();
        let path = path();
        let binding = SealBinding {
            purpose: SealPurpose::Delivery,
            party: &OPERATOR,
            path: &path,
            version: SecretVersion(2),
            epoch: 0,
            request: &request,
        };
        let sealed = seal(&key, &binding, VALUE).unwrap();
        Answer::Json(
            200,
            json!({"format": 1, "path": "web/upstream-token", "version": 2, "epoch": 0,
                "encapsulated": STANDARD.encode(sealed.encapsulated), "ciphertext": STANDARD.encode(sealed.ciphertext)}),
        )
    };
    let server = Server::start(answer);
    let ran = server.cli(&["secrets", "get", "web/upstream-token", "--stdout"]);
    assert_eq!((ran.code, ran.out.as_bytes()), (0, VALUE), "{}", ran.err);
    let ran = server.cli(&["secrets", "get", "web/other", "--stdout"]);
    assert_ne!(ran.code, 0, "an answer for another path does not open");
    assert_eq!(ran.out, "");
    let keys: Vec<_> = server.asked().iter().map(|asked| asked.json()["key"].clone()).collect();
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn rotating_listing_and_removing_touch_no_value() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "GET" => Answer::Json(
            200,
            json!({"format": 1, "next": null, "items": [{"path": "web/token", "version": 2, "versions": 2, "updated_at": "2026-11-23T10:00:00Z", "updated_by": "admin"}]}),
        ),
        _ => Answer::Json(200, json!({"format": 1, "path": "web/token", "version": 3})),
    });
    let ran = server.cli(&["secrets", "rotate", "web/token", "--length", "20", "--alphabet", "abc"]);
    assert_eq!(ran.out, "rotated web/token v3\n");
    assert_eq!(server.asked()[0].json(), json!({"length": 20, "alphabet": "abc"}));
    assert!(server.cli(&["secrets", "list", "web/"]).out.contains("web/token  2"));
    assert_eq!(server.asked()[1].path, "/api/v1/secrets?limit=500&prefix=web%2F");
    assert_eq!(server.cli(&["secrets", "history", "web/token"]).code, 0);
    assert_eq!(server.asked()[2].path, "/api/v1/secrets/web%2Ftoken/history?limit=500");
    assert_eq!(server.cli(&["secrets", "rm", "web/token"]).out, "removed web/token\n");
}
