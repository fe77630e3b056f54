//! The person who starts `vigosrv` at a terminal: asked for the passphrase of the master key, which goes from the terminal into the hand.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// The terminal of this process, if it has one and is in its foreground: in the background a read from it would stop the hand (tty_ioctl(4)).
#[must_use]
pub fn open() -> Option<OwnedFd> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    let is_ours = tcgetpgrp(&terminal).is_ok_and(|group| group == rustix::process::getpgrp());
    is_ours.then(|| OwnedFd::from(terminal))
}

/// A terminal that does not show what is typed, until this is dropped; a break (Ctrl-C) meanwhile puts it right and ends the program.
#[derive(Debug)]
pub struct Silence {
    terminal: OwnedFd,
    before: Termios,
    /// Ends the thread that waits for a break, by closing.
    _release: Option<oneshot::Sender<()>>,
}

impl Silence {
    /// Silences it and asks, in that order: nothing that is typed at once is shown.
    ///
    /// # Errors
    /// When it is no terminal or cannot be written to.
    pub fn and_ask(terminal: &OwnedFd, question: &str) -> std::io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let release = watch_for_break(terminal.try_clone()?, before.clone());
        let silence = Self { terminal: terminal.try_clone()?, before, _release: release };
        let mut silent = silence.before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        // What was typed before the question is no answer to it.
        tcsetattr(&silence.terminal, OptionalActions::Flush, &silent)?;
        let mut written = std::fs::File::from(silence.terminal.try_clone()?);
        writeln!(written, "{question}")?;
        Ok(silence)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
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
