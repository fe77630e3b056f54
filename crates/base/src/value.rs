//! Values after rendering: ordinary data in which a secret is an opaque slot.
//!
//! A slot says which secret is to stand there and what is done to it on the way. It holds no byte of the secret: only the hand can fill it.

use crate::SecretPath;
use std::fmt;

/// What is done to a secret on its way into a slot. The list is closed: everything else one could do to a secret is an error that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Base64 (RFC 4648, with padding).
    Base64,
    /// Percent-encoding of all but unreserved characters (RFC 3986).
    Url,
    /// A JSON string with its quotes (RFC 8259).
    Json,
    /// One POSIX shell word in single quotes.
    Shell,
    /// `$6$` crypt with a salt that is stable for this envoy, resource, path and version.
    Sha512Crypt,
    /// `$2b$` crypt with such a salt.
    Bcrypt,
    /// Lower-case hexadecimal.
    Hex,
    /// Without white space at both ends.
    Trim,
}

impl Filter {
    /// Every filter, in the order of the manual.
    pub const ALL: [Self; 8] = [
        Self::Base64,
        Self::Url,
        Self::Json,
        Self::Shell,
        Self::Sha512Crypt,
        Self::Bcrypt,
        Self::Hex,
        Self::Trim,
    ];

    /// The name in templates.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base64 => "b64encode",
            Self::Url => "urlencode",
            Self::Json => "json",
            Self::Shell => "shell_quote",
            Self::Sha512Crypt => "sha512_crypt",
            Self::Bcrypt => "bcrypt",
            Self::Hex => "hex",
            Self::Trim => "trim",
        }
    }

    /// The filter of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.name() == name)
    }
}

/// The place where a secret is to stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Which secret.
    pub path: SecretPath,
    /// Applied first to last.
    pub filters: Vec<Filter>,
}

impl fmt::Display for Slot {
    /// What an operator sees in its place: `‹secret web/token›`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "‹secret {}›", self.path)
    }
}

/// One piece of a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// Text as the policy has it.
    Literal(String),
    /// A secret.
    Slot(Slot),
}

/// A text with secrets in it, piece after piece. Neighbouring literals are one; there are no empty literals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pieces(Vec<Piece>);

impl Pieces {
    /// A text without a secret.
    #[must_use]
    pub fn literal(text: impl Into<String>) -> Self {
        let mut pieces = Self::default();
        pieces.push_literal(text.into());
        pieces
    }

    /// Appends text.
    pub fn push_literal(&mut self, text: impl Into<String> + AsRef<str>) {
        if text.as_ref().is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(Piece::Literal(last)) => last.push_str(text.as_ref()),
            _ => self.0.push(Piece::Literal(text.into())),
        }
    }

    /// Appends a secret.
    pub fn push_slot(&mut self, slot: Slot) {
        self.0.push(Piece::Slot(slot));
    }

    /// The pieces in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Piece] {
        &self.0
    }

    /// The slots in order.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Slot(slot) => Some(slot),
            Piece::Literal(_) => None,
        })
    }

    /// True if a secret stands somewhere in it.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.slots().next().is_some()
    }

    /// The text, when no secret stands in it.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Length of the literal parts in bytes; what the slots add is not known here.
    #[must_use]
    pub fn literal_len(&self) -> usize {
        self.0.iter().map(|piece| if let Piece::Literal(text) = piece { text.len() } else { 0 }).sum()
    }
}

impl fmt::Display for Pieces {
    /// The text with `‹secret path›` where a secret is to stand.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Literal(text) => out.write_str(text),
            Piece::Slot(slot) => slot.fmt(out),
        })
    }
}

/// A rendered value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Written as nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Number(f64),
    /// Text, with slots where secrets are to stand.
    Text(Pieces),
    /// Values in order.
    List(Vec<Value>),
    /// Values by name, in the order written.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// A text without a secret.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Pieces::literal(text))
    }

    /// What kind of value this is, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "a whole number",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// Every slot in it, at any depth, in order.
    #[must_use]
    pub fn slots(&self) -> Vec<&Slot> {
        match self {
            Self::Text(pieces) => pieces.slots().collect(),
            Self::List(items) => items.iter().flat_map(Self::slots).collect(),
            Self::Map(entries) => entries.iter().flat_map(|(_, value)| value.slots()).collect(),
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Number(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_literals_are_one_and_slots_show_their_name_only() {
        let mut pieces = Pieces::literal("a");
        pieces.push_literal("");
        pieces.push_literal("b ");
        pieces.push_slot(Slot { path: "web/token".parse().unwrap(), filters: vec![Filter::Base64] });
        assert_eq!(pieces.as_slice().len(), 2);
        assert_eq!(pieces.to_string(), "ab ‹secret web/token›");
        assert_eq!(pieces.as_literal(), None);
        assert!(pieces.has_secret());
        assert_eq!(Pieces::default().as_literal(), Some(""));
    }

    #[test]
    fn every_filter_is_found_by_its_name() {
        for filter in Filter::ALL {
            assert_eq!(Filter::by_name(filter.name()), Some(filter));
        }
        assert_eq!(Filter::by_name("upper"), None);
    }
}
