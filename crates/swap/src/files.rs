//! What is read of a machine's files.

/// The files of a machine, to look at. Whoever implements it remembers what went wrong: here a file that cannot be read is one that is not there.
pub trait Files {
    /// The text of a file of at most a few MiB.
    fn text(&self, path: &str) -> Option<String>;

    /// The names in a folder, sorted; empty when there is none.
    fn names(&self, path: &str) -> Vec<String>;

    /// Where a symbolic link points, as written.
    fn link(&self, path: &str) -> Option<String>;

    /// True if something is there.
    fn exists(&self, path: &str) -> bool;

    /// The first line of a small file, without white space around it; `None` when it is empty or missing.
    fn line(&self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        let line = text.lines().next().unwrap_or_default().trim();
        (!line.is_empty()).then(|| line.to_owned())
    }
}
