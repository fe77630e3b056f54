//! A value in a tree of maps and lists, and the way to it.

use crate::{ImportError, NAME};
use zeroize::Zeroizing;

/// One step from the outside in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Of a map.
    Name(String),
    /// Of a list.
    Index(usize),
}

/// What a leaf is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// A text.
    Text,
    /// A number, a truth value, a date: what YAML and JSON write without quotes.
    Bare,
    /// Nothing.
    Null,
    /// A `!vault` value of Ansible.
    Vault,
    /// In the clear where others are encrypted.
    Clear,
}

/// A value. Without `Debug`: it may be one.
pub(crate) struct Leaf {
    pub(crate) at: Vec<Step>,
    pub(crate) sort: Sort,
    pub(crate) text: Zeroizing<Vec<u8>>,
}

impl Leaf {
    /// One whose name is not longer than names may be.
    pub(crate) fn new(at: Vec<Step>, sort: Sort, text: &[u8]) -> Result<Self, ImportError> {
        let length = |step: &Step| match step {
            Step::Name(name) => name.len() + 1,
            Step::Index(_) => 5,
        };
        if at.iter().map(length).sum::<usize>() > NAME {
            return Err(ImportError::Limit { what: "bytes in a name", most: NAME });
        }
        Ok(Self { at, sort, text: Zeroizing::new(text.to_vec()) })
    }

    /// The way to it, as texts.
    pub(crate) fn key(&self) -> Vec<String> {
        let part = |step: &Step| match step {
            Step::Name(name) => name.clone(),
            Step::Index(index) => index.to_string(),
        };
        self.at.iter().map(part).collect()
    }

    /// The way to it as one text, for people and for `--only`.
    pub(crate) fn name(&self) -> String {
        self.key().join("/")
    }

    /// Whether it is in the map of that name at the top.
    pub(crate) fn is_in(&self, top: &str) -> bool {
        matches!(self.at.first(), Some(Step::Name(name)) if name == top)
    }
}
