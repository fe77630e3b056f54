//! A swap area of a test's own: a file on disk, a loop device over it, lower in rank than any swap that the machine has. Swapped off and detached when
//! dropped; what a test that was killed left is found by the name of its file at the next start.

use super::{Lock, PREFIX};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Enough for every process of the test several times over, so that the kernel need not use a slot again.
const SIZE: u64 = 192 << 20;
const NAME: &str = "swap-area";

pub struct Swap {
    device: String,
    file: PathBuf,
    on: bool,
    _lock: Lock,
}

impl Swap {
    /// Swap in that folder, or why this machine does not let it be had.
    pub fn on(folder: &Path) -> Result<Self, String> {
        let lock = Lock::of("swap");
        put_back_stale();
        let file = folder.join(NAME);
        File::create(&file).and_then(|made| made.set_len(SIZE)).map_err(|error| error.to_string())?;
        let device = run(&["losetup", "--find", "--show", file.to_str().unwrap()])?;
        let mut swap = Self { device, file, on: false, _lock: lock };
        run(&["mkswap", &swap.device])?;
        // Without a priority an area comes after all that are there (swapon(8)).
        run(&["swapon", &swap.device])?;
        swap.on = true;
        Ok(swap)
    }

    /// All that was ever written to it: the loop device writes into this file's pages, which reading it shows at once.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        let table = fs::read_to_string("/proc/swaps").unwrap();
        let line = table.lines().find(|line| line.split_whitespace().next() == Some(&self.device));
        let kibibytes: u64 = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(0);
        kibibytes << 10
    }

    /// Takes it out of use; what was written stays in the file.
    pub fn off(&mut self) {
        if self.on {
            run(&["swapoff", &self.device]).unwrap();
            self.on = false;
        }
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        if self.on
            && let Err(error) = run(&["swapoff", &self.device])
        {
            println!("{error}");
        }
        let _detached = run(&["losetup", "--detach", &self.device]);
    }
}

/// Takes back what a test that was killed left: no other runs, for we have the lock.
fn put_back_stale() {
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let Ok(backing) = fs::read_to_string(entry.path().join("loop/backing_file")) else { continue };
        if backing.contains(PREFIX) && backing.contains(NAME) {
            let device = format!("/dev/{}", entry.file_name().to_string_lossy());
            println!("{device} was left by a test that was killed: taken back");
            let _not_in_use = run(&["swapoff", &device]);
            let _gone = run(&["losetup", "--detach", &device]);
            // The kernel marks the name of a file that is gone; its folder went with it then.
            if let Some(folder) =
                Path::new(backing.trim()).parent().filter(|_| backing.trim().ends_with(NAME))
            {
                let _gone_already = fs::remove_dir_all(folder);
            }
        }
    }
}

/// What a command of the machine printed, or what went wrong in words.
fn run(words: &[&str]) -> Result<String, String> {
    let wrong = |cause: &str| format!("`{}`: {cause}", words.join(" "));
    let ended =
        Command::new(words[0]).args(&words[1..]).output().map_err(|error| wrong(&error.to_string()))?;
    if !ended.status.success() {
        return Err(wrong(String::from_utf8_lossy(&ended.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned())
}
