//! The state folder: what this machine remembers between two runs. No value of a secret ever stands in it.

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vigo_host::{Folder, FolderError};

/// The format of the folder's content that this build reads and writes.
const FORMAT: &str = "1\n";

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file of it cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A later version of Vigo wrote it.
    #[error("cannot use state folder `{path}`: it was written by a later version of Vigo; upgrade this one")]
    Format {
        /// Which folder.
        path: PathBuf,
    },
    /// Another run has it.
    #[error("cannot run: another run holds `{path}`; try again later, or wait for it with --wait 5m")]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// There is no home for it.
    #[error(
        "cannot choose a state folder: neither XDG_STATE_HOME nor HOME is set; name one with --state-dir"
    )]
    NoHome,
}

/// The state folder with its parts.
#[derive(Debug)]
pub struct State {
    /// Keys and who this envoy is.
    pub identity: Folder,
    /// The assignment held and its bundle.
    pub bundle: Folder,
    /// Reports that wait for the server.
    pub queue: Folder,
    /// Notifications owed.
    pub owed: Folder,
    /// Everything else: ledger, what was applied, the last run.
    pub root: Folder,
}

/// One run at a time: held while this lives.
#[derive(Debug)]
pub struct RunLock {
    _file: OwnedFd,
}

impl State {
    /// Opens the folder, making what is missing.
    ///
    /// # Errors
    /// When it cannot be made or opened, is not private, or is of a later format.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        Self::of(Folder::open(path)?, Folder::open)
    }

    /// Opens the folder of another user's agent: nothing in it is made or changed.
    ///
    /// # Errors
    /// When it is not there or not private to that user, or is of a later format.
    pub fn look(path: &Path) -> Result<Self, StateError> {
        Self::of(Folder::look(path)?, Folder::look)
    }

    /// True if this is root, and the folder is another user's.
    #[must_use]
    pub fn is_anothers(path: &Path) -> bool {
        let owner = std::fs::symlink_metadata(path).map(|meta| meta.uid());
        rustix::process::geteuid().is_root() && owner.is_ok_and(|owner| owner != 0)
    }

    fn of(root: Folder, open: impl Fn(&Path) -> Result<Folder, FolderError>) -> Result<Self, StateError> {
        let path = root.path().to_owned();
        match root.read("format", 64)? {
            None => root.write("format", FORMAT.as_bytes())?,
            Some(bytes) if bytes == FORMAT.as_bytes() => {}
            Some(_) => return Err(StateError::Format { path }),
        }
        Ok(Self {
            identity: open(&path.join("identity"))?,
            bundle: open(&path.join("bundle"))?,
            queue: open(&path.join("queue"))?,
            owed: open(&path.join("owed"))?,
            root,
        })
    }

    /// The folder used when none is named: the system's for root, else the user's (XDG Base Directory Specification).
    ///
    /// # Errors
    /// When the environment names no home.
    pub fn default_path() -> Result<PathBuf, StateError> {
        if rustix::process::geteuid().is_root() {
            return Ok(PathBuf::from("/var/lib/vigo"));
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        set("XDG_STATE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".local/state")))
            .map(|state| state.join("vigo"))
            .ok_or(StateError::NoHome)
    }

    /// Where intents are kept; the hand and the host write them.
    #[must_use]
    pub fn intents(&self) -> PathBuf {
        self.root.path().join("intents")
    }

    /// Takes the lock that lets only one run at a time change this machine, waiting up to `wait`.
    ///
    /// # Errors
    /// When another run holds it for longer than that.
    pub fn lock(&self, wait: Duration) -> Result<RunLock, StateError> {
        let path = self.root.path().join("lock");
        // flock(2) asks for no right to write.
        let made = if self.root.is_only_to_look() { OFlags::RDONLY } else { OFlags::RDWR | OFlags::CREATE };
        let flags = made | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| FolderError::Call { verb: "open", path: path.clone(), source: errno.into() })?;
        let started = Instant::now();
        loop {
            // flock(2): it goes with the descriptor, so a killed run leaves no lock behind.
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(RunLock { _file: file }),
                Err(Errno::WOULDBLOCK) if started.elapsed() < wait => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                Err(Errno::WOULDBLOCK) => return Err(StateError::Busy { path }),
                Err(errno) => {
                    return Err(FolderError::Call { verb: "lock", path, source: errno.into() }.into());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_run_at_a_time_and_a_later_format_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state");
        let state = State::open(&path).unwrap();
        let held = state.lock(Duration::ZERO).unwrap();
        assert!(matches!(state.lock(Duration::ZERO), Err(StateError::Busy { .. })));
        drop(held);
        state.lock(Duration::ZERO).unwrap();
        state.root.write("format", b"2\n").unwrap();
        assert!(matches!(State::open(&path), Err(StateError::Format { .. })));
    }
}
