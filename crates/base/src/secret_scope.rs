//! Which secrets a rule is about: one, all below a path, or all.

use crate::secret_path::SecretPath;
use std::fmt;
use std::str::FromStr;

/// One secret (`web/token`), every secret below a path (`web/`, which is not `web` itself nor `webb/token`), or every secret (`/`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretScope(String);

/// Why a text is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no secrets: write the path of one (`web/token`), of all below it (`web/`), or `/` for all"
)]
pub struct SecretScopeError(String);

impl SecretScope {
    /// The scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if it is about that secret.
    #[must_use]
    pub fn covers(&self, path: &SecretPath) -> bool {
        self.covers_text(path.as_str())
    }

    /// True if every secret of `other` is one of this.
    #[must_use]
    pub fn covers_all_of(&self, other: &Self) -> bool {
        self == other || self.covers_text(&other.0)
    }

    fn covers_text(&self, path: &str) -> bool {
        match self.0.as_str() {
            "/" => true,
            below if below.ends_with('/') => path.starts_with(below),
            one => path == one,
        }
    }
}

impl FromStr for SecretScope {
    type Err = SecretScopeError;
    fn from_str(text: &str) -> Result<Self, SecretScopeError> {
        let path = text.strip_suffix('/').unwrap_or(text);
        if text == "/" || path.parse::<SecretPath>().is_ok() {
            return Ok(Self(text.into()));
        }
        Err(SecretScopeError(text.chars().take(crate::limits::SECRET_PATH).collect()))
    }
}

impl fmt::Display for SecretScope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(scope: &str, path: &str) -> bool {
        scope.parse::<SecretScope>().unwrap().covers(&path.parse().unwrap())
    }

    #[test]
    fn a_scope_is_one_secret_or_all_below_a_path_or_all() {
        assert!(covers("web/token", "web/token") && !covers("web/token", "web/token2"));
        assert!(!covers("web/token", "web/token/a"));
        assert!(covers("web/", "web/token") && covers("web/", "web/a/b"));
        assert!(!covers("web/", "web") && !covers("web/", "webb/a") && !covers("web/", "a/web/b"));
        assert!(covers("/", "web") && covers("/", "a/b/c"));
    }

    #[test]
    fn a_wider_scope_covers_a_narrower_one() {
        let all_of = |one: &str, other: &str| {
            one.parse::<SecretScope>().unwrap().covers_all_of(&other.parse().unwrap())
        };
        assert!(
            all_of("/", "web/") && all_of("web/", "web/a/") && all_of("web/", "web/a") && all_of("a", "a")
        );
        assert!(!all_of("web/a/", "web/") && !all_of("web/", "/") && !all_of("web/a", "web/a/"));
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        for wrong in ["", "//", "/web", "web//", "../", "we b/", "ä/"] {
            assert!(wrong.parse::<SecretScope>().is_err(), "{wrong}");
        }
    }
}
