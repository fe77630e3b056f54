//! Reading on after a mistake that YAML cannot read over: the mistake is said, its bytes are covered, and the file is read again.
//!
//! Covering keeps every length, so all places stay true. Without it, one unquoted `{{` would hide every other mistake of the file.

use crate::place::{advance, narrow};
use crate::{Code, Diagnostic};
use granit_parser::{ErrorKind, ScanError};
use std::borrow::Cow;
use std::ops::Range;
use vigo_base::{Position, Span};

/// How many mistakes of one file are mended.
const MENDS: usize = 20;
/// How many bytes are read again at most, all mends together.
const READ_AGAIN: usize = 8 << 20;

/// What is wrong, and what has to be covered so that reading can go on.
type Finding = (Diagnostic, Option<(Range<usize>, Cover)>);

/// Where and why the YAML parser stopped.
pub(crate) struct Failure<'a> {
    at: usize,
    kind: &'a ErrorKind,
}

impl<'a> Failure<'a> {
    pub(crate) fn new(error: &'a ScanError) -> Self {
        Self { at: error.marker().byte_offset().unwrap_or_default(), kind: error.kind() }
    }
}

/// A file, with what was covered in it so far.
pub(crate) struct Repairs<'a> {
    file: u32,
    written: &'a str,
    source: Cow<'a, str>,
    ranges: Vec<Range<usize>>,
    diagnostics: Vec<Diagnostic>,
    read_again: usize,
}

impl<'a> Repairs<'a> {
    pub(crate) const fn new(file: u32, written: &'a str) -> Self {
        let source = Cow::Borrowed(written);
        Self { file, written, source, ranges: Vec::new(), diagnostics: Vec::new(), read_again: 0 }
    }

    /// The file with the mistakes covered.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// What was covered.
    pub(crate) fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    pub(crate) fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    pub(crate) fn into_diagnostics(self) -> Vec<Diagnostic> {
        self.diagnostics
    }

    /// Says what is wrong. True if it was covered, so that reading again gets further.
    pub(crate) fn mend(&mut self, failure: &Failure<'_>) -> bool {
        let at = self.boundary(failure.at);
        let (diagnostic, covered) = self.explain(at, failure.kind);
        // What a mend broke is not the author's mistake.
        if covered.is_some() || self.diagnostics.is_empty() || diagnostic.code != Code::Yaml {
            self.diagnostics.push(diagnostic);
        }
        self.read_again = self.read_again.saturating_add(self.written.len());
        match covered {
            Some((range, with)) if self.ranges.len() < MENDS && self.read_again < READ_AGAIN => {
                self.cover(range, with)
            }
            _ => false,
        }
    }

    fn boundary(&self, at: usize) -> usize {
        (0..=at.min(self.written.len())).rev().find(|at| self.written.is_char_boundary(*at)).unwrap_or(0)
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let before = self.written.get(..start).unwrap_or_default();
        let before = before.strip_prefix('\u{feff}').unwrap_or(before);
        let position = advance(Position { line: 1, column: 1 }, before);
        Span { file: self.file, start: narrow(start), end: narrow(end.max(start)), position }
    }

    /// Overwrites `range` by as many bytes of `with`, a `#` first if that is what `with` is.
    fn cover(&mut self, range: Range<usize>, with: Cover) -> bool {
        let (Some(before), Some(middle), Some(after)) =
            (self.source.get(..range.start), self.source.get(range.clone()), self.source.get(range.end..))
        else {
            return false;
        };
        if middle.is_empty() {
            return false;
        }
        let filler = match with {
            Cover::Word => "x".repeat(middle.len()),
            Cover::Comment => format!("#{}", "x".repeat(middle.len() - 1)),
        };
        self.source = Cow::Owned(format!("{before}{filler}{after}"));
        self.ranges.push(range);
        true
    }

    /// The line that holds byte `at`, and where it starts. Of what was covered, the covered form.
    fn line(&self, at: usize) -> (usize, &str) {
        let source = self.source.as_ref();
        let before = source.get(..at).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let rest = source.get(start..).unwrap_or_default();
        (start, rest.find('\n').and_then(|end| rest.get(..end)).unwrap_or(rest).trim_end_matches('\r'))
    }

    fn explain(&self, at: usize, kind: &ErrorKind) -> Finding {
        if is_tab(kind) {
            let tab = self.source.get(at..).and_then(|rest| rest.find('\t')).filter(|ahead| *ahead < 200);
            let (start, line) = self.line(at);
            let tab = line.find('\t').map(|tab| start + tab).or(tab.map(|ahead| at + ahead)).unwrap_or(at);
            return (tab_diagnostic(self.span(tab, tab + 1)), None);
        }
        match kind {
            ErrorKind::UnknownQuotedScalarEscape => self.escape(at),
            ErrorKind::MissingAnchorOrAliasName => self.star(at),
            ErrorKind::DirectiveDisallowed => (
                Diagnostic::new(
                    Code::SecondDocument,
                    self.span(at, at + 1),
                    "a `%` directive; files have none",
                )
                .help("a text that starts with `%` stands in quotes"),
                None,
            ),
            ErrorKind::RecursionLimitExceeded => (
                Diagnostic::new(
                    Code::TooLarge,
                    self.span(at, at),
                    "lists and maps stand too deep in each other",
                )
                .help("lay the structure out flat"),
                None,
            ),
            _ => self
                .template(at)
                .or_else(|| self.odd_character(at, kind))
                .unwrap_or_else(|| (self.other(at, kind), None)),
        }
    }

    /// `\:` and the like in double quotes; `at` is the opening quote.
    fn escape(&self, at: usize) -> Finding {
        let rest = self.source.get(at + 1..).unwrap_or_default();
        let mut letters = rest.char_indices();
        let mut found = None;
        while let Some((offset, letter)) = letters.next() {
            if letter == '\\' {
                match letters.next() {
                    Some((_, escaped)) if "0abtnvfre \t\"/\\N_LPxuU\n\r".contains(escaped) => {}
                    Some((_, escaped)) => {
                        found = Some((at + 1 + offset, escaped));
                        break;
                    }
                    None => break,
                }
            }
        }
        let Some((backslash, escaped)) = found else {
            return (self.other(at, &ErrorKind::UnknownQuotedScalarEscape), None);
        };
        let span = self.span(backslash, backslash + 1 + escaped.len_utf8());
        let secret = self.source.get(..backslash).is_some_and(|before| before.ends_with("secret"));
        let diagnostic = if secret && escaped == ':' {
            Diagnostic::new(
                Code::EscapedSecret,
                span,
                "`secret\\:` cannot stand in double quotes: YAML takes `\\:` for an escape",
            )
            .help("use single quotes or none (`secret\\:x`), or write `{{ \"secret:\" }}x`")
        } else {
            let message = format!("`\\{escaped}` is no escape of a double-quoted text");
            Diagnostic::new(Code::Yaml, span, message)
                .help("use single quotes, in which a backslash is a backslash, or double it")
        };
        (diagnostic, Some((backslash..backslash + 1, Cover::Word)))
    }

    fn star(&self, at: usize) -> Finding {
        let span = self.span(at, at + 1);
        if self.source.as_bytes().get(at) == Some(&b'&') {
            let help = "a text that starts with `&` stands in quotes";
            return (
                Diagnostic::new(Code::Yaml, span, "`&` starts an anchor, and its name is missing").help(help),
                Some((at..at + 1, Cover::Word)),
            );
        }
        let diagnostic = Diagnostic::new(
            Code::UnknownAlias,
            span,
            "a `*` outside quotes is a YAML alias, and its name is missing",
        )
        .help("a glob stands in quotes: `\"*\"`");
        (diagnostic, Some((at..at + 1, Cover::Word)))
    }

    /// A template tag without quotes on the line where reading stopped, or on the one before.
    fn template(&self, at: usize) -> Option<Finding> {
        let (start, line) = self.line(at);
        let found = unquoted_tag(line).map(|offset| (start, line, offset)).or_else(|| {
            let (start, line) = self.line(start.checked_sub(1)?);
            unquoted_tag(line).map(|offset| (start, line, offset))
        });
        let (start, line, offset) = found?;
        let tag = line.get(offset..)?;
        let closing = if tag.starts_with("{%") { "%}" } else { "}}" };
        let length = tag.find(closing).map_or(tag.len(), |end| end + closing.len());
        let place = start + offset;
        let span = self.span(place, place + 2);
        let alone = line.get(..offset)?.trim().is_empty();
        if alone && tag.starts_with("{%") {
            let diagnostic = template_in_key(span);
            return Some((diagnostic, Some((place..place + tag.len(), Cover::Comment))));
        }
        Some((unquoted_template(span), Some((place..place + length, Cover::Word))))
    }

    fn odd_character(&self, at: usize, kind: &ErrorKind) -> Option<Finding> {
        let (message, help) = match kind {
            ErrorKind::UnexpectedCharacter { character } => (
                format!("a value cannot start with `{character}` outside quotes"),
                "put the value into quotes",
            ),
            ErrorKind::MappingValueNotAllowed => (
                "`: ` inside a value that is not in quotes".to_owned(),
                "put the value into quotes, or check the indentation of this line",
            ),
            _ => return None,
        };
        let length = self.source.get(at..)?.chars().next()?.len_utf8();
        let diagnostic = Diagnostic::new(Code::Yaml, self.span(at, at + length), message).help(help);
        Some((diagnostic, Some((at..at + length, Cover::Word))))
    }

    fn other(&self, at: usize, kind: &ErrorKind) -> Diagnostic {
        let (message, help): (String, &str) = match kind {
            ErrorKind::UnclosedQuotedScalar => (
                "the quote that opens here is not closed".into(),
                "close it, or use a `|` block for a long text",
            ),
            ErrorKind::UnclosedFlowCollection { open } => {
                (format!("the `{open}` that opens here is not closed"), "close it")
            }
            ErrorKind::ExpectedBlockMappingKey => (
                "a key is expected here".into(),
                "check the indentation: the keys of one map start in one column",
            ),
            ErrorKind::ExpectedBlockSequenceEntry => (
                "a `-` is expected here".into(),
                "check the indentation: the items of one list start in one column",
            ),
            ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
                ("a `:` is missing after the key".into(), "write `key: value`")
            }
            ErrorKind::InvalidIndentation | ErrorKind::InvalidBlockScalarIndent => {
                ("the indentation does not fit what is above".into(), "indent with two spaces a level")
            }
            other => (other.to_string(), ""),
        };
        Diagnostic::new(Code::Yaml, self.span(at, at + 1), message).help(help)
    }
}

/// What mistakes are covered with.
#[derive(Clone, Copy)]
enum Cover {
    /// A word, so that a value stays a value.
    Word,
    /// A comment, so that a line is no line.
    Comment,
}

const fn is_tab(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::TabInPlainScalar
    )
}

/// Where the first `{{` or `{%` outside quotes starts on a line.
fn unquoted_tag(line: &str) -> Option<usize> {
    let mut quote = None;
    let mut previous = ' ';
    for (at, letter) in line.char_indices() {
        match quote {
            Some(open) if letter == open && previous != '\\' => quote = None,
            Some(_) => {}
            None if matches!(letter, '"' | '\'') && " [{,:".contains(previous) => quote = Some(letter),
            None if letter == '#' && previous == ' ' => return None,
            None if letter == '{' && line.get(at + 1..).is_some_and(|rest| rest.starts_with(['{', '%'])) => {
                return Some(at);
            }
            None => {}
        }
        previous = letter;
    }
    None
}

/// The diagnostic for a value that starts with a template tag without quotes.
pub(crate) fn unquoted_template(span: Span) -> Diagnostic {
    Diagnostic::new(
        Code::UnquotedTemplate,
        span,
        "this value needs quotes: for YAML, a `{` at its start or in a `[ ]` list opens a map",
    )
    .help("put the whole value into quotes: `\"{{ vars.x }}\"`")
}

/// The diagnostic for a template tag where the structure of the file is.
pub(crate) fn template_in_key(span: Span) -> Diagnostic {
    Diagnostic::new(
        Code::TemplateInStructure,
        span,
        "a template tag stands in a key or between keys; only values are rendered",
    )
    .help("use `case` and `match`, `foreach` or `when` to vary what is there")
}

/// The diagnostic for a tab.
pub(crate) fn tab(span: Span) -> Diagnostic {
    tab_diagnostic(span)
}

fn tab_diagnostic(span: Span) -> Diagnostic {
    Diagnostic::new(Code::Tab, span, "a tab in the indentation; YAML indents with spaces")
        .help("replace the tabs of this file by spaces")
}
