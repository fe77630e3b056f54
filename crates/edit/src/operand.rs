//! The text that an edit puts in: the policy's own, with values of secrets between.

/// One piece of an operand.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// The policy's own text.
    Literal(&'a str),
    /// The value of a secret, or what stands for it where it is shown. Nothing in it has a meaning.
    Value(&'a str),
}

impl<'a> Part<'a> {
    /// Its text, whatever it is.
    #[must_use]
    pub const fn text(self) -> &'a str {
        match self {
            Self::Literal(text) | Self::Value(text) => text,
        }
    }
}

/// The text that an edit puts in. It may hold values: it has no `Debug`.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    parts: &'a [Part<'a>],
}

impl<'a> Operand<'a> {
    /// Of those parts, in order.
    #[must_use]
    pub const fn new(parts: &'a [Part<'a>]) -> Self {
        Self { parts }
    }

    /// The parts in order.
    #[must_use]
    pub const fn parts(&self) -> &'a [Part<'a>] {
        self.parts
    }

    /// All of it as one text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.parts.iter().map(|part| part.text().len()).sum());
        self.parts.iter().for_each(|part| text.push_str(part.text()));
        text
    }
}
