//! Values as they cross a process border: data, and in a bundle also what is still to be rendered.

/// Lists and maps stand at most so deep in each other. Deeper ones are encoded, but no reader takes them: protobuf's decoder goes
/// 100 messages deep, and a map takes three for a level.
pub const DEPTH: usize = 30;

/// A value before rendering. In traits and reports only the data kinds occur.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Node {
    /// What it is; absent means null.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9")]
    pub kind: Option<Kind>,
}

/// What a [`Node`] is.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// `true` or `false`.
    #[prost(bool, tag = "1")]
    Boolean(bool),
    /// A whole number.
    #[prost(sint64, tag = "2")]
    Integer(i64),
    /// A number with a fraction.
    #[prost(double, tag = "3")]
    Number(f64),
    /// Text that is taken as it stands.
    #[prost(string, tag = "4")]
    Literal(String),
    /// Text in the template language: literals and `{{ }}` mixed. Secret references already stand as `{{ secret("path") }}`.
    #[prost(string, tag = "5")]
    Template(String),
    /// What stood alone in one `{{ }}`: it keeps the type of its result.
    #[prost(string, tag = "6")]
    Expression(String),
    /// The rendering of the bundle's template of that name.
    #[prost(string, tag = "7")]
    Source(String),
    /// Values in order.
    #[prost(message, tag = "8")]
    List(List),
    /// Values by name, in the order written.
    #[prost(message, tag = "9")]
    Map(Map),
}

/// Values in order.
#[derive(Clone, PartialEq, prost::Message)]
pub struct List {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<Node>,
}

/// Values by name, in the order written.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Map {
    /// The entries.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<Entry>,
}

/// A named value: an entry of a map, an attribute, a variable.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entry {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Node>,
}

impl Node {
    /// A node of that kind.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self { kind: Some(kind) }
    }

    /// Text that is taken as it stands.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        Self::new(Kind::Literal(text.into()))
    }

    /// Values in order.
    #[must_use]
    pub const fn list(items: Vec<Self>) -> Self {
        Self::new(Kind::List(List { items }))
    }

    /// Values by name.
    #[must_use]
    pub fn map(entries: impl IntoIterator<Item = (String, Self)>) -> Self {
        let entries = entries.into_iter().map(|(name, value)| Entry { name, value: Some(value) }).collect();
        Self::new(Kind::Map(Map { entries }))
    }

    /// True if nothing in it is still to be rendered.
    #[must_use]
    pub fn is_data(&self) -> bool {
        match &self.kind {
            Some(Kind::Template(_) | Kind::Expression(_) | Kind::Source(_)) => false,
            Some(Kind::List(list)) => list.items.iter().all(Self::is_data),
            Some(Kind::Map(map)) => map.entries.iter().all(|entry| entry.value.iter().all(Self::is_data)),
            None | Some(Kind::Boolean(_) | Kind::Integer(_) | Kind::Number(_) | Kind::Literal(_)) => true,
        }
    }

    /// How deep lists and maps stand in each other in it: 0 for text. Above [`DEPTH`] it must not be sent.
    #[must_use]
    pub fn depth(&self) -> usize {
        let deepest = |nodes: &mut dyn Iterator<Item = &Self>| nodes.map(Self::depth).max().unwrap_or(0) + 1;
        match &self.kind {
            Some(Kind::List(list)) => deepest(&mut list.items.iter()),
            Some(Kind::Map(map)) => deepest(&mut map.entries.iter().filter_map(|entry| entry.value.as_ref())),
            _ => 0,
        }
    }

    /// The value of that name, in a map.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match &self.kind {
            Some(Kind::Map(map)) => {
                map.entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.as_ref())
            }
            _ => None,
        }
    }
}
