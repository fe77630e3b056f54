//! Regular expressions of policies: searched in time that grows with pattern times text, never exponentially.

use std::fmt;

/// Longer patterns are refused.
const LONGEST: usize = 1024;
/// What a compiled pattern may take in memory, bytes.
const COMPILED: usize = 1 << 20;

/// A regular expression (the syntax of the `regex-lite` crate: Perl's without look-around and back-references; classes are ASCII).
#[derive(Clone)]
pub struct Pattern {
    source: String,
    compiled: regex_lite::Regex,
}

/// Why a pattern is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a regular expression that can be used: {why}")]
pub struct PatternError {
    pattern: String,
    why: String,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When it is no regular expression, longer than 1,024 bytes, or larger than 1 MiB when compiled.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        let failed = |why: String| PatternError { pattern: source.chars().take(80).collect(), why };
        if source.len() > LONGEST {
            return Err(failed(format!("it has more than {LONGEST} bytes")));
        }
        let compiled = regex_lite::RegexBuilder::new(source).size_limit(COMPILED).build();
        let compiled = compiled.map_err(|error| failed(error.to_string()))?;
        Ok(Self { source: source.to_owned(), compiled })
    }

    /// As it is written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// True if it matches somewhere in that text.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// The compiled expression.
    #[must_use]
    pub const fn expression(&self) -> &regex_lite::Regex {
        &self.compiled
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Pattern({:?})", self.source)
    }
}
