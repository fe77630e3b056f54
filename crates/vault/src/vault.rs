//! The vault itself: opens with a hand, and changes in steps that a crash cannot leave half done.
//!
//! A change is: the record under a name that nothing uses yet, then the manifest that names it, then the witness of that manifest. What a crash
//! leaves after the first is swept; after the second, the manifest counts and the witness follows. A rekey writes the next key, every record under
//! it and the witness beside those in use; the manifest that is under the next key makes all of them count, and then they take their places.

use crate::error::VaultError;
use crate::folder::{self, Folder, MANIFEST, RECORD};
use crate::manifest::{self, Event, History, Kind, Manifest, Secret, Witness};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use vigo_base::{SecretPath, SecretVersion};
use vigo_hand::{Hand, KeyForm, MacLabel, NewPassphrase, ReadNote, VaultRecord};

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
    /// How its master key is kept.
    form: KeyForm,
    /// The manifest is under the next master key already, and not everything has taken its place: a rekey was interrupted.
    is_next: bool,
    // Held for as long as the vault is open; the lock goes with it.
    _lock: File,
}

/// A vault open to write; nobody else has it open.
pub struct WritableVault(Vault);

/// Where a passphrase comes from: asked at most once for each opening, and only if the vault is under one.
pub type AskPassphrase<'a> = &'a dyn Fn() -> io::Result<OwnedFd>;

/// For who has no passphrase to give.
///
/// # Errors
/// Always.
pub fn no_passphrase() -> io::Result<OwnedFd> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "there is nobody to ask"))
}

/// What is made of a witness that does not fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// The vault does not open.
    Refuse,
    /// The operator says that this copy is to count.
    Accept,
}

/// An opened vault and what was found out on the way.
struct Unlocked {
    vault: Vault,
    /// The witness is of this very manifest.
    witnessed: bool,
    /// The change that the witness knows of, if it does not fit.
    seen: Option<u64>,
}

impl Vault {
    /// Opens a vault to read, and unlocks it in the hand. Writes nothing, not even to clean up.
    ///
    /// # Errors
    /// When there is none, it is open to others, was edited or rolled back, its passphrase is another, or another program works on it.
    pub fn open(path: &Path, hand: &mut Hand, passphrase: AskPassphrase<'_>) -> Result<Self, VaultError> {
        let folder = Folder::new(path)?;
        let lock = lock_existing(&folder, false)?;
        Ok(Self::unlock(folder, lock, hand, passphrase, Strictness::Refuse)?.vault)
    }

    fn unlock(
        folder: Folder,
        lock: File,
        hand: &mut Hand,
        passphrase: AskPassphrase<'_>,
        strictness: Strictness,
    ) -> Result<Unlocked, VaultError> {
        let foreign = |found| VaultError::Foreign { path: folder.root().into(), found };
        let stored = folder::read(&folder.manifest(), MANIFEST)?;
        let (master_key, form, is_next) = unlock_key(&folder, hand, passphrase, stored.as_deref())?;
        let next_witness = folder.next_witness();
        let witness = if is_next && next_witness.exists() { next_witness } else { folder.witness() };
        let seal = folder::read(&witness, MANIFEST)?;
        let (manifest, (witnessed, seen)) = match (stored, seal) {
            // The first step was interrupted after the key was made: nothing was stored yet.
            (None, None) if folder.has_no_secrets()? => (Manifest::new(&master_key), (false, None)),
            (None, _) => return Err(foreign("`manifest` is missing")),
            (Some(text), seal) => {
                let path = folder.manifest();
                let body = manifest::split(Kind::Manifest, &text, &path, |input| mac(hand, input))?;
                let manifest = Manifest::read(body, &master_key, &path)?;
                let checked = check_witness(&folder, &witness, hand, seal, &manifest, strictness)?;
                (manifest, checked)
            }
        };
        Ok(Unlocked { vault: Self { folder, manifest, form, is_next, _lock: lock }, witnessed, seen })
    }

    /// Whether its master key is under a passphrase.
    #[must_use]
    pub const fn is_under_passphrase(&self) -> bool {
        matches!(self.form, KeyForm::Passphrase)
    }

    /// What was done to the vault as a whole, oldest first.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        self.manifest.events()
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
        if self.is_next
            && let Some(record) = folder::read(&self.folder.next_record(path, version), RECORD)?
            && self.manifest.fits(path, version, &record)
        {
            return Ok(VaultRecord { path: path.clone(), version, record });
        }
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
    pub fn open(path: &Path, hand: &mut Hand, passphrase: AskPassphrase<'_>) -> Result<Self, VaultError> {
        let folder = Folder::new(path)?;
        let lock = lock_existing(&folder, true)?;
        Self::finish(Vault::unlock(folder, lock, hand, passphrase, Strictness::Refuse)?, hand)
    }

    /// Opens a vault to write, and makes it where there is none.
    ///
    /// # Errors
    /// As [`Vault::open`]; also when the folder holds something else.
    pub fn open_or_create(
        path: &Path,
        hand: &mut Hand,
        passphrase: AskPassphrase<'_>,
    ) -> Result<Self, VaultError> {
        let folder = Folder::new(path)?;
        if folder.is_bare()? {
            folder.make()?;
        }
        folder.check_modes()?;
        let lock = folder.lock(true)?;
        if !folder.is_bare()? {
            return Self::finish(Vault::unlock(folder, lock, hand, passphrase, Strictness::Refuse)?, hand);
        }
        let master_key = hand.create_master_key(&folder.master_key())?;
        let manifest = Manifest::new(&master_key);
        let mut made = Self(Vault {
            folder,
            manifest: manifest.clone(),
            form: KeyForm::Plain,
            is_next: false,
            _lock: lock,
        });
        made.commit(hand, manifest)?;
        Ok(made)
    }

    /// Takes an older copy that was put back for the one that counts, and notes that. Versions that the lost copy had are not given again.
    ///
    /// # Errors
    /// When it is no older copy, or does not open for another reason.
    pub fn accept_rollback(
        path: &Path,
        hand: &mut Hand,
        passphrase: AskPassphrase<'_>,
        origin: Origin<'_>,
    ) -> Result<(), VaultError> {
        let folder = Folder::new(path)?;
        let lock = lock_existing(&folder, true)?;
        let unlocked = Vault::unlock(folder, lock, hand, passphrase, Strictness::Accept)?;
        let Some(seen) = unlocked.seen else {
            return Err(VaultError::NotRolledBack { path: unlocked.vault.folder.root().into() });
        };
        let mut manifest = unlocked.vault.manifest.clone();
        let found = manifest.counter;
        manifest.go_on_behind(seen);
        manifest.note(origin.at, origin.by, format!("older copy accepted: change {found}, {seen} was seen"));
        let mut open = Self(unlocked.vault);
        if open.0.is_next {
            open.settle()?;
        }
        open.commit(hand, manifest)?;
        open.0.folder.forget_next()?;
        open.0.folder.sweep(&open.0.manifest)
    }

    fn finish(unlocked: Unlocked, hand: &mut Hand) -> Result<Self, VaultError> {
        let mut open = Self(unlocked.vault);
        if open.0.is_next {
            open.settle()?;
        }
        if !unlocked.witnessed {
            open.commit(hand, open.0.manifest.clone())?;
        }
        open.0.folder.forget_next()?;
        open.0.folder.sweep(&open.0.manifest)?;
        Ok(open)
    }

    fn settle(&mut self) -> Result<(), VaultError> {
        self.0.folder.settle(&self.0.manifest)?;
        self.0.is_next = false;
        Ok(())
    }

    /// Puts the vault under a new master key: kept plain, or under a passphrase. The old key is gone when this returns; a kill at any moment leaves
    /// a vault that opens with the one or with the other.
    ///
    /// # Errors
    /// When the hand cannot, or it cannot be written; then all is as it was, unless the manifest under the new key was on disk already.
    pub fn rekey(
        &mut self,
        hand: &mut Hand,
        passphrase: Option<NewPassphrase<'_>>,
        origin: Origin<'_>,
    ) -> Result<(), VaultError> {
        let prepared = self.prepare_rekey(hand, passphrase, origin);
        let manifest = match prepared {
            Ok(manifest) => manifest,
            Err(error) => {
                // What stays is cleared away by the next one who opens it to write.
                let _ = self.0.folder.forget_next();
                let _ = self.0.folder.sweep(&self.0.manifest);
                return Err(error);
            }
        };
        let path = self.0.folder.manifest();
        let mac = hand.next_manifest_mac(&manifest::mac_input(Kind::Manifest, &manifest.body()))?;
        // From here on it is the new key that counts.
        folder::write(&path, &manifest::join(&manifest.body(), &mac))?;
        (self.0.manifest, self.0.is_next) = (manifest, true);
        hand.adopt_master_key()?;
        self.settle()?;
        self.0.folder.sweep(&self.0.manifest)
    }

    /// Everything under the new key, beside what it is for.
    fn prepare_rekey(
        &self,
        hand: &mut Hand,
        passphrase: Option<NewPassphrase<'_>>,
        origin: Origin<'_>,
    ) -> Result<Manifest, VaultError> {
        let folder = &self.0.folder;
        let id = hand.prepare_master_key(None)?;
        hand.store_next_master_key(&folder.next_master_key(), passphrase)?;
        let mut manifest = self.0.manifest.under(&id);
        for (path, version) in self.0.manifest.held() {
            let record = self.0.read_record(&path, version)?;
            for record in hand.rekey(&[record], &[], &[])?.records {
                folder::write(&folder.next_record(&path, version), &record)?;
                manifest.replace(&path, version, &record);
            }
        }
        let kept = if passphrase.is_some() { "under a passphrase" } else { "in a file" };
        manifest.note(origin.at, origin.by, format!("rekeyed, the new key is {kept}"));
        let body = Witness::of(&manifest).body();
        let mac = hand.next_manifest_mac(&manifest::mac_input(Kind::Witness, &body))?;
        folder::write(&folder.next_witness(), &manifest::join(&body, &mac))?;
        Ok(manifest)
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

    /// Stores values of the file that the hand has opened (by their number there), each as the next version: all of them, or none.
    ///
    /// # Errors
    /// When the hand has no such value, or it cannot be written.
    pub fn import(
        &mut self,
        hand: &mut Hand,
        values: &[(u32, SecretPath)],
        origin: Origin<'_>,
    ) -> Result<Vec<SecretVersion>, VaultError> {
        let mut manifest = self.0.manifest.clone();
        let mut versions = Vec::with_capacity(values.len());
        for (value, path) in values {
            let version = manifest.next_version(path);
            let record = hand.record_import(*value, path, version)?;
            manifest.add(path, &record, origin.at, origin.by);
            if manifest.body().len() > MANIFEST - 128 {
                return Err(VaultError::Full(path.clone()));
            }
            // No manifest names it yet: what a failure leaves is swept by the next one who writes.
            self.0.folder.write_record(path, version, &record)?;
            versions.push(version);
        }
        self.commit(hand, manifest)?;
        Ok(versions)
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

/// Unlocks the key that the manifest says it is under. Gives its id, and whether it is the one that waits to take its place.
fn unlock_key(
    folder: &Folder,
    hand: &mut Hand,
    passphrase: AskPassphrase<'_>,
    manifest: Option<&[u8]>,
) -> Result<([u8; 16], KeyForm, bool), VaultError> {
    let (current, next) = (folder.master_key(), folder.next_master_key());
    if !current.exists() {
        let found = "`keys/master.key` is missing";
        return Err(VaultError::Foreign { path: folder.root().into(), found });
    }
    let claimed = manifest.and_then(manifest::claimed_key);
    let mut chosen = (hand.look_at_key(&current)?, current, false);
    if claimed.is_some_and(|id| id != chosen.0.id) {
        let waiting = if next.exists() { Some(hand.look_at_key(&next)?) } else { None };
        match waiting.filter(|waiting| Some(waiting.id) == claimed) {
            Some(waiting) => chosen = (waiting, next, true),
            None => return Err(VaultError::OtherKey { path: folder.manifest() }),
        }
    }
    let (info, file, is_next) = chosen;
    let id = match info.form {
        _ if hand.unlocked() == Some(info.id) => info.id,
        // What only a server can open is refused by the hand.
        KeyForm::Plain | KeyForm::Transit => hand.unlock_vault(&file)?,
        KeyForm::Passphrase => {
            let asked = passphrase();
            let input =
                asked.map_err(|source| VaultError::Passphrase { path: folder.root().into(), source })?;
            hand.unlock_vault_with(&file, input.as_fd())?
        }
    };
    Ok((id, info.form, is_next))
}

/// Gives whether the witness is of this very manifest, and which change it knows of if it does not fit.
fn check_witness(
    folder: &Folder,
    path: &Path,
    hand: &mut Hand,
    witness: Option<Vec<u8>>,
    manifest: &Manifest,
    strictness: Strictness,
) -> Result<(bool, Option<u64>), VaultError> {
    let accepting = strictness == Strictness::Accept;
    let Some(text) = witness else {
        // Only the first manifest of all can have been written without one.
        return match manifest.counter {
            0 => Ok((false, None)),
            counter if accepting => Ok((false, Some(counter))),
            _ => Err(VaultError::Edited { path: path.into(), why: "is missing" }),
        };
    };
    let body = manifest::split(Kind::Witness, &text, path, |input| mac(hand, input))?;
    let witness = Witness::read(body, path)?;
    match witness.check(manifest, &folder.manifest()) {
        Ok(()) => Ok((witness == Witness::of(manifest), None)),
        Err(_) if accepting => Ok((false, Some(witness.counter()))),
        Err(error) => Err(error),
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
