//! The header of an age file: who it is encrypted to, and the MAC over that.

use crate::ImportError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

pub(super) const VERSION: &[u8] = b"age-encryption.org/v1\n";
/// Columns of a line of a stanza's body; a shorter one is the last.
const COLUMNS: usize = 64;
/// As many stanzas as are read.
const STANZAS: usize = 1024;

/// What stands before the payload.
pub(super) struct Header<'a> {
    pub(super) stanzas: Vec<Stanza<'a>>,
    /// All of it up to and with `---`.
    pub(super) signed: &'a [u8],
    pub(super) mac: [u8; 32],
}

/// One recipient.
pub(super) struct Stanza<'a> {
    /// Its kind first; at least that.
    pub(super) arguments: Vec<&'a str>,
    pub(super) body: Vec<u8>,
}

impl<'a> Stanza<'a> {
    pub(super) fn kind(&self) -> &'a str {
        self.arguments.first().copied().unwrap_or_default()
    }

    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind() == kind
    }
}

pub(super) const fn malformed(why: &'static str) -> ImportError {
    ImportError::Malformed { format: "age", line: 0, why }
}

/// Base64 of exactly so many bytes.
pub(super) fn exact<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD_NO_PAD.decode(text).ok()?.try_into().ok()
}

impl<'a> Header<'a> {
    /// Reads it. Gives the payload, too.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ImportError> {
        let mut rest = bytes.strip_prefix(VERSION).ok_or(ImportError::NotThis("age"))?;
        let mut stanzas = Vec::new();
        loop {
            let line = line(&mut rest)?;
            if let Some(mac) = line.strip_prefix("--- ") {
                let mac = exact(mac).ok_or(malformed("its header is damaged"))?;
                if stanzas.is_empty() {
                    return Err(malformed("it has no recipient"));
                }
                // `rest` is a tail of `bytes`: what is before it ends with a space, 43 characters and a newline.
                let end = (bytes.len() - rest.len()).saturating_sub(45);
                let signed = bytes.get(..end).unwrap_or_default();
                return Ok((Self { stanzas, signed, mac }, rest));
            }
            if stanzas.len() >= STANZAS {
                return Err(ImportError::Limit { what: "recipients", most: STANZAS });
            }
            stanzas.push(stanza(line, &mut rest)?);
        }
    }
}

/// The next line, of visible characters and spaces.
fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, ImportError> {
    let end = rest.iter().position(|byte| *byte == b'\n').ok_or(malformed("its header is cut off"))?;
    let (line, after) = rest.split_at_checked(end).unwrap_or_default();
    *rest = after.get(1..).unwrap_or_default();
    let is_right = line.iter().all(|byte| matches!(byte, 32..=126));
    std::str::from_utf8(line).ok().filter(|_| is_right).ok_or(malformed("its header is damaged"))
}

fn stanza<'a>(head: &'a str, rest: &mut &'a [u8]) -> Result<Stanza<'a>, ImportError> {
    let arguments = head.strip_prefix("-> ").ok_or(malformed("its header is damaged"))?;
    let arguments: Vec<&str> = arguments.split(' ').collect();
    if arguments.iter().any(|argument| argument.is_empty()) {
        return Err(malformed("its header is damaged"));
    }
    let mut body = Vec::new();
    loop {
        let line = line(rest)?;
        if line.len() > COLUMNS {
            return Err(malformed("its header is damaged"));
        }
        STANDARD_NO_PAD.decode_vec(line, &mut body).map_err(|_| malformed("its header is damaged"))?;
        if line.len() < COLUMNS {
            return Ok(Stanza { arguments, body });
        }
    }
}
