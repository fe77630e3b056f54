//! Copies of files of this machine: those that anybody may read by ourselves, those with a secret by the hand.

use super::RealHost;
use crate::map;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use vigo_base::AbsolutePath;
use vigo_hand::target::Durability;
use vigo_resource::{Context, Entry, Failure, Host as _, Placement};

impl RealHost<'_> {
    /// The file that is to be copied, open and not read.
    pub(super) fn open_source(&self, source: &AbsolutePath) -> Result<(std::fs::File, Entry), Failure> {
        self.folders
            .open_file(source)?
            .ok_or_else(|| Failure::failed(format!("cannot copy `{source}`: there is no such file")))
    }

    /// A copy of what only the hand may read. Its taint goes along.
    pub(super) fn copy_tainted(
        &self,
        placement: &Placement,
        source: &AbsolutePath,
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        if placement.validation.is_some() {
            return Err(Failure::blocked(format!(
                "cannot validate a copy of `{source}`: it holds a secret, or is not for everybody to read"
            ))
            .help("leave out `validate`, or name the secret in `content` instead"));
        }
        let secrets = self.ledger.borrow().secrets_at(source);
        let before = self.ledger.borrow_mut().taint(&placement.path, &secrets)?;
        let (file, entry) = self.open_source(source)?;
        let target = map::placement(placement, Durability::Each);
        let placed =
            self.parts.hands.with(|hand| hand.copy(&target, file.as_fd(), entry.size, context.id))?;
        self.ledger.borrow_mut().settle(&before, &placed, &secrets)?;
        self.exposures.note_copy(&placement.path, source, self.file_way(&placement.path));
        Ok(())
    }

    pub(super) fn read_source(&self, source: &AbsolutePath) -> Result<Vec<u8>, Failure> {
        let (file, entry) = self.open_source(source)?;
        if entry.size > COPY_LIMIT {
            return Err(Failure::failed(format!(
                "cannot copy `{source}`: it has {} bytes, {COPY_LIMIT} are the limit",
                entry.size
            )));
        }
        let mut bytes = Vec::new();
        file.take(COPY_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::failed(format!("cannot read `{source}`: {error}")))?;
        Ok(bytes)
    }
}

/// `copy_from` holds the file in memory while it compares; larger files are for an archive or a package.
const COPY_LIMIT: u64 = 64 << 20;
