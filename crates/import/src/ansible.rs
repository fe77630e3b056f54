//! Ansible Vault, formats 1.1 and 1.2 with AES256: PBKDF2-HMAC-SHA256, AES-256 in counter mode, HMAC-SHA256 over the ciphertext.

use crate::ImportError;
use aes::Aes256;
use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"$ANSIBLE_VAULT;";
/// Rounds of PBKDF2, as Ansible has them fixed.
const ROUNDS: u32 = 10_000;
const BLOCK: usize = 16;

/// Whether bytes begin like a file that was encrypted as a whole.
#[must_use]
pub fn is_file(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(MAGIC)
}

/// What stands in such a text, before anything is opened. Nothing in it is secret.
pub struct Envelope {
    /// The vault id, of 1.2; empty for 1.1.
    pub label: String,
    salt: Vec<u8>,
    mac: [u8; 32],
    ciphertext: Vec<u8>,
}

fn malformed(why: &'static str) -> ImportError {
    ImportError::Malformed { format: "Ansible Vault", line: 0, why }
}

impl Envelope {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none, of another version or cipher, or cut off.
    pub fn parse(text: &[u8]) -> Result<Self, ImportError> {
        let mut lines = text.trim_ascii().split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let head = lines.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
        let fields: Vec<&str> = head.split(';').collect();
        let label = match fields.as_slice() {
            ["$ANSIBLE_VAULT", "1.1", "AES256"] => String::new(),
            ["$ANSIBLE_VAULT", "1.2", "AES256", label] => {
                label.chars().filter(|c| !c.is_control()).take(64).collect()
            }
            ["$ANSIBLE_VAULT", "1.1" | "1.2", ..] => return Err(malformed("a cipher other than AES256")),
            ["$ANSIBLE_VAULT", ..] => return Err(malformed("a version other than 1.1 and 1.2")),
            _ => return Err(malformed("no head `$ANSIBLE_VAULT;..`")),
        };
        let outer: Vec<u8> = lines.flatten().copied().collect();
        let damaged = || malformed("it is damaged or cut off");
        let inner = unhex(&outer).ok_or_else(damaged)?;
        let mut parts = inner.splitn(3, |byte| *byte == b'\n');
        let mut part = || parts.next().and_then(unhex).ok_or_else(damaged);
        let (salt, mac, ciphertext) = (part()?, part()?, part()?);
        let mac = mac.try_into().map_err(|_| damaged())?;
        if salt.is_empty() || ciphertext.is_empty() || ciphertext.len() % BLOCK != 0 {
            return Err(damaged());
        }
        Ok(Self { label, salt, mac, ciphertext })
    }

    fn open(&self, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, ImportError> {
        let mut keys = Zeroizing::new([0; 80]);
        pbkdf2::pbkdf2_hmac::<Sha256>(passphrase, &self.salt, ROUNDS, keys.as_mut_slice());
        let wrong = || malformed("it is damaged or cut off");
        let (key, rest) = keys.split_first_chunk::<32>().ok_or_else(wrong)?;
        let (mac_key, iv) = rest.split_first_chunk::<32>().ok_or_else(wrong)?;
        let iv = <[u8; 16]>::try_from(iv).map_err(|_| wrong())?;
        let mut mac = Hmac::<Sha256>::new_from_slice(mac_key).map_err(|_| wrong())?;
        mac.update(&self.ciphertext);
        // A wrong key and a changed text look the same.
        mac.verify_slice(&self.mac).map_err(|_| ImportError::OtherPassphrase(self.label.clone()))?;
        let mut plain = Zeroizing::new(self.ciphertext.clone());
        let mut cipher = ctr::Ctr128BE::<Aes256>::new(&(*key).into(), &iv.into());
        cipher.try_apply_keystream(&mut plain).map_err(|_| wrong())?;
        let padding = plain.last().map_or(0, |byte| usize::from(*byte));
        let length = plain.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding));
        let length = length.ok_or_else(wrong)?;
        if plain.iter().skip(length).any(|byte| usize::from(*byte) != padding) {
            return Err(wrong());
        }
        plain.truncate(length);
        Ok(plain)
    }
}

/// Opens a text.
///
/// # Errors
/// As [`Envelope::parse`], and when the passphrase is another or the text was changed.
pub(crate) fn open(text: &[u8], passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    Envelope::parse(text)?.open(passphrase)
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let pairs = text.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}
