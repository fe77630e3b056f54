//! What `vigocli` asks its hand, beside [`Hand::one_time_key`].

use super::{Hand, message};
use crate::HandError;
use crate::types::{Binding, ImportKey, ImportKind, ImportName, Imported, ReadNote, SealedItem, VaultRecord};
use std::os::fd::{AsFd as _, BorrowedFd};
use vigo_base::{Sealed, SecretPath, SecretVersion};
use vigo_wire::hand::{self as wire, Ask, Nothing};

impl Hand {
    /// Reads a value to its end from `input` and seals it to the server's entry key. One final newline of a single line is dropped unless
    /// `exact`. A terminal does not show what is typed.
    ///
    /// # Errors
    /// `Input` when it is empty or longer than a secret may be; `Sealed` when the entry key is none.
    pub fn read_and_seal(
        &mut self,
        input: BorrowedFd<'_>,
        exact: bool,
        entry_key: &[u8; 32],
        path: &SecretPath,
    ) -> Result<(Sealed, ReadNote), HandError> {
        let request = wire::ReadAndSeal { exact, key: entry_key.to_vec(), path: path.to_string() };
        let _silence = Silence::on(input);
        let entered: wire::Entered = self.ask_with(Ask::ReadAndSeal, &request, &[input], None)?;
        let note = message::note(&entered);
        let sealed = entered.sealed.ok_or(HandError::Answer { what: Ask::ReadAndSeal.name() })?;
        Ok((message::sealed(sealed), note))
    }

    /// The same into a record of the unlocked vault (`--vault DIR`).
    ///
    /// # Errors
    /// `Input` as above; `Locked` without a vault.
    pub fn read_into_record(
        &mut self,
        input: BorrowedFd<'_>,
        exact: bool,
        path: &SecretPath,
        version: SecretVersion,
    ) -> Result<(Vec<u8>, ReadNote), HandError> {
        let request = wire::ReadIntoRecord { exact, path: path.to_string(), version: version.0 };
        let _silence = Silence::on(input);
        let entered: wire::Entered = self.ask_with(Ask::ReadIntoRecord, &request, &[input], None)?;
        let note = message::note(&entered);
        Ok((entered.record, note))
    }

    /// Reads a file of another tool into the hand, and says what it is. `format`: what it is said to be (`age`, `sops`, `ansible`, `env`).
    ///
    /// # Errors
    /// `Input` when it is too long, nothing that is known, or its values are under keys that are not known.
    pub fn read_import(
        &mut self,
        input: BorrowedFd<'_>,
        format: Option<&'static str>,
    ) -> Result<ImportKind, HandError> {
        let request = wire::ReadImport { format: format.unwrap_or_default().into() };
        // Somebody may type it.
        let kind: wire::ImportKind = self.ask_with(Ask::ReadImport, &request, &[input], None)?;
        let key = match (kind.identity, kind.passphrase) {
            (true, _) => ImportKey::Identity,
            (false, true) => ImportKey::Passphrase,
            (false, false) => ImportKey::None,
        };
        Ok(ImportKind { name: kind.kind, is_whole: kind.whole, key })
    }

    /// Opens the file that was read; `key` is where its identities or its passphrase come from, `content` what stands in one that was encrypted as
    /// a whole (`whole`, `yaml`, `json`, `env`), `only` what is wanted of it (all if that is empty).
    ///
    /// # Errors
    /// `KeyFile` and `Passphrase` when the key is another; `Input` when it was changed, or holds what cannot be taken.
    pub fn open_import(
        &mut self,
        key: Option<BorrowedFd<'_>>,
        content: &'static str,
        exact: bool,
        only: &[String],
    ) -> Result<Imported, HandError> {
        let request = wire::OpenImport { content: content.into(), exact, only: only.to_vec() };
        let _silence = key.and_then(Silence::on);
        let imported: wire::Imported = self.ask_with(Ask::OpenImport, &request, key.as_slice(), None)?;
        let name = |name: wire::ImportName| ImportName {
            key: name.key,
            left_out: name.left_out,
            is_short: name.short,
        };
        Ok(Imported {
            values: imported.values.into_iter().map(name).collect(),
            left_out: imported.left_out.into_iter().map(name).collect(),
            dropped_newline: imported.dropped_newline,
        })
    }

    /// Seals a value of the opened file to the server's entry key.
    ///
    /// # Errors
    /// `Sealed` when the entry key is none; `Bug` without such a value.
    pub fn seal_import(
        &mut self,
        value: u32,
        entry_key: &[u8; 32],
        path: &SecretPath,
    ) -> Result<Sealed, HandError> {
        let request = wire::SealImport { value, key: entry_key.to_vec(), path: path.to_string() };
        let entered: wire::Entered = self.ask(Ask::SealImport, &request)?;
        let sealed = entered.sealed.ok_or(HandError::Answer { what: Ask::SealImport.name() })?;
        Ok(message::sealed(sealed))
    }

    /// The same into a record of the unlocked vault.
    ///
    /// # Errors
    /// `Locked` without a vault; `Bug` without such a value.
    pub fn record_import(
        &mut self,
        value: u32,
        path: &SecretPath,
        version: SecretVersion,
    ) -> Result<Vec<u8>, HandError> {
        let request = wire::RecordImport { value, path: path.to_string(), version: version.0 };
        self.ask(Ask::RecordImport, &request).map(|wire::Bytes { bytes }| bytes)
    }

    /// Opens what was sealed to the one-time key and writes it to `output`, as it is.
    ///
    /// # Errors
    /// `Sealed` when it does not open; `Machine` when it cannot be written.
    pub fn show(
        &mut self,
        output: BorrowedFd<'_>,
        binding: &Binding,
        item: &SealedItem,
    ) -> Result<(), HandError> {
        let request =
            wire::Open { binding: message::binding(binding), items: vec![message::sealed_item(item)] };
        self.ask_with(Ask::Show, &request, &[output], None).map(|Nothing {}| ())
    }

    /// Opens a record of the unlocked vault and writes the value to `output`, as it is.
    ///
    /// # Errors
    /// `Locked` without a vault; `Machine` when it does not open or cannot be written.
    pub fn show_record(&mut self, output: BorrowedFd<'_>, record: &VaultRecord) -> Result<(), HandError> {
        self.ask_with(Ask::ShowRecord, &message::record(record), &[output], None).map(|Nothing {}| ())
    }
}

/// A terminal that does not show what is typed, until this is dropped.
pub(super) struct Silence<'a>(BorrowedFd<'a>, rustix::termios::Termios);

impl<'a> Silence<'a> {
    /// `None` if it is no terminal: then there is nothing to hide.
    pub(super) fn on(input: BorrowedFd<'a>) -> Option<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(input).ok()?;
        // Whoever asks for the value silences it before the prompt; once more would throw away what was typed since.
        if !before.local_modes.contains(LocalModes::ECHO) {
            return None;
        }
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(input, OptionalActions::Flush, &silent).ok()?;
        Some(Self(input, before))
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(self.0.as_fd(), rustix::termios::OptionalActions::Now, &self.1);
    }
}
