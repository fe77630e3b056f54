//! Every route with its method, what it demands and what it takes: the one table from which the router is made and that tests walk.

use super::call::{Answer, Call};
use super::{api_tokens, audit, config, envoys, exposure, policies, runs, secrets, status, tokens};
use crate::auth::Permission as May;
use crate::problem::Problem;
use crate::state::Server;
use http::{Request, Uri};
use vigo_base::limits;

/// The methods that routes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Looks.
    Get,
    /// Sets.
    Put,
    /// Does.
    Post,
    /// Removes.
    Delete,
}

/// Who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody: it says nothing but that the server is there.
    Open,
    /// Whoever is on this machine, else who has the permission.
    LoopbackOr(May),
    /// Who has the permission.
    Needs(May),
}

/// What kind of body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// None.
    Nothing,
    /// A small JSON object.
    Json,
    /// A sealed value in JSON, never a plain one.
    Sealed,
    /// A tree of policy files in JSON.
    Tree,
}

impl Takes {
    /// The longest body.
    #[must_use]
    pub const fn limit(self) -> usize {
        match self {
            // Some clients send an empty object; it is not looked at.
            Self::Nothing => 1 << 10,
            Self::Json => 64 << 10,
            // The largest value in base64, and what stands around it.
            Self::Sealed => limits::SECRET_VALUE * 2,
            // JSON writes some characters as two or more.
            Self::Tree => limits::TREE * 2,
        }
    }
}

/// What a route does. Runs on a thread that may block.
pub type Handler = fn(&Server, &Call) -> Result<Answer, Problem>;

/// One route.
#[derive(Clone, Copy)]
pub struct Route {
    /// The method.
    pub verb: Verb,
    /// The path as axum writes it.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
    /// What body.
    pub takes: Takes,
    /// What it does.
    pub handler: Handler,
}

const fn row(verb: Verb, path: &'static str, permission: May, takes: Takes, handler: Handler) -> Route {
    Route { verb, path, access: Access::Needs(permission), takes, handler }
}

const fn open(path: &'static str, access: Access, handler: Handler) -> Route {
    Route { verb: Verb::Get, path, access, takes: Takes::Nothing, handler }
}

/// The table.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    open("/healthz", Access::Open, status::health),
    open("/readyz", Access::Open, status::ready),
    open("/metrics", Access::LoopbackOr(May::MetricsRead), status::metrics),
    row(Verb::Get, "/api/v1/status", May::StatusRead, Takes::Nothing, status::status),
    row(Verb::Get, "/api/v1/entry-key", May::SecretsSet, Takes::Nothing, secrets::entry_key),
    row(Verb::Get, "/api/v1/secrets", May::SecretsList, Takes::Nothing, secrets::list),
    row(Verb::Put, "/api/v1/secrets/{path}", May::SecretsSet, Takes::Sealed, secrets::set),
    row(Verb::Delete, "/api/v1/secrets/{path}", May::SecretsSet, Takes::Nothing, secrets::remove),
    row(Verb::Get, "/api/v1/secrets/{path}/history", May::SecretsList, Takes::Nothing, secrets::history),
    row(Verb::Get, "/api/v1/secrets/{path}/who", May::SecretsList, Takes::Nothing, secrets::who),
    row(Verb::Post, "/api/v1/secrets/{path}/rotate", May::SecretsSet, Takes::Json, secrets::rotate),
    row(Verb::Post, "/api/v1/secrets/{path}/get", May::SecretsGet, Takes::Json, secrets::get),
    row(Verb::Get, "/api/v1/secret-policies", May::SecretsList, Takes::Nothing, policies::list),
    row(Verb::Post, "/api/v1/secret-policies", May::SecretsPolicy, Takes::Nothing, policies::accept),
    row(Verb::Get, "/api/v1/secret-policies/{scope}", May::SecretsList, Takes::Nothing, policies::show_for),
    row(Verb::Put, "/api/v1/secret-policies/{scope}", May::SecretsPolicy, Takes::Json, policies::set),
    row(Verb::Delete, "/api/v1/secret-policies/{scope}", May::SecretsPolicy, Takes::Nothing, policies::remove),
    row(Verb::Get, "/api/v1/exposure", May::SecretsList, Takes::Nothing, exposure::list),
    row(Verb::Post, "/api/v1/config/validate", May::ConfigRead, Takes::Tree, config::validate),
    row(Verb::Post, "/api/v1/config/plan", May::ConfigRead, Takes::Tree, config::plan),
    row(Verb::Post, "/api/v1/config/publish", May::ConfigPublish, Takes::Tree, config::publish),
    row(Verb::Get, "/api/v1/config/history", May::ConfigRead, Takes::Nothing, config::history),
    row(Verb::Get, "/api/v1/config/versions/{version}/tree", May::ConfigRead, Takes::Nothing, config::tree),
    row(Verb::Post, "/api/v1/config/rollback", May::ConfigPublish, Takes::Json, config::rollback),
    row(Verb::Post, "/api/v1/tokens", May::TokensCreate, Takes::Json, tokens::create),
    row(Verb::Get, "/api/v1/tokens", May::TokensCreate, Takes::Nothing, tokens::list),
    row(Verb::Delete, "/api/v1/tokens/{id}", May::TokensCreate, Takes::Nothing, tokens::remove),
    row(Verb::Post, "/api/v1/api-tokens", May::ApiTokensCreate, Takes::Json, api_tokens::create),
    row(Verb::Get, "/api/v1/api-tokens", May::ApiTokensCreate, Takes::Nothing, api_tokens::list),
    row(Verb::Delete, "/api/v1/api-tokens/{id}", May::ApiTokensCreate, Takes::Nothing, api_tokens::remove),
    row(Verb::Get, "/api/v1/envoys", May::EnvoysRead, Takes::Nothing, envoys::list),
    row(Verb::Get, "/api/v1/envoys/{envoy}", May::EnvoysRead, Takes::Nothing, envoys::show),
    row(Verb::Post, "/api/v1/envoys/{envoy}/revoke", May::EnvoysWrite, Takes::Nothing, envoys::revoke),
    row(Verb::Delete, "/api/v1/envoys/{envoy}", May::EnvoysWrite, Takes::Nothing, envoys::remove),
    row(Verb::Get, "/api/v1/runs", May::RunsRead, Takes::Nothing, runs::list),
    row(Verb::Get, "/api/v1/runs/{run}", May::RunsRead, Takes::Nothing, runs::show),
    row(Verb::Get, "/api/v1/audit", May::AuditRead, Takes::Nothing, audit::list),
    row(Verb::Get, "/api/v1/audit/verify", May::AuditRead, Takes::Nothing, audit::verify),
];

/// Secret paths have slashes. They may stand in a request as they are or as `%2F`; the router sees the second.
/// Unambiguous, because the methods that take a bare path (PUT, DELETE) know no words after it, and the others always have one.
pub fn fold_secret_path<B>(mut request: Request<B>) -> Request<B> {
    const PREFIX: &str = "/api/v1/secrets/";
    let folded = request.uri().path().strip_prefix(PREFIX).and_then(|rest| {
        let bare = matches!(request.method().as_str(), "PUT" | "DELETE");
        let (path, word) =
            if bare { (rest, None) } else { rest.rsplit_once('/').map(|(a, b)| (a, Some(b)))? };
        let path = path.contains('/').then(|| path.replace('/', "%2F"))?;
        let word = word.map_or(String::new(), |word| format!("/{word}"));
        let query = request.uri().query().map_or(String::new(), |query| format!("?{query}"));
        format!("{PREFIX}{path}{word}{query}").parse::<Uri>().ok()
    });
    if let Some(uri) = folded {
        *request.uri_mut() = uri;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(method: &str, uri: &str) -> String {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        fold_secret_path(request).uri().to_string()
    }

    #[test]
    fn slashes_of_a_secret_path_are_folded_and_no_others() {
        assert_eq!(folded("PUT", "/api/v1/secrets/web/a/b"), "/api/v1/secrets/web%2Fa%2Fb");
        assert_eq!(folded("DELETE", "/api/v1/secrets/web/get"), "/api/v1/secrets/web%2Fget");
        assert_eq!(
            folded("GET", "/api/v1/secrets/web/a/history?limit=1"),
            "/api/v1/secrets/web%2Fa/history?limit=1"
        );
        assert_eq!(folded("POST", "/api/v1/secrets/a/get"), "/api/v1/secrets/a/get");
        assert_eq!(folded("POST", "/api/v1/secrets/web%2Fa/get"), "/api/v1/secrets/web%2Fa/get");
        assert_eq!(folded("GET", "/api/v1/secrets?prefix=a/b"), "/api/v1/secrets?prefix=a/b");
        assert_eq!(folded("GET", "/api/v1/envoys/a/b"), "/api/v1/envoys/a/b");
    }

    #[test]
    fn nothing_but_health_is_open_and_every_other_route_names_a_permission() {
        for route in ROUTES {
            let open = matches!(route.access, Access::Open);
            assert_eq!(open, ["/healthz", "/readyz"].contains(&route.path), "{}", route.path);
        }
    }

    #[test]
    fn no_route_stands_twice_in_the_table() {
        for (at, route) in ROUTES.iter().enumerate() {
            let same = |other: &Route| other.verb == route.verb && other.path == route.path;
            assert!(!ROUTES[at + 1..].iter().any(same), "{:?} {}", route.verb, route.path);
        }
    }
}
