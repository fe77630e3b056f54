//! What a resource is told about itself and the run it is in.

use crate::Failure;
use std::fmt;
use std::time::Duration;
use vigo_base::{AbsolutePath, Piece, Pieces, SecretPath, SecretVersion, Slot};
use vigo_edit::{Edit, Operand, Part};

/// What a resource is told about itself and the run.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Its id in reports.
    pub id: &'a str,
    /// How long one command of it may take.
    pub timeout: Duration,
    /// `allow_exposure`, as written.
    pub allow_exposure: &'a [String],
    /// Somebody wants to see what changes inside.
    pub diff: bool,
    /// How the secrets that it uses are to what it was last applied with.
    pub secret_change: SecretChange,
    /// The versions of the secrets it uses, as far as they are known.
    pub versions: &'a [(SecretPath, SecretVersion)],
    /// Why a secret that it uses cannot be had; `None` when all are there.
    pub missing_secret: Option<&'a Failure>,
    /// The secrets that this machine was ever given a value of, as far as it remembers: what has to be rotated when they may have been seen.
    pub served: &'a [SecretPath],
    /// Sees to secrets that were left for later.
    pub on_demand: &'a dyn SecretsOnDemand,
    /// What the other resources of the run manage.
    pub managed: &'a dyn ManagedPaths,
}

/// How the secrets that a resource uses are to what it was last applied with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecretChange {
    /// The same versions, or it uses none.
    #[default]
    Same,
    /// A secret has another version.
    Rotated,
    /// Nothing is recorded of it: it was never applied here, or not since the records were lost.
    NeverApplied,
}

/// Which paths the resources of a run manage, for what removes everything else.
pub trait ManagedPaths {
    /// True if a resource manages this path or something below it.
    fn holds(&self, path: &AbsolutePath) -> bool;
}

/// Secrets whose values are fetched only when one is needed.
pub trait SecretsOnDemand {
    /// True if a value that the resource uses was left for later: then the host first finds out whether it is needed at all.
    fn is_left_for_later(&self) -> bool;

    /// Sees to it that all values which the resource uses are held.
    fn hold(&self) -> Result<(), Failure>;
}

/// What the values of a run are good for in scrubbing: a value that is not held cannot be found in text.
pub trait Values {
    /// Tries to have these values held, each in that version. What cannot be had in that version stays missing: that is no failure.
    fn hold_for_scrubbing(&self, wanted: &[(SecretPath, SecretVersion)]) {
        let _ = wanted;
    }

    /// False if another value may have the same version, so that a version says nothing of what an earlier run put somewhere.
    fn have_versions(&self) -> bool {
        true
    }
}

/// No value can be had.
#[derive(Clone, Copy, Debug)]
pub struct NoValues;

impl Values for NoValues {}

/// Every value that can be had is held.
#[derive(Clone, Copy, Debug)]
pub struct AllHeld;

impl SecretsOnDemand for AllHeld {
    fn is_left_for_later(&self) -> bool {
        false
    }

    fn hold(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// No path is managed.
#[derive(Clone, Copy, Debug)]
pub struct NothingManaged;

impl ManagedPaths for NothingManaged {
    fn holds(&self, _path: &AbsolutePath) -> bool {
        false
    }
}

impl Context<'_> {
    /// Says no when a secret that the resource uses cannot be had. To be asked before the first use of a value, and not before: what needs no value goes on without.
    pub fn require_secrets(&self) -> Result<(), Failure> {
        self.refuse_missing()?;
        if self.on_demand.is_left_for_later() { self.on_demand.hold() } else { Ok(()) }
    }

    /// Says no when a secret that the resource uses cannot be had, and fetches nothing: for what may find out without the value.
    pub fn refuse_missing(&self) -> Result<(), Failure> {
        self.missing_secret.map_or(Ok(()), |failure| Err(failure.clone()))
    }

    /// True if `allow_exposure` has that word.
    #[must_use]
    pub fn allows_exposure(&self, word: &str) -> bool {
        self.allow_exposure.iter().any(|allowed| allowed == word)
    }

    /// The text as an operator may see it: `‹secret web/token v3›` where a secret stands.
    #[must_use]
    pub fn masked(&self, pieces: &Pieces) -> String {
        let mut text = String::with_capacity(pieces.literal_len());
        for piece in pieces.as_slice() {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Slot(slot) => text.push_str(&self.mask(slot)),
            }
        }
        text
    }

    /// What an edit makes of a text, with the text that it puts in as an operator may see it. `None` when it changes nothing.
    ///
    /// # Errors
    /// When the text has no place for it; it says which file that is about.
    pub fn edited(
        &self,
        target: &AbsolutePath,
        edit: &Edit,
        there: &[u8],
        text: &Pieces,
    ) -> Result<Option<String>, Failure> {
        let there = std::str::from_utf8(there)
            .map_err(|_| Failure::failed(format!("cannot edit `{target}`: it is not text in UTF-8")))?;
        let masks: Vec<String> = text.slots().map(|slot| self.mask(slot)).collect();
        let mut masks = masks.iter();
        let parts = text.as_slice().iter().map(|piece| match piece {
            Piece::Literal(text) => Part::Literal(text.as_str()),
            Piece::Slot(_) => Part::Value(masks.next().map_or("", String::as_str)),
        });
        let parts: Vec<Part<'_>> = parts.collect();
        edit.apply(there, &Operand::new(&parts))
            .map_err(|error| Failure::failed(format!("cannot edit `{target}`: {error}")).help(error.help()))
    }

    fn mask(&self, slot: &Slot) -> String {
        match self.versions.iter().find(|(path, _)| *path == slot.path) {
            Some((path, version)) => format!("‹secret {path} {version}›"),
            None => slot.to_string(),
        }
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Context({})", self.id)
    }
}
