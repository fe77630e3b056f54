//! The memory of processes, with a process that holds the control.
#![allow(clippy::disallowed_types, reason = "tests start ordinary processes")]

use super::{Blind, Canary, Kind, Scanned, Scanner, Sink};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

/// A shell that read a canary from its input into a variable; it ends with this.
pub struct Holder(Child);

impl Holder {
    /// Starts it; when this returns it holds the canary, which must not have a line break.
    ///
    /// # Errors
    /// If no shell can be started.
    pub fn of(canary: &Canary) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", "IFS= read -r held; echo ready; read -r end"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(&[canary.plain().as_slice(), b"\n"].concat())?;
        let output = child.stdout.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        BufReader::new(output).read_line(&mut String::new())?;
        Ok(Self(child))
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Scanner {
    /// Scans all memory of these processes that can be read. Plants its control in a process of its own, which is scanned with them.
    ///
    /// # Errors
    /// As [`Scanner::scan`], or if the control cannot be planted.
    pub fn memory(&self, processes: &[u32]) -> Result<Scanned, Blind> {
        let source = format!("processes {processes:?}");
        let failed = |cause| Blind::Unreadable { sink: Sink::Memory, source: source.clone(), cause };
        let control = Canary::fresh(Kind::Plain).map_err(failed)?;
        let holder = Holder::of(&control).map_err(failed)?;
        self.processes(&[processes, &[holder.id()]].concat(), &control)
    }
}
