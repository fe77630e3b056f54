//! The fixed filters, on ordinary text. On a secret the hand applies them; the two must agree byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;
use vigo_base::{Filter, encode_hex};

/// What `filter` makes of `text`; `None` for those that need a salt.
pub fn apply(filter: Filter, text: &str) -> Option<String> {
    match filter {
        Filter::Base64 => Some(STANDARD.encode(text)),
        Filter::Url => Some(url(text)),
        Filter::Json => {
            let mut out = String::new();
            push_json(&mut out, text);
            Some(out)
        }
        Filter::Shell => Some(format!("'{}'", text.replace('\'', "'\\''"))),
        Filter::Hex => Some(encode_hex(text.as_bytes())),
        Filter::Trim => Some(text.trim().to_owned()),
        Filter::Sha512Crypt | Filter::Bcrypt => None,
    }
}

/// Percent-encoding of all but unreserved characters (RFC 3986, 2.3).
fn url(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Appends `text` as a JSON string (RFC 8259, 7).
pub fn push_json(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
