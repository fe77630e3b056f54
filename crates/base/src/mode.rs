//! File modes as a policy writes them.

use std::fmt;
use std::str::FromStr;

/// Permission bits of a file (`chmod(2)`), 0 to 0o7777.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode(u32);

impl Mode {
    /// What a file with a secret gets when the policy says nothing.
    pub const SECRET: Self = Self(0o600);
    /// What a new file gets when the policy says nothing.
    pub const FILE: Self = Self(0o644);
    /// What a new directory gets when the policy says nothing.
    pub const DIRECTORY: Self = Self(0o755);

    /// The permission bits of a `st_mode`; the file type is cut off.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & 0o7777)
    }

    /// The bits as `chmod(2)` takes them.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// True if someone who is neither the owner nor in the group may read.
    #[must_use]
    pub const fn others_may_read(self) -> bool {
        self.0 & 0o004 != 0
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:04o}", self.0)
    }
}

/// Why a text is no mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    /// `0o640`: digits are octal without saying so.
    #[error("digits are octal already: write `0640`, without `0o`")]
    Prefix,
    /// `u=rw`: symbolic modes depend on what was there before.
    #[error("symbolic modes are not supported: write octal digits like `0640`")]
    Symbolic,
    /// Not three or four octal digits.
    #[error("a mode is three or four octal digits like `0640`")]
    Digits,
}

impl FromStr for Mode {
    type Err = ModeError;
    fn from_str(text: &str) -> Result<Self, ModeError> {
        if text.starts_with("0o") || text.starts_with("0O") {
            return Err(ModeError::Prefix);
        }
        if text.chars().any(|letter| "ugoarwxXst=+,".contains(letter)) {
            return Err(ModeError::Symbolic);
        }
        let octal = text.chars().all(|digit| ('0'..='7').contains(&digit));
        if !octal || !(3..=4).contains(&text.len()) {
            return Err(ModeError::Digits);
        }
        u32::from_str_radix(text, 8).map(Self).map_err(|_| ModeError::Digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_octal_and_nothing_else_is_a_mode() {
        assert_eq!("0640".parse::<Mode>().map(Mode::bits), Ok(0o640));
        assert_eq!("4755".parse::<Mode>().map(Mode::bits), Ok(0o4755));
        assert_eq!("0o640".parse::<Mode>(), Err(ModeError::Prefix));
        assert_eq!("u=rw".parse::<Mode>(), Err(ModeError::Symbolic));
        for wrong in ["", "8", "64", "0648", "12345", "-640"] {
            assert_eq!(wrong.parse::<Mode>(), Err(ModeError::Digits), "{wrong}");
        }
    }
}
