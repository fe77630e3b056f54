//! `/proc/swaps`: what the kernel uses now (proc_swaps(5)).

use crate::fstab::unescape;

/// A line of the kernel's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapLine {
    /// As the kernel names it.
    pub name: String,
    /// True for a file, false for a device.
    pub is_file: bool,
    /// Its size in bytes, without its header.
    pub total_bytes: u64,
    /// What is used of it, in bytes.
    pub used_bytes: u64,
    /// Higher ones are used first; negative when nobody chose one.
    pub priority: i32,
}

/// The lines of `/proc/swaps`. What is no such line is left out.
#[must_use]
pub fn swap_table(text: &str) -> Vec<SwapLine> {
    text.lines().skip(1).filter_map(line).collect()
}

/// Name, type, size and use in KiB, priority. Blanks in a name are written `\040`.
fn line(line: &str) -> Option<SwapLine> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let bytes = |index: usize| fields.get(index)?.parse::<u64>().ok()?.checked_mul(1024);
    Some(SwapLine {
        name: unescape(fields.first()?),
        is_file: *fields.get(1)? == "file",
        total_bytes: bytes(2)?,
        used_bytes: bytes(3)?,
        priority: fields.get(4).and_then(|priority| priority.parse().ok()).unwrap_or(-1),
    })
}
