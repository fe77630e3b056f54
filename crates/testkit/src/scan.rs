//! Looks for canaries in everything a run can leave behind. No scan has a result unless it found, in the very thing that was scanned, a canary of
//! its own that was planted there: a scan that saw nothing proves nothing.
//!
//! What a hit means is decided by the test: the target that the policy names is the one place where a value may stand.

mod canary;
mod files;
mod forms;
mod holder;
mod needles;
mod sink;
mod watch;

pub use canary::{Canary, Kind};
pub use files::changed_below;
pub use holder::Holder;
pub use needles::{Found, Needles, OVERLAP, SHORTEST};
pub use sink::Sink;
pub use watch::{Eyes, Sighting, Watched, Watcher, watch_from_stdin};

use crate::memory;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

const BLOCK: usize = 1 << 20;
/// The largest text in which three bytes are looked for: in more, and in what is no text (sealed bytes), they are found by chance.
const SMALL: usize = 256 << 10;

/// Searches for some canaries, in one place after another.
pub struct Scanner {
    kinds: Vec<Kind>,
    needles: Needles,
}

/// A copy of a canary, whole or a fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct Hit {
    /// Which canary, in the order in which they were given.
    pub canary: usize,
    /// What that one is made of.
    pub kind: Kind,
    /// In which form.
    pub form: &'static str,
    /// Where: a file, a process and its mapping.
    pub place: String,
    /// Where in that it begins.
    pub offset: u64,
    /// How many bytes of the form.
    pub length: usize,
}

impl fmt::Debug for Hit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { canary, kind, form, place, offset, length } = self;
        write!(out, "canary {canary} ({}) as {form}, {length} bytes at {offset} of {place}", kind.name())
    }
}

/// What a scan found that saw its control.
#[derive(Clone, Debug, Default)]
#[must_use = "a scan that nobody looks at proves nothing"]
pub struct Scanned {
    /// The copies.
    pub hits: Vec<Hit>,
    /// Bytes that were read.
    pub read: u64,
    /// What could not be read at all: pages of memfd_secret(2), say.
    pub unreadable: Vec<String>,
}

impl Scanned {
    /// Panics if something was found.
    ///
    /// # Panics
    /// That is what it is for.
    #[track_caller]
    #[allow(clippy::panic, reason = "an assertion of tests")]
    pub fn expect_nothing(&self, what: &str) {
        assert!(self.hits.is_empty(), "{what}: {:#?}", self.hits);
    }

    /// Adds what another scan found.
    pub fn add(&mut self, other: Self) {
        self.hits.extend(other.hits);
        self.read += other.read;
        self.unreadable.extend(other.unreadable);
    }
}

/// Why a scan has no result.
#[derive(Debug)]
pub enum Blind {
    /// The planted canary was not found: who does not see that one would see no other.
    ControlNotFound {
        /// What was scanned.
        sink: Sink,
        /// Which of its kind.
        source: String,
        /// How much of it was read.
        read: u64,
    },
    /// It could not be read.
    Unreadable {
        /// What was scanned.
        sink: Sink,
        /// Which of its kind.
        source: String,
        /// Why not.
        cause: io::Error,
    },
}

impl fmt::Display for Blind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlNotFound { sink, source, read } => {
                write!(
                    out,
                    "the planted canary was not found in {sink} `{source}`, of which {read} bytes were read"
                )
            }
            Self::Unreadable { sink, source, .. } => write!(out, "cannot scan {sink} `{source}`"),
        }
    }
}

impl Error for Blind {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::ControlNotFound { .. } => None,
            Self::Unreadable { cause, .. } => Some(cause),
        }
    }
}

/// Takes what is scanned, piece by piece.
pub struct Look<'a> {
    scanner: &'a Scanner,
    control: &'a Needles,
    controls: usize,
    scanned: Scanned,
}

impl Look<'_> {
    /// Searches bytes. A piece of something larger shares [`OVERLAP`] bytes with the next; what is small and whole is searched for short ones, too.
    pub fn at(&mut self, place: &str, offset: u64, bytes: &[u8], small_and_whole: bool) {
        let find = |needles: &Needles| {
            if small_and_whole && bytes.len() <= SMALL && std::str::from_utf8(bytes).is_ok() {
                needles.find_in_text(bytes)
            } else {
                needles.find(bytes)
            }
        };
        self.controls += find(self.control).iter().filter(|found| found.whole).count();
        for found in find(&self.scanner.needles) {
            let hit = Hit {
                canary: found.canary,
                kind: self.scanner.kinds.get(found.canary).copied().unwrap_or(Kind::Plain),
                form: found.form,
                place: place.to_owned(),
                offset: offset + found.at as u64,
                length: found.length,
            };
            if !self.scanned.hits.contains(&hit) {
                self.scanned.hits.push(hit);
            }
        }
        self.scanned.read += bytes.len() as u64;
    }

    /// Searches a whole.
    pub fn bytes(&mut self, place: &str, bytes: &[u8]) {
        self.at(place, 0, bytes, true);
    }

    /// Searches all that can be read from there.
    ///
    /// # Errors
    /// If it cannot be read to its end.
    pub fn reader(&mut self, place: &str, mut from: impl io::Read) -> io::Result<()> {
        let mut block = Vec::with_capacity(BLOCK + OVERLAP);
        let mut offset = 0;
        loop {
            let kept = block.len();
            let count = from.by_ref().take((BLOCK - kept) as u64).read_to_end(&mut block)?;
            let first_and_last = offset == 0 && kept == 0 && block.len() < BLOCK;
            if count > 0 {
                self.at(place, offset, &block, first_and_last);
            }
            if block.len() < BLOCK {
                return Ok(());
            }
            offset += (BLOCK - OVERLAP) as u64;
            self.scanned.read -= OVERLAP as u64;
            block.drain(..BLOCK - OVERLAP);
        }
    }

    /// Searches a file.
    ///
    /// # Errors
    /// If it cannot be opened or read.
    pub fn file(&mut self, path: &Path) -> io::Result<()> {
        self.reader(&path.display().to_string(), File::open(path)?)
    }

    /// Searches all memory of a process that can be read, mapping by mapping; what cannot is kept in the result.
    ///
    /// # Errors
    /// If the process is gone or may not be looked at.
    pub fn process(&mut self, pid: u32) -> io::Result<()> {
        let mut unreadable = Vec::new();
        memory::each_block(pid, OVERLAP, |mapping, offset, block| match block {
            Some(block) => self.at(&format!("process {pid}: {mapping}"), offset, block, false),
            None => unreadable.push(format!("process {pid}: {mapping}")),
        })?;
        self.scanned.unreadable.extend(unreadable);
        Ok(())
    }
}

impl Scanner {
    /// Will look for these, in every form.
    #[must_use]
    pub fn of<'a>(canaries: impl IntoIterator<Item = &'a Canary>) -> Self {
        let canaries: Vec<&Canary> = canaries.into_iter().collect();
        Self { kinds: canaries.iter().map(|canary| canary.kind()).collect(), needles: Needles::of(canaries) }
    }

    /// Scans something of that kind: `read` hands over all of it. The control is a canary that was planted in it, and not one of those looked for.
    ///
    /// # Errors
    /// If the control is not found, or something cannot be read: there is no result then.
    pub fn scan(
        &self,
        sink: Sink,
        source: &str,
        control: &Canary,
        read: impl FnOnce(&mut Look<'_>) -> io::Result<()>,
    ) -> Result<Scanned, Blind> {
        let needles = Needles::of([control]);
        let mut look = Look { scanner: self, control: &needles, controls: 0, scanned: Scanned::default() };
        read(&mut look).map_err(|cause| Blind::Unreadable { sink, source: source.to_owned(), cause })?;
        let Look { controls, scanned, .. } = look;
        if controls == 0 {
            return Err(Blind::ControlNotFound { sink, source: source.to_owned(), read: scanned.read });
        }
        Ok(scanned)
    }

    /// Scans a file, a swap file or a core, in which the control stands.
    ///
    /// # Errors
    /// As [`Scanner::scan`].
    pub fn file(&self, sink: Sink, path: &Path, control: &Canary) -> Result<Scanned, Blind> {
        self.scan(sink, &path.display().to_string(), control, |look| look.file(path))
    }

    /// Scans bytes in which the control stands.
    ///
    /// # Errors
    /// As [`Scanner::scan`].
    pub fn bytes(&self, sink: Sink, source: &str, bytes: &[u8], control: &Canary) -> Result<Scanned, Blind> {
        self.scan(sink, source, control, |look| {
            look.bytes(source, bytes);
            Ok(())
        })
    }

    /// Scans the memory of processes, of which one holds the control. Those that ended meanwhile hold nothing any more.
    ///
    /// # Errors
    /// As [`Scanner::scan`].
    pub fn processes(&self, processes: &[u32], control: &Canary) -> Result<Scanned, Blind> {
        self.scan(Sink::Memory, &format!("processes {processes:?}"), control, |look| {
            for pid in processes {
                match look.process(*pid) {
                    Err(_) if !Path::new(&format!("/proc/{pid}/exe")).exists() => {}
                    other => other?,
                }
            }
            Ok(())
        })
    }
}

/// How long anything in a scan may take before it is given up.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
