//! API tokens: made here, shown once, kept as a hash. With one, a person or a program is known from anywhere, for some time, with some permissions.

use crate::auth::{Permission, Principal};
use crate::problem::{Code, Problem};
use crate::rest::call::record;
use crate::state::Server;
use crate::{ServerError, clock};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use vigo_base::SecretScope;
use vigo_store::{ApiToken, NewAudit, TokenId};

/// How a token begins, so that one that was put somewhere by mistake can be searched for.
const PREFIX: &str = "vigo-api-";

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Whose it is to be.
    pub user: String,
    /// What for.
    pub permissions: Vec<Permission>,
    /// For which secrets; empty for all.
    pub paths: Vec<SecretScope>,
    /// From when on it is not known any more.
    pub expires_at: u64,
}

/// True if that is the form of such a token.
#[must_use]
pub fn is_one(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// Makes a token and stores it with its audit record; gives it with the line that its owner keeps. Blocks.
///
/// # Errors
/// When whoever asks would give more than they have, or the store or the hand cannot.
pub fn make(
    server: &Server,
    by: &Principal,
    wanted: Wanted,
    audit: impl FnOnce(&ApiToken) -> NewAudit,
) -> Result<(ApiToken, String), Problem> {
    by.may_give(&wanted.permissions, &wanted.paths)?;
    let id: [u8; 8] = vigo_wire::random::array().map_err(ServerError::from)?;
    let secret: [u8; 32] = vigo_wire::random::array().map_err(ServerError::from)?;
    let line = format!("{PREFIX}{}-{}", vigo_base::encode_hex(&id), vigo_base::encode_hex(&secret));
    let mut token = ApiToken {
        id: TokenId::from_bytes(&id).ok_or_else(|| Problem::new(Code::Bug, "a token has no id"))?,
        hash: hash(&line),
        user: wanted.user,
        permissions: wanted.permissions.iter().map(|one| one.as_str().to_owned()).collect(),
        paths: wanted.paths,
        expires_at: wanted.expires_at,
        created_by: by.name().into(),
        created_at: clock::now(),
        mac: Vec::new(),
    };
    token.mac = server.keys.mac(&token.granting_bytes())?.to_vec();
    let audit = audit(&token);
    server.change_rights(
        |rights| rights.add_api_token(&token),
        |store| store.add_api_token(&token, &[audit]),
    )?;
    server.metrics.audit_records.inc();
    Ok((token, line))
}

/// Who presents that token. Blocks.
///
/// # Errors
/// `not-logged-in` when it is not known, expired, or its row was not written by this server.
pub fn recognise(server: &Server, line: &str) -> Result<Principal, Problem> {
    let refused = |detail: &str| {
        Problem::new(Code::NotLoggedIn, detail).help("ask for a new one: `vigocli api-token create`")
    };
    let unknown = || refused("the API token is not known");
    let id = line.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).map(|(id, _)| id);
    let id = id.and_then(TokenId::parse).ok_or_else(unknown)?;
    let Some(token) = server.store.api_token(&id).map_err(ServerError::from)? else { return Err(unknown()) };
    let deny = |why: &str| {
        server.note_denial(record(&name(&token), "api-tokens.use", &id.to_string(), "denied", why));
    };
    if !bool::from(hash(line).ct_eq(&token.hash)) {
        deny("the token is another one of that id");
        return Err(unknown());
    }
    match server.keys.check_mac("API token", &id, &token.granting_bytes(), &token.mac) {
        Ok(()) => {}
        Err(error @ ServerError::Forged { .. }) => {
            tracing::error!("{error}");
            deny("the stored token is not this server's");
            return Err(unknown());
        }
        Err(error) => return Err(error.into()),
    }
    if !server.witness.has_api_token(&token) {
        tracing::error!(%id, "the API token was removed, and put back into the database past the server");
        deny("the token was removed and put back");
        return Err(unknown());
    }
    if token.expires_at <= clock::now() {
        return Err(refused("the API token is expired"));
    }
    let permissions: Vec<Permission> =
        token.permissions.iter().filter_map(|word| Permission::parse(word)).collect();
    Ok(Principal::new(name(&token), &permissions).only_for(token.paths))
}

/// Who it is in the audit log: a name that nobody else has.
fn name(token: &ApiToken) -> String {
    format!("{}#{}", token.user, token.id)
}

fn hash(line: &str) -> [u8; 32] {
    Sha256::digest(line.as_bytes()).into()
}
