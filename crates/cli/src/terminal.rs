//! The person at the terminal: questions, and a terminal that is put right when they break off.

use crate::error::CliError;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::mpsc;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// True if there is somebody to ask: both sides of the talk are a terminal.
#[must_use]
pub fn somebody_is_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a question that is answered with yes or no; anything but yes is no.
///
/// # Errors
/// When the answer cannot be read.
pub fn confirm(question: &str) -> Result<bool, CliError> {
    let failed = |source| CliError::Machine { doing: "ask at the terminal", source };
    let mut stderr = std::io::stderr();
    write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush()).map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// A terminal that does not show what is typed, for as long as this is held. Made before the prompt, so that nothing is shown or lost that is
/// typed quickly; a break (Ctrl-C) puts the terminal back as it was before the program ends.
pub struct Silence {
    terminal: Option<OwnedFd>,
    before: Option<Termios>,
    /// Ends the thread that waits for a break, by closing.
    release: Option<oneshot::Sender<()>>,
}

impl Silence {
    /// Silences the terminal that standard input is, if it is one.
    #[must_use]
    pub fn standard_input() -> Self {
        Self::of(std::io::stdin().as_fd())
    }

    /// Silences this terminal, if it is one.
    #[must_use]
    pub fn of(terminal: BorrowedFd<'_>) -> Self {
        let none = Self { terminal: None, before: None, release: None };
        let Ok(before) = tcgetattr(terminal) else { return none };
        let (Ok(own), Ok(watched)) = (terminal.try_clone_to_owned(), terminal.try_clone_to_owned()) else {
            return none;
        };
        // Without that thread a break leaves the terminal silent; `stty sane` mends it. No reason not to go on.
        let release = watch_for_break(watched, before.clone());
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        // What was typed before the question is no answer to it.
        let silenced = tcsetattr(&own, OptionalActions::Flush, &silent).is_ok();
        Self { terminal: Some(own), before: silenced.then_some(before), release }
    }

    /// True if somebody types.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        self.before.is_some()
    }
}

impl Silence {
    /// After a failure: a break reaches the hand too, and the hand may be gone first. Gives the thread that ends this program its turn, so that
    /// a break looks the same every time.
    pub fn settle(&self) {
        if self.release.is_some() {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let (Some(terminal), Some(before)) = (&self.terminal, &self.before) {
            let _ = tcsetattr(terminal, OptionalActions::Now, before);
        }
    }
}

/// Starts the thread that waits for a break; it is ready when this returns.
fn watch_for_break(terminal: OwnedFd, before: Termios) -> Option<oneshot::Sender<()>> {
    let (release, released) = oneshot::channel();
    let (ready, is_ready) = mpsc::channel();
    let wait = move || {
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
        let broken = runtime.block_on(async {
            let Ok(mut interrupt) = signal(SignalKind::interrupt()) else { return false };
            let _ = ready.send(());
            tokio::select! {
                _ = interrupt.recv() => true,
                _ = released => false,
            }
        });
        if broken {
            let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
            let _ = writeln!(std::io::stderr());
            // 128 + SIGINT, as a shell counts.
            std::process::exit(130);
        }
    };
    std::thread::Builder::new().name("break".into()).spawn(wait).ok()?;
    // A thread that could not begin has dropped its end.
    is_ready.recv().ok().map(|()| release)
}
