//! What ends the worker. What only fails one request is a [`vigo_wire::worker::Failure`] and goes to `vigo`.

use vigo_base::Blame;

/// Why the worker ended before its parent did.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// No socket at descriptor 3, or it failed.
    #[error("cannot use the pipe to `vigo`")]
    Pipe(#[source] std::io::Error),
    /// The other end does not speak as it should.
    #[error("cannot read a request of `vigo`: {0}")]
    Request(&'static str),
    /// No runtime.
    #[error("cannot start the runtime")]
    Runtime(#[source] std::io::Error),
}

impl NetError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Pipe(_) | Self::Runtime(_) => Blame::Machine,
            Self::Request(_) => Blame::Bug,
        }
    }
}
