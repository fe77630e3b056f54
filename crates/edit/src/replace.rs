//! What a pattern matches becomes another text.

use crate::arguments::{Arguments, NotAnEdit};
use crate::lines::Lines;
use crate::{EditError, Operand, Part, Pattern, Region};
use regex_lite::Captures;

/// What a pattern matches becomes the operand. In the policy's own part of it `$1`, `${1}` and `${name}` are what the pattern's groups matched
/// and `$$` is a dollar sign; in a secret nothing has a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaceEdit {
    /// What is replaced. It may span lines.
    pub pattern: Pattern,
    /// Where it is looked for.
    pub region: Region,
    /// So many matches from the first on; `None`: all.
    pub most: Option<usize>,
}

impl ReplaceEdit {
    pub(crate) const KIND: &'static str = "replace";

    pub(crate) fn apply(&self, there: &str, operand: &Operand<'_>) -> Result<String, EditError> {
        let lines = Lines::of(there);
        let range = self.region.range(&lines)?;
        let text: String = lines.raw(range.clone()).collect();
        let mut edited: String = lines.raw(0..range.start).collect();
        let mut last = 0;
        let most = self.most.unwrap_or(usize::MAX);
        for captures in self.pattern.expression().captures_iter(&text).take(most) {
            let Some(whole) = captures.get(0) else { continue };
            edited.push_str(text.get(last..whole.start()).unwrap_or_default());
            put(&mut edited, &captures, operand);
            last = whole.end();
            if edited.len() > crate::LARGEST {
                return Err(EditError::TooLarge);
            }
        }
        edited.push_str(text.get(last..).unwrap_or_default());
        edited.extend(lines.raw(range.end..lines.len()));
        Ok(edited)
    }

    pub(crate) fn to_arguments(&self) -> Arguments {
        let mut arguments = Arguments::default();
        arguments.pattern("pattern", Some(&self.pattern));
        self.region.to_arguments(&mut arguments);
        if let Some(most) = self.most {
            arguments.text("most", most.to_string());
        }
        arguments
    }

    pub(crate) fn from_arguments(arguments: &mut Arguments) -> Result<Self, NotAnEdit> {
        Ok(Self {
            pattern: arguments.take_pattern("pattern")?.ok_or(NotAnEdit)?,
            region: Region::from_arguments(arguments)?,
            most: arguments.take("most").map(|most| most.parse()).transpose().map_err(|_| NotAnEdit)?,
        })
    }
}

fn put(edited: &mut String, captures: &Captures<'_>, operand: &Operand<'_>) {
    for part in operand.parts() {
        match part {
            Part::Literal(text) => captures.expand(text, edited),
            Part::Value(text) => edited.push_str(text),
        }
    }
}
