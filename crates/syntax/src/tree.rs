//! The files of a policy, in memory: what `config publish` sends, what a server stores, what a check reads.
//!
//! Who fills it from a disk or a request decides which files belong to it.

use std::collections::BTreeMap;
use vigo_base::{Blame, Digest, Span, limits};

/// The files of a policy by their path, with `/` between folders.
///
/// [`Span::file`] counts them in the order of their paths. Adding a file renumbers the others, so a tree is filled first and read afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    files: BTreeMap<String, Vec<u8>>,
    size: usize,
}

/// One file of a [`Tree`].
#[derive(Clone, Copy, Debug)]
pub struct TreeFile<'a> {
    /// Its number in spans.
    pub number: u32,
    /// Its path below the stacks folder.
    pub path: &'a str,
    /// What stands in it.
    pub bytes: &'a [u8],
}

/// Why a file cannot be part of a tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The path leads elsewhere or is no path.
    #[error(
        "cannot take `{0}` into the tree: a path there is relative, without `.` and `..`, and 1024 bytes at most"
    )]
    Path(String),
    /// Too many files.
    #[error("cannot take `{0}` into the tree: it has {max} files already", max = limits::TREE_FILES)]
    Files(String),
    /// Too much text.
    #[error("cannot take `{0}` into the tree: all files together may have {max} bytes", max = limits::TREE)]
    Size(String),
}

impl TreeError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        Blame::Author
    }
}

impl Tree {
    /// The digest's context: it makes this digest differ from any other kind.
    const CONTEXT: &'static [u8] = b"vigo tree v1\0";

    /// Adds a file, or replaces the one of that path.
    ///
    /// # Errors
    /// When the path is no relative path, or the tree would be larger than its limits.
    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Result<(), TreeError> {
        let (path, content) = (path.into(), content.into());
        let plain = |part: &str| {
            !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control)
        };
        if path.len() > 1024 || !path.split('/').all(plain) {
            return Err(TreeError::Path(path.chars().take(200).collect()));
        }
        let before = self.files.get(&path).map_or(0, Vec::len);
        let size = self.size - before + content.len();
        if size > limits::TREE {
            return Err(TreeError::Size(path));
        }
        if self.files.len() >= limits::TREE_FILES && !self.files.contains_key(&path) {
            return Err(TreeError::Files(path));
        }
        self.size = size;
        self.files.insert(path, content);
        Ok(())
    }

    /// Every file, in the order of paths.
    pub fn files(&self) -> impl Iterator<Item = TreeFile<'_>> {
        (0..).zip(&self.files).map(|(number, (path, bytes))| TreeFile { number, path, bytes })
    }

    /// The bytes of the file of that path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// How many files there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// True if there is no file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Paths and texts by number, for those who look up many spans.
    #[must_use]
    pub fn by_number(&self) -> Vec<TreeFile<'_>> {
        self.files().collect()
    }

    /// The digest over all paths and contents: equal for equal trees and nothing else.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::with_capacity(self.size + 64 * self.files.len());
        bytes.extend_from_slice(Self::CONTEXT);
        for (path, content) in &self.files {
            for part in [path.as_bytes(), content.as_slice()] {
                bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
                bytes.extend_from_slice(part);
            }
        }
        Digest::of(&bytes)
    }

    /// The source text of `span`, where it is UTF-8.
    #[must_use]
    pub fn slice(&self, span: Span) -> Option<&str> {
        let (_, bytes) = self.files.iter().nth(usize::try_from(span.file).ok()?)?;
        let range = usize::try_from(span.start).ok()?..usize::try_from(span.end).ok()?;
        std::str::from_utf8(bytes.get(range)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_stacks_are_taken() {
        let mut tree = Tree::default();
        for wrong in ["", "/etc/passwd", "a//b", "../a", "a/./b", "a/..", "a\nb", &"a".repeat(1025)] {
            assert!(matches!(tree.insert(wrong, ""), Err(TreeError::Path(_))), "{wrong}");
        }
        tree.insert("a/b.vgo", "x").unwrap();
        assert_eq!(tree.get("a/b.vgo"), Some(b"x".as_slice()));
    }

    #[test]
    fn a_tree_has_a_limit_and_replacing_a_file_does_not_count_twice() {
        let mut tree = Tree::default();
        for _ in 0..3 {
            tree.insert("a", vec![b'x'; limits::TREE]).unwrap();
        }
        assert_eq!(tree.insert("b", "x"), Err(TreeError::Size("b".into())));
    }

    #[test]
    fn the_digest_tells_where_one_part_ends_and_the_next_begins() {
        let tree = |path: &str, content: &str| {
            let mut tree = Tree::default();
            tree.insert(path, content).unwrap();
            tree
        };
        assert_ne!(tree("a", "bc").digest(), tree("ab", "c").digest());
        assert_eq!(tree("a", "bc").digest(), tree("a", "bc").digest());
    }
}
