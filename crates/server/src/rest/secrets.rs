//! Secrets for operators: names, versions, who may have them. A value comes sealed and goes sealed; there is no field for a plain one.

use super::call::{Answer, Call};
use crate::auth::Permission;
use crate::clock::rfc3339;
use crate::problem::{Code, Problem};
use crate::secret_policy::{self, Facts, Refusal};
use crate::state::Server;
use crate::{ServerError, clock, entitle, plan};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vigo_base::{Sealed, SecretPath, SecretVersion, decode_hex, encode_hex};
use vigo_hand::{Binding, VaultRecord};
use vigo_policy::Entitlement;
use vigo_store::{Envoy, EnvoyState, NewSecret, Page, Secret, SecretPolicies, StoreError};

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
    server.flush_secret_uses()?;
    let policies = server.store.secret_policies()?;
    let mut cursor = call.page().cursor.map(str::to_owned);
    let mut items = Vec::new();
    loop {
        let page = Page { cursor: cursor.as_deref(), limit: call.page().limit };
        let page = server.store.secrets(call.asked("prefix"), page)?;
        let seen = page.items.iter().filter(|secret| call.principal.covers(&secret.path));
        items.extend(seen.map(|secret| show(secret, &policies)));
        cursor = page.next;
        // Who sees some of them only gets a shorter page, and an empty one only at the end.
        if cursor.is_none() || !items.is_empty() {
            return Ok(Answer::object(json!({ "items": items, "next": cursor })));
        }
    }
}

fn show(secret: &Secret, policies: &SecretPolicies) -> Value {
    let covering = secret_policy::covering(policies, &secret.path);
    json!({
        "path": secret.path.as_str(),
        "version": secret.version.0,
        "versions": secret.versions,
        "updated_at": rfc3339(secret.updated_at),
        "updated_by": secret.updated_by,
        "used_at": secret.used_at.map(rfc3339),
        "policies": covering.map(|policy| policy.scope.as_str()).collect::<Vec<_>>(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedBody {
    format: u32,
    key_id: String,
    encapsulated: String,
    ciphertext: String,
}

/// `PUT /secrets/{path}`: takes a value that was sealed to the entry key; with `?new=true` only where there is no such secret.
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
    let new = call.asked("new") == "true";
    store(server, call, &path, new, |version| server.keys.put(&path, version, &sealed))
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
    store(server, call, &path, false, |version| {
        server.keys.generate(&path, version, length, body.alphabet.as_deref())
    })
}

/// Makes a record for the next version and stores it, with its audit record in the same transaction. `new`: only if there is no such secret.
fn store(
    server: &Server,
    call: &Call,
    path: &SecretPath,
    new: bool,
    make: impl Fn(SecretVersion) -> Result<Vec<u8>, ServerError>,
) -> Result<Answer, Problem> {
    let _turn = server.secret_changes();
    if new && server.store.secret(path)?.is_some() {
        return Err(Problem::new(Code::Conflict, format!("the secret `{path}` is there already"))
            .help("somebody else has set it; look at `vigocli secrets history`"));
    }
    let version = server.store.next_secret_version(path)?;
    let record = make(version)?;
    let by = call.principal.name();
    let secret = NewSecret { path, version, record: &record, at: clock::now(), by };
    let audit = call.audit(Permission::SecretsSet, path.as_str(), "allowed", &version.to_string());
    server.store.put_secret(&secret, &[audit])?;
    server.metrics.audit_records.inc();
    // Before anybody is told of the version: none that was handed out is given again, even if an older store is put back at this moment.
    server.follow()?;
    server.note_secret_changes()?;
    Ok(Answer::object(json!({ "path": path.as_str(), "version": version.0 })))
}

/// `DELETE /secrets/{path}`: not while what is published refers to it, unless with `?force=true`.
pub fn remove(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let path = path(call)?;
    if call.asked("force") != "true" && server.store.secret(&path)?.is_some() {
        let readers = readers(server, &path)?;
        let is_written = server.published().references().iter().any(|(written, ..)| written == path.as_str());
        if is_written || !readers.is_empty() {
            let names: Vec<&str> =
                readers.iter().take(5).map(|(envoy, _)| envoy.identity.name.as_str()).collect();
            let more = if readers.len() > names.len() { ", .." } else { "" };
            let whose =
                if names.is_empty() { String::new() } else { format!(" ({}{more})", names.join(", ")) };
            let detail = format!(
                "what is published refers to `{path}`{whose}: the resources that need it would be blocked"
            );
            return Err(Problem::new(Code::Conflict, detail).help(format!(
                "publish without it first, or remove it all the same: `vigocli secrets rm {path} --force`"
            )));
        }
    }
    let _turn = server.secret_changes();
    let audit = call.audit(Permission::SecretsSet, path.as_str(), "allowed", "removed");
    server.store.remove_secret(&path, clock::now(), call.principal.name(), &[audit])?;
    server.metrics.audit_records.inc();
    // Before anybody is told of the version: none that was handed out is given again, even if an older store is put back at this moment.
    server.follow()?;
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
    server.note_secret_use(&path, call.principal.name(), version);
    Ok(Answer::object(json!({
        "path": path.as_str(),
        "version": version.0,
        "epoch": 0,
        "encapsulated": STANDARD.encode(&sealed.sealed.encapsulated),
        "ciphertext": STANDARD.encode(&sealed.sealed.ciphertext),
    })))
}

/// The envoys whose bundle refers to the secret, with where.
fn readers(server: &Server, path: &SecretPath) -> Result<Vec<(Envoy, BTreeSet<Entitlement>)>, ServerError> {
    let published = server.published();
    let mut readers = Vec::new();
    plan::each_envoy(server, |envoy| {
        let identity = &envoy.identity;
        let traits = if published.wants_traits(identity) { server.traits(&identity.id)? } else { None };
        let block = published.choose(identity, traits.as_ref()).block;
        let mut uses = entitle::uses(&block.bundle, identity, &block.environment);
        uses.retain(|one| one.path == *path);
        if !uses.is_empty() {
            readers.push((Envoy { environment: block.environment.clone(), ..envoy.clone() }, uses));
        }
        Ok(())
    })?;
    Ok(readers)
}

/// `GET /secrets/{path}/who`: the envoys whose bundle refers to it, where, and whether they get it and why.
pub fn who(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let path = path(call)?;
    let readers = readers(server, &path)?;
    if readers.is_empty() && server.store.secret(&path)?.is_none() {
        return Err(missing(&path));
    }
    let policies = server.store.secret_policies()?;
    let intact = secret_policy::verify(server, &policies);
    let is_set = server.store.secret(&path)?.is_some();
    let mut items: Vec<Value> = Vec::with_capacity(readers.len());
    for (envoy, uses) in &readers {
        let (may, why, help) = match &intact {
            Err(ServerError::Forged { .. }) => {
                (false, "the stored policies of secrets are not this server's".to_owned(), String::new())
            }
            Err(_) => (false, "the policies of secrets cannot be checked".to_owned(), String::new()),
            Ok(()) => verdict(server, envoy, &path, &policies, is_set),
        };
        let set = |field: fn(&Entitlement) -> &str| -> BTreeSet<&str> {
            uses.iter().map(field).filter(|text| !text.is_empty()).collect()
        };
        items.push(json!({
            "envoy": envoy.identity.id.to_string(),
            "name": envoy.identity.name.as_str(),
            "resources": set(|one| &one.resource),
            "ways": set(|one| &one.way),
            "exposure": set(|one| &one.exposure),
            "may": may,
            "why": why,
            "help": help,
        }));
    }
    Ok(Answer::items(items))
}

/// Whether an envoy that has the secret in its bundle gets it now, why, and what would change that.
fn verdict(
    server: &Server,
    envoy: &Envoy,
    path: &SecretPath,
    policies: &SecretPolicies,
    is_set: bool,
) -> (bool, String, String) {
    let identity = &envoy.identity;
    let live = server.fleet.known(&identity.id).map(|member| member.live().clone());
    let (state, posture) =
        live.map_or((envoy.state, envoy.posture.clone()), |live| (live.state, live.posture));
    let facts =
        Facts { name: identity.name.as_str(), environment: &envoy.environment, labels: &identity.labels };
    let refused = |refusal: Refusal| (false, refusal.why, refusal.help);
    if !is_set {
        return (false, "the secret has no value".into(), format!("`vigocli secrets set {path}`"));
    }
    if state == EnvoyState::Quarantined {
        return (false, "the envoy looks like a clone and is quarantined".into(), String::new());
    }
    if let Err(refusal) = secret_policy::allows(policies, path, &facts) {
        return refused(refusal);
    }
    if let Err(refusal) = secret_policy::gate(policies, path, &posture) {
        return refused(refusal);
    }
    let covering = secret_policy::covering(policies, path);
    let covering: Vec<String> = covering
        .map(|policy| format!("`{}`: {}", policy.scope, super::policies::described(policy).join(", ")))
        .collect();
    let why = match covering.is_empty() {
        true => "it stands in its bundle, and no policy demands more".to_owned(),
        false => format!("it stands in its bundle, and it meets {}", covering.join("; ")),
    };
    (true, why, String::new())
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        ServerError::from(error).into()
    }
}
