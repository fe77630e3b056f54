//! What a resource type says of itself, as plain static data: from here come the schema, the manual, `vigo explain`, completion and the checks at publish.

use crate::AttributeProblem;
use std::time::Duration;

/// A resource type.
#[derive(Debug)]
pub struct TypeInfo {
    /// The word after `type:`.
    pub name: &'static str,
    /// One line on what it is for.
    pub doc: &'static str,
    /// Its attributes in the order of the manual. Keys that every resource has are not among them, except `state`.
    pub attributes: &'static [AttributeInfo],
    /// The values of `state`, the default first; empty when the type has no state.
    pub states: &'static [&'static str],
    /// Attributes that the manual of a later version has: who writes one is told so, and nothing is read over.
    pub later: &'static [&'static str],
    /// Attributes of which at most one may be written.
    pub exclusive: &'static [&'static [&'static str]],
    /// What other resources may silently depend on.
    pub provides: Provides,
    /// How long one of its commands may take when the policy does not say.
    pub timeout: Duration,
    /// Examples for the manual.
    pub examples: &'static [Example],
}

/// An attribute of a type.
#[derive(Debug)]
pub struct AttributeInfo {
    /// The key in the policy.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// It has to be written.
    pub required: bool,
    /// It is (part of) what tells one resource of the type from another.
    pub identity: bool,
    /// What holds when it is not written, as text for the manual; empty for nothing.
    pub default: &'static str,
    /// What becomes of a secret in it.
    pub secrets: SecretRule,
    /// One line for the manual.
    pub doc: &'static str,
}

/// What the value of an attribute may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text; numbers and booleans are taken as they are written.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number within bounds.
    Integer {
        /// The smallest one.
        least: i64,
        /// The largest one.
        most: i64,
    },
    /// One whole number or a list of them, within bounds.
    Integers {
        /// The smallest one.
        least: i64,
        /// The largest one.
        most: i64,
    },
    /// Octal permission bits.
    Mode,
    /// Octal permission bits that a new file does not get.
    Umask,
    /// An absolute path.
    Path,
    /// The name or number of a user.
    User,
    /// The name or number of a group.
    Group,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text by name, every name a shell identifier.
    Environment,
    /// Text by name, every name that of a file.
    Credentials,
    /// A command: text for a shell, or a list of arguments.
    Command,
    /// One shell command or a list of them.
    Commands,
    /// Text, a number, a boolean, a list or a map.
    Value,
    /// The path of a shell, or `false` for none.
    Shell,
}

/// What becomes of a secret in an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretRule {
    /// It may not stand there.
    Refused,
    /// It may, and nobody sees it who may not see the target.
    Unexposed,
    /// It may, and counts as exposed: the same user and the command's children see it.
    Environment,
    /// It may only where the resource says `allow_exposure: [argv]`: everybody on the machine sees it.
    Argv,
}

/// What a resource gives that another may silently depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provides {
    /// Nothing that others could name.
    Nothing,
    /// The path in that attribute.
    Path(&'static str),
    /// A part of the file whose path stands in that attribute: others may manage other parts of it.
    Part(&'static str),
    /// The user whose name stands in that attribute.
    User(&'static str),
    /// The group whose name stands in that attribute.
    Group(&'static str),
    /// Nothing that others could name, and a machine has one of it: two of them that say different things contradict each other, whatever their identities.
    OnlyOne,
}

/// An example for the manual.
#[derive(Debug)]
pub struct Example {
    /// What it shows.
    pub title: &'static str,
    /// An item of `resources:` as it stands in a policy.
    pub policy: &'static str,
}

impl TypeInfo {
    /// The attribute of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'static AttributeInfo> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// The attributes that tell one resource of the type from another.
    pub fn identity(&self) -> impl Iterator<Item = &'static AttributeInfo> {
        self.attributes.iter().filter(|attribute| attribute.identity)
    }

    /// The state that holds when none is written; empty when the type has no state.
    #[must_use]
    pub fn default_state(&self) -> &'static str {
        self.states.first().copied().unwrap_or_default()
    }

    /// What to say of an attribute that the type does not have.
    #[must_use]
    pub fn unknown_attribute(&self, written: &str) -> AttributeProblem {
        if self.later.contains(&written) {
            return AttributeProblem::new(
                written,
                format!("this version of `{}` does not have it yet", self.name),
            )
            .help("leave it out, or wait for the version that has it");
        }
        let problem = AttributeProblem::new(written, format!("`{}` has no such attribute", self.name));
        match self.nearest(written) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => {
                let names: Vec<&str> = self.attributes.iter().map(|attribute| attribute.name).collect();
                problem.help(format!("it has {}", names.join(", ")))
            }
        }
    }

    /// The attribute name that `written` was probably meant to be.
    #[must_use]
    pub fn nearest(&self, written: &str) -> Option<&'static str> {
        vigo_base::nearest(written, self.attributes.iter().map(|attribute| attribute.name))
    }
}

impl AttributeInfo {
    /// An optional text without secrets; the starting point of every declaration.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, required: false, identity: false, default: "", secrets: SecretRule::Refused, doc }
    }

    /// The same, and it has to be written.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The same, required and part of the identity.
    #[must_use]
    pub const fn identity(mut self) -> Self {
        self.required = true;
        self.identity = true;
        self
    }

    /// The same, part of the identity though not required: one of several by which a resource may be told.
    #[must_use]
    pub const fn identifying(mut self) -> Self {
        self.identity = true;
        self
    }

    /// The same, with what holds when it is not written.
    #[must_use]
    pub const fn default(mut self, text: &'static str) -> Self {
        self.default = text;
        self
    }

    /// The same, with what becomes of a secret in it.
    #[must_use]
    pub const fn secrets(mut self, rule: SecretRule) -> Self {
        self.secrets = rule;
        self
    }
}

impl SecretRule {
    /// True if a secret may stand there at all.
    #[must_use]
    pub const fn takes_secret(self) -> bool {
        !matches!(self, Self::Refused)
    }

    /// Who else can see the value, as the bundle's list of uses says it: empty (nobody), `environment` or `argv`.
    #[must_use]
    pub const fn exposure(self) -> &'static str {
        match self {
            Self::Refused | Self::Unexposed => "",
            Self::Environment => "environment",
            Self::Argv => "argv",
        }
    }
}

impl Kind {
    /// What may stand there, for messages and the manual.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Boolean => "`true` or `false`",
            Self::Integer { .. } => "a whole number",
            Self::Integers { .. } => "a whole number or a list of them",
            Self::Mode => "three or four octal digits like `0640`",
            Self::Umask => "three or four octal digits like `022`",
            Self::Path => "an absolute path",
            Self::User => "the name or number of a user",
            Self::Group => "the name or number of a group",
            Self::Choice(_) => "one of the words of its list",
            Self::Environment => "a map from names to text",
            Self::Credentials => "a map from file names to text",
            Self::Command => "a command as text, or a list of arguments with `shell: false`",
            Self::Commands => "a command or a list of them",
            Self::Shell => "the path of a shell, or `false`",
            Self::Value => "text, a number, a boolean, a list or a map",
        }
    }
}
