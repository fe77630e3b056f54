//! Git's index (gitformat-index(5)), as far as it says what is tracked, staged, and as it was.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// What the index has of the tracked files.
pub(super) struct Index {
    entries: HashMap<Vec<u8>, Entry>,
    /// Something is staged, in conflict, or written down in a way that is not read here.
    unclear: bool,
}

struct Entry {
    size: u32,
    modified: (u32, u32),
}

impl Index {
    /// Reads an index whose object names have `id` bytes; `None` when it is none.
    pub(super) fn parse(bytes: &[u8], id: usize) -> Option<Self> {
        let mut input = Input(bytes);
        if input.take(4)? != b"DIRC" {
            return None;
        }
        let version = input.number()?;
        let count = input.number()?;
        let mut index = Self { entries: HashMap::new(), unclear: !(2..=4).contains(&version) };
        let mut path = Vec::new();
        for _ in 0..count {
            if index.unclear {
                return Some(index);
            }
            let (entry, stage) = entry(&mut input, version, id, &mut path)?;
            index.unclear |= stage;
            index.entries.insert(path.clone(), entry);
        }
        index.unclear |= !settled(input, id);
        Some(index)
    }

    /// Whether the folder, `prefix` below `top`, differs from the commit or may.
    pub(super) fn differs(&self, top: &Path, prefix: &str, folder: &Path) -> bool {
        if self.unclear {
            return true;
        }
        let below = if prefix.is_empty() { Vec::new() } else { format!("{prefix}/").into_bytes() };
        let mut tracked = self.entries.iter().filter(|(path, _)| path.starts_with(&below));
        let changed = tracked.any(|(path, entry)| {
            let metadata =
                std::str::from_utf8(path).ok().and_then(|path| fs::symlink_metadata(top.join(path)).ok());
            !metadata.is_some_and(|metadata| entry.is(&metadata))
        });
        changed || self.has_untracked(&below, folder)
    }

    /// Whether something that would be published is not tracked.
    fn has_untracked(&self, below: &[u8], folder: &Path) -> bool {
        let Ok(tree) = crate::tree::read(folder) else { return true };
        tree.files().any(|file| !self.entries.contains_key(&[below, file.path.as_bytes()].concat()))
    }
}

impl Entry {
    /// Git's own test, less what changes without the content (owner, inode): size and time of last change.
    fn is(&self, metadata: &fs::Metadata) -> bool {
        // Both numbers are cut to 32 bits in the index.
        let cut = |number: i64| u32::try_from(number.rem_euclid(1 << 32)).unwrap_or(0);
        let size = u32::try_from(metadata.size() & 0xffff_ffff).unwrap_or(0);
        let (seconds, nanoseconds) = self.modified;
        // A git that was built without nanoseconds writes 0.
        let fine = nanoseconds == 0 || nanoseconds == cut(metadata.mtime_nsec());
        self.size == size && seconds == cut(metadata.mtime()) && fine
    }
}

/// Reads one entry; `path` is the one before and becomes this one. Gives whether it is in conflict or not all there.
fn entry(input: &mut Input<'_>, version: u32, id: usize, path: &mut Vec<u8>) -> Option<(Entry, bool)> {
    let before = input.0.len();
    input.take(8)?;
    let modified = (input.number()?, input.number()?);
    input.take(20)?;
    let size = input.number()?;
    input.take(id)?;
    let flags = u16::from_be_bytes(input.take(2)?.try_into().ok()?);
    let extended = if flags & 0x4000 != 0 { u16::from_be_bytes(input.take(2)?.try_into().ok()?) } else { 0 };
    if version == 4 {
        let dropped = input.offset()?;
        let kept = path.len().checked_sub(dropped)?;
        path.truncate(kept);
        path.extend_from_slice(input.text()?);
    } else {
        *path = input.text()?.to_vec();
        // One NUL is read; entries end at multiples of eight bytes.
        let length = before - input.0.len();
        input.take(length.next_multiple_of(8) - length)?;
    }
    let stage = flags & 0x3000 != 0;
    // Only said to be added, or left out of the working tree.
    Some((Entry { size, modified }, stage || extended & 0x6000 != 0))
}

/// True if what follows the entries says that they are what the last commit has: the cached tree is whole, and nothing lies in another file.
fn settled(mut input: Input<'_>, id: usize) -> bool {
    let mut whole = false;
    while input.0.len() > id {
        let Some((name, length)) = input.take(4).zip(input.number()) else { return false };
        let Some(content) = usize::try_from(length).ok().and_then(|length| input.take(length)) else {
            return false;
        };
        match name {
            b"TREE" => whole = tree_is_valid(content),
            // Extensions with a capital may be passed over; a split index ("link") may not.
            [b'A'..=b'Z', ..] => {}
            _ => return false,
        }
    }
    whole
}

/// The root of the cached tree: an empty name, NUL, the number of entries. Staging anything makes that number -1.
fn tree_is_valid(content: &[u8]) -> bool {
    let number = content.strip_prefix(b"\0").and_then(|rest| rest.split(|byte| *byte == b' ').next());
    number.is_some_and(|number| !number.is_empty() && !number.starts_with(b"-"))
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// Up to a NUL, which is taken too.
    fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }

    /// The variable-length number of version 4, as in packs (gitformat-pack(5), offset encoding).
    fn offset(&mut self) -> Option<usize> {
        let mut number = 0_usize;
        loop {
            let byte = *self.take(1)?.first()?;
            number = number.checked_mul(128)?.checked_add(usize::from(byte & 127))?;
            if byte & 128 == 0 {
                return Some(number);
            }
            number = number.checked_add(1)?;
        }
    }
}
