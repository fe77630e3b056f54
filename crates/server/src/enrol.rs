//! Enrolment: a machine that holds a token becomes an envoy. Told in order; every refusal is proven with the token's key where there is one.
//!
//! The use is spent in the transaction that stores the envoy, with the answer: the same request again gets the same bytes and spends nothing.

use crate::rest::call::record;
use crate::state::Server;
use crate::{ServerError, ca, clock};
use vigo_base::{EnvoyId, limits};
use vigo_policy::Glob;
use vigo_store::{Enrolled, Enrolment, EnvoyState, NewEnvoy, StoreError, Token, TokenId};
use vigo_wire::WireError;
use vigo_wire::enrol::{self, Grant, RefusalCode, TokenKey, VerifiedRequest};
use vigo_wire::sign::SignContext;

const ACTION: &str = "envoys.enrol";
/// The first assignment of a new envoy has at least this generation.
const FIRST_GENERATION: u64 = 1;
/// A token that may stand on a command line lives no longer.
const HOUR_S: u64 = 3600;

/// Answers an enrolment request. Blocks.
///
/// # Errors
/// When the store or the hand cannot; then nothing was spent.
pub fn answer(server: &Server, bytes: &[u8]) -> Result<Vec<u8>, ServerError> {
    let (answer, outcome) = decide(server, bytes)?;
    server.metrics.count("enrol", outcome);
    Ok(answer)
}

fn decide(server: &Server, bytes: &[u8]) -> Result<(Vec<u8>, &'static str), ServerError> {
    let refuse = |code: RefusalCode, message: &str, key: Option<&TokenKey>| -> Result<_, ServerError> {
        tracing::info!(code = code.as_str(), message, "an enrolment is refused");
        Ok((enrol::refuse(code, message, bytes, key)?, code.as_str()))
    };
    if bytes.len() > limits::ENROL_MESSAGE {
        return refuse(RefusalCode::Malformed, "the request is too large", None);
    }
    let Some(id) = enrol::token_of(bytes).ok().and_then(|id| TokenId::from_bytes(&id)) else {
        return refuse(RefusalCode::Malformed, "the request cannot be read", None);
    };
    let Some(token) = server.store.token(&id)?.filter(|_| server.witness.has_token(&id)) else {
        let message = "this server knows no such token; ask for a new one (`vigocli token create`)";
        return refuse(RefusalCode::UnknownToken, message, None);
    };
    server.keys.check_mac("token", &id, &token.granting_bytes(), &token.mac)?;
    let key = server.keys.unwrap_token_key(&token.key)?;
    let request = match enrol::verify_request(bytes, &key) {
        Ok(request) => request,
        Err(WireError::Mac { .. }) => {
            deny(server, &token, "", "the request was not made with this token");
            let message = "the request was not made with this token: was its line copied whole?";
            return refuse(RefusalCode::WrongToken, message, Some(&key));
        }
        Err(error) => return refuse(RefusalCode::Malformed, &error.to_string(), Some(&key)),
    };
    if let Some(answer) = server.store.answered(&id, &request.digest)? {
        return Ok((answer, "done"));
    }
    if !token
        .globs
        .iter()
        .any(|glob| glob.parse::<Glob>().is_ok_and(|glob| glob.matches(request.name.as_str())))
    {
        let message = format!("the token is for {}, not for `{}`", token.globs.join(" "), request.name);
        deny(server, &token, request.name.as_str(), &message);
        return refuse(RefusalCode::NameNotAllowed, &message, Some(&key));
    }
    if request.token_on_command_line && !may_stand_on_a_command_line(&token) {
        let message = "the token stood on a command line, where every user could read it, and is good for more than a single use within an hour; \
                       use `--token-file`, and make a new token: this one may have been seen";
        deny(server, &token, request.name.as_str(), message);
        return refuse(RefusalCode::TokenExposed, message, Some(&key));
    }
    match grant(server, &token, &request, &key) {
        Ok(answer) => Ok((answer, "done")),
        Err(ServerError::CertificateRequest) => {
            refuse(RefusalCode::Malformed, "the certificate request cannot be read", Some(&key))
        }
        Err(ServerError::Store(error)) => match refusal(&error) {
            Some(code) => {
                let message = error.to_string();
                deny(server, &token, request.name.as_str(), &message);
                refuse(code, &message, Some(&key))
            }
            None => Err(error.into()),
        },
        Err(error) => Err(error),
    }
}

/// The one exception that SECURITY.md names: a token whose line was seen is soon worth nothing.
const fn may_stand_on_a_command_line(token: &Token) -> bool {
    token.uses_left <= 1 && token.expires_at.saturating_sub(token.created_at) <= HOUR_S
}

/// Refusals of the transaction; everything else is a failure.
const fn refusal(error: &StoreError) -> Option<RefusalCode> {
    match error {
        StoreError::TokenUnknown => Some(RefusalCode::UnknownToken),
        StoreError::TokenExpired => Some(RefusalCode::ExpiredToken),
        StoreError::TokenSpent => Some(RefusalCode::SpentToken),
        StoreError::NameTaken { .. } => Some(RefusalCode::NameTaken),
        _ => None,
    }
}

fn grant(
    server: &Server,
    token: &Token,
    request: &VerifiedRequest,
    key: &TokenKey,
) -> Result<Vec<u8>, ServerError> {
    let now = clock::now();
    let envoy = new_envoy(server, token, request)?;
    let certificate = ca::transport(&server.keys, now, envoy.id, &request.certificate_request)?;
    let grant = Grant {
        envoy: envoy.id,
        anchor: *server.keys.anchor(),
        chain: vec![certificate.to_vec()],
        authority: server.authority.to_vec(),
        keys: vec![server.keys.certificates().bundle.clone()],
        session: server.keys.certificates().session.clone(),
        term: server.keys.term(),
        generation: FIRST_GENERATION,
        server_time: now,
    };
    let answer = enrol::answer(request, grant);
    let signature = server.keys.sign_as_anchor(SignContext::EnrolAnswer, &enrol::answer_message(&answer))?;
    let answer = enrol::seal_answer(answer, &signature, key)?;
    let enrolment = Enrolment {
        token: &token.id,
        request: request.digest,
        at: now,
        envoy: &envoy,
        assignment: None,
        answer: &answer,
    };
    let actor = format!("token:{}", token.id);
    let detail = format!("id {}", envoy.id);
    let audit = record(&actor, ACTION, envoy.name.as_str(), "allowed", &detail);
    match server.store.enrol(&enrolment, &[audit])? {
        Enrolled::Again(answer) => Ok(answer),
        Enrolled::New { replaced } => {
            server.metrics.audit_records.inc();
            match replaced {
                Some(replaced) => server.fleet.set_state(&replaced, EnvoyState::Revoked),
                None => drop(server.metrics.envoys.inc()),
            }
            Ok(answer)
        }
    }
}

fn new_envoy(server: &Server, token: &Token, request: &VerifiedRequest) -> Result<NewEnvoy, ServerError> {
    let id: [u8; 16] = vigo_wire::random::array()?;
    let mut envoy = NewEnvoy {
        id: EnvoyId::from_bytes(&id).ok_or(ServerError::Bug("an id has not 16 bytes"))?,
        name: request.name.clone(),
        identity_key: request.identity,
        session_key: request.exchange,
        labels: token.labels.clone(),
        mac: Vec::new(),
    };
    envoy.mac = server.keys.mac(&envoy.granting_bytes())?.to_vec();
    Ok(envoy)
}

fn deny(server: &Server, token: &Token, name: &str, why: &str) {
    server.note_denial(record(&format!("token:{}", token.id), ACTION, name, "denied", why));
}
