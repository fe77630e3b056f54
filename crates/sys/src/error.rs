//! The one error type of this crate for what is not simply an errno.

use vigo_base::Blame;

/// What can go wrong when protected memory is set up.
#[derive(Debug, thiserror::Error)]
pub enum SysError {
    /// `arena::activate` was called twice.
    #[error("cannot activate the arena: it is active already")]
    AlreadyActive,
    /// The sizes do not fit each other.
    #[error("cannot activate an arena of {size} bytes that may grow to {max}: {reason}")]
    ArenaSize {
        /// The first size asked for.
        size: usize,
        /// The cap asked for.
        max: usize,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// Not even ordinary pages could be had.
    #[error("cannot map an arena: {0}")]
    NoPages(String),
    /// The program has another global allocator, so nothing would lie in the arena.
    #[error("cannot activate the arena: the allocator of this program is not `ProcessAllocator`")]
    OtherAllocator,
}

impl SysError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::AlreadyActive | Self::OtherAllocator => Blame::Bug,
            Self::ArenaSize { .. } => Blame::Operator,
            Self::NoPages(_) => Blame::Machine,
        }
    }
}
