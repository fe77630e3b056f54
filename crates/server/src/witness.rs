//! How far the store had come, beside the master key and so away from what a copy of the store puts back: an older store is known as such.
//!
//! What rises is the audit chain: no secret, token, policy or envoy changes without a record in it. The witness follows it at every change of a
//! secret, every few seconds and at the end; a store may be ahead of its witness, never behind it. What grants and can be taken away again is
//! witnessed exactly, before and after each change: a single row that is put back is known as such, too.

use crate::rights::Rights;
use crate::{ServerError, folder};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use subtle::ConstantTimeEq as _;
use vigo_base::{Digest, decode_hex, encode_hex};
use vigo_hand::{Hand, MacLabel};
use vigo_store::{ApiToken, AuditHead, Page, Store, StoreError, TokenId};

/// What the MAC is over, so that no other text is taken for one.
const CONTEXT: &[u8] = b"vigo store witness v2";
/// The first format knew of the audit chain only. It is read, and written over.
const CONTEXT_1: &[u8] = b"vigo store witness v1";
/// No witness is longer.
const LONGEST: usize = 1024;

/// The file of a witness.
#[must_use]
pub fn file(keys: &Path) -> PathBuf {
    keys.join("witness")
}

/// The one under the master key that is to take the place of the one in use.
#[must_use]
pub fn next_file(keys: &Path) -> PathBuf {
    keys.join("witness.next")
}

/// What was seen of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The end of its audit chain.
    pub head: AuditHead,
    /// What more there is to know; not in a witness of the first format.
    pub more: Option<More>,
}

/// What a witness knows beside the audit chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct More {
    /// No version of a secret above this one was ever given.
    pub versions: u64,
    /// The rows that grant, as they are.
    pub rights: Digest,
    /// As they will be when the change that is under way is done; else the same.
    pub next: Digest,
}

impl More {
    /// What there is to know of a store with these rights.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of(store: &dyn Store, rights: &Rights, next: &Rights) -> Result<Self, ServerError> {
        let versions = store.highest_secret_version()?.0;
        Ok(Self { versions, rights: rights.digest(), next: next.digest() })
    }
}

impl Seen {
    /// All there is to know of a store as it is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of(store: &dyn Store) -> Result<Self, ServerError> {
        let rights = Rights::of(store)?;
        Ok(Self { head: store.audit_head()?, more: Some(More::of(store, &rights, &rights)?) })
    }
}

/// What the MAC of a witness is over.
#[must_use]
pub fn mac_input(seen: &Seen) -> Vec<u8> {
    let (sequence, digest) = (seen.head.sequence.to_be_bytes(), seen.head.digest.as_bytes());
    match &seen.more {
        None => [CONTEXT_1, &sequence, digest].concat(),
        Some(More { versions, rights, next }) => {
            let versions = versions.to_be_bytes();
            [CONTEXT, &sequence, digest, &versions, rights.as_bytes(), next.as_bytes()].concat()
        }
    }
}

/// The text of a witness.
#[must_use]
pub fn text(seen: &Seen, mac: &[u8; 32]) -> String {
    let (AuditHead { sequence, digest }, mac) = (&seen.head, encode_hex(mac));
    match &seen.more {
        None => format!("vigo-witness 1 {sequence} {digest} {mac}\n"),
        Some(More { versions, rights, next }) => {
            format!("vigo-witness 2 {sequence} {digest} {versions} {rights} {next} {mac}\n")
        }
    }
}

/// Reads a witness; `None` if there is none.
///
/// # Errors
/// When it cannot be read or is none of this master key.
pub fn read(path: &Path, hand: &mut Hand) -> Result<Option<Seen>, ServerError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(ServerError::Read { path: path.into(), cause }),
    };
    let forged = || ServerError::Forged { what: "witness", name: path.display().to_string() };
    let (seen, mac) = parse(&text).ok_or_else(forged)?;
    let right = hand.mac(MacLabel::GrantingRow, &mac_input(&seen))?;
    if bool::from(right.as_slice().ct_eq(&mac)) { Ok(Some(seen)) } else { Err(forged()) }
}

/// Finishes what an interrupted change of the master key left: the next witness takes its place if it is of the key in use, else it goes.
///
/// # Errors
/// When the folder cannot be changed or the hand cannot.
pub fn settle(keys: &Path, hand: &mut Hand) -> Result<(), ServerError> {
    let next = next_file(keys);
    let failed = |cause| ServerError::Write { path: next.clone(), cause };
    match read(&next, hand) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => std::fs::rename(&next, file(keys)).map_err(failed),
        Err(ServerError::Forged { .. }) => std::fs::remove_file(&next).map_err(failed),
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> Option<(Seen, Vec<u8>)> {
    let text = Some(text).filter(|text| text.len() <= LONGEST)?;
    let words: Vec<&str> = text.trim_end().split(' ').collect();
    let read = |digest: &str| Digest::from_bytes(&decode_hex(digest)?);
    let (sequence, digest, more, mac) = match words.as_slice() {
        ["vigo-witness", "1", sequence, digest, mac] => (sequence, digest, None, mac),
        ["vigo-witness", "2", sequence, digest, versions, rights, next, mac] => {
            let (rights, next) = (read(rights)?, read(next)?);
            (sequence, digest, Some(More { versions: versions.parse().ok()?, rights, next }), mac)
        }
        _ => return None,
    };
    let head = AuditHead { sequence: sequence.parse().ok()?, digest: read(digest)? };
    Some((Seen { head, more }, decode_hex(mac)?))
}

/// Why a store is not taken for the one that was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It ends before the record that was seen.
    Older {
        /// The last record that was seen.
        seen: u64,
        /// The last one in the store.
        found: u64,
    },
    /// It has another record in that place.
    Other {
        /// Which.
        seen: u64,
    },
    /// Its policies or tokens are not those that were seen.
    Rights,
    /// There is no witness.
    Unwitnessed,
}

/// Compares a store with its witness. `None`: it is the one.
///
/// # Errors
/// When the store cannot be read.
pub fn doubt(store: &dyn Store, witness: Option<&Seen>) -> Result<Option<Doubt>, ServerError> {
    let Some(Seen { head: seen, more }) = witness else { return Ok(Some(Doubt::Unwitnessed)) };
    let head = store.audit_head()?;
    if head.sequence < seen.sequence {
        return Ok(Some(Doubt::Older { seen: seen.sequence, found: head.sequence }));
    }
    if seen.sequence > 0 {
        let cursor = seen.sequence.saturating_add(1).to_string();
        let page = store.audit(Page { cursor: Some(&cursor), limit: 1 })?;
        if page.items.first().is_none_or(|record| record.head() != *seen) {
            return Ok(Some(Doubt::Other { seen: seen.sequence }));
        }
    }
    let Some(More { rights, next, .. }) = more else { return Ok(None) };
    let found = Rights::of(store)?.digest();
    Ok((found != *rights && found != *next).then_some(Doubt::Rights))
}

/// Follows the store.
pub struct Witness {
    path: PathBuf,
    known: Mutex<Known>,
}

struct Known {
    /// Up to which record it is written.
    written: u64,
    rights: Rights,
}

impl Witness {
    /// Follows it into that folder. The store must be the one that was written last: see [`doubt`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn new(keys: &Path, store: &dyn Store) -> Result<Self, ServerError> {
        let known = Known { written: 0, rights: Rights::of(store)? };
        Ok(Self { path: file(keys), known: Mutex::new(known) })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if that row counts, and was not only put back.
    #[must_use]
    pub fn has_api_token(&self, token: &ApiToken) -> bool {
        self.known().rights.has_api_token(token)
    }

    /// The revision of the policies of secrets that count.
    #[must_use]
    pub fn policy_revision(&self) -> u64 {
        self.known().rights.policy_revision()
    }

    /// True if that enrolment token counts.
    #[must_use]
    pub fn has_token(&self, id: &TokenId) -> bool {
        self.known().rights.has_token(id)
    }

    /// Writes down how far the store has come, if it has come further. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read, the hand cannot, or the file cannot be written.
    pub fn follow(
        &self,
        store: &dyn Store,
        mac: impl Fn(&[u8]) -> Result<[u8; 32], ServerError>,
    ) -> Result<(), ServerError> {
        let mut known = self.known();
        let head = store.audit_head()?;
        if head.sequence <= known.written {
            return Ok(());
        }
        let sequence = head.sequence;
        // What grants is taken from memory: rows that were put back past the server must not come to count by this.
        let more = Some(More::of(store, &known.rights, &known.rights)?);
        self.put(&Seen { head, more }, &mac)?;
        known.written = sequence;
        Ok(())
    }

    /// Changes what grants: the witness knows of it before the store does, so that neither a kill between nor a row that is put back later is
    /// taken for the other. Blocks.
    ///
    /// # Errors
    /// When the store, the hand or the file stand in the way; `change` is what `write` does to the store.
    pub fn change<T>(
        &self,
        store: &dyn Store,
        mac: impl Fn(&[u8]) -> Result<[u8; 32], ServerError>,
        change: impl FnOnce(&mut Rights),
        write: impl FnOnce(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, ServerError> {
        let mut known = self.known();
        let mut next = known.rights.clone();
        change(&mut next);
        let seen = |head, rights: &Rights| -> Result<Seen, ServerError> {
            Ok(Seen { head, more: Some(More::of(store, rights, &next)?) })
        };
        self.put(&seen(store.audit_head()?, &known.rights)?, &mac)?;
        let written = match write(store) {
            Ok(written) => written,
            Err(error) => {
                // Whether it came to the disk all the same is for the store to say.
                if Rights::of(store).is_ok_and(|found| found == next) {
                    known.rights = next;
                }
                return Err(error.into());
            }
        };
        known.rights.clone_from(&next);
        let head = store.audit_head()?;
        let sequence = head.sequence;
        self.put(&seen(head, &next)?, &mac)?;
        known.written = sequence;
        Ok(written)
    }

    fn put(
        &self,
        seen: &Seen,
        mac: impl Fn(&[u8]) -> Result<[u8; 32], ServerError>,
    ) -> Result<(), ServerError> {
        folder::replace(&self.path, text(seen, &mac(&mac_input(seen))?).as_bytes(), 0o600)
    }
}

/// Writes a witness with the key in use.
///
/// # Errors
/// When the hand cannot, or the file cannot be written.
pub fn write(path: &Path, seen: &Seen, hand: &mut Hand) -> Result<(), ServerError> {
    let mac = hand.mac(MacLabel::GrantingRow, &mac_input(seen))?;
    folder::replace(path, text(seen, &mac).as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_reads_back_and_nothing_else_is_one() {
        let head = AuditHead { sequence: 7, digest: Digest::of(b"record") };
        let more = More { versions: 3, rights: Digest::of(b"a"), next: Digest::of(b"b") };
        for seen in [Seen { head, more: None }, Seen { head, more: Some(more) }] {
            assert_eq!(parse(&text(&seen, &[9; 32])), Some((seen, vec![9; 32])));
        }
        let written = text(&Seen { head, more: Some(more) }, &[9; 32]);
        for wrong in [
            "",
            "vigo-witness 2 7 00 00",
            "vigo-witness 1 7",
            &written.replacen('2', "1", 1),
            &written.repeat(2),
            &"x".repeat(2000),
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_part_of_a_witness_is_under_its_mac() {
        let seen = Seen {
            head: AuditHead { sequence: 7, digest: Digest::of(b"record") },
            more: Some(More { versions: 3, rights: Digest::of(b"a"), next: Digest::of(b"b") }),
        };
        let change: [fn(&mut Seen); 6] = [
            |seen| seen.head.sequence = 8,
            |seen| seen.head.digest = Digest::of(b"other"),
            |seen| seen.more = None,
            |seen| seen.more.as_mut().unwrap().versions = 2,
            |seen| seen.more.as_mut().unwrap().rights = Digest::of(b"b"),
            |seen| seen.more.as_mut().unwrap().next = Digest::of(b"a"),
        ];
        for change in change {
            let mut other = seen.clone();
            change(&mut other);
            assert_ne!(mac_input(&other), mac_input(&seen), "{other:?}");
        }
    }
}
