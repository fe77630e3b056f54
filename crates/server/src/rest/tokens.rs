//! Enrolment tokens: made here, shown once, kept only as what is derived from them.

use super::call::{Answer, Call};
use crate::auth::Permission;
use crate::clock::{self, rfc3339};
use crate::problem::{Code, Problem};
use crate::state::Server;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use vigo_base::Digest;
use vigo_store::{Token, TokenId};

const TTL_SECONDS: u64 = 3600;
const TTL_MOST_SECONDS: u64 = 366 * 86_400;
const USES_MOST: u32 = 100_000;
const GLOBS_MOST: usize = 64;
const LABELS_MOST: usize = 32;

#[derive(Deserialize)]
#[serde(untagged)]
enum Globs {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    r#match: Globs,
    ttl_seconds: Option<u64>,
    uses: Option<u32>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    replace: bool,
}

/// `POST /tokens`.
pub fn create(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let body: CreateBody = call.json()?;
    let globs = match body.r#match {
        Globs::One(glob) => vec![glob],
        Globs::Many(globs) => globs,
    };
    let (ttl, uses) = (body.ttl_seconds.unwrap_or(TTL_SECONDS), body.uses.unwrap_or(1));
    check(&globs, ttl, uses, &body.labels)?;
    let now = clock::now();
    let made = vigo_wire::enrol::Token::generate(Digest::of(server.keys.anchor()))
        .map_err(crate::ServerError::from)?;
    let id = TokenId::from_bytes(made.id()).ok_or_else(|| Problem::new(Code::Bug, "a token has no id"))?;
    let key = made.key().map_err(crate::ServerError::from)?;
    let mut token = Token {
        id,
        key: server.keys.wrap_token_key(&key)?,
        globs,
        uses_left: uses,
        expires_at: now.saturating_add(ttl),
        labels: body.labels,
        replace: body.replace,
        created_by: call.principal.name().into(),
        created_at: now,
        mac: Vec::new(),
    };
    token.mac = server.keys.mac(&token.granting_bytes())?.to_vec();
    let detail = format!("match {}, {uses} uses, {ttl} s, replace {}", token.globs.join(" "), token.replace);
    let audit = call.audit(Permission::TokensCreate, &token.id.to_string(), "allowed", &detail);
    server.change_rights(|rights| rights.add_token(&token), |store| store.add_token(&token, &[audit]))?;
    server.metrics.audit_records.inc();
    Ok(Answer::object(json!({
        "id": token.id.to_string(),
        "token": made.line().as_str(),
        "expires_at": rfc3339(token.expires_at),
    })))
}

fn check(globs: &[String], ttl: u64, uses: u32, labels: &BTreeMap<String, String>) -> Result<(), Problem> {
    let invalid = |why: String| Err(Problem::new(Code::Invalid, why));
    let is_glob = |glob: &String| glob.parse::<vigo_policy::Glob>().is_ok();
    if globs.is_empty() || globs.len() > GLOBS_MOST || !globs.iter().all(is_glob) {
        return invalid(format!(
            "`match` takes 1 to {GLOBS_MOST} globs over lower-case names; write `*` for every name"
        ));
    }
    if !(1..=TTL_MOST_SECONDS).contains(&ttl) {
        return invalid(format!("`ttl_seconds` is 1 to {TTL_MOST_SECONDS}"));
    }
    if !(1..=USES_MOST).contains(&uses) {
        return invalid(format!("`uses` is 1 to {USES_MOST}"));
    }
    let is_plain = |text: &String| (1..=128).contains(&text.len()) && !text.chars().any(char::is_control);
    if labels.len() > LABELS_MOST || !labels.iter().all(|(name, value)| is_plain(name) && is_plain(value)) {
        return invalid(format!("`labels` takes up to {LABELS_MOST} names and values of 1 to 128 bytes"));
    }
    Ok(())
}

/// `GET /tokens`.
pub fn list(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let page = server.store.tokens(call.page())?;
    Ok(Answer::list(page, |token| {
        json!({
            "id": token.id.to_string(),
            "match": token.globs,
            "uses_left": token.uses_left,
            "expires_at": rfc3339(token.expires_at),
            "labels": token.labels,
            "replace": token.replace,
            "created_by": token.created_by,
        })
    }))
}

/// `DELETE /tokens/{id}`.
pub fn remove(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let text = call.parameter("id")?;
    let id = TokenId::parse(text)
        .ok_or_else(|| Problem::new(Code::NotFound, format!("there is no token `{text}`")))?;
    let audit = call.audit(Permission::TokensCreate, text, "allowed", "removed");
    server.change_rights(|rights| rights.remove_token(&id), |store| store.remove_token(&id, &[audit]))?;
    server.metrics.audit_records.inc();
    Ok(Answer::object(json!({ "id": text })))
}
