//! Devices and files that were swap in the clear become swap below a mapping whose key is made anew at each boot.

use super::{Facts, OURS, Planned};
use crate::swap_tables as tables;
use vigo_base::SwapClass;
use vigo_resource::{Failure, Host, Storage, StorageContent, SwapStep};
use vigo_swap::{Crypttab, Fstab, is_zram_name};

/// Something that is to be swap below a mapping.
struct Candidate<'a> {
    storage: &'a Storage,
    priority: Option<i32>,
}

/// Plans crypttab, fstab, mappings and areas for everything that is or was plain swap.
pub(super) fn convert<'a>(
    host: &dyn Host,
    facts: &'a Facts,
    bits: u32,
    planned: &mut Planned<'a>,
) -> Result<(), Failure> {
    let mut names: Vec<String> = Vec::new();
    for candidate in candidates(facts) {
        let storage = candidate.storage;
        let existing = entry_over(host, facts, storage)?;
        // What holds something else now, and no mapping of ours, is not ours to take.
        let is_swap = matches!(storage.content, StorageContent::Swap | StorageContent::Nothing);
        if existing.is_none() && !is_swap {
            continue;
        }
        let name = match existing {
            Some(name) => name,
            None => {
                let name = free_name(host, &planned.crypttab, &names)?;
                let device = stable_name(storage)?;
                planned.crypttab.add(&Crypttab::line(&name, &device, bits));
                name
            }
        };
        let path = format!("/dev/mapper/{name}");
        if !planned.fstab.swaps().iter().any(|entry| entry.spec == path && entry.is_automatic()) {
            planned.fstab.add(&Fstab::line(&path, candidate.priority));
        }
        names.push(name);
    }
    for name in ephemeral_names(facts, planned) {
        open(host, facts, &name, bits, planned)?;
    }
    Ok(())
}

/// Every mapping that fstab will switch on and crypttab makes with a new key: ours and others'.
fn ephemeral_names(facts: &Facts, planned: &Planned<'_>) -> Vec<(String, Option<i32>, Option<String>)> {
    let ours = |name: &str| name.starts_with(OURS);
    let lines = planned.fstab.swaps().into_iter().filter(|entry| entry.is_automatic());
    let mut found: Vec<(String, Option<i32>, Option<String>)> = Vec::new();
    for entry in lines {
        let Some(name) = tables::ephemeral(&entry, &planned.crypttab).filter(|name| ours(name)) else {
            continue;
        };
        let device = planned.crypttab.entry(name).map(|entry| entry.device);
        found.push((name.to_owned(), entry.priority(), device));
    }
    found.retain(|(name, ..)| {
        let mapped = |storage: &Storage| storage.mapping.as_deref() == Some(name.as_str());
        !facts.state.areas.iter().any(|area| mapped(&area.storage))
    });
    found
}

/// What of a mapping is not there yet: itself, its header, its use.
fn open(
    host: &dyn Host,
    facts: &Facts,
    (name, priority, device): &(String, Option<i32>, Option<String>),
    bits: u32,
    planned: &mut Planned<'_>,
) -> Result<(), Failure> {
    let path = format!("/dev/mapper/{name}");
    let there = host.storage(&path)?;
    if there.is_none() {
        let device = device.clone().unwrap_or_default();
        let Some(below) = tables::find(host, &facts.state, &device)? else {
            return Err(Failure::blocked(format!(
                "cannot find `{device}`, over which crypttab makes `{name}`"
            ))
            .help("correct the lines of `/etc/crypttab` and `/etc/fstab`, or take them out"));
        };
        require_tools(facts)?;
        planned.last.push(SwapStep::Map { name: name.clone(), path: below.path, bits });
    }
    if there.is_none_or(|there| there.content != StorageContent::Swap) {
        planned.last.push(SwapStep::Make { path: path.clone(), size: None });
    }
    planned.last.push(SwapStep::On { path, priority: *priority });
    Ok(())
}

fn require_tools(facts: &Facts) -> Result<(), Failure> {
    if facts.state.crypt_tool.is_none() {
        return Err(Failure::blocked("cannot encrypt swap: there is no cryptsetup on this machine")
            .help("install the package `cryptsetup`, or choose `off` or `zram`; nothing was changed"));
    }
    if !facts.can_encrypt_at_boot {
        return Err(Failure::blocked("cannot encrypt swap at boot: nothing on this machine reads `/etc/crypttab`")
            .help("install the package that does (`cryptsetup`, `systemd-cryptsetup`), or choose `off` or `zram`; nothing was changed"));
    }
    Ok(())
}

/// Plain areas in use, and what fstab names or named before Vigo commented it out.
fn candidates(facts: &Facts) -> Vec<Candidate<'_>> {
    let areas = facts.state.areas.iter().map(|area| Candidate {
        storage: &area.storage,
        priority: (area.priority >= 0).then_some(area.priority),
    });
    let lines =
        facts.lines.iter().filter(|line| line.entry.marked || line.entry.is_automatic()).filter_map(|line| {
            Some(Candidate { storage: line.storage.as_ref()?, priority: line.entry.priority() })
        });
    let mut found: Vec<Candidate<'_>> = Vec::new();
    for candidate in areas.chain(lines) {
        let storage = candidate.storage;
        let is_known = found.iter().any(|other| other.storage.path == storage.path);
        let is_plain = storage.class == SwapClass::Plain && !is_zram_name(&storage.path);
        if is_plain && !is_known {
            found.push(candidate);
        }
    }
    found
}

/// The mapping that crypttab makes over this with a new key.
pub(super) fn entry_over(
    host: &dyn Host,
    facts: &Facts,
    storage: &Storage,
) -> Result<Option<String>, Failure> {
    for entry in Crypttab::new(facts.crypttab.text()).entries() {
        if !entry.is_ephemeral() || entry.is_null() {
            continue;
        }
        let below = tables::find(host, &facts.state, &entry.device)?;
        if below.is_some_and(|below| below.path == storage.path) {
            return Ok(Some(entry.name));
        }
    }
    Ok(None)
}

fn free_name(host: &dyn Host, crypttab: &Crypttab, taken: &[String]) -> Result<String, Failure> {
    for number in 0..64 {
        let name = format!("{OURS}{number}");
        let is_taken = taken.contains(&name) || crypttab.entry(&name).is_some();
        if !is_taken && host.storage(&format!("/dev/mapper/{name}"))?.is_none() {
            return Ok(name);
        }
    }
    Err(Failure::failed("cannot name another mapping for swap: there are 64 of them"))
}

/// A name that means the same device after each boot: at each the device is overwritten, so a name that wanders would destroy another one.
fn stable_name(storage: &Storage) -> Result<String, Failure> {
    if storage.is_file {
        return Ok(storage.path.clone());
    }
    let by = |folder: &str| storage.aliases.iter().find(|alias| alias.starts_with(folder)).cloned();
    // The identifiers that stand in the swap header, UUID and LABEL, go with it.
    let found = by("/dev/disk/by-partuuid/")
        .or_else(|| by("/dev/mapper/"))
        .or_else(|| by("/dev/disk/by-id/"))
        .or_else(|| by("/dev/md/"))
        .or_else(|| by("/dev/disk/by-path/"));
    found.filter(|name| !name.contains(char::is_whitespace)).ok_or_else(|| {
        Failure::blocked(format!(
            "cannot encrypt swap on `{}`: it has no name that stays the same over a boot, and another device could be overwritten",
            storage.path
        ))
        .help("give it a partition with a PARTUUID, or choose `off` or `zram`; nothing was changed")
    })
}
