//! What a test borrows of the machine as a whole: one test at a time, put back however the test ends, and put back at the next start where it could
//! not be. What each thing is for stands with the tests.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types,
    missing_docs,
    reason = "test code, shared by several test programs"
)]

pub mod cgroup;
pub mod core_pattern;
pub mod descendants;
pub mod gate;
pub mod holder;
pub mod swap;

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long anything may take before the test gives up.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// What the folders of such tests begin with. By it what an ended test left is found.
pub const PREFIX: &str = "vigo-host-test-";

/// One thing of the machine, for this test alone. Given back when dropped, or when the process ends.
pub struct Lock(File);

impl Lock {
    /// Waits until nobody else has it.
    pub fn of(thing: &str) -> Self {
        let path = std::env::temp_dir().join(format!("{PREFIX}{thing}.lock"));
        let file = File::options().create(true).truncate(false).write(true).open(path).unwrap();
        // flock(2): goes with the last descriptor, so that none is left by a test that was killed.
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
        Self(file)
    }
}

/// A folder on a file system whose files are never in swap: tmpfs and its like are (shmem), and what stands in a target there would be found.
pub fn folder() -> tempfile::TempDir {
    let temporary = [std::env::temp_dir(), PathBuf::from("/var/tmp")];
    let on_disk = |path: &PathBuf| {
        // TMPFS_MAGIC, RAMFS_MAGIC: statfs(2).
        fs::metadata(path).is_ok_and(|found| found.is_dir())
            && rustix::fs::statfs(path).is_ok_and(|found| ![0x0102_1994, 0x8584_58f6].contains(&found.f_type))
    };
    let parent = temporary.into_iter().find(on_disk).expect("no temporary folder is on a disk");
    tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent).unwrap()
}

/// Waits for it.
#[track_caller]
pub fn wait<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(Instant::now() < deadline, "it took too long: {what}");
        pause();
    }
}

/// Tries for a while; the last result.
pub fn patiently<T, E>(mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let result = attempt();
        if result.is_ok() || Instant::now() > deadline {
            return result;
        }
        pause();
    }
}

pub fn pause() {
    let _ = rustix::thread::nanosleep(&rustix::thread::Timespec { tv_sec: 0, tv_nsec: 5_000_000 });
}

/// The rest of the line of /proc/PID/status that begins so.
pub fn status(process: u32, key: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)).map(|rest| rest.trim().to_owned())
}

/// Only root may do any of this. Others are told what was left out.
pub fn is_root(what: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("not root: {what}");
    }
    is_root
}
