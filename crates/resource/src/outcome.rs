//! What becomes of a resource: plan, change, outcome, failure. Nothing in here may carry a secret.

use std::fmt;

/// What became of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It already was as written.
    Unchanged,
    /// It was not there and is now.
    Created,
    /// It was different and is as written now.
    Updated,
    /// It was there and is no longer.
    Deleted,
    /// Its `when` is false.
    Skipped,
    /// Something it needs failed or is missing, a secret too. Nothing was tried.
    Blocked,
    /// It was tried and did not work.
    Failed,
    /// Only in a dry run: what it will do depends on something that has not happened yet.
    Pending,
}

impl Outcome {
    /// The word in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Skipped => "skipped",
            Self::Blocked => "blocked",
            Self::Failed => "failed",
            Self::Pending => "pending",
        }
    }

    /// True if the machine is different now, or would be (in a dry run).
    #[must_use]
    pub const fn is_change(self) -> bool {
        matches!(self, Self::Created | Self::Updated | Self::Deleted | Self::Pending)
    }

    /// True if what depends on this resource may go on.
    #[must_use]
    pub const fn satisfies(self) -> bool {
        !matches!(self, Self::Blocked | Self::Failed)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Why a resource could not be brought to its state: one sentence, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// Whether something went wrong here or something it needs is missing.
    pub kind: FailureKind,
    /// What is wrong: lower case, the object in backticks.
    pub reason: String,
    /// What to do; empty when there is nothing to say.
    pub help: String,
}

/// Whether something went wrong or something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It was tried and did not work, or can never work as written.
    Failed,
    /// Something it needs is missing; it may work in a later run without a change of policy.
    Blocked,
}

impl Failure {
    /// It does not work.
    #[must_use]
    pub fn failed(reason: impl Into<String>) -> Self {
        Self { kind: FailureKind::Failed, reason: reason.into(), help: String::new() }
    }

    /// Something it needs is missing.
    #[must_use]
    pub fn blocked(reason: impl Into<String>) -> Self {
        Self { kind: FailureKind::Blocked, reason: reason.into(), help: String::new() }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = text.into();
        self
    }

    /// The outcome of a resource that ends by this failure.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self.kind {
            FailureKind::Failed => Outcome::Failed,
            FailureKind::Blocked => Outcome::Blocked,
        }
    }
}

/// What a plan is going to change, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// A line per thing that changes: `mode 0644 -> 0640`.
    pub lines: Vec<String>,
    /// What changes inside, where that can be shown.
    pub diff: Vec<DiffLine>,
}

impl Change {
    /// A change that one line says.
    #[must_use]
    pub fn line(text: impl Into<String>) -> Self {
        Self { lines: vec![text.into()], diff: Vec::new() }
    }
}

/// One line of a diff. Of a tainted target it has only lines that the policy itself says, and notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffLine {
    /// What is said of the text.
    pub sign: DiffSign,
    /// The text without its line end; `‹secret path v3›` where a secret stands.
    pub text: String,
}

/// What a line of a diff says of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffSign {
    /// The line comes in.
    Added,
    /// The line goes out.
    Removed,
    /// The line stays and is shown for orientation.
    Context,
    /// No line of the file: something said about it, as "3 lines removed".
    Note,
}

impl DiffLine {
    /// A line of that sign.
    #[must_use]
    pub fn new(sign: DiffSign, text: impl Into<String>) -> Self {
        Self { sign, text: text.into() }
    }
}

impl fmt::Display for DiffLine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.sign {
            DiffSign::Added => "+",
            DiffSign::Removed => "-",
            DiffSign::Context => " ",
            DiffSign::Note => "@ ",
        };
        write!(out, "{sign}{}", self.text)
    }
}

/// What a resource found out and is going to do. `Steps` is the type's own and all that its apply gets to know.
#[derive(Debug)]
pub enum Plan<Steps> {
    /// Nothing is to be done.
    Unchanged(Unchanged),
    /// Something is to be done.
    Change {
        /// [`Outcome::Created`], [`Outcome::Updated`] or [`Outcome::Deleted`], once it worked.
        outcome: Outcome,
        /// What changes, for people.
        change: Change,
        /// What changes, for apply.
        steps: Steps,
    },
}

impl<Steps> Plan<Steps> {
    /// Nothing is to be done, and that was seen.
    #[must_use]
    pub const fn unchanged() -> Self {
        Self::Unchanged(Unchanged::Verified)
    }
}

/// How it is known that nothing is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// The state was looked at, secrets included.
    Verified,
    /// The state could not be looked at, but nothing says that it changed: why.
    Unverified(String),
    /// A guard says that it is done: which one.
    Guard(String),
}

/// What apply has to say beyond the plan's own lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Lines for the report, as the output of a command.
    pub lines: Vec<String>,
}
