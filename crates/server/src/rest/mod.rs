//! HTTPS for operators: `/api/v1`, `/metrics`, `/healthz`, `/readyz`.
//!
//! Every request goes one way, [`answer`]: who asks, may they, is the body of the right kind and size, then the route's handler on a thread
//! that may block. Which routes there are, and what each demands, stands in [`routes::ROUTES`] and nowhere else.

mod api_tokens;
mod audit;
pub mod call;
mod config;
mod envoys;
pub mod exposure;
mod policies;
pub mod routes;
mod runs;
mod secrets;
mod status;
mod tokens;

use crate::api_tokens as api_token;
use crate::auth::{self, Permission, Principal};
use crate::listen::Peer;
use crate::metrics::Called;
use crate::problem::{Code, Problem};
use crate::state::Server;
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts as _, Query, RawPathParams, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use call::{Answer, Call};
use http::request::Parts;
use http::{Request, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use routes::{Access, ROUTES, Route, Takes, Verb};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt as _;
use vigo_base::{SecretPath, SecretScope};

/// How long the body of a request may take, and then its handler.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The service of the port for operators, made of [`ROUTES`].
pub fn service(
    server: Arc<Server>,
) -> impl tower::Service<
    Request<hyper::body::Incoming>,
    Response = http::Response<tonic::body::Body>,
    Error = std::convert::Infallible,
    Future: Send,
> + Clone
+ Send
+ Sync
+ 'static {
    let mut router = Router::new();
    for route in ROUTES {
        let handler = move |State(server): State<Arc<Server>>, request: Request<Body>| async move {
            answer(server, route, request).await
        };
        router = router.route(route.path, on(filter(route.verb), handler));
    }
    let router = router
        .fallback(|| async { Problem::new(Code::NotFound, "there is no such route").into_response() })
        .method_not_allowed_fallback(|| async {
            Problem::new(Code::Method, "the route does not know this method").into_response()
        })
        .with_state(server);
    router
        .map_request(|request: Request<hyper::body::Incoming>| {
            routes::fold_secret_path(request).map(Body::new)
        })
        .map_response(|response: Response| response.map(tonic::body::Body::new))
}

const fn filter(verb: Verb) -> MethodFilter {
    match verb {
        Verb::Get => MethodFilter::GET,
        Verb::Put => MethodFilter::PUT,
        Verb::Post => MethodFilter::POST,
        Verb::Delete => MethodFilter::DELETE,
    }
}

async fn answer(server: Arc<Server>, route: &'static Route, request: Request<Body>) -> Response {
    let response = match tokio::time::timeout(2 * TIMEOUT, handle(&server, route, request)).await {
        Ok(Ok(answer)) => answer.into_response(),
        Ok(Err(problem)) => {
            let (route, code, detail) = (route.path, problem.code().as_str(), problem.detail());
            tracing::info!(route, code, detail, "refused");
            problem.into_response()
        }
        Err(_) => Problem::new(Code::Timeout, "the request took too long").into_response(),
    };
    let called = Called { route: route.path, status: response.status().as_u16() };
    server.metrics.called.get_or_create(&called).inc();
    response
}

async fn handle(
    server: &Arc<Server>,
    route: &'static Route,
    request: Request<Body>,
) -> Result<Answer, Problem> {
    let (mut parts, body) = request.into_parts();
    let principal = authorise(server, route, &parts).await?;
    check_kind(route, &parts)?;
    let parameters = RawPathParams::from_request_parts(&mut parts, &())
        .await
        .map_err(|_| Problem::new(Code::Malformed, "the path is not UTF-8"))?;
    let parameters: BTreeMap<String, String> =
        parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    check_scope(server, route, &principal, &parameters).await?;
    let Query(query) = Query::<BTreeMap<String, String>>::try_from_uri(&parts.uri)
        .map_err(|_| Problem::new(Code::Malformed, "what stands behind the `?` cannot be read"))?;
    // Large bodies, and what is done with them, one after the other: memory has a bound.
    let _turn = match route.takes {
        Takes::Tree => Some(server.large_bodies.acquire().await),
        Takes::Nothing | Takes::Json | Takes::Sealed => None,
    };
    let body = read(route, body).await?;
    let call = Call { principal, parameters, query, body };
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || (route.handler)(&server, &call)).await.unwrap_or_else(|_| {
        tracing::error!(route = route.path, "a handler panicked");
        Err(Problem::new(Code::Bug, "the request hit a fault of vigosrv").help("see its log, and report it"))
    })
}

/// Who asks, and that this one may; a known one that may not is in the audit log before it is refused.
async fn authorise(server: &Arc<Server>, route: &Route, parts: &Parts) -> Result<Principal, Problem> {
    let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let peer = parts.extensions.get::<Peer>().map_or(nowhere, |peer| peer.address.ip().to_canonical());
    let permission = match route.access {
        Access::Open => return Ok(Principal::new("anybody", &[])),
        Access::LoopbackOr(_) if peer.is_loopback() => return Ok(Principal::new("loopback", &[])),
        Access::LoopbackOr(permission) | Access::Needs(permission) => permission,
    };
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let principal = recognise(server, auth::bearer(header)?, peer).await?;
    match principal.require(permission) {
        Ok(()) => Ok(principal),
        Err(refused) => Err(denied(server, &principal, permission, parts.uri.path(), refused).await),
    }
}

async fn recognise(server: &Arc<Server>, token: &str, peer: IpAddr) -> Result<Principal, Problem> {
    if !api_token::is_one(token) {
        return server.tokens.recognise(token, peer);
    }
    let (server, token) = (Arc::clone(server), token.to_owned());
    let known = tokio::task::spawn_blocking(move || api_token::recognise(&server, &token)).await;
    known.unwrap_or_else(|_| Err(Problem::new(Code::Bug, "the request hit a fault of vigosrv")))
}

/// A token that is good for some secrets is not good for the others, on whatever route.
async fn check_scope(
    server: &Arc<Server>,
    route: &Route,
    principal: &Principal,
    parameters: &BTreeMap<String, String>,
) -> Result<(), Problem> {
    let Access::Needs(permission) = route.access else { return Ok(()) };
    let named = |name: &str| parameters.get(name).map_or("", String::as_str);
    // What is no path and no scope is refused by the handler, in its own words.
    let (may, object) = match (named("path").parse::<SecretPath>(), named("scope").parse::<SecretScope>()) {
        (Ok(path), _) => (principal.require_for(&path), named("path")),
        (_, Ok(scope)) => (principal.require_over(&scope), named("scope")),
        _ => return Ok(()),
    };
    match may {
        Ok(()) => Ok(()),
        Err(refused) => Err(denied(server, principal, permission, object, refused).await),
    }
}

/// A denial of somebody who is known stands in the audit log before it is told.
async fn denied(
    server: &Arc<Server>,
    principal: &Principal,
    permission: Permission,
    object: &str,
    refused: Problem,
) -> Problem {
    let record = call::record(principal.name(), permission.as_str(), object, "denied", "");
    let server = Arc::clone(server);
    let written = tokio::task::spawn_blocking(move || server.store.append_audit(&[record])).await;
    if !matches!(written, Ok(Ok(_))) {
        tracing::error!("cannot write the audit record of a denial");
    }
    refused
}

fn check_kind(route: &Route, parts: &Parts) -> Result<(), Problem> {
    if matches!(route.takes, Takes::Nothing) {
        return Ok(());
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let help = match route.takes {
        Takes::Sealed => {
            "a value is taken sealed to the entry key and in no other form: use `vigocli secrets set`"
        }
        Takes::Nothing | Takes::Json | Takes::Tree => "",
    };
    Err(Problem::new(Code::MediaType, "this route takes `application/json` only").help(help))
}

async fn read(route: &Route, body: Body) -> Result<Bytes, Problem> {
    let limit = route.takes.limit();
    let whole = tokio::time::timeout(TIMEOUT, Limited::new(body, limit).collect()).await;
    match whole {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(Code::TooLarge, format!("the body is longer than {limit} bytes")))
        }
        Ok(Err(_)) => Err(Problem::new(Code::Malformed, "the body ended early")),
        Err(_) => Err(Problem::new(Code::Timeout, "the body took too long")),
    }
}
