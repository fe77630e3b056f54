//! Random bytes from the kernel, and values made of them.

use crate::{SecretBuf, SecretError};
use vigo_base::limits;

/// Fills `bytes` from the kernel (getrandom(2)).
///
/// # Errors
/// When the kernel gives none.
pub fn fill_random(bytes: &mut [u8]) -> Result<(), SecretError> {
    getrandom::fill(bytes).map_err(|_| SecretError::Random)
}

/// So many random bytes.
///
/// # Errors
/// When the kernel gives none.
pub fn random_array<const N: usize>() -> Result<[u8; N], SecretError> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

/// The characters that a generated value is made of: 2 to 95 different printable ASCII characters.
pub struct Alphabet(Vec<u8>);

impl Alphabet {
    /// What is taken when nothing is said: letters and digits.
    pub const DEFAULT: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    /// Takes a text as an alphabet.
    ///
    /// # Errors
    /// When it has fewer than two characters, one twice, or one that is not printable ASCII.
    pub fn new(text: &str) -> Result<Self, SecretError> {
        let mut sorted = text.as_bytes().to_vec();
        if sorted.iter().any(|byte| !matches!(byte, b' '..=b'~')) {
            return Err(SecretError::Generate("the alphabet takes printable ASCII characters only"));
        }
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() != text.len() {
            return Err(SecretError::Generate("the alphabet has a character twice"));
        }
        if sorted.len() < 2 {
            return Err(SecretError::Generate("the alphabet needs at least two characters"));
        }
        Ok(Self(sorted))
    }
}

/// A value of `length` characters, each equally likely.
///
/// # Errors
/// When the length is 0 or over the limit, or the kernel gives no random bytes.
pub fn generate(length: usize, alphabet: &Alphabet) -> Result<SecretBuf, SecretError> {
    if length == 0 || length > limits::SECRET_VALUE {
        return Err(SecretError::Generate("the length must be 1 to 65536"));
    }
    let letters = &alphabet.0;
    // A byte at or above the largest multiple of the alphabet's size would favour its first letters: it is thrown away.
    let fair = 256 - 256 % letters.len();
    let mut value = SecretBuf::with_capacity(length);
    let mut random = SecretBuf::zeroed(256);
    while value.len() < length {
        fill_random(random.expose_mut())?;
        for byte in random.expose() {
            let byte = usize::from(*byte);
            if let Some(letter) = letters.get(byte % letters.len()).filter(|_| byte < fair)
                && value.len() < length
            {
                value.append(&[*letter]);
            }
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_values_have_the_length_and_every_letter_of_the_alphabet_and_no_other() {
        let value = generate(4096, &Alphabet::new("abc").unwrap()).unwrap();
        assert_eq!(value.len(), 4096);
        for letter in b"abc" {
            let count = value.expose().iter().filter(|byte| *byte == letter).count();
            assert!((1100..1640).contains(&count), "{count} of 4096 are `{}`", char::from(*letter));
        }
        assert!(value.expose().iter().all(|byte| b"abc".contains(byte)));
        let other = generate(4096, &Alphabet::new("abc").unwrap()).unwrap();
        assert!(!value.equals(&other));
    }

    #[test]
    fn alphabets_and_lengths_that_make_no_secret_are_refused() {
        for wrong in ["", "a", "aa", "aba", "a\n", "aä"] {
            assert!(Alphabet::new(wrong).is_err(), "{wrong:?}");
        }
        let alphabet = Alphabet::new(Alphabet::DEFAULT).unwrap();
        assert!(generate(0, &alphabet).is_err());
        assert!(generate(limits::SECRET_VALUE + 1, &alphabet).is_err());
    }
}
