//! Where a value is: names and numbers with dots between, as TOML writes dotted keys.

use std::fmt;

/// A key has no more parts.
const PARTS: usize = super::DEPTH / 2;
/// And no more bytes.
const LONGEST: usize = 1024;

/// The place of a value: `server.tls.port`, `users.0.name`, `"a.b".c`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    source: String,
    steps: Vec<Step>,
}

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The name, without quotes.
    pub(super) name: String,
    quoted: bool,
}

/// What is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(&'static str);

impl Key {
    /// Reads a key.
    ///
    /// # Errors
    /// When a part is empty without quotes, a quote does not end, or it is too long.
    pub fn new(source: &str) -> Result<Self, KeyError> {
        if source.len() > LONGEST {
            return Err(KeyError("has more than 1024 bytes"));
        }
        let mut steps = Vec::new();
        let mut rest = source;
        loop {
            let (step, after) = match rest.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    let inside = rest.get(1..).unwrap_or_default();
                    let (name, after) =
                        inside.split_once(quote).ok_or(KeyError("has a quote that does not end"))?;
                    (Step { name: name.to_owned(), quoted: true }, after)
                }
                _ => {
                    let end = rest.find('.').unwrap_or(rest.len());
                    let (name, after) = rest.split_at(end);
                    if name.is_empty() {
                        return Err(KeyError("has an empty part"));
                    }
                    if name.contains(['"', '\'', '[', ']']) || name.chars().any(char::is_whitespace) {
                        return Err(KeyError("has a part that needs quotes: write `a.\"b c\".d`"));
                    }
                    (Step { name: name.to_owned(), quoted: false }, after)
                }
            };
            steps.push(step);
            if steps.len() > PARTS {
                return Err(KeyError("has more than 32 parts"));
            }
            match after.strip_prefix('.') {
                Some(next) => rest = next,
                None if after.is_empty() => return Ok(Self { source: source.to_owned(), steps }),
                None => return Err(KeyError("has something other than a dot behind a quote")),
            }
        }
    }

    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl Step {
    /// The number of an element, if it can be one.
    pub(super) fn index(&self) -> Option<usize> {
        let digits =
            !self.quoted && !self.name.is_empty() && self.name.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| self.name.parse().ok()).flatten()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.quoted { write!(out, "\"{}\"", self.name) } else { out.write_str(&self.name) }
    }
}
