//! Looks for a canary in the memory of a process, from outside, as root or the owner would: through /proc/PID/mem, over
//! all mappings, readable or not (proc_pid_mem(5) ignores their protection).
//!
//! The scanner never holds the canary itself, only a masked form, so that it does not find its own copy. It says what
//! it could not read: a scan that read nothing proves nothing. What a hit means is decided by the test.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

/// A value to look for, kept XOR-ed.
pub struct Canary {
    masked: Vec<u8>,
    /// Where each masked run of eight bytes stands in the canary.
    places: HashMap<u64, Vec<usize>>,
    /// The first two bytes of every such run, as a bit each: most of memory is refused by one look here.
    begins: Vec<bool>,
}

const MASK: u8 = 0xA7;
const WORD: usize = 8;
/// The shortest fragment that counts. Less is found everywhere by chance, or is a word of the policy.
pub const SHORTEST: usize = 16;
const BLOCK: usize = 1 << 20;
const PAGE: usize = 4096;

impl Canary {
    /// Takes the canary over. The caller's own copy is in the caller's memory: wipe it if that is scanned too.
    #[must_use]
    pub fn new(plain: &[u8]) -> Self {
        Self::from_masked(plain.iter().map(|byte| byte ^ MASK).collect())
    }

    fn from_masked(masked: Vec<u8>) -> Self {
        let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
        for (at, run) in masked.windows(WORD).enumerate() {
            places.entry(word(run)).or_default().push(at);
        }
        let mut begins = vec![false; 1 << 16];
        for pair in masked.windows(WORD).filter_map(|run| run.first_chunk()) {
            if let Some(bit) = begins.get_mut(usize::from(u16::from_ne_bytes(*pair))) {
                *bit = true;
            }
        }
        Self { masked, places, begins }
    }

    /// How many bytes it has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.masked.len()
    }

    /// The longest run of canary bytes in `block` around `at`, as (first, length).
    fn run_at(&self, block: &[u8], at: usize, found: u64) -> Option<(usize, usize)> {
        let same = |memory: usize, canary: usize| match (block.get(memory), self.masked.get(canary)) {
            (Some(memory), Some(canary)) => memory ^ MASK == *canary,
            _ => false,
        };
        let places = self.places.get(&found)?;
        let runs = places.iter().map(|&place| {
            let before = (1..=place.min(at)).take_while(|back| same(at - back, place - back)).count();
            let after = (0..).take_while(|on| same(at + on, place + on)).count();
            (at - before, before + after)
        });
        runs.max_by_key(|(_, length)| *length)
    }
}

/// A copy, whole or a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The line of /proc/PID/maps: addresses, rights, name.
    pub mapping: String,
    /// Where in the mapping it begins.
    pub offset: u64,
    /// How many bytes of the canary.
    pub length: usize,
}

/// What a look at a process found, and what it could not see.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The copies.
    pub hits: Vec<Hit>,
    /// Bytes that were read.
    pub read: u64,
    /// Mappings of which not a page could be read (memfd_secret is one).
    pub unreadable: Vec<String>,
}

/// The copies and fragments of the canary in the memory of a process.
///
/// # Errors
/// If the process or its memory cannot be read at all: that is no clean result.
pub fn scan(pid: u32, canary: &Canary) -> io::Result<Vec<Hit>> {
    let scan = look(pid, canary)?;
    if scan.read == 0 {
        return Err(io::Error::other(format!("not a byte of process {pid} could be read")));
    }
    Ok(scan.hits)
}

/// As [`scan`], with what could not be read.
///
/// # Errors
/// If the process is gone or may not be looked at.
pub fn look(pid: u32, canary: &Canary) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let mut seen = (String::new(), 0);
    scan.read = each_block(pid, 4 * SHORTEST, |mapping, offset, block| match block {
        None => scan.unreadable.push(mapping.to_owned()),
        Some(block) => {
            if seen.0 != mapping {
                seen = (mapping.to_owned(), 0);
            }
            hits_in(block, (mapping, offset), canary, &mut seen.1, &mut scan.hits);
        }
    })?;
    Ok(scan)
}

/// The hits in a block that do not end in what was seen already.
fn hits_in(
    block: &[u8],
    (mapping, offset): (&str, u64),
    canary: &Canary,
    seen_to: &mut u64,
    hits: &mut Vec<Hit>,
) {
    for (first, length) in runs(block, canary) {
        let (start, end) = (offset + first as u64, offset + (first + length) as u64);
        if end > *seen_to {
            hits.push(Hit { mapping: mapping.to_owned(), offset: start, length });
            *seen_to = end;
        }
    }
}

/// Hands over all memory of a process that can be read: the line of /proc/PID/maps, the place in that mapping, the bytes. Consecutive blocks share
/// `overlap` bytes, so that nothing hides on a border. A mapping of which not a page could be read comes once, without bytes. Says how much was read.
///
/// # Errors
/// If the process is gone or may not be looked at.
pub fn each_block(
    pid: u32,
    overlap: usize,
    mut seen: impl FnMut(&str, u64, Option<&[u8]>),
) -> io::Result<u64> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut block = vec![0_u8; BLOCK];
    let mut total = 0;
    for line in maps.lines() {
        let Some(range) = bounds(line) else { continue };
        let read = blocks_of(&memory, range, overlap, &mut block, &mut |offset, bytes| {
            seen(line, offset, Some(bytes));
        });
        if read == 0 {
            seen(line, 0, None);
        }
        total += read;
    }
    Ok(total)
}

/// Reads one mapping block by block.
fn blocks_of(
    memory: &impl FileExt,
    (from, to): (u64, u64),
    overlap: usize,
    block: &mut [u8],
    seen: &mut dyn FnMut(u64, &[u8]),
) -> u64 {
    let (mut at, mut total) = (from, 0_u64);
    while at < to {
        let wanted = usize::try_from(to - at).unwrap_or(BLOCK).min(BLOCK);
        let Some(part) = block.get_mut(..wanted) else { break };
        let Ok(count @ 1..) = memory.read_at(part, at) else {
            // This page cannot be read; the next one may.
            at = (at / PAGE as u64 + 1) * PAGE as u64;
            continue;
        };
        let Some(part) = part.get_mut(..count) else { break };
        seen(at - from, part);
        part.fill(0);
        total += count as u64;
        let shared = if at + (count as u64) < to && count > 2 * PAGE { overlap } else { 0 };
        at += (count - shared) as u64;
    }
    total
}

/// The runs of canary bytes in a block. A run of sixteen holds a whole aligned word wherever it begins, so that only
/// every eighth position is looked up.
fn runs(block: &[u8], canary: &Canary) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut skip_to = 0;
    for (index, eight) in block.chunks_exact(WORD).enumerate() {
        let &[one, two, ..] = eight else { continue };
        let begin = u16::from_ne_bytes([one ^ MASK, two ^ MASK]);
        if canary.begins.get(usize::from(begin)) != Some(&true) {
            continue;
        }
        let at = index * WORD;
        let key = word(eight) ^ u64::from_ne_bytes([MASK; WORD]);
        if at < skip_to || !canary.places.contains_key(&key) {
            continue;
        }
        if let Some((first, length)) = canary.run_at(block, at, key)
            && length >= SHORTEST
        {
            found.push((first, length));
            skip_to = first + length;
        }
    }
    found
}

fn word(run: &[u8]) -> u64 {
    run.try_into().map_or(0, u64::from_ne_bytes)
}

fn bounds(line: &str) -> Option<(u64, u64)> {
    let (from, to) = line.split_once(' ')?.0.split_once('-')?;
    Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
}

/// The processes that `pid` started, and those that they started, as they stand now; not `pid` itself.
///
/// # Errors
/// If /proc cannot be read.
pub fn processes_below(pid: u32) -> io::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(each) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that has ended meanwhile is no longer below anybody.
        if let Ok(stat) = fs::read_to_string(format!("/proc/{each}/stat"))
            && let Some(parent) = parent_in(&stat)
        {
            parents.push((each, parent));
        }
    }
    let mut below = vec![pid];
    let mut next = 0;
    while let Some(&parent) = below.get(next) {
        below.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    below.remove(0);
    Ok(below)
}

/// The fourth field of /proc/PID/stat. The second one, the name, may hold blanks and parentheses.
fn parent_in(stat: &str) -> Option<u32> {
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::disallowed_types, reason = "the processes looked at are ordinary ones")]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Child, Command, Stdio};

    /// A shell that reads a line into a variable and then waits, or ends with the pipe.
    struct Holder(Child);

    impl Holder {
        fn of(line: &[u8]) -> Self {
            let script = "IFS= read -r held; echo ready; read -r end";
            let mut child = Command::new("sh");
            let child = child.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = child.spawn().unwrap();
            let input = child.stdin.as_mut().unwrap();
            input.write_all(line).unwrap();
            input.write_all(b"\n").unwrap();
            let mut answer = String::new();
            BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut answer).unwrap();
            assert_eq!(answer, "ready\n");
            Self(child)
        }
    }

    impl Drop for Holder {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    const VALUE: &[u8] = b"c4Nary-9f2e71d05ab843e6-77b0c1d2e3f4a5968778695a4b3c2d1e0f-tail!";

    #[test]
    fn a_process_that_holds_the_canary_is_found_and_another_value_is_not() {
        let holder = Holder::of(VALUE);
        let hits = scan(holder.0.id(), &Canary::new(VALUE)).unwrap();
        assert!(hits.iter().any(|hit| hit.length == VALUE.len()), "{hits:?}");
        let other = b"another-5b0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978879";
        assert_eq!(scan(holder.0.id(), &Canary::new(other)).unwrap(), []);
    }

    #[test]
    fn a_fragment_counts_from_sixteen_bytes() {
        let holder = Holder::of(&VALUE[20..40]);
        let hits = scan(holder.0.id(), &Canary::new(VALUE)).unwrap();
        assert!(!hits.is_empty() && hits.iter().all(|hit| (16..=20).contains(&hit.length)), "{hits:?}");
        let shorter = Holder::of(&VALUE[20..35]);
        assert_eq!(scan(shorter.0.id(), &Canary::new(VALUE)).unwrap(), []);
    }

    #[test]
    fn every_run_of_sixteen_is_found_wherever_it_begins() {
        let canary = Canary::new(VALUE);
        for begin in 0..64 {
            for from in 0..VALUE.len() - 16 {
                let mut block = vec![b'#'; 128];
                block[begin..begin + 16].copy_from_slice(&VALUE[from..from + 16]);
                assert_eq!(runs(&block, &canary), [(begin, 16)], "{begin} {from}");
            }
        }
    }

    #[test]
    fn a_repeating_canary_is_found_whole() {
        let value = b"abababab".repeat(8);
        let block = [b"##".as_slice(), &value, b"##"].concat();
        assert_eq!(runs(&block, &Canary::new(&value)), [(2, 64)]);
    }

    /// Memory of a process that is not there.
    struct Bytes(Vec<u8>);

    impl FileExt for Bytes {
        fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
            let from = self.0.get(usize::try_from(at).unwrap()..).unwrap_or_default();
            let count = from.len().min(into.len());
            into[..count].copy_from_slice(&from[..count]);
            Ok(count)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
        }
    }

    #[test]
    fn a_copy_on_the_border_of_two_blocks_is_found() {
        for shift in [1, 8, 15, 17, 40, 63] {
            let mut memory = Bytes(vec![0; 2 * BLOCK]);
            memory.0[BLOCK - shift..][..VALUE.len()].copy_from_slice(VALUE);
            let (mut block, mut hits, mut seen) = (vec![0_u8; BLOCK], Vec::new(), 0);
            let canary = Canary::new(VALUE);
            let range = (0, 2 * BLOCK as u64);
            let read = blocks_of(&memory, range, 4 * SHORTEST, &mut block, &mut |offset, bytes| {
                hits_in(bytes, ("", offset), &canary, &mut seen, &mut hits);
            });
            assert!(read >= 2 * BLOCK as u64);
            assert!(!hits.is_empty() && hits.iter().all(|hit| hit.length >= 16), "{shift} {hits:?}");
        }
    }

    #[test]
    fn the_scanner_does_not_find_its_own_canary() {
        let own = |seed: u8| (0..64_u8).map(|i| (i.wrapping_mul(37) ^ seed) ^ MASK).collect::<Vec<_>>();
        let unseen = Canary::from_masked(own(0x31));
        assert_eq!(scan(std::process::id(), &unseen).unwrap(), []);
        let seen = Canary::from_masked(own(0x52));
        let copy: Vec<u8> = seen.masked.iter().map(|byte| byte ^ MASK).collect();
        assert!(!scan(std::process::id(), &seen).unwrap().is_empty());
        assert_eq!(std::hint::black_box(copy).len(), 64);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error_and_not_a_clean_result() {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(scan(child.id(), &Canary::new(VALUE)).is_err());
    }

    #[test]
    fn processes_below_are_children_and_grandchildren_and_nobody_else() {
        let mut outer = Command::new("sh");
        let outer = outer.args(["-c", "sh -c 'echo up; read x; true'; true"]);
        let mut outer = outer.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(outer.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let here = processes_below(std::process::id()).unwrap();
        let there = processes_below(outer.id()).unwrap();
        assert!(here.contains(&outer.id()) && !here.contains(&std::process::id()));
        assert_eq!(there.len(), 1);
        assert!(here.contains(&there[0]));
        drop(outer.stdin.take());
        outer.wait().unwrap();
        assert_eq!(parent_in("7 (a) b (c) S 42 7 7"), Some(42));
    }
}
