//! One key of an INI file: `[section]` headings, `key = value` lines, comments after `#` or `;`.

use crate::arguments::{Arguments, NotAnEdit};
use crate::lines::{Lines, push_line};
use crate::{EditError, Operand};

/// One key of an INI file. Comments, order, indentation and the way keys are written stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IniEdit {
    /// The heading, without brackets; empty for what stands before the first one.
    pub section: String,
    /// The key.
    pub key: String,
    /// What stands between a new key and its value.
    pub separator: String,
    /// The key is not to be there.
    pub absent: bool,
}

/// Where a key is in a text.
struct Found {
    /// Lines that set the key, with where in them the value begins.
    keys: Vec<(usize, usize)>,
    /// After which line a new one goes; `None` when there is no such section.
    place: Option<usize>,
}

impl IniEdit {
    pub(crate) const KIND: &'static str = "ini";

    pub(crate) fn apply(&self, there: &str, operand: &Operand<'_>) -> Result<String, EditError> {
        let value = operand.text();
        if value.contains(['\n', '\r']) {
            return Err(EditError::SeveralLines);
        }
        let lines = Lines::of(there);
        let found = self.find(&lines);
        let mut edited = String::with_capacity(there.len() + value.len() + 32);
        match (self.absent, found.keys.as_slice()) {
            (true, keys) => {
                let kept = (0..lines.len()).filter(|number| keys.iter().all(|(key, _)| key != number));
                kept.for_each(|number| edited.extend(lines.raw(number..number + 1)));
            }
            (false, [(number, start)]) => {
                let text = lines.text(*number);
                if text.get(*start..).unwrap_or_default().trim() == value.trim() {
                    return Ok(there.to_owned());
                }
                edited.extend(lines.raw(0..*number));
                push_line(
                    &mut edited,
                    &format!("{}{value}", text.get(..*start).unwrap_or_default()),
                    lines.end(),
                );
                edited.extend(lines.raw(*number + 1..lines.len()));
            }
            (false, []) => self.insert(&mut edited, &lines, found.place, &value),
            (false, several) => {
                let numbers: Vec<usize> = several.iter().map(|(number, _)| *number).collect();
                return Err(EditError::several(&numbers));
            }
        }
        Ok(edited)
    }

    fn insert(&self, edited: &mut String, lines: &Lines<'_>, place: Option<usize>, value: &str) {
        let line = format!("{}{}{value}", self.key, self.separator);
        match place {
            Some(place) => {
                edited.extend(lines.raw(0..place));
                push_line(edited, &line, lines.end());
                edited.extend(lines.raw(place..lines.len()));
            }
            None => {
                edited.extend(lines.raw(0..lines.len()));
                if lines.len() > 0 {
                    push_line(edited, "", lines.end());
                }
                push_line(edited, &format!("[{}]", self.section), lines.end());
                push_line(edited, &line, lines.end());
            }
        }
    }

    fn find(&self, lines: &Lines<'_>) -> Found {
        let mut found = Found { keys: Vec::new(), place: self.section.is_empty().then_some(0) };
        let mut inside = self.section.is_empty();
        for number in 0..lines.len() {
            let text = lines.text(number);
            if let Some(section) = heading(text) {
                inside = section == self.section;
            } else if inside && let Some(start) = value_of(text, &self.key) {
                found.keys.push((number, start));
            }
            if inside && !text.trim().is_empty() {
                found.place = Some(number + 1);
            }
        }
        found
    }

    pub(crate) fn to_arguments(&self) -> Arguments {
        let mut arguments = Arguments::default();
        arguments.text("section", &self.section);
        arguments.text("key", &self.key);
        arguments.text("separator", &self.separator);
        arguments.flag("absent", self.absent);
        arguments
    }

    pub(crate) fn from_arguments(arguments: &mut Arguments) -> Result<Self, NotAnEdit> {
        Ok(Self {
            section: arguments.require("section")?,
            key: arguments.require("key")?,
            separator: arguments.require("separator")?,
            absent: arguments.take_flag("absent")?,
        })
    }
}

/// The name in a line that is a heading; a comment may follow it.
fn heading(line: &str) -> Option<&str> {
    let (name, rest) = line.trim_start().strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim_start();
    (rest.is_empty() || rest.starts_with(['#', ';'])).then_some(name.trim())
}

/// Where the value begins in a line that sets that key.
fn value_of(line: &str, key: &str) -> Option<usize> {
    let start = line.trim_start();
    if start.starts_with(['#', ';']) {
        return None;
    }
    let rest = start.strip_prefix(key)?.trim_start();
    let value = rest.strip_prefix(['=', ':'])?;
    Some(line.len() - value.trim_start().len())
}
