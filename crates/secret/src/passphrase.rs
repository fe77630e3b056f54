//! A master key under a passphrase: Argon2id makes the key that locks it, and how hard that is stands in the text itself.
//!
//! The working memory of Argon2 is asked of the same allocator as all else here, so in the hand it lies in protected pages.

use crate::derive::{KEY, NONCE, TAG, decrypt, encrypt, from_hex, hex_pair};
use crate::{MasterKey, SecretBuf, SecretError, random_array};
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

/// Bytes of the salt.
const SALT: usize = 16;
/// What a text may ask for at most: more would let whoever wrote it stop us.
const MOST_MEMORY_KIB: u32 = 64 << 10;
const MOST_PASSES: u32 = 64;
/// Fewer bytes than that are no passphrase.
const SHORTEST: usize = 12;
/// The longest passphrase.
pub const PASSPHRASE: usize = 1024;

/// What it costs to try one passphrase (RFC 9106: m and t; one lane).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Kibibytes of memory.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Cost {
    /// What is tried first, and what is taken where that does not fit into protected memory (RLIMIT_MEMLOCK is 8 MiB on most systems). Both cost
    /// somebody who guesses at least what the smallest setting of OWASP's Password Storage Cheat Sheet costs (7 MiB, 5 passes).
    pub const CHOICES: [Self; 2] =
        [Self { memory_kib: 12 << 10, passes: 6 }, Self { memory_kib: 4 << 10, passes: 18 }];

    /// Bytes of memory that it takes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        (self.memory_kib as usize) << 10
    }
}

/// The text of a master key under a passphrase, read but not opened. Nothing in it is secret.
pub struct LockedKey {
    id: [u8; 16],
    cost: Cost,
    salt: [u8; SALT],
    /// What is bound into the seal: the text up to it.
    head: Vec<u8>,
    sealed: SecretBuf,
}

impl LockedKey {
    /// First words and format number of the text.
    pub(crate) const MAGIC: &'static str = "vigo-master-key-passphrase 1 ";

    /// Whether this is the beginning of such a text.
    #[must_use]
    pub fn is_one(text: &[u8]) -> bool {
        text.starts_with(Self::MAGIC.as_bytes())
    }

    /// Reads the text that [`MasterKey::lock`] made: `vigo-master-key-passphrase 1 ID argon2id MEMORY_KIB PASSES SALT SEALED`.
    ///
    /// # Errors
    /// When it is no such text, or asks for more than this build gives.
    pub fn parse(text: &[u8]) -> Result<Self, SecretError> {
        let wrong = SecretError::MasterKey;
        let text = std::str::from_utf8(text.trim_ascii()).map_err(|_| wrong("it is no text"))?;
        let rest = text.strip_prefix(Self::MAGIC).ok_or(wrong("it is none under a passphrase"))?;
        let words: Vec<&str> = rest.split(' ').collect();
        let [id, "argon2id", memory, passes, salt, sealed] = words.as_slice() else {
            return Err(wrong("it is cut off, or of a kind that this build does not know"));
        };
        let number = |word: &str| word.parse::<u32>().ok().filter(|number| number.to_string() == *word);
        let (Some(memory_kib), Some(passes)) = (number(memory), number(passes)) else {
            return Err(wrong("its cost is no number"));
        };
        if !(8..=MOST_MEMORY_KIB).contains(&memory_kib) || !(1..=MOST_PASSES).contains(&passes) {
            return Err(wrong("its cost is outside of what this build takes (64 MiB, 64 passes)"));
        }
        let shape = || wrong("its id, its salt or its sealed key is not of the right hexadecimal form");
        let id = from_hex(id.as_bytes()).and_then(|id| id.expose().try_into().ok()).ok_or_else(shape)?;
        let salt_bytes = from_hex(salt.as_bytes()).and_then(|salt| salt.expose().try_into().ok());
        let key = from_hex(sealed.as_bytes()).filter(|key| key.len() == NONCE + KEY + TAG);
        let head = text.strip_suffix(sealed).unwrap_or_default().as_bytes().to_vec();
        let cost = Cost { memory_kib, passes };
        Ok(Self { id, cost, salt: salt_bytes.ok_or_else(shape)?, head, sealed: key.ok_or_else(shape)? })
    }

    /// Which key it is.
    #[must_use]
    pub const fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// What opening it costs.
    #[must_use]
    pub const fn cost(&self) -> Cost {
        self.cost
    }

    /// Opens it.
    ///
    /// # Errors
    /// When the passphrase is another, or the text was changed.
    pub fn open(&self, passphrase: &[u8]) -> Result<MasterKey, SecretError> {
        let wrong = SecretError::MasterKey(
            "the passphrase is not the one that it was locked with, or the text was changed",
        );
        let key = stretch(passphrase, &self.salt, self.cost)?;
        let key = decrypt(&key, &self.head, self.sealed.expose()).ok_or(wrong)?;
        let opened = MasterKey::from_key(key);
        if opened.id() == &self.id { Ok(opened) } else { Err(wrong) }
    }
}

impl MasterKey {
    /// The text of this key under a passphrase, with a newline.
    ///
    /// # Errors
    /// When the passphrase is shorter than 12 bytes or longer than 1024, or the kernel gives no random bytes.
    pub fn lock(&self, passphrase: &[u8], cost: Cost) -> Result<Vec<u8>, SecretError> {
        if passphrase.len() < SHORTEST {
            return Err(SecretError::MasterKey("the passphrase has fewer than 12 bytes: take some words"));
        }
        if passphrase.len() > PASSPHRASE {
            return Err(SecretError::MasterKey("the passphrase has more than 1024 bytes"));
        }
        let salt: [u8; SALT] = random_array()?;
        let Cost { memory_kib, passes } = cost;
        let mut text = LockedKey::MAGIC.as_bytes().to_vec();
        text.extend(self.id().iter().flat_map(|byte| hex_pair(*byte)));
        text.extend_from_slice(format!(" argon2id {memory_kib} {passes} ").as_bytes());
        text.extend(salt.iter().flat_map(|byte| hex_pair(*byte)));
        text.push(b' ');
        let key = stretch(passphrase, &salt, cost)?;
        let sealed = encrypt(&key, &text, self.key())?;
        text.extend(sealed.iter().flat_map(|byte| hex_pair(*byte)));
        text.push(b'\n');
        Ok(text)
    }
}

fn stretch(passphrase: &[u8], salt: &[u8], cost: Cost) -> Result<Zeroizing<[u8; KEY]>, SecretError> {
    let failed = |error| match error {
        argon2::Error::OutOfMemory => SecretError::NoMemory(cost.memory_kib),
        _ => SecretError::MasterKey("Argon2 refuses its cost"),
    };
    let parameters = Params::new(cost.memory_kib, cost.passes, 1, Some(KEY)).map_err(failed)?;
    let mut key = Zeroizing::new([0; KEY]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(passphrase, salt, key.as_mut_slice())
        .map_err(failed)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 8, passes: 1 };
    const PHRASE: &[u8] = b"correct horse battery";

    #[test]
    fn a_key_under_a_passphrase_opens_with_it_and_with_no_other() {
        let key = MasterKey::generate().unwrap();
        let text = key.lock(PHRASE, CHEAP).unwrap();
        let locked = LockedKey::parse(&text).unwrap();
        assert_eq!((locked.id(), locked.cost()), (key.id(), CHEAP));
        assert!(locked.open(PHRASE).unwrap().write().equals(&key.write()));
        for other in [b"correct horse batterz".as_slice(), b"", b"correct horse battery "] {
            assert!(locked.open(other).is_err());
        }
        assert_ne!(text, key.lock(PHRASE, CHEAP).unwrap(), "salt and nonce are random");
    }

    #[test]
    fn every_changed_byte_of_the_text_keeps_it_shut() {
        let text = MasterKey::generate().unwrap().lock(PHRASE, CHEAP).unwrap();
        for position in 0..text.len() - 1 {
            let mut changed = text.clone();
            changed[position] ^= 1;
            let opened = LockedKey::parse(&changed).and_then(|locked| locked.open(PHRASE));
            assert!(opened.is_err(), "{position}");
            assert!(LockedKey::parse(&text[..position]).is_err(), "{position}");
        }
    }

    #[test]
    fn a_text_that_asks_for_too_much_is_refused_before_anything_is_computed() {
        let text = String::from_utf8(MasterKey::generate().unwrap().lock(PHRASE, CHEAP).unwrap()).unwrap();
        for (cost, outside) in [
            ("65537 1", true),
            ("8 65", true),
            ("4294967295 1", true),
            ("7 1", true),
            ("8 0", true),
            ("08 1", true),
            ("8 2", false),
        ] {
            let changed = text.replace(" 8 1 ", &format!(" {cost} "));
            assert_eq!(LockedKey::parse(changed.as_bytes()).is_err(), outside, "{cost}");
        }
    }

    #[test]
    fn short_and_endless_passphrases_are_refused_when_a_key_is_locked() {
        let key = MasterKey::generate().unwrap();
        assert!(key.lock(b"eleven byte", CHEAP).is_err());
        assert!(key.lock(&vec![b'a'; PASSPHRASE + 1], CHEAP).is_err());
    }

    #[test]
    fn what_is_chosen_costs_a_guesser_no_less_than_the_smallest_advised_setting() {
        for cost in Cost::CHOICES {
            let area = u64::from(cost.memory_kib).pow(2) * u64::from(cost.passes);
            assert!(area >= (7_u64 << 10).pow(2) * 5, "{cost:?}");
        }
    }
}
