//! Looks for plain texts that look like secrets: known forms of tokens, and long random words.
//!
//! It warns and never shows what it found. It is a net with large meshes: what it does not see is not therefore harmless.

use crate::model::Written;
use crate::reader::Reader;
use vigo_syntax::{Code, count_solid, locate_solid};

/// Beginnings of tokens that services hand out, with the length from which on it is one.
const FORMS: [(&str, usize); 16] = [
    ("AKIA", 20),
    ("ASIA", 20),
    ("AIza", 39),
    ("ghp_", 40),
    ("gho_", 40),
    ("ghs_", 40),
    ("github_pat_", 40),
    ("glpat-", 26),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("sk_live_", 24),
    ("rk_live_", 24),
    ("SG.", 60),
    ("npm_", 40),
    ("hvs.", 24),
    ("eyJhbGciOi", 40),
];
/// Parts of keys whose value is a secret more often than not.
const KEYS: [&str; 6] = ["password", "passwd", "secret", "token", "api_key", "private_key"];
/// From this length on a word is looked at for randomness.
const RANDOM_LENGTH: usize = 24;
/// Bits a character: words of a language, paths and hexadecimal digests stay below.
const RANDOM_BITS: f64 = 4.2;

/// Warns if `text`, the value of `key`, looks like a secret.
pub(crate) fn look(reader: &mut Reader<'_>, key: &str, text: &str, written: Written) {
    let Some((offset, why)) = find(key, text) else { return };
    let solid = count_solid(text.get(..offset).unwrap_or_default());
    let span = locate_solid(reader.source, written.span, written.style, solid, 1);
    let help = "put it into the vault with `vigocli secrets set PATH` and write `secret:PATH` here";
    reader.report(Code::PlaintextSecret, span, format!("this looks like a secret: {why}"), help);
}

fn find(key: &str, text: &str) -> Option<(usize, &'static str)> {
    if let Some(offset) = text.find("PRIVATE KEY-----").filter(|_| text.contains("-----BEGIN ")) {
        return Some((text.find("-----BEGIN ").unwrap_or(offset), "a private key"));
    }
    let mut at = 0;
    for word in text.split(|letter: char| !is_word(letter)) {
        let known = |(form, length): &(&str, usize)| word.starts_with(form) && word.len() >= *length;
        if FORMS.iter().any(known) {
            return Some((at, "it has the form of a token"));
        }
        if is_random(word) {
            return Some((at, "a long random word"));
        }
        at += word.len();
        at += text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    }
    let key = key.to_ascii_lowercase();
    let spoken = KEYS.iter().any(|part| key.ends_with(part));
    let word =
        text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.starts_with(['/', '$']);
    (spoken && word).then_some((0, "the key says so"))
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "+/_-=.".contains(letter)
}

fn is_random(word: &str) -> bool {
    if !(RANDOM_LENGTH..=512).contains(&word.len()) || word.matches('/').count() > 2 || word.contains("..") {
        return false;
    }
    let has = |test: fn(&u8) -> bool| word.as_bytes().iter().any(test);
    let mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    mixed && entropy(word.as_bytes()) > RANDOM_BITS
}

/// Shannon's entropy of the bytes, in bits a byte.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let total = f64::from(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    let share = |count: &u32| f64::from(*count) / total;
    counts.iter().filter(|count| **count > 0).map(|count| -share(count) * share(count).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_random_words_are_seen() {
        let key = format!("-----BEGIN {} PRIVATE KEY-----\n", "EC");
        for text in ["AKIAIOSFODNN7EXAMPLE", "token=Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MEFCQ0RFRg", key.as_str()] {
            assert!(find("content", text).is_some(), "{text}");
        }
        assert!(find("db_password", "hunter2hunter2").is_some());
    }

    #[test]
    fn ordinary_texts_are_not() {
        for (key, text) in [
            ("content", "Managed. Do not edit by hand."),
            ("checksum", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("target_path", "/usr/share/java/Commons-Lang3-3.12.0/Library.jar"),
            ("command", "systemctl daemon-reload && systemctl restart nginx.service"),
            ("password_file", "/etc/app/password"),
            ("password", ""),
            ("host", "ip-10-0-0-1.eu-central-1.compute.internal"),
        ] {
            assert_eq!(find(key, text), None, "{text}");
        }
    }
}
