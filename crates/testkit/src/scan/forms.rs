//! The forms in which a value may turn up: each as a program writes it that was not told that this is a secret.
//!
//! Written independently of the scrubber's forms in `vigo-secret`: a mistake there must not blind the one who checks.

use std::fmt::Write as _;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// So much of a value is looked for as a list of its bytes: these forms are four and five times as long as it, and whoever prints one begins with these.
const LONGEST_LISTED: usize = 4 << 10;

/// Every form of a value by its name, the raw one first; equal ones once. Padding and line breaks of base64 need no form of their own: what
/// stands before them is found as a fragment.
pub(crate) fn forms(value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    of_whole(value, &mut all);
    let lines: Vec<&[u8]> = value.split(|byte| *byte == b'\n').collect();
    if lines.len() > 1 {
        lines.into_iter().filter(|line| !line.is_empty()).for_each(|line| of_whole(line, &mut all));
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|(_, form)| seen.insert(form.clone()));
    all
}

fn of_whole(value: &[u8], all: &mut Vec<(&'static str, Vec<u8>)>) {
    all.push(("raw", value.to_vec()));
    all.push(("reversed", value.iter().rev().copied().collect()));
    for before in 0..3 {
        all.push(("base64", base64(value, before, STANDARD)));
        all.push(("base64 for URLs", base64(value, before, FOR_URLS)));
    }
    all.push(("hexadecimal", each(value, |byte, text| write!(text, "{byte:02x}"))));
    all.push(("hexadecimal", each(value, |byte, text| write!(text, "{byte:02X}"))));
    let beginning = value.get(..LONGEST_LISTED).unwrap_or(value);
    all.push(("escaped hexadecimal", each(beginning, |byte, text| write!(text, "\\x{byte:02x}"))));
    all.push(("list of numbers", each(beginning, |byte, text| write!(text, "{byte}, "))));
    all.push(("list of numbers", each(beginning, |byte, text| write!(text, "{byte},"))));
    url(value, all);
    let Ok(text) = std::str::from_utf8(value) else { return };
    let utf16: Vec<u16> = text.encode_utf16().collect();
    all.push(("UTF-16, little end first", utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect()));
    all.push(("UTF-16, big end first", utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect()));
    all.push(("reversed", text.chars().rev().collect::<String>().into_bytes()));
    quoted(text, all);
}

/// Forms for which the letters are escaped one by one.
fn quoted(text: &str, all: &mut Vec<(&'static str, Vec<u8>)>) {
    let mut add = |name, escape: &dyn Fn(char, &mut String)| {
        let mut written = String::new();
        text.chars().for_each(|letter| escape(letter, &mut written));
        all.push((name, written.into_bytes()));
    };
    add("JSON", &|letter, out| json(letter, out, false));
    add("JSON in ASCII", &|letter, out| json(letter, out, true));
    add("Debug", &|letter, out| out.extend(letter.escape_debug()));
    add("Rust", &|letter, out| out.extend(letter.escape_default()));
    add("YAML in single quotes", &|letter, out| replace(letter, out, &[('\'', "''")]));
    add("shell in single quotes", &|letter, out| replace(letter, out, &[('\'', "'\\''")]));
    add("shell in single quotes", &|letter, out| replace(letter, out, &[('\'', "'\"'\"'")]));
    add("shell in double quotes", &|letter, out| {
        replace(letter, out, &[('"', "\\\""), ('$', "\\$"), ('`', "\\`"), ('\\', "\\\\")]);
    });
    add("shell by backslashes", &|letter, out| {
        if letter.is_ascii() && !letter.is_ascii_alphanumeric() && !"-_./".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    });
    add("XML", &|letter, out| {
        replace(
            letter,
            out,
            &[('<', "&lt;"), ('>', "&gt;"), ('&', "&amp;"), ('"', "&quot;"), ('\'', "&#39;")],
        );
    });
    add("XML", &|letter, out| {
        replace(
            letter,
            out,
            &[('<', "&lt;"), ('>', "&gt;"), ('&', "&amp;"), ('"', "&#34;"), ('\'', "&apos;")],
        );
    });
    add("regular expression", &|letter, out| {
        if "()[]{}^$.*+?|\\#&-~".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    });
}

fn url(value: &[u8], all: &mut Vec<(&'static str, Vec<u8>)>) {
    let percent = |kept: &str, blank: Option<u8>, upper: bool| {
        let mut out = Vec::new();
        for byte in value {
            match (blank, byte) {
                (Some(plus), b' ') => out.push(plus),
                _ if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(byte) => out.push(*byte),
                _ if upper => out.extend(format!("%{byte:02X}").into_bytes()),
                _ => out.extend(format!("%{byte:02x}").into_bytes()),
            }
        }
        out
    };
    for upper in [true, false] {
        all.push(("URL", percent("-._~", None, upper)));
        all.push(("path of a URL", percent("-._~/", None, upper)));
        all.push(("URL as encodeURIComponent", percent("-._~!*'()", None, upper)));
        all.push(("form", percent("-._*", Some(b'+'), upper)));
    }
}

/// The characters of base64 that depend on the value alone, with so many bytes before it in its group of three.
fn base64(value: &[u8], before: usize, digits: &[u8; 64]) -> Vec<u8> {
    let mut bits: u32 = 0;
    let (mut held, mut out) = (0, Vec::new());
    for byte in std::iter::repeat_n(&0_u8, before).chain(value) {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        while held >= 6 {
            held -= 6;
            out.push(digits.get((bits >> held & 63) as usize).copied().unwrap_or_default());
        }
    }
    // The first ones say something of the bytes before; what is held at the end would be mixed with what follows.
    out.drain(..(before * 8).div_ceil(6).min(out.len()));
    out
}

fn each(value: &[u8], write: impl Fn(u8, &mut String) -> std::fmt::Result) -> Vec<u8> {
    let mut text = String::new();
    for byte in value {
        // Writing to a string does not fail.
        let _ = write(*byte, &mut text);
    }
    text.into_bytes()
}

fn replace(letter: char, out: &mut String, with: &[(char, &str)]) {
    match with.iter().find(|(from, _)| *from == letter) {
        Some((_, to)) => out.push_str(to),
        None => out.push(letter),
    }
}

fn json(letter: char, out: &mut String, ascii: bool) {
    match letter {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        _ if letter.is_ascii() || !ascii => out.push(letter),
        _ => {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(value: &str, form: &str) {
        let all = forms(value.as_bytes());
        assert!(all.iter().any(|(_, each)| each == form.as_bytes()), "{form} is none of {all:?}");
    }

    #[test]
    fn each_form_is_what_the_usual_programs_write() {
        let value = "a'b\"c d/é$\\\n<&>";
        // What base64(1), xxd(1), python3's json, urllib.parse, shlex and html make of it.
        has(value, "a'b\\\"c d/\\u00e9$\\\\\\n<&>");
        has(value, "a%27b%22c%20d%2F%C3%A9%24%5C%0A%3C%26%3E");
        has(value, "a%27b%22c+d%2F%C3%A9%24%5C%0A%3C%26%3E");
        has(value, "a'\\''b\"c d/é$\\\n<&>");
        has(value, "a'\"'\"'b\"c d/é$\\\n<&>");
        has(value, "a''b\"c d/é$\\\n<&>");
        has(value, "a&#39;b&quot;c d/é$\\\n&lt;&amp;&gt;");
        has("ab", "6162");
        has("jk", "6A6B");
        has("ab", "a\0b\0");
        has("ab", "\0a\0b");
        has("abc", "cba");
        has("ab", "97, 98, ");
        has("one\ntwo\n", "two");
    }

    #[test]
    fn base64_is_found_behind_zero_one_and_two_bytes() {
        // base64 of "secret value!" behind "", "x" and "xy", without what depends on the neighbours.
        has("secret value!", "c2VjcmV0IHZhbHVlI");
        for (before, whole) in
            [("", "c2VjcmV0IHZhbHVlIQ=="), ("x", "eHNlY3JldCB2YWx1ZSE="), ("xy", "eHlzZWNyZXQgdmFsdWUh")]
        {
            let inside = base64(b"secret value!", before.len(), STANDARD);
            assert!(whole.as_bytes().windows(inside.len()).any(|part| part == inside), "{before}");
            assert!(inside.len() >= 15);
        }
    }
}
