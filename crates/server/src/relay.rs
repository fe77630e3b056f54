//! The outer protocol on the port for envoys: two unary calls that carry bytes. It opens inner sessions, and hands what was in them to [`crate::dispatch`].
//!
//! gRPC statuses are hints for a worker that nobody trusts: whatever an envoy may rely on is said inside the session.

use crate::dispatch::{self, REQUEST_LIMIT};
use crate::enrol;
use crate::fleet::Member;
use crate::listen::Peer;
use crate::sessions::{Entry, SessionId};
use crate::state::Server;
use crate::tls::Transport;
use crate::turns::Turns;
use http::Request as HttpRequest;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use vigo_base::{Digest, EnvoyId};
use vigo_wire::inner::HOLD_MOST_S;
use vigo_wire::outer::{Bytes, ENROL, ENROL_LIMIT, EXCHANGE, FRAME_LIMIT, Frame};
use vigo_wire::session::{HANDSHAKE, SessionContext, respond};

/// How long the body of an exchange may take to come in, and how long its answer may take beyond the time for which it may be held.
const EXCHANGE_TIME: Duration = Duration::from_secs(120);
/// How long an exchange that came in may take in all.
const HELD_TIME: Duration = EXCHANGE_TIME.saturating_add(Duration::from_secs(HOLD_MOST_S as u64));
/// How long an enrolment may take.
const ENROL_TIME: Duration = Duration::from_secs(30);
/// Enrolments at work at a time: anybody may ask.
const ENROLMENTS: usize = 8;
/// What a frame adds to the request in it: the Noise tags, ids, lengths.
const FRAME_SURPLUS: usize = 64 << 10;

/// The service.
#[derive(Clone)]
pub struct Relay {
    server: Arc<Server>,
    turns: Turns,
    enrolments: Arc<Semaphore>,
}

impl Relay {
    /// For this server.
    #[must_use]
    pub fn new(server: Arc<Server>) -> Self {
        Self { server, turns: Turns::default(), enrolments: Arc::new(Semaphore::new(ENROLMENTS)) }
    }

    async fn enrol(self, request: HttpRequest<Incoming>) -> http::Response<Body> {
        let Some(_turn) = self.turns.of_stranger() else { return busy() };
        let service = tower::service_fn(move |asked| enrol(self.clone(), asked));
        let mut grpc =
            Grpc::new(ProstCodec::<Bytes, Bytes>::default()).max_decoding_message_size(ENROL_LIMIT);
        within(ENROL_TIME, grpc.unary(service, request)).await
    }

    /// Who is connected is known before the first byte of the body is read.
    async fn exchange(self, request: HttpRequest<Incoming>) -> http::Response<Body> {
        let transport = request.extensions().get::<Peer>().and_then(|peer| peer.transport);
        let Some(transport) = transport else {
            return Status::unauthenticated("this call needs the transport certificate of an envoy")
                .into_http();
        };
        let Some(_turn) = self.turns.of(transport.envoy) else { return busy() };
        let request = request.map(|body| self.turns.metered(body));
        let came_in = Arc::new(Notify::new());
        let reader = Arc::clone(&came_in);
        let service = tower::service_fn(move |asked| {
            reader.notify_one();
            exchange(Arc::clone(&self.server), transport, asked)
        });
        let mut grpc = Grpc::new(ProstCodec::<Frame, Frame>::default())
            .max_decoding_message_size(REQUEST_LIMIT + FRAME_SURPLUS)
            .max_encoding_message_size(FRAME_LIMIT);
        let mut call = std::pin::pin!(grpc.unary(service, request));
        tokio::select! {
            done = call.as_mut() => return done,
            () = came_in.notified() => {}
            () = tokio::time::sleep(EXCHANGE_TIME) => return took_too_long(),
        }
        within(HELD_TIME, call).await
    }
}

impl tower::Service<HttpRequest<Incoming>> for Relay {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Incoming>) -> Self::Future {
        let relay = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                ENROL => relay.enrol(request).await,
                EXCHANGE => relay.exchange(request).await,
                _ => Status::unimplemented("there is no such call").into_http(),
            })
        })
    }
}

fn busy() -> http::Response<Body> {
    Status::unavailable("too much at once: come back").into_http()
}

async fn within(limit: Duration, call: impl Future<Output = http::Response<Body>>) -> http::Response<Body> {
    let done = tokio::time::timeout(limit, call).await;
    done.unwrap_or_else(|_| took_too_long())
}

fn took_too_long() -> http::Response<Body> {
    Status::deadline_exceeded("the call took too long").into_http()
}

async fn enrol(relay: Relay, asked: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let bytes = asked.into_inner().data;
    let _turn = relay.enrolments.acquire().await;
    let server = relay.server;
    let answer = tokio::task::spawn_blocking(move || enrol::answer(&server, &bytes)).await;
    match answer {
        Ok(Ok(data)) => Ok(Response::new(Bytes { data })),
        Ok(Err(error)) => {
            tracing::error!(error = vigo_base::chain(&error), "cannot enrol");
            Err(Status::unavailable("the server cannot enrol now; its log says why"))
        }
        Err(_) => Err(Status::internal("the server hit a fault of its own; its log says which")),
    }
}

/// One frame of a session: the first of a handshake, or a sealed request.
async fn exchange(
    server: Arc<Server>,
    transport: Transport,
    asked: Request<Frame>,
) -> Result<Response<Frame>, Status> {
    let frame = asked.into_inner();
    let id: SessionId = frame
        .session
        .as_slice()
        .try_into()
        .map_err(|_| Status::invalid_argument("the session's id has not 16 bytes"))?;
    if EnvoyId::from_bytes(&frame.envoy) != Some(transport.envoy) {
        return Err(Status::permission_denied("the transport certificate is of another envoy"));
    }
    let member = member(&server, transport.envoy).await?;
    let payload = match server.sessions.find(&id, transport.envoy) {
        Some(entry) => request(&server, &member, transport, &id, &entry, &frame.payload).await?,
        None => handshake(&server, &member, id, &frame.payload)?,
    };
    Ok(Response::new(Frame { session: frame.session, envoy: frame.envoy, payload }))
}

async fn member(server: &Arc<Server>, id: EnvoyId) -> Result<Arc<Member>, Status> {
    if let Some(member) = server.fleet.known(&id) {
        return Ok(member);
    }
    let reader = Arc::clone(server);
    match tokio::task::spawn_blocking(move || reader.fleet.find(&reader, &id)).await {
        Ok(Ok(Some(member))) => Ok(member),
        Ok(Ok(None)) => Err(Status::permission_denied("the server does not know this envoy: enrol it again")),
        Ok(Err(error)) => {
            tracing::error!(envoy = %id, error = vigo_base::chain(&error), "cannot read an envoy");
            Err(Status::unavailable("the server cannot answer now; its log says why"))
        }
        Err(_) => Err(Status::internal("the server hit a fault of its own; its log says which")),
    }
}

fn unknown_session() -> Status {
    Status::failed_precondition("the session is not known here: make a new one")
}

fn handshake(server: &Server, member: &Member, id: SessionId, payload: &[u8]) -> Result<Vec<u8>, Status> {
    /// What a sealed request of that length begins with: the length of its one Noise message, little endian.
    const SEALED: [u8; 2] = [46, 0];
    if payload.len() != HANDSHAKE || server.sessions.is_known(&id) {
        return Err(unknown_session());
    }
    let context = SessionContext { anchor: Digest::of(server.keys.anchor()), envoy: member.id() };
    let now_s = server.uptime_seconds();
    match respond(server.keys.session(), &member.identity.session_key, &context, payload, now_s) {
        Ok((session, answer)) => {
            server.sessions.begin(id, member.id(), session, now_s);
            server.metrics.count("handshake", "done");
            Ok(answer)
        }
        Err(_) if payload.starts_with(&SEALED) => Err(unknown_session()),
        Err(error) => {
            server.metrics.count("handshake", "refused");
            tracing::info!(envoy = %member.id(), %error, "a handshake failed");
            Err(Status::permission_denied("the handshake failed: the keys do not fit"))
        }
    }
}

async fn request(
    server: &Arc<Server>,
    member: &Arc<Member>,
    transport: Transport,
    id: &SessionId,
    entry: &Entry,
    payload: &[u8],
) -> Result<Vec<u8>, Status> {
    let mut session = entry.session.lock().await;
    let Ok(request) = session.receive(payload, server.uptime_seconds()) else {
        // Changed, replayed, out of order or too old: a session does not survive its first failure.
        server.sessions.forget(id);
        return Err(unknown_session());
    };
    server.sessions.prove(entry);
    let reply = dispatch::answer(server, member, transport, &request).await;
    session.send(&reply, server.uptime_seconds()).map_err(|error| {
        tracing::error!(envoy = %member.id(), %error, "cannot seal a reply");
        server.sessions.forget(id);
        unknown_session()
    })
}
