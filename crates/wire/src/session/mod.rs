//! The inner session between `vigo` and `vigosrv`: `Noise_KK_25519_ChaChaPoly_SHA256`. The worker relays it and can read none of it.
//!
//! What a worker can do to it is delay and deny: a frame that was changed, replayed, reordered or lost ends the session, and a new one costs
//! one round trip. The clock is left to the caller (whole seconds, best of a clock that only goes forward).
//!
//! The server should let a session that was only begun wait beside the one in use until its first message is opened: the first message of
//! a handshake can be replayed, and then comes to nothing.

mod primitives;
#[cfg(test)]
mod tests;

use crate::WireError;
use crate::error::check_size;
use crate::identity::ExchangeKey;
use primitives::Primitives;
use snow::{Builder, HandshakeState, TransportState};
use vigo_base::{Digest, EnvoyId, limits};
use zeroize::Zeroizing;

/// The Noise protocol (<https://noiseprotocol.org/noise.html>, revision 34).
const PROTOCOL: &str = "Noise_KK_25519_ChaChaPoly_SHA256";
/// Goes first into the prologue: two sides of different versions do not understand each other.
const VERSION: &[u8] = b"vigo inner session v1";
/// The longest Noise message.
const NOISE_MESSAGE: usize = 65_535;
/// Length of an authentication tag.
const TAG: usize = 16;
/// Plaintext in one Noise message.
const CHUNK: usize = NOISE_MESSAGE - TAG;
/// Length of the total that goes before a message.
const TOTAL: usize = 4;

/// After so many seconds the node begins no new exchange: it makes a new session.
pub const LIFE_S: u64 = 3600;
/// So much longer an exchange that began in time may take to end.
pub const GRACE_S: u64 = 300;
/// What [`Session::send`] gives has at most so many bytes.
pub const SEALED_LIMIT: usize =
    limits::INNER_MESSAGE + TOTAL + (limits::INNER_MESSAGE / CHUNK + 1) * (TAG + 2);
/// A handshake message has exactly so many bytes.
pub const HANDSHAKE: usize = 32 + TAG;

/// What both sides must agree on before the first byte.
#[derive(Clone, Copy, Debug)]
pub struct SessionContext {
    /// SHA-256 of the trust anchor's public key.
    pub anchor: Digest,
    /// The envoy.
    pub envoy: EnvoyId,
}

impl SessionContext {
    /// The prologue: version, anchor, envoy, each of a fixed length.
    fn prologue(&self) -> Vec<u8> {
        [VERSION, self.anchor.as_bytes(), self.envoy.as_bytes()].concat()
    }
}

/// The node's side of a handshake that was begun.
pub struct Initiator {
    state: Box<HandshakeState>,
}

impl Initiator {
    /// Begins: gives the message for the server.
    ///
    /// # Errors
    /// When the kernel gives no random bytes, or the server's key is none.
    pub fn begin(
        own: &ExchangeKey,
        server: &[u8; 32],
        context: &SessionContext,
    ) -> Result<(Self, Vec<u8>), WireError> {
        let prologue = context.prologue();
        let mut state =
            builder(own, server, &prologue)?.build_initiator().map_err(|_| WireError::Handshake)?;
        let message = write_handshake(&mut state)?;
        Ok((Self { state: Box::new(state) }, message))
    }

    /// Ends the handshake with the server's message. `now_s` is when the session began.
    ///
    /// # Errors
    /// When the other side does not hold the server's key, or disagrees on anchor, envoy or version.
    pub fn finish(mut self, message: &[u8], now_s: u64) -> Result<Session, WireError> {
        read_handshake(&mut self.state, message)?;
        Session::new(*self.state, now_s)
    }
}

/// The server's side: answers the first message of a node whose X25519 key it knows. The session proves that the other side is that node
/// only when the first message was received over it.
///
/// # Errors
/// When the other side does not hold the node's key, or disagrees on anchor, envoy or version.
pub fn respond(
    own: &ExchangeKey,
    node: &[u8; 32],
    context: &SessionContext,
    message: &[u8],
    now_s: u64,
) -> Result<(Session, Vec<u8>), WireError> {
    let prologue = context.prologue();
    let mut state = builder(own, node, &prologue)?.build_responder().map_err(|_| WireError::Handshake)?;
    read_handshake(&mut state, message)?;
    let answer = write_handshake(&mut state)?;
    Ok((Session::new(state, now_s)?, answer))
}

fn builder<'a>(
    own: &'a ExchangeKey,
    other: &'a [u8; 32],
    prologue: &'a [u8],
) -> Result<Builder<'a>, WireError> {
    let parameters = PROTOCOL.parse().map_err(|_| WireError::Handshake)?;
    Builder::with_resolver(parameters, Box::new(Primitives))
        .local_private_key(own.private())
        .and_then(|builder| builder.remote_public_key(other))
        .and_then(|builder| builder.prologue(prologue))
        .map_err(|_| WireError::Handshake)
}

fn write_handshake(state: &mut HandshakeState) -> Result<Vec<u8>, WireError> {
    let mut message = vec![0; HANDSHAKE];
    let length = state.write_message(&[], &mut message).map_err(|error| match error {
        snow::Error::Rng => WireError::Random("getrandom failed".into()),
        _ => WireError::Handshake,
    })?;
    message.truncate(length);
    Ok(message)
}

fn read_handshake(state: &mut HandshakeState, message: &[u8]) -> Result<(), WireError> {
    if message.len() != HANDSHAKE {
        return Err(WireError::Handshake);
    }
    state.read_message(message, &mut []).map(drop).map_err(|_| WireError::Handshake)
}

/// A session: every message is authenticated, counted, and read by the other side only. Its first failure is its end.
pub struct Session {
    state: Option<Box<TransportState>>,
    began_s: u64,
}

impl Session {
    fn new(state: HandshakeState, now_s: u64) -> Result<Self, WireError> {
        let state = state.into_transport_mode().map_err(|_| WireError::Handshake)?;
        Ok(Self { state: Some(Box::new(state)), began_s: now_s })
    }

    /// True if it failed: it will not work again.
    #[must_use]
    pub const fn is_poisoned(&self) -> bool {
        self.state.is_none()
    }

    /// True if the node should make a new one before its next request.
    #[must_use]
    pub const fn is_due(&self, now_s: u64) -> bool {
        self.state.is_none() || now_s.saturating_sub(self.began_s) >= LIFE_S
    }

    /// True if it can be forgotten.
    #[must_use]
    pub const fn is_over(&self, now_s: u64) -> bool {
        self.state.is_none() || now_s.saturating_sub(self.began_s) > LIFE_S + GRACE_S
    }

    /// Ends it: the keys are wiped.
    pub fn end(&mut self) {
        self.state = None;
    }

    /// Seals a message: cut into Noise messages, each with its length before it, all in one piece of bytes for one frame.
    ///
    /// # Errors
    /// When the message is too large (the session goes on), or the session failed or is too old.
    pub fn send(&mut self, message: &[u8], now_s: u64) -> Result<Vec<u8>, WireError> {
        check_size("a message of the inner session", message.len(), limits::INNER_MESSAGE)?;
        let is_node = self.state.as_ref().is_some_and(|state| state.is_initiator());
        let mut state = self.take(now_s, if is_node { LIFE_S } else { LIFE_S + GRACE_S })?;
        let sealed = seal(&mut state, message)?;
        self.state = Some(state);
        Ok(sealed)
    }

    /// Opens what the other side's [`Session::send`] gave.
    ///
    /// # Errors
    /// When it is not the next message, whole and unchanged: then the session is over. Or the session failed before, or is too old.
    pub fn receive(&mut self, sealed: &[u8], now_s: u64) -> Result<Vec<u8>, WireError> {
        let mut state = self.take(now_s, LIFE_S + GRACE_S)?;
        let message = open(&mut state, sealed)?;
        self.state = Some(state);
        Ok(message)
    }

    /// Takes the state out; whoever does not put it back has ended the session.
    fn take(&mut self, now_s: u64, limit_s: u64) -> Result<Box<TransportState>, WireError> {
        let age_s = now_s.saturating_sub(self.began_s);
        if self.state.is_some() && age_s > limit_s {
            self.end();
            return Err(WireError::Expired { age_s, limit_s });
        }
        self.state.take().ok_or(WireError::Poisoned)
    }
}

fn seal(state: &mut TransportState, message: &[u8]) -> Result<Vec<u8>, WireError> {
    let total = u32::try_from(message.len()).map_err(|_| WireError::Frame)?;
    let (first, rest) = message.split_at(message.len().min(CHUNK - TOTAL));
    let first = Zeroizing::new([&total.to_le_bytes(), first].concat());
    let chunks = rest.len().div_ceil(CHUNK) + 1;
    let mut sealed = Vec::with_capacity(TOTAL + message.len() + chunks * (TAG + 2));
    let mut noise = vec![0; NOISE_MESSAGE];
    for chunk in std::iter::once(first.as_slice()).chain(rest.chunks(CHUNK)) {
        let length = state.write_message(chunk, &mut noise).map_err(|_| WireError::Frame)?;
        let written = noise.get(..length).filter(|_| length == chunk.len() + TAG).ok_or(WireError::Frame)?;
        sealed.extend_from_slice(&u16::try_from(length).map_err(|_| WireError::Frame)?.to_le_bytes());
        sealed.extend_from_slice(written);
    }
    Ok(sealed)
}

fn open(state: &mut TransportState, sealed: &[u8]) -> Result<Vec<u8>, WireError> {
    check_size("a frame of the inner session", sealed.len(), SEALED_LIMIT)?;
    let mut message = Vec::with_capacity(sealed.len());
    let mut buffer = Zeroizing::new(vec![0; NOISE_MESSAGE]);
    let mut total = None;
    let mut rest = sealed;
    while total.is_none_or(|total| message.len() < total) {
        let (length, after) = rest.split_first_chunk().ok_or(WireError::Frame)?;
        let (noise, after) =
            after.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or(WireError::Frame)?;
        rest = after;
        let length = state.read_message(noise, &mut buffer).map_err(|_| WireError::Frame)?;
        let mut chunk = buffer.get(..length).ok_or(WireError::Frame)?;
        if total.is_none() {
            let (announced, after) = chunk.split_first_chunk::<TOTAL>().ok_or(WireError::Frame)?;
            let announced = usize::try_from(u32::from_le_bytes(*announced)).map_err(|_| WireError::Frame)?;
            check_size("a message of the inner session", announced, limits::INNER_MESSAGE)?;
            total = Some(announced);
            chunk = after;
        } else if chunk.is_empty() {
            return Err(WireError::Frame);
        }
        message.extend_from_slice(chunk);
    }
    if total == Some(message.len()) && rest.is_empty() { Ok(message) } else { Err(WireError::Frame) }
}
