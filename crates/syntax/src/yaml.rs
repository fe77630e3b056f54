//! From YAML events to the tree: the one place that knows the parser crate.
//!
//! The subset is enforced here: no tags, no merge keys, one document, keys are text and stand once, aliases are unfolded within a budget.

use crate::place::{advance, narrow};
use crate::repair::{self, Repairs};
use crate::{Code, Diagnostic, Entry, Kind, Node, Style, Text};
use granit_parser::{Event, Parser, ScalarStyle, options};
use std::collections::{HashMap, HashSet};
use vigo_base::{Position, Span, limits};

/// How deep lists and maps may stand in each other.
const DEPTH: usize = 64;
/// How many nodes a file may unfold to; one without aliases cannot reach it.
const NODES: usize = 600_000;
/// From how many entries on keys are looked up in a set.
const MANY_KEYS: usize = 16;

/// What became of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The tree; [`Kind::Invalid`] when reading had to stop.
    pub root: Node,
    /// What is wrong with it.
    pub diagnostics: Vec<Diagnostic>,
    /// False when something in it could not be read: what it would have said is not known then.
    pub complete: bool,
}

/// Reads one file. `file` is its number in the tree, for the spans.
#[must_use]
pub fn parse(file: u32, bytes: &[u8]) -> Parsed {
    let whole = Span { file, start: 0, end: 0, position: Position { line: 1, column: 1 } };
    let stop = |diagnostics| Parsed {
        root: Node { kind: Kind::Invalid, span: whole },
        diagnostics,
        complete: false,
    };
    let text = match checked_text(whole, bytes) {
        Ok(text) => text,
        Err(diagnostic) => return stop(vec![diagnostic]),
    };
    let mut repairs = Repairs::new(file, text);
    loop {
        let mut builder = Builder::new(file, repairs.source(), repairs.ranges());
        match builder.run() {
            Ok(()) => {
                let root = builder.root.take().unwrap_or(Node { kind: Kind::Null, span: whole });
                let mut diagnostics = builder.diagnostics;
                let complete = repairs.diagnostics().is_empty();
                diagnostics.extend_from_slice(repairs.diagnostics());
                return Parsed { root, diagnostics, complete };
            }
            Err(Stop::Limit(diagnostic)) => {
                let mut diagnostics = repairs.into_diagnostics();
                diagnostics.push(diagnostic);
                return stop(diagnostics);
            }
            Err(Stop::Scan(error)) => {
                let failure = repair::Failure::new(&error);
                if !repairs.mend(&failure) {
                    return stop(repairs.into_diagnostics());
                }
            }
        }
    }
}

/// The bytes as text, if they may be a policy file at all.
fn checked_text(whole: Span, bytes: &[u8]) -> Result<&str, Diagnostic> {
    if bytes.len() > limits::POLICY_FILE {
        let message =
            format!("the file has {} bytes; a policy file may have {}", bytes.len(), limits::POLICY_FILE);
        return Err(Diagnostic::new(Code::TooLarge, whole, message).help("split the file"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let span = span_at(whole, &String::from_utf8_lossy(valid), 1);
        let message = format!("the file is not UTF-8 text from byte {} on", error.valid_up_to());
        Diagnostic::new(Code::NotText, span, message).help("save the file as UTF-8")
    })?;
    match text.char_indices().find(|(_, letter)| is_foreign(*letter)) {
        None => Ok(text),
        Some((at, letter)) => {
            let span = span_at(whole, text.get(..at).unwrap_or_default(), letter.len_utf8());
            let message = format!("the file holds the control character U+{:04X}", u32::from(letter));
            Err(Diagnostic::new(Code::ControlCharacter, span, message)
                .help("remove it, or write it as an escape in a double-quoted text"))
        }
    }
}

/// Control characters, and those that turn the direction of writing.
fn is_foreign(letter: char) -> bool {
    match letter {
        '\t' | '\n' | '\r' => false,
        ' '..='~' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        letter => letter.is_control(),
    }
}

fn span_at(whole: Span, before: &str, length: usize) -> Span {
    let start = narrow(before.len());
    Span { start, end: start + narrow(length), position: advance(whole.position, before), ..whole }
}

/// Why building ended before the end of the file.
enum Stop {
    Scan(granit_parser::ScanError),
    Limit(Diagnostic),
}

/// A list or map that is still open.
struct Open {
    span: Span,
    anchor: usize,
    /// It stands where a key should be.
    as_key: bool,
    /// A diagnostic was given: it becomes [`Kind::Invalid`].
    invalid: bool,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Key, seen: HashSet<String> },
}

/// What a map waits for.
enum Key {
    /// A key.
    None,
    /// The value of this key.
    Some(String, Span),
    /// A value that is dropped, because its key was a mistake.
    Dropped,
}

struct Builder<'a> {
    file: u32,
    source: &'a str,
    /// Byte ranges that were mended: what is read from them is not what was written.
    mended: &'a [std::ops::Range<usize>],
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    unfolded: usize,
    root: Option<Node>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Builder<'a> {
    fn new(file: u32, source: &'a str, mended: &'a [std::ops::Range<usize>]) -> Self {
        Self {
            file,
            source,
            mended,
            open: Vec::new(),
            anchors: HashMap::new(),
            unfolded: 0,
            root: None,
            diagnostics: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), Stop> {
        let options = options! {
            emit_unresolved_aliases: true,
            disallow_directives: true,
            emit_comments: false,
            flow_nesting_limit: DEPTH,
            block_nesting_limit: DEPTH,
        };
        for event in Parser::new_from_str_with_options(self.source, options) {
            let (event, span) = event.map_err(Stop::Scan)?;
            self.event(event, &span)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'a>, place: &granit_parser::Span) -> Result<(), Stop> {
        let span = self.span(place);
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                let tagged = tag.is_some();
                self.refuse_tag(tagged, place, span);
                if self.wants_key() {
                    self.key(&value, style, span);
                    return Ok(());
                }
                let kind = if tagged || self.is_mended(span) {
                    Kind::Invalid
                } else {
                    self.scalar(value, style, place, span)
                };
                self.finish(Node { kind, span }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), place, span);
                self.start(span, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), place, span);
                let map = Content::Map { entries: Vec::new(), key: Key::None, seen: HashSet::new() };
                self.start(span, anchor, map)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::UnresolvedAlias(name) => {
                self.diagnostics.push(unknown_alias(span, &name));
                self.finish(Node { kind: Kind::Invalid, span }, 0)
            }
            Event::DocumentStart(..) if self.root.is_some() => Err(Stop::Limit(
                Diagnostic::new(
                    Code::SecondDocument,
                    span,
                    "a second document starts here; a file holds one",
                )
                .help("remove the `---`, or put what follows into a file of its own"),
            )),
            _ => Ok(()),
        }
    }

    fn span(&self, place: &granit_parser::Span) -> Span {
        let start = narrow(place.start.byte_offset().unwrap_or_default());
        let end = narrow(place.end.byte_offset().unwrap_or_default()).max(start);
        let position = Position {
            line: narrow(place.start.line()),
            column: narrow(place.start.col()).saturating_add(1),
        };
        Span { file: self.file, start, end, position }
    }

    fn is_mended(&self, span: Span) -> bool {
        let (Ok(start), Ok(end)) = (usize::try_from(span.start), usize::try_from(span.end)) else {
            return false;
        };
        self.mended.iter().any(|range| range.start < end && start < range.end)
    }

    fn refuse_tag(&mut self, tagged: bool, place: &granit_parser::Span, span: Span) {
        if !tagged {
            return;
        }
        let tag = place.tag_span().map_or(span, |tag| self.span(&tag));
        let text = self.slice(tag).to_owned();
        let help = match text.strip_prefix('!') {
            Some(name) if !name.is_empty() => format!(
                "a text that starts with `!` stands in quotes: `\"{text}\"`; in a condition `not {name}` needs none"
            ),
            _ => "remove it".to_owned(),
        };
        let message = format!("`{text}` is a YAML tag; the language has none");
        self.diagnostics.push(Diagnostic::new(Code::YamlTag, tag, message).help(help));
    }

    fn slice(&self, span: Span) -> &'a str {
        let range = usize::try_from(span.start).ok().zip(usize::try_from(span.end).ok());
        range.and_then(|(start, end)| self.source.get(start..end)).unwrap_or_default()
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Map { key: Key::None, .. }, .. }))
    }

    fn start(&mut self, span: Span, anchor: usize, content: Content) -> Result<(), Stop> {
        if self.open.len() >= DEPTH {
            return Err(Stop::Limit(too_deep(span)));
        }
        let as_key = self.wants_key();
        let mut invalid = as_key;
        if as_key {
            self.key_that_is_no_text(span);
        }
        if let Some(outer) = self.open.last_mut()
            && as_key
            && outer.span.start + 1 == span.start
            && matches!(content, Content::Map { .. })
        {
            // `{{ x }}` without quotes is, for YAML, a map whose key is a map.
            outer.invalid = true;
            invalid = true;
        }
        self.open.push(Open { span, anchor, as_key, invalid, content });
        Ok(())
    }

    /// Says why a list or a map cannot be a key, once: an unquoted `{{` opens two maps.
    fn key_that_is_no_text(&mut self, span: Span) {
        let Some(outer) = self.open.last() else { return };
        if outer.span.start + 1 == span.start
            && self.slice(Span { end: outer.span.start + 2, ..outer.span }) == "{{"
        {
            let outer_span = Span { end: outer.span.start + 2, ..outer.span };
            if outer.as_key {
                // Said when the outer one opened.
                return;
            }
            self.diagnostics.push(repair::unquoted_template(outer_span));
        } else {
            let start = usize::try_from(span.start).unwrap_or_default();
            if self.source.get(start..).is_some_and(|rest| rest.starts_with("{{")) {
                self.diagnostics.push(repair::template_in_key(Span { end: span.start + 2, ..span }));
            } else {
                self.diagnostics.push(key_not_text(span));
            }
        }
    }

    fn end(&mut self, end: Span) -> Result<(), Stop> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let span = Span { end: end.end.max(open.span.start), ..open.span };
        let kind = match open.content {
            _ if open.invalid => Kind::Invalid,
            Content::List(items) => Kind::List(items),
            Content::Map { entries, .. } => Kind::Map(entries),
        };
        if open.as_key {
            if let Some(Open { content: Content::Map { key, .. }, .. }) = self.open.last_mut() {
                *key = Key::Dropped;
            }
            return Ok(());
        }
        self.finish(Node { kind, span }, open.anchor)
    }

    /// Puts a node where it belongs.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor > 0 {
            self.unfold(&node, node.span)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open { content: Content::List(items), .. }) => items.push(node),
            Some(Open { content: Content::Map { entries, key, .. }, .. }) => {
                match std::mem::replace(key, Key::None) {
                    Key::Some(name, key_span) => entries.push(Entry { key: name, key_span, value: node }),
                    Key::Dropped => {}
                    Key::None => {
                        *key = Key::Dropped;
                        self.diagnostics.push(key_not_text(node.span));
                    }
                }
            }
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            let message = "the alias stands inside its own anchor";
            self.diagnostics.push(Diagnostic::new(Code::UnknownAlias, span, message));
            return self.finish(Node { kind: Kind::Invalid, span }, 0);
        };
        let depth = self.unfold(&node, span)?;
        if self.open.len() + depth > DEPTH {
            return Err(Stop::Limit(too_deep(span)));
        }
        self.finish(node, 0)
    }

    /// Counts what a copy of `node` adds, and says how deep it is.
    fn unfold(&mut self, node: &Node, span: Span) -> Result<usize, Stop> {
        let (weight, depth) = weigh(node);
        self.unfolded = self.unfolded.saturating_add(weight);
        if self.unfolded > NODES {
            let message = "the aliases of this file unfold to more than a file may hold";
            let help = "write out what differs, or use `foreach` or `defaults`";
            return Err(Stop::Limit(Diagnostic::new(Code::TooLarge, span, message).help(help)));
        }
        Ok(depth)
    }

    fn key(&mut self, value: &str, style: ScalarStyle, span: Span) {
        let accepted = self.accept_key(value, style, span);
        let Some(Open { content: Content::Map { entries, key, seen }, .. }) = self.open.last_mut() else {
            return;
        };
        if !accepted {
            *key = Key::Dropped;
            return;
        }
        if entries.len() == MANY_KEYS {
            seen.extend(entries.iter().map(|entry| entry.key.clone()));
        }
        let many = entries.len() >= MANY_KEYS;
        let first = if many && !seen.contains(value) {
            None
        } else {
            entries.iter().find(|entry| entry.key == value).map(|entry| entry.key_span)
        };
        if let Some(first) = first {
            *key = Key::Dropped;
            let message = format!("the key `{value}` stands twice in one map");
            self.diagnostics.push(
                Diagnostic::new(Code::DuplicateKey, span, message)
                    .related(first, "first here")
                    .help("remove one of the two: maps are not merged"),
            );
            return;
        }
        if many {
            seen.insert(value.to_owned());
        }
        *key = Key::Some(value.to_owned(), span);
    }

    fn accept_key(&mut self, value: &str, style: ScalarStyle, span: Span) -> bool {
        let plain = style == ScalarStyle::Plain;
        if self.is_mended(span) {
            return false;
        }
        let start = usize::try_from(span.start).unwrap_or_default();
        if start > 0 && self.source.as_bytes().get(start - 1) == Some(&b'\t') && self.starts_line(start) {
            self.diagnostics.push(repair::tab(Span {
                start: span.start - 1,
                end: span.start,
                position: Position { line: span.position.line, column: span.position.column - 1 },
                ..span
            }));
        }
        let mistake = if plain && span.start == span.end {
            key_not_text(span)
        } else if plain && value == "<<" {
            Diagnostic::new(Code::MergeKey, span, "`<<` is a YAML merge key; the language has none")
                .help("write the entries out, or use `defaults` for attributes that many resources share")
        } else if value.contains("{{") || value.contains("{%") {
            repair::template_in_key(span)
        } else {
            return true;
        };
        self.diagnostics.push(mistake);
        false
    }

    /// True if only white space stands before this byte on its line.
    fn starts_line(&self, at: usize) -> bool {
        let before = self.source.get(..at).unwrap_or_default();
        before.rsplit_once('\n').map_or(before, |(_, last)| last).trim().is_empty()
    }

    fn scalar(
        &mut self,
        value: std::borrow::Cow<'a, str>,
        style: ScalarStyle,
        place: &granit_parser::Span,
        span: Span,
    ) -> Kind {
        let indent = narrow(place.indent.unwrap_or_default());
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::SingleQuoted,
            ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
            ScalarStyle::Literal => Style::Literal(indent),
            ScalarStyle::Folded => Style::Folded(indent),
        };
        if style == Style::Plain {
            if span.start == span.end {
                return Kind::Null;
            }
            if let Some(digits) = value.strip_prefix("0o").filter(|digits| is_digits(digits)) {
                let message = format!("`{value}` has `0o` in front");
                let help = format!(
                    "a mode is octal without saying so: write `\"{digits:0>4}\"`; a number is written in decimal"
                );
                self.diagnostics.push(Diagnostic::new(Code::OctalPrefix, span, message).help(help));
                return Kind::Invalid;
            }
            if let Some(kind) = plain_kind(&value) {
                return kind;
            }
        }
        Kind::Text(Text { value: value.into_owned(), style })
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What a text without quotes is, when it is no text (YAML 1.2, core schema, without octal numbers, infinities and numbers that would lose digits).
fn plain_kind(value: &str) -> Option<Kind> {
    match value {
        "~" | "null" | "Null" | "NULL" => return Some(Kind::Null),
        "true" | "True" | "TRUE" => return Some(Kind::Boolean(true)),
        "false" | "False" | "FALSE" => return Some(Kind::Boolean(false)),
        _ => {}
    }
    let unsigned = value.strip_prefix(['-', '+']).unwrap_or(value);
    let bytes = unsigned.as_bytes();
    if !bytes.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') {
        return None;
    }
    if let Some(digits) = value.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok().filter(|number| *number >= 0).map(Kind::Integer);
    }
    let leading_zero = bytes.first() == Some(&b'0') && bytes.get(1).is_some_and(u8::is_ascii_digit);
    if leading_zero {
        return None;
    }
    if is_digits(unsigned) {
        return value.parse().ok().map(Kind::Integer);
    }
    let shape = unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let number = value.parse::<f64>().ok().filter(|number| number.is_finite());
    number.filter(|_| shape).map(Kind::Number)
}

/// How many nodes it has, long texts counted as several, and how deep it is.
fn weigh(node: &Node) -> (usize, usize) {
    let inner = |nodes: &mut dyn Iterator<Item = &Node>| {
        nodes.map(weigh).fold((1, 0), |(weight, depth), (more, deep)| (weight + more, depth.max(deep)))
    };
    let (weight, depth) = match &node.kind {
        Kind::List(items) => inner(&mut items.iter()),
        Kind::Map(entries) => inner(&mut entries.iter().map(|entry| &entry.value)),
        Kind::Text(text) => return (1 + text.value.len() / 64, 0),
        _ => return (1, 0),
    };
    (weight, depth + 1)
}

fn unknown_alias(span: Span, name: &str) -> Diagnostic {
    let message = format!("`*{name}` refers to an anchor that this file does not define before");
    let help = format!("a glob that starts with `*` stands in quotes: `\"*{name}\"`");
    Diagnostic::new(Code::UnknownAlias, span, message).help(help)
}

fn key_not_text(span: Span) -> Diagnostic {
    Diagnostic::new(Code::KeyNotText, span, "a key is a word or a number; here stands something else")
        .help("if this is meant to be text, put it into quotes")
}

fn too_deep(span: Span) -> Diagnostic {
    let message = format!("lists and maps stand more than {DEPTH} levels deep in each other");
    Diagnostic::new(Code::TooLarge, span, message).help("lay the structure out flat")
}

#[cfg(test)]
#[path = "yaml_tests.rs"]
mod tests;
