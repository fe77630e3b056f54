//! A memory cgroup of a test's own, version 1 or 2, and pressure on what is in it. Removed when dropped.

use super::{PREFIX, pause};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Which files a memory cgroup has (cgroups(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

pub struct Cgroup {
    path: PathBuf,
    version: Version,
}

impl Cgroup {
    /// A new one, or why this machine gives none.
    pub fn new() -> Result<Self, String> {
        let (above, version) = hierarchy().ok_or("no memory controller is mounted")?;
        put_back_stale(&above);
        if version == Version::Two {
            let _granted_already = fs::write(above.join("cgroup.subtree_control"), "+memory");
        }
        let path = above.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        let cgroup = Self { path, version };
        for needed in ["cgroup.procs", cgroup.limit_file()] {
            if !cgroup.path.join(needed).exists() {
                return Err(format!("{} has no `{needed}`", cgroup.path.display()));
            }
        }
        if version == Version::One {
            // Anonymous pages rather than files, which are read again and again.
            cgroup.set("memory.swappiness", "100")?;
        }
        Ok(cgroup)
    }

    /// Words before a command that make it, and all that it starts, part of this group from its first page on.
    pub fn entering(&self) -> Vec<String> {
        let enter = "echo $$ > \"$0\" && exec \"$@\"";
        let procs = self.path.join("cgroup.procs").display().to_string();
        ["sh", "-c", enter, &procs].map(str::to_owned).to_vec()
    }

    /// The words of a shell script by which a command leaves for where it was before.
    pub fn leaving(&self) -> String {
        format!("echo $$ > {}", self.path.parent().unwrap().join("cgroup.procs").display())
    }

    /// Puts all out of memory that can be put out, now.
    pub fn push_out(&self) {
        for _ in 0..5 {
            match self.version {
                // What cannot be put out (pages of memfd_secret, what is in use) makes these fail in the end; what could be is out.
                Version::One => {
                    let _too_low = self.set("memory.limit_in_bytes", "1M");
                    let _not_empty = self.set("memory.force_empty", "0");
                    self.set("memory.limit_in_bytes", "-1").unwrap();
                }
                Version::Two => {
                    let _less = self.set("memory.reclaim", "1G");
                }
            }
        }
    }

    /// Keeps what is in it below so many bytes from now on, by swapping.
    pub fn squeeze(&self, bytes: u64) {
        let _reached_later = self.set(self.limit_file(), &bytes.to_string());
    }

    /// Takes the limit away.
    pub fn release(&self) {
        self.set(self.limit_file(), if self.version == Version::One { "-1" } else { "max" }).unwrap();
    }

    /// Bytes in memory.
    pub fn usage(&self) -> u64 {
        let name = if self.version == Version::One { "memory.usage_in_bytes" } else { "memory.current" };
        fs::read_to_string(self.path.join(name)).unwrap().trim().parse().unwrap()
    }

    /// Who is in it.
    pub fn processes(&self) -> Vec<u32> {
        let list = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        list.lines().filter_map(|line| line.parse().ok()).collect()
    }

    pub fn version(&self) -> Version {
        self.version
    }

    fn limit_file(&self) -> &'static str {
        // In version 2 the high mark: it makes processes wait for swap and never ends one.
        if self.version == Version::One { "memory.limit_in_bytes" } else { "memory.high" }
    }

    fn set(&self, name: &str, value: &str) -> Result<(), String> {
        fs::write(self.path.join(name), value).map_err(|error| format!("cannot set `{name}`: {error}"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        empty(&self.path);
        let started = Instant::now();
        // Those that are just ending are in it still (rmdir(2) gives EBUSY).
        while let Err(error) = fs::remove_dir(&self.path) {
            if started.elapsed() > super::PATIENCE {
                println!("cannot remove {}: {error}", self.path.display());
                break;
            }
            pause();
        }
    }
}

/// Ends what is still in it. All of it was started by the test.
fn empty(path: &Path) {
    let list = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    for process in list.lines().filter_map(|line| rustix::process::Pid::from_raw(line.parse().ok()?)) {
        let _gone = rustix::process::kill_process(process, rustix::process::Signal::KILL);
    }
}

/// Those of tests that were killed; a test that runs still has the lock on swap, and so have we.
fn put_back_stale(above: &Path) {
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            println!("{} was left by a test that was killed: taken back", entry.path().display());
            drop(Cgroup { path: entry.path(), version: Version::One });
        }
    }
}

/// Where the memory controller is mounted: version 1's own hierarchy, else version 2's with that controller.
fn hierarchy() -> Option<(PathBuf, Version)> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = |fits: &dyn Fn(&[&str]) -> bool| {
        let line =
            mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|words| fits(words))?;
        Some(PathBuf::from(line[1]))
    };
    let one = mount(&|words| words[2] == "cgroup" && words[3].split(',').any(|option| option == "memory"));
    let two = || {
        let path = mount(&|words| words[2] == "cgroup2")?;
        let controllers = fs::read_to_string(path.join("cgroup.controllers")).ok()?;
        controllers.split_whitespace().any(|name| name == "memory").then_some((path, Version::Two))
    };
    one.map(|path| (path, Version::One)).or_else(two)
}
