//! The master key and the keys that are derived from it: one for each purpose, so that nothing made for one is good for another.

use crate::{SecretBuf, SecretError, fill_random, random_array};
use chacha20poly1305::{AeadInOut as _, KeyInit as _, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of a nonce of XChaCha20-Poly1305; long enough to be random.
pub(crate) const NONCE: usize = 24;
/// Bytes of its tag.
pub(crate) const TAG: usize = 16;
/// Bytes of every key here.
pub(crate) const KEY: usize = 32;

/// What a private key or other bytes of the server are wrapped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WrapLabel {
    /// The trust anchor's private half.
    AnchorKey,
    /// A bundle key's private half.
    BundleKey,
    /// The entry key's private half.
    EntryKey,
    /// The server's static key of the inner session.
    SessionKey,
    /// The private key of the server's TLS certificate.
    TlsKey,
    /// The key that was derived from an enrolment token's secret.
    TokenKey,
}

impl WrapLabel {
    /// Every label.
    pub const ALL: [Self; 6] =
        [Self::AnchorKey, Self::BundleKey, Self::EntryKey, Self::SessionKey, Self::TlsKey, Self::TokenKey];

    /// Its name; never reused for anything else.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnchorKey => "anchor-key",
            Self::BundleKey => "bundle-key",
            Self::EntryKey => "entry-key",
            Self::SessionKey => "session-key",
            Self::TlsKey => "tls-key",
            Self::TokenKey => "token-key",
        }
    }

    /// The label of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|label| label.name() == name)
    }
}

/// What is authenticated by a MAC under the master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MacLabel {
    /// A row that grants: users, roles, policy, assignments.
    GrantingRow,
    /// The list of what a vault holds, against a rolled-back vault.
    VaultManifest,
    /// The key that an enrolment token's secret is stored by.
    EnrolmentToken,
    /// A session or API token of a person.
    AccessToken,
}

impl MacLabel {
    /// Every label.
    pub const ALL: [Self; 4] =
        [Self::GrantingRow, Self::VaultManifest, Self::EnrolmentToken, Self::AccessToken];

    /// Its name; never reused for anything else.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GrantingRow => "granting-row",
            Self::VaultManifest => "vault-manifest",
            Self::EnrolmentToken => "enrolment-token",
            Self::AccessToken => "access-token",
        }
    }

    /// The label of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|label| label.name() == name)
    }
}

/// The key above all others of a vault or a server. Only keys derived from it are ever used.
pub struct MasterKey {
    key: SecretBuf,
    id: [u8; 16],
}

impl MasterKey {
    /// The longest text that [`MasterKey::parse`] takes.
    pub const TEXT: usize = 256;
    /// First word and format number of the text.
    const MAGIC: &'static str = "vigo-master-key 1";

    /// A new key.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn generate() -> Result<Self, SecretError> {
        let mut key = SecretBuf::zeroed(KEY);
        fill_random(key.expose_mut())?;
        Ok(Self::from_key(key))
    }

    /// Reads the text that [`MasterKey::write`] made: `vigo-master-key 1 ID KEY`, both in hexadecimal.
    ///
    /// # Errors
    /// When it is no such text, or the id does not belong to the key: then it was typed or copied wrong.
    pub fn parse(text: &[u8]) -> Result<Self, SecretError> {
        let words =
            text.trim_ascii().strip_prefix(Self::MAGIC.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
        let words = words.ok_or(SecretError::MasterKey("it does not start with `vigo-master-key 1`"))?;
        let (id, key) = words.split_at_checked(32).ok_or(SecretError::MasterKey("it is cut off"))?;
        let key = key.strip_prefix(b" ").ok_or(SecretError::MasterKey("it is cut off"))?;
        let (id, key) = (from_hex(id), from_hex(key));
        let (Some(id), Some(key)) = (id, key.filter(|key| key.len() == KEY)) else {
            return Err(SecretError::MasterKey("its id or its key is not of the right hexadecimal form"));
        };
        let read = Self::from_key(key);
        if id.expose() == read.id {
            Ok(read)
        } else {
            Err(SecretError::MasterKey("its key does not belong to its id"))
        }
    }

    /// The text of a key file, with a newline.
    #[must_use]
    pub fn write(&self) -> SecretBuf {
        let mut text = SecretBuf::with_capacity(Self::TEXT);
        text.append(Self::MAGIC.as_bytes());
        for part in [self.id.as_slice(), self.key.expose()] {
            text.append(b" ");
            for byte in part {
                text.append(&hex_pair(*byte));
            }
        }
        text.append(b"\n");
        text
    }

    /// Which key it is. Public.
    #[must_use]
    pub const fn id(&self) -> &[u8; 16] {
        &self.id
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.key.expose()
    }

    /// HMAC-SHA256 of `bytes` under a key of that label.
    #[must_use]
    pub fn mac(&self, label: MacLabel, bytes: &[u8]) -> [u8; 32] {
        let key = self.derive("mac", label.name());
        mac(&key, &[bytes])
    }

    /// Encrypts `bytes` under a key of that label.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn wrap(&self, label: WrapLabel, bytes: &[u8]) -> Result<Vec<u8>, SecretError> {
        encrypt(&self.derive("wrap", label.name()), &self.id, bytes)
    }

    /// Decrypts what [`MasterKey::wrap`] made with that label.
    ///
    /// # Errors
    /// When it did not.
    pub fn unwrap(&self, label: WrapLabel, wrapped: &[u8]) -> Result<SecretBuf, SecretError> {
        decrypt(&self.derive("wrap", label.name()), &self.id, wrapped).ok_or(SecretError::Wrapped)
    }

    /// The key for one purpose.
    pub(crate) fn derive(&self, purpose: &str, label: &str) -> Zeroizing<[u8; KEY]> {
        let mut key = Zeroizing::new([0; KEY]);
        let info: [&[u8]; 4] = [b"vigo master key v1 ", purpose.as_bytes(), b" ", label.as_bytes()];
        // Expanding to 32 bytes cannot fail: the bound is 255 times the hash's length (RFC 5869, 2.3).
        let _ = Hkdf::<Sha256>::new(None, self.key.expose()).expand_multi_info(&info, key.as_mut_slice());
        key
    }

    pub(crate) fn from_key(key: SecretBuf) -> Self {
        let mut read = Self { key, id: [0; 16] };
        let id = read.derive("id", "");
        for (to, from) in read.id.iter_mut().zip(id.iter()) {
            *to = *from;
        }
        read
    }
}

/// HMAC-SHA256 over parts, each behind its length unless there is only one.
pub(crate) fn mac(key: &[u8; KEY], parts: &[&[u8]]) -> [u8; 32] {
    let Ok(mut state) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32]; // HMAC takes keys of every length (RFC 2104): this is not reached.
    };
    match parts {
        [part] => state.update(part),
        _ => {
            for part in parts {
                state.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
                state.update(part);
            }
        }
    }
    state.finalize().into_bytes().into()
}

/// XChaCha20-Poly1305 with a random nonce: nonce, ciphertext, tag.
pub(crate) fn encrypt(key: &[u8; KEY], aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, SecretError> {
    let nonce: [u8; NONCE] = random_array()?;
    let mut sealed = Vec::with_capacity(NONCE + plain.len() + TAG);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let body = sealed.get_mut(NONCE..).unwrap_or_default();
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    match cipher.encrypt_inout_detached(&XNonce::from(nonce), aad, body.into()) {
        Ok(tag) => sealed.extend_from_slice(&tag),
        Err(_) => {
            // Only more than 256 GiB are refused; limits are far below.
            sealed.zeroize();
            return Err(SecretError::Wrapped);
        }
    }
    Ok(sealed)
}

/// Opens what [`encrypt`] made.
pub(crate) fn decrypt(key: &[u8; KEY], aad: &[u8], sealed: &[u8]) -> Option<SecretBuf> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE>()?;
    let (body, tag) = rest.split_last_chunk::<TAG>()?;
    let mut plain = SecretBuf::copy_of(body);
    let cipher = XChaCha20Poly1305::new(&(*key).into());
    let opened =
        cipher.decrypt_inout_detached(&XNonce::from(*nonce), aad, plain.expose_mut().into(), &(*tag).into());
    opened.ok().map(|()| plain)
}

/// The two lower-case hexadecimal digits of a byte, computed without a table that a cache could show.
pub(crate) const fn hex_pair(byte: u8) -> [u8; 2] {
    const fn digit(nibble: u8) -> u8 {
        // 0-9 -> '0'.., 10-15 -> 'a'..: the second term is added only when `9 - nibble` borrows.
        b'0' + nibble + ((9_u8.wrapping_sub(nibble) >> 7) * (b'a' - b'0' - 10))
    }
    [digit(byte >> 4), digit(byte & 15)]
}

pub(crate) fn from_hex(text: &[u8]) -> Option<SecretBuf> {
    let pairs = text.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let mut bytes = SecretBuf::with_capacity(text.len() / 2);
    for pair in pairs {
        let [high, low] = *<&[u8; 2]>::try_from(pair).ok()?;
        bytes.append(&[value_of(high)? << 4 | value_of(low)?]);
    }
    Some(bytes)
}

const fn value_of(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_reads_back_from_its_text_and_from_no_other() {
        let key = MasterKey::generate().unwrap();
        let text = key.write();
        assert_eq!(text.len(), 17 + 1 + 32 + 1 + 64 + 1);
        assert_eq!(MasterKey::parse(text.expose()).unwrap().id(), key.id());
        for position in 0..text.len() - 1 {
            let mut changed = text.expose().to_vec();
            changed[position] ^= 1;
            assert!(MasterKey::parse(&changed).is_err(), "{position}");
            assert!(MasterKey::parse(&changed[..position]).is_err(), "{position}");
        }
    }

    #[test]
    fn what_is_wrapped_for_one_purpose_opens_for_no_other_and_under_no_other_key() {
        let (key, other) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let wrapped = key.wrap(WrapLabel::SessionKey, b"hello").unwrap();
        assert!(key.unwrap(WrapLabel::SessionKey, &wrapped).unwrap().equals_bytes(b"hello"));
        for label in WrapLabel::ALL.into_iter().filter(|label| *label != WrapLabel::SessionKey) {
            assert_eq!(key.unwrap(label, &wrapped).err(), Some(SecretError::Wrapped));
        }
        assert!(other.unwrap(WrapLabel::SessionKey, &wrapped).is_err());
        for length in 0..wrapped.len() {
            assert!(key.unwrap(WrapLabel::SessionKey, &wrapped[..length]).is_err());
        }
        assert_ne!(wrapped, key.wrap(WrapLabel::SessionKey, b"hello").unwrap(), "the nonce is random");
    }

    #[test]
    fn macs_differ_by_label_key_and_bytes_and_are_stable() {
        let (key, other) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let mac = key.mac(MacLabel::GrantingRow, b"row");
        assert_eq!(mac, key.mac(MacLabel::GrantingRow, b"row"));
        assert_ne!(mac, key.mac(MacLabel::VaultManifest, b"row"));
        assert_ne!(mac, key.mac(MacLabel::GrantingRow, b"rov"));
        assert_ne!(mac, other.mac(MacLabel::GrantingRow, b"row"));
    }

    #[test]
    fn labels_are_found_by_their_names() {
        for label in WrapLabel::ALL {
            assert_eq!(WrapLabel::by_name(label.name()), Some(label));
        }
        for label in MacLabel::ALL {
            assert_eq!(MacLabel::by_name(label.name()), Some(label));
        }
        assert_eq!(WrapLabel::by_name(""), None);
        assert_eq!(MacLabel::by_name("grant"), None);
    }

    #[test]
    fn hexadecimal_is_that_of_the_rest_of_vigo() {
        let bytes: Vec<u8> = (0..=255).collect();
        let digits: Vec<u8> = bytes.iter().flat_map(|byte| hex_pair(*byte)).collect();
        assert_eq!(digits, vigo_base::encode_hex(&bytes).into_bytes());
        assert_eq!(from_hex(&digits).unwrap().expose(), bytes);
        assert!(from_hex(b"0").is_none());
        assert!(from_hex(b"0G").is_none());
    }
}
