//! The taint ledger: every file that ever got a secret, until it is gone. Paths, device and inode numbers, names and versions of secrets; never a value nor a digest of one.

use crate::folder::{Folder, FolderError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use vigo_base::{AbsolutePath, Digest, Piece, Pieces, SecretPath, SecretVersion};
use vigo_resource::{Entry, EntryKind, Failure};

/// The format of the file that this build reads and writes.
const FORMAT: u32 = 1;
/// The name of the file in the state folder.
const NAME: &str = "ledger";
/// A ledger of this size has some 300,000 entries.
const LIMIT: usize = 64 << 20;

/// The ledger as it is remembered and as it stands in the file.
#[derive(Debug)]
pub struct Ledger {
    folder: Folder,
    targets: BTreeMap<String, Target>,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    format: u32,
    targets: BTreeMap<String, Target>,
}

/// A tainted file, and how it was left when Vigo last wrote or verified it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Target {
    left: Option<Left>,
}

/// How a file was left: while all of this holds it has the content that it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Left {
    device: u64,
    inode: u64,
    size: u64,
    changed_seconds: i64,
    changed_nanoseconds: u32,
    /// Of the literal text and the names of the secrets in it.
    content: String,
    versions: Vec<(String, u64)>,
}

impl Ledger {
    /// Opens the ledger of that state folder.
    ///
    /// # Errors
    /// When it cannot be read or is of a later format: then nothing may be written either, since what is tainted is not known.
    pub fn open(state: &Path) -> Result<Self, Failure> {
        let folder = Folder::open(state).map_err(failed)?;
        let Some(bytes) = folder.read(NAME, LIMIT).map_err(failed)? else {
            return Ok(Self { folder, targets: BTreeMap::new() });
        };
        let file: File = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::failed(format!("cannot read `{}/{NAME}`: {error}", state.display()))
                .help("restore the file from a backup; without it Vigo does not know which files hold secrets")
        })?;
        if file.format != FORMAT {
            return Err(Failure::failed(format!("cannot read `{}/{NAME}`: a later version of Vigo wrote it", state.display()))
                .help("upgrade this version of Vigo"));
        }
        Ok(Self { folder, targets: file.targets })
    }

    /// True if the file there ever got a secret.
    #[must_use]
    pub fn holds(&self, path: &AbsolutePath) -> bool {
        self.targets.contains_key(path.as_str())
    }

    /// True if `text` names a file that ever got a secret.
    #[must_use]
    pub fn is_named_in(&self, text: &str) -> bool {
        self.targets.keys().any(|path| text.contains(path.as_str()))
    }

    /// Remembers, before the first byte of a secret is written there.
    ///
    /// # Errors
    /// When it cannot be made durable; then the secret must not be written.
    pub fn taint(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        if self.holds(path) {
            return Ok(());
        }
        self.targets.insert(path.as_str().to_owned(), Target::default());
        self.save()
    }

    /// Remembers how a tainted file was left after it was written or found right.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn leave(
        &mut self,
        path: &AbsolutePath,
        entry: &Entry,
        content: &Pieces,
        versions: &[(SecretPath, SecretVersion)],
    ) -> Result<(), Failure> {
        let left = left(entry, content, versions);
        let target = self.targets.entry(path.as_str().to_owned()).or_default();
        if target.left.as_ref() == Some(&left) {
            return Ok(());
        }
        target.left = Some(left);
        self.save()
    }

    /// True if the file is as it was left with this content in these versions.
    #[must_use]
    pub fn is_as_left(&self, path: &AbsolutePath, entry: &Entry, content: &Pieces) -> bool {
        let Some(known) = self.targets.get(path.as_str()).and_then(|target| target.left.as_ref()) else {
            return false;
        };
        let versions: Vec<(SecretPath, SecretVersion)> = known
            .versions
            .iter()
            .filter_map(|(path, version)| Some((path.parse().ok()?, SecretVersion(*version))))
            .collect();
        entry.kind == EntryKind::File && *known == left(entry, content, &versions)
    }

    /// Forgets a file that is gone.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn forget(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        match self.targets.remove(path.as_str()) {
            Some(_) => self.save(),
            None => Ok(()),
        }
    }

    fn save(&mut self) -> Result<(), Failure> {
        let file = File { format: FORMAT, targets: std::mem::take(&mut self.targets) };
        let bytes = serde_json::to_vec(&file);
        self.targets = file.targets;
        let bytes = bytes.map_err(|error| Failure::failed(format!("cannot write the ledger: {error}")))?;
        self.folder.write(NAME, &bytes).map_err(failed)
    }
}

fn failed(error: FolderError) -> Failure {
    use std::error::Error;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Failure::failed(format!("{error}{cause}"))
}

fn left(entry: &Entry, content: &Pieces, versions: &[(SecretPath, SecretVersion)]) -> Left {
    let mut versions: Vec<(String, u64)> =
        versions.iter().map(|(path, version)| (path.as_str().to_owned(), version.0)).collect();
    versions.sort();
    Left {
        device: entry.device,
        inode: entry.inode,
        size: entry.size,
        changed_seconds: entry.changed_at.seconds,
        changed_nanoseconds: entry.changed_at.nanoseconds,
        content: digest(content).to_string(),
        versions,
    }
}

/// A digest of what the policy says: literals, names of secrets, filters. Each part is preceded by its length, so that no two texts have one.
fn digest(content: &Pieces) -> Digest {
    let mut bytes = Vec::with_capacity(content.literal_len() + 64);
    let mut part = |kind: u8, text: &str| {
        bytes.push(kind);
        bytes.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    };
    for piece in content.as_slice() {
        match piece {
            Piece::Literal(text) => part(b'l', text),
            Piece::Slot(slot) => {
                part(b's', slot.path.as_str());
                slot.filters.iter().for_each(|filter| part(b'f', filter.name()));
            }
        }
    }
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vigo_base::{Mode, Slot};
    use vigo_resource::Timestamp;

    fn entry(inode: u64) -> Entry {
        Entry {
            kind: EntryKind::File,
            mode: Mode::SECRET,
            owner: 0,
            group: 0,
            size: 7,
            device: 1,
            inode,
            links: 1,
            changed_at: Timestamp { seconds: 5, nanoseconds: 6 },
            link_target: None,
        }
    }

    fn content() -> Pieces {
        let mut pieces = Pieces::literal("token ");
        pieces.push_slot(Slot { path: "web/token".parse().unwrap(), filters: Vec::new() });
        pieces
    }

    #[test]
    fn a_target_stays_tainted_over_a_restart_until_it_is_gone() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        let path: AbsolutePath = "/etc/token".parse().unwrap();
        let versions = [("web/token".parse().unwrap(), SecretVersion(3))];
        let mut ledger = Ledger::open(&state).unwrap();
        ledger.taint(&path).unwrap();
        assert!(!ledger.is_as_left(&path, &entry(9), &content()));
        ledger.leave(&path, &entry(9), &content(), &versions).unwrap();

        let mut ledger = Ledger::open(&state).unwrap();
        assert!(ledger.holds(&path));
        assert!(ledger.is_as_left(&path, &entry(9), &content()));
        assert!(!ledger.is_as_left(&path, &entry(10), &content()), "another inode is another file");
        assert!(!ledger.is_as_left(&path, &entry(9), &Pieces::literal("token ")), "another text");
        ledger.forget(&path).unwrap();
        assert!(!Ledger::open(&state).unwrap().holds(&path));
    }

    #[test]
    fn a_ledger_of_a_later_version_stops_everything() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        let folder = Folder::open(&state).unwrap();
        folder.write("ledger", b"{\"format\":2,\"targets\":{}}").unwrap();
        assert!(Ledger::open(&state).unwrap_err().help.contains("upgrade"));
    }
}
