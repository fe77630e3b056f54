//! `traits.swap`: what memory may be written to, and how well that is closed.
//!
//! A device mapper device is not by itself encrypted: it is resolved down to what it stands on. The weakest device decides.

use crate::Class::{Periodic, Stable, Volatile};
use crate::{Given, Known, Source, TraitError, flag, known, text, texts, whole};
use vigo_base::SwapClass;
use vigo_wire::node::Node;

pub const KNOWN: [Known; 7] = [
    known(
        "class",
        Stable,
        "`none`, `zram`, `encrypted-ephemeral`, `encrypted-persistent` or `plain`: the weakest device",
    ),
    known("devices", Periodic, "each device in use with its class"),
    known("total_bytes", Stable, "size of all devices"),
    known("used_bytes", Volatile, "what is used of them"),
    known("hibernation", Stable, "true if the machine is set up to write its memory to a disk"),
    known("zswap", Stable, "true if pages are compressed on their way to a device"),
    known("at_boot", Periodic, "what comes back at the next boot, by fstab and generators"),
];

/// How deep devices may stand on one another.
const DEPTH: usize = 8;

/// A swap device in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapDevice {
    /// As the kernel names it.
    pub name: String,
    /// What it really is.
    pub class: SwapClass,
    /// Its size.
    pub total_bytes: u64,
    /// What is used of it.
    pub used_bytes: u64,
}

/// All swap of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapPosture {
    /// The class of the weakest device.
    pub class: SwapClass,
    /// The devices in use.
    pub devices: Vec<SwapDevice>,
}

/// Looks at the devices in use.
///
/// # Errors
/// When the kernel's table cannot be read: then nothing is known, which is not the same as no swap.
pub fn swap_posture(source: &Source) -> Result<SwapPosture, TraitError> {
    let table = match source.optional("/proc/swaps")? {
        Some(table) => table,
        // A kernel without swap has no table (proc_swaps(5)), but it has the rest of /proc.
        None if source.exists("/proc/meminfo") => String::new(),
        None => source.require("/proc/swaps")?,
    };
    let crypttab = source.optional("/etc/crypttab")?.unwrap_or_default();
    let devices: Vec<SwapDevice> =
        table.lines().skip(1).filter_map(|line| device(source, &crypttab, line)).collect();
    let class = devices.iter().map(|device| device.class).max().unwrap_or(SwapClass::None);
    Ok(SwapPosture { class, devices })
}

pub fn collect(source: &Source, _: &Given) -> Result<Vec<Node>, TraitError> {
    let posture = swap_posture(source)?;
    let sum =
        |of: fn(&SwapDevice) -> u64| whole(Some(posture.devices.iter().map(of).fold(0, u64::saturating_add)));
    let devices = posture.devices.iter().map(|device| {
        Node::map([
            ("name".to_owned(), text(Some(device.name.as_str()))),
            ("class".to_owned(), text(Some(device.class.as_str()))),
            ("total_bytes".to_owned(), whole(Some(device.total_bytes))),
        ])
    });
    Ok(vec![
        text(Some(posture.class.as_str())),
        Node::list(devices.collect()),
        sum(|device| device.total_bytes),
        sum(|device| device.used_bytes),
        flag(hibernates(source)),
        flag(source.line("/sys/module/zswap/parameters/enabled").as_deref() == Some("Y")),
        texts(at_boot(source)?),
    ])
}

/// A line of `/proc/swaps`: name, type, size and use in KiB (proc_swaps(5)). Blanks in a name are written `\040`.
fn device(source: &Source, crypttab: &str, line: &str) -> Option<SwapDevice> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let kib = |index: usize| fields.get(index)?.parse::<u64>().ok()?.checked_mul(1024);
    let name = unescape(fields.first()?);
    let class = match *fields.get(1)? {
        "file" => class_of_file(source, crypttab, &name, DEPTH),
        _ => class_of_device(source, crypttab, &name, DEPTH),
    };
    Some(SwapDevice { name, class, total_bytes: kib(2)?, used_bytes: kib(3)? })
}

/// The kernel's tables write blank, tab, newline and backslash as `\` and three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn class_of_device(source: &Source, crypttab: &str, path: &str, depth: usize) -> SwapClass {
    let Some(name) = block_name(source, path) else { return SwapClass::Plain };
    if depth == 0 || name.contains('/') {
        return SwapClass::Plain;
    }
    let sys = format!("/sys/block/{name}");
    if name.starts_with("zram") {
        // Documentation/admin-guide/blockdev/zram.rst: pages go on to the backing device as they are.
        let backing = source.line(&format!("{sys}/backing_dev"));
        return if backing.is_none_or(|backing| backing == "none") {
            SwapClass::Zram
        } else {
            SwapClass::Plain
        };
    }
    if let Some(uuid) = source.line(&format!("{sys}/dm/uuid")).filter(|uuid| uuid.starts_with("CRYPT-")) {
        let mapped = source.line(&format!("{sys}/dm/name")).unwrap_or_default();
        return class_of_crypt(crypttab, &uuid, &mapped);
    }
    if let Some(file) = source.line(&format!("{sys}/loop/backing_file")) {
        return class_of_file(source, crypttab, &file, depth - 1);
    }
    let below = source.names(&format!("{sys}/slaves"));
    let classes =
        below.iter().map(|slave| class_of_device(source, crypttab, &format!("/dev/{slave}"), depth - 1));
    classes.max().unwrap_or(SwapClass::Plain)
}

/// The kernel's name of a device: `/dev/mapper/x` is the `dm-N` that has this name.
fn block_name(source: &Source, path: &str) -> Option<String> {
    let name = path.strip_prefix("/dev/")?;
    let Some(mapped) = name.strip_prefix("mapper/") else { return Some(name.to_owned()) };
    let mut devices = source.names("/sys/block").into_iter().filter(|name| name.starts_with("dm-"));
    devices.find(|device| source.line(&format!("/sys/block/{device}/dm/name")).as_deref() == Some(mapped))
}

/// crypttab(5): a key from a random device, or the option `swap`, means a key that is made anew at each boot. Without an entry, a plain
/// mapping has no header that could keep a key; LUKS has one.
fn class_of_crypt(crypttab: &str, uuid: &str, mapped: &str) -> SwapClass {
    let fields = |line: &str| line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let entry = crypttab.lines().map(fields).find(|fields| fields.first().is_some_and(|name| name == mapped));
    let ephemeral = match entry {
        Some(entry) => {
            let key = entry.get(2).map(String::as_str);
            let random =
                matches!(key, Some("/dev/urandom" | "/dev/random" | "/dev/hw_random" | "/dev/hwrng"));
            random || entry.get(3).is_some_and(|options| options.split(',').any(|option| option == "swap"))
        }
        None => uuid.starts_with("CRYPT-PLAIN-"),
    };
    if ephemeral { SwapClass::EncryptedEphemeral } else { SwapClass::EncryptedPersistent }
}

/// A file is what its file system stands on; without a device of its own (a network or memory file system) it counts as plain.
fn class_of_file(source: &Source, crypttab: &str, path: &str, depth: usize) -> SwapClass {
    let mounts = source.read_up_to("/proc/self/mountinfo", 4 << 20).unwrap_or_default();
    // proc_pid_mountinfo(5): the fifth field is the mount point, after ` - ` come type and source. Later lines cover earlier ones.
    let mount = |line: &str| {
        let (place, device) = line.split_once(" - ")?;
        let point = unescape(place.split(' ').nth(4)?);
        let below =
            point == "/" || path.strip_prefix(point.as_str()).is_some_and(|rest| rest.starts_with('/'));
        below.then(|| (point.len(), unescape(device.split(' ').nth(1).unwrap_or_default())))
    };
    let longest = mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length);
    match longest {
        Some((_, device)) if depth > 0 && device.starts_with("/dev/") => {
            class_of_device(source, crypttab, &device, depth - 1)
        }
        _ => SwapClass::Plain,
    }
}

/// True if the kernel can write its memory to a disk and has a device for it (Documentation/admin-guide/pm/sleep-states.rst).
fn hibernates(source: &Source) -> bool {
    let words = |path: &str| source.line(path).unwrap_or_default();
    let able = words("/sys/power/state").split_ascii_whitespace().any(|state| state == "disk")
        && !words("/sys/power/disk").contains("[disabled]");
    let named = words("/proc/cmdline").split_ascii_whitespace().any(|word| word.starts_with("resume="));
    let device = source.line("/sys/power/resume").is_some_and(|device| device != "0:0");
    able && (named || device)
}

/// What fstab(5) and the generators bring back at the next boot.
fn at_boot(source: &Source) -> Result<Vec<String>, TraitError> {
    let fstab = source.optional("/etc/fstab")?.unwrap_or_default();
    let entry = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let kept = !line.trim_start().starts_with('#') && fields.get(2) == Some(&"swap");
        let automatic =
            !fields.get(3).is_some_and(|options| options.split(',').any(|option| option == "noauto"));
        (kept && automatic).then(|| unescape(fields.first().copied().unwrap_or_default()))
    };
    let mut found: Vec<String> = fstab.lines().filter_map(entry).take(64).collect();
    for path in ["/etc/systemd/zram-generator.conf", "/usr/lib/systemd/zram-generator.conf"] {
        if source.exists(path) {
            found.push("zram-generator".into());
            break;
        }
    }
    Ok(found)
}
