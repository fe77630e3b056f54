//! Slots, filled: each with its secret, through its filters. Literals and values are never joined: [`Stream`] gives them one after the other.

use super::refused::Refused;
use super::state::State;
use super::values::parse_path;
use crate::content::{Cursor, Next};
use std::io;
use std::os::fd::OwnedFd;
use vigo_base::{Filter, SecretPath};
use vigo_secret::{SHORTEST_SCRUBBED, Salt, SecretBuf, apply_all};
use vigo_wire::hand::{self as wire, FailureCode};

/// More slots than this in one content would need more room than any arena has.
const SLOTS: usize = 4096;

/// The slots of a request, by index.
pub(super) struct Filled {
    slots: Vec<One>,
}

struct One {
    value: SecretBuf,
    label: String,
    short: bool,
}

impl Filled {
    /// Fills slots for a resource. All of them, or it says what is missing.
    pub(super) fn new(state: &mut State, slots: &[wire::Slot], resource: &str) -> Result<Self, Refused> {
        if slots.len() > SLOTS {
            return Err(Refused::new(
                FailureCode::Author,
                "cannot put so many different secrets into one text",
            ));
        }
        state.uses(slots);
        let slots = slots.iter().map(|slot| One::new(state, slot, resource));
        Ok(Self { slots: slots.collect::<Result<_, Refused>>()? })
    }

    /// The filled value of that slot.
    pub(super) fn value(&self, index: usize) -> Option<&SecretBuf> {
        self.slots.get(index).map(|one| &one.value)
    }

    /// What is shown in its place.
    pub(super) fn label(&self, index: usize) -> &str {
        self.slots.get(index).map_or("‹secret›", |one| &one.label)
    }

    /// True if one of the values, before its filters, is too short to be scrubbed from output.
    pub(super) fn has_short(&self) -> bool {
        self.slots.iter().any(|one| one.short)
    }
}

impl One {
    fn new(state: &mut State, slot: &wire::Slot, resource: &str) -> Result<Self, Refused> {
        let path = parse_path(&slot.path)?;
        let filters: Option<Vec<Filter>> = slot.filters.iter().map(|name| Filter::by_name(name)).collect();
        let filters = filters.ok_or_else(|| Refused::bug("cannot apply a filter that there is not"))?;
        let held = lookup(state, &path)?;
        let (length, bare) = (held.value.len(), held.value.expose().trim_ascii().len());
        // No filter makes more than six bytes of one; each holds its input while it makes its output, which may be remembered.
        state.make_room(length * 8)?;
        let salt = state.salt.as_ref().map(|(seed, envoy)| (**seed, envoy.clone()));
        let held = lookup(state, &path)?;
        let salt =
            salt.map(|(seed, envoy)| Salt::derive(&seed, &envoy, resource, path.as_str(), held.version.0));
        let value = apply_all(&filters, held.value.expose(), salt.as_ref())
            .map_err(|error| Refused::from(error).about(&path))?;
        if filters.len() > 1 {
            held.remember(&value);
        }
        let label = format!("‹secret {path} {}›", held.version);
        Ok(Self { value, label, short: bare < SHORTEST_SCRUBBED })
    }
}

fn lookup<'a>(state: &'a mut State, path: &SecretPath) -> Result<&'a mut super::state::Held, Refused> {
    state.values.get_mut(path).ok_or_else(|| {
        Refused::new(
            FailureCode::NotHeld,
            format!("cannot put the secret `{path}` in its place: its value is not here"),
        )
    })
}

/// What comes next of a filled content.
pub(super) enum Chunk {
    /// So many bytes of a literal, which stand in the content's file at this offset.
    Literal { length: usize, offset: u64 },
    /// So many bytes of a secret; true with its first ones.
    Secret { length: usize, index: usize, first: bool },
    /// Nothing: it is over.
    End,
}

/// A filled content, window by window.
pub(super) struct Stream<'a> {
    cursor: Cursor<'a, OwnedFd>,
    filled: &'a Filled,
    slot: Option<(usize, usize)>,
}

impl<'a> Stream<'a> {
    pub(super) const fn new(file: &'a OwnedFd, size: u64, filled: &'a Filled) -> Self {
        Self { cursor: Cursor::new(file, size), filled, slot: None }
    }

    /// What that request describes: pieces, or a file to be copied.
    pub(super) const fn of(file: &'a OwnedFd, content: &wire::Content, filled: &'a Filled) -> Self {
        let cursor =
            if content.copy { Cursor::over_all(file, content.size) } else { Cursor::new(file, content.size) };
        Self { cursor, filled, slot: None }
    }

    /// The next bytes into `window`.
    pub(super) fn next(&mut self, window: &mut [u8]) -> io::Result<Chunk> {
        let (index, at) = match self.slot.take() {
            Some(slot) => slot,
            None => match self.cursor.next(window)? {
                Next::Literal { length, offset } => return Ok(Chunk::Literal { length, offset }),
                Next::End => return Ok(Chunk::End),
                Next::Slot(index) => (index, 0),
            },
        };
        let value = self.filled.value(index).ok_or(io::ErrorKind::InvalidData)?;
        let rest = value.expose().get(at..).unwrap_or_default();
        let length = rest.len().min(window.len());
        for (to, from) in window.iter_mut().zip(rest) {
            *to = *from;
        }
        if length < rest.len() {
            self.slot = Some((index, at + length));
        }
        Ok(Chunk::Secret { length, index, first: at == 0 })
    }
}
