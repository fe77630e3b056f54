//! Why `vigocli` did not do what it was asked: what, where, why, and what to do.

use crate::client::Problem;
use std::error::Error as _;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use vigo_base::{Blame, Exit};

/// Why `vigocli` did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The command line is wrong.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to write instead.
        help: String,
    },
    /// A file or folder.
    #[error("cannot {doing} `{}`", path.display())]
    File {
        /// `read`, `write`.
        doing: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// This machine.
    #[error("cannot {doing}")]
    Machine {
        /// What.
        doing: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Nobody answers there.
    #[error("cannot reach {server}")]
    Unreachable {
        /// Where.
        server: String,
        /// Why not.
        source: io::Error,
    },
    /// It answers and is not the server of this CA file.
    #[error("cannot trust {server}")]
    Untrusted {
        /// Where.
        server: String,
        /// Why not.
        source: io::Error,
    },
    /// TLS does not come about.
    #[error("cannot speak TLS 1.3 with {server}")]
    Tls {
        /// Where.
        server: String,
        /// Why not.
        source: io::Error,
    },
    /// The connection broke.
    #[error("cannot finish the exchange with {server}")]
    Broken {
        /// Where.
        server: String,
        /// Why.
        source: hyper::Error,
    },
    /// No answer in time.
    #[error("cannot wait longer for {server}: no answer in {:.1} seconds", waited.as_secs_f32())]
    Silent {
        /// Where.
        server: String,
        /// How long was waited.
        waited: Duration,
    },
    /// It answers, but not in this interface.
    #[error("cannot read the answer of {server}: {why}")]
    Answer {
        /// Where.
        server: String,
        /// Why not.
        why: String,
    },
    /// The server says no.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// The stacks folder.
    #[error(transparent)]
    Stacks(vigo_host::StacksError),
    /// The person at the terminal said no.
    #[error("not done: the answer was no")]
    Declined,
    /// What was asked cannot be believed.
    #[error("cannot trust the entry key of {server}: {why}")]
    EntryKey {
        /// Where it came from.
        server: String,
        /// Why not.
        why: String,
    },
    /// The hand.
    #[error(transparent)]
    Hand(#[from] vigo_hand::HandError),
    /// The vault in a folder.
    #[error(transparent)]
    Vault(#[from] vigo_vault::VaultError),
    /// Standard output.
    #[error("cannot write the result")]
    Output(#[source] io::Error),
    /// A mistake in this program.
    #[error("{0}; this is a fault of vigocli, please report it")]
    Bug(&'static str),
}

impl CliError {
    /// A wrong command line.
    pub fn usage(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), help: help.into() }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Usage { .. } | Self::Declined => Blame::Operator,
            Self::Stacks(_) => Blame::Author,
            Self::Untrusted { .. } | Self::EntryKey { .. } => Blame::Permission,
            Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Broken { .. }
            | Self::Silent { .. }
            | Self::Answer { .. }
            | Self::Refused(_) => Blame::Peer,
            Self::File { .. } | Self::Machine { .. } | Self::Output(_) => Blame::Machine,
            Self::Hand(error) => error.blame(),
            Self::Vault(error) => error.blame(),
            Self::Bug(_) => Blame::Bug,
        }
    }

    /// How the program ends by it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Refused(problem) => problem.exit(),
            // Nothing is wrong with the command line; nothing was done.
            Self::Declined => Exit::CannotRun,
            // Not being who they say is no matter of permission of the one who asks.
            Self::Untrusted { .. } | Self::EntryKey { .. } => Exit::CannotRun,
            other => other.blame().exit(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::Usage { help, .. } => help,
            Self::Refused(problem) => &problem.help,
            Self::Unreachable { .. } => {
                "is vigosrv running there, and is the port the one for operators (`api=` in its ready file)?"
            }
            Self::Untrusted { .. } => {
                "take `ca.pem` from the data folder of the server that you mean; if it is from there, somebody else answers at this address"
            }
            Self::Tls { .. } => "is the port the one for operators (`api=` in the server's ready file)?",
            Self::Silent { .. } => "look into the server's log; the request may still be carried out",
            Self::EntryKey { .. } => {
                "nothing was sent; take `ca.pem` from the data folder of the server that you mean"
            }
            Self::Answer { .. } => "is it a vigosrv of this version?",
            _ => "",
        };
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The whole message: what and where, why, what to do.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = format!("error: {self}");
        let mut cause = self.source();
        while let Some(source) = cause {
            let _ = write!(text, ": {source}");
            cause = source.source();
        }
        if let Some(help) = self.help() {
            let _ = write!(text, "\nhelp: {help}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_why_and_what_to_do() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
        let error = CliError::Unreachable { server: "https://a:1".into(), source: refused };
        let report = error.report();
        assert!(
            report.starts_with("error: cannot reach https://a:1: connection refused\nhelp: "),
            "{report}"
        );
        assert_eq!(error.exit(), Exit::CannotRun);
    }

    #[test]
    fn a_wrong_command_line_ends_with_two() {
        assert_eq!(CliError::usage("a", "b").exit(), Exit::Usage);
    }
}
