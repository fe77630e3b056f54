//! What can go wrong between a process and its hand.

use vigo_base::Blame;
use vigo_wire::WireError;
use vigo_wire::hand::FailureCode;

/// Why the hand did not do what it was asked. No variant holds a byte of a value.
#[derive(Debug, thiserror::Error)]
pub enum HandError {
    /// The process could not be started.
    #[error("cannot start `vigo-hand`")]
    Start(#[source] std::io::Error),
    /// The process ended. What it held is gone; start another one and fetch again.
    #[error("cannot {what}: `vigo-hand` ended ({how})")]
    Ended {
        /// What was asked.
        what: &'static str,
        /// How it ended.
        how: String,
    },
    /// The hand says why it cannot.
    #[error("{text}")]
    Failed {
        /// What kind of failure.
        code: FailureCode,
        /// For people.
        text: String,
    },
    /// The request cannot go through the pipe.
    #[error("cannot {what}: {why}")]
    Request {
        /// What was asked.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// The pipe failed.
    #[error("cannot {what}")]
    Pipe {
        /// What was asked.
        what: &'static str,
        /// Why it failed.
        source: WireError,
    },
    /// Something that the request needs could not be made ready.
    #[error("cannot {what}")]
    Prepare {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The answer is none that belongs to the request.
    #[error("cannot understand what `vigo-hand` answered to `{what}`")]
    Answer {
        /// What was asked.
        what: &'static str,
    },
}

impl HandError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Failed { code, .. } => code.blame(),
            Self::Start(_) | Self::Ended { .. } | Self::Pipe { .. } | Self::Prepare { .. } => Blame::Machine,
            Self::Request { .. } => Blame::Author,
            Self::Answer { .. } => Blame::Bug,
        }
    }

    /// What kind of failure the hand named; `None` if it did not come that far.
    #[must_use]
    pub const fn code(&self) -> Option<FailureCode> {
        match self {
            Self::Failed { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// True if the process is gone, and with it every value it held.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Ended { .. } | Self::Pipe { .. })
    }
}
