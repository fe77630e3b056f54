//! JSON with the places of its values (RFC 8259).

use super::key::Step;
use super::tree::{Layout, Tree, VALUES, quoted, wrapped};
use super::{DEPTH, place};
use crate::EditError;
use std::ops::Range;

/// What each level adds where a file does not show it.
const UNIT: &str = "  ";

/// A value with its place in the text.
struct Node {
    span: Range<usize>,
    what: What,
}

enum What {
    Leaf(Tree),
    List(Vec<Node>),
    Map(Vec<Member>),
}

struct Member {
    /// Of the name with its quotes.
    start: usize,
    name_end: usize,
    name: String,
    value: Node,
}

impl Node {
    fn tree(self) -> Tree {
        match self.what {
            What::Leaf(leaf) => leaf,
            What::List(items) => Tree::List(items.into_iter().map(Self::tree).collect()),
            What::Map(members) => {
                Tree::Map(members.into_iter().map(|member| (member.name, member.value.tree())).collect())
            }
        }
    }
}

/// The value of a file; an empty one is a map without members.
pub(super) fn read(text: &str) -> Result<Tree, EditError> {
    if text.trim().is_empty() { Ok(Tree::Map(Vec::new())) } else { Ok(parse(text)?.tree()) }
}

/// The text with that value in its place, or without it.
pub(super) fn edit(text: &str, steps: &[Step], wanted: Option<&Tree>) -> Result<String, EditError> {
    if text.trim().is_empty() {
        let mut made = String::new();
        let layout = Layout { end: "\n", indent: String::new(), unit: UNIT };
        if let Some(wanted) = wanted {
            wrapped(steps, wanted).to_json(Some(&layout), &mut made);
            made.push('\n');
        }
        return Ok(made);
    }
    let root = parse(text)?;
    let look = Look::of(text, &root);
    let mut at = &root;
    for (number, step) in steps.iter().enumerate() {
        let rest = steps.get(number + 1..).unwrap_or_default();
        let found = match &at.what {
            What::Map(members) => members.iter().position(|member| member.name == step.name),
            What::List(items) => step.index().filter(|index| *index < items.len()),
            What::Leaf(_) => None,
        };
        match (&at.what, found, wanted) {
            (What::Map(_), Some(index), None) if rest.is_empty() => {
                let mut edited = text.to_owned();
                edited.replace_range(removed(at, index), "");
                return Ok(edited);
            }
            (What::Map(members), Some(index), _) => {
                at = members
                    .get(index)
                    .map(|member| &member.value)
                    .ok_or(EditError::Unforeseen { format: "JSON" })?;
            }
            (What::List(items), Some(index), _) => {
                at = items.get(index).ok_or(EditError::Unforeseen { format: "JSON" })?;
            }
            (_, None, None) => return Ok(text.to_owned()),
            (What::Map(_), None, Some(wanted)) => {
                return Ok(look.inserted(at, Some(&step.name), &wrapped(rest, wanted)));
            }
            (What::List(_), None, Some(wanted)) => {
                return Ok(look.inserted(at, None, &wrapped(rest, wanted)));
            }
            (What::Leaf(Tree::Null), None, Some(wanted)) => {
                let here = steps.get(number..).unwrap_or_default();
                return Ok(look.replaced(at, &wrapped(here, wanted)));
            }
            (What::Leaf(_), ..) => {
                let why = "would be inside of a value that is neither a map nor a list";
                return Err(EditError::NoPlace { at: place(steps, number), why });
            }
        }
    }
    Ok(wanted.map_or_else(|| text.to_owned(), |wanted| look.replaced(at, wanted)))
}

/// Where the members or elements of a container are.
fn parts(node: &Node) -> Vec<Range<usize>> {
    match &node.what {
        What::Leaf(_) => Vec::new(),
        What::List(items) => items.iter().map(|item| item.span.clone()).collect(),
        What::Map(members) => members.iter().map(|member| member.start..member.value.span.end).collect(),
    }
}

/// What goes with a member: its comma, and the blanks that made a line of it.
fn removed(container: &Node, index: usize) -> Range<usize> {
    let parts = parts(container);
    let this = parts.get(index).cloned().unwrap_or_default();
    let before = index.checked_sub(1).and_then(|before| parts.get(before));
    match (before, parts.get(index + 1)) {
        (_, Some(next)) => this.start..next.start,
        (Some(before), None) => before.end..this.end,
        (None, None) => container.span.start + 1..container.span.end - 1,
    }
}

/// How a text is laid out.
struct Look<'a> {
    text: &'a str,
    end: &'static str,
    unit: &'a str,
}

impl<'a> Look<'a> {
    fn of(text: &'a str, root: &Node) -> Self {
        let first = parts(root).first().map(|part| part.start);
        let blanks = first.and_then(|start| text.get(..start)).unwrap_or_default();
        let unit = blanks.rsplit_once('\n').map_or(UNIT, |(_, unit)| unit);
        let is_blank = !unit.is_empty() && unit.chars().all(|character| matches!(character, ' ' | '\t'));
        let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        Self { text, end, unit: if is_blank { unit } else { UNIT } }
    }

    /// What the line on which a place is begins with.
    fn indent(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.rsplit_once('\n').map_or(before, |(_, line)| line);
        line.chars().take_while(|character| matches!(character, ' ' | '\t')).collect()
    }

    fn layout(&self, at: usize) -> Layout<'a> {
        Layout { end: self.end, indent: self.indent(at), unit: self.unit }
    }

    fn replaced(&self, node: &Node, wanted: &Tree) -> String {
        let mut value = String::new();
        let layout = self.layout(node.span.start);
        wanted.to_json(Some(&layout).filter(|_| self.text.contains('\n')), &mut value);
        let mut edited = self.text.to_owned();
        edited.replace_range(node.span.clone(), &value);
        edited
    }

    /// With one more member behind the others, written as they are.
    fn inserted(&self, container: &Node, name: Option<&str>, wanted: &Tree) -> String {
        let parts = parts(container);
        let own = self.layout(container.span.start);
        let (at, gap, inner) = match (parts.first(), parts.last()) {
            (Some(first), Some(last)) => {
                let gap = self.text.get(container.span.start + 1..first.start).unwrap_or_default();
                // The first one may stand on a line with what is before it; then the others tell where lines end.
                let is_lines = gap.contains('\n');
                let gap = if is_lines { gap.to_owned() } else { " ".to_owned() };
                (last.end, gap, is_lines.then(|| self.layout(first.start)))
            }
            _ if self.text.contains('\n') || container.span.start == 0 => {
                let inner = Layout { indent: format!("{}{}", own.indent, own.unit), ..own.clone() };
                (container.span.start + 1, format!("{}{}", self.end, inner.indent), Some(inner))
            }
            _ => (container.span.start + 1, String::new(), None),
        };
        let mut member = String::new();
        if !parts.is_empty() {
            member.push(',');
        }
        member.push_str(&gap);
        if let Some(name) = name {
            quoted(name, &mut member);
            member.push_str(self.colon(container));
        }
        wanted.to_json(inner.as_ref(), &mut member);
        let mut until = at;
        if parts.is_empty() {
            until = container.span.end - 1;
            if inner.is_some() {
                member.push_str(self.end);
                member.push_str(&own.indent);
            }
        }
        let mut edited = self.text.to_owned();
        edited.replace_range(at..until, &member);
        edited
    }

    /// What stands between a name and its value.
    fn colon(&self, container: &Node) -> &'a str {
        let between = match &container.what {
            What::Map(members) => {
                members.last().and_then(|last| self.text.get(last.name_end..last.value.span.start))
            }
            _ => None,
        };
        between.filter(|between| !between.contains('\n')).unwrap_or(": ")
    }
}

fn parse(text: &str) -> Result<Node, EditError> {
    let mut parser = Parser { text, at: 0, values: 0 };
    // A byte order mark, which RFC 8259 lets a reader pass over.
    parser.take("\u{feff}");
    parser.blanks();
    let node = parser.value(0)?;
    parser.blanks();
    if parser.at < text.len() { Err(parser.wrong("something stands behind its value")) } else { Ok(node) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, why: &'static str) -> EditError {
        let line = self.text.get(..self.at).unwrap_or_default().matches('\n').count() + 1;
        EditError::Malformed { format: "JSON", line, why }
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn take(&mut self, word: &str) -> bool {
        let is_there = self.rest().starts_with(word);
        self.at += if is_there { word.len() } else { 0 };
        is_there
    }

    fn value(&mut self, depth: usize) -> Result<Node, EditError> {
        self.values += 1;
        if depth > DEPTH || self.values > VALUES {
            return Err(EditError::TooMany);
        }
        let start = self.at;
        let what = match self.rest().chars().next() {
            Some('{') => What::Map(self.members(depth)?),
            Some('[') => What::List(self.items(depth)?),
            Some('"') => What::Leaf(Tree::Text(self.string()?)),
            Some('-' | '0'..='9') => What::Leaf(self.number()?),
            _ if self.take("true") => What::Leaf(Tree::Boolean(true)),
            _ if self.take("false") => What::Leaf(Tree::Boolean(false)),
            _ if self.take("null") => What::Leaf(Tree::Null),
            Some('/' | '#') => return Err(self.wrong("a comment stands there, which JSON does not have")),
            _ => return Err(self.wrong("a value is missing")),
        };
        Ok(Node { span: start..self.at, what })
    }

    fn members(&mut self, depth: usize) -> Result<Vec<Member>, EditError> {
        let mut members = Vec::new();
        self.at += 1;
        self.blanks();
        if self.take("}") {
            return Ok(members);
        }
        loop {
            let start = self.at;
            if !self.rest().starts_with('"') {
                return Err(self.wrong("a name in quotes is missing"));
            }
            let name = self.string()?;
            let name_end = self.at;
            self.blanks();
            if !self.take(":") {
                return Err(self.wrong("a colon is missing"));
            }
            self.blanks();
            members.push(Member { start, name_end, name, value: self.value(depth + 1)? });
            self.blanks();
            if self.take("}") {
                return Ok(members);
            }
            self.comma()?;
        }
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Node>, EditError> {
        let mut items = Vec::new();
        self.at += 1;
        self.blanks();
        if self.take("]") {
            return Ok(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            if self.take("]") {
                return Ok(items);
            }
            self.comma()?;
        }
    }

    fn comma(&mut self) -> Result<(), EditError> {
        if !self.take(",") {
            return Err(self.wrong("a comma or an end is missing"));
        }
        self.blanks();
        Ok(())
    }

    fn number(&mut self) -> Result<Tree, EditError> {
        let rest = self.rest();
        let end = rest.find(|character: char| !matches!(character, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'));
        let written = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let digits = written.strip_prefix('-').unwrap_or(written);
        let leads = digits.len() > 1
            && digits.starts_with('0')
            && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        if leads || !digits.starts_with(|first: char| first.is_ascii_digit()) || digits.ends_with('.') {
            return Err(self.wrong("a number is not written as JSON has them"));
        }
        let number = match (written.parse(), written.parse::<f64>()) {
            (Ok(integer), _) => Tree::Integer(integer),
            (_, Ok(number)) if number.is_finite() && written.contains(['.', 'e', 'E']) => {
                Tree::Number(number)
            }
            _ => return Err(self.wrong("a number is not written as JSON has them, or is too large")),
        };
        self.at += written.len();
        Ok(number)
    }

    fn string(&mut self) -> Result<String, EditError> {
        let mut text = String::new();
        self.at += 1;
        loop {
            let rest = self.rest();
            let end = rest.find(['"', '\\', '\n']).ok_or_else(|| self.wrong("a text does not end"))?;
            text.push_str(rest.get(..end).unwrap_or_default());
            self.at += end;
            if self.take("\"") {
                return Ok(text);
            }
            if !self.take("\\") {
                return Err(self.wrong("a text does not end on its line"));
            }
            let sign = self.rest().chars().next().unwrap_or_default();
            self.at += sign.len_utf8().min(self.rest().len());
            text.push(match sign {
                '"' | '\\' | '/' => sign,
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => self.escaped()?,
                _ => return Err(self.wrong("a backslash stands before what it cannot")),
            });
        }
    }

    /// The character of `\uXXXX`, or of two of them.
    fn escaped(&mut self) -> Result<char, EditError> {
        let first = self.unit()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            let second = if self.take("\\u") { self.unit()? } else { 0 };
            if !(0xdc00..0xe000).contains(&second) {
                return Err(self.wrong("half of a character stands there"));
            }
            0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.wrong("half of a character stands there"))
    }

    fn unit(&mut self) -> Result<u32, EditError> {
        let digits = self.rest().get(..4).unwrap_or_default();
        let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_hexadecimal && digits.len() == 4);
        self.at += digits.len();
        code.ok_or_else(|| self.wrong("four hexadecimal digits are missing"))
    }
}
