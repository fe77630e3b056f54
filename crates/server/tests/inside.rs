//! What is easier reached from inside: handlers with whatever permissions a test wants, and envoys whose certificate is over its time.
//! A program of its own, because the hand is this program started again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use vigo_base::{EnvoyId, Sealed, SecretPath, SecretVersion, encode_hex};
use vigo_hand::{Role, StartOptions};
use vigo_secret::{KeyPair, SealBinding, SealPurpose, open, seal};
use vigo_server::auth::{Permission, Principal, Tokens};
use vigo_server::fleet::Member;
use vigo_server::folder::Folder;
use vigo_server::keys::Keys;
use vigo_server::master::{Keeping, Kept};
use vigo_server::rest::call::{Answer, Call};
use vigo_server::rest::routes::{ROUTES, Verb};
use vigo_server::state::Server;
use vigo_server::tls::Transport;
use vigo_server::transit::Transit;
use vigo_server::witness::Witness;
use vigo_server::{ca, clock, dispatch, plan};
use vigo_store::{Envoy, EnvoyState, NewEnvoy, Posture, SqliteStore, Store};
use vigo_sys::spawn::Spawner;
use vigo_wire::inner::{Answer as Inner, Ask, CheckIn, Renew, Reply, Request};

#[global_allocator]
static ALLOCATOR: vigo_sys::ProcessAllocator = vigo_sys::ProcessAllocator;

type Test = (&'static str, fn(&Arc<Server>));

const TESTS: &[Test] = &[
    ("a_value_leaves_sealed_to_the_operators_own_key_and_on_record", a_value_leaves_sealed),
    ("an_expired_certificate_may_renew_and_nothing_else", an_expired_certificate_may_renew),
    ("a_publisher_who_may_not_use_secrets_makes_nobody_a_new_reader", a_publisher_without_secrets),
    ("a_new_reference_needs_the_permission_before_there_is_an_envoy_for_it", a_reference_for_later),
];

fn main() -> ExitCode {
    if let Some(code) = vigo_hand::enter() {
        return code;
    }
    vigo_testkit::harness::run(TESTS, |test| {
        let home = tempfile::tempdir().unwrap();
        test(&Arc::new(start(&home.path().join("srv"))));
    })
}

fn start(path: &std::path::Path) -> Server {
    let folder = Folder::take(path).unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("store.db")).unwrap());
    let keys_folder = folder.keys().unwrap();
    let kept = Kept::new(keys_folder.clone(), Keeping::File, None, Transit::default());
    let options = StartOptions::new(Role::Server);
    let keys = Keys::open(Spawner::start().unwrap(), options, &*store, kept, &keys_folder).unwrap();
    let witness = Witness::new(&keys_folder, &*store).unwrap();
    let pem = ca::authority(&keys, clock::now()).unwrap();
    let authority = ca::read_authority(&pem, keys.anchor()).unwrap();
    Server::open(store, keys, witness, authority, Tokens::start().unwrap().0).unwrap()
}

fn call(principal: Principal, parameter: (&str, &str), body: &Value) -> Call {
    Call {
        principal,
        parameters: BTreeMap::from([(parameter.0.to_owned(), parameter.1.to_owned())]),
        query: BTreeMap::new(),
        body: body.to_string().into(),
    }
}

fn handler(verb: Verb, path: &str) -> vigo_server::rest::routes::Handler {
    ROUTES.iter().find(|route| route.verb == verb && route.path == path).unwrap().handler
}

fn json_of(answer: Answer) -> Value {
    match answer {
        Answer::Json(value) => value,
        Answer::Text(..) => panic!("no JSON"),
    }
}

fn set(server: &Server, path: &str, value: &[u8]) {
    let path: SecretPath = path.parse().unwrap();
    let binding = SealBinding {
        purpose: SealPurpose::Entry,
        party: &[0; 16],
        path: &path,
        version: SecretVersion(0),
        epoch: 0,
        request: &[0; 16],
    };
    let sealed = seal(server.keys.entry(), &binding, value).unwrap();
    let body = json!({
        "format": 1,
        "key_id": server.keys.entry_id(),
        "encapsulated": STANDARD.encode(&sealed.encapsulated),
        "ciphertext": STANDARD.encode(&sealed.ciphertext),
    });
    let operator = Principal::new("alice", &[Permission::SecretsSet]);
    let set = handler(Verb::Put, "/api/v1/secrets/{path}");
    set(server, &call(operator, ("path", path.as_str()), &body)).unwrap();
}

fn a_value_leaves_sealed(server: &Arc<Server>) {
    set(server, "web/token", b"hello");
    let (key, request) = (KeyPair::generate().unwrap(), [9; 16]);
    let body = json!({ "key": encode_hex(key.public()), "request": encode_hex(&request) });
    let operator = Principal::new("alice", &[Permission::SecretsGet]);
    let get = handler(Verb::Post, "/api/v1/secrets/{path}/get");
    let answer = json_of(get(server, &call(operator, ("path", "web/token"), &body)).unwrap());
    assert_eq!((&answer["version"], &answer["epoch"]), (&json!(1), &json!(0)));
    let bytes = |name: &str| STANDARD.decode(answer[name].as_str().unwrap()).unwrap();
    let sealed = Sealed { encapsulated: bytes("encapsulated"), ciphertext: bytes("ciphertext") };
    let binding = SealBinding {
        purpose: SealPurpose::Delivery,
        party: &[0; 16],
        path: &"web/token".parse().unwrap(),
        version: SecretVersion(1),
        epoch: 0,
        request: &request,
    };
    assert_eq!(open(&key, &binding, &sealed).unwrap().expose(), b"hello");
    let records = server.store.audit(vigo_store::Page::first(1)).unwrap().items;
    let entry = &records[0].entry;
    assert_eq!(
        (entry.actor.as_str(), entry.action.as_str(), entry.outcome.as_str()),
        ("alice", "secrets.get", "allowed")
    );
}

fn member() -> Member {
    let identity = NewEnvoy {
        id: EnvoyId::from_bytes(&[3; 16]).unwrap(),
        name: "web-1".parse().unwrap(),
        identity_key: [1; 32],
        session_key: [2; 32],
        labels: BTreeMap::new(),
        mac: vec![],
    };
    Member::new(Envoy {
        identity,
        state: EnvoyState::Active,
        enrolled_at: 1,
        environment: String::new(),
        last_seen: None,
        agent_version: String::new(),
        posture: Posture::default(),
        traits_digest: None,
        continuity: vec![],
        continuity_before: vec![],
        last_run: None,
    })
}

fn an_expired_certificate_may_renew(server: &Arc<Server>) {
    let member = Arc::new(member());
    let expired = Transport { envoy: member.id(), until: clock::now() - 60 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = |ask: Ask| -> String {
        let request = Request { ask: Some(ask) }.encode_to_vec();
        let reply = runtime.block_on(dispatch::answer(server, &member, expired, &request));
        match Reply::decode(reply.as_slice()).unwrap().answer.unwrap() {
            Inner::Refused(refused) => refused.code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(Ask::CheckIn(CheckIn::default())), "expired");
    // It came as far as the store, which does not know this envoy.
    assert_eq!(ask(Ask::Renew(Renew { request: vec![] })), "unknown-envoy");
}

fn a_publisher_without_secrets(server: &Arc<Server>) {
    set(server, "web/token", b"hello");
    let mut identity = member().identity;
    identity.mac = server.keys.mac(&identity.granting_bytes()).unwrap().to_vec();
    enrol(server, &identity);
    let file = |path: &str, content: &str| json!({ "path": path, "content": content });
    let tree = json!({ "files": [
        file("envoys.vgo", "envoys:\n  - match: \"*\"\n    configcrates: [site]\n"),
        file(
            "configcrates/site.vgo",
            "configcrate: site\nresources:\n  - name: token\n    type: file\n    target_path: /srv/token\n    content: \"secret:web/token\"\n",
        ),
    ] });
    let publish = handler(Verb::Post, "/api/v1/config/publish");
    let body = json!({ "message": "", "tree": tree });
    let half = Principal::new("bob", &[Permission::ConfigPublish]);
    let refused = publish(server, &call(half, ("", ""), &body)).unwrap_err();
    assert_eq!(refused.code(), vigo_server::problem::Code::NotPermitted);
    assert!(server.store.current_publish().unwrap().is_none());
    let whole = Principal::new("alice", &[Permission::ConfigPublish, Permission::SecretsUse]);
    publish(server, &call(whole, ("", ""), &body)).unwrap();
    let published = server.published();
    let plan = plan::between(server, &published, &published).unwrap();
    assert_eq!((plan.envoys, plan.new_readers.len()), (0, 0));
    let paths: BTreeSet<SecretPath> = server.secrets.snapshot().paths().cloned().collect();
    assert_eq!(paths.len(), 1);
}

fn a_reference_for_later(server: &Arc<Server>) {
    set(server, "web/token", b"hello");
    set(server, "web/other", b"hello");
    let tree = |content: &str, vars: &str| {
        let file = |path: &str, content: &str| json!({ "path": path, "content": content });
        let resource =
            format!("  - {{name: token, type: file, target_path: /srv/token, content: '{content}'}}");
        json!({ "message": "", "tree": { "files": [
            file("envoys.vgo", "envoys:\n  - match: \"*\"\n    configcrates: [site]\n"),
            file("configcrates/site.vgo", &format!("configcrate: site\nvars: {{{vars}}}\nresources:\n{resource}\n")),
        ] } })
    };
    let publish = handler(Verb::Post, "/api/v1/config/publish");
    let half = || Principal::new("bob", &[Permission::ConfigPublish]);
    let whole = || Principal::new("alice", &[Permission::ConfigPublish, Permission::SecretsUse]);
    let refused = |body: &Value| {
        let refused = publish(server, &call(half(), ("", ""), body)).map(json_of).unwrap_err();
        assert_eq!(refused.code(), vigo_server::problem::Code::NotPermitted, "{body}");
    };
    let literal = tree("secret:web/token", "");
    refused(&literal);
    publish(server, &call(whole(), ("", ""), &literal)).unwrap();
    publish(server, &call(half(), ("", ""), &tree("now secret:web/token", ""))).unwrap();
    let computed = |name: &str| tree("{{ secret(\"web/\" ~ vars.name) }}", &format!("name: {name}"));
    refused(&computed("token"));
    publish(server, &call(whole(), ("", ""), &computed("token"))).unwrap();
    publish(server, &call(half(), ("", ""), &computed("token"))).unwrap();
    refused(&computed("other"));
}

/// Stores an envoy as an enrolment would.
fn enrol(server: &Server, identity: &NewEnvoy) {
    let id = vigo_store::TokenId::from_bytes(&[5; 16]).unwrap();
    let now = clock::now();
    let mut token = vigo_store::Token {
        id: id.clone(),
        key: vec![1; 32],
        globs: vec!["*".into()],
        uses_left: 1,
        expires_at: now + 60,
        labels: BTreeMap::new(),
        replace: false,
        created_by: "test".into(),
        created_at: now,
        mac: vec![],
    };
    token.mac = server.keys.mac(&token.granting_bytes()).unwrap().to_vec();
    server.store.add_token(&token, &[]).unwrap();
    let enrolment = vigo_store::Enrolment {
        token: &id,
        request: vigo_base::Digest::of(b"request"),
        at: now,
        envoy: identity,
        assignment: None,
        answer: b"answer",
    };
    server.store.enrol(&enrolment, &[]).unwrap();
}
