//! A new transport certificate for a worker's new key. The session says who asks; the store says whether this one still may.

use crate::dispatch::{REVOKED, refused};
use crate::fleet::Member;
use crate::rest::call::record;
use crate::state::Server;
use crate::{ServerError, ca, clock};
use vigo_store::EnvoyState;
use vigo_wire::inner::{Answer, Renew, RenewReply};

/// A certificate request has at most so many bytes.
const REQUEST_LIMIT: usize = 16 << 10;
const ACTION: &str = "envoys.renew";

/// Answers a renewal. Blocks.
///
/// # Errors
/// When the store or the hand cannot.
pub fn answer(server: &Server, member: &Member, wanted: &Renew) -> Result<Answer, ServerError> {
    if wanted.request.len() > REQUEST_LIMIT {
        return Ok(refused("too-large", format!("a certificate request has {REQUEST_LIMIT} bytes at most")));
    }
    let Some(envoy) = server.store.envoy(&member.id())? else {
        return Ok(refused("unknown-envoy", "the server does not know this envoy"));
    };
    member.note_state(envoy.state);
    if envoy.state == EnvoyState::Revoked {
        server.append_audit(&[record(&member.actor(), ACTION, "", "denied", "revoked")])?;
        return Ok(refused("revoked", REVOKED));
    }
    let certificate = match ca::transport(&server.keys, clock::now(), member.id(), &wanted.request) {
        Err(ServerError::CertificateRequest) => {
            return Ok(refused("malformed", "the certificate request cannot be read"));
        }
        certificate => certificate?,
    };
    server.append_audit(&[record(&member.actor(), ACTION, "", "allowed", "")])?;
    Ok(Answer::Renew(RenewReply { chain: vec![certificate.to_vec()] }))
}
