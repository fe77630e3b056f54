//! Where collectors read: the machine's files, below a root that tests replace, with a limit on bytes and time.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vigo_base::Blame;

/// What one collector may read, all files together.
const BYTES: u64 = 8 << 20;
/// How long one collector may take.
const TIME: Duration = Duration::from_secs(5);
/// Entries of a directory that are looked at.
const ENTRIES: usize = 4096;

/// Why a collector failed.
#[derive(Debug, thiserror::Error)]
pub enum TraitError {
    /// A file that every machine has cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file does not say what it always says.
    #[error("cannot find out `{what}` from `{path}`")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: &'static str,
    },
}

impl TraitError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        Blame::Machine
    }
}

/// The machine's files.
#[derive(Debug)]
pub struct Source {
    root: PathBuf,
    deadline: Instant,
    left: Cell<u64>,
}

impl Default for Source {
    fn default() -> Self {
        Self::machine()
    }
}

impl Source {
    /// This machine's own files.
    #[must_use]
    pub fn machine() -> Self {
        Self::below(Path::new("/"))
    }

    /// The files below `root`, which is laid out like a machine.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), deadline: Instant::now() + TIME, left: Cell::new(BYTES) }
    }

    /// The same files with nothing spent yet.
    pub(crate) fn with_fresh_budget(&self) -> Self {
        Self::below(&self.root)
    }

    /// Where `path`, which is absolute, really is.
    pub(crate) fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The text of a file, at most `limit` bytes of it; what is no UTF-8 is replaced.
    pub(crate) fn read_up_to(&self, path: &str, limit: u64) -> io::Result<String> {
        if Instant::now() > self.deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the collector has used up its 5 seconds"));
        }
        let mut bytes = Vec::new();
        let allowed = limit.min(self.left.get());
        File::open(self.place(path))?.take(allowed).read_to_end(&mut bytes)?;
        self.left.set(self.left.get().saturating_sub(bytes.len() as u64));
        if self.left.get() == 0 {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the collector has read its 8 MiB"));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The text of a file that every machine has.
    pub(crate) fn require(&self, path: &str) -> Result<String, TraitError> {
        self.read_up_to(path, BYTES).map_err(|source| TraitError::Read { path: path.into(), source })
    }

    /// The text of a file that may be missing or unreadable; running out of budget is an error even so.
    pub(crate) fn optional(&self, path: &str) -> Result<Option<String>, TraitError> {
        match self.read_up_to(path, BYTES) {
            Ok(text) => Ok(Some(text)),
            Err(source) if matches!(source.kind(), io::ErrorKind::TimedOut | io::ErrorKind::FileTooLarge) => {
                Err(TraitError::Read { path: path.into(), source })
            }
            Err(_) => Ok(None),
        }
    }

    /// The first line of a small file, without white space around it; `None` when it is empty or missing.
    pub(crate) fn line(&self, path: &str) -> Option<String> {
        let text = self.read_up_to(path, 4096).ok()?;
        let line = text.lines().next().unwrap_or_default().trim();
        (!line.is_empty()).then(|| line.to_owned())
    }

    /// The names in a directory, sorted.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.place(path)) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .take(ENTRIES)
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names
    }

    /// True if something is there.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.place(path).symlink_metadata().is_ok()
    }

    /// Where a symbolic link points, as written.
    pub(crate) fn link(&self, path: &str) -> Option<String> {
        std::fs::read_link(self.place(path)).ok()?.into_os_string().into_string().ok()
    }
}
