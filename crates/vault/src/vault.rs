//! The vault itself: opens with a hand, and changes in steps that a crash cannot leave half done.
//!
//! A change is: the record under a name that nothing uses yet, then the manifest that names it, then the witness of that manifest. What a crash
//! leaves after the first is swept; after the second, the manifest counts and the witness follows.

use crate::error::VaultError;
use crate::folder::{self, Folder, MANIFEST, RECORD};
use crate::manifest::{self, History, Kind, Manifest, Secret, Witness};
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::Path;
use vigo_base::{SecretPath, SecretVersion};
use vigo_hand::{Hand, MacLabel, ReadNote, VaultRecord};

/// When a change is made, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Seconds since 1970.
    pub at: u64,
    /// For people.
    pub by: &'a str,
}

/// A vault open to read; others may read it at the same time. Holding one proves that the manifest was made with this master key and is not
/// older than the last one seen.
pub struct Vault {
    folder: Folder,
    manifest: Manifest,
    // Held for as long as the vault is open; the lock goes with it.
    _lock: File,
}

/// A vault open to write; nobody else has it open.
pub struct WritableVault(Vault);

impl Vault {
    /// Opens a vault to read, and unlocks it in the hand. Writes nothing, not even to clean up.
    ///
    /// # Errors
    /// When there is none, it is open to others, was edited or rolled back, or another program works on it.
    pub fn open(path: &Path, hand: &mut Hand) -> Result<Self, VaultError> {
        let folder = Folder::new(path)?;
        let lock = lock_existing(&folder, false)?;
        Ok(Self::unlock(folder, lock, hand)?.0)
    }

    /// Gives also whether the witness is of this very manifest.
    fn unlock(folder: Folder, lock: File, hand: &mut Hand) -> Result<(Self, bool), VaultError> {
        let foreign = |found| VaultError::Foreign { path: folder.root().into(), found };
        if !folder.master_key().exists() {
            return Err(foreign("`keys/master.key` is missing"));
        }
        let master_key = hand.unlock_vault(&folder.master_key())?;
        let stored = folder::read(&folder.manifest(), MANIFEST)?;
        let witness = folder::read(&folder.witness(), MANIFEST)?;
        let (manifest, witnessed) = match (stored, witness) {
            // The first step was interrupted after the key was made: nothing was stored yet.
            (None, None) if folder.has_no_secrets()? => (Manifest::new(&master_key), false),
            (None, _) => return Err(foreign("`manifest` is missing")),
            (Some(text), witness) => {
                let path = folder.manifest();
                let body = manifest::split(Kind::Manifest, &text, &path, |input| mac(hand, input))?;
                let manifest = Manifest::read(body, &master_key, &path)?;
                (manifest.clone(), Self::check_witness(&folder, hand, witness, &manifest)?)
            }
        };
        Ok((Self { folder, manifest, _lock: lock }, witnessed))
    }

    /// Gives whether the witness is of this very manifest.
    fn check_witness(
        folder: &Folder,
        hand: &mut Hand,
        witness: Option<Vec<u8>>,
        manifest: &Manifest,
    ) -> Result<bool, VaultError> {
        let path = folder.witness();
        let Some(text) = witness else {
            // Only the first manifest of all can have been written without one.
            let why = "is missing";
            return if manifest.counter == 0 { Ok(false) } else { Err(VaultError::Edited { path, why }) };
        };
        let body = manifest::split(Kind::Witness, &text, &path, |input| mac(hand, input))?;
        let witness = Witness::read(body, &path)?;
        witness.check(manifest, &folder.manifest())?;
        Ok(witness == Witness::of(manifest))
    }

    /// All secrets by path, or those whose path begins with `prefix`.
    #[must_use]
    pub fn list(&self, prefix: &str) -> Vec<Secret> {
        let mut secrets = self.manifest.secrets();
        secrets.retain(|secret| secret.path.as_str().starts_with(prefix));
        secrets
    }

    /// All versions of a secret, newest first, removed ones too.
    ///
    /// # Errors
    /// When there never was such a secret.
    pub fn history(&self, path: &SecretPath) -> Result<Vec<History>, VaultError> {
        let history = self.manifest.history(path);
        if history.is_empty() { Err(VaultError::NoSecret(path.clone())) } else { Ok(history) }
    }

    /// The current records of all secrets, for a hand that has this vault unlocked.
    ///
    /// # Errors
    /// When one is missing or is not the one that was stored.
    pub fn records(&self) -> Result<Vec<VaultRecord>, VaultError> {
        self.manifest.secrets().iter().map(|secret| self.read_record(&secret.path, secret.version)).collect()
    }

    /// The current record of one secret.
    ///
    /// # Errors
    /// When there is no such secret, or its record is missing or not the one that was stored.
    pub fn record(&self, path: &SecretPath) -> Result<VaultRecord, VaultError> {
        let secret = self.manifest.secrets().into_iter().find(|secret| secret.path == *path);
        let secret = secret.ok_or_else(|| VaultError::NoSecret(path.clone()))?;
        self.read_record(&secret.path, secret.version)
    }

    fn read_record(&self, path: &SecretPath, version: SecretVersion) -> Result<VaultRecord, VaultError> {
        let file = self.folder.record(path, version);
        let edited = |why| VaultError::Edited { path: file.clone(), why };
        let record = folder::read(&file, RECORD)?.ok_or_else(|| edited("is missing"))?;
        if !self.manifest.fits(path, version, &record) {
            return Err(edited("is not the record that was stored"));
        }
        Ok(VaultRecord { path: path.clone(), version, record })
    }
}

impl WritableVault {
    /// Opens a vault to write. Finishes or clears away what an interrupted change left.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn open(path: &Path, hand: &mut Hand) -> Result<Self, VaultError> {
        let folder = Folder::new(path)?;
        let lock = lock_existing(&folder, true)?;
        Self::unlock(folder, lock, hand)
    }

    /// Opens a vault to write, and makes it where there is none.
    ///
    /// # Errors
    /// As [`Vault::open`]; also when the folder holds something else.
    pub fn open_or_create(path: &Path, hand: &mut Hand) -> Result<Self, VaultError> {
        let folder = Folder::new(path)?;
        if folder.is_bare()? {
            folder.make()?;
        }
        folder.check_modes()?;
        let lock = folder.lock(true)?;
        if !folder.is_bare()? {
            return Self::unlock(folder, lock, hand);
        }
        let master_key = hand.create_master_key(&folder.master_key())?;
        let manifest = Manifest::new(&master_key);
        let mut made = Self(Vault { folder, manifest: manifest.clone(), _lock: lock });
        made.commit(hand, manifest)?;
        Ok(made)
    }

    fn unlock(folder: Folder, lock: File, hand: &mut Hand) -> Result<Self, VaultError> {
        let (vault, witnessed) = Vault::unlock(folder, lock, hand)?;
        let mut open = Self(vault);
        if !witnessed {
            open.commit(hand, open.0.manifest.clone())?;
        }
        open.0.folder.sweep(&open.0.manifest)?;
        Ok(open)
    }

    /// To read it.
    #[must_use]
    pub const fn vault(&self) -> &Vault {
        &self.0
    }

    /// Stores what the hand reads from `input` as the next version. One final newline of a single line is dropped unless `exact`.
    ///
    /// # Errors
    /// When the hand refuses the value, or it cannot be written.
    pub fn set(
        &mut self,
        hand: &mut Hand,
        path: &SecretPath,
        input: BorrowedFd<'_>,
        exact: bool,
        origin: Origin<'_>,
    ) -> Result<(SecretVersion, ReadNote), VaultError> {
        let version = self.0.manifest.next_version(path);
        let (record, note) = hand.read_into_record(input, exact, path, version)?;
        Ok((self.store(hand, path, &record, origin)?, note))
    }

    /// Stores a value that the hand makes as the next version; nobody sees it.
    ///
    /// # Errors
    /// When the hand makes none of that length and alphabet, or it cannot be written.
    pub fn rotate(
        &mut self,
        hand: &mut Hand,
        path: &SecretPath,
        length: u32,
        alphabet: Option<&str>,
        origin: Origin<'_>,
    ) -> Result<SecretVersion, VaultError> {
        let version = self.0.manifest.next_version(path);
        let record = hand.generate(path, version, length, alphabet)?;
        self.store(hand, path, &record, origin)
    }

    /// Removes every version of a secret.
    ///
    /// # Errors
    /// When there is no such secret, or it cannot be removed.
    pub fn remove(
        &mut self,
        hand: &mut Hand,
        path: &SecretPath,
        origin: Origin<'_>,
    ) -> Result<(), VaultError> {
        let mut manifest = self.0.manifest.clone();
        if !manifest.remove(path, origin.at, origin.by) {
            return Err(VaultError::NoSecret(path.clone()));
        }
        self.commit(hand, manifest)?;
        self.0.folder.sweep(&self.0.manifest)
    }

    fn store(
        &mut self,
        hand: &mut Hand,
        path: &SecretPath,
        record: &[u8],
        origin: Origin<'_>,
    ) -> Result<SecretVersion, VaultError> {
        let mut manifest = self.0.manifest.clone();
        let version = manifest.add(path, record, origin.at, origin.by);
        if manifest.body().len() > MANIFEST - 128 {
            return Err(VaultError::Full(path.clone()));
        }
        self.0.folder.write_record(path, version, record)?;
        self.commit(hand, manifest)?;
        Ok(version)
    }

    /// Makes `manifest` the one that counts.
    fn commit(&mut self, hand: &mut Hand, manifest: Manifest) -> Result<(), VaultError> {
        let witness = Witness::of(&manifest);
        for (kind, path, body) in [
            (Kind::Manifest, self.0.folder.manifest(), manifest.body()),
            (Kind::Witness, self.0.folder.witness(), witness.body()),
        ] {
            let mac = mac(hand, &manifest::mac_input(kind, &body))?;
            folder::write(&path, &manifest::join(&body, &mac))?;
        }
        self.0.manifest = manifest;
        Ok(())
    }
}

/// The lock of a vault that is there and is the owner's alone.
fn lock_existing(folder: &Folder, alone: bool) -> Result<File, VaultError> {
    if !folder.root().is_dir() || folder.is_bare()? {
        return Err(VaultError::Missing { path: folder.root().into() });
    }
    folder.check_modes()?;
    folder.lock(alone)
}

fn mac(hand: &mut Hand, input: &[u8]) -> Result<[u8; 32], VaultError> {
    Ok(hand.mac(MacLabel::VaultManifest, input)?)
}
