//! Filters: what a policy may have done to a secret on its way into a slot. All of them also work on ordinary values.

use crate::derive::mac;
use crate::forms::{Form, Json, Shell, Url, emit};
use crate::{SecretBuf, SecretError};
use sha_crypt::{Params, sha512_crypt};
use std::ops::ControlFlow::Continue;
use vigo_base::Filter;

/// The longest value that `sha512_crypt` takes: crypt(3) of libxcrypt takes no more (`CRYPT_MAX_PASSPHRASE_SIZE`), and time grows with the square.
const CRYPT_LONGEST: usize = 511;
/// The longest value that `bcrypt` takes: it would cut the rest off in silence.
const BCRYPT_LONGEST: usize = 72;
/// Rounds of bcrypt, as a power of two.
const BCRYPT_COST: u32 = 12;
/// The digits of crypt(3), in its order.
const CRYPT_DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Salt of the crypt filters. Derived, so that a value that did not change gives a result that did not change.
#[derive(Clone, Copy)]
pub struct Salt([u8; 16]);

impl Salt {
    /// HMAC over what the result is for, with a seed of the node: another envoy, resource, path or version gives another salt.
    #[must_use]
    pub fn derive(seed: &[u8; 32], envoy: &[u8], resource: &str, path: &str, version: u64) -> Self {
        let parts: [&[u8]; 5] =
            [b"vigo salt v1", envoy, resource.as_bytes(), path.as_bytes(), &version.to_le_bytes()];
        let [salt @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = mac(seed, &parts);
        Self(salt)
    }

    /// A salt of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// Applies one filter.
///
/// # Errors
/// When the value is none that the filter takes, or it needs a salt and there is none.
pub fn apply(filter: Filter, value: &[u8], salt: Option<&Salt>) -> Result<SecretBuf, SecretError> {
    let refuse = |why| SecretError::Filter { filter: filter.name(), why };
    let salted = || salt.ok_or_else(|| refuse("it needs a salt, and there is none here"));
    match filter {
        Filter::Base64 => {
            let mut text = formed(Form::Base64 { url: false }, value, value.len().div_ceil(3) * 4);
            let padding = (4 - text.len() % 4) % 4;
            text.append(b"==".get(..padding).unwrap_or_default());
            Ok(text)
        }
        Filter::Url => Ok(formed(Form::Url(Url::Strict), value, value.len() * 3)),
        Filter::Hex => Ok(formed(Form::Hex { upper: false }, value, value.len() * 2)),
        Filter::Json => match std::str::from_utf8(value) {
            Ok(_) => Ok(quoted(b'"', &formed(Form::Json(Json::Minimal), value, value.len() * 2))),
            Err(_) => Err(refuse("the value is not UTF-8 text, and JSON holds nothing else")),
        },
        Filter::Shell if value.contains(&0) => {
            Err(refuse("the value holds a NUL byte, which no shell word can"))
        }
        Filter::Shell => Ok(quoted(b'\'', &formed(Form::Shell(Shell::Single), value, value.len() * 2))),
        Filter::Trim => Ok(SecretBuf::copy_of(trimmed(value))),
        Filter::Sha512Crypt if value.len() > CRYPT_LONGEST => {
            Err(refuse("the value is longer than 511 bytes, which crypt(3) does not take"))
        }
        Filter::Bcrypt if value.len() > BCRYPT_LONGEST => {
            Err(refuse("the value is longer than 72 bytes, of which bcrypt would ignore the rest"))
        }
        Filter::Sha512Crypt | Filter::Bcrypt if value.contains(&0) => {
            Err(refuse("the value holds a NUL byte, at which a password ends"))
        }
        Filter::Sha512Crypt => Ok(crypt_text(value, salted()?)),
        Filter::Bcrypt => bcrypt::hash_with_salt_bytes(value, BCRYPT_COST, salted()?.0)
            .map(|text| SecretBuf::copy_of(&text))
            .map_err(|_| refuse("bcrypt refuses it")),
    }
}

/// Applies filters first to last.
///
/// # Errors
/// When one of them refuses.
pub fn apply_all(filters: &[Filter], value: &[u8], salt: Option<&Salt>) -> Result<SecretBuf, SecretError> {
    let mut result = SecretBuf::copy_of(value);
    for filter in filters {
        result = apply(*filter, result.expose(), salt)?;
    }
    Ok(result)
}

fn formed(form: Form, value: &[u8], expected: usize) -> SecretBuf {
    let mut text = SecretBuf::with_capacity(expected);
    let _ = emit::<()>(form, value, &mut |byte| {
        text.append(&[byte]);
        Continue(())
    });
    text
}

fn quoted(quote: u8, inner: &SecretBuf) -> SecretBuf {
    let mut text = SecretBuf::with_capacity(inner.len() + 2);
    text.append(&[quote]);
    text.append(inner.expose());
    text.append(&[quote]);
    text
}

/// Without white space at both ends: Unicode's where the value is text, else ASCII's.
pub(crate) fn trimmed(value: &[u8]) -> &[u8] {
    std::str::from_utf8(value).map_or_else(|_| value.trim_ascii(), |text| text.trim().as_bytes())
}

/// `$6$salt$hash` with the usual 5,000 rounds (crypt(5)).
fn crypt_text(value: &[u8], salt: &Salt) -> SecretBuf {
    let digit = |bits: u32| CRYPT_DIGITS.get((bits & 63) as usize).copied().unwrap_or(b'.');
    let salt: Vec<u8> = salt.0.iter().map(|byte| digit(u32::from(*byte))).collect();
    let hash = SecretBuf::copy_of(&sha512_crypt(value, &salt, Params::default()));
    let byte = |index: usize| u32::from(hash.expose().get(index).copied().unwrap_or(0));
    let mut text = SecretBuf::with_capacity(128);
    text.append(b"$6$");
    text.append(&salt);
    text.append(b"$");
    // The order of bytes is the standard's own: (0, 21, 42), then each group rotated once more (Unix crypt using SHA-2, step 22).
    for group in 0..21 {
        let indices = [group, (group + 21) % 63, (group + 42) % 63];
        let [mut high, mut middle, mut low] = indices;
        for _ in 0..group % 3 {
            (high, middle, low) = (middle, low, high);
        }
        let bits = byte(high) << 16 | byte(middle) << 8 | byte(low);
        for shift in [0, 6, 12, 18] {
            text.append(&[digit(bits >> shift)]);
        }
    }
    text.append(&[digit(byte(63)), digit(byte(63) >> 6)]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt([0xab; 16]);

    fn text(filter: Filter, value: &[u8]) -> String {
        String::from_utf8(apply(filter, value, Some(&SALT)).unwrap().expose().to_vec()).unwrap()
    }

    #[test]
    fn each_filter_gives_what_its_standard_says() {
        assert_eq!(text(Filter::Base64, b""), "");
        assert_eq!(text(Filter::Base64, b"f"), "Zg==");
        assert_eq!(text(Filter::Base64, b"fo"), "Zm8=");
        assert_eq!(text(Filter::Base64, b"foobar"), "Zm9vYmFy");
        assert_eq!(text(Filter::Url, "p@ss wörd".as_bytes()), "p%40ss%20w%C3%B6rd");
        assert_eq!(text(Filter::Json, b"a\"b\\\n\x1f"), "\"a\\\"b\\\\\\n\\u001f\"");
        assert_eq!(text(Filter::Shell, b"it's $HOME"), "'it'\\''s $HOME'");
        assert_eq!(text(Filter::Hex, b"\x00\xff"), "00ff");
        assert_eq!(text(Filter::Trim, " \u{a0}x y\n".as_bytes()), "x y");
        let bytes = apply(Filter::Trim, b" \xff\n", None).unwrap();
        assert!(bytes.equals_bytes(b"\xff"));
    }

    /// Both made with `crypt(3)`-compatible programs (`openssl passwd -6 -salt ...`, `htpasswd`'s bcrypt).
    #[test]
    fn crypt_filters_agree_with_other_implementations() {
        // 0x2b is digit 43, which is `f`; 0xab & 63 = 43 as well.
        assert_eq!(
            text(Filter::Sha512Crypt, b"password"),
            "$6$ffffffffffffffff$eqaScW0nnhoIXwrEfPARgfDd6QkzVm3dnzJWWSWmZAxqxNM8UCyJZLniVwcl2lUCsTPqUUHxCqRtLmGJDtTAm."
        );
        let known = crypt_with(b"saltstring", b"Hello world!");
        assert_eq!(
            known,
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
        );
        let hash = text(Filter::Bcrypt, b"password");
        assert!(hash.starts_with("$2b$12$"));
        assert!(bcrypt::verify("password", &hash).unwrap());
    }

    /// The first example of the specification of SHA-crypt, whose salt is shorter than ours.
    fn crypt_with(salt: &[u8], value: &[u8]) -> String {
        let whole = crypt_text(value, &SALT);
        let ours = String::from_utf8(whole.expose().to_vec()).unwrap();
        assert_eq!(ours.len(), 3 + 16 + 1 + 86);
        let hash = sha512_crypt(value, salt, Params::default());
        let encoded = encode_for_test(&hash);
        format!("$6${}${encoded}", String::from_utf8(salt.to_vec()).unwrap())
    }

    /// The table of the specification, written out, beside the rotation above.
    fn encode_for_test(hash: &[u8; 64]) -> String {
        const ORDER: [[usize; 3]; 21] = [
            [0, 21, 42],
            [22, 43, 1],
            [44, 2, 23],
            [3, 24, 45],
            [25, 46, 4],
            [47, 5, 26],
            [6, 27, 48],
            [28, 49, 7],
            [50, 8, 29],
            [9, 30, 51],
            [31, 52, 10],
            [53, 11, 32],
            [12, 33, 54],
            [34, 55, 13],
            [56, 14, 35],
            [15, 36, 57],
            [37, 58, 16],
            [59, 17, 38],
            [18, 39, 60],
            [40, 61, 19],
            [62, 20, 41],
        ];
        let mut text = String::new();
        let mut digits = |bits: u32, count: u32| {
            for place in 0..count {
                text.push(char::from(CRYPT_DIGITS[(bits >> (6 * place) & 63) as usize]));
            }
        };
        for [high, middle, low] in ORDER {
            digits(u32::from(hash[high]) << 16 | u32::from(hash[middle]) << 8 | u32::from(hash[low]), 4);
        }
        digits(u32::from(hash[63]), 2);
        text
    }

    #[test]
    fn the_order_of_crypt_is_the_one_of_the_table() {
        let hash = sha512_crypt(b"x", b"ffffffffffffffff", Params::default());
        assert_eq!(
            text(Filter::Sha512Crypt, b"x"),
            format!("$6$ffffffffffffffff${}", encode_for_test(&hash))
        );
    }

    #[test]
    fn values_that_a_filter_would_spoil_are_refused() {
        for (filter, value) in [
            (Filter::Json, b"\xff".as_slice()),
            (Filter::Shell, b"a\0b"),
            (Filter::Sha512Crypt, &[b'a'; 512]),
            (Filter::Sha512Crypt, b"a\0"),
            (Filter::Bcrypt, &[b'a'; 73]),
            (Filter::Bcrypt, b"\0"),
        ] {
            let error = apply(filter, value, Some(&SALT)).err().unwrap();
            assert!(error.to_string().contains(filter.name()), "{error}");
        }
        assert!(apply(Filter::Bcrypt, b"x", None).is_err(), "no salt");
    }

    #[test]
    fn filters_are_applied_first_to_last() {
        let value = apply_all(&[Filter::Trim, Filter::Base64, Filter::Json], b" x\n", None).unwrap();
        assert!(value.equals_bytes(b"\"eA==\""));
    }

    #[test]
    fn salts_are_stable_and_differ_by_every_part() {
        let seed = [1; 32];
        let salt = Salt::derive(&seed, b"envoy", "site:a", "web/token", 1).0;
        assert_eq!(salt, Salt::derive(&seed, b"envoy", "site:a", "web/token", 1).0);
        for other in [
            Salt::derive(&[2; 32], b"envoy", "site:a", "web/token", 1),
            Salt::derive(&seed, b"envoy2", "site:a", "web/token", 1),
            Salt::derive(&seed, b"envoy", "site:b", "web/token", 1),
            Salt::derive(&seed, b"envoy", "site:a", "web/tokens", 1),
            Salt::derive(&seed, b"envoy", "site:a", "web/token", 2),
            Salt::derive(&seed, b"envoys", "ite:a", "web/token", 1),
        ] {
            assert_ne!(salt, other.0);
        }
    }
}
