//! Finds a place inside a text again in the file: a template engine speaks of bytes of the value, a person wants line and column.
//!
//! YAML folds lines and knows escapes, but what is not white space comes through one to one and in order. So counting that is enough, for every style.

use crate::{Style, Text};
use vigo_base::{Position, Span};

/// Where byte `offset` of the value of `text` stands, for `length` bytes but at most to the end of the line. `source` is the whole file, `span` the text's node.
#[must_use]
pub fn locate(source: &str, span: Span, text: &Text, offset: usize, length: usize) -> Span {
    match text.value.get(..offset) {
        Some(before) => locate_solid(source, span, text.style, count_solid(before), length),
        None => span,
    }
}

/// How many characters of `text` are no white space: what [`locate_solid`] counts by.
#[must_use]
pub fn count_solid(text: &str) -> usize {
    text.chars().filter(|letter| !letter.is_whitespace()).count()
}

/// Where the character stands that has `solid` others that are no white space before it in its text.
#[must_use]
pub fn locate_solid(source: &str, span: Span, style: Style, solid: usize, length: usize) -> Span {
    let Some(written) = usize::try_from(span.start).ok().and_then(|start| source.get(start..)) else {
        return span;
    };
    let quote = usize::from(matches!(style, Style::SingleQuoted | Style::DoubleQuoted));
    let at = quote + nth_solid(written.get(quote..).unwrap_or_default(), style, solid);
    let rest = written.get(at..).unwrap_or_default();
    let line_length = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let start = span.start.saturating_add(narrow(at));
    let end = start.saturating_add(narrow(length.clamp(1, line_length.max(1))));
    Span {
        file: span.file,
        start,
        end,
        position: advance(span.position, written.get(..at).unwrap_or_default()),
    }
}

/// Where the `wanted`-th character that is no white space starts, after YAML's escapes.
fn nth_solid(source: &str, style: Style, wanted: usize) -> usize {
    let mut seen = 0;
    let mut at = 0;
    while let Some(letter) = source.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = source.get(at..).unwrap_or_default();
        let (width, counts) = match (style, letter) {
            (Style::DoubleQuoted, '\\') => escape(rest),
            (Style::SingleQuoted, '\'') => (if rest.starts_with("''") { 2 } else { 1 }, true),
            _ => (letter.len_utf8(), !letter.is_whitespace()),
        };
        if counts && seen == wanted {
            return at;
        }
        seen += usize::from(counts);
        at += width;
    }
    source.len()
}

/// How long the escape at the start is, and whether it stands for something that is no white space.
fn escape(rest: &str) -> (usize, bool) {
    let hexadecimal = |digits: usize| {
        let code = rest.get(2..2 + digits).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let pair = matches!(code, Some(0xD800..=0xDBFF)) && rest.get(6..8) == Some("\\u");
        let solid = code.and_then(char::from_u32).is_none_or(|letter| !letter.is_whitespace());
        (if pair { 12 } else { 2 + digits }, solid)
    };
    match rest.chars().nth(1) {
        Some('x') => hexadecimal(2),
        Some('u') => hexadecimal(4),
        Some('U') => hexadecimal(8),
        Some('t' | 'n' | 'v' | 'f' | 'r' | ' ' | '\t' | 'N' | '_' | 'L' | 'P' | '\n' | '\r') => (2, false),
        Some(letter) => (1 + letter.len_utf8(), true),
        None => (1, true),
    }
}

/// The position after `text`, when it starts at `from`.
pub(crate) fn advance(from: Position, text: &str) -> Position {
    let lines = text.bytes().filter(|byte| *byte == b'\n').count();
    let last = text.rsplit_once('\n').map_or(text, |(_, last)| last);
    let columns = narrow(last.chars().count());
    let column = if lines == 0 { from.column } else { 1 };
    Position { line: from.line.saturating_add(narrow(lines)), column: column.saturating_add(columns) }
}

/// A count as spans hold it. Files have 1 MiB at most, so nothing is lost.
pub(crate) fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    /// Parses `source`, takes the value of `a`, finds `what` in it and says where that stands.
    fn place(source: &str, what: &str) -> (u32, u32, String) {
        let parsed = parse(0, source.as_bytes());
        assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
        let node = parsed.root.get("a").unwrap();
        let crate::Kind::Text(text) = &node.kind else { panic!("{node:?}") };
        let span = locate(source, node.span, text, text.value.find(what).unwrap(), what.len());
        let found = source.get(span.start as usize..span.end as usize).unwrap().to_owned();
        (span.position.line, span.position.column, found)
    }

    #[test]
    fn every_style_leads_back_to_line_and_column() {
        assert_eq!(place("a: one {{ x }}\n", "{{"), (1, 8, "{{".into()));
        assert_eq!(place("a: one\n  two {{ x }}\n", "{{"), (2, 7, "{{".into()));
        assert_eq!(place("a: 'it''s {{ x }}'\n", "{{"), (1, 11, "{{".into()));
        assert_eq!(place("a: \"\\u00e9\\t\\\" {{ x }}\"\n", "{{"), (1, 16, "{{".into()));
        assert_eq!(place("a: \"one \\\n  two {{ x }}\"\n", "{{"), (2, 7, "{{".into()));
        assert_eq!(place("a: \"\\uD83D\\uDE00 {{ x }}\"\n", "{{"), (1, 18, "{{".into()));
        assert_eq!(place("a: |\n  ä\n\n    b {{ x }}\n", "{{"), (4, 7, "{{".into()));
        assert_eq!(place("a: |\n\n  b {{ x }}\n", "{{"), (3, 5, "{{".into()));
        assert_eq!(place("a: >-\n  one\n  two\n\n  {{ x }}\n", "{{ x }}"), (5, 3, "{{ x }}".into()));
        assert_eq!(
            place("k: 1\na:\n  - x\n".replace("- x", "\"{{ x }}\"").as_str(), "{{"),
            (3, 4, "{{".into())
        );
    }
}
