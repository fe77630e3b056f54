//! `traits.memory`: how much there is, from `/proc/meminfo` (proc_meminfo(5)).

use crate::Class::{Stable, Volatile};
use crate::{Given, Known, Source, TraitError, known, whole};
use vigo_wire::node::Node;

pub const KNOWN: [Known; 2] = [
    known("total_bytes", Stable, "memory that the kernel may use"),
    known("available_bytes", Volatile, "memory that new programs could get without swapping"),
];

const FILE: &str = "/proc/meminfo";

pub fn collect(source: &Source, _: &Given) -> Result<Vec<Node>, TraitError> {
    let table = source.require(FILE)?;
    let total = field(&table, "MemTotal").ok_or(TraitError::Missing { what: "MemTotal", path: FILE })?;
    Ok(vec![whole(Some(total)), whole(field(&table, "MemAvailable"))])
}

/// A line like `MemTotal:  1024 kB`, in bytes.
pub fn field(table: &str, name: &str) -> Option<u64> {
    let value = table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
