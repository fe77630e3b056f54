//! age files (age-encryption.org/v1, specification of 2022-11): the reading side, for X25519 identities and passphrases, binary and armored.

mod armor;
mod header;
mod identity;
mod payload;

use crate::{ImportError, Keys, Needs, scrypt};
use chacha20poly1305::{AeadInOut as _, ChaCha20Poly1305, KeyInit as _};
use header::{Header, Stanza};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
pub use identity::Identity;
use sha2::Sha256;
use zeroize::Zeroizing;

/// The largest work factor of scrypt that is tried: 2^20 steps. age writes 2^18.
pub const WORK: u32 = 20;
/// As many recipients as are tried.
const RECIPIENTS: usize = 256;
/// As many identities as are tried.
const IDENTITIES: usize = 64;
/// Bytes of the key of a file.
const FILE_KEY: usize = 16;
const TAG: usize = 16;

type FileKey = Zeroizing<[u8; FILE_KEY]>;

/// Whether bytes begin like an age file.
#[must_use]
pub fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(header::VERSION) || armor::is_armored(bytes)
}

/// Reads a file of identities: one a line, comments, blank lines.
///
/// # Errors
/// When a line is none, there is none at all or too many, or the file is itself encrypted.
pub fn identities(bytes: &[u8]) -> Result<Vec<Identity>, ImportError> {
    identity::read(bytes, IDENTITIES)
}

/// With what a file opens, by its recipients.
pub(crate) fn needs(bytes: &[u8]) -> Result<Needs, ImportError> {
    let binary = armor::decoded(bytes)?;
    let (header, _) = Header::parse(&binary)?;
    if header.stanzas.iter().any(|stanza| stanza.is("scrypt")) {
        return Ok(Needs::Passphrase);
    }
    if header.stanzas.iter().any(|stanza| stanza.is("X25519")) {
        return Ok(Needs::Identity);
    }
    let mut kinds: Vec<&str> = header.stanzas.iter().map(Stanza::kind).collect();
    kinds.dedup();
    kinds.truncate(3);
    Err(ImportError::Recipients(kinds.join(", ")))
}

/// Opens a file.
///
/// # Errors
/// When no key fits, it was changed, is cut off, or is none.
pub(crate) fn open(bytes: &[u8], keys: &Keys) -> Result<Zeroizing<Vec<u8>>, ImportError> {
    let binary = armor::decoded(bytes)?;
    let (header, body) = Header::parse(&binary)?;
    let file_key = match needs(&binary)? {
        Needs::Passphrase => by_passphrase(&header, keys)?,
        _ => by_identity(&header, &keys.identities)?,
    };
    let mut mac_key = Zeroizing::new([0; 32]);
    derive(file_key.as_slice(), b"", b"header", &mut mac_key)?;
    let mut mac =
        Hmac::<Sha256>::new_from_slice(mac_key.as_slice()).map_err(|_| ImportError::Damaged("age"))?;
    mac.update(header.signed);
    mac.verify_slice(&header.mac).map_err(|_| ImportError::Damaged("age"))?;
    payload::open(&file_key, body)
}

/// The key of the file, by the first recipient that an identity is.
fn by_identity(header: &Header<'_>, identities: &[Identity]) -> Result<FileKey, ImportError> {
    if identities.is_empty() {
        return Err(ImportError::NoIdentity);
    }
    let mut tried = 0;
    for stanza in header.stanzas.iter().filter(|stanza| stanza.is("X25519")) {
        let share = match stanza.arguments.as_slice() {
            [_, share] => header::exact::<32>(share),
            _ => None,
        };
        let share = share.ok_or(header::malformed("a recipient of the wrong form"))?;
        if stanza.body.len() != FILE_KEY + TAG {
            return Err(header::malformed("a recipient of the wrong length"));
        }
        tried += 1;
        if tried > RECIPIENTS {
            return Err(ImportError::Limit { what: "recipients", most: RECIPIENTS });
        }
        for identity in identities {
            if let Some(wrap) = identity.wrap_key(&share)
                && let Some(file_key) = unwrap(&wrap, &stanza.body)
            {
                return Ok(file_key);
            }
        }
    }
    Err(ImportError::OtherIdentity(header.stanzas.len()))
}

fn by_passphrase(header: &Header<'_>, keys: &Keys) -> Result<FileKey, ImportError> {
    let [stanza] = header.stanzas.as_slice() else {
        return Err(header::malformed("a passphrase beside other recipients"));
    };
    let [_, salt, work] = stanza.arguments.as_slice() else {
        return Err(header::malformed("a recipient of the wrong form"));
    };
    let salt = header::exact::<16>(salt).ok_or(header::malformed("a recipient of the wrong form"))?;
    let is_number =
        work.bytes().all(|byte| byte.is_ascii_digit()) && !work.starts_with('0') && work.len() < 5;
    let work: u32 = Some(work)
        .filter(|_| is_number)
        .and_then(|work| work.parse().ok())
        .ok_or(header::malformed("a work factor that is no number"))?;
    if work > WORK {
        return Err(ImportError::Work { found: work });
    }
    if stanza.body.len() != FILE_KEY + TAG {
        return Err(header::malformed("a recipient of the wrong length"));
    }
    let salt = [b"age-encryption.org/v1/scrypt".as_slice(), &salt].concat();
    let key = scrypt::derive(keys.passphrase()?, &salt, work, keys.memory)?;
    unwrap(&key, &stanza.body).ok_or_else(|| ImportError::OtherPassphrase(String::new()))
}

/// ChaCha20-Poly1305 with a nonce of zeros: each wrapping key is used once.
fn unwrap(key: &[u8; 32], body: &[u8]) -> Option<FileKey> {
    let (sealed, tag) = body.split_last_chunk::<TAG>()?;
    let mut file_key = Zeroizing::new(<[u8; FILE_KEY]>::try_from(sealed).ok()?);
    let cipher = ChaCha20Poly1305::new(&(*key).into());
    let opened =
        cipher.decrypt_inout_detached(&[0; 12].into(), b"", file_key.as_mut_slice().into(), &(*tag).into());
    opened.ok().map(|()| file_key)
}

fn derive(key: &[u8], salt: &[u8], info: &[u8], out: &mut [u8; 32]) -> Result<(), ImportError> {
    let hkdf = Hkdf::<Sha256>::new(Some(salt), key);
    hkdf.expand(info, out).map_err(|_| ImportError::Damaged("age"))
}
