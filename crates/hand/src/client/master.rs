//! Where master keys are kept, and how another takes the place of the one in use. Asked by `vigosrv` and by who has a vault.

use super::operator::Silence;
use super::{Hand, message};
use crate::HandError;
use crate::types::{Authenticated, KeyForm, KeyInfo, MacLabel, Rekeyed, VaultRecord, WrapLabel};
use std::os::fd::BorrowedFd;
use std::path::Path;
use vigo_wire::hand::{self as wire, Ask, Nothing};

/// A key's passphrase on its way into the hand.
#[derive(Clone, Copy)]
pub struct NewPassphrase<'a> {
    /// The descriptor from which a line is read; a terminal does not show what is typed.
    pub input: BorrowedFd<'a>,
    /// It is read twice, because somebody types it unseen.
    pub twice: bool,
}

impl Hand {
    /// Makes a master key, stores it in a new file of mode 0600 and unlocks the vault with it. Never over an existing file. Gives its id.
    ///
    /// # Errors
    /// `KeyFile` when there is a file already or it cannot be written.
    pub fn create_master_key(&mut self, key_file: &Path) -> Result<[u8; 16], HandError> {
        self.key_file(Ask::CreateMasterKey, key_file)
    }

    /// Reads a master key from its file, which nobody else may read. Gives its id.
    ///
    /// # Errors
    /// `KeyFile` when it cannot be read, is open to others, or is no master key; `Passphrase` when it is under one.
    pub fn unlock_vault(&mut self, key_file: &Path) -> Result<[u8; 16], HandError> {
        self.key_file(Ask::UnlockVault, key_file)
    }

    /// Reads a master key that is under the passphrase that comes from `passphrase`: one line, or all there is. A terminal does not show it.
    ///
    /// # Errors
    /// As [`Hand::unlock_vault`]; `KeyFile` when it is another passphrase, `Room` when there is no memory to try it in.
    pub fn unlock_vault_with(
        &mut self,
        key_file: &Path,
        passphrase: BorrowedFd<'_>,
    ) -> Result<[u8; 16], HandError> {
        let request = wire::File { path: message::path_text(key_file)? };
        let _silence = Silence::on(passphrase);
        let answer: wire::VaultId = self.ask_with(Ask::UnlockVault, &request, &[passphrase], None)?;
        self.has_master_key(Ask::UnlockVault, &answer)
    }

    /// Which master key it has, if it has one: what is unlocked need not be unlocked again.
    #[must_use]
    pub const fn unlocked(&self) -> Option<[u8; 16]> {
        self.unlocked
    }

    /// What a key file says openly. Unlocks nothing.
    ///
    /// # Errors
    /// `KeyFile` when it cannot be read, is open to others, or is no master key.
    pub fn look_at_key(&mut self, key_file: &Path) -> Result<KeyInfo, HandError> {
        let what = Ask::LookAtKey.name();
        let request = wire::File { path: message::path_text(key_file)? };
        let answer: wire::KeyInfo = self.ask(Ask::LookAtKey, &request)?;
        let form = match answer.form.as_str() {
            "plain" => KeyForm::Plain,
            "passphrase" => KeyForm::Passphrase,
            "transit" => KeyForm::Transit,
            _ => return Err(HandError::Answer { what }),
        };
        Ok(KeyInfo { id: message::array(what, &answer.id)?, form })
    }

    /// Makes the master key that is to take the place of the one in use, or reads it from `from`. Gives its id.
    ///
    /// # Errors
    /// `KeyFile` when it cannot be read or is the one in use.
    pub fn prepare_master_key(&mut self, from: Option<&Path>) -> Result<[u8; 16], HandError> {
        let file = from.map(message::path_text).transpose()?.unwrap_or_default();
        let answer: wire::VaultId = self.ask(Ask::PrepareMasterKey, &wire::PrepareMasterKey { file })?;
        message::array(Ask::PrepareMasterKey.name(), &answer.id)
    }

    /// Writes a new master key, which nothing is under yet, to `output`: for systemd-creds(1).
    ///
    /// # Errors
    /// `Machine` when it cannot be written.
    pub fn show_new_master_key(&mut self, output: BorrowedFd<'_>) -> Result<(), HandError> {
        self.ask_with(Ask::ShowNewMasterKey, &Nothing {}, &[output], None).map(|Nothing {}| ())
    }

    /// Writes the key in use into a new file, under a passphrase if there is one. Never over an existing file. Gives its id.
    ///
    /// # Errors
    /// `KeyFile` when there is a file already or it cannot be written, or the passphrase is too short; `Input` when the two are not the same.
    pub fn store_master_key(
        &mut self,
        key_file: &Path,
        passphrase: Option<NewPassphrase<'_>>,
    ) -> Result<[u8; 16], HandError> {
        self.store(key_file, false, passphrase)
    }

    /// The same with the key that waits to be adopted.
    ///
    /// # Errors
    /// As there; `Locked` when none was prepared.
    pub fn store_next_master_key(
        &mut self,
        key_file: &Path,
        passphrase: Option<NewPassphrase<'_>>,
    ) -> Result<[u8; 16], HandError> {
        self.store(key_file, true, passphrase)
    }

    /// Puts records, wrapped keys and MACs under the master key that waits, each verified under the one in use. At most 4 MiB.
    ///
    /// # Errors
    /// `Machine` when one does not verify; `Locked` when no key waits.
    pub fn rekey(
        &mut self,
        records: &[VaultRecord],
        wraps: &[(WrapLabel, Vec<u8>)],
        macs: &[Authenticated],
    ) -> Result<Rekeyed, HandError> {
        let labelled = |(label, bytes): &(WrapLabel, Vec<u8>)| wire::Labelled {
            label: label.name().into(),
            bytes: bytes.clone(),
        };
        let authenticated = |row: &Authenticated| wire::Authenticated {
            label: row.label.name().into(),
            bytes: row.bytes.clone(),
            mac: row.mac.clone(),
        };
        let request = wire::Rekey {
            records: records.iter().map(message::record).collect(),
            wraps: wraps.iter().map(labelled).collect(),
            macs: macs.iter().map(authenticated).collect(),
        };
        let what = Ask::Rekey.name();
        let answer: wire::Rekeyed = self.ask(Ask::Rekey, &request)?;
        let lengths = [answer.records.len(), answer.wraps.len(), answer.macs.len()];
        if lengths != [records.len(), wraps.len(), macs.len()] {
            return Err(HandError::Answer { what });
        }
        let macs: Result<_, _> = answer.macs.iter().map(|mac| message::array(what, mac)).collect();
        Ok(Rekeyed { records: answer.records, wraps: answer.wraps, macs: macs? })
    }

    /// A MAC of a vault's manifest or witness under the master key that waits.
    ///
    /// # Errors
    /// `Locked` when no key waits.
    pub fn next_manifest_mac(&mut self, bytes: &[u8]) -> Result<[u8; 32], HandError> {
        let row = Authenticated { label: MacLabel::VaultManifest, bytes: bytes.to_vec(), mac: Vec::new() };
        let macs = self.rekey(&[], &[], &[row])?.macs;
        macs.first().copied().ok_or(HandError::Answer { what: Ask::Rekey.name() })
    }

    /// The master key that waits is the one in use from here on; the other is wiped.
    ///
    /// # Errors
    /// `Locked` when none waits.
    pub fn adopt_master_key(&mut self) -> Result<[u8; 16], HandError> {
        let answer: wire::VaultId = self.ask(Ask::AdoptMasterKey, &Nothing {})?;
        self.has_master_key(Ask::AdoptMasterKey, &answer)
    }

    fn store(
        &mut self,
        key_file: &Path,
        next: bool,
        passphrase: Option<NewPassphrase<'_>>,
    ) -> Result<[u8; 16], HandError> {
        let request = wire::StoreMasterKey {
            path: message::path_text(key_file)?,
            next,
            passphrase: passphrase.is_some(),
            twice: passphrase.is_some_and(|passphrase| passphrase.twice),
        };
        let ask = Ask::StoreMasterKey;
        let answer: wire::VaultId = match passphrase {
            None => self.ask(ask, &request)?,
            Some(NewPassphrase { input, .. }) => {
                let _silence = Silence::on(input);
                self.ask_with(ask, &request, &[input], None)?
            }
        };
        message::array(ask.name(), &answer.id)
    }

    fn key_file(&mut self, ask: Ask, key_file: &Path) -> Result<[u8; 16], HandError> {
        let answer: wire::VaultId = self.ask(ask, &wire::File { path: message::path_text(key_file)? })?;
        self.has_master_key(ask, &answer)
    }

    pub(super) fn has_master_key(&mut self, ask: Ask, answer: &wire::VaultId) -> Result<[u8; 16], HandError> {
        let id = message::array(ask.name(), &answer.id)?;
        self.unlocked = Some(id);
        Ok(id)
    }
}
