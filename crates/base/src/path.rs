//! Absolute paths as a policy writes them, in one spelling each.

use crate::limits;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// An absolute path without `.`, `..`, doubled or trailing slashes, so that two spellings of one path compare equal.
/// It says nothing of what is there: symbolic links are not resolved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsolutePath(String);

/// Why a text is no absolute path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Does not start with `/`.
    #[error("`{0}` is not absolute: a path starts with `/`")]
    Relative(String),
    /// Has `..`, which means different things before and after symbolic links are followed.
    #[error("`{0}` has `..`: write the path it means")]
    Parent(String),
    /// Holds a NUL byte.
    #[error("the path holds a NUL byte")]
    Nul,
    /// Longer than the kernel takes.
    #[error("the path is longer than {} bytes", limits::PATH)]
    Long,
}

impl AbsolutePath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path for the standard library.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The folder this path stands in; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        match self.0.rsplit_once('/') {
            _ if self.0 == "/" => None,
            Some(("", _)) => Some(Self("/".into())),
            Some((parent, _)) => Some(Self(parent.into())),
            None => None,
        }
    }

    /// The last part of the path; empty for the root.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// True if this path is `other` or stands somewhere below it.
    #[must_use]
    pub fn is_at_or_below(&self, other: &Self) -> bool {
        other.0 == "/"
            || self.0.strip_prefix(&other.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for AbsolutePath {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.len() > limits::PATH {
            return Err(PathError::Long);
        }
        if text.contains('\0') {
            return Err(PathError::Nul);
        }
        if !text.starts_with('/') {
            return Err(PathError::Relative(text.into()));
        }
        let mut path = String::with_capacity(text.len());
        for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
            if part == ".." {
                return Err(PathError::Parent(text.into()));
            }
            path.push('/');
            path.push_str(part);
        }
        Ok(Self(if path.is_empty() { "/".into() } else { path }))
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsolutePath {
        text.parse().unwrap()
    }

    #[test]
    fn spellings_of_one_path_are_one_path() {
        for text in ["/etc/motd", "//etc///motd", "/etc/./motd/", "/./etc/motd/."] {
            assert_eq!(path(text).as_str(), "/etc/motd");
        }
        assert_eq!(path("///").as_str(), "/");
    }

    #[test]
    fn what_is_no_path_says_why() {
        assert!(matches!("etc".parse::<AbsolutePath>(), Err(PathError::Relative(_))));
        assert!(matches!("/a/../b".parse::<AbsolutePath>(), Err(PathError::Parent(_))));
        assert_eq!("/a\0".parse::<AbsolutePath>(), Err(PathError::Nul));
        assert_eq!("/a".repeat(3000).parse::<AbsolutePath>(), Err(PathError::Long));
    }

    #[test]
    fn parents_and_below() {
        assert_eq!(path("/a/b").parent(), Some(path("/a")));
        assert_eq!(path("/a").parent(), Some(path("/")));
        assert_eq!(path("/").parent(), None);
        assert!(path("/a/b").is_at_or_below(&path("/a")));
        assert!(path("/a").is_at_or_below(&path("/a")));
        assert!(!path("/ab").is_at_or_below(&path("/a")));
        assert!(path("/ab").is_at_or_below(&path("/")));
    }
}
