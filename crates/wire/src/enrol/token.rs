//! The enrolment token: one line, shown once, known to the operator and to `vigo`, never to the worker.

use crate::{WireError, random};
use hkdf::Hkdf;
use sha2::Sha256;
use vigo_base::Digest;
use zeroize::Zeroizing;

/// First part of the line; the digit is the format.
const PREFIX: &str = "vigo1";
/// Salt of the derivation: fixed, so that both sides come to the same key.
const SALT: &[u8] = b"vigo enrolment token v1";
/// What the derived key is for.
const INFO: &[u8] = b"mac key of an enrolment";

/// The key that both sides derive from a token's secret. The server keeps this and never the secret.
pub struct TokenKey(Zeroizing<[u8; 32]>);

impl TokenKey {
    /// Takes a key that was stored.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The key, for storing.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A token. Its secret has no way out but the line and the key.
pub struct Token {
    id: [u8; 16],
    secret: Zeroizing<[u8; 32]>,
    anchor: Digest,
    on_command_line: bool,
}

impl Token {
    /// A new one for servers of that anchor.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate(anchor: Digest) -> Result<Self, WireError> {
        Ok(Self { id: random::array()?, secret: random::secret()?, anchor, on_command_line: false })
    }

    /// Reads the line; white space around it is no part of it.
    ///
    /// # Errors
    /// When it is no such line. The error says what is wrong and holds nothing of the line.
    pub fn parse(line: &str) -> Result<Self, WireError> {
        let mut parts = line.trim().split('.');
        if parts.next() != Some(PREFIX) {
            return Err(WireError::Token("it does not start with `vigo1.`"));
        }
        let mut id = [0; 16];
        let mut secret = Zeroizing::new([0; 32]);
        let mut anchor = [0; 32];
        for part in [id.as_mut_slice(), secret.as_mut_slice(), anchor.as_mut_slice()] {
            let text = parts.next().ok_or(WireError::Token("a part is missing: was it copied whole?"))?;
            decode_hex_into(text, part)
                .ok_or(WireError::Token("a part is damaged or cut: was it copied whole?"))?;
        }
        if parts.next().is_some() {
            return Err(WireError::Token("it has too many parts"));
        }
        let anchor = Digest::from_bytes(&anchor).ok_or(WireError::Token("the digest is damaged"))?;
        Ok(Self { id, secret, anchor, on_command_line: false })
    }

    /// The same token, which stood on a command line where every user could read it: the request says so, and the server takes only those for
    /// a single use within an hour.
    #[must_use]
    pub fn from_command_line(self) -> Self {
        Self { on_command_line: true, ..self }
    }

    /// Whether it stood on a command line.
    #[must_use]
    pub const fn is_from_command_line(&self) -> bool {
        self.on_command_line
    }

    /// The line, without a newline: to be shown once.
    #[must_use]
    pub fn line(&self) -> Zeroizing<String> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut line = Zeroizing::new(String::with_capacity(PREFIX.len() + 3 + 2 * (16 + 32 + 32)));
        line.push_str(PREFIX);
        for part in [self.id.as_slice(), self.secret.as_slice(), self.anchor.as_bytes()] {
            line.push('.');
            for nibble in part.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
                line.push(DIGITS.get(usize::from(nibble)).copied().map_or('?', char::from));
            }
        }
        line
    }

    /// Which token: no secret.
    #[must_use]
    pub const fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// SHA-256 of the public key of the anchor that the server must prove to have.
    #[must_use]
    pub const fn anchor(&self) -> &Digest {
        &self.anchor
    }

    /// K = HKDF-SHA256 (RFC 5869) of the secret.
    ///
    /// # Errors
    /// Never for this length; the type of the derivation wants it said.
    pub fn key(&self) -> Result<TokenKey, WireError> {
        let mut key = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(SALT), self.secret.as_slice())
            .expand(INFO, key.as_mut_slice())
            .map_err(|_| WireError::Token("no key can be derived from it"))?;
        Ok(TokenKey(key))
    }
}

/// Decodes exactly as many hexadecimal digits as fit; leaves no copy elsewhere.
fn decode_hex_into(text: &str, into: &mut [u8]) -> Option<()> {
    let digits = text.as_bytes();
    if digits.len() != into.len() * 2 {
        return None;
    }
    for (byte, pair) in into.iter_mut().zip(digits.chunks_exact(2)) {
        let mut nibbles = pair.iter().filter_map(|digit| char::from(*digit).to_digit(16));
        let (high, low) = (nibbles.next()?, nibbles.next()?);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(())
}
