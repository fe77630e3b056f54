//! An edit in words, as it crosses a pipe.

use crate::Pattern;

/// The arguments of an edit by name, each once, in the order of its own form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments(Vec<(String, String)>);

/// What came is no edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what came is not an edit of this version")]
pub struct NotAnEdit;

impl Arguments {
    /// Of these names and values.
    #[must_use]
    pub const fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The names and values.
    #[must_use]
    pub fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// Adds a text.
    pub(crate) fn text(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Adds a pattern, if there is one.
    pub(crate) fn pattern(&mut self, name: &str, pattern: Option<&Pattern>) {
        if let Some(pattern) = pattern {
            self.text(name, pattern.source());
        }
    }

    /// Adds a yes; a no is left out.
    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.text(name, "true");
        }
    }

    /// Takes a text, if it is there.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(written, _)| written == name)?;
        Some(self.0.remove(place).1)
    }

    /// Takes a text that has to be there.
    pub(crate) fn require(&mut self, name: &str) -> Result<String, NotAnEdit> {
        self.take(name).ok_or(NotAnEdit)
    }

    pub(crate) fn take_pattern(&mut self, name: &str) -> Result<Option<Pattern>, NotAnEdit> {
        self.take(name).map(|source| Pattern::new(&source)).transpose().map_err(|_| NotAnEdit)
    }

    pub(crate) fn take_flag(&mut self, name: &str) -> Result<bool, NotAnEdit> {
        match self.take(name).as_deref() {
            None => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(NotAnEdit),
        }
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), NotAnEdit> {
        if self.0.is_empty() { Ok(()) } else { Err(NotAnEdit) }
    }
}
