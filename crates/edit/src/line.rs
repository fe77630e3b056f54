//! One line that is in a text, or not.

use crate::arguments::{Arguments, NotAnEdit};
use crate::lines::{Lines, push_line};
use crate::{EditError, Operand, Pattern, Region};
use std::ops::Range;

/// One line that is in a text, or not.
///
/// The line that is looked for is the operand itself or, with a pattern, also one that matches it: such a line becomes the operand. More than one
/// is an error, so that no line goes that nobody meant. To be absent, all of them go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineEdit {
    /// What the line may look like before.
    pub pattern: Option<Pattern>,
    /// Where it goes when it is not there yet.
    pub position: Position,
    /// Where it is looked for, and put.
    pub region: Region,
    /// It is not to be there.
    pub absent: bool,
}

/// Where a new line goes, within the region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Position {
    /// After the last line.
    #[default]
    End,
    /// Before the first line.
    Begin,
    /// After the last line that matches; after the last line of all when none does.
    After(Pattern),
    /// Before the first line that matches; after the last line of all when none does.
    Before(Pattern),
}

impl LineEdit {
    pub(crate) const KIND: &'static str = "line";

    pub(crate) fn apply(&self, there: &str, operand: &Operand<'_>) -> Result<String, EditError> {
        let wanted = operand.text();
        if wanted.contains(['\n', '\r']) {
            return Err(EditError::SeveralLines);
        }
        let lines = Lines::of(there);
        let range = match self.region.range(&lines) {
            // What is not there cannot hold the line either.
            Err(_) if self.absent => return Ok(there.to_owned()),
            range => range?,
        };
        let fits = |number: &usize| {
            let text = lines.text(*number);
            let matches = self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(text));
            text == wanted || matches
        };
        let found: Vec<usize> = range.clone().filter(fits).collect();
        let mut edited = String::with_capacity(there.len() + wanted.len() + 2);
        if self.absent {
            let kept = (0..lines.len()).filter(|number| !found.contains(number));
            kept.for_each(|number| edited.extend(lines.raw(number..number + 1)));
            return Ok(edited);
        }
        match found.as_slice() {
            [] => insert(&mut edited, &lines, self.place(&lines, range), &wanted),
            [number] if lines.text(*number) == wanted => edited.push_str(there),
            [number] => {
                edited.extend(lines.raw(0..*number));
                push_line(&mut edited, &wanted, lines.end());
                edited.extend(lines.raw(*number + 1..lines.len()));
            }
            several => return Err(EditError::several(several)),
        }
        Ok(edited)
    }

    /// Before which line a new one goes.
    fn place(&self, lines: &Lines<'_>, range: Range<usize>) -> usize {
        let matching = |pattern: &Pattern| {
            range.clone().filter(|number| pattern.is_match(lines.text(*number))).collect()
        };
        let place = match &self.position {
            Position::End => None,
            Position::Begin => Some(range.start),
            Position::After(pattern) => {
                let all: Vec<usize> = matching(pattern);
                all.last().map(|number| number + 1)
            }
            Position::Before(pattern) => {
                let all: Vec<usize> = matching(pattern);
                all.first().copied()
            }
        };
        place.unwrap_or(range.end)
    }

    pub(crate) fn to_arguments(&self) -> Arguments {
        let mut arguments = Arguments::default();
        arguments.pattern("pattern", self.pattern.as_ref());
        match &self.position {
            Position::End => {}
            Position::Begin => arguments.flag("begin", true),
            Position::After(pattern) => arguments.pattern("after", Some(pattern)),
            Position::Before(pattern) => arguments.pattern("before", Some(pattern)),
        }
        self.region.to_arguments(&mut arguments);
        arguments.flag("absent", self.absent);
        arguments
    }

    pub(crate) fn from_arguments(arguments: &mut Arguments) -> Result<Self, NotAnEdit> {
        let begin = arguments.take_flag("begin")?;
        let (after, before) = (arguments.take_pattern("after")?, arguments.take_pattern("before")?);
        let position = match (begin, after, before) {
            (false, None, None) => Position::End,
            (true, None, None) => Position::Begin,
            (false, Some(pattern), None) => Position::After(pattern),
            (false, None, Some(pattern)) => Position::Before(pattern),
            _ => return Err(NotAnEdit),
        };
        Ok(Self {
            pattern: arguments.take_pattern("pattern")?,
            position,
            region: Region::from_arguments(arguments)?,
            absent: arguments.take_flag("absent")?,
        })
    }
}

/// The text with a new line before that of the number.
fn insert(edited: &mut String, lines: &Lines<'_>, place: usize, wanted: &str) {
    edited.extend(lines.raw(0..place));
    push_line(edited, wanted, lines.end());
    edited.extend(lines.raw(place..lines.len()));
}
