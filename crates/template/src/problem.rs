//! Mistakes that are found in source text, before anything is rendered.

/// One mistake, with its place in the text that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// First byte.
    pub offset: usize,
    /// How many bytes.
    pub length: usize,
    /// The diagnostic code.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub help: String,
    /// True if the text cannot be used; else it is a hint.
    pub error: bool,
}

/// The diagnostic codes that this crate gives; their pages are with the list of all codes.
pub mod code {
    /// It cannot be parsed.
    pub const SYNTAX: &str = "V020";
    /// A name that is not defined.
    pub const NAME: &str = "V021";
    /// A filter, function or test that does not exist.
    pub const FUNCTION: &str = "V022";
    /// Nearly a secret reference.
    pub const NEAR_SECRET: &str = "V023";
    /// A secret path that cannot be computed at publish.
    pub const COMPUTED: &str = "V024";
    /// A secret used as if its value were known.
    pub const SECRET_USE: &str = "V025";
    /// An include without a literal name.
    pub const INCLUDE: &str = "V026";
}

impl Problem {
    pub(crate) fn error(
        offset: usize,
        length: usize,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { offset, length, code, message: message.into(), help: String::new(), error: true }
    }

    pub(crate) fn hint(offset: usize, length: usize, code: &'static str, message: impl Into<String>) -> Self {
        Self { error: false, ..Self::error(offset, length, code, message) }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

/// What to do with a secret, for every message that refuses another use.
pub(crate) const SECRET_HELP: &str = "a secret can be placed in text, and passed through b64encode, urlencode, json, shell_quote, sha512_crypt, bcrypt, hex and trim; nothing else";
