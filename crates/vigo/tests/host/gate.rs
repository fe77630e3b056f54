//! A point at which a run stands still until the test lets it go on: a named pipe that a command of the policy reads.

use super::{PATIENCE, pause, wait};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Instant;

pub struct Gate(PathBuf);

impl Gate {
    pub fn new(path: PathBuf) -> Self {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Waits until a command stands at the gate; it stands there as long as what this gives is not dropped.
    pub fn reached(&self, run: &mut Running) -> File {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(file) = self.open() {
                return file;
            }
            if let Some(status) = run.child.try_wait().unwrap() {
                panic!("it ended with {status} before {}:\n{}", self.0.display(), run.said());
            }
            assert!(Instant::now() < deadline, "{} was not reached:\n{}", self.0.display(), run.said());
            pause();
        }
    }

    /// Lets it go, and waits until it is gone.
    pub fn pass(&self, held: File) {
        drop(held);
        wait("a command leaves its gate", || self.open().is_none().then_some(()));
    }

    /// fifo(7): without a reader this is ENXIO.
    fn open(&self) -> Option<File> {
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
        fs::OpenOptions::new().write(true).custom_flags(flags).open(&self.0).ok()
    }
}

/// A program that runs, and what it says; it is ended with the test, however that ends.
pub struct Running {
    pub child: Child,
    pub log: PathBuf,
}

impl Running {
    /// Starts it, writing to a file: a pipe that nobody reads could hold it.
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let file = File::create(&log).unwrap();
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { child, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        wait("the program ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
