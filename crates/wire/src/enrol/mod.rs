//! Enrolment: how a node that holds a token, and a server that holds its anchor, come to know each other's keys through a network and a
//! worker that neither trusts.
//!
//! Up goes a request: name, public keys, certificate request, nonce; signed by the node's new identity, with a MAC of the token's key.
//! Down comes an answer: id, certificates, certified keys; signed by the anchor over all of it, the nonce and the digest of the request,
//! with such a MAC. The same request is the same bytes: the server stores its answer by [`VerifiedRequest::digest`] and gives it again.
//! Spending a use, choosing ids and issuing certificates are left to the server.

mod message;
#[cfg(test)]
mod tests;
mod token;

pub use message::{EnrolAnswer, EnrolRefused, EnrolReply, EnrolRequest, Outcome, RefusalCode};
pub use token::{Token, TokenKey};

use crate::assignment::KeyCertificate;
use crate::error::{array, check_size, decode};
use crate::identity::Identity;
use crate::sign::{CertifiedPurpose, SignContext, verify, verify_certificate};
use crate::verify::check_format;
use crate::{WireError, random};
use hmac::{Hmac, KeyInit as _, Mac as _};
use prost::Message as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use vigo_base::{Digest, EnvoyId, EnvoyName, limits};

/// The format that this build writes.
pub const FORMAT: u32 = 1;
/// A certificate or certificate request has at most so many bytes.
const X509_LIMIT: usize = 16 << 10;
/// A chain has at most so many certificates.
const CHAIN_LIMIT: usize = 4;
/// A refusal's message is cut to so many characters.
const MESSAGE_LIMIT: usize = 500;

const REQUEST: &str = "the enrolment request";
const ANSWER: &str = "the enrolment answer";
const REFUSAL: &str = "the enrolment refusal";

// --- the node's side

/// Makes the request. Store its bytes before they are sent: sent again they get the same answer, and a use of the token is not lost.
///
/// # Errors
/// When the kernel gives no random bytes, or the certificate request is too large.
pub fn request(
    token: &Token,
    name: &EnvoyName,
    identity: &Identity,
    certificate_request: &[u8],
) -> Result<Vec<u8>, WireError> {
    check_size("the certificate request", certificate_request.len(), X509_LIMIT)?;
    let mut request = EnrolRequest {
        format: FORMAT,
        token: token.id().to_vec(),
        name: name.as_str().into(),
        identity: identity.public().to_vec(),
        exchange: identity.exchange().public().to_vec(),
        certificate_request: certificate_request.to_vec(),
        nonce: random::array::<32>()?.to_vec(),
        signature: Vec::new(),
        mac: Vec::new(),
        token_on_command_line: token.is_from_command_line(),
    };
    request.signature = identity.sign(SignContext::EnrolRequest, &request.encode_to_vec())?.to_vec();
    request.mac = mac(&token.key()?, REQUEST, &request.encode_to_vec())?.to_vec();
    Ok(request.encode_to_vec())
}

/// What an enrolled node knows. Holding one proves that the server has the anchor of the token, and that all of this answers the request.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// The id, for life.
    pub envoy: EnvoyId,
    /// The name, as asked for.
    pub name: EnvoyName,
    /// The trust anchor's public key.
    pub anchor: [u8; 32],
    /// The transport certificate and what leads to the authority (X.509, DER).
    pub chain: Vec<Vec<u8>>,
    /// The authority's own certificate (X.509, DER), made by the anchor: what the worker trusts.
    pub authority: Vec<u8>,
    /// Bundle keys.
    pub keys: Vec<KeyCertificate>,
    /// The server's X25519 key of the inner session, certified by the anchor.
    pub session: [u8; 32],
    /// The server's term.
    pub term: u64,
    /// No assignment below this generation is taken.
    pub generation: u64,
    /// The server's clock, seconds since 1970.
    pub server_time: u64,
}

/// Verifies the answer to `request` (the bytes that were sent). `time` is this machine's clock; a clock that is behind the server's does
/// not hinder, because the answer itself is authentic.
///
/// # Errors
/// [`WireError::Refused`] when the server refuses; otherwise when the answer is not authentic, not to this request, or incomplete.
pub fn open_answer(bytes: &[u8], request: &[u8], token: &Token, time: u64) -> Result<Enrolled, WireError> {
    let key = token.key()?;
    let sent: EnrolRequest = decode(REQUEST, request, limits::ENROL_MESSAGE)?;
    let reply: EnrolReply = decode(ANSWER, bytes, limits::ENROL_MESSAGE)?;
    let malformed = |why| WireError::Malformed { what: ANSWER, why };
    match reply.outcome {
        Some(Outcome::Granted(answer)) => check_answer(&answer, request, &sent, token, &key, time),
        Some(Outcome::Refused(refused)) => Err(check_refusal(&refused, &sent, &key)),
        None => Err(malformed("it is empty")),
    }
}

fn check_answer(
    answer: &EnrolAnswer,
    request: &[u8],
    sent: &EnrolRequest,
    token: &Token,
    key: &TokenKey,
    time: u64,
) -> Result<Enrolled, WireError> {
    let malformed = |why| WireError::Malformed { what: ANSWER, why };
    check_format(ANSWER, answer.format, FORMAT)?;
    check_mac(key, ANSWER, &answer_without_mac(answer), &answer.mac)?;
    let anchor: [u8; 32] = array(ANSWER, "the anchor's key has not 32 bytes", &answer.anchor)?;
    let (found, expected) = (Digest::of(&anchor), *token.anchor());
    if found != expected {
        return Err(WireError::OtherAnchor { what: ANSWER, found: found.to_string(), expected });
    }
    verify(SignContext::EnrolAnswer, &anchor, &answer_message(answer), &answer.signature)?;
    if answer.nonce != sent.nonce || answer.request != Digest::of(request).as_bytes() {
        return Err(malformed("it answers another request"));
    }
    if answer.name != sent.name {
        return Err(malformed("it gives another name"));
    }
    check_certificates(answer)?;
    let time = time.max(answer.server_time);
    for certificate in &answer.keys {
        verify_certificate(certificate, &anchor, CertifiedPurpose::Bundle, time)?;
    }
    let session = answer.session.as_ref().ok_or(malformed("the session key is missing"))?;
    let session = *verify_certificate(session, &anchor, CertifiedPurpose::Session, time)?.key();
    Ok(Enrolled {
        envoy: EnvoyId::from_bytes(&answer.envoy).ok_or(malformed("the id has not 16 bytes"))?,
        name: answer.name.parse().map_err(|_| malformed("the name is no envoy name"))?,
        anchor,
        chain: answer.chain.clone(),
        authority: answer.authority.clone(),
        keys: answer.keys.clone(),
        session,
        term: answer.term,
        generation: answer.generation,
        server_time: answer.server_time,
    })
}

fn check_certificates(answer: &EnrolAnswer) -> Result<(), WireError> {
    let malformed = |why| WireError::Malformed { what: ANSWER, why };
    if answer.chain.is_empty() || answer.chain.len() > CHAIN_LIMIT {
        return Err(malformed("the certificate chain is empty or too long"));
    }
    let sizes = || answer.chain.iter().chain([&answer.authority]).map(Vec::len);
    if sizes().any(|size| size == 0 || size > X509_LIMIT) {
        return Err(malformed("a certificate is empty or too large"));
    }
    if answer.keys.is_empty() || answer.keys.len() > crate::verify::KEYS_LIMIT {
        return Err(malformed("the list of bundle keys is empty or too long"));
    }
    Ok(())
}

fn check_refusal(refused: &EnrolRefused, sent: &EnrolRequest, key: &TokenKey) -> WireError {
    let unsigned = EnrolRefused { mac: Vec::new(), ..refused.clone() }.encode_to_vec();
    let proven = refused.nonce == sent.nonce && check_mac(key, REFUSAL, &unsigned, &refused.mac).is_ok();
    WireError::Refused {
        code: printable(&refused.code, 40),
        message: printable(&refused.message, MESSAGE_LIMIT),
        proven,
    }
}

/// What somebody on the way may have written, fit for a terminal.
fn printable(text: &str, limit: usize) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(limit).collect()
}

// --- the server's side

/// Which token a request names, to look up its key. Nothing is proven yet.
///
/// # Errors
/// When the bytes are no request.
pub fn token_of(bytes: &[u8]) -> Result<[u8; 16], WireError> {
    let request: EnrolRequest = decode(REQUEST, bytes, limits::ENROL_MESSAGE)?;
    array(REQUEST, "the token's id has not 16 bytes", &request.token)
}

/// A request whose sender holds the token and the identity key.
#[derive(Clone, Debug)]
pub struct VerifiedRequest {
    /// Digest of its bytes: the same request again has the same, and gets the same answer.
    pub digest: Digest,
    /// Which token.
    pub token: [u8; 16],
    /// The name it asks for.
    pub name: EnvoyName,
    /// The node's Ed25519 key.
    pub identity: [u8; 32],
    /// The node's X25519 key of the inner session.
    pub exchange: [u8; 32],
    /// PKCS #10, DER. Only its public key counts: what else it asks for does not.
    pub certificate_request: Vec<u8>,
    /// To be bound into the answer.
    pub nonce: [u8; 32],
    /// The token stood on a command line.
    pub token_on_command_line: bool,
}

/// Verifies a request: the MAC first, then the proof that the sender holds the identity key, then the fields.
///
/// # Errors
/// When any of it does not hold.
pub fn verify_request(bytes: &[u8], key: &TokenKey) -> Result<VerifiedRequest, WireError> {
    let request: EnrolRequest = decode(REQUEST, bytes, limits::ENROL_MESSAGE)?;
    check_mac(key, REQUEST, &request_without_mac(&request), &request.mac)?;
    check_format(REQUEST, request.format, FORMAT)?;
    let identity = array(REQUEST, "the identity key has not 32 bytes", &request.identity)?;
    verify(SignContext::EnrolRequest, &identity, &request_message(&request), &request.signature)?;
    let malformed = |why| WireError::Malformed { what: REQUEST, why };
    // Who relays it could add a field that nobody knows: that would be another request to whoever counts the uses.
    if request.encode_to_vec() != bytes {
        return Err(malformed("it is not encoded in the one right way"));
    }
    check_size("the certificate request", request.certificate_request.len(), X509_LIMIT)?;
    let name: EnvoyName = request.name.parse().map_err(|_| malformed("the name is no envoy name"))?;
    if name.as_str() != request.name {
        return Err(malformed("the name is not in lower case"));
    }
    Ok(VerifiedRequest {
        digest: Digest::of(bytes),
        token: array(REQUEST, "the token's id has not 16 bytes", &request.token)?,
        name,
        identity,
        exchange: array(REQUEST, "the session key has not 32 bytes", &request.exchange)?,
        certificate_request: request.certificate_request,
        nonce: array(REQUEST, "the nonce has not 32 bytes", &request.nonce)?,
        token_on_command_line: request.token_on_command_line,
    })
}

/// What the server grants. The rest of the answer comes from the request.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The new id.
    pub envoy: EnvoyId,
    /// The trust anchor's public key.
    pub anchor: [u8; 32],
    /// The transport certificate and what leads to the authority (X.509, DER).
    pub chain: Vec<Vec<u8>>,
    /// The authority's own certificate (X.509, DER).
    pub authority: Vec<u8>,
    /// Bundle keys.
    pub keys: Vec<KeyCertificate>,
    /// The server's X25519 key of the inner session, certified by the anchor for [`CertifiedPurpose::Session`].
    pub session: KeyCertificate,
    /// The server's term.
    pub term: u64,
    /// No assignment below this generation is to be taken.
    pub generation: u64,
    /// The server's clock, seconds since 1970.
    pub server_time: u64,
}

/// An answer that is still to be signed by the anchor: sign [`answer_message`] of it in [`SignContext::EnrolAnswer`], then [`seal_answer`].
#[must_use]
pub fn answer(request: &VerifiedRequest, grant: Grant) -> EnrolAnswer {
    EnrolAnswer {
        format: FORMAT,
        nonce: request.nonce.to_vec(),
        request: request.digest.as_bytes().to_vec(),
        envoy: grant.envoy.as_bytes().to_vec(),
        name: request.name.as_str().into(),
        anchor: grant.anchor.to_vec(),
        chain: grant.chain,
        authority: grant.authority,
        keys: grant.keys,
        session: Some(grant.session),
        term: grant.term,
        generation: grant.generation,
        server_time: grant.server_time,
        signature: Vec::new(),
        mac: Vec::new(),
    }
}

/// The message that the anchor signs: the answer without signature and MAC.
#[must_use]
pub fn answer_message(answer: &EnrolAnswer) -> Vec<u8> {
    EnrolAnswer { signature: Vec::new(), mac: Vec::new(), ..answer.clone() }.encode_to_vec()
}

/// The bytes that go to the node: store them by the request's digest.
///
/// # Errors
/// When the answer became too large for its limit.
pub fn seal_answer(
    mut answer: EnrolAnswer,
    signature: &[u8; 64],
    key: &TokenKey,
) -> Result<Vec<u8>, WireError> {
    answer.signature = signature.to_vec();
    answer.mac = mac(key, ANSWER, &answer_without_mac(&answer))?.to_vec();
    let bytes = EnrolReply { outcome: Some(Outcome::Granted(Box::new(answer))) }.encode_to_vec();
    check_size(ANSWER, bytes.len(), limits::ENROL_MESSAGE)?;
    Ok(bytes)
}

/// The bytes of a refusal. With the token's key it proves that the server said it; without (unknown token) it is a hint only.
///
/// # Errors
/// Never for a key of this length.
pub fn refuse(
    code: RefusalCode,
    message: &str,
    request: &[u8],
    key: Option<&TokenKey>,
) -> Result<Vec<u8>, WireError> {
    let nonce = decode::<EnrolRequest>(REQUEST, request, limits::ENROL_MESSAGE).map(|sent| sent.nonce);
    let mut nonce = nonce.unwrap_or_default();
    nonce.truncate(32);
    let message = printable(message, MESSAGE_LIMIT);
    let mut refused = EnrolRefused { code: code.as_str().into(), message, nonce, mac: Vec::new() };
    if let Some(key) = key {
        refused.mac = mac(key, REFUSAL, &refused.encode_to_vec())?.to_vec();
    }
    Ok(EnrolReply { outcome: Some(Outcome::Refused(refused)) }.encode_to_vec())
}

// --- both

fn request_message(request: &EnrolRequest) -> Vec<u8> {
    EnrolRequest { signature: Vec::new(), mac: Vec::new(), ..request.clone() }.encode_to_vec()
}

fn request_without_mac(request: &EnrolRequest) -> Vec<u8> {
    EnrolRequest { mac: Vec::new(), ..request.clone() }.encode_to_vec()
}

fn answer_without_mac(answer: &EnrolAnswer) -> Vec<u8> {
    EnrolAnswer { mac: Vec::new(), ..answer.clone() }.encode_to_vec()
}

/// HMAC-SHA256 (RFC 2104) over what kind of message it is (length first) and its bytes.
fn mac(key: &TokenKey, what: &str, bytes: &[u8]) -> Result<[u8; 32], WireError> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|_| WireError::Mac { what: ANSWER })?;
    mac.update(&[u8::try_from(what.len()).unwrap_or(u8::MAX)]);
    mac.update(what.as_bytes());
    mac.update(bytes);
    Ok(mac.finalize().into_bytes().into())
}

/// In constant time.
fn check_mac(key: &TokenKey, what: &'static str, bytes: &[u8], found: &[u8]) -> Result<(), WireError> {
    if bool::from(mac(key, what, bytes)?.ct_eq(found)) { Ok(()) } else { Err(WireError::Mac { what }) }
}
