//! What the kernel says of another process in /proc (proc_pid_status(5), proc_pid_limits(5), proc_pid_smaps(5)). Nothing here asks the process.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;

/// Files of /proc are read up to this.
const LARGEST: u64 = 16 << 20;

/// A process, looked at from outside.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

/// A mapping of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// The one behind the last.
    pub end: u64,
    /// May be written.
    pub is_writable: bool,
    /// What is mapped.
    pub name: String,
    /// VmFlags, two letters each.
    pub flags: Vec<String>,
}

impl Mapping {
    /// Pages of memfd_secret(2).
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.name.contains("secretmem")
    }

    /// True if it has the flag.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| known == flag)
    }

    /// Its bytes.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

impl Process {
    fn read(self, file: &str) -> io::Result<String> {
        let mut text = String::new();
        fs::File::open(format!("/proc/{}/{file}", self.0))?.take(LARGEST).read_to_string(&mut text)?;
        Ok(text)
    }

    /// The values of a line of the status of the process, and of each of its threads.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of_threads(self, key: &str) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for thread in fs::read_dir(format!("/proc/{}/task", self.0))?.take(4096).flatten() {
            let name = thread.file_name().into_string().unwrap_or_default();
            let text = self.read(&format!("task/{name}/status")).unwrap_or_default();
            found.extend(line(&text, key));
        }
        Ok(found)
    }

    /// The value of a line of the status.
    ///
    /// # Errors
    /// When the process is gone, or has no such line.
    pub fn status(self, key: &str) -> io::Result<String> {
        line(&self.read("status")?, key).ok_or_else(|| io::Error::other(format!("no line `{key}`")))
    }

    /// The effective user.
    ///
    /// # Errors
    /// As [`Process::status`].
    pub fn user(self) -> io::Result<u32> {
        let ids = self.status("Uid:")?;
        let effective = ids.split_ascii_whitespace().nth(1).and_then(|id| id.parse().ok());
        effective.ok_or_else(|| io::Error::other("the line `Uid:` is not understood"))
    }

    /// Soft and hard limit of cores; `None` is unlimited.
    ///
    /// # Errors
    /// When the process is gone, or says nothing of it.
    pub fn core_limit(self) -> io::Result<(Option<u64>, Option<u64>)> {
        let text = self.read("limits")?;
        let rest = text.lines().find_map(|line| line.strip_prefix("Max core file size"));
        let mut words = rest.unwrap_or_default().split_ascii_whitespace();
        let mut next = || match words.next() {
            Some("unlimited") => Some(None),
            Some(number) => number.parse().ok().map(Some),
            None => None,
        };
        match (next(), next()) {
            (Some(soft), Some(hard)) => Ok((soft, hard)),
            _ => Err(io::Error::other("the limit of cores is not understood")),
        }
    }

    /// Who owns its folder in /proc: root when it is not dumpable (proc(5)).
    ///
    /// # Errors
    /// When the process is gone.
    pub fn owner(self) -> io::Result<u32> {
        Ok(fs::metadata(format!("/proc/{}/environ", self.0))?.uid())
    }

    /// Its mappings with their flags.
    ///
    /// # Errors
    /// When it is gone, or this user may not look.
    pub fn mappings(self) -> io::Result<Vec<Mapping>> {
        Ok(mappings(&self.read("smaps")?))
    }

    /// Descriptors of secret pages that are open.
    ///
    /// # Errors
    /// As [`Process::mappings`].
    pub fn secret_descriptors(self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(format!("/proc/{}/fd", self.0))?.take(65_536).flatten() {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            if target.to_string_lossy().contains("secretmem") {
                found.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(found)
    }
}

fn line(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned())
}

fn mappings(text: &str) -> Vec<Mapping> {
    let mut found: Vec<Mapping> = Vec::new();
    for line in text.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            if let Some(last) = found.last_mut() {
                last.flags = flags.split_ascii_whitespace().map(str::to_owned).collect();
            }
        } else if let Some(mapping) = head(line) {
            found.push(mapping);
        }
    }
    found
}

/// `start-end rights offset device inode name`; the other lines of a mapping begin with a word and a colon.
fn head(line: &str) -> Option<Mapping> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let mut words = rest.split_ascii_whitespace();
    let is_writable = words.next()?.contains('w');
    let name = words.skip(3).collect::<Vec<_>>().join(" ");
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some(Mapping { start: address(start)?, end: address(end)?, is_writable, name, flags: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read_with_their_flags() {
        let text = "7f0000000000-7f0000200000 rw-s 00000000 00:0e 12 /secretmem (deleted)\nSize: 2048 kB\nVmFlags: rd wr sh mr lo dd \n\
                    7f0000300000-7f0000301000 ---p 00000000 00:00 0 \nVmFlags: mr me\n";
        let found = mappings(text);
        assert_eq!(found.len(), 2);
        assert!(found[0].is_secret() && found[0].is_writable && found[0].has("lo") && found[0].has("dd"));
        assert_eq!(found[0].length(), 2 << 20);
        assert!(!found[1].is_secret() && !found[1].is_writable && !found[1].has("lo"));
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let own = Process(std::process::id());
        assert_eq!(own.user().unwrap(), rustix::process::geteuid().as_raw());
        assert!(own.status("TracerPid:").unwrap().parse::<u32>().is_ok());
        let limit = rustix::process::getrlimit(rustix::process::Resource::Core);
        assert_eq!(own.core_limit().unwrap(), (limit.current, limit.maximum));
        assert!(!own.of_threads("Seccomp:").unwrap().is_empty());
        assert!(own.mappings().unwrap().iter().any(|mapping| mapping.name == "[stack]"));
    }
}
