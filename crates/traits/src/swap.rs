//! `traits.swap`: what memory may be written to, and how well that is closed.
//!
//! A device mapper device is not by itself encrypted: it is resolved down to what it stands on. The weakest device decides.

use crate::Class::{Periodic, Stable, Volatile};
use crate::{Given, Known, Source, TraitError, flag, known, text, texts, whole};
use vigo_base::SwapClass;
use vigo_swap::{BootSource, Files};
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
    known("at_boot", Periodic, "what comes back at the next boot: devices of fstab, units, generators"),
];

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
    let devices: Vec<SwapDevice> = vigo_swap::swap_table(&table)
        .into_iter()
        .map(|line| SwapDevice {
            class: match line.is_file {
                true => vigo_swap::class_of_file(source, &line.name),
                false => vigo_swap::class_of_device(source, &line.name),
            },
            name: line.name,
            total_bytes: line.total_bytes,
            used_bytes: line.used_bytes,
        })
        .collect();
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
        flag(vigo_swap::hibernates(source)),
        flag(source.line("/sys/module/zswap/parameters/enabled").as_deref() == Some("Y")),
        texts(vigo_swap::boot_sources(source).iter().map(BootSource::name)),
    ])
}

impl Files for Source {
    fn text(&self, path: &str) -> Option<String> {
        self.read_up_to(path, 4 << 20).ok()
    }

    fn names(&self, path: &str) -> Vec<String> {
        Self::names(self, path)
    }

    fn link(&self, path: &str) -> Option<String> {
        Self::link(self, path)
    }

    fn exists(&self, path: &str) -> bool {
        Self::exists(self, path)
    }
}
