//! Who an envoy is: a random id for life, and a name that is only a label.

use crate::limits;
use std::fmt;
use std::str::FromStr;

/// An envoy's name: a lower-case host name. A label: it may move to another id, the id never to another machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvoyName(String);

/// Why a text is no envoy name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no envoy name: it takes lower-case letters, digits, `-` and `.`, starts and ends with a letter or digit, and has 253 characters at most"
)]
pub struct NameError(String);

impl EnvoyName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvoyName {
    type Err = NameError;
    /// Upper-case letters are lowered; nothing else is mended.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = text.to_ascii_lowercase();
        let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(byte);
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = name.as_bytes();
        let fits = bytes.len() <= limits::ENVOY_NAME
            && bytes.iter().all(inner)
            && edge(bytes.first())
            && edge(bytes.last())
            && !name.contains("..");
        if fits { Ok(Self(name)) } else { Err(NameError(text.chars().take(80).collect())) }
    }
}

impl fmt::Display for EnvoyName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// An envoy's id: 16 random bytes, given by the server at enrolment, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvoyId([u8; 16]);

impl EnvoyId {
    /// Takes 16 bytes as an id; `None` for any other length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for EnvoyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&crate::encode_hex(&self.0))
    }
}

impl fmt::Debug for EnvoyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "EnvoyId({self})")
    }
}

impl FromStr for EnvoyId {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        crate::decode_hex(text).and_then(|bytes| Self::from_bytes(&bytes)).ok_or(())
    }
}

/// Names the folder of a command's credentials to the command, as systemd.exec(5) has it.
pub const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// True if a file of that name may stand in the folder of a command's credentials: 1 to 100 letters, digits, `_`, `-` and `.`, and not all
/// of them dots.
#[must_use]
pub fn is_credential_name(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        && name.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_host_name_in_lower_case() {
        assert_eq!("Web-1.Example.com".parse::<EnvoyName>().unwrap().as_str(), "web-1.example.com");
        for wrong in ["", "-a", "a-", ".a", "a..b", "a_b", "a/b", "ä", &"a".repeat(254)] {
            assert!(wrong.parse::<EnvoyName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_name_of_a_credential_is_a_file_name_and_leads_nowhere_else() {
        for right in ["token", "tls.key", ".netrc", "A-1_b"] {
            assert!(is_credential_name(right), "{right}");
        }
        for wrong in ["", ".", "..", "...", "a/b", "a b", "\u{e4}", "a\0", &"x".repeat(101)] {
            assert!(!is_credential_name(wrong), "{wrong}");
        }
    }
}
