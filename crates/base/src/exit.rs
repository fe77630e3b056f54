//! Exit codes: one table for `vigo`, `vigocli` and `vigosrv`. Never renumbered.

/// How a program of Vigo ends. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Converged, or the command did what it was asked.
    Success = 0,
    /// Could not run: the machine, the peer or Vigo itself stood in the way.
    CannotRun = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A dry run or a plan found changes.
    ChangesPending = 3,
    /// Not permitted: not enrolled, revoked, not logged in, a token that is wrong or spent.
    NotPermitted = 4,
    /// Done, and the answer is bad: a resource failed or is blocked, a validation found errors.
    Bad = 5,
    /// Ran and changed something; only with `--detailed-exit-code`.
    Changed = 6,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Whose fault an error is. It decides exit code, log level, retry and HTTP status, so that no caller has to guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Who wrote the policy.
    Author,
    /// Who typed the command or set the machine up.
    Operator,
    /// Who may not do this, or is not (any more) who they say.
    Permission,
    /// The other end of a connection.
    Peer,
    /// This machine: disk full, no memory, a file that cannot be read.
    Machine,
    /// Vigo.
    Bug,
}

impl Blame {
    /// The exit code of a command that ends by such a fault.
    #[must_use]
    pub const fn exit(self) -> Exit {
        match self {
            Self::Operator => Exit::Usage,
            Self::Permission => Exit::NotPermitted,
            Self::Author | Self::Peer | Self::Machine | Self::Bug => Exit::CannotRun,
        }
    }
}
