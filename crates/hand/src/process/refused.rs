//! A request that is not done, and why.

use crate::target::TargetError;
use prost::Message as _;
use std::error::Error;
use std::fmt::Write as _;
use vigo_base::Blame;
use vigo_secret::SecretError;
use vigo_wire::hand::{FAILED, Failure, FailureCode};

/// Why a request is not done. Holds nothing of a value, since no error below does.
#[derive(Debug)]
pub(super) struct Refused(Failure);

impl Refused {
    pub(super) fn new(code: FailureCode, text: impl Into<String>) -> Self {
        Self(Failure { code: code.into(), text: text.into() })
    }

    /// This machine is in the way: what was tried, and what it said.
    pub(super) fn machine(what: impl std::fmt::Display, cause: &dyn Error) -> Self {
        Self::new(FailureCode::Machine, format!("{what}: {cause}"))
    }

    /// The request makes no sense, though it is one.
    pub(super) fn bug(text: impl Into<String>) -> Self {
        Self::new(FailureCode::Bug, text)
    }

    /// What it says.
    pub(super) fn text(&self) -> &str {
        &self.0.text
    }

    /// The bytes of the answer.
    pub(super) fn answer(&self) -> Vec<u8> {
        let mut bytes = vec![FAILED];
        bytes.extend_from_slice(&self.0.encode_to_vec());
        bytes
    }

    /// Says what it is about.
    pub(super) fn about(mut self, what: &dyn std::fmt::Display) -> Self {
        let _ = write!(self.0.text, " (`{what}`)");
        self
    }
}

impl From<SecretError> for Refused {
    fn from(error: SecretError) -> Self {
        let code = match error {
            SecretError::Seal | SecretError::PublicKey => FailureCode::Sealed,
            SecretError::MasterKey(_) => FailureCode::KeyFile,
            SecretError::Generate(_) => FailureCode::Input,
            SecretError::Filter { .. } | SecretError::NoMask => FailureCode::Author,
            SecretError::NoMemory(_) => FailureCode::Room,
            SecretError::Record
            | SecretError::RecordFormat(_)
            | SecretError::Wrapped
            | SecretError::Random => FailureCode::Machine,
        };
        Self::new(code, error.to_string())
    }
}

impl From<TargetError> for Refused {
    fn from(error: TargetError) -> Self {
        let code = if error.blame() == Blame::Author { FailureCode::Author } else { FailureCode::Machine };
        Self::new(code, error.full_text())
    }
}
