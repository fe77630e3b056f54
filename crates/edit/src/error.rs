//! Why an edit cannot be made. No byte of the file or of a value stands in it, only the policy's own words and the numbers of lines.

/// How many line numbers an error names.
const NAMED: usize = 5;

/// Why an edit cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Several places fit.
    #[error("{count} lines are what is looked for ({}); only one may be", numbers(.lines))]
    Several {
        /// How many.
        count: usize,
        /// The first of them, from 1.
        lines: Vec<usize>,
    },
    /// One marker line is there without the other, or they stand the wrong way round.
    #[error("one marker of the block is there without the other, or the last one comes first")]
    Markers,
    /// A line of the block is one of its markers.
    #[error("a line of the block is one of its own markers")]
    MarkerInBlock,
    /// The line that begins or ends a region is not there.
    #[error("no line matches `{pattern}`, which is to {what}")]
    NoRegion {
        /// The pattern, as the policy has it.
        pattern: String,
        /// What that line is to do.
        what: &'static str,
    },
    /// The operand has more than one line.
    #[error("what is to be one line has several")]
    SeveralLines,
    /// The file is not written as its format is.
    #[error("line {line} of the file cannot be read as {format}: {why}")]
    Malformed {
        /// The format.
        format: &'static str,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        why: &'static str,
    },
    /// There is no such place, and it cannot be made.
    #[error("`{at}` {why}")]
    NoPlace {
        /// The key up to there, as the policy has it.
        at: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What was written does not read as it should.
    #[error("this {format} file is written in a way in which the value cannot be changed safely")]
    Unforeseen {
        /// The format.
        format: &'static str,
    },
    /// A file of too many values, or nested too deeply.
    #[error("the file has more than 20,000 values, or values more than 64 deep")]
    TooMany,
    /// What it makes is larger than what can be edited.
    #[error("the file would have more than {} bytes", crate::LARGEST)]
    TooLarge,
    /// Applied twice it would change the file twice.
    #[error("the edit does not come to rest: applied to its own result it would change it again")]
    Unstable,
}

impl EditError {
    /// Several lines fit, counted from 0.
    pub(crate) fn several(lines: &[usize]) -> Self {
        let named = lines.iter().take(NAMED).map(|number| number + 1).collect();
        Self::Several { count: lines.len(), lines: named }
    }

    /// What its author can do; empty when there is nothing to say.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Several { .. } => {
                "narrow `match_pattern` or the region so that one line fits, or remove the others with `state: absent`"
            }
            Self::Markers => {
                "put the markers right by hand, or remove both: then the block is made anew at the end"
            }
            Self::MarkerInBlock => "choose another `label`, or other markers",
            Self::NoRegion { .. } => "correct the pattern, or leave the region out",
            Self::SeveralLines => "use `blockinfile` for several lines",
            Self::Malformed { .. } => "correct the file, or manage the whole of it with `file`",
            Self::NoPlace { .. } => "correct the `key`, or remove what is in its way",
            Self::Unforeseen { .. } => {
                "change how it is written there by hand, or manage the whole file with `file`"
            }
            Self::TooLarge | Self::TooMany => "manage the whole file with `file`",
            Self::Unstable => {
                "make the pattern match the new text too, so that it is found again the next time"
            }
        }
    }
}

fn numbers(lines: &[usize]) -> String {
    let shown: Vec<String> = lines.iter().map(usize::to_string).collect();
    format!("line {}", shown.join(", "))
}
