//! Where the server's master key is kept: a file, a file under a passphrase or under a key of OpenBao or Vault, a systemd credential. Which key is the right one is said by the store.
//!
//! A change of the key writes the next one beside the one in use; the store's transaction decides which of the two counts, and [`Kept::unlock`]
//! finishes what a kill left. No start takes away a key that could be the last of its kind: what is left over is named in the log and goes with
//! the next change of the key, which a person asks for.

use crate::ServerError;
use crate::terminal::{self, Silence};
use crate::transit::Transit;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use vigo_hand::{Hand, KeyForm, NewPassphrase};

/// How a master key is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeping {
    /// In `keys/master.key`, which only its owner may read.
    #[default]
    File,
    /// There, under a passphrase.
    Passphrase,
    /// In the systemd credential `vigo-master-key`, which systemd-creds(1) may have put under a TPM2.
    Credential,
    /// In `keys/master.key`, under a key of OpenBao's or Vault's transit engine.
    Transit,
}

impl Keeping {
    /// The word in settings, logs and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Passphrase => "passphrase",
            Self::Credential => "credential",
            Self::Transit => "transit",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::File, Self::Passphrase, Self::Credential, Self::Transit];
        all.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The name of the credential, and of the one that is to take its place.
const CREDENTIAL: &str = "vigo-master-key";
const NEXT_CREDENTIAL: &str = "vigo-master-key-next";

/// Where the key is kept, and where its passphrase comes from.
#[derive(Clone, Debug)]
pub struct Kept {
    /// `keys/` of the data folder.
    folder: PathBuf,
    /// How the settings say that it is to be kept.
    pub keeping: Keeping,
    /// Holds the passphrase, if there is one.
    passphrase_file: Option<PathBuf>,
    /// `$CREDENTIALS_DIRECTORY`.
    credentials: Option<PathBuf>,
    /// What wraps the key, where something does.
    pub transit: Transit,
    /// Somebody may be asked at the terminal for a passphrase that is in no file.
    pub asks: bool,
}

impl Kept {
    /// Keys in that folder.
    #[must_use]
    pub fn new(
        folder: PathBuf,
        keeping: Keeping,
        passphrase_file: Option<PathBuf>,
        transit: Transit,
    ) -> Self {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self {
            folder,
            keeping,
            passphrase_file,
            credentials: credentials.filter(|path| path.is_absolute()),
            transit,
            asks: false,
        }
    }

    /// The file of a key that is kept in one.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.join("master.key")
    }

    /// The file of the key that is to take its place.
    #[must_use]
    pub fn next_file(&self) -> PathBuf {
        self.folder.join("master.key.next")
    }

    /// True if there is a key anywhere.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.candidates().iter().any(|path| path.exists())
    }

    fn candidates(&self) -> Vec<PathBuf> {
        let credential = |name| self.credentials.as_ref().map(|folder| folder.join(name));
        let credentials = [credential(CREDENTIAL), credential(NEXT_CREDENTIAL)];
        let files = [Some(self.file()), Some(self.next_file())];
        // Where the settings say that it is comes first: another copy of the same key makes no difference to that one.
        let ordered = match self.keeping {
            Keeping::Credential => [credentials, files],
            Keeping::File | Keeping::Passphrase | Keeping::Transit => [files, credentials],
        };
        ordered.into_iter().flatten().flatten().collect()
    }

    /// The key's credential that is not this one, for a change of the key.
    ///
    /// # Errors
    /// When there is none, with the commands that make one.
    pub fn other_credential(&self, hand: &mut Hand, than: &[u8; 16]) -> Result<PathBuf, ServerError> {
        let folder = self.credentials.as_deref();
        let there = folder.iter().flat_map(|folder| [folder.join(CREDENTIAL), folder.join(NEXT_CREDENTIAL)]);
        for path in there.filter(|path| path.exists()) {
            if hand.look_at_key(&path)?.id != *than {
                return Ok(path);
            }
        }
        Err(ServerError::NoCredential { name: if folder.is_some() { NEXT_CREDENTIAL } else { CREDENTIAL } })
    }

    /// Unlocks the key with that id, wherever it is, and finishes a change of the key that was interrupted.
    ///
    /// # Errors
    /// When it is nowhere, is under another passphrase, or cannot be read.
    pub fn unlock(&self, hand: &mut Hand, id: &[u8; 16]) -> Result<PathBuf, ServerError> {
        let found = self.find(hand, id)?;
        self.open(hand, &found)?;
        self.settle(hand, &found, id)?;
        Ok(if found == self.next_file() { self.file() } else { found })
    }

    /// Unlocks it again in another hand.
    ///
    /// # Errors
    /// As [`Kept::unlock`].
    pub fn open(&self, hand: &mut Hand, file: &Path) -> Result<[u8; 16], ServerError> {
        let info = hand.look_at_key(file)?;
        match info.form {
            // As it was just made: nobody is asked twice.
            _ if hand.unlocked() == Some(info.id) => Ok(info.id),
            KeyForm::Plain => Ok(hand.unlock_vault(file)?),
            KeyForm::Passphrase => {
                let passphrase = self.passphrase(false)?;
                Ok(hand.unlock_vault_with(file, passphrase.input.as_fd())?)
            }
            KeyForm::Transit => self.transit.unwrap(hand, file, false),
        }
    }

    fn find(&self, hand: &mut Hand, id: &[u8; 16]) -> Result<PathBuf, ServerError> {
        let path = || self.folder.parent().unwrap_or(&self.folder).to_path_buf();
        let there: Vec<PathBuf> = self.candidates().into_iter().filter(|path| path.exists()).collect();
        if there.is_empty() {
            return Err(ServerError::MasterKeyMissing { path: path() });
        }
        let mut unreadable = None;
        for candidate in there {
            match hand.look_at_key(&candidate) {
                Ok(info) if info.id == *id => return Ok(candidate),
                Ok(_) => {}
                Err(error) => unreadable = unreadable.or(Some(error)),
            }
        }
        Err(unreadable.map_or_else(|| ServerError::MasterKey { path: path() }, ServerError::from))
    }

    /// After a change of the key: finds the one with that id and lets it take its place.
    ///
    /// # Errors
    /// As [`Kept::unlock`].
    pub fn settle_under(&self, hand: &mut Hand, id: &[u8; 16]) -> Result<(), ServerError> {
        let found = self.find(hand, id)?;
        self.settle(hand, &found, id)
    }

    /// The key with that id was found there: if it is the next one it takes its place. A key in a file that a credential has taken the place of
    /// goes; one that is the same, or of which nobody knows that it was replaced, stays.
    fn settle(&self, hand: &mut Hand, found: &Path, id: &[u8; 16]) -> Result<(), ServerError> {
        let (file, next) = (self.file(), self.next_file());
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |cause| ServerError::Write { path, cause }
        };
        if found == next {
            std::fs::rename(&next, &file).map_err(failed(&file))?;
        } else {
            if next.exists() {
                let path = next.display();
                tracing::warn!(
                    "`{path}` is left of a change of the master key that came to no end; `vigosrv rekey` takes it away"
                );
            }
            if found != file && file.exists() {
                self.settle_replaced(hand, &file, found, id)?;
            }
        }
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(failed(&self.folder))
    }

    /// The key in use is a credential, and there is a file.
    fn settle_replaced(
        &self,
        hand: &mut Hand,
        file: &Path,
        found: &Path,
        id: &[u8; 16],
    ) -> Result<(), ServerError> {
        let other = hand.look_at_key(file).map(|info| info.id != *id);
        if matches!(other, Ok(true)) && self.keeping == Keeping::Credential {
            // What a change from the file to the credential leaves if it is killed before its last step.
            return std::fs::remove_file(file)
                .map_err(|cause| ServerError::Write { path: file.into(), cause });
        }
        let what = match other {
            Ok(true) => "is another master key than the one in use",
            Ok(false) => "is the same master key: who reads it needs no credential",
            Err(_) => "cannot be read as a master key",
        };
        let (file, found) = (file.display(), found.display());
        tracing::warn!(
            "`{file}` {what}, which is taken from `{found}`; nothing is taken away: do that yourself, or see to `master_key`"
        );
        Ok(())
    }

    /// Takes away what an earlier change of the key left that did not come to its end. Asked for by who wants another change, after the key in use
    /// was unlocked: the one that goes is not in use.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn clear_next(&self) -> Result<(), ServerError> {
        let next = self.next_file();
        match std::fs::remove_file(&next) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(ServerError::Write { path: next, cause })
            }
            _ => Ok(()),
        }
    }

    /// The first key of all, made or taken as the settings say.
    ///
    /// # Errors
    /// When it cannot be written, or there is no credential.
    pub fn create(&self, hand: &mut Hand) -> Result<[u8; 16], ServerError> {
        if self.file().exists() {
            // Left by a start that was killed before the deployment was stored: it is good, nothing was made under it yet.
            return self.open(hand, &self.file());
        }
        match self.keeping {
            Keeping::File => Ok(hand.create_master_key(&self.file())?),
            Keeping::Passphrase => {
                hand.prepare_master_key(None)?;
                let passphrase = self.passphrase(true)?;
                hand.store_next_master_key(&self.file(), Some(passphrase.for_new()))?;
                Ok(hand.adopt_master_key()?)
            }
            Keeping::Transit => {
                hand.prepare_master_key(None)?;
                self.wrap(hand, &self.file(), true)?;
                Ok(hand.adopt_master_key()?)
            }
            Keeping::Credential => {
                let credential = self.credentials.as_ref().map(|folder| folder.join(CREDENTIAL));
                let credential = credential.filter(|path| path.exists());
                let credential = credential.ok_or(ServerError::NoCredential { name: CREDENTIAL })?;
                Ok(hand.unlock_vault(&credential)?)
            }
        }
    }

    /// Has a key of the hand wrapped into a new file, and sees that it can be had back: a service that only takes keys must not be found out
    /// at the next start.
    ///
    /// # Errors
    /// When the service cannot, or the file cannot be written; then there is no file.
    pub fn wrap(&self, hand: &mut Hand, file: &Path, next: bool) -> Result<[u8; 16], ServerError> {
        let id = self.transit.wrap(hand, file, next)?;
        if let Err(error) = self.transit.unwrap(hand, file, true) {
            std::fs::remove_file(file).map_err(|cause| ServerError::Write { path: file.into(), cause })?;
            return Err(error);
        }
        Ok(id)
    }

    /// Where the passphrase is read from: the file, else the terminal, where somebody is asked for it. A new one is asked for twice.
    ///
    /// # Errors
    /// When no file was named and nobody can be asked, or it cannot be opened.
    pub fn passphrase(&self, new: bool) -> Result<Passphrase, ServerError> {
        if let Some(file) = &self.passphrase_file {
            return Passphrase::from_file(file);
        }
        let terminal = if self.asks { terminal::open() } else { None };
        let input = terminal.ok_or(ServerError::NoPassphrase)?;
        let question = if new {
            "new passphrase of the master key, twice, each ended with Enter (not shown):"
        } else {
            "passphrase of the master key (not shown):"
        };
        let asking = |cause| ServerError::Process { doing: "ask at the terminal", cause };
        let silence = Some(Silence::and_ask(&input, question).map_err(asking)?);
        Ok(Passphrase { input, twice: new, _silence: silence })
    }

    /// How the key in that file is kept.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn keeping_of(&self, hand: &mut Hand, file: &Path) -> Result<Keeping, ServerError> {
        if !file.starts_with(&self.folder) {
            return Ok(Keeping::Credential);
        }
        Ok(match hand.look_at_key(file)?.form {
            KeyForm::Plain => Keeping::File,
            KeyForm::Passphrase => Keeping::Passphrase,
            KeyForm::Transit => Keeping::Transit,
        })
    }
}

/// A passphrase on its way into the hand. This process only holds the descriptor.
#[derive(Debug)]
pub struct Passphrase {
    /// It is read from here.
    pub input: OwnedFd,
    twice: bool,
    _silence: Option<Silence>,
}

impl Passphrase {
    /// From a file, which may be a terminal.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn from_file(file: &Path) -> Result<Self, ServerError> {
        Ok(Self { input: open(file)?, twice: false, _silence: None })
    }

    /// As one that is new.
    #[must_use]
    pub fn for_new(&self) -> NewPassphrase<'_> {
        NewPassphrase { input: self.input.as_fd(), twice: self.twice }
    }
}

/// Opens a file for the hand to read a passphrase from.
///
/// # Errors
/// When it cannot be opened.
pub fn open(file: &Path) -> Result<OwnedFd, ServerError> {
    let opened: io::Result<File> = File::open(file);
    opened.map(OwnedFd::from).map_err(|cause| ServerError::Read { path: file.into(), cause })
}
