//! One value of a JSON, YAML or TOML file: the other bytes stay, comments, order and indentation with them.
//!
//! Each format finds the place and rewrites only that. Whatever a format does, what it made is read again: it must hold what was there with just
//! that value changed, or the edit is refused. So a way of writing that is not foreseen here costs an error and never somebody's file.

mod json;
mod key;
#[cfg(test)]
mod tests;
mod toml;
mod tree;
mod yaml;

pub use key::{Key, KeyError};
pub use tree::escape as escape_json;

use crate::arguments::{Arguments, NotAnEdit};
use crate::{EditError, Operand, Part};
use key::Step;
use tree::Tree;

/// Values are nested no deeper.
const DEPTH: usize = 64;

/// What a value takes in memory: itself as it is there, as it is to be, and as it is read again, and its place.
const BYTES_PER_VALUE: usize = 1024;

/// Bytes of memory for the values of a text of that many bytes: each takes two of them at least.
pub(crate) fn room(bytes: usize) -> usize {
    (bytes / 2 + 1).min(tree::VALUES).saturating_mul(BYTES_PER_VALUE)
}

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 8259, without comments.
    Json,
    /// One document of YAML 1.2.
    Yaml,
    /// TOML 1.0.
    Toml,
}

impl Format {
    /// Its name, as people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Yaml => "YAML",
            Self::Toml => "TOML",
        }
    }

    fn read(self, text: &str) -> Result<Tree, EditError> {
        match self {
            Self::Json => json::read(text),
            Self::Yaml => yaml::read(text),
            Self::Toml => toml::read(text),
        }
    }
}

/// One value of a structured file. The operand is the value in JSON; the value of a secret stands inside of a JSON string and is escaped there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueEdit {
    /// How the file is written.
    pub format: Format,
    /// Where the value is.
    pub key: Key,
    /// It is not to be there.
    pub absent: bool,
}

impl ValueEdit {
    pub(crate) const KIND: &'static str = "value";

    pub(crate) fn apply(&self, there: &str, operand: &Operand<'_>) -> Result<String, EditError> {
        let wanted = if self.absent { None } else { Some(json::read(&escaped(operand))?) };
        let before = self.format.read(there)?;
        let after = before.with(self.key.steps(), wanted.as_ref())?;
        if after == before {
            return Ok(there.to_owned());
        }
        let steps = self.key.steps();
        let edited = match self.format {
            Format::Json => json::edit(there, steps, wanted.as_ref()),
            Format::Yaml => yaml::edit(there, steps, wanted.as_ref()),
            Format::Toml => toml::edit(there, steps, wanted.as_ref()),
        }?;
        match self.format.read(&edited) {
            Ok(found) if found == after => Ok(edited),
            _ => Err(EditError::Unforeseen { format: self.format.name() }),
        }
    }

    pub(crate) fn to_arguments(&self) -> Arguments {
        let mut arguments = Arguments::default();
        arguments.text("format", self.format.name());
        arguments.text("key", self.key.source());
        arguments.flag("absent", self.absent);
        arguments
    }

    pub(crate) fn from_arguments(arguments: &mut Arguments) -> Result<Self, NotAnEdit> {
        let format = match arguments.require("format")?.as_str() {
            "JSON" => Format::Json,
            "YAML" => Format::Yaml,
            "TOML" => Format::Toml,
            _ => return Err(NotAnEdit),
        };
        let key = Key::new(&arguments.require("key")?).map_err(|_| NotAnEdit)?;
        Ok(Self { format, key, absent: arguments.take_flag("absent")? })
    }
}

/// The operand as JSON: what is a value is escaped, as it stands inside of a string.
fn escaped(operand: &Operand<'_>) -> String {
    let mut text = String::new();
    for part in operand.parts() {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Value(value) => tree::escape(value, &mut text),
        }
    }
    text
}

/// The steps up to and with this one, as the policy writes them.
fn place(steps: &[Step], number: usize) -> String {
    let parts: Vec<String> = steps.iter().take(number + 1).map(Step::to_string).collect();
    parts.join(".")
}
