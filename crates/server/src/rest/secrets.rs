//! Secrets for operators: names, versions, who may have them. A value comes sealed and goes sealed; there is no field for a plain one.

use super::call::{Answer, Call};
use crate::auth::Permission;
use crate::clock::rfc3339;
use crate::problem::{Code, Problem};
use crate::state::Server;
use crate::{ServerError, clock, entitle, plan};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vigo_base::{Sealed, SecretPath, SecretVersion, decode_hex, encode_hex};
use vigo_hand::{Binding, VaultRecord};
use vigo_store::{NewSecret, StoreError};

/// Characters of a rotated secret when the caller does not say.
const LENGTH: u32 = 32;
fn path(call: &Call) -> Result<SecretPath, Problem> {
    call.parameter("path")?.parse().map_err(|error| Problem::new(Code::Malformed, format!("{error}")))
}

/// `GET /entry-key`: what values are sealed to on their way in, certified by the anchor.
pub fn entry_key(server: &Server, _: &Call) -> Result<Answer, Problem> {
    let certificate = &server.keys.certificates().entry;
    Ok(Answer::object(json!({
        "key_id": server.keys.entry_id(),
        "key": encode_hex(server.keys.entry()),
        "certificate": {
            "key": encode_hex(&certificate.key),
            "purpose": certificate.purpose,
            "not_before": certificate.not_before,
            "not_after": certificate.not_after,
            "signature": encode_hex(&certificate.signature),
        },
        "anchor": encode_hex(server.keys.anchor()),
    })))
}

/// `GET /secrets`.
pub fn list(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let page = server.store.secrets(call.asked("prefix"), call.page())?;
    Ok(Answer::list(page, |secret| {
        json!({
            "path": secret.path.as_str(),
            "version": secret.version.0,
            "versions": secret.versions,
            "updated_at": rfc3339(secret.updated_at),
            "updated_by": secret.updated_by,
        })
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedBody {
    format: u32,
    key_id: String,
    encapsulated: String,
    ciphertext: String,
}

/// `PUT /secrets/{path}`: takes a value that was sealed to the entry key.
pub fn set(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let path = path(call)?;
    // Whatever else it is, it may be a plain value: it is not looked at any further, and nothing of it is said.
    let plain = || {
        Problem::new(Code::MediaType, "the body is no sealed value")
            .help("a value is taken sealed to the entry key and in no other form: use `vigocli secrets set`")
    };
    let body: SealedBody = serde_json::from_slice(&call.body).map_err(|_| plain())?;
    if body.format != super::call::FORMAT {
        return Err(Problem::new(
            Code::Malformed,
            "the sealed value is of a format that this server does not know",
        ));
    }
    if body.key_id != server.keys.entry_id() {
        return Err(Problem::new(Code::WrongKey, "the value is sealed to a key that is not the entry key")
            .help("ask for the entry key again (`GET /api/v1/entry-key`) and seal once more"));
    }
    let sealed = Sealed {
        encapsulated: STANDARD.decode(&body.encapsulated).map_err(|_| plain())?,
        ciphertext: STANDARD.decode(&body.ciphertext).map_err(|_| plain())?,
    };
    store(server, call, &path, |version| server.keys.put(&path, version, &sealed))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RotateBody {
    length: Option<u32>,
    alphabet: Option<String>,
}

/// `POST /secrets/{path}/rotate`: the hand makes a new value that nobody sees.
pub fn rotate(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let path = path(call)?;
    let body: RotateBody = call.json()?;
    let length = body.length.unwrap_or(LENGTH);
    store(server, call, &path, |version| {
        server.keys.generate(&path, version, length, body.alphabet.as_deref())
    })
}

/// Makes a record for the next version and stores it, with its audit record in the same transaction.
fn store(
    server: &Server,
    call: &Call,
    path: &SecretPath,
    make: impl Fn(SecretVersion) -> Result<Vec<u8>, ServerError>,
) -> Result<Answer, Problem> {
    let _turn = server.secret_changes();
    let version = server.store.next_secret_version(path)?;
    let record = make(version)?;
    let by = call.principal.name();
    let secret = NewSecret { path, version, record: &record, at: clock::now(), by };
    let audit = call.audit(Permission::SecretsSet, path.as_str(), "allowed", &version.to_string());
    server.store.put_secret(&secret, &[audit])?;
    server.metrics.audit_records.inc();
    server.note_secret_changes()?;
    Ok(Answer::object(json!({ "path": path.as_str(), "version": version.0 })))
}

/// `DELETE /secrets/{path}`.
pub fn remove(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let path = path(call)?;
    let _turn = server.secret_changes();
    let audit = call.audit(Permission::SecretsSet, path.as_str(), "allowed", "removed");
    server.store.remove_secret(&path, clock::now(), call.principal.name(), &[audit])?;
    server.metrics.audit_records.inc();
    server.note_secret_changes()?;
    Ok(Answer::object(json!({ "path": path.as_str() })))
}

/// `GET /secrets/{path}/history`.
pub fn history(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let path = path(call)?;
    let page = server.store.secret_history(&path, call.page())?;
    if page.items.is_empty() && call.page().cursor.is_none() {
        return Err(missing(&path));
    }
    Ok(Answer::list(page, |version| {
        json!({
            "version": version.version.0,
            "at": rfc3339(version.at),
            "by": version.by,
            "state": version.state.as_str(),
        })
    }))
}

fn missing(path: &SecretPath) -> Problem {
    Problem::new(Code::NotFound, format!("there is no secret `{path}`"))
        .help(format!("set it with `vigocli secrets set {path}`"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetBody {
    key: String,
    request: String,
    version: Option<u64>,
}

/// `POST /secrets/{path}/get`: a value, sealed to the caller's one-time key. Its own permission, and audited before anything leaves.
pub fn get(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let path = path(call)?;
    let body: GetBody = call.json()?;
    let wrong = |what: &str| {
        Problem::new(Code::Malformed, format!("`{what}` is not hexadecimal of the right length"))
    };
    let key: [u8; 32] =
        decode_hex(&body.key).and_then(|key| key.try_into().ok()).ok_or_else(|| wrong("key"))?;
    let request: [u8; 16] = decode_hex(&body.request)
        .and_then(|request| request.try_into().ok())
        .ok_or_else(|| wrong("request"))?;
    let record =
        server.store.secret_record(&path, body.version.map(SecretVersion))?.ok_or_else(|| missing(&path))?;
    let version = record.version;
    let audit = call.audit(Permission::SecretsGet, path.as_str(), "allowed", &version.to_string());
    server.append_audit(&[audit])?;
    let binding = Binding { party: Binding::OPERATOR, epoch: 0, request };
    let record = VaultRecord { path: path.clone(), version, record: record.record };
    let sealed = server.keys.reseal(&[record], &key, &binding)?.into_iter().next();
    let sealed = sealed.ok_or_else(|| Problem::new(Code::Bug, "the hand sealed nothing"))?;
    server.metrics.secrets_sealed.inc();
    Ok(Answer::object(json!({
        "path": path.as_str(),
        "version": version.0,
        "epoch": 0,
        "encapsulated": STANDARD.encode(&sealed.sealed.encapsulated),
        "ciphertext": STANDARD.encode(&sealed.sealed.ciphertext),
    })))
}

/// `GET /secrets/{path}/who`: the envoys whose bundle refers to it, and where.
pub fn who(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let path = path(call)?;
    let published = server.published();
    let mut items: Vec<Value> = Vec::new();
    plan::each_envoy(server, |envoy| {
        let identity = &envoy.identity;
        let traits = if published.wants_traits(identity) { server.traits(&identity.id)? } else { None };
        let block = published.choose(identity, traits.as_ref()).block;
        let mut uses = entitle::uses(&block.bundle, identity, &block.environment);
        uses.retain(|one| one.path == path);
        if !uses.is_empty() {
            let exposure: BTreeSet<&str> = uses.iter().map(|one| one.exposure.as_str()).collect();
            items.push(json!({
                "envoy": identity.id.to_string(),
                "name": identity.name.as_str(),
                "resources": uses.iter().map(|one| one.resource.as_str()).collect::<BTreeSet<_>>(),
                "exposure": exposure.into_iter().filter(|exposure| !exposure.is_empty()).collect::<Vec<_>>(),
            }));
        }
        Ok(())
    })?;
    Ok(Answer::items(items))
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        ServerError::from(error).into()
    }
}
