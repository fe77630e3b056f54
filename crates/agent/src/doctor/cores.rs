//! Cores: throw-away processes that harden themselves like the agent and the hand are given every right to leave one, and are aborted.

use super::attacker::{CONTROL, Outcome, Tried};
use super::holder::Holder;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process, prlimit, waitid,
};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use vigo_sys::spawn::Spawner;

/// A core larger than this is not read to its end.
const LARGEST: u64 = 256 << 20;

/// Tries it with each, the unprotected one first. `folder` is where they run.
pub fn attack(folder: &str) -> io::Result<Vec<Tried>> {
    let spawner = Spawner::start()?;
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let pattern = pattern.trim();
    let mut tried = Vec::new();
    for (how, target) in [
        ("plain", CONTROL),
        ("agent", "a throw-away process hardened as the agent"),
        ("hand", "a throw-away process hardened as the hand"),
    ] {
        let (outcome, why) = one(&spawner, how, folder, pattern)?;
        tried.push(Tried { name: "core".to_owned(), target: target.to_owned(), outcome, why });
    }
    Ok(tried)
}

fn one(spawner: &Spawner, how: &str, folder: &str, pattern: &str) -> io::Result<(Outcome, String)> {
    let places = places(folder, pattern);
    let before = listed(&places);
    let holder = Holder::start(spawner, how, &CString::new(folder)?)?;
    let number = i32::try_from(holder.process()).map_err(io::Error::other)?;
    let pid = Pid::from_raw(number).ok_or_else(|| io::Error::other("no process"))?;
    let raised = raise(pid);
    kill_process(pid, Signal::ABORT)?;
    let options = WaitIdOptions::EXITED;
    let ended = waitid(WaitId::Pid(pid), options)?;
    let dumped = ended.is_some_and(|status| status.dumped());
    let files: Vec<PathBuf> = listed(&places).difference(&before).cloned().collect();
    // Ours are taken away again; another process's core may have come meanwhile and stays.
    let with_canary: Vec<PathBuf> =
        files.into_iter().filter(|file| contains(file, holder.canary.as_bytes())).collect();
    for file in &with_canary {
        let _gone_already = fs::remove_file(file);
    }
    let found = !with_canary.is_empty();
    let outcome = if dumped || found { Outcome::Succeeded } else { Outcome::Refused };
    let became = match (dumped, found) {
        (_, true) => "a core with the canary",
        (true, false) => "the kernel gave a core away",
        (false, false) => "no core",
    };
    Ok((outcome, format!("{raised}, SIGABRT: {became} (core_pattern `{pattern}`)")))
}

/// Lets it leave a core as large as it likes, as far as that may be done.
fn raise(pid: Pid) -> String {
    let unlimited = Rlimit { current: None, maximum: None };
    if prlimit(Some(pid), Resource::Core, unlimited).is_ok() {
        return "limit raised to unlimited".to_owned();
    }
    let hard = getrlimit(Resource::Core).maximum;
    let up_to = Rlimit { current: hard, maximum: hard };
    match prlimit(Some(pid), Resource::Core, up_to) {
        Ok(_) => "limit raised as far as an own hard limit allows".to_owned(),
        Err(errno) => format!("limit not raised ({errno}; it takes CAP_SYS_RESOURCE)"),
    }
}

/// Where cores may land: the working folder, the folder of an absolute pattern, and where systemd-coredump puts them.
fn places(folder: &str, pattern: &str) -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from(folder), PathBuf::from("/var/lib/systemd/coredump")];
    if pattern.starts_with('/') && !pattern.contains("%P/") {
        places.extend(Path::new(pattern).parent().map(Path::to_owned));
    }
    places
}

fn listed(places: &[PathBuf]) -> BTreeSet<PathBuf> {
    let entries = places.iter().filter_map(|place| fs::read_dir(place).ok());
    entries.flat_map(|entries| entries.flatten().take(100_000)).map(|entry| entry.path()).collect()
}

fn contains(file: &Path, needle: &[u8]) -> bool {
    let Ok(file) = fs::File::open(file) else { return false };
    let mut bytes = Vec::new();
    let _what_came = file.take(LARGEST).read_to_end(&mut bytes);
    find(&bytes, needle)
}

/// True if the bytes hold the needle.
pub fn find(bytes: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return false };
    let mut left = bytes;
    while let Some(at) = left.iter().position(|byte| byte == first) {
        left = left.get(at + 1..).unwrap_or_default();
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_needle_is_found_wherever_it_stands() {
        assert!(find(b"aab", b"ab") && find(b"ab", b"ab") && find(b"xab", b"ab"));
        assert!(!find(b"aa", b"ab") && !find(b"", b"ab") && !find(b"b", b"ab"));
    }
}
