//! What stops a command of the agent, whose fault it is, and what to do about it.

use crate::state::StateError;
use std::path::PathBuf;
use vigo_base::{Blame, Exit};
use vigo_hand::HandError;
use vigo_host::FolderError;
use vigo_wire::WireError;

/// Why a command could not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// This machine was never enrolled.
    #[error(
        "cannot run: this machine is not enrolled with a server; use `vigo enroll HOST --token-file FILE`, or `vigo apply` without a server"
    )]
    NotEnrolled,
    /// The process was asked to stop before the run began.
    #[error("cannot run: vigo was asked to stop")]
    Stopped,
    /// It is enrolled already.
    #[error(
        "cannot enrol: `{path}` is the identity of the envoy `{name}` already; use another --state-dir, or remove that folder if this machine is to become a new envoy"
    )]
    Enrolled {
        /// Where.
        path: PathBuf,
        /// Who.
        name: String,
    },
    /// The server says no to this envoy.
    #[error("cannot go on as this envoy ({code}): {message}")]
    Refused {
        /// A fixed word.
        code: String,
        /// For people.
        message: String,
    },
    /// No answer of the server came through. What the worker says of it, or the state of its pipe, proves nothing about the server.
    #[error("cannot get an answer of the server")]
    Relay(#[source] WireError),
    /// The server answers something that does not fit.
    #[error("cannot use the answer of the server: {0}")]
    Answer(&'static str),
    /// The server sent an assignment that must not be applied.
    #[error("cannot apply the assignment of the server: {0}")]
    Assignment(&'static str),
    /// The token may not be given in this way.
    #[error("cannot take the token: {0}")]
    Token(String),
    /// A file that the operator named.
    #[error("cannot read `{path}`")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Something the operator named is wrong.
    #[error("{0}")]
    Operator(String),
    /// The policy has mistakes, which were printed.
    #[error("cannot apply: mistakes in the policy: {0}")]
    Policy(usize),
    /// What is stored in the state folder cannot be read.
    #[error("cannot read `{path}`: {why}")]
    Stored {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A process of Vigo's own could not be started.
    #[error("cannot start `{process}`")]
    Start {
        /// Its name.
        process: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The run could not begin or end; what became of single resources is in its report.
    #[error("cannot run: {0}")]
    Run(String),
    /// The output could not be written.
    #[error("cannot print the result")]
    Print(#[source] std::io::Error),
    /// The control socket.
    #[error("cannot {verb} the control socket `{path}`")]
    Control {
        /// What was tried.
        verb: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// There is one daemon a state folder.
    #[error(
        "cannot start: another `vigo daemon` answers at `{path}` already; stop it first, or use another --state-dir"
    )]
    DaemonRuns {
        /// Its socket.
        path: PathBuf,
    },
    /// The daemon answers between two runs only.
    #[error("cannot wait longer for the running agent: it is in the middle of a run; try again later")]
    DaemonBusy,
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file in it.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The hand.
    #[error(transparent)]
    Hand(#[from] HandError),
    /// Something that crossed a border.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl AgentError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::NotEnrolled => Blame::Permission,
            Self::Refused { code, .. } => match code.as_str() {
                // Not this time: with what is held the machine goes on, and asks again.
                "busy" | "too-many" | "stale-bundle" | "expired" => Blame::Peer,
                "malformed" | "too-large" => Blame::Bug,
                _ => Blame::Permission,
            },
            Self::Enrolled { .. }
            | Self::Token(_)
            | Self::Read { .. }
            | Self::Operator(_)
            | Self::DaemonRuns { .. } => Blame::Operator,
            Self::Stopped => Blame::Operator,
            Self::Policy(_) => Blame::Author,
            Self::Relay(_) | Self::Answer(_) | Self::Assignment(_) => Blame::Peer,
            Self::Stored { .. }
            | Self::Start { .. }
            | Self::Run(_)
            | Self::Print(_)
            | Self::Control { .. }
            | Self::DaemonBusy
            | Self::State(_)
            | Self::Folder(_) => Blame::Machine,
            Self::Hand(error) => error.blame(),
            Self::Wire(error) => error.blame(),
        }
    }

    /// True if the server said that it cannot now, and to come again.
    #[must_use]
    pub fn is_later(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "busy" || code == "too-many")
    }

    /// How the program ends by it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.blame().exit()
    }
}
