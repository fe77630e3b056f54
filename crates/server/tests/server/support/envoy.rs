//! An envoy: enrols with a token, speaks the inner session over gRPC. No worker between: the test is the worker.

use super::Vigosrv;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use vigo_base::{Digest, EnvoyId, SecretVersion};
use vigo_secret::{KeyPair as SealKey, SealBinding, SealPurpose, open};
use vigo_wire::enrol::{self, Enrolled, Token};
use vigo_wire::identity::Identity;
use vigo_wire::inner::{Answer, Ask, CheckIn, CheckInReply, Posture, Refused, Reply, SecretRequest};
use vigo_wire::outer::{Bytes, ENROL, EXCHANGE, Frame};
use vigo_wire::session::{Initiator, Session, SessionContext};
use vigo_wire::{WireError, verify_assignment};

/// The outer connection: what a worker has.
pub struct Outer(Grpc<Channel>);

impl Outer {
    /// The TLS side of it.
    pub fn tls(server: &Vigosrv, certificate: Option<(Vec<Vec<u8>>, Vec<u8>)>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(server.authority.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match certificate {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = chain.into_iter().map(CertificateDer::from).collect();
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsConnector::from(Arc::new(config))
    }

    /// With a transport certificate, or without one.
    pub fn new(server: &Vigosrv, certificate: Option<(Vec<Vec<u8>>, Vec<u8>)>) -> Self {
        let (tls, address) = (Self::tls(server, certificate), server.grpc);
        let connect = tower::service_fn(move |_: http::Uri| {
            let tls = tls.clone();
            async move {
                let stream = TcpStream::connect(address).await?;
                let stream = tls.connect(ServerName::from(address.ip()), stream).await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        let channel = Endpoint::from_static("https://localhost").connect_with_connector_lazy(connect);
        Self(Grpc::new(channel).max_decoding_message_size(usize::MAX))
    }

    pub async fn enrol(&mut self, data: Vec<u8>) -> Result<Vec<u8>, Status> {
        self.0.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<Bytes, Bytes>::default();
        let path = http::uri::PathAndQuery::from_static(ENROL);
        Ok(self.0.unary(Request::new(Bytes { data }), path, codec).await?.into_inner().data)
    }

    pub async fn exchange(
        &mut self,
        session: &[u8],
        envoy: &[u8],
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, Status> {
        self.0.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<Frame, Frame>::default();
        let path = http::uri::PathAndQuery::from_static(EXCHANGE);
        let frame = Frame { session: session.to_vec(), envoy: envoy.to_vec(), payload };
        Ok(self.0.unary(Request::new(frame), path, codec).await?.into_inner().payload)
    }
}

/// A machine that wants to be an envoy.
pub struct Candidate {
    token: Token,
    identity: Identity,
    transport: KeyPair,
    /// The request, as it is sent.
    pub request: Vec<u8>,
}

impl Candidate {
    pub fn new(token: &str, name: &str) -> Self {
        Self::with(Token::parse(token).unwrap(), name)
    }

    /// One whose token stood on a command line.
    pub fn seen(token: &str, name: &str) -> Self {
        Self::with(Token::parse(token).unwrap().from_command_line(), name)
    }

    fn with(token: Token, name: &str) -> Self {
        let identity = Identity::generate().unwrap();
        let transport = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let csr = CertificateParams::new(vec![]).unwrap().serialize_request(&transport).unwrap();
        let request = enrol::request(&token, &name.parse().unwrap(), &identity, csr.der()).unwrap();
        Self { token, identity, transport, request }
    }

    /// Sends the request; what the answer says.
    pub async fn ask(&self, server: &Vigosrv) -> Result<Enrolled, WireError> {
        let answer = Outer::new(server, None).enrol(self.request.clone()).await.unwrap();
        enrol::open_answer(&answer, &self.request, &self.token, now())
    }

    /// Sends the request; the word of the refusal, which must be proven or not as said.
    pub async fn refusal(&self, server: &Vigosrv) -> (String, bool) {
        match self.ask(server).await {
            Err(WireError::Refused { code, proven, .. }) => (code, proven),
            other => panic!("no refusal: {other:?}"),
        }
    }

    pub async fn enrol(self, server: &Vigosrv) -> Envoy {
        let enrolled = self.ask(server).await.unwrap();
        let certificate = (enrolled.chain.clone(), self.transport.serialize_der());
        let outer = Outer::new(server, Some(certificate.clone()));
        let identity = Arc::new(self.identity);
        Envoy {
            enrolled,
            identity,
            certificate,
            outer,
            session: None,
            held: (0, 0),
            traits_digest: vec![],
            posture: None,
        }
    }
}

/// An enrolled machine.
pub struct Envoy {
    pub enrolled: Enrolled,
    identity: Arc<Identity>,
    pub certificate: (Vec<Vec<u8>>, Vec<u8>),
    pub outer: Outer,
    session: Option<([u8; 16], Session)>,
    /// Term and generation of the assignment it holds.
    pub held: (u64, u64),
    /// The digest that it says its traits have.
    pub traits_digest: Vec<u8>,
    /// What it says of its protection from now on.
    pub posture: Option<Posture>,
}

impl Envoy {
    /// Enrols under that name with a fresh token.
    pub async fn enrolled(server: &Vigosrv, name: &str) -> Self {
        let token = server.admin().token(serde_json::json!({ "match": name })).await;
        Candidate::new(&token, name).enrol(server).await
    }

    /// From now on it says that of its protection.
    pub fn says(&mut self, level: &str, swap: &str) {
        let reasons = vec!["no protected pages (plain)".to_owned()];
        let reasons = if level == "secure" { Vec::new() } else { reasons };
        self.posture = Some(Posture { level: level.into(), reasons, swap: swap.into() });
    }

    pub fn id(&self) -> EnvoyId {
        self.enrolled.envoy
    }

    /// Connects again: to a server that was restarted, or with another certificate.
    pub fn reconnect(&mut self, server: &Vigosrv) {
        self.outer = Outer::new(server, Some(self.certificate.clone()));
    }

    fn initiator(&self) -> (Initiator, Vec<u8>) {
        let context = SessionContext { anchor: Digest::of(&self.enrolled.anchor), envoy: self.id() };
        Initiator::begin(self.identity.exchange(), &self.enrolled.session, &context).unwrap()
    }

    /// Makes a new session; gives its id.
    pub async fn handshake(&mut self) -> Result<[u8; 16], Status> {
        let id: [u8; 16] = vigo_wire::random::array().unwrap();
        let (initiator, first) = self.initiator();
        let envoy = self.id();
        let second = self.outer.exchange(&id, envoy.as_bytes(), first).await?;
        self.session = Some((id, initiator.finish(&second, 0).unwrap()));
        Ok(id)
    }

    /// The first message of a handshake, to be sent by the test itself.
    pub fn first_message(&self) -> Vec<u8> {
        self.initiator().1
    }

    /// Seals a request for the session that it has; gives the session's id, too.
    pub async fn seal(&mut self, ask: Ask) -> ([u8; 16], Vec<u8>) {
        let request = vigo_wire::inner::Request { ask: Some(ask) };
        self.seal_bytes(&request.encode_to_vec()).await
    }

    pub async fn seal_bytes(&mut self, bytes: &[u8]) -> ([u8; 16], Vec<u8>) {
        if self.session.is_none() {
            self.handshake().await.unwrap();
        }
        let (id, session) = self.session.as_mut().unwrap();
        (*id, session.send(bytes, 0).unwrap())
    }

    pub fn open(&mut self, reply: &[u8]) -> Answer {
        let (_, session) = self.session.as_mut().unwrap();
        Reply::decode(session.receive(reply, 0).unwrap().as_slice()).unwrap().answer.unwrap()
    }

    pub fn forget_session(&mut self) {
        self.session = None;
    }

    pub async fn try_ask(&mut self, ask: Ask) -> Result<Answer, Status> {
        let (id, payload) = self.seal(ask).await;
        let envoy = self.id();
        let reply = self.outer.exchange(&id, envoy.as_bytes(), payload).await?;
        Ok(self.open(&reply))
    }

    pub async fn ask(&mut self, ask: Ask) -> Answer {
        self.try_ask(ask).await.unwrap()
    }

    /// The word of a refusal.
    pub async fn refused(&mut self, ask: Ask) -> String {
        match self.ask(ask).await {
            Answer::Refused(Refused { code, .. }) => code,
            other => panic!("no refusal: {other:?}"),
        }
    }

    pub fn check_in_request(&self) -> CheckIn {
        let (term, generation) = self.held;
        CheckIn {
            agent_version: "test".into(),
            formats: vec![1],
            term,
            generation,
            traits_digest: self.traits_digest.clone(),
            posture: self.posture.clone(),
            ..CheckIn::default()
        }
    }

    /// The same envoy on another connection, with a session of its own.
    pub fn twin(&self, server: &Vigosrv) -> Self {
        Self {
            enrolled: self.enrolled.clone(),
            identity: Arc::clone(&self.identity),
            certificate: self.certificate.clone(),
            outer: Outer::new(server, Some(self.certificate.clone())),
            session: None,
            held: self.held,
            traits_digest: self.traits_digest.clone(),
            posture: None,
        }
    }

    /// A check-in that may be held for so long.
    pub async fn hold(&mut self, hold_s: u32) -> Answer {
        let check_in = CheckIn { hold_s, ..self.check_in_request() };
        self.ask(Ask::CheckIn(check_in)).await
    }

    /// A new assignment is verified and held.
    pub fn take(&mut self, reply: &CheckInReply) {
        let Some(signed) = &reply.assignment else { return };
        let time = reply.server_time;
        let verified =
            verify_assignment(signed, &reply.keys, &self.enrolled.anchor, &self.id(), time).unwrap();
        let assignment = verified.assignment();
        assert!((assignment.term, assignment.generation) > self.held, "generations rise");
        self.held = (assignment.term, assignment.generation);
    }

    /// Checks in; a new assignment is verified and held.
    pub async fn check_in(&mut self) -> CheckInReply {
        let check_in = self.check_in_request();
        let Answer::CheckIn(reply) = self.ask(Ask::CheckIn(check_in)).await else { panic!("no check-in") };
        self.take(&reply);
        reply
    }

    /// Asks for secrets with a key of its own; gives path, version, and the value or the refusal.
    pub async fn secrets(&mut self, paths: &[&str]) -> Vec<(String, u64, Result<Vec<u8>, String>)> {
        let key = SealKey::generate().unwrap();
        let request: [u8; 16] = vigo_wire::random::array().unwrap();
        let asked = SecretRequest {
            request: request.to_vec(),
            key: key.public().to_vec(),
            term: self.held.0,
            generation: self.held.1,
            paths: paths.iter().map(ToString::to_string).collect(),
            posture: self.posture.clone(),
        };
        let Answer::Secrets(reply) = self.ask(Ask::Secrets(asked)).await else { panic!("no secrets") };
        let party = *self.id().as_bytes();
        let value = |item: vigo_wire::inner::SecretItem| {
            let path = item.path.parse().unwrap();
            let binding = SealBinding {
                purpose: SealPurpose::Delivery,
                party: &party,
                path: &path,
                version: SecretVersion(item.version),
                epoch: reply.epoch,
                request: &request,
            };
            let sealed = vigo_base::Sealed { encapsulated: item.encapsulated, ciphertext: item.ciphertext };
            let value = match item.refused.as_str() {
                "" => Ok(open(&key, &binding, &sealed).unwrap().expose().to_vec()),
                why => Err(why.to_owned()),
            };
            (item.path, item.version, value)
        };
        reply.items.into_iter().map(value).collect()
    }

    /// The request for secrets that it would send now.
    pub fn secret_request(&self, paths: &[&str]) -> SecretRequest {
        SecretRequest {
            request: vec![1; 16],
            key: SealKey::generate().unwrap().public().to_vec(),
            term: self.held.0,
            generation: self.held.1,
            paths: paths.iter().map(ToString::to_string).collect(),
            posture: self.posture.clone(),
        }
    }
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
