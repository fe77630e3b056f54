//! What outlives a run, in the state folder: notifications owed, and what resources with secrets were last applied with.

use crate::error::AgentError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use vigo_base::{Digest, SecretPath, SecretVersion};
use vigo_engine::{AppliedRecord, AppliedStore, OwedStore, Stamp};
use vigo_host::{Folder, FolderError};
use vigo_resource::{Failure, Timestamp};

const FORMAT: u32 = 1;
const APPLIED: &str = "applied";
/// What was applied since that file was written, a line each: a run with many secrets does not write it anew for each of them.
const SINCE: &str = "applied.since";
const LIMIT: usize = 64 << 20;

/// Debts of notification: a file each, so that one is added or struck by one durable step.
pub struct Owed<'a> {
    folder: &'a Folder,
    targets: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
struct Debt {
    format: u32,
    target: String,
    source: String,
}

impl<'a> Owed<'a> {
    /// Reads the debts.
    ///
    /// # Errors
    /// When they cannot be read: running on without them could lose one.
    pub fn load(folder: &'a Folder) -> Result<Self, AgentError> {
        let mut targets = BTreeSet::new();
        for name in folder.names()? {
            let Some(bytes) = folder.read(&name, 1 << 16)? else { continue };
            let debt: Debt = parse(folder, &name, &bytes)?;
            targets.insert(debt.target);
        }
        Ok(Self { folder, targets })
    }
}

/// A file name for any id.
fn file_name(target: &str) -> String {
    Digest::of(target.as_bytes()).to_string()
}

fn parse<'de, T: Deserialize<'de>>(folder: &Folder, name: &str, bytes: &'de [u8]) -> Result<T, AgentError> {
    serde_json::from_slice(bytes)
        .map_err(|error| AgentError::Stored { path: folder.path().join(name), why: error.to_string() })
}

fn failure(error: &FolderError) -> Failure {
    Failure::failed(vigo_base::chain(error))
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value)
        .map_err(|error| Failure::failed(format!("cannot write to the state folder: {error}")))
}

impl OwedStore for Owed<'_> {
    fn is_owed(&self, target: &str) -> bool {
        self.targets.contains(target)
    }

    fn add(&mut self, source: &str, targets: &[&str]) -> Result<(), Failure> {
        for target in targets {
            if self.targets.contains(*target) {
                continue;
            }
            let debt = Debt { format: FORMAT, target: (*target).to_owned(), source: source.to_owned() };
            self.folder.write(&file_name(target), &encode(&debt)?).map_err(|error| failure(&error))?;
            self.targets.insert((*target).to_owned());
        }
        Ok(())
    }

    fn strike(&mut self, target: &str) -> Result<(), Failure> {
        if self.targets.remove(target) {
            self.folder.remove(&file_name(target)).map_err(|error| failure(&error))?;
        }
        Ok(())
    }
}

/// What resources with secrets were last applied with.
pub struct Applied<'a> {
    folder: &'a Folder,
    records: BTreeMap<String, AppliedRecord>,
    /// A line could not be added whole: the next record writes the file anew.
    is_torn: bool,
}

/// A line of [`SINCE`].
#[derive(Serialize, Deserialize)]
struct Since {
    id: String,
    record: StoredRecord,
}

#[derive(Serialize, Deserialize)]
struct AppliedFile {
    format: u32,
    resources: BTreeMap<String, StoredRecord>,
}

#[derive(Serialize, Deserialize)]
struct StoredRecord {
    secrets: Vec<(String, u64)>,
    attributes: String,
    target: Option<StoredStamp>,
}

#[derive(Serialize, Deserialize)]
struct StoredStamp {
    device: u64,
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: u32,
}

impl<'a> Applied<'a> {
    /// Reads the records.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn load(folder: &'a Folder) -> Result<Self, AgentError> {
        let stored = match folder.read(APPLIED, LIMIT)? {
            Some(bytes) => parse::<AppliedFile>(folder, APPLIED, &bytes)?.resources,
            None => BTreeMap::new(),
        };
        let records = stored.into_iter().filter_map(|(id, stored)| Some((id, stored.into_record()?)));
        let mut applied = Self { folder, records: records.collect(), is_torn: false };
        let (lines, is_there) = folder.lines(SINCE, LIMIT)?;
        for line in lines {
            let since: Since = parse(folder, SINCE, &line)?;
            if let Some(record) = since.record.into_record() {
                applied.records.insert(since.id, record);
            }
        }
        if is_there {
            applied.save().map_err(|failure| AgentError::Run(failure.reason))?;
        }
        Ok(applied)
    }

    /// Makes one record durable, by a line.
    fn add(&mut self, id: &str, record: &AppliedRecord) -> Result<(), Failure> {
        if self.is_torn {
            return self.save();
        }
        let since = Since { id: id.to_owned(), record: StoredRecord::of(record) };
        let added = self.folder.append(SINCE, &encode(&since)?, true);
        self.is_torn = added.is_err();
        added.map_err(|error| failure(&error))
    }

    /// Writes the whole of it; the lines since are then none.
    fn save(&mut self) -> Result<(), Failure> {
        let resources =
            self.records.iter().map(|(id, record)| (id.clone(), StoredRecord::of(record))).collect();
        let bytes = encode(&AppliedFile { format: FORMAT, resources })?;
        self.folder.write(APPLIED, &bytes).map_err(|error| failure(&error))?;
        // A crash before this leaves lines that say what the file says already.
        self.folder.remove(SINCE).map_err(|error| failure(&error))?;
        self.is_torn = false;
        Ok(())
    }
}

impl StoredRecord {
    fn of(record: &AppliedRecord) -> Self {
        Self {
            secrets: record.secrets.iter().map(|(path, version)| (path.to_string(), version.0)).collect(),
            attributes: record.attributes.to_string(),
            target: record.target.map(|stamp| StoredStamp {
                device: stamp.device,
                inode: stamp.inode,
                size: stamp.size,
                seconds: stamp.changed_at.seconds,
                nanoseconds: stamp.changed_at.nanoseconds,
            }),
        }
    }

    /// `None` for what no version of Vigo wrote: then the resource counts as never applied.
    fn into_record(self) -> Option<AppliedRecord> {
        let secrets: Option<Vec<_>> = self
            .secrets
            .into_iter()
            .map(|(path, version)| Some((path.parse().ok()?, SecretVersion(version))))
            .collect();
        Some(AppliedRecord {
            secrets: secrets?,
            attributes: self.attributes.parse().ok()?,
            target: self.target.map(|stamp| Stamp {
                device: stamp.device,
                inode: stamp.inode,
                size: stamp.size,
                changed_at: Timestamp { seconds: stamp.seconds, nanoseconds: stamp.nanoseconds },
            }),
        })
    }
}

impl AppliedStore for Applied<'_> {
    fn get(&self, id: &str) -> Option<AppliedRecord> {
        self.records.get(id).cloned()
    }

    fn secrets(&self) -> Vec<SecretPath> {
        let all = self.records.values().flat_map(|record| &record.secrets);
        all.map(|(path, _)| path.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn put(&mut self, id: &str, record: AppliedRecord) -> Result<(), Failure> {
        if self.records.get(id) == Some(&record) {
            return Ok(());
        }
        self.records.insert(id.to_owned(), record.clone());
        self.add(id, &record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debt_outlives_the_run_until_it_is_struck() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(&place.path().join("owed")).unwrap();
        let mut owed = Owed::load(&folder).unwrap();
        owed.add("a:file", &["a:reload", "b:restart"]).unwrap();
        let mut owed = Owed::load(&folder).unwrap();
        assert!(owed.is_owed("a:reload") && owed.is_owed("b:restart"));
        owed.strike("a:reload").unwrap();
        let owed = Owed::load(&folder).unwrap();
        assert!(!owed.is_owed("a:reload") && owed.is_owed("b:restart"));
    }

    #[test]
    fn what_was_applied_is_read_back() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(&place.path().join("state")).unwrap();
        let record = AppliedRecord {
            secrets: vec![("web/token".parse().unwrap(), SecretVersion(3))],
            attributes: Digest::of(b"x"),
            target: Some(Stamp {
                device: 1,
                inode: 2,
                size: 3,
                changed_at: Timestamp { seconds: -4, nanoseconds: 5 },
            }),
        };
        Applied::load(&folder).unwrap().put("a:b", record.clone()).unwrap();
        assert!(!place.path().join("state/applied").exists(), "it is not written anew for each");
        assert_eq!(Applied::load(&folder).unwrap().get("a:b"), Some(record.clone()));
        assert!(place.path().join("state/applied").exists(), "put together once, at the start");
        let other = AppliedRecord { attributes: Digest::of(b"y"), ..record.clone() };
        Applied::load(&folder).unwrap().put("a:d", other).unwrap();
        // What was ever given here, each once.
        assert_eq!(Applied::load(&folder).unwrap().secrets(), ["web/token".parse().unwrap()]);
        assert_eq!(Applied::load(&folder).unwrap().get("a:b"), Some(record));
        assert_eq!(Applied::load(&folder).unwrap().get("a:c"), None);
    }
}
