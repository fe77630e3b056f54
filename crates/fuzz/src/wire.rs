//! What crosses the borders between agent, worker and server.

use crate::Target;
use prost::Message;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use vigo_base::{Digest, EnvoyId, limits};
use vigo_wire::assignment::{Assignment, SignedAssignment};
use vigo_wire::bundle::Bundle;
use vigo_wire::enrol::{self, Token, TokenKey};
use vigo_wire::generation::Standing;
use vigo_wire::identity::{ExchangeKey, Identity};
use vigo_wire::session::{HANDSHAKE, Initiator, SessionContext, respond};
use vigo_wire::{check_bundle, control, frame, inner, measure, outer, worker};

pub const TARGETS: &[Target] = &[
    Target { name: "inner_request", run: inner_request, seeds: || golden("inner.Request") },
    Target { name: "inner_reply", run: decodes::<inner::Reply>, seeds: || golden("inner.Reply") },
    Target { name: "outer_frame", run: decodes::<outer::Frame>, seeds: || golden("outer") },
    Target { name: "worker_request", run: decodes::<worker::WorkerRequest>, seeds: || golden("worker") },
    Target { name: "worker_answer", run: worker_answer, seeds: || golden("worker.WorkerAnswer") },
    Target {
        name: "control_request",
        run: |bytes| {
            let _refused = control::ControlRequest::read(bytes);
            decodes::<control::ControlRequest>(bytes);
        },
        seeds: || golden("control.ControlRequest"),
    },
    Target {
        name: "control_answer",
        run: |bytes| {
            let _refused = control::ControlAnswer::read(bytes);
            decodes::<control::ControlAnswer>(bytes);
        },
        seeds: || golden("control.ControlAnswer"),
    },
    Target { name: "frames", run: frames, seeds: frame_seeds },
    Target { name: "enrol_request", run: enrol_request, seeds: enrol_request_seeds },
    Target { name: "enrol_answer", run: enrol_answer, seeds: || golden("enrol.EnrolReply") },
    Target { name: "token", run: token, seeds: token_seeds },
    Target { name: "assignment", run: assignment, seeds: || golden("assignment.Assignment") },
    Target { name: "bundle", run: bundle, seeds: || golden("bundle.Bundle") },
    Target { name: "handshake", run: handshake, seeds: handshake_seeds },
    Target { name: "session", run: session, seeds: || vec![b"a message".to_vec(), vec![0; 70_000]] },
    Target { name: "stored", run: stored, seeds: stored_seeds },
];

/// The golden files whose names begin so.
pub fn golden(prefix: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/golden");
    let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    let bytes = |name: &String| {
        let text = std::fs::read_to_string(folder.join(name)).ok()?;
        vigo_base::decode_hex(&text.replace(char::is_whitespace, ""))
    };
    names.iter().filter_map(bytes).collect()
}

/// What decodes is encoded and decodes to the same bytes.
pub fn decodes<M: Message + Default>(bytes: &[u8]) {
    let Ok(message) = M::decode(bytes) else { return };
    let again = message.encode_to_vec();
    let same = M::decode(again.as_slice()).is_ok_and(|message| message.encode_to_vec() == again);
    assert!(same, "what was encoded does not decode to itself");
}

/// Measured first, then decoded, as the server does it: what passes the measure stays small in memory.
fn inner_request(bytes: &[u8]) {
    if bytes.len() <= limits::INNER_MESSAGE && measure::check_request(bytes).is_ok() {
        decodes::<inner::Request>(bytes);
    }
}

/// A pair whose other end holds `bytes` and is closed.
fn closed_after(bytes: &[u8]) -> Option<UnixStream> {
    let (ours, mut theirs) = UnixStream::pair().ok()?;
    theirs.set_nonblocking(true).ok()?;
    // What does not fit into the buffer of the socket is left out.
    let _ = theirs.write(bytes);
    theirs.shutdown(Shutdown::Write).ok()?;
    Some(ours)
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(5))
}

fn frames(bytes: &[u8]) {
    let Some(socket) = closed_after(bytes) else { return };
    let mut total = 0;
    while let Ok(Some(received)) = frame::read_with(&socket, 4096, soon()) {
        assert!(received.bytes.len() <= 4096, "a frame above its limit");
        assert!(received.descriptors.is_empty(), "descriptors from nowhere");
        total += received.bytes.len() + 4;
    }
    assert!(total <= bytes.len(), "more was read than was written");
}

fn frame_seeds() -> Vec<Vec<u8>> {
    let framed = |text: &[u8]| [&(text.len() as u32).to_le_bytes()[..], text].concat();
    vec![framed(b"one"), [framed(b""), framed(b"two")].concat(), 4097_u32.to_le_bytes().to_vec()]
}

/// What a taken worker may answer to the three requests that `vigo` makes.
fn worker_answer(bytes: &[u8]) {
    decodes::<worker::WorkerAnswer>(bytes);
    for turn in 0..3 {
        let framed = [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
        let Some(socket) = closed_after(&framed) else { return };
        let client = worker::Client::impatient(socket.into(), Duration::from_secs(5));
        let _ = match turn {
            0 => client.configure(worker::Configure::default()).map(drop),
            1 => client.make_transport_key().map(drop),
            _ => client.exchange(&[1; 16], &ENVOY, Vec::new(), Duration::from_secs(1)).map(drop),
        };
    }
}

static ENVOY: LazyLock<EnvoyId> =
    LazyLock::new(|| EnvoyId::from_bytes(&[2; 16]).unwrap_or_else(|| unreachable!()));

fn enrol_request(bytes: &[u8]) {
    let _ = enrol::token_of(bytes);
    let _ = enrol::verify_request(bytes, &TokenKey::from_bytes(&[3; 32]));
}

fn enrol_request_seeds() -> Vec<Vec<u8>> {
    golden("enrol.EnrolRequest")
}

/// A token that is good nowhere.
const TOKEN: &str = "vigo1.02020202020202020202020202020202.0303030303030303030303030303030303030303030303030303030303030303.0404040404040404040404040404040404040404040404040404040404040404";

fn enrol_answer(bytes: &[u8]) {
    let Ok(token) = Token::parse(TOKEN) else { return };
    for request in enrol_request_seeds() {
        assert!(enrol::open_answer(bytes, &request, &token, 1).is_err(), "an answer that nobody signed");
    }
}

fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(token) = Token::parse(text) {
        assert_eq!(token.line().trim(), text.trim().to_ascii_lowercase(), "a token that reads otherwise");
    }
}

fn token_seeds() -> Vec<Vec<u8>> {
    vec![TOKEN.into(), format!(" {TOKEN}\n").into_bytes(), b"vigo1.".to_vec()]
}

/// Behind the signature: as if the bundle key had signed anything. And before it: a signature over nothing.
fn assignment(bytes: &[u8]) {
    decodes::<Assignment>(bytes);
    let signed = SignedAssignment { assignment: bytes.to_vec(), key: vec![1; 32], signature: vec![2; 64] };
    assert!(
        vigo_wire::verify_assignment(&signed, &[], &[3; 32], &ENVOY, 1).is_err(),
        "an assignment that nobody signed"
    );
    if let Ok(assignment) = Assignment::decode(bytes) {
        let standing = Standing::of(&assignment);
        assert_eq!(
            Standing::decode(&standing.encode()).ok(),
            Some(standing),
            "a standing that reads otherwise"
        );
    }
}

/// Behind the digest: decoded, every index looked at, every template and attribute rendered.
fn bundle(bytes: &[u8]) {
    let Ok(bundle) = check_bundle(bytes, &Digest::of(bytes)) else { return };
    render(&bundle);
}

fn render(bundle: &Bundle) {
    use vigo_template::{EnvoyFacts, Renderer, Scope};
    let Ok(renderer) = Renderer::new(&bundle.templates) else { return };
    let scope = Scope::new(&bundle.variables, None, &EnvoyFacts::default()).with_seed([4; 32]);
    for resource in bundle.resources.iter().take(16) {
        let of = bundle.configcrates.get(resource.configcrate as usize);
        let scope = of.map_or_else(|| scope.clone(), |of| scope.configcrate(&of.variables));
        let scope = scope.with_item(resource.item.as_ref());
        for attribute in resource.attributes.iter().take(16) {
            if let Some(value) = &attribute.value {
                let _ = renderer.value(value, &scope);
            }
        }
    }
}

static SERVER: LazyLock<ExchangeKey> = LazyLock::new(|| ExchangeKey::from_bytes(&[5; 32]));
static NODE: LazyLock<ExchangeKey> = LazyLock::new(|| ExchangeKey::from_bytes(&[6; 32]));

fn context() -> SessionContext {
    SessionContext { anchor: Digest::of(b"anchor"), envoy: *ENVOY }
}

fn handshake(bytes: &[u8]) {
    let _ = respond(&SERVER, NODE.public(), &context(), bytes, 1);
    if let Ok((initiator, _)) = Initiator::begin(&NODE, SERVER.public(), &context()) {
        assert!(initiator.finish(bytes, 1).is_err(), "a handshake with nobody");
    }
}

fn handshake_seeds() -> Vec<Vec<u8>> {
    let begun = Initiator::begin(&NODE, SERVER.public(), &context());
    begun.into_iter().map(|(_, message)| message).chain([vec![0; HANDSHAKE]]).collect()
}

/// Bytes on their way through a session, whole and with one of them changed.
fn session(bytes: &[u8]) {
    let Ok((initiator, first)) = Initiator::begin(&NODE, SERVER.public(), &context()) else { return };
    let Ok((mut server, second)) = respond(&SERVER, NODE.public(), &context(), &first, 1) else { return };
    let Ok(mut node) = initiator.finish(&second, 1) else { return };
    let _ = server.receive(bytes, 1);
    let Ok(sealed) = node.send(bytes, 1) else { return };
    // A session that was lied to is over; in one that was not the message arrives.
    if server.is_poisoned() {
        return;
    }
    assert_eq!(server.receive(&sealed, 1).ok().as_deref(), Some(bytes), "a message that arrives otherwise");
}

/// What the state folder holds.
fn stored(bytes: &[u8]) {
    if let Ok(standing) = Standing::decode(bytes) {
        assert_eq!(
            Standing::decode(&standing.encode()).ok(),
            Some(standing),
            "a standing that reads otherwise"
        );
    }
    if let Ok(identity) = Identity::decode(bytes) {
        assert_eq!(identity.encode().as_slice(), bytes, "an identity that reads otherwise");
    }
}

fn stored_seeds() -> Vec<Vec<u8>> {
    let identity = Identity::generate().map(|identity| identity.encode().to_vec());
    let standing = Standing::of(&Assignment { term: 1, generation: 2, ..Assignment::default() });
    identity.into_iter().chain([standing.encode().to_vec()]).collect()
}
