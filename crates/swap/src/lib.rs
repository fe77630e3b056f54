//! The swap of a machine: what a device stands on, what comes back at boot, and the tables that say so, as texts that are changed line by line.
//!
//! Pure over [`Files`]: traits look through it at a folder, resources at a host. It changes nothing and calls nothing of the kernel.
#![forbid(unsafe_code)]

mod boot;
mod class;
mod crypttab;
mod files;
mod fstab;
mod header;
mod lines;
mod size;
mod table;
#[cfg(test)]
mod tests;

pub use boot::{BootSource, boot_sources, closing_drop_in, hibernates, is_zram_name};
pub use class::{class_of_device, class_of_file};
pub use crypttab::{CryptEntry, Crypttab};
pub use files::Files;
pub use fstab::{Fstab, FstabEntry, MARK, escape, spec_path, unescape};
pub use header::{Header, SIGNATURE, header, read_header};
pub use size::{parse_size, show_size};
pub use table::{SwapLine, swap_table};
