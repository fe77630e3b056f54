//! `traits.hardware`: processors, maker, and whether the machine is a virtual one or a container.

use crate::Class::Stable;
use crate::{Given, Known, Source, TraitError, flag, known, text, whole};
use vigo_wire::node::Node;

pub const KNOWN: [Known; 6] = [
    known("cpu_count", Stable, "processors that are online"),
    known("cpu_model", Stable, "the first processor's name"),
    known("vendor", Stable, "who made the machine (DMI)"),
    known("product", Stable, "which machine it is (DMI)"),
    known("virtual", Stable, "true inside a virtual machine"),
    known("container", Stable, "which kind of container this is: `docker`, `podman`, `lxc` ..."),
];

/// Where the kernel lists the processors that are online (sysfs ABI, `sysfs-devices-system-cpu`).
const ONLINE: &str = "/sys/devices/system/cpu/online";

pub fn collect(source: &Source, _: &Given) -> Result<Vec<Node>, TraitError> {
    let online = source.line(ONLINE).and_then(|ranges| count(&ranges));
    let count = match online {
        Some(count) => count,
        None => std::thread::available_parallelism()
            .map(|count| count.get() as u64)
            .map_err(|_| TraitError::Missing { what: "processors", path: ONLINE })?,
    };
    // One processor's record is enough; the whole file grows with their number.
    let first = source.read_up_to("/proc/cpuinfo", 4096).unwrap_or_default();
    let of = |names: [&str; 2]| {
        let value = |line: &str| {
            line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        };
        first
            .lines()
            .filter_map(value)
            .find(|(name, _)| names.contains(&name.as_str()))
            .map(|(_, value)| value)
    };
    let flags = of(["flags", "Features"]).unwrap_or_default();
    let product = source.line("/sys/class/dmi/id/product_name");
    let named = ["KVM", "Virtual", "VMware", "QEMU", "Bochs", "HVM domU"];
    let looks = product.as_deref().is_some_and(|product| named.iter().any(|name| product.contains(name)));
    Ok(vec![
        whole(Some(count)),
        text(of(["model name", "Model"])),
        text(source.line("/sys/class/dmi/id/sys_vendor")),
        text(product.clone()),
        flag(looks || flags.split_ascii_whitespace().any(|flag| flag == "hypervisor")),
        text(container(source)),
    ])
}

/// How many processors `0-3,8` names.
fn count(ranges: &str) -> Option<u64> {
    ranges.split(',').try_fold(0_u64, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?);
        sum.checked_add(last.checked_sub(first)?)?.checked_add(1)
    })
}

/// What the runtimes leave for those inside to see (systemd's Container Interface, and the files of Docker and Podman).
fn container(source: &Source) -> Option<String> {
    if let Some(named) =
        source.line("/run/systemd/container").or_else(|| source.line("/run/host/container-manager"))
    {
        return Some(named);
    }
    if source.exists("/run/.containerenv") {
        return Some("podman".into());
    }
    if source.exists("/.dockerenv") {
        return Some("docker".into());
    }
    // The first process' environment, which root may read, has `container=`.
    let environment = source.read_up_to("/proc/1/environ", 64 << 10).unwrap_or_default();
    environment
        .split('\0')
        .find_map(|pair| pair.strip_prefix("container="))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
}
