//! The tree that a file becomes: nodes, each with the place where it is written.

use vigo_base::Span;

/// A value in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it is written.
    pub span: Span,
}

/// What a [`Node`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number. Digits that start with a zero are text, so that `0640` keeps them.
    Integer(i64),
    /// A number with a fraction.
    Number(f64),
    /// Everything else that is no list and no map.
    Text(Text),
    /// Values in order.
    List(Vec<Node>),
    /// Values by name, in the order written; no name twice.
    Map(Vec<Entry>),
    /// Something about which a diagnostic was given already.
    Invalid,
}

/// A named value in a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The name.
    pub key: String,
    /// Where the name is written.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

/// A text, with what is needed to find a place in it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text after YAML's escapes and folding.
    pub value: String,
    /// How it is written.
    pub style: Style,
}

/// How a text is written in YAML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// In `'`.
    SingleQuoted,
    /// In `"`.
    DoubleQuoted,
    /// A `|` block, indented by so many columns.
    Literal(u32),
    /// A `>` block, indented by so many columns.
    Folded(u32),
}

impl Node {
    /// What kind of value this is, for messages.
    #[must_use]
    pub const fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Boolean(_) => "a boolean",
            Kind::Integer(_) => "a whole number",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Invalid => "a mistake",
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(&text.value),
            _ => None,
        }
    }

    /// The value of that name, in a map.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }
}
