//! The person at the terminal: questions, and a terminal that is put right when they break off.

use crate::error::CliError;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{BufRead as _, IsTerminal as _, Write as _};

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

/// While it is held, a break (Ctrl-C) puts the terminal back as it was before the program ends: the hand has it silent while a value is typed.
pub struct Guard {
    // Ends the thread that waits, by closing.
    _release: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Guard {
    /// Begins to guard the terminal that standard input is, if it is one.
    #[must_use]
    pub fn standard_input() -> Self {
        let Ok(before) = tcgetattr(std::io::stdin()) else { return Self { _release: None } };
        let (release, released) = tokio::sync::oneshot::channel();
        // Without the thread a break leaves the terminal silent; `stty sane` mends it. No reason not to go on.
        let started = std::thread::Builder::new().name("break".into()).spawn(move || wait(&before, released));
        Self { _release: started.is_ok().then_some(release) }
    }
}

fn wait(before: &Termios, released: tokio::sync::oneshot::Receiver<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    let broken = runtime.block_on(async {
        tokio::select! {
            signal = tokio::signal::ctrl_c() => signal.is_ok(),
            _ = released => false,
        }
    });
    if broken {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        let _ = writeln!(std::io::stderr());
        // 128 + SIGINT, as a shell counts.
        std::process::exit(130);
    }
}
