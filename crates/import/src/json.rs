//! JSON (RFC 8259), read into leaves. Its own decoder: a name that stands there twice is an error, and the order counts, for sops.

use crate::leaf::{Leaf, Sort, Step};
use crate::{DEPTH, ImportError, NAME, VALUES};
use std::collections::HashSet;
use zeroize::Zeroizing;

/// As many leaves as are read; more than values, as sops has leaves of its own.
const LEAVES: usize = 4 * VALUES;

/// Reads an object.
///
/// # Errors
/// When it is none, is nested too deeply, or has a name twice.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Leaf>, ImportError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = Reader { rest: bytes, line: 1, at: Vec::new(), leaves: Vec::new() };
    reader.space();
    if reader.rest.first() != Some(&b'{') {
        return Err(reader.wrong("it is no object"));
    }
    reader.value()?;
    reader.space();
    if reader.rest.is_empty() { Ok(reader.leaves) } else { Err(reader.wrong("something behind its end")) }
}

struct Reader<'a> {
    rest: &'a [u8],
    line: usize,
    at: Vec<Step>,
    leaves: Vec<Leaf>,
}

impl Reader<'_> {
    fn wrong(&self, why: &'static str) -> ImportError {
        ImportError::Malformed { format: "JSON", line: self.line, why }
    }

    fn space(&mut self) {
        while let Some((byte @ (b' ' | b'\t' | b'\r' | b'\n'), rest)) = self.rest.split_first() {
            self.line += usize::from(*byte == b'\n');
            self.rest = rest;
        }
    }

    fn take(&mut self, wanted: u8) -> bool {
        match self.rest.split_first() {
            Some((byte, rest)) if *byte == wanted => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn value(&mut self) -> Result<(), ImportError> {
        if self.at.len() >= DEPTH {
            return Err(ImportError::Limit { what: "levels", most: DEPTH });
        }
        self.space();
        match self.rest.first() {
            Some(b'{') => self.object(),
            Some(b'[') => self.list(),
            Some(b'"') => {
                let text = self.string()?;
                self.leaf(Sort::Text, &text)
            }
            _ => self.bare(),
        }
    }

    fn leaf(&mut self, sort: Sort, text: &[u8]) -> Result<(), ImportError> {
        if self.leaves.len() >= LEAVES {
            return Err(ImportError::Limit { what: "values", most: VALUES });
        }
        self.leaves.push(Leaf::new(self.at.clone(), sort, text)?);
        Ok(())
    }

    fn object(&mut self) -> Result<(), ImportError> {
        let mut seen = HashSet::new();
        self.take(b'{');
        self.space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.space();
            let name = self.string()?;
            let name = String::from_utf8(name.to_vec()).map_err(|_| self.wrong("a name that is no text"))?;
            if name.len() > NAME {
                return Err(ImportError::Limit { what: "bytes in a name", most: NAME });
            }
            self.at.push(Step::Name(name.clone()));
            if !seen.insert(name) {
                let leaf = Leaf::new(self.at.clone(), Sort::Null, b"")?;
                return Err(ImportError::Duplicate { key: leaf.name() });
            }
            self.space();
            if !self.take(b':') {
                return Err(self.wrong("no `:` behind a name"));
            }
            self.value()?;
            self.at.pop();
            self.space();
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.wrong("no `,` and no `}` behind a value"));
            }
        }
    }

    fn list(&mut self) -> Result<(), ImportError> {
        self.take(b'[');
        self.space();
        if self.take(b']') {
            return Ok(());
        }
        for index in 0.. {
            self.at.push(Step::Index(index));
            self.value()?;
            self.at.pop();
            self.space();
            if self.take(b']') {
                break;
            }
            if !self.take(b',') {
                return Err(self.wrong("no `,` and no `]` behind a value"));
            }
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Zeroizing<Vec<u8>>, ImportError> {
        if !self.take(b'"') {
            return Err(self.wrong("no text in quotes where one has to be"));
        }
        let mut text = Zeroizing::new(Vec::new());
        loop {
            let plain = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=31));
            let (part, rest) = plain
                .and_then(|end| self.rest.split_at_checked(end))
                .ok_or(self.wrong("a text that does not end"))?;
            append(&mut text, part);
            self.rest = rest;
            if self.take(b'"') {
                return match std::str::from_utf8(&text) {
                    Ok(_) => Ok(text),
                    Err(_) => Err(self.wrong("a text that is not UTF-8")),
                };
            }
            if !self.take(b'\\') {
                return Err(self.wrong("a control character in a text"));
            }
            self.escape(&mut text)?;
        }
    }

    fn escape(&mut self, text: &mut Zeroizing<Vec<u8>>) -> Result<(), ImportError> {
        let (byte, rest) = self.rest.split_first().ok_or(self.wrong("a text that does not end"))?;
        self.rest = rest;
        let short = match byte {
            b'"' | b'\\' | b'/' => *byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let first = self.hex()?;
                let code = if (0xd800..0xdc00).contains(&first) {
                    let second = if self.take(b'\\') && self.take(b'u') { self.hex()? } else { 0 };
                    if !(0xdc00..0xe000).contains(&second) {
                        return Err(self.wrong("half of a character"));
                    }
                    0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
                } else {
                    first
                };
                let character = char::from_u32(code).ok_or(self.wrong("half of a character"))?;
                append(text, character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.wrong("an escape that there is not")),
        };
        append(text, &[short]);
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, ImportError> {
        let wrong = self.wrong("an escape that there is not");
        let (digits, rest) = self.rest.split_at_checked(4).ok_or(wrong.clone())?;
        self.rest = rest;
        digits.iter().try_fold(0, |code, digit| {
            char::from(*digit).to_digit(16).map(|digit| code * 16 + digit).ok_or(wrong.clone())
        })
    }

    fn bare(&mut self) -> Result<(), ImportError> {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let end = self.rest.iter().position(|byte| !is_part(byte)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest;
        match word {
            b"null" => self.leaf(Sort::Null, b""),
            b"true" | b"false" => self.leaf(Sort::Bare, word),
            number if is_number(number) => self.leaf(Sort::Bare, word),
            _ => Err(self.wrong("no value where one has to be")),
        }
    }
}

/// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
fn is_number(word: &[u8]) -> bool {
    let digits = |text: &mut &[u8]| {
        let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *text = text.get(count..).unwrap_or_default();
        count
    };
    let mut rest = word.strip_prefix(b"-").unwrap_or(word);
    let leads_with_zero = rest.first() == Some(&b'0');
    let whole = digits(&mut rest);
    if whole == 0 || (leads_with_zero && whole > 1) {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        rest = fraction;
        if digits(&mut rest) == 0 {
            return false;
        }
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        rest = exponent.strip_prefix(b"-").or_else(|| exponent.strip_prefix(b"+")).unwrap_or(exponent);
        if digits(&mut rest) == 0 {
            return false;
        }
    }
    rest.is_empty()
}

/// `Vec` leaves what it outgrows behind: the hand's allocator wipes that, and this does where there is none.
fn append(text: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    let needed = text.len() + bytes.len();
    if needed > text.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * text.capacity())));
        larger.extend_from_slice(text);
        *text = larger;
    }
    text.extend_from_slice(bytes);
}
