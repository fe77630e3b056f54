//! Seal and open: HPKE (RFC 9180, base mode) to a public key, bound to who it is for and what it is.
//!
//! Base mode says nothing of who sealed. On the way to a node the inner session says it; on the way to the server the operator's login does.

use crate::{SecretBuf, SecretError, random_array};
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use vigo_base::{Sealed, SecretPath, SecretVersion};

/// The suite. A hybrid KEM takes the place of this one name; keys then grow, and [`KEY`] with them.
type Kem = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::ChaCha20Poly1305;
type PrivateHalf = <Kem as hpke::Kem>::PrivateKey;
type PublicHalf = <Kem as hpke::Kem>::PublicKey;

/// Bytes of a public key, and of a private one.
pub const KEY: usize = 32;
/// A public key as it travels.
pub type PublicKey = [u8; KEY];

/// What a sealed value is on its way to. Each has its own `info`, so one is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealPurpose {
    /// From an operator to the server's entry key.
    Entry,
    /// From the server to the one-time key of a node or of an operator.
    Delivery,
}

impl SealPurpose {
    const fn info(self) -> &'static [u8] {
        match self {
            Self::Entry => b"vigo secret entry v1",
            Self::Delivery => b"vigo secret delivery v1",
        }
    }
}

/// What a seal is bound to, beside the key. Opening with anything else fails.
#[derive(Clone, Copy)]
pub struct SealBinding<'a> {
    /// What it is on its way to.
    pub purpose: SealPurpose,
    /// The envoy's id; 16 zero bytes for an operator.
    pub party: &'a [u8; 16],
    /// The path.
    pub path: &'a SecretPath,
    /// The version; 0 on the way in, where the server gives it.
    pub version: SecretVersion,
    /// The secrets epoch; 0 for an operator.
    pub epoch: u64,
    /// The request that it answers; zero on the way in.
    pub request: &'a [u8; 16],
}

impl SealBinding<'_> {
    /// Each field behind its length, so that no two bindings give the same bytes.
    fn encode(&self) -> Vec<u8> {
        let path = self.path.as_str().as_bytes();
        let (version, epoch) = (self.version.0.to_le_bytes(), self.epoch.to_le_bytes());
        let fields: [&[u8]; 5] = [self.party, path, &version, &epoch, self.request];
        let mut bytes = Vec::with_capacity(80 + path.len());
        for field in fields {
            bytes.extend_from_slice(&u32::try_from(field.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(field);
        }
        bytes
    }
}

/// A key pair. The private half is wiped when dropped (by its own `Drop`).
pub struct KeyPair {
    private: PrivateHalf,
    public: PublicKey,
}

impl KeyPair {
    /// A new pair.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate() -> Result<Self, SecretError> {
        let seed = SecretBuf::from_vec(random_array::<KEY>()?.to_vec());
        let (private, public) = Kem::derive_keypair(seed.expose());
        Ok(Self { private, public: public.to_bytes().into() })
    }

    /// The pair of a private half, as [`KeyPair::private`] gave it.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn from_private(bytes: &[u8]) -> Result<Self, SecretError> {
        let private = PrivateHalf::from_bytes(bytes).map_err(|_| SecretError::Wrapped)?;
        let public = Kem::sk_to_pk(&private).to_bytes().into();
        Ok(Self { private, public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The private half, to be wrapped.
    #[must_use]
    pub fn private(&self) -> SecretBuf {
        let mut bytes = SecretBuf::zeroed(KEY);
        self.private.write_exact(bytes.expose_mut());
        bytes
    }
}

/// Seals `value` to `to`.
///
/// # Errors
/// When `to` is no public key.
pub fn seal(to: &PublicKey, binding: &SealBinding<'_>, value: &[u8]) -> Result<Sealed, SecretError> {
    let to = PublicHalf::from_bytes(to).map_err(|_| SecretError::PublicKey)?;
    let (mode, info, aad) = (OpModeS::Base, binding.purpose.info(), binding.encode());
    let (encapsulated, ciphertext) = hpke::single_shot_seal::<Aead, Kdf, Kem>(&mode, &to, info, value, &aad)
        .map_err(|_| SecretError::PublicKey)?;
    Ok(Sealed { encapsulated: encapsulated.to_bytes().to_vec(), ciphertext })
}

/// Opens what was sealed to this key with this binding.
///
/// # Errors
/// When it was not.
pub fn open(key: &KeyPair, binding: &SealBinding<'_>, sealed: &Sealed) -> Result<SecretBuf, SecretError> {
    let encapsulated =
        <Kem as hpke::Kem>::EncappedKey::from_bytes(&sealed.encapsulated).map_err(|_| SecretError::Seal)?;
    let (mode, info, aad) = (OpModeR::Base, binding.purpose.info(), binding.encode());
    hpke::single_shot_open::<Aead, Kdf, Kem>(
        &mode,
        &key.private,
        &encapsulated,
        info,
        &sealed.ciphertext,
        &aad,
    )
    .map(SecretBuf::from_vec)
    .map_err(|_| SecretError::Seal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTY: [u8; 16] = [7; 16];
    const REQUEST: [u8; 16] = [9; 16];

    fn binding(path: &SecretPath) -> SealBinding<'_> {
        let (version, epoch) = (SecretVersion(3), 12);
        SealBinding { purpose: SealPurpose::Delivery, party: &PARTY, path, version, epoch, request: &REQUEST }
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_binding_and_with_no_other() {
        let (path, other_path) = ("web/token".parse().unwrap(), "web/token2".parse().unwrap());
        let key = KeyPair::generate().unwrap();
        let right = binding(&path);
        let sealed = seal(key.public(), &right, b"hello").unwrap();
        assert!(open(&key, &right, &sealed).unwrap().equals_bytes(b"hello"));
        let wrong = [
            SealBinding { purpose: SealPurpose::Entry, ..right },
            SealBinding { party: &[8; 16], ..right },
            SealBinding { path: &other_path, ..right },
            SealBinding { version: SecretVersion(4), ..right },
            SealBinding { epoch: 13, ..right },
            SealBinding { request: &[0; 16], ..right },
        ];
        for wrong in &wrong {
            assert_eq!(open(&key, wrong, &sealed).err(), Some(SecretError::Seal));
        }
        assert_eq!(open(&KeyPair::generate().unwrap(), &right, &sealed).err(), Some(SecretError::Seal));
    }

    #[test]
    fn changed_or_cut_bytes_do_not_open() {
        let path = "a".parse().unwrap();
        let key = KeyPair::generate().unwrap();
        let sealed = seal(key.public(), &binding(&path), b"hello").unwrap();
        for position in 0..sealed.ciphertext.len() {
            let mut changed = sealed.clone();
            changed.ciphertext[position] ^= 1;
            assert!(open(&key, &binding(&path), &changed).is_err());
            changed.ciphertext.truncate(position);
            assert!(open(&key, &binding(&path), &changed).is_err());
        }
        let short = Sealed { encapsulated: vec![1; 31], ..sealed };
        assert!(open(&key, &binding(&path), &short).is_err());
    }

    #[test]
    fn a_private_half_gives_its_pair_again() {
        let key = KeyPair::generate().unwrap();
        let again = KeyPair::from_private(key.private().expose()).unwrap();
        assert_eq!(key.public(), again.public());
        assert!(KeyPair::from_private(&[1; 31]).is_err());
    }

    #[test]
    fn the_all_zero_public_key_is_refused() {
        let path = "a".parse().unwrap();
        assert_eq!(seal(&[0; 32], &binding(&path), b"x").err(), Some(SecretError::PublicKey));
    }
}
