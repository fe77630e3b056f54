//! How far the store had come, beside the master key and so away from what a copy of the store puts back: an older store is known as such.
//!
//! What rises is the audit chain: no secret, token, policy or envoy changes without a record in it. The witness follows it at every change of a
//! secret, every few seconds and at the end; a store may be ahead of its witness, never behind it.

use crate::{ServerError, folder};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq as _;
use vigo_base::{Digest, decode_hex, encode_hex};
use vigo_hand::{Hand, MacLabel};
use vigo_store::{AuditHead, Page, Store};

/// What the MAC is over, so that no other text is taken for one.
const CONTEXT: &[u8] = b"vigo store witness v1";
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

/// What the MAC of a witness is over.
#[must_use]
pub fn mac_input(head: &AuditHead) -> Vec<u8> {
    [CONTEXT, &head.sequence.to_be_bytes(), head.digest.as_bytes()].concat()
}

/// The text of a witness.
#[must_use]
pub fn text(head: &AuditHead, mac: &[u8; 32]) -> String {
    format!("vigo-witness 1 {} {} {}\n", head.sequence, head.digest, encode_hex(mac))
}

/// Reads a witness; `None` if there is none.
///
/// # Errors
/// When it cannot be read or is none of this master key.
pub fn read(path: &Path, hand: &mut Hand) -> Result<Option<AuditHead>, ServerError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(ServerError::Read { path: path.into(), cause }),
    };
    let forged = || ServerError::Forged { what: "witness", name: path.display().to_string() };
    let (head, mac) = parse(&text).ok_or_else(forged)?;
    let right = hand.mac(MacLabel::GrantingRow, &mac_input(&head))?;
    if bool::from(right.as_slice().ct_eq(&mac)) { Ok(Some(head)) } else { Err(forged()) }
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

fn parse(text: &str) -> Option<(AuditHead, Vec<u8>)> {
    let text = Some(text).filter(|text| text.len() <= LONGEST)?;
    let words: Vec<&str> = text.trim_end().split(' ').collect();
    let ["vigo-witness", "1", sequence, digest, mac] = words.as_slice() else { return None };
    let digest = Digest::from_bytes(&decode_hex(digest)?)?;
    Some((AuditHead { sequence: sequence.parse().ok()?, digest }, decode_hex(mac)?))
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
    /// There is no witness.
    Unwitnessed,
}

/// Compares a store with its witness. `None`: it is the one.
///
/// # Errors
/// When the store cannot be read.
pub fn doubt(store: &dyn Store, witness: Option<&AuditHead>) -> Result<Option<Doubt>, ServerError> {
    let Some(witness) = witness else { return Ok(Some(Doubt::Unwitnessed)) };
    let head = store.audit_head()?;
    if head.sequence < witness.sequence {
        return Ok(Some(Doubt::Older { seen: witness.sequence, found: head.sequence }));
    }
    if witness.sequence == 0 {
        return Ok(None);
    }
    let cursor = witness.sequence.saturating_add(1).to_string();
    let page = store.audit(Page { cursor: Some(&cursor), limit: 1 })?;
    let same = page.items.first().is_some_and(|record| record.head() == *witness);
    Ok(if same { None } else { Some(Doubt::Other { seen: witness.sequence }) })
}

/// Follows the audit chain.
pub struct Witness {
    path: PathBuf,
    written: Mutex<u64>,
}

impl Witness {
    /// Follows it into that folder.
    #[must_use]
    pub fn new(keys: &Path) -> Self {
        Self { path: file(keys), written: Mutex::new(0) }
    }

    /// Writes down how far the store has come, if it has come further. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read, the hand cannot, or the file cannot be written.
    pub fn follow(
        &self,
        store: &dyn Store,
        mac: impl FnOnce(&[u8]) -> Result<[u8; 32], ServerError>,
    ) -> Result<(), ServerError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let head = store.audit_head()?;
        if head.sequence <= *written {
            return Ok(());
        }
        folder::replace(&self.path, text(&head, &mac(&mac_input(&head))?).as_bytes(), 0o600)?;
        *written = head.sequence;
        Ok(())
    }
}

/// Writes the witness of a head with the key in use.
///
/// # Errors
/// When the hand cannot, or the file cannot be written.
pub fn write(path: &Path, head: &AuditHead, hand: &mut Hand) -> Result<(), ServerError> {
    let mac = hand.mac(MacLabel::GrantingRow, &mac_input(head))?;
    folder::replace(path, text(head, &mac).as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_reads_back_and_nothing_else_is_one() {
        let head = AuditHead { sequence: 7, digest: Digest::of(b"record") };
        let written = text(&head, &[9; 32]);
        assert_eq!(parse(&written), Some((head, vec![9; 32])));
        for wrong in ["", "vigo-witness 2 7 00 00", "vigo-witness 1 7", &written.repeat(2), &"x".repeat(2000)]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
