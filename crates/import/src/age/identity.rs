//! X25519 identities: `AGE-SECRET-KEY-1..`, which is Bech32 (BIP 173) without its limit of length.

use super::derive;
use crate::ImportError;
use subtle::ConstantTimeEq as _;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

const PREFIX: &[u8] = b"AGE-SECRET-KEY-";
const ALPHABET: &[u8; 32] = b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";
/// Characters behind the `1`: 32 bytes in groups of 5 bits, and the checksum.
const GROUPS: usize = 52;
const CHECKSUM: usize = 6;

/// A private key and its public half. Without `Debug` and `Clone`; wiped when dropped.
pub struct Identity {
    secret: StaticSecret,
    public: PublicKey,
}

impl Identity {
    /// The identity of a line.
    fn parse(line: &[u8]) -> Result<Self, &'static str> {
        let groups = line.strip_prefix(PREFIX).ok_or("no line `AGE-SECRET-KEY-1..`")?;
        let groups = groups.strip_prefix(b"1").ok_or("an identity that is not X25519")?;
        if groups.len() != GROUPS + CHECKSUM {
            return Err("an identity of the wrong length");
        }
        let mut values = Zeroizing::new(Vec::with_capacity(groups.len()));
        for character in groups {
            let value = ALPHABET.iter().position(|each| each == character);
            let value = value.and_then(|value| u8::try_from(value).ok());
            values.push(value.ok_or("an identity with a wrong character")?);
        }
        if !checksum_fits(&values) {
            return Err("an identity whose checksum does not fit");
        }
        let mut key = Zeroizing::new(Vec::with_capacity(GROUPS));
        let (mut bits, mut count) = (Zeroizing::new(0_u32), 0);
        for value in values.iter().take(GROUPS) {
            *bits = (*bits << 5) | u32::from(*value);
            count += 5;
            if count >= 8 {
                count -= 8;
                key.push((*bits >> count) as u8);
                *bits &= (1 << count) - 1;
            }
        }
        if *bits != 0 {
            return Err("an identity with bits that mean nothing");
        }
        let key = Zeroizing::new(
            <[u8; 32]>::try_from(key.as_slice()).map_err(|_| "an identity of the wrong length")?,
        );
        let secret = StaticSecret::from(*key);
        let public = PublicKey::from(&secret);
        Ok(Self { secret, public })
    }

    /// The key that a file key is wrapped with for this identity; `None` for a share that gives nothing.
    pub(super) fn wrap_key(&self, share: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(*share));
        if bool::from(shared.as_bytes().ct_eq(&[0; 32])) {
            return None;
        }
        let salt = [share.as_slice(), self.public.as_bytes()].concat();
        let mut key = Zeroizing::new([0; 32]);
        derive(shared.as_bytes(), &salt, b"age-encryption.org/v1/X25519", &mut key).ok()?;
        Some(key)
    }
}

/// The polynomial of BIP 173 over the prefix and the groups.
fn checksum_fits(values: &[u8]) -> bool {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    // The prefix counts in lower case.
    let high = PREFIX.iter().map(|byte| byte.to_ascii_lowercase() >> 5);
    let low = PREFIX.iter().map(|byte| byte.to_ascii_lowercase() & 31);
    let all = high.chain([0]).chain(low).chain(values.iter().copied());
    let sum =
        all.fold(1_u32, |sum, value| {
            let top = sum >> 25;
            let next = ((sum & 0x01ff_ffff) << 5) ^ u32::from(value);
            GENERATOR.iter().enumerate().fold(next, |next, (bit, generator)| {
                if (top >> bit) & 1 == 1 { next ^ generator } else { next }
            })
        });
    sum == 1
}

pub(super) fn read(bytes: &[u8], most: usize) -> Result<Vec<Identity>, ImportError> {
    if super::is_one(bytes) {
        let why = "it is itself encrypted: give it as `age -d FILE |`, and `--identity-file /dev/stdin`";
        return Err(ImportError::Identity { line: 0, why });
    }
    let mut identities = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if identities.len() >= most {
            return Err(ImportError::Limit { what: "identities", most });
        }
        let wrong = |why| ImportError::Identity { line: number + 1, why };
        identities.push(Identity::parse(line).map_err(wrong)?);
    }
    if identities.is_empty() {
        return Err(ImportError::Identity { line: 0, why: "there is none in it" });
    }
    Ok(identities)
}
