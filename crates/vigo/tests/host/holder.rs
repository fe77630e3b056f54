//! An ordinary process that has a value in its ordinary heap: what every control finds.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

/// Ended when dropped.
pub struct Holder(Child);

impl Holder {
    /// A shell that read the line into a variable, started by these words (none: as it is), and waits.
    pub fn of(started_by: &[String], line: &[u8]) -> Self {
        let script = "IFS= read -r held; echo ready; read -r end";
        let mut words = started_by.to_vec();
        words.extend(["sh", "-c", script].map(str::to_owned));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.as_mut().unwrap();
        input.write_all(line).unwrap();
        input.write_all(b"\n").unwrap();
        let mut answer = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
        assert_eq!(answer, "ready\n");
        Self(child)
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it has ended by itself or by a signal.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        self.0.wait().unwrap()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}
