//! The forms in which a value may turn up in text: as it is, in base64, hexadecimal, URL, shell, JSON, HTML and Python, each as the usual
//! programs write it.
//!
//! A form is never stored: it is produced byte by byte, so that a filter can append it and the scrubber can compare with it.

use crate::derive::hex_pair;
use std::ops::ControlFlow::{self, Continue};

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Raw,
    /// Base64 of the value alone, without padding; with the URL alphabet if true.
    Base64 { url: bool },
    /// The characters of base64 that depend on the value alone when `before` (0 to 2) bytes stand before it in its group of three.
    Base64Inside { before: u8, url: bool },
    /// Hexadecimal.
    Hex { upper: bool },
    /// Percent-encoding.
    Url(Url),
    /// What stands between the quotes of a shell word.
    Shell(Shell),
    /// What stands between the quotes of a JSON string.
    Json(Json),
    /// What stands for it in HTML.
    Html(Html),
    /// What stands between the quotes of Python's `repr`.
    Python,
}

/// Which characters percent-encoding leaves alone, and how it writes the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Url {
    /// Unreserved ones (RFC 3986), upper-case digits.
    Strict,
    /// The same with lower-case digits.
    StrictLower,
    /// As JavaScript's `encodeURIComponent`.
    Component,
    /// As in the body of a form (WHATWG URL): a space is `+`.
    Body,
}

/// How a quote is written in a shell word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    /// In single quotes, `'\''`.
    Single,
    /// In single quotes, `'"'"'`.
    SingleByDouble,
    /// In double quotes, each special character behind a backslash.
    Double,
    /// Without quotes, each special character behind a backslash, as `printf %q` of bash writes a value of one line.
    Backslash,
}

/// How quotes are written in HTML; `&`, `<` and `>` are the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Html {
    /// `&quot;` and `&#x27;`, as Python's `html.escape`.
    Python,
    /// `&#34;` and `&#39;`, as Go and Jinja.
    Numbers,
    /// `&quot;` and `&#039;`, as PHP.
    Php,
}

/// What is escaped in a JSON string beyond what must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// Nothing.
    Minimal,
    /// All that is not ASCII.
    Ascii,
    /// What has a meaning in HTML.
    Html,
}

impl Form {
    /// Every form.
    pub(crate) const ALL: [Self; 26] = [
        Self::Raw,
        Self::Base64 { url: false },
        Self::Base64 { url: true },
        Self::Base64Inside { before: 0, url: false },
        Self::Base64Inside { before: 1, url: false },
        Self::Base64Inside { before: 2, url: false },
        Self::Base64Inside { before: 0, url: true },
        Self::Base64Inside { before: 1, url: true },
        Self::Base64Inside { before: 2, url: true },
        Self::Hex { upper: false },
        Self::Hex { upper: true },
        Self::Url(Url::Strict),
        Self::Url(Url::StrictLower),
        Self::Url(Url::Component),
        Self::Url(Url::Body),
        Self::Shell(Shell::Single),
        Self::Shell(Shell::SingleByDouble),
        Self::Shell(Shell::Double),
        Self::Json(Json::Minimal),
        Self::Json(Json::Ascii),
        Self::Json(Json::Html),
        Self::Shell(Shell::Backslash),
        Self::Html(Html::Python),
        Self::Html(Html::Numbers),
        Self::Html(Html::Php),
        Self::Python,
    ];

    /// True if programs break lines before the byte of this form with that number.
    pub(crate) const fn may_be_wrapped_before(self, number: usize) -> bool {
        match self {
            Self::Base64 { .. } | Self::Base64Inside { .. } => number > 0,
            Self::Hex { .. } => number > 0 && number.is_multiple_of(2),
            _ => false,
        }
    }

    /// True if programs leave a blank or a colon there.
    pub(crate) const fn may_be_spaced_before(self, number: usize) -> bool {
        matches!(self, Self::Hex { .. }) && self.may_be_wrapped_before(number)
    }

    /// True if the form of a value that has nothing but ASCII letters and digits is that value.
    pub(crate) const fn keeps_letters_and_digits(self) -> bool {
        matches!(self, Self::Url(_) | Self::Shell(_) | Self::Json(_) | Self::Html(_) | Self::Python)
    }
}

/// What takes the bytes of a form; it may stop.
pub(crate) type Sink<'a, B> = dyn FnMut(u8) -> ControlFlow<B> + 'a;

/// Gives the bytes of `value` in that form to `sink`.
pub(crate) fn emit<B>(form: Form, value: &[u8], sink: &mut Sink<'_, B>) -> ControlFlow<B> {
    match form {
        Form::Raw => value.iter().try_for_each(|byte| sink(*byte)),
        Form::Base64 { url } => base64(value, 0, true, url, sink),
        Form::Base64Inside { before, url } => base64(value, before, false, url, sink),
        Form::Hex { upper } => value.iter().try_for_each(|byte| {
            hex_pair(*byte)
                .into_iter()
                .try_for_each(|digit| sink(if upper { digit.to_ascii_uppercase() } else { digit }))
        }),
        Form::Url(kind) => value.iter().try_for_each(|byte| url_byte(*byte, kind, sink)),
        Form::Shell(kind) => value.iter().try_for_each(|byte| shell_byte(*byte, kind, sink)),
        Form::Json(kind) => match std::str::from_utf8(value) {
            Ok(text) => text.chars().try_for_each(|letter| json_letter(letter, kind, sink)),
            // No JSON string holds these bytes: there is no such form.
            Err(_) => value.iter().try_for_each(|byte| sink(*byte)),
        },
        Form::Html(kind) => value.iter().try_for_each(|byte| html_byte(*byte, kind, sink)),
        Form::Python => {
            // It takes the quotes that spare it the most backslashes.
            let both = value.contains(&b'\'') && value.contains(&b'"');
            value.iter().try_for_each(|byte| python_byte(*byte, both, sink))
        }
    }
}

/// Base64 of `before` unknown bytes and then the value: only characters that depend on the value alone, and with `last` also the one that
/// is filled up with zero bits at the end.
fn base64<B>(value: &[u8], before: u8, last: bool, url: bool, sink: &mut Sink<'_, B>) -> ControlFlow<B> {
    // Of the first character that is not ours alone, its remaining bits are ours and are skipped.
    let skip = match before {
        0 => 0,
        1 => 4,
        _ => 2,
    };
    let (mut bits, mut count) = (0_u32, 0_u32);
    let mut skipped = skip == 0;
    for byte in value {
        bits = (bits << 8 | u32::from(*byte)) & 0xffff;
        count += 8;
        if !skipped {
            count -= skip;
            skipped = true;
        }
        while count >= 6 {
            count -= 6;
            sink(base64_digit(bits >> count & 63, url))?;
        }
    }
    if last && count > 0 {
        sink(base64_digit(bits << (6 - count) & 63, url))?;
    }
    Continue(())
}

/// The digit of six bits, computed without a table that a cache could show.
const fn base64_digit(bits: u32, url: bool) -> u8 {
    // The cast is of a value below 64.
    #[allow(clippy::cast_possible_truncation)]
    let bits = bits as u8;
    match bits {
        0..=25 => b'A' + bits,
        26..=51 => b'a' + (bits - 26),
        52..=61 => b'0' + (bits - 52),
        62 => {
            if url {
                b'-'
            } else {
                b'+'
            }
        }
        _ => {
            if url {
                b'_'
            } else {
                b'/'
            }
        }
    }
}

fn url_byte<B>(byte: u8, kind: Url, sink: &mut Sink<'_, B>) -> ControlFlow<B> {
    let kept: &[u8] = match kind {
        Url::Strict | Url::StrictLower => b"-._~",
        Url::Component => b"-._~!*'()",
        Url::Body => b"-._*",
    };
    if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
        return sink(byte);
    }
    if byte == b' ' && kind == Url::Body {
        return sink(b'+');
    }
    let lower = kind == Url::StrictLower;
    sink(b'%')?;
    hex_pair(byte)
        .into_iter()
        .try_for_each(|digit| sink(if lower { digit } else { digit.to_ascii_uppercase() }))
}

fn shell_byte<B>(byte: u8, kind: Shell, sink: &mut Sink<'_, B>) -> ControlFlow<B> {
    let text: &[u8] = match (kind, byte) {
        (Shell::Single, b'\'') => b"'\\''",
        (Shell::SingleByDouble, b'\'') => b"'\"'\"'",
        (Shell::Double, b'"' | b'$' | b'`' | b'\\') => {
            sink(b'\\')?;
            return sink(byte);
        }
        (Shell::Backslash, byte) if byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t') => {
            if !byte.is_ascii_alphanumeric() && !b"%+-./:=@_#~".contains(&byte) {
                sink(b'\\')?;
            }
            return sink(byte);
        }
        _ => return sink(byte),
    };
    text.iter().try_for_each(|byte| sink(*byte))
}

fn html_byte<B>(byte: u8, kind: Html, sink: &mut Sink<'_, B>) -> ControlFlow<B> {
    let text: &[u8] = match (byte, kind) {
        (b'&', _) => b"&amp;",
        (b'<', _) => b"&lt;",
        (b'>', _) => b"&gt;",
        (b'"', Html::Numbers) => b"&#34;",
        (b'"', _) => b"&quot;",
        (b'\'', Html::Python) => b"&#x27;",
        (b'\'', Html::Numbers) => b"&#39;",
        (b'\'', Html::Php) => b"&#039;",
        _ => return sink(byte),
    };
    text.iter().try_for_each(|byte| sink(*byte))
}

fn python_byte<B>(byte: u8, escapes_quotes: bool, sink: &mut Sink<'_, B>) -> ControlFlow<B> {
    let escaped = match byte {
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        b'\'' if escapes_quotes => b'\'',
        0..b' ' | 0x7f => {
            b"\\x".iter().try_for_each(|byte| sink(*byte))?;
            return hex_pair(byte).into_iter().try_for_each(sink);
        }
        _ => return sink(byte),
    };
    sink(b'\\')?;
    sink(escaped)
}

fn json_letter<B>(letter: char, kind: Json, sink: &mut Sink<'_, B>) -> ControlFlow<B> {
    let short = match letter {
        '"' => Some(b'"'),
        '\\' => Some(b'\\'),
        '\n' => Some(b'n'),
        '\r' => Some(b'r'),
        '\t' => Some(b't'),
        '\u{8}' => Some(b'b'),
        '\u{c}' => Some(b'f'),
        _ => None,
    };
    if let Some(short) = short {
        sink(b'\\')?;
        return sink(short);
    }
    let escaped = letter < ' '
        || (kind == Json::Ascii && !letter.is_ascii())
        || (kind == Json::Html && matches!(letter, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'));
    if !escaped {
        return letter.encode_utf8(&mut [0; 4]).bytes().try_for_each(sink);
    }
    for unit in letter.encode_utf16(&mut [0; 2]) {
        sink(b'\\')?;
        sink(b'u')?;
        for byte in unit.to_be_bytes() {
            hex_pair(byte).into_iter().try_for_each(&mut *sink)?;
        }
    }
    Continue(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    fn text(form: Form, value: &[u8]) -> String {
        let mut bytes = Vec::new();
        let _ = emit::<()>(form, value, &mut |byte| {
            bytes.push(byte);
            Continue(())
        });
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn base64_is_that_of_the_standard_at_every_length() {
        let bytes: Vec<u8> = (0..=255).rev().collect();
        for length in 0..bytes.len() {
            let value = &bytes[..length];
            assert_eq!(text(Form::Base64 { url: false }, value), STANDARD_NO_PAD.encode(value));
            assert_eq!(text(Form::Base64 { url: true }, value), URL_SAFE_NO_PAD.encode(value));
        }
    }

    #[test]
    fn the_inner_base64_form_is_found_whatever_stands_around_the_value() {
        let value = b"\xff\x00 a value?>";
        for before in 0..3_u8 {
            for neighbour in [0_u8, 0x5a, 0xff] {
                let mut around = vec![neighbour; usize::from(before) + 3];
                around.extend_from_slice(value);
                around.extend_from_slice(&[neighbour; 2]);
                let inside = text(Form::Base64Inside { before, url: false }, value);
                assert!(STANDARD.encode(&around).contains(&inside), "{before} {neighbour}");
                assert!(inside.len() >= (value.len() * 8 - 10) / 6);
            }
        }
    }

    #[test]
    fn url_shell_and_json_forms_are_those_of_the_usual_programs() {
        let value = "a b'\"\\$<é\n\u{1}~*".as_bytes();
        assert_eq!(text(Form::Url(Url::Strict), value), "a%20b%27%22%5C%24%3C%C3%A9%0A%01~%2A");
        assert_eq!(text(Form::Url(Url::StrictLower), value), "a%20b%27%22%5c%24%3c%c3%a9%0a%01~%2a");
        assert_eq!(text(Form::Url(Url::Component), value), "a%20b'%22%5C%24%3C%C3%A9%0A%01~*");
        assert_eq!(text(Form::Url(Url::Body), value), "a+b%27%22%5C%24%3C%C3%A9%0A%01%7E*");
        assert_eq!(text(Form::Shell(Shell::Single), b"a'b"), r"a'\''b");
        assert_eq!(text(Form::Shell(Shell::SingleByDouble), b"a'b"), r#"a'"'"'b"#);
        assert_eq!(text(Form::Shell(Shell::Double), b"a\"$`\\b"), r#"a\"\$\`\\b"#);
        assert_eq!(text(Form::Json(Json::Minimal), value), "a b'\\\"\\\\$<é\\n\\u0001~*");
        assert_eq!(text(Form::Json(Json::Ascii), "é\u{1f600}<".as_bytes()), "\\u00e9\\ud83d\\ude00<");
        assert_eq!(text(Form::Json(Json::Html), b"<a&b>"), "\\u003ca\\u0026b\\u003e");
        assert_eq!(text(Form::Hex { upper: true }, b"\x0f\xa0"), "0FA0");
        // By bash 5.2, Python 3.11 and Go 1.22, each with a value of its own kind.
        assert_eq!(text(Form::Shell(Shell::Backslash), b"a'b $c*(d)^,e%f"), r"a\'b\ \$c\*\(d\)\^\,e%f");
        assert_eq!(text(Form::Html(Html::Python), b"<'\"&>"), "&lt;&#x27;&quot;&amp;&gt;");
        assert_eq!(text(Form::Html(Html::Numbers), b"'\""), "&#39;&#34;");
        assert_eq!(text(Form::Html(Html::Php), b"'\""), "&#039;&quot;");
        assert_eq!(text(Form::Python, b"it's \\ \x01\n"), r"it's \\ \x01\n");
        assert_eq!(text(Form::Python, b"it's \"x\""), r#"it\'s "x""#);
    }
}
