//! Asks the server's hand for a master key that a key service wraps.

use super::{Hand, message};
use crate::HandError;
use crate::types::TransitService;
use std::os::fd::BorrowedFd;
use std::path::Path;
use vigo_wire::hand::{self as wire, Ask};

impl Hand {
    /// Has the master key in use, or with `next` the one that waits, wrapped over that connection, and writes that into a new file of mode 0600.
    /// The connection is of no more use.
    ///
    /// # Errors
    /// `NotNow` when the service cannot be had at the moment; `KeyFile` when it refuses, is not trusted, or the file cannot be written.
    pub fn wrap_master_key(
        &mut self,
        connection: BorrowedFd<'_>,
        service: &TransitService,
        key_file: &Path,
        next: bool,
    ) -> Result<[u8; 16], HandError> {
        let request =
            wire::WrapMasterKey { service: service.clone(), path: message::path_text(key_file)?, next };
        let ask = Ask::WrapMasterKey;
        let answer: wire::VaultId = self.ask_with(ask, &request, &[connection], Some(super::ORDINARY))?;
        message::array(ask.name(), &answer.id)
    }

    /// Has the master key in a file unwrapped over that connection, and unlocks the vault with it; with `check` only looks whether that works.
    ///
    /// # Errors
    /// As [`Hand::wrap_master_key`]; `KeyFile` also when the service gave another key.
    pub fn unwrap_master_key(
        &mut self,
        connection: BorrowedFd<'_>,
        service: &TransitService,
        key_file: &Path,
        check: bool,
    ) -> Result<[u8; 16], HandError> {
        let path = message::path_text(key_file)?;
        let request = wire::UnwrapMasterKey { service: service.clone(), path, check };
        let ask = Ask::UnwrapMasterKey;
        let answer: wire::VaultId = self.ask_with(ask, &request, &[connection], Some(super::ORDINARY))?;
        if check { message::array(ask.name(), &answer.id) } else { self.has_master_key(ask, &answer) }
    }
}
