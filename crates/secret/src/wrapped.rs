//! The text of a master key that a key service has under a key of its own. Nothing in it is secret; what it opens to is checked by its id.

use crate::SecretError;
use crate::derive::{from_hex, hex_pair};

/// The text of a master key under a key service's key, read but not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Which key it is.
    pub id: [u8; 16],
    /// Where the service has its engine, like `transit`.
    pub mount: String,
    /// Which key of the service it is under.
    pub key: String,
    /// What the service made of it: `vault:v1:` and base64.
    pub wrapped: String,
}

impl WrappedKey {
    /// The longest text.
    pub const TEXT: usize = 4096;
    /// First words and format number of the text.
    const MAGIC: &'static str = "vigo-master-key-transit 1 ";

    /// Whether this is the beginning of such a text.
    #[must_use]
    pub fn is_one(text: &[u8]) -> bool {
        text.starts_with(Self::MAGIC.as_bytes())
    }

    /// Puts it together.
    ///
    /// # Errors
    /// When a part is none: what a service answers is not taken as it comes.
    pub fn new(id: [u8; 16], mount: &str, key: &str, wrapped: &str) -> Result<Self, SecretError> {
        let wrong = SecretError::MasterKey;
        if !is_mount(mount) || !is_name(key) {
            return Err(wrong("the mount or the name of its key in the key service is none"));
        }
        if !is_wrapped(wrapped) {
            return Err(wrong("what the key service made of it is not of the form `vault:v1:BASE64`"));
        }
        Ok(Self { id, mount: mount.into(), key: key.into(), wrapped: wrapped.into() })
    }

    /// Reads the text that [`WrappedKey::write`] made: `vigo-master-key-transit 1 ID MOUNT KEY WRAPPED`.
    ///
    /// # Errors
    /// When it is no such text.
    pub fn parse(text: &[u8]) -> Result<Self, SecretError> {
        let wrong = SecretError::MasterKey;
        let text = std::str::from_utf8(text.trim_ascii()).map_err(|_| wrong("it is no text"))?;
        let rest = text.strip_prefix(Self::MAGIC).ok_or(wrong("it is none under a key service's key"))?;
        let words: Vec<&str> = rest.split(' ').collect();
        let [id, mount, key, wrapped] = words.as_slice() else { return Err(wrong("it is cut off")) };
        let id = from_hex(id.as_bytes()).and_then(|id| id.expose().try_into().ok());
        Self::new(id.ok_or(wrong("its id is not of the right hexadecimal form"))?, mount, key, wrapped)
    }

    /// The text, with a newline.
    #[must_use]
    pub fn write(&self) -> String {
        let Self { id, mount, key, wrapped } = self;
        let id: String = id.iter().flat_map(|byte| hex_pair(*byte)).map(char::from).collect();
        format!("{}{id} {mount} {key} {wrapped}\n", Self::MAGIC)
    }

    /// What the service binds in: another key's text, or that of another store, does not open in its place.
    #[must_use]
    pub fn bound(id: &[u8; 16]) -> Vec<u8> {
        [b"vigo master key v1 ".as_slice(), id].concat()
    }
}

/// The name of a key in a key service: letters, digits, `-`, `_`, `.`; at most 128.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=128).contains(&name.len()) && name.bytes().all(is_plain) && !matches!(name, "." | "..")
}

/// Where an engine is: names with `/` between them; at most 256 bytes.
#[must_use]
pub fn is_mount(mount: &str) -> bool {
    mount.len() <= 256 && mount.split('/').all(is_name)
}

fn is_wrapped(text: &str) -> bool {
    let is_version =
        |text: &str| (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let rest = text.strip_prefix("vault:v").and_then(|rest| rest.split_once(':'));
    rest.is_some_and(|(version, body)| {
        is_version(version) && (1..=2048).contains(&body.len()) && body.bytes().all(is_base64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_reads_back_and_nothing_else_is_one() {
        let key = WrappedKey::new([7; 16], "team/transit", "vigo-1", "vault:v12:AAEC+/==").unwrap();
        let text = key.write();
        assert!(WrappedKey::is_one(text.as_bytes()));
        assert_eq!(WrappedKey::parse(text.as_bytes()).unwrap(), key);
        for (from, to) in [
            ("transit 1", "transit 2"),
            ("07070707", "0707070"),
            ("team/transit", "team//transit"),
            ("team/transit", "../transit"),
            ("vigo-1", "vigo/1"),
            ("vigo-1", "vi\"go"),
            ("vigo-1 ", ""),
            ("vault:v12:", "vault:v:"),
            ("vault:v12:", "vault:"),
            ("AAEC+/==", ""),
            ("AAEC+/==", "AA\"EC"),
            ("AAEC+/==", "AA EC"),
        ] {
            assert!(WrappedKey::parse(text.replacen(from, to, 1).as_bytes()).is_err(), "{from} -> {to}");
        }
        assert!(
            WrappedKey::new([7; 16], "transit", "vigo", &format!("vault:v1:{}", "A".repeat(2049))).is_err()
        );
    }
}
