//! Rendered attributes on their way into a type: each is taken once, and what nobody takes is an error.

use crate::convert::{self, CommandValue, Shell};
use crate::{AttributeInfo, TypeInfo};
use vigo_base::{AbsolutePath, Mode, Pieces, Value};

/// What is wrong with an attribute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{attribute}`: {message}")]
pub struct AttributeProblem {
    /// Which one.
    pub attribute: String,
    /// What is wrong with it.
    pub message: String,
    /// What to do; empty when there is nothing to say.
    pub help: String,
}

impl AttributeProblem {
    /// A problem without advice.
    #[must_use]
    pub fn new(attribute: &str, message: impl Into<String>) -> Self {
        Self { attribute: attribute.into(), message: message.into(), help: String::new() }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = text.into();
        self
    }
}

impl AttributeInfo {
    /// Whether a rendered value may stand in this attribute: the check that publish makes of what does not depend on traits.
    pub fn check(&self, value: &Value) -> Result<(), AttributeProblem> {
        convert::check(self, value.clone())
    }
}

/// The rendered attributes of one resource. A type takes each by its name and ends with [`Attributes::finish`].
///
/// `null` counts as not written. Every method notes its problems and goes on, so that all of them come out at once.
#[derive(Debug)]
pub struct Attributes {
    info: &'static TypeInfo,
    values: Vec<(String, Value)>,
    problems: Vec<AttributeProblem>,
}

impl Attributes {
    /// The attributes of a resource of that type.
    #[must_use]
    pub fn new(info: &'static TypeInfo, mut values: Vec<(String, Value)>) -> Self {
        values.retain(|(_, value)| *value != Value::Null);
        let problems = info.exclusive.iter().filter_map(|group| exclusive_problem(group, &values)).collect();
        Self { info, values, problems }
    }

    /// Text without a secret.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.take(name, convert::text)
    }

    /// Text, with secrets where the attribute takes them.
    pub fn pieces(&mut self, name: &'static str) -> Option<Pieces> {
        self.take(name, convert::pieces)
    }

    /// `true` or `false`; false when it is not written.
    pub fn boolean(&mut self, name: &'static str) -> bool {
        self.take(name, convert::boolean).unwrap_or_default()
    }

    /// `true` or `false`, or not written.
    pub fn optional_boolean(&mut self, name: &'static str) -> Option<bool> {
        self.take(name, convert::boolean)
    }

    /// A whole number.
    pub fn integer(&mut self, name: &'static str) -> Option<i64> {
        self.take(name, convert::integer)
    }

    /// Whole numbers.
    pub fn integers(&mut self, name: &'static str) -> Option<Vec<i64>> {
        self.take(name, convert::integers)
    }

    /// Permission bits.
    pub fn mode(&mut self, name: &'static str) -> Option<Mode> {
        self.take(name, convert::mode)
    }

    /// Permission bits that a new file does not get.
    pub fn umask(&mut self, name: &'static str) -> Option<u32> {
        self.take(name, convert::umask)
    }

    /// An absolute path.
    pub fn path(&mut self, name: &'static str) -> Option<AbsolutePath> {
        self.take(name, convert::path)
    }

    /// One of the words of the attribute's list.
    pub fn choice(&mut self, name: &'static str) -> Option<&'static str> {
        self.take(name, convert::choice)
    }

    /// Text by name, with secrets where the attribute takes them.
    pub fn environment(&mut self, name: &'static str) -> Vec<(String, Pieces)> {
        self.take(name, convert::environment).unwrap_or_default()
    }

    /// Text by the names of files, with secrets where the attribute takes them.
    pub fn credentials(&mut self, name: &'static str) -> Vec<(String, Pieces)> {
        self.take(name, convert::credentials).unwrap_or_default()
    }

    /// A command for a shell (one text) or a program with its arguments (a list).
    pub fn command(&mut self, name: &'static str) -> Option<CommandValue> {
        self.take(name, convert::command)
    }

    /// Shell commands.
    pub fn commands(&mut self, name: &'static str) -> Vec<String> {
        self.take(name, convert::commands).unwrap_or_default()
    }

    /// Any value, in JSON; slots stand inside of its strings.
    pub fn json(&mut self, name: &'static str) -> Option<Pieces> {
        self.take(name, convert::json)
    }

    /// A shell, or none.
    pub fn shell(&mut self, name: &'static str) -> Option<Shell> {
        self.take(name, convert::shell)
    }

    /// The state, or the type's default.
    pub fn state(&mut self) -> &'static str {
        let states = self.info.states;
        let default = self.info.default_state();
        let Some(value) = self.remove("state") else { return default };
        match convert::word("state", states, &value) {
            Ok(state) => state,
            Err(problem) => {
                self.problems.push(problem);
                default
            }
        }
    }

    /// True if the type has an attribute of that name.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.info.attribute(name).is_some()
    }

    /// True if that is the state that is written; it is still to be taken by [`Attributes::state`].
    #[must_use]
    pub fn has_state(&self, word: &str) -> bool {
        let written = self.values.iter().find(|(name, _)| name == "state");
        written
            .is_some_and(|(_, value)| matches!(value, Value::Text(text) if text.as_literal() == Some(word)))
    }

    /// True if it is written and was not taken yet.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(written, _)| written == name)
    }

    /// Notes a problem that only the type can see.
    pub fn problem(&mut self, problem: AttributeProblem) {
        self.problems.push(problem);
    }

    /// The resource, if nothing is wrong and nothing is left over.
    pub fn finish<R>(mut self, resource: Option<R>) -> Result<R, Vec<AttributeProblem>> {
        let left = std::mem::take(&mut self.values);
        self.problems.extend(left.iter().map(|(name, _)| self.info.unknown_attribute(name)));
        match resource {
            Some(resource) if self.problems.is_empty() => Ok(resource),
            _ => Err(self.problems),
        }
    }

    fn take<T>(
        &mut self,
        name: &'static str,
        convert: fn(&AttributeInfo, Value) -> Result<T, AttributeProblem>,
    ) -> Option<T> {
        let value = self.remove(name);
        let Some(info) = self.info.attribute(name) else {
            self.problems.push(self.info.unknown_attribute(name));
            return None;
        };
        let converted = match value {
            Some(value) => convert::refuse_secrets(info, &value).and_then(|()| convert(info, value)),
            None if info.required => Err(missing(self.info, info)),
            None => return None,
        };
        converted.map_err(|problem| self.problems.push(problem)).ok()
    }

    fn remove(&mut self, name: &str) -> Option<Value> {
        let place = self.values.iter().position(|(written, _)| written == name)?;
        Some(self.values.swap_remove(place).1)
    }
}

fn missing(info: &TypeInfo, attribute: &AttributeInfo) -> AttributeProblem {
    AttributeProblem::new(attribute.name, format!("`{}` needs this attribute", info.name))
        .help(format!("write {}", attribute.kind.describe()))
}

fn exclusive_problem(group: &[&'static str], values: &[(String, Value)]) -> Option<AttributeProblem> {
    let written: Vec<&str> =
        group.iter().copied().filter(|name| values.iter().any(|(written, _)| written == name)).collect();
    match written.as_slice() {
        [first, second, ..] => Some(
            AttributeProblem::new(second, format!("cannot stand beside `{first}`"))
                .help(format!("write one of {}", group.join(", "))),
        ),
        _ => None,
    }
}
