//! A part of a text, between two lines that are found by patterns.

use crate::arguments::{Arguments, NotAnEdit};
use crate::lines::Lines;
use crate::{EditError, Pattern};
use std::ops::Range;

/// The part of a text in which an edit looks: after the first line that matches `start`, before the next one that matches `end`. Without one of
/// them it reaches to the text's own end on that side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// The line before it.
    pub start: Option<Pattern>,
    /// The line after it.
    pub end: Option<Pattern>,
}

impl Region {
    /// The lines of a text that are in it.
    pub(crate) fn range(&self, lines: &Lines<'_>) -> Result<Range<usize>, EditError> {
        let find = |pattern: &Pattern, from: usize, what: &'static str| {
            let found = (from..lines.len()).find(|number| pattern.is_match(lines.text(*number)));
            found.ok_or_else(|| EditError::NoRegion { pattern: pattern.source().to_owned(), what })
        };
        let start = match &self.start {
            Some(pattern) => find(pattern, 0, "begin the region")? + 1,
            None => 0,
        };
        let end = match &self.end {
            Some(pattern) => find(pattern, start, "end the region")?,
            None => lines.len(),
        };
        Ok(start..end)
    }

    pub(crate) fn to_arguments(&self, arguments: &mut Arguments) {
        arguments.pattern("region_start", self.start.as_ref());
        arguments.pattern("region_end", self.end.as_ref());
    }

    pub(crate) fn from_arguments(arguments: &mut Arguments) -> Result<Self, NotAnEdit> {
        Ok(Self {
            start: arguments.take_pattern("region_start")?,
            end: arguments.take_pattern("region_end")?,
        })
    }
}
