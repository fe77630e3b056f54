//! What `vigosrv` does to its master key and its store while it does not serve: another key, an export, an import, a store that was put back.
//!
//! The data folder is taken as by a server, so none runs meanwhile: nothing can come under the old key while everything is put under the new one.

use crate::folder::Folder;
use crate::master::{Keeping, Kept, Passphrase, open};
use crate::settings::{Command, KeyCommand, Settings};
use crate::transit::Transit;
use crate::witness::{self, Doubt, Seen};
use crate::{ServerError, folder};
use std::io::{IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use vigo_base::encode_hex;
use vigo_hand::{Authenticated, Hand, MacLabel, NewPassphrase, Role, StartOptions, VaultRecord, WrapLabel};
use vigo_store::{Keyed, NewAudit, SqliteStore, Store};
use vigo_sys::spawn::Spawner;

/// So many bytes are put under another key at once.
const AT_ONCE: usize = 1 << 20;
/// So many versions of one secret may have been lost with a witness.
const UNSEEN_VERSIONS: u64 = 1_000_000;
/// Who did it, in the audit log: whoever may run vigosrv on its own folder.
const ACTOR: &str = "vigosrv";

/// Does what was asked instead of serving.
///
/// # Errors
/// Whatever stood in the way.
pub fn run(settings: &Settings, spawner: &Spawner, command: &Command) -> Result<(), ServerError> {
    // As an operator's: it reads a passphrase from the terminal that this program was started at.
    let options = StartOptions { arena: settings.arena.into(), ..StartOptions::new(Role::Operator) };
    let mut hand = Hand::start(spawner, &options)?;
    if let Command::Key { command: KeyCommand::New } = command {
        return new_key(&mut hand);
    }
    let folder = Folder::take(&settings.data_dir)?;
    let keys = folder.keys()?;
    let transit = Transit::new(settings.transit.clone());
    let mut kept = Kept::new(keys.clone(), settings.master_key, settings.passphrase_file.clone(), transit);
    kept.asks = true;
    let store = SqliteStore::open(&folder.path().join("store.db"))?;
    let mut place = Place { hand, keys, kept, store };
    match command {
        Command::Version => Ok(()),
        Command::Rekey { new_passphrase_file } => place.rekey(new_passphrase_file.as_deref()),
        Command::AcceptRollback => place.accept_rollback(),
        Command::Key { command: KeyCommand::Export { file, new_passphrase_file } } => {
            place.export(file, new_passphrase_file)
        }
        Command::Key { command: KeyCommand::Import { file, export_passphrase_file } } => {
            place.import(file, export_passphrase_file)
        }
        Command::Key { command: KeyCommand::New } => Ok(()),
    }
}

/// Whether the key of that id was exported from `keys`.
#[must_use]
pub fn is_exported(keys: &Path, id: &[u8; 16]) -> bool {
    std::fs::read_to_string(exported_file(keys)).is_ok_and(|exported| exported.trim() == encode_hex(id))
}

/// Names the key that was exported last; nothing in it is secret.
fn exported_file(keys: &Path) -> PathBuf {
    keys.join("exported")
}

struct Place {
    hand: Hand,
    keys: PathBuf,
    kept: Kept,
    store: SqliteStore,
}

impl Place {
    /// Unlocks the key that the store is under.
    fn unlock(&mut self) -> Result<[u8; 16], ServerError> {
        let deployment = self.store.deployment()?;
        let id =
            deployment.ok_or(ServerError::Deployment { what: "deployment: there is none yet" })?.master_key;
        self.kept.unlock(&mut self.hand, &id)?;
        witness::settle(&self.keys, &mut self.hand)?;
        Ok(id)
    }

    fn doubt(&mut self) -> Result<Option<Doubt>, ServerError> {
        let seen = self.seen()?;
        witness::doubt(&self.store, seen.as_ref())
    }

    fn seen(&mut self) -> Result<Option<Seen>, ServerError> {
        witness::read(&witness::file(&self.keys), &mut self.hand)
    }

    fn trusted(&mut self) -> Result<(), ServerError> {
        match self.doubt()? {
            None => Ok(()),
            Some(doubt) => Err(ServerError::RolledBack { path: self.keys.clone(), doubt }),
        }
    }

    /// The next key and everything under it, then the one transaction that makes it count, then the old key goes.
    fn rekey(&mut self, new_passphrase: Option<&Path>) -> Result<(), ServerError> {
        let old = self.unlock()?;
        self.trusted()?;
        let next = self.kept.next_file();
        if self.kept.keeping != Keeping::Credential {
            self.kept.clear_next()?;
        }
        let id = match self.kept.keeping {
            Keeping::File => {
                self.hand.prepare_master_key(None)?;
                self.hand.store_next_master_key(&next, None)?
            }
            Keeping::Passphrase => {
                let passphrase =
                    new_passphrase.map_or_else(|| self.kept.passphrase(true), Passphrase::from_file)?;
                self.hand.prepare_master_key(None)?;
                self.hand.store_next_master_key(&next, Some(passphrase.for_new()))?
            }
            Keeping::Transit => {
                self.hand.prepare_master_key(None)?;
                self.kept.wrap(&mut self.hand, &next, true)?
            }
            Keeping::Credential => {
                let credential = self.kept.other_credential(&mut self.hand, &old)?;
                self.hand.prepare_master_key(Some(&credential))?
            }
        };
        let keyed = self.under_next(self.store.keyed()?)?;
        let seen = Seen::of(&self.store)?;
        let mac = self.next_mac(&witness::mac_input(&seen))?;
        folder::replace(&witness::next_file(&self.keys), witness::text(&seen, &mac).as_bytes(), 0o600)?;
        let kept = self.kept.keeping.as_str();
        let detail = format!("{} to {}, kept in: {kept}", encode_hex(&old), encode_hex(&id));
        self.store.rekey(&id, &keyed, &[record("master-key.rekey", "", &detail)])?;
        self.hand.adopt_master_key()?;
        witness::settle(&self.keys, &mut self.hand)?;
        self.kept.settle_under(&mut self.hand, &id)?;
        say(&format!(
            "everything is under a new master key, kept in: {kept}; export it with `vigosrv key export FILE`"
        ))
    }

    fn accept_rollback(&mut self) -> Result<(), ServerError> {
        self.unlock()?;
        let doubt = self.doubt()?.ok_or(ServerError::NotRolledBack)?;
        let detail = match doubt {
            Doubt::Older { seen, found } => format!("ends with record {found}, {seen} was seen"),
            Doubt::Other { seen } => format!("another record {seen} than was seen"),
            Doubt::Rights => "with other policies, API tokens or enrolment tokens than were seen".into(),
            Doubt::Unwitnessed => "without a witness".into(),
        };
        self.accept(&detail)?;
        say(
            "this store counts from here on: its term was raised, so that envoys take what it says over what they had",
        )
    }

    /// Raises the term, because what was lost may have been handed out, and notes that. No version of a secret that was ever given is given
    /// again: the next ones start above the highest that the witness saw.
    fn accept(&mut self, detail: &str) -> Result<(), ServerError> {
        let here = self.store.highest_secret_version()?.0;
        let floor = match self.seen()?.and_then(|seen| seen.more) {
            Some(more) => more.versions.max(here),
            // Nobody knows: so far above that it cannot have been reached.
            None => here.saturating_add(UNSEEN_VERSIONS),
        };
        let detail = format!("{detail}; the next version of a secret is above {floor}");
        self.store.raise_term(floor, &[record("store.rollback-accepted", "", &detail)])?;
        witness::write(&witness::file(&self.keys), &Seen::of(&self.store)?, &mut self.hand)
    }

    fn export(&mut self, file: &Path, passphrase: &Path) -> Result<(), ServerError> {
        let id = encode_hex(&self.unlock()?);
        self.trusted()?;
        let file = absolute(file)?;
        let input = open(passphrase)?;
        let new = NewPassphrase { input: input.as_fd(), twice: input.as_fd().is_terminal() };
        self.hand.store_master_key(&file, Some(new))?;
        self.store.append_audit(&[record("master-key.export", &file.display().to_string(), &id)])?;
        witness::write(&witness::file(&self.keys), &Seen::of(&self.store)?, &mut self.hand)?;
        folder::replace(&exported_file(&self.keys), format!("{id}\n").as_bytes(), 0o600)?;
        say(&format!(
            "the master key {id} is in `{}`, under the passphrase; keep both, in two places",
            file.display()
        ))
    }

    fn import(&mut self, file: &Path, passphrase: &Path) -> Result<(), ServerError> {
        let input = open(passphrase)?;
        let id = self.hand.unlock_vault_with(&absolute(file)?, input.as_fd())?;
        let deployment = self.store.deployment()?;
        if deployment.is_some_and(|deployment| deployment.master_key != id) {
            let (doing, why) = ("import the master key", "the store is under another one");
            return Err(ServerError::Refused { doing, why });
        }
        match self.kept.keeping {
            Keeping::File => self.hand.store_master_key(&self.kept.file(), None)?,
            Keeping::Passphrase => {
                let passphrase = self.kept.passphrase(true)?;
                self.hand.store_master_key(&self.kept.file(), Some(passphrase.for_new()))?
            }
            Keeping::Transit => self.kept.wrap(&mut self.hand, &self.kept.file(), false)?,
            Keeping::Credential => {
                let doing = "import the master key";
                let why = "the settings say that it is a credential; import it with `--master-key file` and change it with `vigosrv rekey`";
                return Err(ServerError::Refused { doing, why });
            }
        };
        // The witness beside the lost key was lost with it, and the store may be a backup's.
        if self.doubt()?.is_some() && self.store.deployment()?.is_some() {
            self.accept("after the import of the master key")?;
        } else {
            self.store.append_audit(&[record("master-key.import", "", &encode_hex(&id))])?;
        }
        folder::replace(&exported_file(&self.keys), format!("{}\n", encode_hex(&id)).as_bytes(), 0o600)?;
        say("the master key is back in its place")
    }

    /// The MAC of what grants something under the key that waits: by way of what it is under the key in use.
    fn next_mac(&mut self, bytes: &[u8]) -> Result<[u8; 32], ServerError> {
        let mac = self.hand.mac(MacLabel::GrantingRow, bytes)?.to_vec();
        let row = Authenticated { label: MacLabel::GrantingRow, bytes: bytes.to_vec(), mac };
        let macs = self.hand.rekey(&[], &[], &[row])?.macs;
        macs.first().copied().ok_or(ServerError::Bug("the hand made no MAC"))
    }

    /// Everything under the key that waits.
    fn under_next(&mut self, mut keyed: Keyed) -> Result<Keyed, ServerError> {
        let mut start = 0;
        while start < keyed.records.len() {
            let mut size = 0;
            let fits = |(_, one): &&(_, vigo_store::SecretRecord)| {
                size += one.record.len() + 512;
                size <= AT_ONCE
            };
            let count = keyed.records.iter().skip(start).take_while(fits).count().max(1);
            let batch: Vec<VaultRecord> = keyed
                .records
                .iter()
                .skip(start)
                .take(count)
                .map(|(path, one)| VaultRecord {
                    path: path.clone(),
                    version: one.version,
                    record: one.record.clone(),
                })
                .collect();
            let done = self.hand.rekey(&batch, &[], &[])?.records;
            for ((_, one), record) in keyed.records.iter_mut().skip(start).zip(done) {
                one.record = record;
            }
            start += count;
        }
        for key in &mut keyed.keys {
            key.wrapped = self.wrapped(label_of(&key.purpose)?, &key.wrapped)?;
        }
        for token in &mut keyed.tokens {
            self.verified(&token.granting_bytes(), &token.mac)?;
            token.key = self.wrapped(WrapLabel::TokenKey, &token.key)?;
            // The wrapped key is under the MAC, too.
            token.mac = self.next_mac(&token.granting_bytes())?.to_vec();
        }
        for envoy in &mut keyed.envoys {
            envoy.mac = self.remade(&envoy.granting_bytes(), &envoy.mac)?;
        }
        for token in &mut keyed.api_tokens {
            token.mac = self.remade(&token.granting_bytes(), &token.mac)?;
        }
        if keyed.policies.revision > 0 {
            keyed.policies.mac = self.remade(&keyed.policies.granting_bytes(), &keyed.policies.mac)?;
        }
        Ok(keyed)
    }

    fn wrapped(&mut self, label: WrapLabel, bytes: &[u8]) -> Result<Vec<u8>, ServerError> {
        let wraps = self.hand.rekey(&[], &[(label, bytes.to_vec())], &[])?.wraps;
        wraps.into_iter().next().ok_or(ServerError::Bug("the hand wrapped nothing"))
    }

    fn remade(&mut self, bytes: &[u8], mac: &[u8]) -> Result<Vec<u8>, ServerError> {
        let row = Authenticated { label: MacLabel::GrantingRow, bytes: bytes.to_vec(), mac: mac.to_vec() };
        let macs = self.hand.rekey(&[], &[], &[row])?.macs;
        macs.first().map(|mac| mac.to_vec()).ok_or(ServerError::Bug("the hand made no MAC"))
    }

    fn verified(&mut self, bytes: &[u8], mac: &[u8]) -> Result<(), ServerError> {
        self.remade(bytes, mac).map(drop)
    }
}

fn label_of(purpose: &str) -> Result<WrapLabel, ServerError> {
    let label = match purpose {
        "anchor" => WrapLabel::AnchorKey,
        "bundle" => WrapLabel::BundleKey,
        "entry" => WrapLabel::EntryKey,
        "session" => WrapLabel::SessionKey,
        _ => return Err(ServerError::Deployment { what: "key of an unknown purpose" }),
    };
    Ok(label)
}

/// A new key as text on standard output, written by the hand.
fn new_key(hand: &mut Hand) -> Result<(), ServerError> {
    let output = std::io::stdout();
    if output.is_terminal() {
        let doing = "show a master key";
        let why = "standard output is a terminal; pipe it: `vigosrv key new | systemd-creds encrypt --name=vigo-master-key - FILE`";
        return Err(ServerError::Refused { doing, why });
    }
    Ok(hand.show_new_master_key(output.as_fd())?)
}

fn absolute(file: &Path) -> Result<PathBuf, ServerError> {
    std::path::absolute(file).map_err(|cause| ServerError::Write { path: file.into(), cause })
}

fn record(action: &str, object: &str, detail: &str) -> NewAudit {
    crate::rest::call::record(ACTOR, action, object, "allowed", detail)
}

fn say(text: &str) -> Result<(), ServerError> {
    writeln!(std::io::stdout(), "{text}")
        .map_err(|cause| ServerError::Process { doing: "write to standard output", cause })
}
