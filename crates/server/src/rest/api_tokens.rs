//! API tokens: made, listed, removed. The token itself is shown once.

use super::call::{Answer, Call};
use crate::api_tokens::{self, Wanted};
use crate::auth::Permission;
use crate::clock::{self, rfc3339};
use crate::problem::{Code, Problem};
use crate::state::Server;
use serde::Deserialize;
use serde_json::json;
use vigo_base::SecretScope;
use vigo_store::{ApiToken, TokenId};

const TTL_SECONDS: u64 = 30 * 86_400;
const TTL_MOST_SECONDS: u64 = 366 * 86_400;
const USER_MOST: usize = 64;
const PATHS_MOST: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    user: String,
    permissions: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    ttl_seconds: Option<u64>,
}

/// `POST /api-tokens`.
pub fn create(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let wanted = wanted(call.json()?)?;
    let audit = |token: &ApiToken| {
        let detail = format!(
            "{} for {} on {}",
            token.permissions.join(","),
            token.user,
            if token.paths.is_empty() { "all secrets".into() } else { scopes(token).join(" ") }
        );
        call.audit(Permission::ApiTokensCreate, &token.id.to_string(), "allowed", &detail)
    };
    let (token, line) = api_tokens::make(server, &call.principal, wanted, audit)?;
    Ok(Answer::object(json!({
        "id": token.id.to_string(),
        "token": line,
        "expires_at": rfc3339(token.expires_at),
    })))
}

fn wanted(body: CreateBody) -> Result<Wanted, Problem> {
    let invalid = |why: String| Problem::new(Code::Invalid, why);
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    if body.user.is_empty() || body.user.len() > USER_MOST || !body.user.bytes().all(letter) {
        return Err(invalid(format!(
            "`user` is a name of up to {USER_MOST} letters, digits, `.`, `_`, `-` and `@`"
        )));
    }
    let ttl = body.ttl_seconds.unwrap_or(TTL_SECONDS);
    if !(1..=TTL_MOST_SECONDS).contains(&ttl) {
        return Err(invalid(format!("`ttl_seconds` is 1 to {TTL_MOST_SECONDS}")));
    }
    let mut permissions = Vec::new();
    for word in &body.permissions {
        let known = || Permission::ALL.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", ");
        let permission = Permission::parse(word).ok_or_else(|| {
            invalid(format!("there is no permission `{word}`")).help(format!("there are {}", known()))
        })?;
        if !permissions.contains(&permission) {
            permissions.push(permission);
        }
    }
    if permissions.is_empty() {
        return Err(invalid("a token without a permission is good for nothing".into()));
    }
    if body.paths.len() > PATHS_MOST {
        return Err(invalid(format!("`paths` takes up to {PATHS_MOST}")));
    }
    let paths: Result<Vec<SecretScope>, _> = body.paths.iter().map(|path| path.parse()).collect();
    Ok(Wanted {
        user: body.user,
        permissions,
        paths: paths.map_err(|error: vigo_base::SecretScopeError| invalid(error.to_string()))?,
        expires_at: clock::now().saturating_add(ttl),
    })
}

fn scopes(token: &ApiToken) -> Vec<String> {
    token.paths.iter().map(ToString::to_string).collect()
}

/// `GET /api-tokens`.
pub fn list(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let page = server.store.api_tokens(call.page())?;
    let now = clock::now();
    Ok(Answer::list(page, |token| {
        json!({
            "id": token.id.to_string(),
            "user": token.user,
            "permissions": token.permissions,
            "paths": scopes(&token),
            "expires_at": rfc3339(token.expires_at),
            "expired": token.expires_at <= now,
            "created_by": token.created_by,
            "created_at": rfc3339(token.created_at),
        })
    }))
}

/// `DELETE /api-tokens/{id}`: from the next request on nobody knows it.
pub fn remove(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let text = call.parameter("id")?;
    let id = TokenId::parse(text)
        .ok_or_else(|| Problem::new(Code::NotFound, format!("there is no API token `{text}`")))?;
    let audit = call.audit(Permission::ApiTokensCreate, text, "allowed", "removed");
    server.change_rights(
        |rights| rights.remove_api_token(&id),
        |store| store.remove_api_token(&id, &[audit]),
    )?;
    server.metrics.audit_records.inc();
    Ok(Answer::object(json!({ "id": text })))
}
