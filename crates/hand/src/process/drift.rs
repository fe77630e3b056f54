//! Whether a target is as it was put, told without the values that stand in it (`secret_cache: apply`): a MAC over its content, under a key
//! that is made anew with each process and leaves it as little as the MACs do. After a restart nothing is known, and values are fetched.

use super::files::{Target, WINDOW};
use super::refused::Refused;
use super::state::State;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use vigo_base::{SecretPath, SecretVersion};
use vigo_secret::{DriftKey, DriftMac, SecretBuf};
use vigo_sys::arena;
use vigo_wire::hand as wire;

/// So many targets are remembered; what is beyond is compared with its values every time.
const MOST: usize = 4096;
/// With less room than this nothing more is remembered: values come first.
const ROOM: usize = 256 << 10;

/// What is remembered of the targets.
pub(super) struct Drift {
    key: DriftKey,
    targets: BTreeMap<String, Remembered>,
}

struct Remembered {
    /// Over what the target was to hold: text, places of values, and their versions.
    wanted: [u8; 32],
    /// Over what it held.
    found: [u8; 32],
    uses: Vec<(SecretPath, SecretVersion)>,
}

impl Drift {
    pub(super) fn new() -> Result<Self, Refused> {
        Ok(Self { key: DriftKey::generate()?, targets: BTreeMap::new() })
    }
}

/// A target is now as a request says it is to be: that is remembered, if this hand does so. Nothing is worth an error here: what is not
/// remembered is compared the next time.
pub(super) fn remember(state: &mut State, target: &str, content: &wire::Content, file: &OwnedFd) {
    if state.drift.is_none() || content.copy || content.edit.is_some() || content.slots.is_empty() {
        return;
    }
    let uses = content.slots.iter().filter_map(|slot| {
        let path: SecretPath = slot.path.parse().ok()?;
        let version = state.values.get(&path)?.version;
        Some((path, version))
    });
    let uses: Vec<(SecretPath, SecretVersion)> = uses.collect();
    let Some(drift) = &mut state.drift else { return };
    drift.targets.remove(target);
    if uses.len() != content.slots.len() || drift.targets.len() >= MOST || arena::room() < ROOM {
        return;
    }
    let wanted = wanted(&drift.key, target, content, file, &uses);
    let found = Target::open(target).ok().flatten().map(|target| found(&drift.key, &target.file));
    if let (Ok(wanted), Some(Ok(found))) = (wanted, found) {
        drift.targets.insert(target.to_owned(), Remembered { wanted, found, uses });
    }
}

/// Whether a target is remembered as what is wanted of it now, and still is what it was.
pub(super) fn verify(
    state: &mut State,
    request: wire::Verify,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::Verified, Refused> {
    let file = super::files::content_of(&descriptors)?;
    let version_of = |path: &str| request.versions.iter().find(|known| known.path == path);
    let mut uses = Vec::with_capacity(request.content.slots.len());
    for slot in &request.content.slots {
        let Some(known) = version_of(&slot.path) else { return Ok(wire::Verified { same: false }) };
        uses.push((super::values::parse_path(&slot.path)?, SecretVersion(known.version)));
    }
    let Some(drift) = &state.drift else { return Ok(wire::Verified { same: false }) };
    let Some(remembered) = drift.targets.get(&request.target) else {
        return Ok(wire::Verified { same: false });
    };
    let unreadable = |error: std::io::Error| Refused::machine("cannot read what a file is to hold", &error);
    let wanted = wanted(&drift.key, &request.target, &request.content, file, &uses).map_err(unreadable)?;
    if wanted != remembered.wanted {
        return Ok(wire::Verified { same: false });
    }
    let Some(target) = Target::open(&request.target)? else { return Ok(wire::Verified { same: false }) };
    let found = found(&drift.key, &target.file).map_err(|error| target.unreadable(&error))?;
    Ok(wire::Verified { same: found == remembered.found })
}

/// The secrets that stand in targets which are remembered.
pub(super) fn covered(
    state: &mut State,
    _: wire::Nothing,
    _: Vec<OwnedFd>,
) -> Result<wire::Versions, Refused> {
    let uses = state.drift.iter().flat_map(|drift| drift.targets.values()).flat_map(|target| &target.uses);
    let known: BTreeMap<&SecretPath, SecretVersion> = uses.map(|(path, version)| (path, *version)).collect();
    let item = |(path, version): (&SecretPath, SecretVersion)| wire::Version {
        path: path.to_string(),
        version: version.0,
    };
    Ok(wire::Versions { items: known.into_iter().map(item).collect() })
}

/// Over what a target is to hold.
fn wanted(
    key: &DriftKey,
    target: &str,
    content: &wire::Content,
    file: &OwnedFd,
    uses: &[(SecretPath, SecretVersion)],
) -> std::io::Result<[u8; 32]> {
    let mut mac = key.start(b"wanted");
    mac.part(target.as_bytes());
    mac.part(content.resource.as_bytes());
    for (slot, (_, version)) in content.slots.iter().zip(uses) {
        mac.part(slot.path.as_bytes());
        mac.part(&version.0.to_le_bytes());
        slot.filters.iter().for_each(|filter| mac.part(filter.as_bytes()));
        mac.part(b"");
    }
    read_all(file, Some(content.size), mac)
}

/// Over what a file holds.
fn found(key: &DriftKey, file: &OwnedFd) -> std::io::Result<[u8; 32]> {
    read_all(file, None, key.start(b"found"))
}

/// Takes in a file from its start, `size` bytes of it or all.
fn read_all(file: &OwnedFd, size: Option<u64>, mut mac: DriftMac) -> std::io::Result<[u8; 32]> {
    let mut window = SecretBuf::zeroed(WINDOW);
    let mut offset = 0;
    loop {
        let left = size.map_or(WINDOW as u64, |size| size.saturating_sub(offset)).min(WINDOW as u64);
        let part = window.expose_mut().get_mut(..usize::try_from(left).unwrap_or(WINDOW)).unwrap_or_default();
        let read = match rustix::io::pread(file, part, offset) {
            Ok(0) => return Ok(mac.finish()),
            Ok(read) => read,
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        mac.bytes(window.expose().get(..read).unwrap_or_default());
        offset += read as u64;
    }
}
