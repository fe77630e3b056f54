//! Swap: a hand and an ordinary page, each with a canary, are pushed out as far as the kernel lets them, and all swap that is active is read.

use super::attacker::{CANARY, CONTROL, Outcome, Tried, throw_away_hand};
use super::cores::find;
use super::holder::canary;
use super::process::Process;
use rustix::fs::Advice;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};
use std::fs::File;
use std::io::{self, Read as _};
use std::time::{Duration, Instant};
use vigo_swap::swap_table;
use vigo_sys::intrude;
use vigo_sys::spawn::Spawner;

/// At most so much is read, and for so long.
const LARGEST: u64 = 8 << 30;
const LONGEST: Duration = Duration::from_secs(60);
/// Read at once; the end of a piece is kept, so that a canary across two is found.
const PIECE: usize = 1 << 20;
const PAGE: usize = 4096;
/// How often, and after which pause.
const AGAIN: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// Tries it.
pub fn attack(arena: &str) -> io::Result<Vec<Tried>> {
    let table = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    let swaps: Vec<String> = swap_table(&table).into_iter().map(|line| line.name).collect();
    let tried = |target: &str, outcome, why: String| Tried {
        name: "swap-scan".to_owned(),
        target: target.to_owned(),
        outcome,
        why,
    };
    let hand_name = "a throw-away hand";
    if swaps.is_empty() {
        let why = "no swap is active here, so that there is nothing to scan";
        return Ok(vec![tried(hand_name, Outcome::Unclear, why.to_owned())]);
    }
    let held = std::env::var(CANARY).map_err(io::Error::other)?;
    let spawner = Spawner::start()?;
    let hand = throw_away_hand(&spawner, arena)?;
    let plain = canary()?;
    let page = control_page(&plain);
    let control = pages_out(getpid(), &[(start(&page), page.len())]);
    let number = i32::try_from(hand.process()).map_err(io::Error::other)?;
    let pid = Pid::from_raw(number).ok_or_else(|| io::Error::other("no process"))?;
    let mappings = Process(hand.process()).mappings()?;
    let writable: Vec<(u64, usize)> = mappings
        .iter()
        .filter(|mapping| mapping.is_writable)
        .filter_map(|mapping| Some((mapping.start, usize::try_from(mapping.length()).ok()?)))
        .collect();
    let pushed = pages_out(pid, &writable);
    let mut scan = read_swap(&swaps, [plain.as_bytes(), held.as_bytes()])?;
    // The kernel writes when it likes: a control that is not there yet is looked for again.
    for _ in 0..AGAIN {
        if scan.found.contains(&true) || !scan.whole {
            break;
        }
        std::thread::sleep(PAUSE);
        scan = read_swap(&swaps, [plain.as_bytes(), held.as_bytes()])?;
    }
    std::hint::black_box(&page);
    drop(hand);
    let found = |found| if found { "found" } else { "not found" };
    let Scan { found: [control_found, hand_found], read, whole } = scan;
    let read = format!("{} MiB of swap read{}", read >> 20, if whole { "" } else { ", not all of it" });
    let outcome = match (control_found, hand_found) {
        (_, true) => Outcome::Succeeded,
        (true, false) => Outcome::Refused,
        (false, false) => Outcome::Unclear,
    };
    Ok(vec![
        tried(
            CONTROL,
            if control_found { Outcome::Succeeded } else { Outcome::Unclear },
            format!("an ordinary page ({control}): its canary was {}", found(control_found)),
        ),
        tried(hand_name, outcome, format!("{pushed}; {read}: its canary was {}", found(hand_found))),
    ])
}

/// Whole pages that are full of the canary.
fn control_page(canary: &str) -> Vec<u8> {
    let mut page = Vec::with_capacity(64 * PAGE);
    while page.len() < 64 * PAGE {
        page.extend_from_slice(canary.as_bytes());
    }
    page
}

/// The first whole page of a buffer.
fn start(buffer: &[u8]) -> u64 {
    u64::try_from(buffer.as_ptr().addr().next_multiple_of(PAGE)).unwrap_or_default()
}

/// Asks the kernel to write pages to swap, and says how often it did as it was told.
fn pages_out(pid: Pid, ranges: &[(u64, usize)]) -> String {
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(errno) => return format!("it could not be pushed out: {errno}"),
    };
    use std::os::fd::AsFd as _;
    let out = |&(start, length): &(u64, usize)| {
        intrude::page_out(pidfd.as_fd(), start, length - length % PAGE - if length > PAGE { PAGE } else { 0 })
    };
    let taken = ranges.iter().filter(|range| out(range).is_ok()).count();
    format!("{taken} of {} mappings could be pushed out", ranges.len())
}

struct Scan {
    found: [bool; 2],
    read: u64,
    whole: bool,
}

fn read_swap(swaps: &[String], needles: [&[u8]; 2]) -> io::Result<Scan> {
    let until = Instant::now() + LONGEST;
    let overlap = needles.iter().map(|needle| needle.len()).max().unwrap_or_default();
    let mut scan = Scan { found: [false; 2], read: 0, whole: true };
    for name in swaps {
        let mut file = File::open(name)?;
        // The kernel writes swap past the cache of the file: what is there of before is dropped.
        let _best_effort = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
        let mut piece = vec![0; PIECE + overlap];
        let mut kept = 0;
        loop {
            let came = file.read(piece.get_mut(kept..).unwrap_or_default())?;
            if came == 0 {
                break;
            }
            let all = kept + came;
            for (found, needle) in scan.found.iter_mut().zip(needles) {
                *found |= find(piece.get(..all).unwrap_or_default(), needle);
            }
            kept = overlap.min(all);
            piece.copy_within(all - kept..all, 0);
            scan.read += u64::try_from(came).unwrap_or_default();
            if scan.read > LARGEST || Instant::now() > until {
                scan.whole = false;
                return Ok(scan);
            }
        }
    }
    Ok(scan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_found_in_a_swap_file_also_across_two_pieces() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("swap");
        let name = path.to_str().unwrap().to_owned();
        let needles: [&[u8]; 2] = [b"0123456789abcdef", b"fedcba9876543210"];
        for at in [0, PIECE - 3, PIECE + 13, 3 * PIECE - 16] {
            let mut bytes = vec![0; 3 * PIECE];
            bytes[at..at + 16].copy_from_slice(needles[0]);
            std::fs::write(&path, bytes).unwrap();
            let scan = read_swap(std::slice::from_ref(&name), needles).unwrap();
            assert_eq!((scan.found, scan.whole), ([true, false], true), "at {at}");
        }
    }
}
