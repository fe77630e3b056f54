//! Values without their way of being written: to compare, and to write them anew. May hold values of secrets: no `Debug`.

use super::key::Step;
use super::place;
use crate::EditError;
use std::fmt::Write as _;

/// A file has no more values: what they take in memory is bounded by that.
pub(super) const VALUES: usize = 20_000;

/// A value. Two are equal whatever the order of their members is.
#[derive(Clone)]
pub(super) enum Tree {
    Null,
    Boolean(bool),
    Integer(i128),
    /// With a fraction or an exponent; of those that are equal one is as good as the other.
    Number(f64),
    Text(String),
    /// What has no counterpart in JSON, as it is written: a date of TOML, an alias or a tag of YAML.
    Other(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(one), Self::Boolean(another)) => one == another,
            (Self::Integer(one), Self::Integer(another)) => one == another,
            (Self::Number(one), Self::Number(another)) => one.to_bits() == another.to_bits(),
            (Self::Text(one), Self::Text(another)) | (Self::Other(one), Self::Other(another)) => {
                one == another
            }
            (Self::List(one), Self::List(another)) => one == another,
            (Self::Map(one), Self::Map(another)) => sorted(one) == sorted(another),
            _ => false,
        }
    }
}

fn sorted(members: &[(String, Tree)]) -> Vec<&(String, Tree)> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by(|one, another| one.0.cmp(&another.0));
    members
}

impl Tree {
    /// This with another value at that place, or without the one there.
    ///
    /// # Errors
    /// When the way there does not exist and cannot be made.
    pub(super) fn with(&self, steps: &[Step], wanted: Option<&Self>) -> Result<Self, EditError> {
        self.changed(steps, 0, wanted)
    }

    fn changed(&self, steps: &[Step], number: usize, wanted: Option<&Self>) -> Result<Self, EditError> {
        let Some(step) = steps.get(number) else { return Ok(wanted.cloned().unwrap_or(Self::Null)) };
        let wrong = |why| EditError::NoPlace { at: place(steps, number), why };
        let is_last = number + 1 == steps.len();
        match self {
            Self::Map(members) => {
                let mut members = members.clone();
                let mut places = members.iter().enumerate().filter(|(_, (name, _))| *name == step.name);
                let found = places.next().map(|(index, _)| index);
                if places.next().is_some() {
                    return Err(wrong("stands there twice"));
                }
                match (found, wanted) {
                    (Some(index), None) if is_last => drop(members.remove(index)),
                    (Some(index), _) => {
                        if let Some((_, value)) = members.get_mut(index) {
                            *value = value.changed(steps, number + 1, wanted)?;
                        }
                    }
                    (None, None) => {}
                    (None, Some(wanted)) => {
                        members.push((
                            step.name.clone(),
                            wrapped(steps.get(number + 1..).unwrap_or_default(), wanted),
                        ));
                    }
                }
                Ok(Self::Map(members))
            }
            Self::List(items) => {
                let mut items = items.clone();
                let index = step
                    .index()
                    .ok_or_else(|| wrong("is a name, and there is a list: elements have numbers, from 0"))?;
                let length = items.len();
                match (items.get_mut(index), wanted) {
                    (Some(_), None) if is_last => {
                        return Err(wrong(
                            "is an element of a list, and the next one would take its number: write the whole list",
                        ));
                    }
                    (Some(item), _) => *item = item.changed(steps, number + 1, wanted)?,
                    (None, None) => {}
                    (None, Some(wanted)) if index == length => {
                        items.push(wrapped(steps.get(number + 1..).unwrap_or_default(), wanted));
                    }
                    (None, Some(_)) => {
                        return Err(wrong(
                            "is behind the end of the list: the next element has another number",
                        ));
                    }
                }
                Ok(Self::List(items))
            }
            // What is not there has nothing that could be removed.
            _ if wanted.is_none() => Ok(self.clone()),
            Self::Null => {
                Ok(wanted
                    .map_or(Self::Null, |wanted| wrapped(steps.get(number..).unwrap_or_default(), wanted)))
            }
            _ => Err(wrong("would be inside of a value that is neither a map nor a list")),
        }
    }

    /// True for a map or a list with something in it.
    pub(super) const fn is_nested(&self) -> bool {
        match self {
            Self::Map(members) => !members.is_empty(),
            Self::List(items) => !items.is_empty(),
            _ => false,
        }
    }

    /// In JSON: over several lines with that indentation, of which the first is not indented, or on one.
    pub(super) fn to_json(&self, lines: Option<&Layout<'_>>, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Integer(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Number(value) => {
                let _ = write!(out, "{value:?}");
            }
            Self::Text(text) | Self::Other(text) => quoted(text, out),
            Self::List(items) => {
                let items = items.iter().map(|item| (None, item)).collect::<Vec<_>>();
                between(['[', ']'], &items, lines, out);
            }
            Self::Map(members) => {
                let items = members.iter().map(|(name, value)| (Some(name), value)).collect::<Vec<_>>();
                between(['{', '}'], &items, lines, out);
            }
        }
    }
}

/// Maps around a value, for the steps that lead to it.
pub(super) fn wrapped(steps: &[Step], wanted: &Tree) -> Tree {
    steps.iter().rev().fold(wanted.clone(), |inner, step| Tree::Map(vec![(step.name.clone(), inner)]))
}

/// How what is written over several lines looks.
#[derive(Clone)]
pub(super) struct Layout<'a> {
    /// Between two lines.
    pub(super) end: &'a str,
    /// Before the line on which it starts.
    pub(super) indent: String,
    /// What each level adds.
    pub(super) unit: &'a str,
}

impl Layout<'_> {
    fn deeper(&self) -> Self {
        Self { indent: format!("{}{}", self.indent, self.unit), ..*self }
    }
}

fn between(
    signs: [char; 2],
    items: &[(Option<&String>, &Tree)],
    lines: Option<&Layout<'_>>,
    out: &mut String,
) {
    let [open, close] = signs;
    out.push(open);
    let inner = lines.filter(|_| !items.is_empty()).map(Layout::deeper);
    for (number, (name, value)) in items.iter().enumerate() {
        if number > 0 {
            out.push_str(if inner.is_some() { "," } else { ", " });
        }
        if let Some(layout) = &inner {
            out.push_str(layout.end);
            out.push_str(&layout.indent);
        }
        if let Some(name) = name {
            quoted(name, out);
            out.push_str(": ");
        }
        value.to_json(inner.as_ref(), out);
    }
    if let (Some(_), Some(layout)) = (&inner, lines) {
        out.push_str(layout.end);
        out.push_str(&layout.indent);
    }
    out.push(close);
}

/// A JSON string.
pub(super) fn quoted(text: &str, out: &mut String) {
    out.push('"');
    escape(text, out);
    out.push('"');
}

/// Appends a text as it stands inside of a JSON string (RFC 8259), and of a double-quoted one of YAML.
pub fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Those that YAML does not take as they are either.
            '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
}
