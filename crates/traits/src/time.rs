//! `traits.time`: the zone, and since when the machine runs.

use crate::Class::{Stable, Volatile};
use crate::{Given, Known, Source, TraitError, known, text, whole};
use std::time::{SystemTime, UNIX_EPOCH};
use vigo_wire::node::Node;

pub const KNOWN: [Known; 4] = [
    known("timezone", Stable, "the zone's name, like `Europe/Berlin`"),
    known("boot_s", Stable, "when the machine started, in seconds since 1970"),
    known("uptime_s", Volatile, "how long it runs"),
    known("now_s", Volatile, "its clock, in seconds since 1970"),
];

pub fn collect(source: &Source, _: &Given) -> Result<Vec<Node>, TraitError> {
    // localtime(5): a link into the zone database; some distributions write the name down as well.
    let link = source.link("/etc/localtime");
    let zone = link.as_deref().and_then(|link| link.split_once("zoneinfo/")).map(|(_, zone)| zone.to_owned());
    let zone = zone.or_else(|| source.line("/etc/timezone")).unwrap_or_else(|| "UTC".into());
    let uptime = source.line("/proc/uptime").and_then(|line| line.split('.').next()?.parse::<u64>().ok());
    let boot = source.optional("/proc/stat")?;
    let boot = boot.and_then(|table| {
        table.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok())
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
    Ok(vec![text(Some(zone)), whole(boot), whole(uptime), whole(now)])
}
