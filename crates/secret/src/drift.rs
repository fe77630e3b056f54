//! The MAC by which drift of a target is noticed without its secrets: HMAC-SHA256 under a key that lives in one process.

use crate::{SecretError, random_array};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A random key of one process. No `Debug`, no `Clone`.
pub struct DriftKey(Zeroizing<[u8; 64]>);

/// A MAC in the making.
pub struct DriftMac(Hmac<Sha256>);

impl DriftKey {
    /// A new one.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate() -> Result<Self, SecretError> {
        Ok(Self(Zeroizing::new(random_array()?)))
    }

    /// Starts a MAC of one kind; those of different kinds never agree.
    #[must_use]
    pub fn start(&self, kind: &[u8]) -> DriftMac {
        // As long as a block of the hash, so that HMAC takes it as it is (RFC 2104).
        let mut mac = DriftMac(Hmac::new((&*self.0).into()));
        mac.part(kind);
        mac
    }
}

impl DriftMac {
    /// Takes in a part with its length, so that no other division gives the same.
    pub fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Takes in bytes; to be the last.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The MAC.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_key_kind_division_or_byte_gives_another_mac() {
        let (key, other) = (DriftKey::generate().unwrap(), DriftKey::generate().unwrap());
        let mac = |key: &DriftKey, kind: &[u8], parts: &[&[u8]], rest: &[u8]| {
            let mut mac = key.start(kind);
            parts.iter().for_each(|part| mac.part(part));
            mac.bytes(rest);
            mac.finish()
        };
        let first = mac(&key, b"a", &[b"xy", b"z"], b"rest");
        assert_eq!(mac(&key, b"a", &[b"xy", b"z"], b"rest"), first);
        for differs in [
            mac(&other, b"a", &[b"xy", b"z"], b"rest"),
            mac(&key, b"b", &[b"xy", b"z"], b"rest"),
            mac(&key, b"a", &[b"x", b"yz"], b"rest"),
            mac(&key, b"a", &[b"xy", b"z"], b"resT"),
        ] {
            assert_ne!(differs, first);
        }
    }
}
