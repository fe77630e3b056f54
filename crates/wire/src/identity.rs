//! Keys that stand for somebody: the node's identity, and X25519 keys of the inner session.
//!
//! The node **is** its identity key. This module makes it and turns it into the bytes of a file and back; writing that file (0600, root) is
//! left to the agent. Nothing here has `Debug`, `Clone` or `Display`, and everything is wiped when dropped.

use crate::sign::{SignContext, sign};
use crate::{WireError, random};
use ed25519_dalek::SigningKey;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// First bytes of the file; the last digit is the format.
const MAGIC: &[u8; 8] = b"vigo-id1";
/// Magic, two private keys, two public keys.
const LENGTH: usize = 8 + 4 * 32;

/// An X25519 key pair of the inner session.
pub struct ExchangeKey {
    secret: StaticSecret,
    public: [u8; 32],
}

impl ExchangeKey {
    /// A new one.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate() -> Result<Self, WireError> {
        Ok(Self::from_bytes(&*random::secret()?))
    }

    /// The one with that private half.
    #[must_use]
    pub fn from_bytes(private: &[u8; 32]) -> Self {
        let secret = StaticSecret::from(*private);
        let public = PublicKey::from(&secret).to_bytes();
        Self { secret, public }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The private half: for the file it is kept in, wrapped, and for the handshake.
    #[must_use]
    pub fn private(&self) -> &[u8; 32] {
        self.secret.as_bytes()
    }
}

/// A node's identity: Ed25519 to prove who asks to be enrolled, X25519 for the inner session.
pub struct Identity {
    signing: SigningKey,
    exchange: ExchangeKey,
}

impl Identity {
    /// A new one.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate() -> Result<Self, WireError> {
        let seed = random::secret()?;
        Ok(Self { signing: SigningKey::from_bytes(&seed), exchange: ExchangeKey::generate()? })
    }

    /// The bytes of the identity file.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(self.signing.as_bytes());
        bytes.extend_from_slice(self.exchange.private());
        bytes.extend_from_slice(&self.public());
        bytes.extend_from_slice(self.exchange.public());
        bytes
    }

    /// Reads what [`Identity::encode`] wrote. The public halves in it tell a damaged file from a whole one.
    ///
    /// # Errors
    /// When it is of another format or damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let bytes: &[u8; LENGTH] =
            bytes.try_into().map_err(|_| WireError::Identity("the file has not 136 bytes"))?;
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return Err(WireError::Identity("the file does not start with `vigo-id1`"));
        };
        let (keys, _) = rest.as_chunks::<32>();
        let [seed, private, public, exchange_public] = keys else {
            return Err(WireError::Identity("the file has not four keys"));
        };
        let identity =
            Self { signing: SigningKey::from_bytes(seed), exchange: ExchangeKey::from_bytes(private) };
        if identity.public() != *public || identity.exchange.public() != exchange_public {
            return Err(WireError::Identity("the keys do not fit together: the file is damaged"));
        }
        Ok(identity)
    }

    /// The public Ed25519 key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// The key of the inner session.
    #[must_use]
    pub const fn exchange(&self) -> &ExchangeKey {
        &self.exchange
    }

    /// What both sides show where an enrolment is approved by hand: the digest of both public keys.
    #[must_use]
    pub fn fingerprint(&self) -> vigo_base::Digest {
        fingerprint(&self.public(), self.exchange.public())
    }

    /// Signs as this node. Only what a node signs: other contexts are refused.
    ///
    /// # Errors
    /// When the context is not one of a node.
    pub fn sign(&self, context: SignContext, message: &[u8]) -> Result<[u8; 64], WireError> {
        if context.signer() != crate::sign::Signer::Node {
            return Err(WireError::Malformed { what: context.what(), why: "a node does not sign this" });
        }
        sign(context, &self.signing, message)
    }
}

/// The digest of a node's two public keys.
#[must_use]
pub fn fingerprint(identity: &[u8; 32], exchange: &[u8; 32]) -> vigo_base::Digest {
    let mut bytes = b"vigo node fingerprint v1".to_vec();
    bytes.extend_from_slice(identity);
    bytes.extend_from_slice(exchange);
    vigo_base::Digest::of(&bytes)
}
