//! Every decoder that meets bytes from another process, as a function over bytes, with seeds it starts from.
//!
//! The same list is used twice: the tests of this crate replay seeds and former crashes and try a few thousand changes of them; the program
//! in `fuzz/` at the top of the tree, a workspace of its own, gives it to libFuzzer (`cargo xtask fuzz`). A target that finds something
//! wrong panics. What once crashed lies in `crashes/TARGET/` and is replayed for ever.
#![forbid(unsafe_code)]

mod edit;
mod hand;
mod import;
mod language;
mod mutate;
mod secret;
mod transit;
mod wire;

pub use mutate::Mutator;

use std::path::{Path, PathBuf};

/// A decoder under trial.
pub struct Target {
    /// Its name, also of its folders.
    pub name: &'static str,
    /// Throws the bytes at it. Panics when something is wrong, and only then.
    pub run: fn(&[u8]),
    /// What to start from: well-formed inputs, made anew.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[&[Target]] = &[
    wire::TARGETS,
    hand::TARGETS,
    edit::TARGETS,
    secret::TARGETS,
    transit::TARGETS,
    import::TARGETS,
    language::TARGETS,
];

/// All of them, one after the other.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    TARGETS.iter().copied().flatten()
}

impl Target {
    /// The one of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        targets().find(|target| target.name == name)
    }

    /// Where inputs that once made it crash are kept.
    #[must_use]
    pub fn crashes(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("crashes").join(self.name)
    }
}

/// The files of a folder, in the order of their names; none if there is no such folder.
#[must_use]
pub fn files_in(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}
