//! Enrolment tokens, and the one transaction that spends a use and stores the envoy.

use crate::envoy::{NewEnvoy, StoredAssignment};
use std::collections::BTreeMap;
use std::fmt;
use vigo_base::{Digest, EnvoyId};

/// Names a token; 1 to 32 bytes that are no secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(Vec<u8>);

impl TokenId {
    /// Takes 1 to 32 bytes as an id; `None` for any other length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (1..=32).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// The id that `text` spells in hexadecimal.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        vigo_base::decode_hex(text).and_then(|bytes| Self::from_bytes(&bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&vigo_base::encode_hex(&self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TokenId({self})")
    }
}

/// A token without its secret. Has no `Debug`: `key` is derived from the secret and good for enrolling.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// What the server keeps of the secret: a key derived from it, as it is or wrapped by the hand.
    pub key: Vec<u8>,
    /// Which names may enrol with it.
    pub globs: Vec<String>,
    /// How many may still.
    pub uses_left: u32,
    /// From when on nobody may.
    pub expires_at: u64,
    /// What is bound to who enrols with it.
    pub labels: BTreeMap<String, String>,
    /// Whether it may take a name from a living envoy.
    pub replace: bool,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: u64,
    /// A MAC by the hand over [`Token::granting_bytes`]: who can write to the database alone cannot grant.
    pub mac: Vec<u8>,
}

/// How many uses a token has left and until when, without its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uses {
    /// How many.
    pub left: u32,
    /// Until when.
    pub expires_at: u64,
}

impl Token {
    /// What the MAC is over: everything that says who may enrol and what is bound to them. Uses are not in it, they fall.
    #[must_use]
    pub fn granting_bytes(&self) -> Vec<u8> {
        let mut bytes = b"vigo token v1".to_vec();
        let mut put = |part: &[u8]| {
            bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend(part);
        };
        put(self.id.as_bytes());
        put(&self.key);
        put(&self.expires_at.to_be_bytes());
        put(&[u8::from(self.replace)]);
        put(&u64::try_from(self.globs.len()).unwrap_or(u64::MAX).to_be_bytes());
        for glob in &self.globs {
            put(glob.as_bytes());
        }
        for (name, value) in &self.labels {
            put(name.as_bytes());
            put(value.as_bytes());
        }
        bytes
    }
}

/// An enrolment whose MAC, name and labels the server has checked. Everything else is checked in the transaction.
#[derive(Clone, Copy)]
pub struct Enrolment<'a> {
    /// The token.
    pub token: &'a TokenId,
    /// SHA-256 of the request: the same one again gets the same answer and spends nothing.
    pub request: Digest,
    /// Now.
    pub at: u64,
    /// Who enrols.
    pub envoy: &'a NewEnvoy,
    /// The first assignment.
    pub assignment: Option<&'a StoredAssignment>,
    /// What is answered.
    pub answer: &'a [u8],
}

/// What came of an enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolled {
    /// Stored. `replaced` lost the name and is revoked.
    New {
        /// Who had the name before.
        replaced: Option<EnvoyId>,
    },
    /// The same request came before; this was its answer.
    Again(Vec<u8>),
}
