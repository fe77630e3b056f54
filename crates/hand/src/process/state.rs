//! What the process holds between two requests.

use super::drift::Drift;
use super::refused::Refused;
use super::service::KeyService;
use crate::target::{Intents, Staged};
use ed25519_dalek::SigningKey;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use vigo_base::{SecretPath, SecretVersion};
use vigo_secret::{KeyPair, MasterKey, SecretBuf};
use vigo_sys::spawn::Spawner;
use vigo_sys::{arena, harden};
use vigo_wire::hand::{self as wire, FailureCode, Role};

/// Left free beside what a request says it needs: for the answer, for buffers of a fixed size.
const SLACK: usize = 96 << 10;

/// What the process holds between two requests. Without `Debug`: nearly all of it is secret.
pub(crate) struct State {
    /// `None` before the first frame.
    pub(super) role: Option<Role>,
    /// The values of a node.
    pub(super) values: BTreeMap<SecretPath, Held>,
    /// Good for one request.
    pub(super) one_time: Option<KeyPair>,
    /// Where files are announced before they are placed.
    pub(super) intents: Option<Intents>,
    /// A candidate that somebody looks at.
    pub(super) staged: Option<Staged>,
    /// Seed of the salts, and the envoy that is bound in.
    pub(super) salt: Option<(zeroize::Zeroizing<[u8; 32]>, Vec<u8>)>,
    /// Of the unlocked vault.
    pub(crate) master: Option<MasterKey>,
    /// The one that waits to take its place.
    pub(super) next_master: Option<MasterKey>,
    /// What wraps master keys, where the program brought something.
    pub(super) key_service: Option<&'static dyn KeyService>,
    /// The trust anchor.
    pub(super) anchor: Option<SigningKey>,
    /// The bundle key.
    pub(super) bundle: Option<SigningKey>,
    /// Entry keys, the newest last.
    pub(super) entry: Vec<KeyPair>,
    /// Tells drift of targets without their values, if it was asked for.
    pub(super) drift: Option<Drift>,
    /// A file of another tool, on its way in.
    pub(super) import: Option<super::import::Import>,
    /// Starts commands.
    pub(super) spawner: Spawner,
    warnings: Vec<String>,
    network_denied: bool,
}

/// A value of the cache.
pub(super) struct Held {
    /// Its version.
    pub(super) version: SecretVersion,
    /// It.
    pub(super) value: SecretBuf,
    /// A request of this run has used it, or brought it.
    pub(super) used: bool,
    /// What several filters one after the other made of it: in output, no form of the value is in that.
    pub(super) results: Vec<SecretBuf>,
}

/// So many of those are remembered.
const RESULTS: usize = 16;

impl Held {
    /// It, and what filters made of it.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.value).chain(&self.results).map(SecretBuf::expose)
    }

    /// Remembers what filters made of it.
    pub(super) fn remember(&mut self, result: &SecretBuf) {
        if self.results.len() < RESULTS
            && !self.results.iter().any(|known| known.equals_bytes(result.expose()))
        {
            self.results.push(SecretBuf::copy_of(result.expose()));
        }
    }
}

impl State {
    pub(crate) fn new(spawner: Spawner, mut warnings: Vec<String>, sandboxed: std::io::Result<()>) -> Self {
        let network_denied = sandboxed.is_ok();
        if let Err(error) = sandboxed {
            warnings.push(format!("cannot deny the network to the hand: {error}"));
        }
        Self {
            role: None,
            values: BTreeMap::new(),
            one_time: None,
            intents: None,
            staged: None,
            salt: None,
            master: None,
            next_master: None,
            key_service: None,
            anchor: None,
            bundle: None,
            entry: Vec::new(),
            drift: None,
            import: None,
            spawner,
            warnings,
            network_denied,
        }
    }

    /// The first frame.
    pub(super) fn greet(&mut self, hello: wire::Hello) -> Result<wire::Status, Refused> {
        if hello.format != wire::FORMAT {
            return Err(Refused::bug("cannot speak with another version of Vigo: restart what was upgraded"));
        }
        if !hello.intents.is_empty() {
            self.intents = Some(Intents::open(Path::new(&hello.intents))?);
        }
        if !hello.salt_seed.is_empty() {
            let seed = <[u8; 32]>::try_from(hello.salt_seed.as_slice())
                .map_err(|_| Refused::bug("cannot take a seed that has not 32 bytes"))?;
            self.salt = Some((seed.into(), hello.envoy));
        }
        self.drift = hello.detect_drift.then(Drift::new).transpose()?;
        self.role = Some(Role::try_from(hello.role).unwrap_or(Role::Unknown));
        Ok(self.status())
    }

    /// Makes sure that so many bytes can be had: values that no request of this run used are dropped first.
    pub(super) fn make_room(&mut self, need: usize) -> Result<(), Refused> {
        self.make_room_beside(need, &BTreeSet::new())
    }

    /// The same, and none of these is dropped.
    pub(super) fn make_room_beside(
        &mut self,
        need: usize,
        kept: &BTreeSet<SecretPath>,
    ) -> Result<(), Refused> {
        let need = need.saturating_add(SLACK);
        if arena::room() >= need {
            return Ok(());
        }
        self.values.retain(|path, held| held.used || kept.contains(path));
        let free = arena::room();
        if free >= need {
            return Ok(());
        }
        let text = format!(
            "cannot do this in protected memory: it needs {need} bytes and {free} are free; raise `arena_max`, or RLIMIT_MEMLOCK"
        );
        Err(Refused::new(FailureCode::Room, text))
    }

    /// This run uses these values: room for the request is not made by dropping them. Said before any is made.
    pub(super) fn uses<'a>(&mut self, slots: impl IntoIterator<Item = &'a wire::Slot>) {
        for slot in slots {
            if let Ok(path) = slot.path.parse::<SecretPath>()
                && let Some(held) = self.values.get_mut(&path)
            {
                held.used = true;
            }
        }
    }

    /// The folder of intents.
    pub(super) fn intents(&self) -> Result<&Intents, Refused> {
        self.intents.as_ref().ok_or_else(|| Refused::bug("cannot write a file without a folder of intents"))
    }

    /// The master key.
    pub(super) fn master(&self) -> Result<&MasterKey, Refused> {
        self.master
            .as_ref()
            .ok_or_else(|| Refused::new(FailureCode::Locked, "cannot do this before the vault is unlocked"))
    }

    /// The master key that waits to be adopted.
    pub(super) fn next_master(&self) -> Result<&MasterKey, Refused> {
        self.next_master.as_ref().ok_or_else(|| {
            Refused::new(FailureCode::Locked, "cannot do this before the next master key is prepared")
        })
    }

    /// How well it is protected, read back now.
    pub(super) fn status(&self) -> wire::Status {
        let core = harden::core_limit();
        let mut status = wire::Status {
            dumpable: harden::is_dumpable(),
            core_soft: core.soft,
            core_hard: core.hard,
            tracer: harden::tracer(),
            open_arena_descriptors: open_arena_descriptors(),
            warnings: self.warnings.clone(),
            values: self.values.len() as u64,
            process: std::process::id(),
            network_denied: self.network_denied,
            arena_kind: "plain".into(),
            ..wire::Status::default()
        };
        if let Some(arena) = arena::status() {
            let kind = match arena.kind {
                arena::Kind::Secret => "secret",
                arena::Kind::Locked => "locked",
                arena::Kind::Plain => "plain",
            };
            status.arena_kind = kind.into();
            status.arena_size = arena.size as u64;
            status.arena_used = arena.used as u64;
            status.arena_max = arena.max as u64;
            status.arena_reasons = arena.reasons;
        }
        status
    }
}

/// Descriptors of memfd_secret(2) files in this process; one that is open could be taken with pidfd_getfd(2).
fn open_arena_descriptors() -> u32 {
    let Ok(folder) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    let links = folder.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let count = links.filter(|target| target.as_os_str().to_string_lossy().contains("secretmem")).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}
