//! Finds secret references in the policy's own text and writes them as `{{ secret("path") }}`.
//!
//! It happens once, at publish. What is rendered later (values of traits, output of commands) is never looked at for references.

use crate::Place;
use crate::calls::read_tags;
use crate::edit::{Edited, Origins};
use crate::problem::{Problem, code};
use crate::scan::{Segment, part, scan, tail};
use vigo_base::{SecretPath, limits};
use vigo_wire::node::Kind;

/// Source text with its references recognised.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognised {
    /// `Literal`, `Template` or `Expression`.
    pub kind: Kind,
    /// Every secret reference, in order.
    pub calls: Vec<SecretCall>,
    /// Templates that are included, with the place of the name.
    pub includes: Vec<(String, usize)>,
    /// Mistakes and hints.
    pub problems: Vec<Problem>,
    origins: Origins,
}

/// A secret reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretCall {
    /// First byte in the text that was given.
    pub offset: usize,
    /// The path, when it is literal.
    pub path: Option<SecretPath>,
    /// The argument of `secret()`: an expression over `vars`, `envoy` and `item`.
    pub expression: String,
}

impl Recognised {
    /// The text to parse, check or put into a bundle's template.
    #[must_use]
    pub fn source(&self) -> &str {
        match &self.kind {
            Kind::Literal(text) | Kind::Template(text) | Kind::Expression(text) => text,
            _ => "",
        }
    }

    /// Where the byte at `offset` of [`Self::source`] stands in the text that was given.
    #[must_use]
    pub fn original(&self, offset: usize) -> usize {
        self.origins.of(offset)
    }

    fn unusable(text: &str, problem: Problem) -> Self {
        Self {
            kind: Kind::Literal(text.into()),
            calls: Vec::new(),
            includes: Vec::new(),
            problems: vec![problem],
            origins: Origins::default(),
        }
    }
}

/// Recognises the references in `text`, which stands at `place`. Never fails: mistakes are in [`Recognised::problems`].
#[must_use]
pub fn recognise(text: &str, place: Place) -> Recognised {
    let cheap = find_word(text).is_none();
    if cheap
        && !text.contains("{{")
        && !text.contains("{%")
        && (place == Place::Attribute || !text.contains("{#"))
    {
        let mut origins = Edited::default();
        origins.copy(text, 0);
        let kind = Kind::Literal(text.into());
        let (calls, includes, problems) = Default::default();
        return Recognised { kind, calls, includes, problems, origins: origins.finish().1 };
    }
    let segments = match scan(text, place) {
        Ok(segments) => segments,
        Err(problem) => return Recognised::unusable(text, problem),
    };
    let mut read = read_tags(text, &segments);
    let (mut calls, mut problems) = (std::mem::take(&mut read.calls), std::mem::take(&mut read.problems));
    let mut found = Vec::new();
    for segment in &segments {
        match segment {
            Segment::Text { start, end } => find(text, *start, *end, &mut found, &mut problems),
            Segment::Raw { inner_start, inner_end, .. } => {
                hint_raw(text, *inner_start, *inner_end, &mut problems)
            }
            Segment::Comment { .. } | Segment::Tag(_) => {}
        }
    }
    for one in &found {
        let Finding::Reference(path) = &one.what else { continue };
        if let Some(problem) = read.capture_at(one.start) {
            problems.push(problem);
        }
        let expression = format!("\"{path}\"");
        calls.push(SecretCall { offset: one.start, path: Some(path.clone()), expression });
    }
    calls.sort_by_key(|call| call.offset);
    problems.sort_by_key(|problem| problem.offset);
    let (kind, origins) = rewrite(text, place, &segments, &found);
    Recognised { kind, calls, includes: read.includes, problems, origins }
}

/// Something in plain text that is not to be copied as it stands.
struct Found {
    start: usize,
    end: usize,
    what: Finding,
}

enum Finding {
    /// A reference.
    Reference(SecretPath),
    /// `secret\:`, which is to be `secret:`.
    Escaped,
}

/// A letter before which no reference begins.
fn binds(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'\\')
}

const WORD: &str = "secret";

/// Where the word next stands, in letters of either case.
fn find_word(text: &str) -> Option<usize> {
    text.as_bytes().windows(WORD.len()).position(|window| window.eq_ignore_ascii_case(WORD.as_bytes()))
}

fn find(text: &str, start: usize, end: usize, found: &mut Vec<Found>, problems: &mut Vec<Problem>) {
    let mut at = start;
    while let Some(offset) = find_word(part(text, at, end)) {
        let word = at + offset;
        at = word + WORD.len();
        let before = word.checked_sub(1).and_then(|index| text.as_bytes().get(index));
        if before.is_some_and(|byte| binds(*byte)) {
            continue;
        }
        let after = part(text, at, end);
        if let Some(rest) = after.strip_prefix("\\:") {
            if matches!(read_path(rest), Path::Plain(..) | Path::Braced(..)) && part(text, word, at) == WORD {
                found.push(Found { start: word, end: at + 2, what: Finding::Escaped });
            }
            continue;
        }
        let Some(rest) = after.strip_prefix(':') else {
            hint_spaced(word, after, problems);
            continue;
        };
        if part(text, word, at) != WORD {
            if matches!(read_path(rest), Path::Plain(..) | Path::Braced(..)) {
                problems.push(near_miss(
                    word,
                    at + 1 - word,
                    "the word is written `secret`, in small letters",
                ));
            }
            continue;
        }
        at = take(text, word, end, rest, found, problems);
    }
}

/// Takes what follows `secret:`; gives where to go on.
fn take(
    text: &str,
    word: usize,
    end: usize,
    rest: &str,
    found: &mut Vec<Found>,
    problems: &mut Vec<Problem>,
) -> usize {
    let after_colon = word + WORD.len() + 1;
    match read_path(rest) {
        Path::Plain(path, length) => {
            let stop = after_colon + length;
            if stop == end && tail(text, stop).starts_with("{{") {
                let message = "the path ends where the tag begins";
                let help = "a computed path is written `{{ secret(\"db/\" ~ vars.x) }}`; if the path is meant to end here, write `secret:{path}`";
                problems.push(Problem::hint(word, stop - word, code::NEAR_SECRET, message).help(help));
            }
            found.push(Found { start: word, end: stop, what: Finding::Reference(path) });
            stop
        }
        Path::Braced(path, length) => {
            found.push(Found { start: word, end: after_colon + length, what: Finding::Reference(path) });
            after_colon + length
        }
        Path::Miss(length, why) => {
            problems.push(near_miss(word, after_colon + length - word, why));
            after_colon + length
        }
        Path::Nothing => {
            if after_colon == end && tail(text, end).starts_with("{{") {
                problems.push(near_miss(
                    word,
                    end - word,
                    "a computed path is written `{{ secret(\"db/\" ~ vars.x) }}`",
                ));
            }
            after_colon
        }
    }
}

fn near_miss(start: usize, length: usize, why: &str) -> Problem {
    Problem::hint(start, length, code::NEAR_SECRET, format!("this is taken literally, it is no secret reference: {why}"))
        .help("a reference is `secret:web/token` or `secret:{web/token}`; a literal is written `secret\\:` or `{{ \"secret:\" }}`")
}

/// `secret : web/token` and the like.
fn hint_spaced(word: usize, after: &str, problems: &mut Vec<Problem>) {
    let trimmed = after.trim_start_matches(' ');
    let Some(rest) = trimmed.strip_prefix(':').map(|rest| rest.trim_start_matches(' ')) else { return };
    if trimmed.len() != after.len()
        && matches!(read_path(rest), Path::Plain(path, _) if path.as_str().contains('/'))
    {
        problems.push(near_miss(word, WORD.len(), "there is a space before the colon"));
    }
}

fn hint_raw(text: &str, start: usize, end: usize, problems: &mut Vec<Problem>) {
    let (mut found, mut ignored) = (Vec::new(), Vec::new());
    find(text, start, end, &mut found, &mut ignored);
    for one in found.iter().filter(|one| matches!(one.what, Finding::Reference(_))) {
        problems.push(near_miss(one.start, one.end - one.start, "it stands in a raw block"));
    }
}

enum Path<'a> {
    /// `a/b` and its length.
    Plain(SecretPath, usize),
    /// `{a/b}` and its length.
    Braced(SecretPath, usize),
    /// Nearly: length of what is there, and why it is none.
    Miss(usize, &'a str),
    /// Nothing that looks like a path.
    Nothing,
}

fn read_path(rest: &str) -> Path<'static> {
    if let Some(inner) = rest.strip_prefix('{').filter(|inner| !inner.starts_with(['{', '%', '#'])) {
        let Some(length) = inner.find(['}', '\n', '"', '\'']) else { return Path::Nothing };
        return match part(inner, 0, length).parse() {
            Ok(path) if tail(inner, length).starts_with('}') => Path::Braced(path, length + 2),
            _ => Path::Miss(length + 1, "between the braces is no path"),
        };
    }
    let length = rest.bytes().take_while(|byte| SecretPath::is_inner(*byte) || *byte == b'/').count();
    let written = part(rest, 0, length);
    if written.is_empty() {
        let spaced = rest.trim_start_matches(' ');
        let close = spaced.len() != rest.len()
            && matches!(read_path(spaced), Path::Plain(path, _) if path.as_str().contains('/'));
        return if close { Path::Miss(1, "there is a space after the colon") } else { Path::Nothing };
    }
    // The longest stretch that is a path: a `.` or `-` at its end belongs to the sentence around it.
    let path = written.trim_end_matches(['.', '-']);
    match path.parse::<SecretPath>() {
        Ok(parsed) => Path::Plain(parsed, path.len()),
        Err(_) if path.len() > limits::SECRET_PATH => Path::Miss(length, "the path is longer than 200 bytes"),
        Err(_) if written.chars().all(|letter| "./-".contains(letter)) => Path::Nothing,
        Err(_) => Path::Miss(
            length,
            "a segment of the path starts or ends with a letter that may not stand there, or is empty",
        ),
    }
}

fn rewrite(text: &str, place: Place, segments: &[Segment<'_>], found: &[Found]) -> (Kind, Origins) {
    let references = found.iter().filter(|one| matches!(one.what, Finding::Reference(_))).count();
    let plain = references == 0 && segments.iter().all(|segment| matches!(segment, Segment::Text { .. }));
    let mut out = Edited::default();
    if let [Segment::Tag(tag)] = segments
        && !tag.block
    {
        let inner = part(text, tag.inner_start, tag.inner_end);
        let lead = inner.len() - inner.trim_start().len();
        out.copy(inner.trim(), tag.inner_start + lead);
        let (expression, origins) = out.finish();
        return (Kind::Expression(expression), origins);
    }
    if let [Found { start: 0, end, what: Finding::Reference(path) }] = found
        && *end == text.len()
    {
        out.insert(&format!("secret(\"{path}\")"), 0);
        let (expression, origins) = out.finish();
        return (Kind::Expression(expression), origins);
    }
    let mut found = found.iter().peekable();
    for segment in segments {
        match segment {
            Segment::Text { start, end } => {
                let mut at = *start;
                while let Some(one) = found.next_if(|one| one.start < *end) {
                    copy_text(&mut out, text, at, one.start, !plain && place == Place::Attribute);
                    match &one.what {
                        Finding::Escaped => out.insert("secret:", one.start),
                        Finding::Reference(path) => insert_call(&mut out, path, one.start),
                    }
                    at = one.end;
                }
                copy_text(&mut out, text, at, *end, !plain && place == Place::Attribute);
            }
            Segment::Raw { start, end, .. } | Segment::Comment { start, end } => {
                out.copy(part(text, *start, *end), *start)
            }
            Segment::Tag(tag) => out.copy(part(text, tag.start, tag.end), tag.start),
        }
    }
    let (made, origins) = out.finish();
    (if plain { Kind::Literal(made) } else { Kind::Template(made) }, origins)
}

/// Copies plain text; `{#`, which opens a comment for the engine, is written so that it stays text.
fn copy_text(out: &mut Edited, text: &str, start: usize, end: usize, escape: bool) {
    let mut at = start;
    while let Some(found) = part(text, at, end).find("{#").filter(|_| escape) {
        out.copy(part(text, at, at + found), at);
        out.insert("{{ \"{#\" }}", at + found);
        at += found + 2;
    }
    out.copy(part(text, at, end), at);
}

/// A `{` just before the tag would become part of its marker.
fn insert_call(out: &mut Edited, path: &SecretPath, origin: usize) {
    if out.text().ends_with('{') {
        out.pop();
        out.insert("{{ \"{\" }}", origin.saturating_sub(1));
    }
    out.insert(&format!("{{{{ secret(\"{path}\") }}}}"), origin);
}
