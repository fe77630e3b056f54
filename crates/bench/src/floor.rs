//! The floor: the least that any program can do for the same work. It knows the content beforehand and only opens, reads, compares, writes.

use crate::work::content;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Runs one mode: `check` compares, `write` writes beside and renames, `none` only starts and ends.
pub fn run(mode: &str, folder: &Path, count: &str) -> Result<(), String> {
    let count: usize = count.parse().map_err(|_| "COUNT is no number".to_owned())?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder =
        rustix::fs::open(folder, flags, Mode::empty()).map_err(|errno| format!("open folder: {errno}"))?;
    let wrong = match mode {
        "none" => 0,
        "check" => (0..count).filter(|number| !same(&folder, *number)).count(),
        "write" => (0..count).filter(|number| write(&folder, *number).is_err()).count(),
        _ => return Err(format!("no mode `{mode}`")),
    };
    if wrong == 0 { Ok(()) } else { Err(format!("{wrong} of {count} files are not as wanted")) }
}

fn same(folder: &OwnedFd, number: usize) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(folder, format!("f{number:05}.conf"), flags, Mode::empty()) else {
        return false;
    };
    let Ok(stat) = rustix::fs::fstat(&file) else { return false };
    let mut bytes = [0; 4096];
    let read = File::from(file).read(&mut bytes).unwrap_or(0);
    stat.st_mode & 0o7777 == 0o644 && bytes.get(..read) == Some(content(number).as_bytes())
}

fn write(folder: &OwnedFd, number: usize) -> Result<(), rustix::io::Errno> {
    let fresh = format!(".f{number:05}.tmp");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, &fresh, flags, Mode::from_raw_mode(0o600))?;
    let mut file = File::from(file);
    file.write_all(content(number).as_bytes()).map_err(|_| rustix::io::Errno::IO)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
    rustix::fs::renameat(folder, &fresh, folder, format!("f{number:05}.conf"))
}
