//! What the cases store.

use std::collections::BTreeMap;
use vigo_base::{Digest, EnvoyId, SecretPath};
use vigo_store::{
    Deployment, Enrolled, Enrolment, NewAudit, NewBundle, NewEnvoy, NewPublish, NewSecret, ServerKey, Store,
    StoredAssignment, Token, TokenId,
};
use vigo_wire::inner::{Report, ResourceReport};

pub fn deployment() -> Deployment {
    Deployment { anchor: [7; 32], master_key: [8; 16], term: 1, founded_at: 100 }
}

pub fn key(purpose: &str, number: u8, created_at: u64) -> ServerKey {
    ServerKey {
        purpose: purpose.into(),
        public: vec![number; 32],
        wrapped: vec![number, 1, 2, 3],
        certificate: vec![number, 9],
        created_at,
        retired_at: None,
    }
}

pub fn entry(object: &str) -> NewAudit {
    NewAudit {
        at_ms: 1_000,
        actor: "admin".into(),
        action: "test".into(),
        object: object.into(),
        outcome: "allowed".into(),
        detail: String::new(),
    }
}

pub fn publish<'a>(message: &'a str, tree: &'a [u8], bundles: &'a [NewBundle<'a>]) -> NewPublish<'a> {
    NewPublish { base: None, at: 5, by: "admin", message, git: None, tree, index: b"index", bundles }
}

pub fn bundle(bytes: &[u8]) -> NewBundle<'_> {
    NewBundle { digest: Digest::of(bytes), bytes }
}

pub fn token(number: u8, uses_left: u32) -> Token {
    Token {
        id: TokenId::from_bytes(&[number; 16]).unwrap(),
        key: vec![number; 32],
        globs: vec!["web-*".into(), "db-\"1\"".into()],
        uses_left,
        expires_at: 1_000,
        labels: BTreeMap::from([("tier".to_owned(), "front".to_owned())]),
        replace: false,
        created_by: "admin".into(),
        created_at: 10,
        mac: vec![4; 32],
    }
}

pub fn envoy(name: &str, number: u8) -> NewEnvoy {
    NewEnvoy {
        id: id(number),
        name: name.parse().unwrap(),
        identity_key: [number; 32],
        session_key: [number.wrapping_add(1); 32],
        labels: BTreeMap::from([("tier".to_owned(), "front".to_owned())]),
        mac: vec![6; 32],
    }
}

pub fn id(number: u8) -> EnvoyId {
    EnvoyId::from_bytes(&[number; 16]).unwrap()
}

pub fn enrolment<'a>(token: &'a TokenId, request: &[u8], at: u64, envoy: &'a NewEnvoy) -> Enrolment<'a> {
    Enrolment { token, request: Digest::of(request), at, envoy, assignment: None, answer: b"welcome" }
}

/// Enrols `name` with a token of its own.
pub fn enrol(store: &dyn Store, name: &str, number: u8) -> EnvoyId {
    let token = token(number, 1);
    store.add_token(&token, &[]).unwrap();
    let envoy = envoy(name, number);
    let enrolled = store.enrol(&enrolment(&token.id, &[number], 20, &envoy), &[]).unwrap();
    assert_eq!(enrolled, Enrolled::New { replaced: None });
    envoy.id
}

pub fn assignment(envoy: EnvoyId, term: u64, generation: u64) -> StoredAssignment {
    StoredAssignment {
        envoy,
        term,
        generation,
        bundle: Digest::of(b"bundle"),
        publish: 1,
        secrets_epoch: 3,
        environment: "production".into(),
        issued_at: 30,
        bytes: vec![1, 2, 3],
    }
}

pub fn path(text: &str) -> SecretPath {
    text.parse().unwrap()
}

/// Stores the next version of a secret.
pub fn put(store: &dyn Store, text: &str, record: &[u8]) -> u64 {
    let path = path(text);
    let version = store.next_secret_version(&path).unwrap();
    store.put_secret(&NewSecret { path: &path, version, record, at: 50, by: "admin" }, &[]).unwrap()
}

pub fn report(run: u8, outcomes: &[&str]) -> Report {
    let resources = outcomes.iter().map(|outcome| ResourceReport {
        id: "site:conf".into(),
        r#type: "file".into(),
        outcome: (*outcome).into(),
        changes: vec!["content".into()],
        reason: String::new(),
        duration_ms: 1,
    });
    Report {
        run: vec![run; 16],
        started_at: 60 + u64::from(run),
        duration_ms: 12,
        generation: 2,
        publish: 1,
        resources: resources.collect(),
        ..Report::default()
    }
}
