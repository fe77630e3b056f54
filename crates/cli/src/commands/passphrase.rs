//! Where passphrases come from: a file that is named, else the terminal. They are read by the hand; this process never has one.

use crate::error::CliError;
use crate::{output, terminal};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use vigo_hand::NewPassphrase;

/// The source of the passphrase of what is there already.
pub struct Known<'a> {
    file: Option<&'a Path>,
    what: &'static str,
    silence: std::cell::RefCell<Option<terminal::Silence>>,
}

impl<'a> Known<'a> {
    /// From this file, or the terminal.
    #[must_use]
    pub const fn new(file: Option<&'a Path>) -> Self {
        Self::of(file, "passphrase")
    }

    /// The same, asked for by another name.
    #[must_use]
    pub const fn of(file: Option<&'a Path>, what: &'static str) -> Self {
        Self { file, what, silence: std::cell::RefCell::new(None) }
    }

    /// Opens the source and, at a terminal, asks.
    ///
    /// # Errors
    /// When it cannot be opened, or there is no terminal.
    pub fn ask(&self) -> io::Result<OwnedFd> {
        let Some(file) = self.file else {
            let terminal = open_terminal()?;
            *self.silence.borrow_mut() = Some(terminal::Silence::of(terminal.as_fd()));
            output::note(&format!("{} (not shown):", self.what));
            return Ok(terminal);
        };
        open(file)
    }

    /// The terminal is as it was.
    pub fn done(&self) {
        self.silence.borrow_mut().take();
    }
}

/// Gives the source of a new passphrase to `work`.
///
/// # Errors
/// When it cannot be opened, there is no terminal, or `work` fails.
pub fn with_new<T>(
    file: Option<&Path>,
    work: impl FnOnce(NewPassphrase<'_>) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let failed = |source| CliError::Machine { doing: "read the new passphrase", source };
    if let Some(file) = file {
        let input = open(file).map_err(failed)?;
        return work(NewPassphrase { input: input.as_fd(), twice: false });
    }
    let terminal = open_terminal().map_err(failed)?;
    let silence = terminal::Silence::of(terminal.as_fd());
    output::note("new passphrase, twice, each ended with Enter (not shown):");
    work(NewPassphrase { input: terminal.as_fd(), twice: true }).inspect_err(|_| silence.settle())
}

fn open(file: &Path) -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().read(true).open(file)?.into())
}

fn open_terminal() -> io::Result<OwnedFd> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/tty");
    opened.map(OwnedFd::from).map_err(|_| {
        io::Error::new(io::ErrorKind::NotFound, "there is no terminal to ask at; name a file that holds it")
    })
}
