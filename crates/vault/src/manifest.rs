//! What a vault holds, as one text under a MAC, and the witness of how far it had come. No I/O.

use crate::error::VaultError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use subtle::ConstantTimeEq as _;
use vigo_base::{Digest, SecretPath, SecretVersion};

/// The format that this build writes.
const FORMAT: u32 = 1;
/// What the MACs are over, so that one text cannot be taken for the other.
const MANIFEST_CONTEXT: &[u8] = b"vigo vault manifest v1";
const WITNESS_CONTEXT: &[u8] = b"vigo vault witness v1";

/// What a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionState {
    /// What is used.
    Current,
    /// An older one that is kept.
    Kept,
    /// Removed: its record is gone, its number is not used again.
    Removed,
}

/// A secret that has a current version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The path.
    pub path: SecretPath,
    /// The current version.
    pub version: SecretVersion,
    /// How many versions are kept.
    pub versions: u64,
    /// When the current version came, seconds since 1970.
    pub updated_at: u64,
    /// By whom.
    pub updated_by: String,
}

/// One version of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The version.
    pub version: SecretVersion,
    /// When it came or was removed, seconds since 1970.
    pub at: u64,
    /// By whom.
    pub by: String,
    /// What it is now.
    pub state: VersionState,
}

/// What a vault holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    format: u32,
    /// The id of the master key, in hexadecimal.
    master_key: String,
    /// Rises with every change.
    pub(crate) counter: u64,
    /// Versions up to this one may have been given before an older copy was put back: none of them is given again.
    #[serde(default, skip_serializing_if = "is_zero")]
    floor: u64,
    /// What was done to the vault as a whole, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    events: Vec<Event>,
    secrets: BTreeMap<String, Vec<Version>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Version {
    version: u64,
    at: u64,
    by: String,
    state: VersionState,
    /// SHA-256 of the record, which is ciphertext; in hexadecimal.
    record: String,
}

/// What was done to a vault as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, seconds since 1970.
    pub at: u64,
    /// By whom.
    pub by: String,
    /// `rekeyed` or `older copy accepted`, with what belongs to it.
    pub what: String,
}

/// So many events are kept, the newest.
const EVENTS: usize = 200;

/// For serde, which gives a reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How far the manifest had come. It stands beside the master key, away from what a copy of the records puts back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Witness {
    format: u32,
    counter: u64,
    /// SHA-256 of the manifest of that counter, in hexadecimal.
    manifest: String,
}

impl Manifest {
    pub(crate) fn new(master_key: &[u8; 16]) -> Self {
        let master_key = vigo_base::encode_hex(master_key);
        Self {
            format: FORMAT,
            master_key,
            counter: 0,
            floor: 0,
            events: Vec::new(),
            secrets: BTreeMap::new(),
        }
    }

    /// Reads a manifest whose MAC was found right.
    pub(crate) fn read(body: &[u8], master_key: &[u8; 16], path: &Path) -> Result<Self, VaultError> {
        let edited = |why| VaultError::Edited { path: path.into(), why };
        check_format(body)?;
        let manifest: Self = serde_json::from_slice(body).map_err(|_| edited("is no manifest"))?;
        if manifest.master_key != vigo_base::encode_hex(master_key) {
            return Err(edited("belongs to another master key"));
        }
        if manifest.secrets.keys().any(|path| path.parse::<SecretPath>().is_err()) {
            return Err(edited("names a secret that can be none"));
        }
        Ok(manifest)
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        // Texts and numbers only: writing them cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The version that the next record of that path must have. Rises also over a removal.
    pub(crate) fn next_version(&self, path: &SecretPath) -> SecretVersion {
        let last = self.versions(path).iter().map(|version| version.version).max();
        SecretVersion(last.unwrap_or(0).max(self.floor).saturating_add(1))
    }

    /// The same manifest under another master key: the digests of its records come one by one.
    pub(crate) fn under(&self, master_key: &[u8; 16]) -> Self {
        Self { master_key: vigo_base::encode_hex(master_key), ..self.clone() }
    }

    /// That version has this record from here on.
    pub(crate) fn replace(&mut self, path: &SecretPath, version: SecretVersion, record: &[u8]) {
        let versions = self.secrets.get_mut(path.as_str()).into_iter().flatten();
        for stored in versions.filter(|stored| stored.version == version.0) {
            stored.record = Digest::of(record).to_string();
        }
    }

    /// Every version that has a record.
    pub(crate) fn held(&self) -> Vec<(SecretPath, SecretVersion)> {
        let of = |(path, versions): (&String, &Vec<Version>)| {
            let path: Option<SecretPath> = path.parse().ok();
            let held = versions.iter().filter(|version| version.state != VersionState::Removed);
            let held: Vec<_> = held.map(|version| SecretVersion(version.version)).collect();
            path.map(|path| held.into_iter().map(move |version| (path.clone(), version)))
        };
        self.secrets.iter().filter_map(of).flatten().collect()
    }

    /// Notes what was done to the vault as a whole; the counter rises.
    pub(crate) fn note(&mut self, at: u64, by: &str, what: String) {
        self.events.push(Event { at, by: by.into(), what });
        let too_many = self.events.len().saturating_sub(EVENTS);
        self.events.drain(..too_many);
        self.counter = self.counter.saturating_add(1);
    }

    /// Goes on behind `seen`, the change that a lost copy had come to. Each version took a change, so no version above `seen` was ever given.
    pub(crate) fn go_on_behind(&mut self, seen: u64) {
        self.counter = self.counter.max(seen);
        self.floor = self.floor.max(seen);
    }

    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Adds the next version, which is current from then on.
    pub(crate) fn add(&mut self, path: &SecretPath, record: &[u8], at: u64, by: &str) -> SecretVersion {
        let version = self.next_version(path);
        let versions = self.secrets.entry(path.as_str().to_owned()).or_default();
        for older in versions.iter_mut().filter(|older| older.state == VersionState::Current) {
            older.state = VersionState::Kept;
        }
        let record = Digest::of(record).to_string();
        versions.push(Version {
            version: version.0,
            at,
            by: by.into(),
            state: VersionState::Current,
            record,
        });
        self.counter = self.counter.saturating_add(1);
        version
    }

    /// Removes every version; false when there is no such secret.
    pub(crate) fn remove(&mut self, path: &SecretPath, at: u64, by: &str) -> bool {
        let Some(versions) = self.secrets.get_mut(path.as_str()) else { return false };
        let mut found = false;
        for version in versions {
            // When and by whom it was removed stands on the version that was current.
            if version.state == VersionState::Current {
                (version.at, version.by, found) = (at, by.into(), true);
            }
            version.state = VersionState::Removed;
        }
        if found {
            self.counter = self.counter.saturating_add(1);
        }
        found
    }

    pub(crate) fn secrets(&self) -> Vec<Secret> {
        let secret = |(path, versions): (&String, &Vec<Version>)| {
            let current = versions.iter().find(|version| version.state == VersionState::Current)?;
            let kept = versions.iter().filter(|version| version.state != VersionState::Removed).count();
            Some(Secret {
                path: path.parse().ok()?,
                version: SecretVersion(current.version),
                versions: u64::try_from(kept).unwrap_or(u64::MAX),
                updated_at: current.at,
                updated_by: current.by.clone(),
            })
        };
        self.secrets.iter().filter_map(secret).collect()
    }

    /// All versions, newest first; none when the secret never was.
    pub(crate) fn history(&self, path: &SecretPath) -> Vec<History> {
        let one = |version: &Version| History {
            version: SecretVersion(version.version),
            at: version.at,
            by: version.by.clone(),
            state: version.state,
        };
        self.versions(path).iter().rev().map(one).collect()
    }

    /// True if these bytes are the record of that version as it was stored.
    pub(crate) fn fits(&self, path: &SecretPath, version: SecretVersion, record: &[u8]) -> bool {
        let stored = self.versions(path).iter().find(|stored| stored.version == version.0);
        stored.is_some_and(|stored| stored.record == Digest::of(record).to_string())
    }

    /// True if there is a record of that version.
    pub(crate) fn holds(&self, path: &SecretPath, version: SecretVersion) -> bool {
        let held = |stored: &Version| stored.version == version.0 && stored.state != VersionState::Removed;
        self.versions(path).iter().any(held)
    }

    fn versions(&self, path: &SecretPath) -> &[Version] {
        self.secrets.get(path.as_str()).map_or(&[], Vec::as_slice)
    }
}

impl Witness {
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let digest = Digest::of(&manifest.body()).to_string();
        Self { format: FORMAT, counter: manifest.counter, manifest: digest }
    }

    pub(crate) const fn counter(&self) -> u64 {
        self.counter
    }

    /// Reads a witness whose MAC was found right.
    pub(crate) fn read(body: &[u8], path: &Path) -> Result<Self, VaultError> {
        check_format(body)?;
        let why = "is no witness";
        serde_json::from_slice(body).map_err(|_| VaultError::Edited { path: path.into(), why })
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Checks that this manifest is not older than the one that was seen last. One change newer is what a crash between the two writes leaves.
    pub(crate) fn check(&self, manifest: &Manifest, path: &Path) -> Result<(), VaultError> {
        if manifest.counter < self.counter {
            let vault = path.parent().unwrap_or(path).into();
            return Err(VaultError::RolledBack { path: vault, seen: self.counter, found: manifest.counter });
        }
        if manifest.counter == self.counter && Digest::of(&manifest.body()).to_string() != self.manifest {
            let why = "is another one than was written last";
            return Err(VaultError::Edited { path: path.into(), why });
        }
        if manifest.counter > self.counter.saturating_add(1) {
            let why = "is newer than the witness beside the master key";
            return Err(VaultError::Edited { path: path.into(), why });
        }
        Ok(())
    }
}

/// Which master key a manifest says that it is under. Nothing of it is verified yet: it only says which key to verify it with.
pub(crate) fn claimed_key(text: &[u8]) -> Option<[u8; 16]> {
    #[derive(Deserialize)]
    struct Any {
        master_key: String,
    }
    let body = text.split(|byte| *byte == b'\n').next()?;
    let Any { master_key } = serde_json::from_slice(body).ok()?;
    vigo_base::decode_hex(&master_key)?.try_into().ok()
}

fn check_format(body: &[u8]) -> Result<(), VaultError> {
    #[derive(Deserialize)]
    struct Any {
        format: u32,
    }
    match serde_json::from_slice::<Any>(body) {
        Ok(Any { format }) if format > FORMAT => Err(VaultError::Newer { found: format, known: FORMAT }),
        _ => Ok(()),
    }
}

/// Which of the two texts.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Manifest,
    Witness,
}

/// What the MAC of a text is over.
pub(crate) fn mac_input(kind: Kind, body: &[u8]) -> Vec<u8> {
    let context = match kind {
        Kind::Manifest => MANIFEST_CONTEXT,
        Kind::Witness => WITNESS_CONTEXT,
    };
    let mut input = context.to_vec();
    input.extend_from_slice(Digest::of(body).as_bytes());
    input
}

/// A text with its MAC as the second line.
pub(crate) fn join(body: &[u8], mac: &[u8; 32]) -> Vec<u8> {
    let mut text = body.to_vec();
    text.push(b'\n');
    text.extend_from_slice(vigo_base::encode_hex(mac).as_bytes());
    text.push(b'\n');
    text
}

/// A text without its MAC, if `mac_of` gives the same one.
pub(crate) fn split<'a>(
    kind: Kind,
    text: &'a [u8],
    path: &Path,
    mac_of: impl FnOnce(&[u8]) -> Result<[u8; 32], VaultError>,
) -> Result<&'a [u8], VaultError> {
    let edited = |why| VaultError::Edited { path: path.into(), why };
    let lines = text.strip_suffix(b"\n").and_then(|text| {
        let at = text.iter().rposition(|byte| *byte == b'\n')?;
        Some((text.get(..at)?, text.get(at.checked_add(1)?..)?))
    });
    let (body, mac) = lines.ok_or_else(|| edited("is cut off"))?;
    let mac = std::str::from_utf8(mac).ok().and_then(vigo_base::decode_hex);
    let mac = mac.ok_or_else(|| edited("has no MAC"))?;
    let right = mac_of(&mac_input(kind, body))?;
    if bool::from(right.as_slice().ct_eq(&mac)) { Ok(body) } else { Err(edited("was edited")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> SecretPath {
        text.parse().unwrap()
    }

    fn manifest() -> Manifest {
        let mut manifest = Manifest::new(&[1; 16]);
        manifest.add(&path("web/token"), b"one", 10, "alice");
        manifest.add(&path("web/token"), b"two", 20, "bob");
        manifest.add(&path("db/pass"), b"three", 30, "alice");
        manifest
    }

    /// Stands in for the hand: any function of key and input will do.
    fn mac(input: &[u8]) -> Result<[u8; 32], VaultError> {
        Ok(*Digest::of(&[b"key", input].concat()).as_bytes())
    }

    fn file() -> &'static Path {
        Path::new("manifest")
    }

    #[test]
    fn the_last_version_is_current_and_older_ones_are_kept() {
        let manifest = manifest();
        let secrets = manifest.secrets();
        assert_eq!(secrets.len(), 2);
        assert_eq!((secrets[1].version, secrets[1].versions), (SecretVersion(2), 2));
        assert_eq!((secrets[1].updated_at, secrets[1].updated_by.as_str()), (20, "bob"));
        let states: Vec<_> =
            manifest.history(&path("web/token")).iter().map(|v| (v.version.0, v.state)).collect();
        assert_eq!(states, [(2, VersionState::Current), (1, VersionState::Kept)]);
        assert!(manifest.fits(&path("web/token"), SecretVersion(1), b"one"));
        assert!(!manifest.fits(&path("web/token"), SecretVersion(2), b"one"));
    }

    #[test]
    fn a_removed_secret_is_gone_and_its_numbers_are_not_used_again() {
        let mut manifest = manifest();
        assert!(manifest.remove(&path("web/token"), 40, "eve"));
        assert!(!manifest.remove(&path("web/token"), 41, "eve"));
        assert!(!manifest.remove(&path("no/such"), 41, "eve"));
        assert_eq!(manifest.secrets().len(), 1);
        assert!(!manifest.holds(&path("web/token"), SecretVersion(1)));
        assert_eq!(manifest.history(&path("web/token"))[0].by, "eve");
        assert_eq!(manifest.add(&path("web/token"), b"new", 50, "alice"), SecretVersion(3));
    }

    #[test]
    fn what_was_written_reads_back() {
        let manifest = manifest();
        let text = join(&manifest.body(), &mac(&mac_input(Kind::Manifest, &manifest.body())).unwrap());
        let body = split(Kind::Manifest, &text, file(), mac).unwrap();
        assert_eq!(Manifest::read(body, &[1; 16], file()).unwrap(), manifest);
    }

    #[test]
    fn no_version_is_given_again_after_an_older_copy_was_accepted() {
        let (mut old, mut newer) = (manifest(), manifest());
        let lost = newer.add(&path("web/token"), b"four", 40, "alice");
        old.go_on_behind(newer.counter);
        old.note(50, "alice", "older copy accepted".into());
        assert!(old.counter > newer.counter);
        assert!(old.add(&path("web/token"), b"five", 60, "alice") > lost);
        assert!(old.add(&path("quite/new"), b"six", 60, "alice") > lost);
    }

    #[test]
    fn events_are_kept_up_to_a_bound_the_newest() {
        let mut manifest = manifest();
        (0..EVENTS as u64 + 5).for_each(|at| manifest.note(at, "alice", "rekeyed".into()));
        assert_eq!(manifest.events().len(), EVENTS);
        assert_eq!(manifest.events()[0].at, 5);
    }

    #[test]
    fn a_manifest_says_which_key_to_verify_it_with() {
        let text = join(&Manifest::new(&[7; 16]).body(), &[0; 32]);
        assert_eq!(claimed_key(&text), Some([7; 16]));
        assert_eq!(claimed_key(b"{}"), None);
        assert_eq!(claimed_key(b""), None);
    }

    #[test]
    fn the_text_of_a_manifest_is_the_one_of_format_one() {
        let mut manifest = Manifest::new(&[1; 16]);
        manifest.add(&path("a"), b"one", 10, "alice");
        let text = String::from_utf8(manifest.body()).unwrap();
        let digest = Digest::of(b"one");
        assert_eq!(
            text,
            format!(
                r#"{{"format":1,"master_key":"01010101010101010101010101010101","counter":1,"secrets":{{"a":[{{"version":1,"at":10,"by":"alice","state":"current","record":"{digest}"}}]}}}}"#
            )
        );
    }

    #[test]
    fn every_changed_byte_is_found() {
        let body = manifest().body();
        let text = join(&body, &mac(&mac_input(Kind::Manifest, &body)).unwrap());
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert!(split(Kind::Manifest, &changed, file(), mac).is_err(), "byte {at}");
            assert!(split(Kind::Manifest, &text[..at], file(), mac).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_witness_is_not_taken_for_a_manifest() {
        let body = manifest().body();
        let text = join(&body, &mac(&mac_input(Kind::Witness, &body)).unwrap());
        assert!(split(Kind::Manifest, &text, file(), mac).is_err());
    }

    #[test]
    fn an_older_manifest_is_a_rollback_and_another_of_the_same_change_is_an_edit() {
        let (old, mut new) = (manifest(), manifest());
        new.add(&path("web/token"), b"four", 40, "alice");
        let witness = Witness::of(&new);
        witness.check(&new, file()).unwrap();
        assert!(matches!(witness.check(&old, file()), Err(VaultError::RolledBack { seen: 4, found: 3, .. })));
        let mut fork = manifest();
        fork.add(&path("web/token"), b"five", 40, "alice");
        assert!(matches!(witness.check(&fork, file()), Err(VaultError::Edited { .. })));
    }

    #[test]
    fn a_crash_between_manifest_and_witness_is_no_rollback_but_two_changes_are_an_edit() {
        let witness = Witness::of(&manifest());
        let mut newer = manifest();
        newer.add(&path("a"), b"x", 1, "alice");
        witness.check(&newer, file()).unwrap();
        newer.add(&path("a"), b"x", 1, "alice");
        assert!(matches!(witness.check(&newer, file()), Err(VaultError::Edited { .. })));
    }

    #[test]
    fn another_key_a_newer_format_and_foreign_names_are_refused() {
        let body = manifest().body();
        assert!(matches!(Manifest::read(&body, &[2; 16], file()), Err(VaultError::Edited { .. })));
        let newer = String::from_utf8(body.clone()).unwrap().replacen("\"format\":1", "\"format\":2", 1);
        assert!(matches!(
            Manifest::read(newer.as_bytes(), &[1; 16], file()),
            Err(VaultError::Newer { found: 2, known: 1 })
        ));
        let foreign = String::from_utf8(body).unwrap().replacen("web/token", "../token", 1);
        assert!(matches!(
            Manifest::read(foreign.as_bytes(), &[1; 16], file()),
            Err(VaultError::Edited { .. })
        ));
    }
}
