//! Cuts source text into plain text, tags with their tokens, raw blocks and comments, exactly where the template engine cuts it.
//!
//! It knows nothing of grammar: whether the tokens of a tag make sense is for the engine to say.

use crate::Place;
use crate::problem::{Problem, code};

/// What a stretch of source is.
#[derive(Debug, PartialEq, Eq)]
pub enum Segment<'a> {
    /// Text that is copied as it stands.
    Text {
        /// First byte.
        start: usize,
        /// One past the last byte.
        end: usize,
    },
    /// `{% raw %}` to `{% endraw %}`.
    Raw {
        /// First byte of the opening tag.
        start: usize,
        /// One past the closing tag.
        end: usize,
        /// First byte of what is between.
        inner_start: usize,
        /// One past what is between.
        inner_end: usize,
    },
    /// `{# #}`.
    Comment {
        /// First byte.
        start: usize,
        /// One past the last byte.
        end: usize,
    },
    /// `{{ }}` or `{% %}`.
    Tag(Tag<'a>),
}

/// A tag.
#[derive(Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// True for `{% %}`.
    pub block: bool,
    /// First byte of the opening marker.
    pub start: usize,
    /// One past the closing marker.
    pub end: usize,
    /// First byte after the opening marker and its `-` or `+`.
    pub inner_start: usize,
    /// First byte of the closing marker or its `-` or `+`.
    pub inner_end: usize,
    /// What stands in it.
    pub tokens: Vec<Token<'a>>,
}

/// What kind of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A name or a word of the grammar.
    Name,
    /// A number.
    Number,
    /// A string literal with its quotes.
    Text,
    /// An operator or a bracket.
    Sign,
}

/// A token with its place in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What kind.
    pub kind: TokenKind,
    /// As written.
    pub text: &'a str,
    /// First byte in the source.
    pub start: usize,
}

impl Token<'_> {
    /// One past the last byte.
    pub const fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// True for that operator or bracket.
    pub fn is_sign(&self, sign: &str) -> bool {
        self.kind == TokenKind::Sign && self.text == sign
    }

    /// True for that word.
    pub fn is_name(&self, name: &str) -> bool {
        self.kind == TokenKind::Name && self.text == name
    }

    /// 1 for an opening bracket, -1 for a closing one, else 0.
    pub fn depth_change(&self) -> i32 {
        match (self.kind, self.text) {
            (TokenKind::Sign, "(" | "[" | "{") => 1,
            (TokenKind::Sign, ")" | "]" | "}") => -1,
            _ => 0,
        }
    }
}

/// `text[start..]`, empty when there is no such part.
pub fn tail(text: &str, start: usize) -> &str {
    text.get(start..).unwrap_or_default()
}

/// `text[start..end]`, empty when there is no such part.
pub fn part(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or_default()
}

/// Cuts `source`. In an attribute `{#` is text.
pub fn scan(source: &str, place: Place) -> Result<Vec<Segment<'_>>, Problem> {
    let mut segments = Vec::new();
    let (mut text_start, mut at) = (0, 0);
    while let Some(found) = tail(source, at).find('{') {
        let start = at + found;
        let marker = source.as_bytes().get(start + 1).copied();
        let segment = match marker {
            Some(b'{') => Segment::Tag(scan_tag(source, start, false)?),
            Some(b'%') => match scan_raw(source, start)? {
                Some(raw) => raw,
                None => Segment::Tag(scan_tag(source, start, true)?),
            },
            Some(b'#') if place == Place::TemplateFile => scan_comment(source, start)?,
            _ => {
                at = start + 1;
                continue;
            }
        };
        if text_start < start {
            segments.push(Segment::Text { start: text_start, end: start });
        }
        at = match &segment {
            Segment::Text { end, .. } | Segment::Raw { end, .. } | Segment::Comment { end, .. } => *end,
            Segment::Tag(tag) => tag.end,
        };
        text_start = at;
        segments.push(segment);
    }
    if text_start < source.len() {
        segments.push(Segment::Text { start: text_start, end: source.len() });
    }
    Ok(segments)
}

/// The tokens of a bare expression, as in `when`.
pub fn scan_expression(source: &str) -> Result<Vec<Token<'_>>, Problem> {
    let mut tokens = Vec::new();
    let mut at = skip_space(source, 0);
    while at < source.len() {
        let token = scan_token(source, at)?;
        at = skip_space(source, token.end());
        tokens.push(token);
    }
    Ok(tokens)
}

fn unclosed(offset: usize, what: &str, end: &str) -> Problem {
    Problem::error(offset, 2, code::SYNTAX, format!("{what} is not closed by `{end}`")).help(
        "a literal `{{` is written `{{ \"{{\" }}`, a literal `{%` `{{ \"{%\" }}`; or put the text between `{% raw %}` and `{% endraw %}`",
    )
}

fn scan_comment<'a>(source: &'a str, start: usize) -> Result<Segment<'a>, Problem> {
    let inner = start + 2 + sign_length(source, start + 2);
    let length = tail(source, inner).find("#}").ok_or_else(|| unclosed(start, "the comment", "#}"))?;
    Ok(Segment::Comment { start, end: inner + length + 2 })
}

/// 1 if a `-` or `+` of white space control stands there.
fn sign_length(source: &str, at: usize) -> usize {
    usize::from(matches!(source.as_bytes().get(at), Some(b'-' | b'+')))
}

fn skip_space(source: &str, at: usize) -> usize {
    let rest = tail(source, at);
    at + (rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_whitespace()).len())
}

/// Where the tag `{% name %}` ends whose inside starts at `at`, if it is that tag.
fn word_tag_end(source: &str, at: usize, name: &str) -> Option<usize> {
    let at = skip_space(source, at);
    let rest = tail(source, at).strip_prefix(name)?;
    let at = skip_space(source, source.len() - rest.len());
    let at = at + sign_length(source, at);
    tail(source, at).starts_with("%}").then_some(at + 2)
}

fn scan_raw<'a>(source: &'a str, start: usize) -> Result<Option<Segment<'a>>, Problem> {
    let after_sign = start + 2 + sign_length(source, start + 2);
    let Some(inner_start) = word_tag_end(source, after_sign, "raw") else { return Ok(None) };
    let mut at = inner_start;
    while let Some(found) = tail(source, at).find("{%") {
        let inner_end = at + found;
        at = inner_end + 2;
        if let Some(end) = word_tag_end(source, at + sign_length(source, at), "endraw") {
            return Ok(Some(Segment::Raw { start, end, inner_start, inner_end }));
        }
    }
    Err(unclosed(start, "the raw block", "{% endraw %}"))
}

fn scan_tag(source: &str, start: usize, block: bool) -> Result<Tag<'_>, Problem> {
    let close = if block { "%}" } else { "}}" };
    let inner_start = start + 2 + sign_length(source, start + 2);
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let (mut at, mut depth) = (inner_start, 0);
    loop {
        at = skip_space(source, at);
        let signed = at + sign_length(source, at);
        if depth == 0 {
            let end = [at, signed].into_iter().find(|end| tail(source, *end).starts_with(close));
            if let Some(end) = end {
                return Ok(Tag { block, start, end: end + 2, inner_start, inner_end: at, tokens });
            }
        }
        if at >= source.len() {
            return Err(unclosed(start, if block { "`{%`" } else { "`{{`" }, close));
        }
        let token = scan_token(source, at).map_err(|_| unclosed(start, "a string in this tag", "\""))?;
        depth += token.depth_change();
        at = token.end();
        tokens.push(token);
    }
}

fn scan_token(source: &str, start: usize) -> Result<Token<'_>, Problem> {
    let rest = tail(source, start);
    let first = rest.chars().next().unwrap_or(' ');
    let (kind, length) = match first {
        '"' | '\'' => {
            (TokenKind::Text, string_length(rest, first).ok_or_else(|| unclosed(start, "a string", "\""))?)
        }
        '0'..='9' => (TokenKind::Number, number_length(rest)),
        'a'..='z' | 'A'..='Z' | '_' => {
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            (TokenKind::Name, end.unwrap_or(rest.len()))
        }
        _ => {
            let pair = ["//", "**", "==", "!=", ">=", "<=", "&&", "||"];
            let long = pair.iter().any(|sign| rest.starts_with(sign));
            (TokenKind::Sign, if long { 2 } else { first.len_utf8() })
        }
    };
    Ok(Token { kind, text: part(rest, 0, length), start })
}

/// Length of the string literal at the start of `rest`, with its quotes.
fn string_length(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if letter == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn number_length(rest: &str) -> usize {
    let digits = |text: &str| {
        text.len() - text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len()
    };
    let whole = digits(rest);
    let fraction =
        tail(rest, whole).strip_prefix('.').filter(|after| after.starts_with(|c: char| c.is_ascii_digit()));
    whole + fraction.map_or(0, |after| 1 + digits(after))
}

/// What a string literal stands for.
pub fn unquote(literal: &str) -> String {
    let inner = part(literal, 1, literal.len().saturating_sub(1));
    let mut out = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => {}
            },
            _ => out.push(letter),
        }
    }
    out
}
