//! Changes inside a text that somebody else wrote: one line, a block, a key. The rest of the text keeps every byte.
//!
//! An [`Edit`] says how; the [`Operand`] is the one text of the policy that it puts in, in which secrets may stand. Pure: text in, text out. The
//! agent applies an edit by itself where no secret is involved; where one is, in the operand or in the file, the same code runs in the hand, so
//! neither the file nor the value leaves it. For that an edit can be taken apart into words and put together again ([`Edit::to_arguments`]).
#![forbid(unsafe_code)]

mod arguments;
mod block;
mod error;
mod ini;
mod line;
mod lines;
mod operand;
mod pattern;
mod region;
mod replace;
#[cfg(test)]
mod tests;
mod value;

pub use arguments::{Arguments, NotAnEdit};
pub use block::BlockEdit;
pub use error::EditError;
pub use ini::IniEdit;
pub use line::{LineEdit, Position};
pub use operand::{Operand, Part};
pub use pattern::{Pattern, PatternError};
pub use region::Region;
pub use replace::ReplaceEdit;
pub use value::{Format, Key, KeyError, ValueEdit, escape_json};

/// Files of more bytes are not edited: an edited file is held in memory, in the hand's protected pages where it has secrets.
pub const LARGEST: usize = 1 << 20;

/// How a text is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// One line is there, or not.
    Line(LineEdit),
    /// A block of lines is there, or not.
    Block(BlockEdit),
    /// What a pattern matches becomes another text.
    Replace(ReplaceEdit),
    /// A key of an INI file has a value, or is not there.
    Ini(IniEdit),
    /// A key of a JSON, YAML or TOML file has a value, or is not there.
    Value(ValueEdit),
}

impl Edit {
    /// The text as it is to be; `None` when it is so already.
    ///
    /// The same edit applied to what it made changes nothing: that is checked, and an edit for which it does not hold is refused.
    ///
    /// # Errors
    /// When the text has no place for it, or more than one; when the operand does not fit. No error holds a byte of the text or of the operand.
    pub fn apply(&self, there: &str, operand: &Operand<'_>) -> Result<Option<String>, EditError> {
        let edited = self.once(there, operand)?;
        if edited == there {
            return Ok(None);
        }
        if edited.len() > LARGEST {
            return Err(EditError::TooLarge);
        }
        match self.once(&edited, operand) {
            Ok(again) if again == edited => Ok(Some(edited)),
            _ => Err(EditError::Unstable),
        }
    }

    fn once(&self, there: &str, operand: &Operand<'_>) -> Result<String, EditError> {
        match self {
            Self::Line(edit) => edit.apply(there, operand),
            Self::Block(edit) => edit.apply(there, operand),
            Self::Replace(edit) => edit.apply(there, operand),
            Self::Ini(edit) => edit.apply(there, operand),
            Self::Value(edit) => edit.apply(there, operand),
        }
    }

    /// Bytes of memory that applying it takes at most, for a text and an operand of `bytes` together.
    #[must_use]
    pub fn room(&self, bytes: usize) -> usize {
        // Both texts, the check that it comes to rest, the lines of both.
        let texts = bytes.saturating_mul(8);
        match self {
            Self::Value(_) => texts.saturating_add(value::room(bytes)),
            _ => texts,
        }
    }

    /// The edit in words, for a pipe: its kind, and its arguments by name.
    #[must_use]
    pub fn to_arguments(&self) -> (&'static str, Arguments) {
        match self {
            Self::Line(edit) => (LineEdit::KIND, edit.to_arguments()),
            Self::Block(edit) => (BlockEdit::KIND, edit.to_arguments()),
            Self::Replace(edit) => (ReplaceEdit::KIND, edit.to_arguments()),
            Self::Ini(edit) => (IniEdit::KIND, edit.to_arguments()),
            Self::Value(edit) => (ValueEdit::KIND, edit.to_arguments()),
        }
    }

    /// Puts it together again.
    ///
    /// # Errors
    /// When there is no such kind, an argument is missing, unknown or not what it should be.
    pub fn from_arguments(kind: &str, mut arguments: Arguments) -> Result<Self, NotAnEdit> {
        let edit = match kind {
            LineEdit::KIND => Self::Line(LineEdit::from_arguments(&mut arguments)?),
            BlockEdit::KIND => Self::Block(BlockEdit::from_arguments(&mut arguments)?),
            ReplaceEdit::KIND => Self::Replace(ReplaceEdit::from_arguments(&mut arguments)?),
            IniEdit::KIND => Self::Ini(IniEdit::from_arguments(&mut arguments)?),
            ValueEdit::KIND => Self::Value(ValueEdit::from_arguments(&mut arguments)?),
            _ => return Err(NotAnEdit),
        };
        arguments.finish().map(|()| edit)
    }
}
