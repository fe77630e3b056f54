//! Values that nobody else has: fresh for every run, of the kinds that have leaked through other programs' escaping, splitting and searching.
//!
//! A canary is held XOR-ed, so that a scan of memory does not find the copy of the one who looks.

use std::fs::File;
use std::io::{self, Read as _};

/// What a masked byte is XOR-ed with.
pub(crate) const MASK: u8 = 0xA7;
/// Digits of values: base64's for URLs, so that a value can be a word or a line of text.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// First and last character of the canary of three bytes: in no base64, hexadecimal or number, and rare in text.
const RARE: &[u8; 4] = b"~^`|";

/// What a canary is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Letters and digits.
    Plain,
    /// With what a shell reads: quotes, dollars, backslashes, backquotes, blanks.
    Shell,
    /// With what YAML reads: colons, hashes, brackets, ampersands, percent signs.
    Yaml,
    /// With what XML reads.
    Xml,
    /// With what a URL reads.
    Url,
    /// With what a regular expression reads.
    Regex,
    /// Several lines.
    Lines,
    /// Not only ASCII.
    NonAscii,
    /// Three bytes.
    Three,
    /// 64 bytes, as most keys.
    SixtyFour,
    /// 64 KiB, the longest value there is.
    Longest,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Plain,
        Self::Shell,
        Self::Yaml,
        Self::Xml,
        Self::Url,
        Self::Regex,
        Self::Lines,
        Self::NonAscii,
        Self::Three,
        Self::SixtyFour,
        Self::Longest,
    ];

    /// The word for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Shell => "shell",
            Self::Yaml => "yaml",
            Self::Xml => "xml",
            Self::Url => "url",
            Self::Regex => "regex",
            Self::Lines => "lines",
            Self::NonAscii => "non-ascii",
            Self::Three => "three bytes",
            Self::SixtyFour => "64 bytes",
            Self::Longest => "64 KiB",
        }
    }

    /// What stands between the random parts. No part is so long that a fragment that counts could be made of it alone.
    const fn between(self) -> &'static [&'static str] {
        match self {
            Self::Shell => &["'", "\"", "$(", "\\", "`", " ", "!", "${"],
            Self::Yaml => &[": ", " #", "[", "]", "{", "}", "&", "*", "%", "@", "'", "\""],
            Self::Xml => &["<", ">", "&", "\"", "'", "]]>", "<!--", "&amp;"],
            Self::Url => &["/", "?", "&", "=", "#", "%", "%2F", "+", " ", "://", "@"],
            Self::Regex => &["(", ")", "[", "]", "{", "}", "^", "$", ".", "*", "+", "?", "|", "\\"],
            Self::Lines => &["\n"],
            Self::NonAscii => &["é", "ß", "語", "🔑", "Ω", "ñ"],
            _ => &[],
        }
    }
}

/// A value to plant and to look for.
pub struct Canary {
    pub(super) kind: Kind,
    pub(super) masked: Vec<u8>,
}

impl Canary {
    /// A new one from the system's source of random bytes.
    ///
    /// # Errors
    /// If that source cannot be read.
    pub fn fresh(kind: Kind) -> io::Result<Self> {
        let mut source = File::open("/dev/urandom")?;
        let mut random = |count: usize| -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; count];
            source.read_exact(&mut bytes)?;
            bytes.iter_mut().for_each(|byte| *byte = digit(*byte));
            Ok(bytes)
        };
        let mut plain = match kind {
            Kind::Plain => random(32)?,
            Kind::SixtyFour => random(64)?,
            Kind::Longest => random(64 << 10)?,
            Kind::Three => {
                let [first, last] = [rare(random(1)?), rare(random(1)?)];
                [vec![first], random(1)?, vec![last]].concat()
            }
            _ => {
                // Lines are long enough that one alone is found; the others have something special every five bytes.
                let part = if kind == Kind::Lines { 24 } else { 5 };
                let mut value = random(part)?;
                let words = kind.between();
                for word in words.iter().cycle().take(words.len().max(3)) {
                    value.extend_from_slice(word.as_bytes());
                    value.extend(random(part)?);
                }
                value
            }
        };
        plain.iter_mut().for_each(|byte| *byte ^= MASK);
        Ok(Self { kind, masked: plain })
    }

    /// One of each kind.
    ///
    /// # Errors
    /// If the source of random bytes cannot be read.
    pub fn one_of_each() -> io::Result<Vec<Self>> {
        Kind::ALL.into_iter().map(Self::fresh).collect()
    }

    /// A value that exists already. The caller's own copy is in the caller's memory.
    #[must_use]
    pub fn of(kind: Kind, plain: &[u8]) -> Self {
        Self { kind, masked: plain.iter().map(|byte| byte ^ MASK).collect() }
    }

    /// What it is made of.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The value, to plant it.
    #[must_use]
    pub fn plain(&self) -> Vec<u8> {
        self.masked.iter().map(|byte| byte ^ MASK).collect()
    }

    /// How many bytes it has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.masked.len()
    }
}

fn digit(byte: u8) -> u8 {
    DIGITS.get(usize::from(byte % 64)).copied().unwrap_or(b'A')
}

fn rare(random: Vec<u8>) -> u8 {
    let byte = random.first().copied().unwrap_or_default();
    RARE.get(usize::from(byte % 4)).copied().unwrap_or(b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_what_its_name_says_and_no_two_are_alike() {
        for kind in Kind::ALL {
            let (one, two) = (Canary::fresh(kind).unwrap().plain(), Canary::fresh(kind).unwrap().plain());
            assert!(one != two || kind == Kind::Three, "{kind:?}");
            let text = String::from_utf8(one).unwrap();
            let has = |letters: &str| letters.chars().all(|letter| text.contains(letter));
            match kind {
                Kind::Plain => assert_eq!(text.len(), 32),
                Kind::Shell => assert!(has("'\"$\\` "), "{text}"),
                Kind::Yaml => assert!(has(":#[]{}&*%"), "{text}"),
                Kind::Xml => assert!(has("<>&\"'"), "{text}"),
                Kind::Url => assert!(has("/?&=#% +"), "{text}"),
                Kind::Regex => assert!(has("()[]{}^$.*+?|\\"), "{text}"),
                Kind::Lines => assert_eq!(text.lines().count(), 4),
                Kind::NonAscii => assert!(!text.is_ascii()),
                Kind::Three => assert_eq!(text.len(), 3),
                Kind::SixtyFour => assert_eq!(text.len(), 64),
                Kind::Longest => assert_eq!(text.len(), 65_536),
            }
        }
    }
}
