//! The honest server behind the worker: real keys, real sessions, real signatures, real seals; no network and no store.

use ed25519_dalek::SigningKey;
use prost::Message as _;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use vigo_base::{Digest, EnvoyId, SecretPath, SecretVersion};
use vigo_policy::{Surroundings, Tree, check, compile, select};
use vigo_secret::{SealBinding, SealPurpose, seal};
use vigo_wire::assignment::{Assignment, KeyCertificate, SignedAssignment};
use vigo_wire::enrol::{self, Grant, RefusalCode, Token, TokenKey};
use vigo_wire::identity::ExchangeKey;
use vigo_wire::inner::{
    Answer, Ask, BundleReply, CheckIn, CheckInReply, Refused, RenewReply, Reply, ReportReply, Request,
    SecretItem, SecretReply, SecretRequest, SecretState,
};
use vigo_wire::random;
use vigo_wire::session::{HANDSHAKE, Session, SessionContext, respond};
use vigo_wire::sign::{CertifiedPurpose, SignContext, certificate_message, new_certificate, sign};
use vigo_wire::worker::{Exchange, Kind};

/// The envoy's name.
pub const NAME: &str = "web-1";

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&random::array().unwrap())
}

/// Anchor, bundle key and session key: what the hand of a real server holds.
pub struct Keys {
    anchor: SigningKey,
    pub bundle: SigningKey,
    session: ExchangeKey,
    /// An anchor whose private half it does not have, and the certificate of that server's session key: no secrets.
    pub claimed: Option<([u8; 32], KeyCertificate)>,
    /// For the bundle key, by the anchor.
    pub certificate: KeyCertificate,
}

impl Keys {
    pub fn new() -> Self {
        let (anchor, bundle) = (signing_key(), signing_key());
        let public = bundle.verifying_key().to_bytes();
        let certificate = certify(&anchor, &public, CertifiedPurpose::Bundle, (now() - 60, now() + 86_400));
        Self { anchor, bundle, session: ExchangeKey::generate().unwrap(), claimed: None, certificate }
    }

    pub fn anchor(&self) -> [u8; 32] {
        self.claimed.as_ref().map_or_else(|| self.anchor.verifying_key().to_bytes(), |(anchor, _)| *anchor)
    }

    /// A certificate for the bundle key with another purpose or time.
    pub fn certificate_for(&self, purpose: CertifiedPurpose, time: (u64, u64)) -> KeyCertificate {
        certify(&self.anchor, &self.bundle.verifying_key().to_bytes(), purpose, time)
    }

    pub fn sign(&self, assignment: &Assignment) -> SignedAssignment {
        let assignment = assignment.encode_to_vec();
        let signature = sign(SignContext::Assignment, &self.bundle, &assignment).unwrap().to_vec();
        SignedAssignment { assignment, key: self.bundle.verifying_key().to_bytes().to_vec(), signature }
    }

    pub const fn session_public(&self) -> &[u8; 32] {
        self.session.public()
    }

    pub fn session_certificate(&self) -> KeyCertificate {
        if let Some((_, certificate)) = &self.claimed {
            return certificate.clone();
        }
        certify(&self.anchor, self.session.public(), CertifiedPurpose::Session, (now() - 60, now() + 86_400))
    }
}

fn certify(
    anchor: &SigningKey,
    key: &[u8; 32],
    purpose: CertifiedPurpose,
    (from, to): (u64, u64),
) -> KeyCertificate {
    let mut certificate = new_certificate(key, purpose, from, to);
    let message = certificate_message(&certificate);
    certificate.signature = sign(SignContext::KeyCertificate, anchor, &message).unwrap().to_vec();
    certificate
}

/// What came out of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Handshake,
    CheckIn,
    Bundle,
    Secrets,
    Report,
    Renew,
}

impl Stage {
    /// In the order of a run that gets something new.
    pub const RUN: [Self; 5] = [Self::Handshake, Self::CheckIn, Self::Bundle, Self::Secrets, Self::Report];

    fn of(ask: &Ask) -> Self {
        match ask {
            Ask::CheckIn(_) => Self::CheckIn,
            Ask::Bundle(_) => Self::Bundle,
            Ask::Secrets(_) => Self::Secrets,
            Ask::Report(_) => Self::Report,
            Ask::Renew(_) => Self::Renew,
        }
    }
}

/// What one who holds the session's keys, but not the anchor's, could do to an answer.
pub type Twist = Box<dyn FnMut(&Ask, Answer, &Keys) -> Answer + Send>;

pub struct Origin {
    pub keys: Keys,
    nodes: BTreeMap<EnvoyId, [u8; 32]>,
    tokens: BTreeMap<[u8; 16], TokenKey>,
    answered: BTreeMap<Digest, Vec<u8>>,
    sessions: BTreeMap<[u8; 16], (EnvoyId, Session)>,
    assignment: Option<Assignment>,
    bundle: Vec<u8>,
    secrets: BTreeMap<SecretPath, (SecretVersion, String)>,
    traits: Option<Vec<u8>>,
    /// Every request that came out of a session.
    pub seen: Vec<Ask>,
    /// Frames that were none of a session.
    pub refused: usize,
    /// Changes answers before they are sealed.
    pub twist: Option<Twist>,
    /// Refuses every enrolment so.
    pub closed: Option<RefusalCode>,
    /// How far its clock is ahead of this machine's.
    pub ahead: u64,
}

impl Origin {
    pub fn new() -> Self {
        Self {
            keys: Keys::new(),
            nodes: BTreeMap::new(),
            tokens: BTreeMap::new(),
            answered: BTreeMap::new(),
            sessions: BTreeMap::new(),
            assignment: None,
            bundle: Vec::new(),
            secrets: BTreeMap::new(),
            traits: None,
            seen: Vec::new(),
            refused: 0,
            twist: None,
            closed: None,
            ahead: 0,
        }
    }

    /// A token for a server of this anchor, and its key.
    pub fn token(&mut self) -> Token {
        let token = Token::generate(Digest::of(&self.keys.anchor())).unwrap();
        self.admit(&token);
        token
    }

    /// Knows the key of a token that another server made.
    pub fn admit(&mut self, token: &Token) {
        self.tokens.insert(*token.id(), token.key().unwrap());
    }

    /// How many uses of tokens were spent.
    pub fn uses(&self) -> usize {
        self.answered.len()
    }

    pub fn assignment(&self) -> Assignment {
        self.assignment.clone().unwrap()
    }

    /// Everybody's new generation: a file without and a file with secrets, whose values are new, too.
    pub fn publish(&mut self, root: &Path, generation: u64, values: [&str; 2]) {
        for (path, value) in ["web/token", "web/key"].into_iter().zip(values) {
            self.secrets.insert(path.parse().unwrap(), (SecretVersion(generation), value.to_owned()));
        }
        let (bytes, digest) = compiled(root, generation);
        let envoy = *self.nodes.keys().next().expect("nobody is enrolled");
        self.bundle = bytes;
        self.assignment = Some(Assignment {
            format: vigo_wire::assignment::FORMAT,
            anchor: Digest::of(&self.keys.anchor()).as_bytes().to_vec(),
            envoy: envoy.as_bytes().to_vec(),
            name: NAME.to_owned(),
            term: 1,
            generation,
            bundle: digest.as_bytes().to_vec(),
            publish: generation,
            secrets_epoch: generation,
            issued_at: now(),
            ..Assignment::default()
        });
    }

    /// One frame of the outer protocol, as the relay of a real server takes it.
    pub fn exchange(&mut self, frame: &Exchange) -> (Option<Stage>, Result<Vec<u8>, Kind>) {
        let envoy = EnvoyId::from_bytes(&frame.envoy).filter(|envoy| self.nodes.contains_key(envoy));
        let (Some(envoy), Ok(id)) = (envoy, <[u8; 16]>::try_from(frame.session.as_slice())) else {
            return (None, Err(Kind::Refused));
        };
        match self.sessions.remove(&id) {
            Some((owner, session)) if owner == envoy => self.request(id, envoy, session, &frame.payload),
            Some(other) => {
                self.sessions.insert(id, other);
                (None, Err(Kind::UnknownSession))
            }
            None => self.handshake(id, envoy, &frame.payload),
        }
    }

    fn handshake(
        &mut self,
        id: [u8; 16],
        envoy: EnvoyId,
        payload: &[u8],
    ) -> (Option<Stage>, Result<Vec<u8>, Kind>) {
        let context = SessionContext { anchor: Digest::of(&self.keys.anchor()), envoy };
        match respond(&self.keys.session, &self.nodes[&envoy], &context, payload, now()) {
            Ok((session, answer)) => {
                self.sessions.insert(id, (envoy, session));
                (Some(Stage::Handshake), Ok(answer))
            }
            Err(_) => {
                self.refused += 1;
                let kind = if payload.len() == HANDSHAKE { Kind::Refused } else { Kind::UnknownSession };
                (None, Err(kind))
            }
        }
    }

    fn request(
        &mut self,
        id: [u8; 16],
        envoy: EnvoyId,
        mut session: Session,
        payload: &[u8],
    ) -> (Option<Stage>, Result<Vec<u8>, Kind>) {
        let Ok(bytes) = session.receive(payload, now()) else {
            self.refused += 1;
            return (None, Err(Kind::UnknownSession));
        };
        let ask = Request::decode(bytes.as_slice()).unwrap().ask.unwrap();
        self.seen.push(ask.clone());
        let mut answer = self.answer(envoy, &ask);
        if let Some(mut twist) = self.twist.take() {
            answer = twist(&ask, answer, &self.keys);
            self.twist = Some(twist);
        }
        let sealed = session.send(&Reply { answer: Some(answer) }.encode_to_vec(), now()).unwrap();
        self.sessions.insert(id, (envoy, session));
        (Some(Stage::of(&ask)), Ok(sealed))
    }

    fn answer(&mut self, envoy: EnvoyId, ask: &Ask) -> Answer {
        match ask {
            Ask::CheckIn(check_in) => Answer::CheckIn(self.check_in(check_in)),
            Ask::Bundle(wanted) if wanted.digest == Digest::of(&self.bundle).as_bytes() => {
                Answer::Bundle(BundleReply { bundle: self.bundle.clone() })
            }
            Ask::Bundle(_) => refused("stale-bundle"),
            Ask::Secrets(wanted) => self.seal(envoy, wanted),
            Ask::Report(_) => Answer::Report(ReportReply {}),
            Ask::Renew(renew) => {
                Answer::Renew(RenewReply { chain: vec![[b"certificate for ", &renew.request[..]].concat()] })
            }
        }
    }

    fn check_in(&mut self, asked: &CheckIn) -> CheckInReply {
        if asked.traits.is_some() {
            self.traits = Some(asked.traits_digest.clone());
        }
        let assignment = self.assignment.as_ref().expect("nothing is published");
        let is_current = (asked.term, asked.generation) == (assignment.term, assignment.generation);
        let mut reply = CheckInReply {
            server_time: now() + self.ahead,
            want_traits: self.traits.as_ref() != Some(&asked.traits_digest),
            ..CheckInReply::default()
        };
        if !is_current {
            reply.assignment = Some(self.keys.sign(assignment));
            reply.keys = vec![self.keys.certificate.clone()];
            let state = |(path, (version, _)): (&SecretPath, &(SecretVersion, String))| SecretState {
                path: path.to_string(),
                version: version.0,
            };
            reply.secrets = self.secrets.iter().map(state).collect();
        }
        reply
    }

    fn seal(&self, envoy: EnvoyId, wanted: &SecretRequest) -> Answer {
        let assignment = self.assignment.as_ref().unwrap();
        if (wanted.term, wanted.generation) != (assignment.term, assignment.generation) {
            return refused("stale-bundle");
        }
        let epoch = assignment.secrets_epoch;
        let item = |path: &String| {
            let path: SecretPath = path.parse().unwrap();
            let (version, value) = &self.secrets[&path];
            sealed_item(wanted, envoy.as_bytes(), (&path, *version, epoch), value)
        };
        Answer::Secrets(SecretReply { items: wanted.paths.iter().map(item).collect(), epoch })
    }

    /// An enrolment as a real server answers it: the same request gets the same answer and costs one use.
    pub fn enrol(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Ok(key) = enrol::token_of(bytes).map(|id| self.tokens.get(&id)) else {
            return enrol::refuse(RefusalCode::Malformed, "", bytes, None).unwrap();
        };
        let Some(key) = key else {
            return enrol::refuse(RefusalCode::UnknownToken, "", bytes, None).unwrap();
        };
        if let Some(code) = self.closed {
            return enrol::refuse(code, "not this time", bytes, Some(key)).unwrap();
        }
        let Ok(request) = enrol::verify_request(bytes, key) else {
            return enrol::refuse(RefusalCode::WrongToken, "", bytes, None).unwrap();
        };
        if let Some(answer) = self.answered.get(&request.digest) {
            return answer.clone();
        }
        let envoy = EnvoyId::from_bytes(&random::array::<16>().unwrap()).unwrap();
        let grant = Grant {
            envoy,
            anchor: self.keys.anchor(),
            chain: vec![b"transport certificate".to_vec()],
            authority: b"authority certificate".to_vec(),
            keys: vec![self.keys.certificate.clone()],
            session: self.keys.session_certificate(),
            term: 1,
            generation: 1,
            server_time: now(),
        };
        let answer = enrol::answer(&request, grant);
        let signature =
            sign(SignContext::EnrolAnswer, &self.keys.anchor, &enrol::answer_message(&answer)).unwrap();
        let answer = enrol::seal_answer(answer, &signature, key).unwrap();
        self.nodes.insert(envoy, request.exchange);
        self.answered.insert(request.digest, answer.clone());
        answer
    }
}

pub fn refused(code: &str) -> Answer {
    Answer::Refused(Refused { code: code.to_owned(), message: "says the server".to_owned() })
}

/// A value sealed for a request, bound to what is said.
pub fn sealed_item(
    wanted: &SecretRequest,
    party: &[u8; 16],
    (path, version, epoch): (&SecretPath, SecretVersion, u64),
    value: &str,
) -> SecretItem {
    let key: [u8; 32] = wanted.key.as_slice().try_into().unwrap();
    let request: [u8; 16] = wanted.request.as_slice().try_into().unwrap();
    let purpose = SealPurpose::Delivery;
    let binding = SealBinding { purpose, party, path, version, epoch, request: &request };
    let sealed = seal(&key, &binding, value.as_bytes()).unwrap();
    SecretItem {
        path: path.to_string(),
        version: version.0,
        encapsulated: sealed.encapsulated,
        ciphertext: sealed.ciphertext,
        ..SecretItem::default()
    }
}

fn compiled(root: &Path, generation: u64) -> (Vec<u8>, Digest) {
    let root = root.to_str().unwrap();
    let site = format!(
        "configcrate: site\nresources:\n  - name: motd\n    type: file\n    target_path: {root}/motd\n    content: \"generation {generation}\"\n  - name: token\n    type: file\n    target_path: {root}/token\n    content: '{{{{ secret(\"web/token\") }}}} and {{{{ secret(\"web/key\") }}}}'\n    mode: \"0600\"\n"
    );
    let mut tree = Tree::default();
    tree.insert("envoys.vgo", "envoys:\n  - match: \"*\"\n    configcrates: [site]\n").unwrap();
    tree.insert("configcrates/site.vgo", site).unwrap();
    let surroundings = Surroundings {
        registry: &vigo_resources::REGISTRY,
        secrets: None,
        guarded: &[],
        traits: None,
        variables: &[],
        alone: None,
    };
    let (policy, diagnostics) = check(&tree, &surroundings);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let compiled = compile(&policy, &select(&policy, NAME, None));
    (compiled.bytes, compiled.digest)
}
