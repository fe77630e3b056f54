//! Commands: what is to be run, and how it ended.

use crate::{Exposed, User};
use std::time::Duration;
use vigo_base::{AbsolutePath, ExposureWay, Pieces};

/// A command to be run. The child gets PATH, LANG, HOME, USER, LOGNAME, SHELL and what stands here, nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandRequest {
    /// What to run.
    pub line: CommandLine,
    /// Who runs it; `None` for who runs Vigo.
    pub user: Option<User>,
    /// Its group, instead of the user's own.
    pub group: Option<u32>,
    /// Where it runs.
    pub folder: AbsolutePath,
    /// Variables on top of the fixed ones.
    pub environment: Vec<(String, Pieces)>,
    /// A secret may stand in its command line, where everybody on the machine sees it: `allow_exposure: [argv]`.
    pub allow_argv: bool,
    /// Files that only the command can see, by name, in the folder that `CREDENTIALS_DIRECTORY` names.
    pub credentials: Vec<(String, Pieces)>,
    /// Its standard input; `None` for an empty one.
    pub stdin: Option<Pieces>,
    /// Permission bits that files it makes do not get.
    pub umask: u32,
    /// After that long the whole process group is killed.
    pub timeout: Duration,
    /// What becomes of its output.
    pub output: OutputRule,
    /// The id of the resource that wants it: filters with a salt are bound to it.
    pub resource: String,
}

/// What to run.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandLine {
    /// `SHELL -c TEXT`.
    Shell {
        /// The shell.
        shell: AbsolutePath,
        /// The text. A secret in it is seen by everybody on the machine.
        text: Pieces,
    },
    /// A program and its arguments, without a shell; the program is looked for in PATH when it has no slash.
    Arguments(Vec<Pieces>),
}

/// What becomes of a command's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputRule {
    /// Kept, scrubbed; dropped when the command got a secret or names a tainted target, or where a value may stand in it that is not held.
    Automatic,
    /// Dropped.
    Drop,
    /// The same, but also kept when the command got a secret; refused for values too short to be found in it.
    Scrub,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// By itself, or how else.
    pub end: End,
    /// What it said.
    pub output: Output,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with that code.
    Exited(i32),
    /// By that signal.
    Signalled(i32),
    /// It was killed after its timeout.
    TimedOut,
}

/// What a command said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The ends of what it said, scrubbed.
    Kept {
        /// Standard output.
        stdout: String,
        /// Standard error.
        stderr: String,
    },
    /// It may have said a secret.
    Dropped {
        /// How much it said on standard output.
        stdout_bytes: u64,
        /// How much it said on standard error.
        stderr_bytes: u64,
        /// Why it could not be kept, where something is missing for that; else it is said nowhere but in the policy that it is dropped.
        why: String,
    },
}

impl CommandRequest {
    /// True if a secret is handed to the command in whatever way.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        let line = match &self.line {
            CommandLine::Shell { text, .. } => text.has_secret(),
            CommandLine::Arguments(arguments) => arguments.iter().any(Pieces::has_secret),
        };
        line || self.stdin.as_ref().is_some_and(Pieces::has_secret)
            || self.environment.iter().chain(&self.credentials).any(|(_, value)| value.has_secret())
    }
}

impl CommandRequest {
    /// The secrets that the command gets, and how.
    #[must_use]
    pub fn exposes(&self) -> Vec<Exposed> {
        let words = match &self.line {
            CommandLine::Shell { text, .. } => std::slice::from_ref(text),
            CommandLine::Arguments(words) => words.as_slice(),
        };
        let argv = words.iter().flat_map(|word| Exposed::of(word, ExposureWay::Argv));
        let environment =
            self.environment.iter().flat_map(|(_, value)| Exposed::of(value, ExposureWay::Environment));
        let stdin = self.stdin.iter().flat_map(|text| Exposed::of(text, ExposureWay::Stdin));
        let credentials =
            self.credentials.iter().flat_map(|(_, value)| Exposed::of(value, ExposureWay::Credentials));
        argv.chain(environment).chain(credentials).chain(stdin).collect()
    }
}

impl Finished {
    /// True if it ended by itself with 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.end == End::Exited(0)
    }
}
