//! A block of lines between two marker lines.

use crate::arguments::{Arguments, NotAnEdit};
use crate::lines::{Lines, push_line};
use crate::{EditError, Operand};

/// A block of lines that is in a text, or not. Its first and its last line are markers, by which it is found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockEdit {
    /// The line before the block, as it stands in the file.
    pub begin: String,
    /// The line after it.
    pub end: String,
    /// Neither the block nor its markers are to be there.
    pub absent: bool,
}

impl BlockEdit {
    pub(crate) const KIND: &'static str = "block";

    pub(crate) fn apply(&self, there: &str, operand: &Operand<'_>) -> Result<String, EditError> {
        let lines = Lines::of(there);
        let found = self.find(&lines)?;
        let mut edited = String::with_capacity(there.len());
        let (before, after) = match found {
            Some((begin, end)) => (begin, end + 1),
            None if self.absent => return Ok(there.to_owned()),
            None => (lines.len(), lines.len()),
        };
        edited.extend(lines.raw(0..before));
        if !self.absent {
            let block = operand.text();
            if block.lines().any(|line| line == self.begin || line == self.end) {
                return Err(EditError::MarkerInBlock);
            }
            push_line(&mut edited, &self.begin, lines.end());
            block.lines().for_each(|line| push_line(&mut edited, line, lines.end()));
            push_line(&mut edited, &self.end, lines.end());
        }
        edited.extend(lines.raw(after..lines.len()));
        Ok(edited)
    }

    /// The numbers of the marker lines.
    fn find(&self, lines: &Lines<'_>) -> Result<Option<(usize, usize)>, EditError> {
        let all = |marker: &str| -> Vec<usize> {
            (0..lines.len()).filter(|number| lines.text(*number) == marker).collect()
        };
        match (all(&self.begin).as_slice(), all(&self.end).as_slice()) {
            ([], []) => Ok(None),
            ([begin], [end]) if begin < end => Ok(Some((*begin, *end))),
            (begins, ends) if begins.len() > 1 || ends.len() > 1 => {
                Err(EditError::several(if begins.len() > 1 { begins } else { ends }))
            }
            _ => Err(EditError::Markers),
        }
    }

    pub(crate) fn to_arguments(&self) -> Arguments {
        let mut arguments = Arguments::default();
        arguments.text("begin", &self.begin);
        arguments.text("end", &self.end);
        arguments.flag("absent", self.absent);
        arguments
    }

    pub(crate) fn from_arguments(arguments: &mut Arguments) -> Result<Self, NotAnEdit> {
        let edit = Self {
            begin: arguments.require("begin")?,
            end: arguments.require("end")?,
            absent: arguments.take_flag("absent")?,
        };
        if Self::are_markers(&edit.begin, &edit.end) { Ok(edit) } else { Err(NotAnEdit) }
    }

    /// True if these can be told from each other and are a line each.
    #[must_use]
    pub fn are_markers(begin: &str, end: &str) -> bool {
        let is_line = |text: &str| !text.is_empty() && !text.contains(['\n', '\r']);
        is_line(begin) && is_line(end) && begin != end
    }
}
