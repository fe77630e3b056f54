//! Everything that a run can write to, by name. What is added to a product has to stand here before it passes the tests.

use std::fmt;

/// A kind of place in which a value could stand that should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sink {
    /// Files that the run made or changed.
    Files,
    /// Files without a name that a process still has open.
    OpenFiles,
    /// What a process printed, at every log level.
    Output,
    /// The server's database with its journal.
    Database,
    /// Answers of the REST interface.
    Rest,
    /// The numbers for monitoring.
    Metrics,
    /// The audit log.
    Audit,
    /// A copy of the server's data for another day.
    Backup,
    /// Command lines, environments and open files, as /proc shows them to root, to the same user and to another.
    ProcessTables,
    /// The memory of our processes.
    Memory,
    /// Swap.
    Swap,
    /// Core files, written or piped.
    Core,
}

impl Sink {
    /// Every one.
    pub const ALL: [Self; 12] = [
        Self::Files,
        Self::OpenFiles,
        Self::Output,
        Self::Database,
        Self::Rest,
        Self::Metrics,
        Self::Audit,
        Self::Backup,
        Self::ProcessTables,
        Self::Memory,
        Self::Swap,
        Self::Core,
    ];

    /// The word for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::OpenFiles => "open files",
            Self::Output => "output",
            Self::Database => "the database",
            Self::Rest => "REST answers",
            Self::Metrics => "metrics",
            Self::Audit => "the audit log",
            Self::Backup => "backups",
            Self::ProcessTables => "process tables",
            Self::Memory => "memory",
            Self::Swap => "swap",
            Self::Core => "cores",
        }
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
