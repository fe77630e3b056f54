//! The name of a secret.

use crate::limits;
use std::fmt;
use std::str::FromStr;

/// The path of a secret, as in `secret:web/upstream-token`: segments of letters, digits, `_`, `.` and `-`, divided by `/`, 200 bytes at most.
/// A segment starts and ends with a letter, a digit or `_`, so `.` and `..` are none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretPath(String);

/// Why a text is no secret path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no secret path: it takes segments of letters, digits, `_`, `.` and `-` divided by `/`, each starting and ending with a letter, a digit or `_`, and 200 bytes at most"
)]
pub struct SecretPathError(String);

impl SecretPath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if `segment` may stand between two slashes.
    #[must_use]
    pub fn is_segment(segment: &str) -> bool {
        let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let bytes = segment.as_bytes();
        edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|byte| Self::is_inner(*byte))
    }

    /// True if `byte` may stand inside a segment.
    #[must_use]
    pub const fn is_inner(byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
    }
}

impl FromStr for SecretPath {
    type Err = SecretPathError;
    fn from_str(text: &str) -> Result<Self, SecretPathError> {
        if text.len() <= limits::SECRET_PATH && text.split('/').all(Self::is_segment) {
            Ok(Self(text.into()))
        } else {
            Err(SecretPathError(text.chars().take(limits::SECRET_PATH).collect()))
        }
    }
}

impl fmt::Display for SecretPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A version of a secret, from 1 upwards; every `set` and `rotate` makes the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretVersion(pub u64);

impl fmt::Display for SecretVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "v{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_keep_dots_inside_and_never_at_the_edge() {
        for right in ["a", "web/upstream-token", "db/prod.v2/pass_word", "_x/1"] {
            assert!(right.parse::<SecretPath>().is_ok(), "{right}");
        }
        for wrong in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.b", "a.", "a b", "ä", &"a".repeat(201)]
        {
            assert!(wrong.parse::<SecretPath>().is_err(), "{wrong}");
        }
    }
}
