//! What else brings swap at boot: units, generators, services of distributions; and the unit that makes compressed memory.

use super::{Facts, Planned, Wanted, ZRAM_PRIORITY};
use crate::swap_tables::{self as tables, FileChange};
use vigo_resource::{Failure, Host};
use vigo_swap::{BootSource, MARK, closing_drop_in};

const UNIT: &str = "/etc/systemd/system/vigo-zram.service";
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants/vigo-zram.service";
const GENERATOR: &str = "/etc/systemd/zram-generator.conf";
/// First line of what we write for zram-generator(8), by which it is known again.
const GENERATOR_MARK: &str = "# Written by Vigo (swap_policy)";
/// A condition that never holds keeps every kind of unit from starting, and is taken back by removing the file (systemd.unit(5)).
const CLOSED: &str = "# Written by Vigo: swap_policy closed this swap. Remove this file to have it back.\n[Unit]\nConditionPathExists=!/\n";

/// Closes what brings swap that the policy does not allow, apart from fstab.
pub(super) fn close(
    host: &dyn Host,
    wanted: Wanted,
    facts: &Facts,
    planned: &mut Planned<'_>,
) -> Result<(), Failure> {
    for source in &facts.boot {
        let is_allowed = match wanted {
            Wanted::Off => false,
            Wanted::Zram | Wanted::Encrypted => source.is_zram(),
        };
        match source {
            // Lines of fstab are commented out; our own unit is removed.
            BootSource::Fstab(_) => {}
            _ if is_allowed => {}
            BootSource::Unit { name, .. } if name == "vigo-zram.service" => {}
            BootSource::Unit { name, what, .. } => {
                if wanted == Wanted::Encrypted && is_encrypted(facts, what) {
                    continue;
                }
                let path = closing_drop_in(name);
                planned.files.push(FileChange::Write {
                    path,
                    before: String::new(),
                    text: CLOSED.to_owned(),
                });
            }
            BootSource::ZramGenerator { path, writes_to }
                if !writes_to.is_empty() && wanted != Wanted::Off =>
            {
                return Err(Failure::blocked(format!(
                    "cannot keep compressed memory in memory: `{path}` lets it write to `{writes_to}`"
                ))
                .help("take `writeback-device` out of that file"));
            }
            BootSource::ZramGenerator { path, .. } => close_generator(host, path, planned)?,
        }
    }
    Ok(())
}

/// A unit that switches on what is encrypted may stay.
fn is_encrypted(facts: &Facts, what: &str) -> bool {
    let area = facts.state.areas.iter().find(|area| area.storage.is_called(what));
    area.is_some_and(|area| area.storage.class < vigo_base::SwapClass::Plain)
}

/// A file that is ours goes; one of others in `/etc` is commented out; one of the distribution is covered by an empty one.
fn close_generator(host: &dyn Host, path: &str, planned: &mut Planned<'_>) -> Result<(), Failure> {
    if path != GENERATOR {
        return write(host, GENERATOR, format!("{GENERATOR_MARK}: nothing\n"), planned);
    }
    let before = read(host, path)?;
    if before.starts_with(GENERATOR_MARK) {
        planned.files.push(FileChange::Remove { path: path.to_owned() });
        return Ok(());
    }
    let text = before.split_inclusive('\n').map(|line| format!("{MARK}{line}")).collect();
    planned.files.push(FileChange::Write { path: path.to_owned(), before, text });
    Ok(())
}

/// Our own unit goes.
pub(super) fn end_zram(host: &dyn Host, planned: &mut Planned<'_>) -> Result<(), Failure> {
    for path in [WANTS, UNIT] {
        if host.entry(&tables::path(path)?)?.is_some() {
            planned.files.push(FileChange::Remove { path: path.to_owned() });
        }
    }
    Ok(())
}

/// Sees to it that something makes compressed memory at boot: what does already, else zram-generator, else a unit of ours.
pub(super) fn keep_zram(
    host: &dyn Host,
    facts: &Facts,
    size: u64,
    planned: &mut Planned<'_>,
) -> Result<(), Failure> {
    let ours = |source: &&BootSource| source.name() == "vigo-zram.service";
    if facts.boot.iter().any(|source| source.is_zram() && !ours(&source)) {
        return Ok(());
    }
    if !facts.has_systemd {
        if !facts.state.areas.iter().any(super::is_zram) {
            planned.notes.push(
                "there is no systemd here: after a boot the first run of Vigo makes the compressed device anew"
                    .to_owned(),
            );
        }
        return Ok(());
    }
    if facts.has_zram_generator {
        let before = read(host, GENERATOR)?;
        if before.contains(MARK) {
            return write(host, GENERATOR, before.replace(MARK, ""), planned);
        }
        let text = format!(
            "{GENERATOR_MARK}\n[zram0]\nzram-size = {}\nswap-priority = {ZRAM_PRIORITY}\n",
            size >> 20
        );
        return write(host, GENERATOR, text, planned);
    }
    write(host, UNIT, unit(size), planned)?;
    let link = host.entry(&tables::path(WANTS)?)?.and_then(|entry| entry.link_target);
    if link.as_deref() != Some(UNIT) {
        planned.files.push(FileChange::Link { path: WANTS.to_owned(), to: UNIT.to_owned() });
    }
    Ok(())
}

fn read(host: &dyn Host, path: &str) -> Result<String, Failure> {
    let bytes = host.read_small(&tables::path(path)?, 1 << 16)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(host: &dyn Host, path: &str, text: String, planned: &mut Planned<'_>) -> Result<(), Failure> {
    let before = read(host, path)?;
    if before != text {
        planned.files.push(FileChange::Write { path: path.to_owned(), before, text });
    }
    Ok(())
}

/// It makes nothing when there is such a device in use already, and takes away what it made when it is stopped.
fn unit(size: u64) -> String {
    format!(
        "# Written by Vigo (swap_policy: zram)\n\
         [Unit]\n\
         Description=Swap in compressed memory\n\
         ConditionVirtualization=!container\n\
         After=systemd-modules-load.service\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStartPre=-/sbin/modprobe zram num_devices=0\n\
         ExecStart=/bin/sh -c 'grep -q ^/dev/zram /proc/swaps && exit 0; \
         n=$$(cat /sys/class/zram-control/hot_add) && echo {size} >/sys/block/zram$$n/disksize && \
         mkswap /dev/zram$$n && swapon -p {ZRAM_PRIORITY} /dev/zram$$n'\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}
