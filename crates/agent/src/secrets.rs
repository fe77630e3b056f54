//! Where the values of secrets come from: the server, a vault folder, the environment, systemd. Each way ends in the hand; no value passes through here.

use crate::enrolment::Enrolment;
use crate::error::AgentError;
use crate::link::Link;
use crate::posture::Posture;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use vigo_base::{Blame, Sealed, SecretPath, SecretVersion, limits};
use vigo_engine::Secrets;
use vigo_hand::{Binding, Hand, SealedItem};
use vigo_host::Hands;
use vigo_resource::{Failure, Values};
use vigo_vault::{Vault, VaultError};
use vigo_wire::inner::{Answer, Ask, SecretItem, SecretReply, SecretRequest, SecretState};

/// The answers for a batch of paths, in its order.
type Answers = Vec<Result<SecretVersion, Failure>>;

/// The values that the server seals for this envoy.
pub struct ServerSecrets<'a> {
    /// The hand that opens them.
    pub hands: Rc<Hands>,
    /// The session; `None` when the server was not reached.
    pub link: RefCell<Option<&'a mut Link>>,
    /// Who asks.
    pub enrolment: &'a Enrolment,
    /// Term and generation of the assignment that entitles.
    pub standing: (u64, u64),
    /// The current versions, as the server said at the last check-in.
    pub versions: RefCell<BTreeMap<SecretPath, SecretVersion>>,
    /// The server was not reached: values are missing for that reason alone.
    pub away: Cell<bool>,
    /// Those whose targets the hand can look at without them (`secret_cache: apply`).
    pub later: RefCell<BTreeSet<SecretPath>>,
    /// Those that this run asked for in vain.
    pub unobtainable: RefCell<BTreeSet<SecretPath>>,
    /// What protection this machine gives, to be read back when the hand runs.
    pub posture: &'a dyn Fn(&Hands) -> Posture,
}

/// The versions of a check-in's answer; what has no version does not exist.
#[must_use]
pub fn versions(states: &[SecretState]) -> BTreeMap<SecretPath, SecretVersion> {
    let known = |state: &SecretState| Some((state.path.parse().ok()?, SecretVersion(state.version)));
    states.iter().filter(|state| state.version > 0).filter_map(known).collect()
}

/// Drops from the hand what this envoy is not to have any more, or not in this version: removed, rotated, or referred to by nothing that is
/// assigned. Where nothing is left to be held, the hand is ended. In one that goes on, what the run does not use is the first to go when
/// there is no room.
/// A hand that does not answer is ended: then nothing is held, and the run fetches what it needs.
pub fn drop_stale(hands: &Hands, now: &BTreeMap<SecretPath, SecretVersion>) {
    if now.is_empty() {
        hands.end();
    }
    if !hands.is_running() {
        return;
    }
    let dropped = hands.with(|hand| {
        let held = hand.held()?;
        let stale = held.into_iter().filter(|(path, version)| now.get(path) != Some(version));
        let stale: Vec<SecretPath> = stale.map(|(path, _)| path).collect();
        hand.forget(&stale)?;
        hand.new_run()
    });
    if let Err(failure) = dropped {
        tracing::warn!("the hand that held the values of earlier runs is given up: {}", failure.reason);
        hands.end();
    }
}

/// Wipes every value from the hand after a run (`secret_cache: apply`). What it remembers of targets stays. A hand that does not do it is ended.
pub fn drop_all(hands: &Hands) {
    if !hands.is_running() {
        return;
    }
    let dropped = hands.with(|hand| {
        let held: Vec<SecretPath> = hand.held()?.into_iter().map(|(path, _)| path).collect();
        hand.forget(&held)
    });
    if let Err(failure) = dropped {
        tracing::warn!("the hand that held the values of this run is ended: {}", failure.reason);
        hands.end();
    }
}

impl Values for ServerSecrets<'_> {
    fn hold_for_scrubbing(&self, wanted: &[(SecretPath, SecretVersion)]) {
        // Only the current version can be had; what was refused once is not asked for again in this run.
        let is_new = |(path, version): &&(SecretPath, SecretVersion)| {
            self.version(path) == Some(*version) && !self.unobtainable.borrow().contains(path)
        };
        let paths: Vec<SecretPath> = wanted.iter().filter(is_new).map(|(path, _)| path.clone()).collect();
        for (path, answer) in paths.iter().zip(self.batches(&paths)) {
            match answer {
                Ok(_) => drop(self.later.borrow_mut().remove(path)),
                Err(failure) => {
                    tracing::info!("`{path}` cannot be had for scrubbing: {}", failure.reason);
                    self.unobtainable.borrow_mut().insert(path.clone());
                }
            }
        }
    }
}

impl Secrets for ServerSecrets<'_> {
    fn obtain(&self, paths: &[SecretPath]) -> Answers {
        let covered = self.covered();
        let known = |path: &SecretPath| {
            let version = self.version(path)?;
            (covered.get(path) == Some(&version)).then_some(version)
        };
        let (later, now): (Vec<_>, Vec<_>) = paths.iter().cloned().partition(|path| known(path).is_some());
        self.later.borrow_mut().extend(later);
        let mut fetched = self.batches(&now).into_iter();
        let missing = || Err(Failure::blocked("the server left out a secret that was asked for"));
        let answer = |path: &SecretPath| match known(path) {
            Some(version) => Ok(version),
            None => fetched.next().unwrap_or_else(missing),
        };
        paths.iter().map(answer).collect()
    }

    fn is_left_for_later(&self, path: &SecretPath) -> bool {
        self.later.borrow().contains(path)
    }

    fn hold(&self, paths: &[SecretPath]) -> Result<(), Failure> {
        let wanted: Vec<SecretPath> =
            paths.iter().filter(|path| self.is_left_for_later(path)).cloned().collect();
        for (path, answer) in wanted.iter().zip(self.batches(&wanted)) {
            answer.map_err(|failure| Failure {
                reason: format!("cannot get secret `{path}`: {}", failure.reason),
                ..failure
            })?;
            self.later.borrow_mut().remove(path);
        }
        Ok(())
    }

    fn version(&self, path: &SecretPath) -> Option<SecretVersion> {
        self.versions.borrow().get(path).copied()
    }

    fn is_away(&self) -> bool {
        self.away.get()
    }
}

impl ServerSecrets<'_> {
    fn batches(&self, paths: &[SecretPath]) -> Answers {
        paths.chunks(limits::SECRET_BATCH).flat_map(|batch| self.batch(batch)).collect()
    }

    /// What stands in targets that a hand which keeps no values can look at all the same.
    fn covered(&self) -> BTreeMap<SecretPath, SecretVersion> {
        if !self.hands.is_running() {
            return BTreeMap::new();
        }
        self.hands.with(vigo_hand::Hand::covered).unwrap_or_default().into_iter().collect()
    }

    /// What the hand does not hold in its current version is fetched.
    fn batch(&self, paths: &[SecretPath]) -> Answers {
        let held = self.held();
        let has = |path: &SecretPath| held.get(path).filter(|version| self.version(path) == Some(**version));
        let wanted: Vec<SecretPath> = paths.iter().filter(|path| has(path).is_none()).cloned().collect();
        let have: BTreeMap<SecretPath, SecretVersion> =
            paths.iter().filter_map(|path| Some((path.clone(), *has(path)?))).collect();
        if !have.is_empty() {
            // Before others come that may need their room. One that is dropped all the same blocks its resource, and the next run fetches it.
            let kept: Vec<SecretPath> = have.keys().cloned().collect();
            let _ = self.hands.with(|hand| hand.uses(&kept));
        }
        let mut fetched = if wanted.is_empty() { Vec::new() } else { self.fetch(&wanted) }.into_iter();
        let missing = || Err(Failure::blocked("the server left out a secret that was asked for"));
        paths
            .iter()
            .map(|path| match have.get(path) {
                Some(version) => Ok(*version),
                None => fetched.next().unwrap_or_else(missing),
            })
            .collect()
    }

    fn held(&self) -> BTreeMap<SecretPath, SecretVersion> {
        if !self.hands.is_running() {
            return BTreeMap::new();
        }
        self.hands.with(vigo_hand::Hand::held).unwrap_or_default().into_iter().collect()
    }

    fn fetch(&self, paths: &[SecretPath]) -> Answers {
        let all = |failure: &Failure| paths.iter().map(|_| Err(failure.clone())).collect();
        match self.exchange(paths) {
            Ok((reply, binding)) => self.open(paths, reply, &binding),
            Err(failure) => all(&failure),
        }
    }

    /// Asks the server to seal the values to a new one-time key of the hand.
    fn exchange(&self, paths: &[SecretPath]) -> Result<(SecretReply, Binding), Failure> {
        let away = || {
            Failure::blocked("offline: the server is away and this machine holds no value")
                .help("it goes on by itself when the server can be reached again")
        };
        let mut link = self.link.borrow_mut();
        let Some(link) = link.as_deref_mut() else {
            self.away.set(true);
            return Err(away());
        };
        let random = |error: vigo_wire::WireError| Failure::failed(error.to_string());
        let request: [u8; 16] = vigo_wire::random::array().map_err(random)?;
        let key = self.hands.with(vigo_hand::Hand::one_time_key)?;
        let (term, generation) = self.standing;
        let ask = SecretRequest {
            request: request.to_vec(),
            key: key.to_vec(),
            term,
            generation,
            paths: paths.iter().map(ToString::to_string).collect(),
            posture: Some((self.posture)(&self.hands).to_wire()),
        };
        match link.ask(self.enrolment, Ask::Secrets(ask)) {
            Ok(Answer::Secrets(reply)) if reply.items.len() == paths.len() => {
                let binding =
                    Binding { party: *self.enrolment.envoy.as_bytes(), epoch: reply.epoch, request };
                Ok((reply, binding))
            }
            Ok(_) => Err(Failure::blocked(
                "the server answered something else than the secrets that were asked for",
            )),
            // Not now: nothing is said about these secrets, and they are asked for again.
            Err(error @ AgentError::Refused { .. }) if error.is_later() => {
                tracing::warn!("secrets cannot be fetched now: {}", vigo_base::chain(&error));
                self.away.set(true);
                Err(away())
            }
            Err(AgentError::Refused { code, message }) => {
                Err(Failure::blocked(format!("the server refuses all secrets ({code}): {message}")))
            }
            Err(error) if error.blame() == Blame::Peer => {
                tracing::warn!("secrets cannot be fetched: {}", vigo_base::chain(&error));
                self.away.set(true);
                Err(away())
            }
            Err(error) => Err(Failure::blocked(error.to_string())),
        }
    }

    /// Gives the sealed values to the hand, all of them or none.
    fn open(&self, paths: &[SecretPath], reply: SecretReply, binding: &Binding) -> Answers {
        if paths.iter().zip(&reply.items).any(|(path, item)| item.path != path.as_str()) {
            let other = Failure::blocked(
                "the server answered with another secret than the one that was asked for; nothing of its answer is taken",
            );
            return paths.iter().map(|_| Err(other.clone())).collect();
        }
        let mut answers: Answers = Vec::with_capacity(paths.len());
        let mut items = Vec::with_capacity(paths.len());
        for (path, item) in paths.iter().zip(reply.items) {
            answers.push(sealed_item(path, item).map(|item| {
                let version = item.version;
                items.push(item);
                version
            }));
        }
        if items.is_empty() {
            return answers;
        }
        let opened = self.hands.with(|hand| hand.open(binding, &items));
        if let Err(failure) = opened {
            return answers.into_iter().map(|answer| answer.and(Err(failure.clone()))).collect();
        }
        self.versions.borrow_mut().extend(items.into_iter().map(|item| (item.path, item.version)));
        answers
    }
}

fn sealed_item(path: &SecretPath, item: SecretItem) -> Result<SealedItem, Failure> {
    if !item.refused.is_empty() {
        return Err(Failure::blocked(format!("the server refuses it: {}", item.refused)).help(item.help));
    }
    let sealed = Sealed { encapsulated: item.encapsulated, ciphertext: item.ciphertext };
    Ok(SealedItem { path: path.clone(), version: SecretVersion(item.version), sealed })
}

/// Where `vigo apply` takes values from.
pub enum LocalSource {
    /// Nothing was named.
    None,
    /// A vault folder, as `vigocli secrets --vault` makes it.
    Vault(PathBuf),
    /// Variables `VIGO_SECRET_..`.
    Environment,
    /// Files in `$CREDENTIALS_DIRECTORY` (systemd.exec(5)).
    Systemd(PathBuf),
}

impl LocalSource {
    /// What `--secrets` says.
    ///
    /// # Errors
    /// When it says `systemd` outside a unit that was given credentials.
    pub fn parse(text: Option<&str>) -> Result<Self, AgentError> {
        match text {
            None => Ok(Self::None),
            Some("env") => Ok(Self::Environment),
            Some("systemd") => std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Self::Systemd(folder.into())).ok_or_else(|| {
                AgentError::Operator("cannot take secrets from systemd: CREDENTIALS_DIRECTORY is not set; give the unit `LoadCredential=`".to_owned())
            }),
            Some(folder) => Ok(Self::Vault(folder.into())),
        }
    }
}

/// The values of a source on this machine.
pub struct LocalSecrets {
    /// The hand that reads them.
    pub hands: Rc<Hands>,
    /// Where from.
    pub source: LocalSource,
    /// Where the passphrase of a vault comes from.
    pub passphrase_file: Option<PathBuf>,
    /// Versions that were obtained.
    pub obtained: RefCell<BTreeMap<SecretPath, SecretVersion>>,
    /// Those that were asked for because output was to be scrubbed of them.
    pub asked: RefCell<BTreeSet<SecretPath>>,
}

impl Values for LocalSecrets {
    fn hold_for_scrubbing(&self, wanted: &[(SecretPath, SecretVersion)]) {
        let LocalSource::Vault(folder) = &self.source else { return };
        // Once: what is not there does not come.
        let is_new = |(path, _): &&(SecretPath, SecretVersion)| self.asked.borrow_mut().insert(path.clone());
        let paths: Vec<SecretPath> = wanted.iter().filter(is_new).map(|(path, _)| path.clone()).collect();
        if paths.is_empty() {
            return;
        }
        for (path, answer) in paths.iter().zip(self.take_from_vault(folder, &paths)) {
            match answer {
                Ok(version) => drop(self.obtained.borrow_mut().insert(path.clone(), version)),
                Err(failure) => tracing::info!("`{path}` cannot be had for scrubbing: {}", failure.reason),
            }
        }
    }

    /// The environment and systemd give values without.
    fn have_versions(&self) -> bool {
        matches!(self.source, LocalSource::Vault(_) | LocalSource::None)
    }
}

impl Secrets for LocalSecrets {
    fn obtain(&self, paths: &[SecretPath]) -> Answers {
        let answers = match &self.source {
            LocalSource::None => {
                let failure = Failure::blocked("no source of secrets was named")
                    .help("add `--secrets VAULT-DIR`, `--secrets env` or `--secrets systemd`");
                paths.iter().map(|_| Err(failure.clone())).collect()
            }
            LocalSource::Vault(folder) => self.take_from_vault(folder, paths),
            LocalSource::Environment => paths.iter().map(|path| self.take_from_environment(path)).collect(),
            LocalSource::Systemd(folder) => {
                paths.iter().map(|path| self.take_from_file(folder, path)).collect()
            }
        };
        for (path, answer) in paths.iter().zip(&answers) {
            if let Ok(version) = answer {
                self.obtained.borrow_mut().insert(path.clone(), *version);
            }
        }
        answers
    }

    fn version(&self, path: &SecretPath) -> Option<SecretVersion> {
        self.obtained.borrow().get(path).copied()
    }

    /// Without a source, what was applied and not touched since stays; with one, its answer counts.
    fn is_away(&self) -> bool {
        matches!(self.source, LocalSource::None)
    }
}

impl LocalSecrets {
    fn take_from_vault(&self, folder: &Path, paths: &[SecretPath]) -> Answers {
        let taken = self.hands.get().and_then(|mut hand| {
            let vault = open_vault(folder, self.passphrase_file.as_deref(), &mut hand)
                .map_err(|error| vault_failure(&error))?;
            Ok(paths
                .iter()
                .map(|path| {
                    let record = vault.record(path).map_err(|error| vault_failure(&error))?;
                    hand.open_record(&record).map_err(|error| Failure::blocked(error.to_string()))?;
                    Ok(record.version)
                })
                .collect())
        });
        taken.unwrap_or_else(|failure: Failure| paths.iter().map(|_| Err(failure.clone())).collect())
    }

    fn take_from_environment(&self, path: &SecretPath) -> Result<SecretVersion, Failure> {
        let variable = variable_name(path);
        if self.hands.with(|hand| hand.take_from_environment(path, &variable))? {
            Ok(SecretVersion(1))
        } else {
            Err(Failure::blocked(format!("secret `{path}` is missing: the variable {variable} is not set")))
        }
    }

    fn take_from_file(&self, folder: &Path, path: &SecretPath) -> Result<SecretVersion, Failure> {
        let file = folder.join(path.as_str().replace('/', "."));
        if !file.exists() {
            return Err(Failure::blocked(format!(
                "secret `{path}` is missing: there is no `{}`",
                file.display()
            )));
        }
        self.hands.with(|hand| hand.take_from_file(path, &file))?;
        Ok(SecretVersion(1))
    }
}

/// Opens a vault with the passphrase of that file, if it is under one. The file is opened here and read by the hand.
///
/// # Errors
/// As [`Vault::open`].
pub fn open_vault(
    folder: &Path,
    passphrase_file: Option<&Path>,
    hand: &mut Hand,
) -> Result<Vault, VaultError> {
    let ask = || match passphrase_file {
        Some(file) => Ok(std::fs::File::open(file)?.into()),
        None => Err(std::io::Error::new(
            std::io::ErrorKind::Unsupported,
            "name the file that holds it with `--passphrase-file`, such as `/dev/fd/3`",
        )),
    };
    Vault::open(folder, hand, &ask)
}

fn vault_failure(error: &VaultError) -> Failure {
    Failure::blocked(vigo_base::chain(error))
}

/// `VIGO_SECRET_` and the path, with `/` as `__` and `-` and `.` as `_`.
fn variable_name(path: &SecretPath) -> String {
    let name = path.as_str().replace('/', "__").replace(['-', '.'], "_");
    format!("VIGO_SECRET_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_name_in_the_environment() {
        assert_eq!(
            variable_name(&"web/up-stream.token".parse().unwrap()),
            "VIGO_SECRET_web__up_stream_token"
        );
    }

    #[test]
    fn a_secret_without_a_version_does_not_exist() {
        let states = [
            SecretState { path: "a".to_owned(), version: 2 },
            SecretState { path: "b".to_owned(), version: 0 },
            SecretState { path: "no path!".to_owned(), version: 1 },
        ];
        let known = versions(&states);
        assert_eq!(known.get(&"a".parse().unwrap()), Some(&SecretVersion(2)));
        assert_eq!(known.len(), 1);
    }
}
