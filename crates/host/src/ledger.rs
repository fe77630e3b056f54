//! The taint ledger: the path of every file that ever got a secret, until it is gone. Never a value, nor a digest of one.

use crate::folder::Folder;
use crate::map::folder_failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;
use vigo_base::AbsolutePath;
use vigo_resource::Failure;

/// The format of the file that this build reads and writes.
const FORMAT: u32 = 1;
/// The name of the file in the state folder.
const NAME: &str = "ledger";
/// A ledger of this size has some 500,000 entries.
const LIMIT: usize = 64 << 20;

/// The ledger as it is remembered and as it stands in the file.
#[derive(Debug)]
pub struct Ledger {
    folder: Folder,
    targets: BTreeSet<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    format: u32,
    targets: BTreeSet<String>,
}

impl Ledger {
    /// Opens the ledger of that state folder.
    ///
    /// # Errors
    /// When it cannot be read or is of a later format: then nothing may be written either, since what is tainted is not known.
    pub fn open(state: &Path) -> Result<Self, Failure> {
        let folder = Folder::open(state).map_err(|error| folder_failure(&error))?;
        let Some(bytes) = folder.read(NAME, LIMIT).map_err(|error| folder_failure(&error))? else {
            return Ok(Self { folder, targets: BTreeSet::new() });
        };
        let cannot =
            |why: String| Failure::failed(format!("cannot read `{}/{NAME}`: {why}", state.display()));
        let file: File = serde_json::from_slice(&bytes).map_err(|error| {
            cannot(error.to_string()).help(
                "restore the file from a backup; without it Vigo does not know which files hold secrets",
            )
        })?;
        if file.format != FORMAT {
            return Err(
                cannot("a later version of Vigo wrote it".to_owned()).help("upgrade this version of Vigo")
            );
        }
        Ok(Self { folder, targets: file.targets })
    }

    /// True if the file there ever got a secret.
    #[must_use]
    pub fn holds(&self, path: &AbsolutePath) -> bool {
        self.targets.contains(path.as_str())
    }

    /// True if `text` names a file that ever got a secret.
    #[must_use]
    pub fn is_named_in(&self, text: &str) -> bool {
        self.targets.iter().any(|path| text.contains(path.as_str()))
    }

    /// Remembers, before the first byte of a secret is written there.
    ///
    /// # Errors
    /// When it cannot be made durable; then the secret must not be written.
    pub fn taint(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        if self.targets.insert(path.as_str().to_owned()) { self.save() } else { Ok(()) }
    }

    /// Forgets a file that is gone.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn forget(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        if self.targets.remove(path.as_str()) { self.save() } else { Ok(()) }
    }

    fn save(&mut self) -> Result<(), Failure> {
        let file = File { format: FORMAT, targets: std::mem::take(&mut self.targets) };
        let bytes = serde_json::to_vec(&file);
        self.targets = file.targets;
        let bytes = bytes.map_err(|error| Failure::failed(format!("cannot write the ledger: {error}")))?;
        self.folder.write(NAME, &bytes).map_err(|error| folder_failure(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_stays_tainted_over_a_restart_until_it_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        let path: AbsolutePath = "/etc/token".parse().unwrap();
        Ledger::open(&state).unwrap().taint(&path).unwrap();
        let mut ledger = Ledger::open(&state).unwrap();
        assert!(ledger.holds(&path));
        assert!(ledger.is_named_in("grep x /etc/token | wc") && !ledger.is_named_in("cat /etc/motd"));
        ledger.forget(&path).unwrap();
        assert!(!Ledger::open(&state).unwrap().holds(&path));
    }

    #[test]
    fn a_ledger_of_a_later_version_stops_everything() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        let folder = Folder::open(&state).unwrap();
        folder.write("ledger", b"{\"format\":2,\"targets\":[]}").unwrap();
        assert!(Ledger::open(&state).unwrap_err().help.contains("upgrade"));
    }
}
