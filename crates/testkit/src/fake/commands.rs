//! Commands of the machine in memory: a table, and a few words of `test` that need no entry.

use super::tree::Tree;
use vigo_base::AbsolutePath;
use vigo_resource::{CommandLine, CommandRequest, End, EntryKind, Finished, Output};

/// What a command does.
#[derive(Clone, Debug, Default)]
pub struct FakeCommand {
    /// How it ends.
    pub exit: i32,
    /// It never ends by itself.
    pub hangs: bool,
    /// What it says.
    pub stdout: String,
    /// What it complains.
    pub stderr: String,
    /// What it changes. In what it writes, `{stdin}` is what it read.
    pub effects: Vec<Effect>,
}

/// Something that a command changes.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Makes that file.
    Write(AbsolutePath, String),
    /// Removes that file.
    Remove(AbsolutePath),
}

impl FakeCommand {
    /// A command that does nothing and ends so.
    #[must_use]
    pub fn exits(exit: i32) -> Self {
        Self { exit, ..Self::default() }
    }

    pub(super) fn finished(&self, got_secret: bool) -> Finished {
        let end = if self.hangs { End::TimedOut } else { End::Exited(self.exit) };
        let output = if got_secret {
            Output::Dropped {
                stdout_bytes: self.stdout.len() as u64,
                stderr_bytes: self.stderr.len() as u64,
                why: String::new(),
            }
        } else {
            Output::Kept { stdout: self.stdout.clone(), stderr: self.stderr.clone() }
        };
        Finished { end, output }
    }
}

/// The text by which a command stands in the table: slots by their names, never their values.
pub(super) fn text(request: &CommandRequest) -> String {
    match &request.line {
        CommandLine::Shell { text, .. } => text.to_string(),
        CommandLine::Arguments(arguments) => {
            arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
    }
}

/// `true`, `false` and `test -e|-f|-d PATH`; everything else is not found, as by a shell.
pub(super) fn builtin(text: &str, tree: &Tree) -> Finished {
    let words: Vec<&str> = text.split_whitespace().collect();
    let exit = match words.as_slice() {
        ["true"] => 0,
        ["false"] => 1,
        ["test", what, path] => {
            let kind = path.parse().ok().and_then(|path| tree.entry(&path)).map(|entry| entry.kind);
            let holds = match *what {
                "-e" => kind.is_some(),
                "-f" => kind == Some(EntryKind::File),
                "-d" => kind == Some(EntryKind::Folder),
                _ => false,
            };
            i32::from(!holds)
        }
        _ => 127,
    };
    let stderr = if exit == 127 { format!("{text}: not found\n") } else { String::new() };
    Finished { end: End::Exited(exit), output: Output::Kept { stdout: String::new(), stderr } }
}
