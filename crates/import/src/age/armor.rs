//! The armor of age files: base64 in lines of 64, strictly (RFC 7468 as age's specification narrows it).

use crate::ImportError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

const BEGIN: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
const END: &[u8] = b"-----END AGE ENCRYPTED FILE-----";
/// Characters of a line that is not the last.
const COLUMNS: usize = 64;

/// Whether it is armored.
pub(super) fn is_armored(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(BEGIN)
}

/// The bytes of a file, whichever form it has. Nothing in them is secret.
pub(super) fn decoded(bytes: &[u8]) -> Result<Cow<'_, [u8]>, ImportError> {
    if !is_armored(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    let wrong = || ImportError::Malformed { format: "age", line: 0, why: "its armor is damaged or cut off" };
    let lines = bytes.trim_ascii().split(|byte| *byte == b'\n');
    let mut lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    if lines.next() != Some(BEGIN) || lines.next_back() != Some(END) {
        return Err(wrong());
    }
    let mut binary = Vec::with_capacity(bytes.len());
    let mut is_over = false;
    for line in lines {
        if is_over || line.is_empty() || line.len() > COLUMNS {
            return Err(wrong());
        }
        is_over = line.len() < COLUMNS || line.ends_with(b"=");
        STANDARD.decode_vec(line, &mut binary).map_err(|_| wrong())?;
    }
    Ok(Cow::Owned(binary))
}
