//! One document of YAML with the places of its values. What stands at a place is rewritten, in block style where blocks are around it.

use super::key::Step;
use super::tree::{Tree, VALUES, quoted, wrapped};
use super::{DEPTH, place};
use crate::EditError;
use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle, Tag, options};
use std::ops::Range;

/// What each level adds.
const UNIT: usize = 2;
/// Words that some reader of YAML takes for something other than text.
const WORDS: [&str; 12] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "~"];

/// A value with its place in the text.
struct Node {
    /// From its first byte, behind tag and anchor, to behind its last one.
    span: Range<usize>,
    what: What,
    /// A tag or an anchor stands before it, or the sign of a block of text.
    is_marked: bool,
}

enum What {
    Leaf(Tree),
    List { items: Vec<Node>, is_block: bool },
    Map { members: Vec<Member>, is_block: bool },
}

struct Member {
    /// The name as it is written.
    span: Range<usize>,
    /// Before it on its line.
    column: usize,
    name: String,
    value: Node,
}

impl Node {
    fn tree(self) -> Tree {
        match self.what {
            What::Leaf(leaf) => leaf,
            What::List { items, .. } => Tree::List(items.into_iter().map(Self::tree).collect()),
            What::Map { members, .. } => {
                Tree::Map(members.into_iter().map(|member| (member.name, member.value.tree())).collect())
            }
        }
    }
}

/// The value of a document; where there is none, a map without members.
pub(super) fn read(text: &str) -> Result<Tree, EditError> {
    Ok(match parse(text)? {
        None => Tree::Map(Vec::new()),
        Some(Node { what: What::Leaf(Tree::Null), .. }) => Tree::Map(Vec::new()),
        Some(node) => node.tree(),
    })
}

/// The text with that value in its place, or without it.
pub(super) fn edit(text: &str, steps: &[Step], wanted: Option<&Tree>) -> Result<String, EditError> {
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let writer = Writer { text, end };
    let root = match parse(text)? {
        None | Some(Node { what: What::Leaf(Tree::Null), .. }) => {
            return Ok(
                wanted.map_or_else(|| text.to_owned(), |wanted| writer.appended(&wrapped(steps, wanted)))
            );
        }
        Some(root) => root,
    };
    let mut at = &root;
    let mut around = Around::Nothing;
    for (number, step) in steps.iter().enumerate() {
        let rest = steps.get(number + 1..).unwrap_or_default();
        let found = match &at.what {
            What::Map { members, .. } => members.iter().position(|member| member.name == step.name),
            What::List { items, .. } => step.index().filter(|index| *index < items.len()),
            What::Leaf(_) => None,
        };
        match (&at.what, found, wanted) {
            (_, Some(index), None) if rest.is_empty() => return Ok(writer.removed(at, index)),
            (What::Map { members, is_block }, Some(index), _) => {
                let member = members.get(index).ok_or(UNFORESEEN)?;
                around = Around::Member { member, is_block: *is_block };
                at = &member.value;
            }
            (What::List { items, is_block }, Some(index), _) => {
                at = items.get(index).ok_or(UNFORESEEN)?;
                around = Around::Item { is_block: *is_block };
            }
            (_, None, None) => return Ok(text.to_owned()),
            (What::Map { .. }, None, Some(wanted)) => {
                return Ok(writer.inserted(at, Some(&step.name), &wrapped(rest, wanted)));
            }
            (What::List { .. }, None, Some(wanted)) => {
                return Ok(writer.inserted(at, None, &wrapped(rest, wanted)));
            }
            (What::Leaf(Tree::Null), None, Some(wanted)) => {
                let here = steps.get(number..).unwrap_or_default();
                return Ok(writer.replaced(at, &around, &wrapped(here, wanted)));
            }
            (What::Leaf(_), ..) => {
                let why = "would be inside of a value that is neither a map nor a list";
                return Err(EditError::NoPlace { at: place(steps, number), why });
            }
        }
    }
    Ok(wanted.map_or_else(|| text.to_owned(), |wanted| writer.replaced(at, &around, wanted)))
}

const UNFORESEEN: EditError = EditError::Unforeseen { format: "YAML" };

/// What a value stands in.
enum Around<'a> {
    Nothing,
    Member { member: &'a Member, is_block: bool },
    Item { is_block: bool },
}

struct Writer<'a> {
    text: &'a str,
    end: &'static str,
}

impl Writer<'_> {
    fn spliced(&self, range: Range<usize>, with: &str) -> String {
        let mut edited = self.text.to_owned();
        edited.replace_range(range, with);
        edited
    }

    /// Where the line on which a place is begins, and where it ends.
    fn line(&self, at: usize) -> Range<usize> {
        let (before, after) = self.text.split_at_checked(at).unwrap_or((self.text, ""));
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let end = after.find('\n').map_or(self.text.len(), |end| at + end);
        let carriage = self.text.get(..end).is_some_and(|line| end > at && line.ends_with('\r'));
        start..end - usize::from(carriage)
    }

    fn prefix(&self, at: usize) -> &str {
        self.text.get(self.line(at).start..at).unwrap_or_default()
    }

    /// Behind everything else.
    fn appended(&self, wanted: &Tree) -> String {
        let mut edited = self.text.to_owned();
        if !edited.is_empty() && !edited.ends_with('\n') {
            edited.push_str(self.end);
        }
        let mut block = String::new();
        self.block(wanted, 0, false, &mut block);
        edited.push_str(&block);
        edited.push_str(self.end);
        edited
    }

    fn replaced(&self, node: &Node, around: &Around<'_>, wanted: &Tree) -> String {
        let mut value = String::new();
        match around {
            Around::Member { member, is_block } => {
                let is_nested = *is_block && wanted.is_nested();
                let in_place = matches!(node.what, What::Leaf(_)) && !node.is_marked && !node.span.is_empty();
                if in_place && !is_nested {
                    scalar(wanted, &mut value);
                    return self.spliced(node.span.clone(), &value);
                }
                let Some(colon) = self.text.get(member.span.end..).and_then(|rest| rest.find(':')) else {
                    return self.text.to_owned();
                };
                let from = member.span.end + colon + 1;
                if is_nested {
                    self.block(wanted, member.column + UNIT, true, &mut value);
                } else {
                    value.push(' ');
                    scalar(wanted, &mut value);
                }
                self.spliced(from..node.span.end.max(from), &value)
            }
            Around::Item { is_block: true } if wanted.is_nested() => {
                let column = self.prefix(node.span.start).chars().count();
                self.block(wanted, column, false, &mut value);
                self.spliced(node.span.clone(), &value)
            }
            Around::Item { .. } | Around::Nothing => {
                scalar(wanted, &mut value);
                if node.span.is_empty() {
                    value.insert(0, ' ');
                }
                self.spliced(node.span.clone(), &value)
            }
        }
    }

    /// With one more member or element behind the others.
    fn inserted(&self, container: &Node, name: Option<&str>, wanted: &Tree) -> String {
        let (is_block, last, column) = match &container.what {
            What::Map { members, is_block } => {
                let column = members.first().map_or(0, |first| first.column);
                (*is_block, members.last().map(|last| last.value.span.end), column)
            }
            What::List { items, is_block } => {
                let column = items.first().and_then(|first| self.dash(first)).unwrap_or_default();
                (*is_block, items.last().map(|last| last.span.end), column)
            }
            What::Leaf(_) => return self.text.to_owned(),
        };
        let mut text = String::new();
        let Some(last) = last.filter(|_| is_block) else {
            if last.is_some() {
                text.push_str(", ");
            }
            if let Some(name) = name {
                quoted(name, &mut text);
                text.push_str(": ");
            }
            wanted.to_json(None, &mut text);
            let at = last.unwrap_or(container.span.end - 1);
            return self.spliced(at..at, &text);
        };
        let item = match name {
            Some(name) => Tree::Map(vec![(name.to_owned(), wanted.clone())]),
            None => Tree::List(vec![wanted.clone()]),
        };
        self.block(&item, column, true, &mut text);
        let at = self.line(last).end;
        self.spliced(at..at, &text)
    }

    /// Without a member; an element of a list never goes alone.
    fn removed(&self, container: &Node, index: usize) -> String {
        let What::Map { members, is_block } = &container.what else { return self.text.to_owned() };
        let parts: Vec<_> = members.iter().map(|one| one.span.start..one.value.span.end).collect();
        let this = parts.get(index).cloned().unwrap_or_default();
        if parts.len() == 1 {
            return self.spliced(if *is_block { this } else { container.span.clone() }, "{}");
        }
        if *is_block && self.prefix(this.start).trim().is_empty() {
            let (first, last) = (self.line(this.start).start, self.line(this.end).end);
            let rest = self.text.get(last..).unwrap_or_default();
            let end = rest.find('\n').map_or(self.text.len(), |end| last + end + 1);
            return self.spliced(first..end, "");
        }
        let range = match (index.checked_sub(1).and_then(|before| parts.get(before)), parts.get(index + 1)) {
            (_, Some(next)) => this.start..next.start,
            (Some(before), None) => before.end..this.end,
            (None, None) => this,
        };
        self.spliced(range, "")
    }

    /// Before the dash of an element on its line.
    fn dash(&self, item: &Node) -> Option<usize> {
        let at = self.text.get(..item.span.start)?.rfind('-')?;
        Some(self.prefix(at).chars().count())
    }

    /// A value in block style at that column, each line on one of its own; the first one too, if `anew`.
    fn block(&self, wanted: &Tree, column: usize, anew: bool, out: &mut String) {
        let mut starts_line = anew;
        let mut start = |out: &mut String| {
            if starts_line {
                out.push_str(self.end);
                out.extend(std::iter::repeat_n(' ', column));
            }
            starts_line = true;
        };
        match wanted {
            Tree::Map(members) if !members.is_empty() => {
                for (name, value) in members {
                    start(out);
                    plain_or_quoted(name, out);
                    out.push(':');
                    if value.is_nested() {
                        self.block(value, column + UNIT, true, out);
                    } else {
                        out.push(' ');
                        scalar(value, out);
                    }
                }
            }
            Tree::List(items) if !items.is_empty() => {
                for item in items {
                    start(out);
                    out.push_str("- ");
                    self.block(item, column + 2, false, out);
                }
            }
            _ => scalar(wanted, out),
        }
    }
}

/// On one line; what is nested in the way of JSON, which YAML has too.
fn scalar(wanted: &Tree, out: &mut String) {
    match wanted {
        Tree::Text(text) => plain_or_quoted(text, out),
        _ => wanted.to_json(None, out),
    }
}

/// A text as it is, where nobody can take it for something else.
fn plain_or_quoted(text: &str, out: &mut String) {
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '/' | '_'));
    let goes_on = |sign: char| {
        sign.is_ascii_alphanumeric() || matches!(sign, '/' | '_' | '-' | '.' | '+' | '=' | '@' | ' ')
    };
    let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    if begins && text.chars().all(goes_on) && !text.ends_with(' ') && !is_word {
        out.push_str(text);
    } else {
        quoted(text, out);
    }
}

/// A map or a list that is not over.
struct Open {
    span: Range<usize>,
    is_marked: bool,
    is_block: bool,
    parts: Parts,
}

enum Parts {
    Items(Vec<Node>),
    Members { members: Vec<Member>, name: Option<(String, Range<usize>, usize)> },
}

struct Builder<'a> {
    text: &'a str,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    values: usize,
}

fn parse(text: &str) -> Result<Option<Node>, EditError> {
    let options = options! { emit_comments: false, flow_nesting_limit: DEPTH, block_nesting_limit: DEPTH };
    let mut builder = Builder { text, open: Vec::new(), root: None, documents: 0, values: 0 };
    for event in Parser::new_from_str_with_options(text, options) {
        // What the parser says of it may repeat what stands there.
        let (event, span) = event.map_err(|error| malformed(error.marker().line(), "it is no YAML"))?;
        builder.event(event, &span)?;
    }
    Ok(builder.root)
}

fn malformed(line: usize, why: &'static str) -> EditError {
    EditError::Malformed { format: "YAML", line, why }
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, place: &Span) -> Result<(), EditError> {
        let line = place.start.line();
        let span = self.span(place)?;
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(malformed(line, "a second document starts here"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                if let Some(Open { parts: Parts::Members { name: name @ None, .. }, .. }) =
                    self.open.last_mut()
                {
                    *name = Some((text.into_owned(), span, place.start.col()));
                    return Ok(());
                }
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let is_marked = is_block || anchor > 0 || tag.is_some();
                let leaf = resolved(&text, style, tag.as_deref());
                let written = self.text.get(span.clone()).unwrap_or_default();
                let end = if is_block { span.start + written.trim_end().len() } else { span.end };
                self.close(Node { span: span.start..end, what: What::Leaf(leaf), is_marked }, line)?;
            }
            Event::Alias(number) => {
                let what = What::Leaf(Tree::Other(format!("*{number}")));
                self.close(Node { span, what, is_marked: false }, line)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                let is_marked = anchor > 0 || tag.is_some();
                self.start(span, style, is_marked, Parts::Items(Vec::new()), line)?;
            }
            Event::MappingStart(style, anchor, tag) => {
                let is_marked = anchor > 0 || tag.is_some();
                self.start(span, style, is_marked, Parts::Members { members: Vec::new(), name: None }, line)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.finish(span.end, line)?,
            _ => {}
        }
        Ok(())
    }

    fn span(&self, span: &Span) -> Result<Range<usize>, EditError> {
        let ends = span.start.byte_offset().zip(span.end.byte_offset());
        let (start, end) = ends.ok_or(UNFORESEEN)?;
        if start > end || !self.text.is_char_boundary(start) || !self.text.is_char_boundary(end) {
            return Err(UNFORESEEN);
        }
        Ok(start..end)
    }

    fn start(
        &mut self,
        span: Range<usize>,
        style: StructureStyle,
        is_marked: bool,
        parts: Parts,
        line: usize,
    ) -> Result<(), EditError> {
        if let Some(Open { parts: Parts::Members { name: None, .. }, .. }) = self.open.last() {
            return Err(malformed(line, "a name is no text"));
        }
        self.open.push(Open { span, is_marked, is_block: style == StructureStyle::Block, parts });
        Ok(())
    }

    fn finish(&mut self, end: usize, line: usize) -> Result<(), EditError> {
        let Some(Open { span, is_marked, is_block, parts }) = self.open.pop() else { return Err(UNFORESEEN) };
        let (what, last) = match parts {
            Parts::Items(items) => {
                let last = items.last().map(|item| item.span.end);
                (What::List { items, is_block }, last)
            }
            Parts::Members { members, .. } => {
                let last = members.last().map(|member| member.value.span.end);
                (What::Map { members, is_block }, last)
            }
        };
        // A block has no end of its own.
        let end = if is_block { last.unwrap_or(span.end) } else { end };
        self.close(Node { span: span.start..end, what, is_marked }, line)
    }

    /// A value is whole.
    fn close(&mut self, mut node: Node, line: usize) -> Result<(), EditError> {
        self.values += 1;
        if self.values > VALUES {
            return Err(EditError::TooMany);
        }
        match self.open.last_mut().map(|open| &mut open.parts) {
            None => self.root = Some(node),
            Some(Parts::Items(items)) => items.push(node),
            Some(Parts::Members { members, name }) => {
                let (name, span, column) = name.take().ok_or(malformed(line, "a name is no text"))?;
                if node.span.is_empty() && node.span.start <= span.end {
                    // Nothing is written: it would stand behind the colon.
                    let colon =
                        self.text.get(span.end..).and_then(|rest| rest.find(':')).ok_or(UNFORESEEN)?;
                    node.span = span.end + colon + 1..span.end + colon + 1;
                }
                members.push(Member { span, column, name, value: node });
            }
        }
        Ok(())
    }
}

/// What a scalar is by the core schema; digits with a leading zero are text, as readers do not agree on them.
fn resolved(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Tree {
    if let Some(tag) = tag {
        let is_text = tag.suffix() == "str" && tag.handle().contains("yaml.org");
        return if is_text {
            Tree::Text(text.to_owned())
        } else {
            Tree::Other(format!("!{} {text}", tag.suffix()))
        };
    }
    if style != ScalarStyle::Plain {
        return Tree::Text(text.to_owned());
    }
    let digits = text.trim_start_matches(['-', '+']);
    let has_zero = digits.len() > 1
        && digits.starts_with('0')
        && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Tree::Null,
        "true" | "True" | "TRUE" => Tree::Boolean(true),
        "false" | "False" | "FALSE" => Tree::Boolean(false),
        _ if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') || has_zero => {
            Tree::Text(text.to_owned())
        }
        _ if text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) => {
            match (text.parse(), text.parse::<f64>()) {
                (Ok(integer), _) => Tree::Integer(integer),
                (_, Ok(number)) if number.is_finite() => Tree::Number(number),
                _ => Tree::Text(text.to_owned()),
            }
        }
        _ if digits.starts_with("0x") || digits.starts_with("0o") => Tree::Other(text.to_owned()),
        _ => Tree::Text(text.to_owned()),
    }
}
