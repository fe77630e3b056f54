//! The diff of a tainted target: truthful, and without a byte that came from a secret or that only the target has.
//!
//! Lines are compared by a keyed digest that never leaves this process. What is shown of the new content is the policy's own text, with
//! `‹secret path version›` where a secret stands. Of the old content a line is shown only if the new content has the same literal line;
//! the others are counted. There are no context lines.

use super::files::WINDOW;
use super::filled::{Chunk, Filled, Stream};
use super::refused::Refused;
use super::state::State;
use crate::content::read_exact_at;
use sha2::{Digest as _, Sha256};
use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use vigo_secret::SecretBuf;
use vigo_wire::hand::{DiffKind, DiffLine};

/// Contents of more lines are not laid side by side; they are counted.
const LINES: usize = 20_000;
/// So many lines are shown.
const SHOWN: usize = 1_000;
/// Of each of them so many bytes.
pub(super) const WIDTH: usize = 512;
/// After this the search for the shortest diff ends and takes what it has.
const PATIENCE: Duration = Duration::from_secs(1);
/// What a line may take in memory: its place in the books, which are copied when they grow, and what laying the sides next to each other adds.
const ROOM_PER_LINE: usize = 400;
/// Of the text of lines with secrets so much is kept; of further ones only that they are such.
const KEPT_TEXT: usize = 128 << 10;

/// One line of the diff.
pub(super) enum Line {
    Added(String),
    AddedSecret(String),
    Removed(String),
    RemovedHidden(u64),
    Omitted(u64),
}

impl Line {
    pub(super) fn into_message(self) -> DiffLine {
        let (kind, text, count) = match self {
            Self::Added(text) => (DiffKind::Added, text, 0),
            Self::AddedSecret(text) => (DiffKind::AddedSecret, text, 0),
            Self::Removed(text) => (DiffKind::Removed, text, 0),
            Self::RemovedHidden(count) => (DiffKind::RemovedHidden, String::new(), count),
            Self::Omitted(count) => (DiffKind::Omitted, String::new(), count),
        };
        DiffLine { kind: kind.into(), text, count }
    }
}

/// How the file that is there (`None`: it is missing) differs from the new content.
pub(super) fn lines(
    state: &mut State,
    old: Option<&OwnedFd>,
    stream: Stream<'_>,
    content: &OwnedFd,
    filled: &Filled,
) -> Result<Vec<Line>, Refused> {
    let failed = |error: io::Error| Refused::machine("cannot read it for the diff", &error);
    let key = vigo_secret::random_array::<32>()?;
    state.make_room(KEPT_TEXT + SHOWN * WIDTH)?;
    // Both sides together; where there is less room, fewer lines are laid side by side.
    let room = vigo_sys::arena::room().saturating_sub(2 * (KEPT_TEXT + SHOWN * WIDTH));
    let limit = LINES.min(room / ROOM_PER_LINE / 2);
    let new = new_lines(stream, filled, &key, limit).map_err(failed)?;
    let old = match old {
        Some(file) => old_lines(file, &key, limit).map_err(failed)?,
        None => Lines::default(),
    };
    if new.total > limit || old.total > limit {
        let mut lines = vec![Line::RemovedHidden(old.total as u64), Line::Omitted(new.total as u64)];
        lines.retain(|line| !matches!(line, Line::RemovedHidden(0) | Line::Omitted(0)));
        return Ok(lines);
    }
    show(&old, &new, content).map_err(failed)
}

/// The lines of one side. Of more than the limit only the number is kept.
#[derive(Default)]
struct Lines {
    digests: Vec<u64>,
    texts: Vec<Text>,
    total: usize,
    limit: usize,
    kept_text: usize,
}

/// Where the text of a new line is.
enum Text {
    /// In the content's file.
    Literal { offset: u64, length: usize, newline: bool },
    /// Here, with names where secrets stand. A further line of a secret is shown only where the line before it is not.
    Secret { text: String, further: bool },
}

/// Digests a line as its pieces come.
struct Digesting<'a> {
    key: &'a [u8; 32],
    line: Option<Sha256>,
}

impl Digesting<'_> {
    fn add(&mut self, bytes: &[u8]) {
        self.line.get_or_insert_with(|| Sha256::new_with_prefix(self.key)).update(bytes);
    }

    /// The digest of the line, which is over.
    fn end(&mut self) -> u64 {
        let digest = self.line.take().unwrap_or_else(|| Sha256::new_with_prefix(self.key)).finalize();
        digest.first_chunk().copied().map(u64::from_le_bytes).unwrap_or_default()
    }

    const fn is_started(&self) -> bool {
        self.line.is_some()
    }
}

fn old_lines(file: &OwnedFd, key: &[u8; 32], limit: usize) -> io::Result<Lines> {
    let mut lines = Lines { limit, ..Lines::default() };
    let mut digesting = Digesting { key, line: None };
    let mut window = SecretBuf::zeroed(WINDOW);
    let mut offset = 0;
    loop {
        let read = match rustix::io::pread(file, window.expose_mut(), offset) {
            Ok(0) => break,
            Ok(read) => read,
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        offset += read as u64;
        for part in window.expose().get(..read).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            digesting.add(part);
            if part.ends_with(b"\n") {
                lines.end(digesting.end(), None);
            }
        }
    }
    if digesting.is_started() {
        lines.end(digesting.end(), None);
    }
    Ok(lines)
}

impl Lines {
    fn end(&mut self, digest: u64, text: Option<Text>) {
        self.total += 1;
        if self.total > self.limit {
            return;
        }
        self.digests.push(digest);
        self.texts.extend(text.map(|text| match text {
            Text::Secret { text, further } if self.kept_text + text.len() > KEPT_TEXT => {
                // An empty text is shown as a secret without its name.
                drop(text);
                Text::Secret { text: String::new(), further }
            }
            Text::Secret { mut text, further } => {
                text.shrink_to_fit();
                self.kept_text += text.len();
                Text::Secret { text, further }
            }
            literal @ Text::Literal { .. } => literal,
        }));
    }
}

/// The line of the new content that is being put together.
#[derive(Default)]
struct Current {
    /// Where its literal starts, and how long it is so far.
    start: Option<u64>,
    length: usize,
    /// The literal text so far, as much as would be shown: the policy's own.
    literal: String,
    /// What is shown instead, once a secret stands in it.
    secret: Option<String>,
    /// Nothing but a further line of a secret: how many lines a secret has is not shown.
    further: bool,
}

fn new_lines(mut stream: Stream<'_>, filled: &Filled, key: &[u8; 32], limit: usize) -> io::Result<Lines> {
    let mut lines = Lines { limit, ..Lines::default() };
    let mut digesting = Digesting { key, line: None };
    let mut window = SecretBuf::zeroed(WINDOW);
    let mut current = Current::default();
    loop {
        let chunk = stream.next(window.expose_mut())?;
        let length = match chunk {
            Chunk::Literal { length, .. } | Chunk::Secret { length, .. } => length,
            Chunk::End => break,
        };
        if let Chunk::Secret { index, first: true, .. } = chunk {
            current.name(filled.label(index));
        }
        let mut start = 0;
        for part in window.expose().get(..length).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            digesting.add(part);
            match chunk {
                Chunk::Literal { offset, .. } => current.add_literal(part, offset + start),
                Chunk::Secret { index, .. } => current.go_on(filled.label(index)),
                Chunk::End => {}
            }
            start += part.len() as u64;
            if part.ends_with(b"\n") {
                lines.end(digesting.end(), Some(std::mem::take(&mut current).finish(true)));
            }
        }
    }
    if digesting.is_started() {
        lines.end(digesting.end(), Some(current.finish(false)));
    }
    Ok(lines)
}

impl Current {
    /// A secret starts here.
    fn name(&mut self, label: &str) {
        self.further = false;
        let literal = std::mem::take(&mut self.literal);
        push_limited(self.secret.get_or_insert(literal), label);
    }

    /// Bytes of a secret stand here; if none of it was named in this line yet, it goes on from the line before.
    fn go_on(&mut self, label: &str) {
        if self.secret.is_none() {
            self.name(label);
            self.further = true;
        }
    }

    fn add_literal(&mut self, part: &[u8], offset: u64) {
        self.start.get_or_insert(offset);
        self.length += part.len();
        let shown = part.strip_suffix(b"\n").unwrap_or(part);
        self.further &= shown.is_empty();
        push_limited(self.secret.as_mut().unwrap_or(&mut self.literal), &String::from_utf8_lossy(shown));
    }

    fn finish(self, newline: bool) -> Text {
        let Self { start, length, secret, further, .. } = self;
        match secret {
            Some(text) => Text::Secret { text, further },
            None => Text::Literal {
                offset: start.unwrap_or_default(),
                length: length.saturating_sub(usize::from(newline)),
                newline,
            },
        }
    }
}

/// Appends as much as is shown of a line; says so if it is not all.
fn push_limited(text: &mut String, more: &str) {
    for letter in more.chars() {
        if text.len() >= WIDTH {
            if !text.ends_with('…') {
                text.push('…');
            }
            return;
        }
        text.push(letter);
    }
}

fn show(old: &Lines, new: &Lines, content: &OwnedFd) -> io::Result<Vec<Line>> {
    let deadline = Some(Instant::now() + PATIENCE);
    let steps = capture_diff_slices_deadline(Algorithm::Myers, &old.digests, &new.digests, deadline);
    let mut literals: BTreeMap<u64, &Text> = BTreeMap::new();
    for (digest, text) in new.digests.iter().zip(&new.texts) {
        if matches!(text, Text::Literal { .. }) {
            literals.insert(*digest, text);
        }
    }
    let mut shown = Shown { lines: Vec::new(), omitted: 0, content };
    for step in steps {
        let (removed, added) = match step {
            DiffOp::Equal { .. } => continue,
            DiffOp::Delete { old_index, old_len, .. } => (old_index..old_index + old_len, 0..0),
            DiffOp::Insert { new_index, new_len, .. } => (0..0, new_index..new_index + new_len),
            DiffOp::Replace { old_index, old_len, new_index, new_len } => {
                (old_index..old_index + old_len, new_index..new_index + new_len)
            }
        };
        for digest in old.digests.get(removed).unwrap_or_default() {
            shown.remove(literals.get(digest).copied())?;
        }
        for text in new.texts.get(added).unwrap_or_default() {
            shown.add(text)?;
        }
    }
    shown.lines.extend((shown.omitted > 0).then_some(Line::Omitted(shown.omitted)));
    Ok(shown.lines)
}

/// The diff as it grows.
struct Shown<'a> {
    lines: Vec<Line>,
    omitted: u64,
    content: &'a OwnedFd,
}

impl Shown<'_> {
    /// An old line; `same` is the literal line of the new content that is equal to it.
    fn remove(&mut self, same: Option<&Text>) -> io::Result<()> {
        if let (None, Some(Line::RemovedHidden(count))) = (same, self.lines.last_mut()) {
            *count += 1;
            return Ok(());
        }
        if self.is_full() {
            return Ok(());
        }
        let line = match same {
            Some(text) => Line::Removed(self.read(text)?),
            None => Line::RemovedHidden(1),
        };
        self.lines.push(line);
        Ok(())
    }

    fn add(&mut self, text: &Text) -> io::Result<()> {
        let goes_on = matches!(text, Text::Secret { further: true, .. });
        if (goes_on && matches!(self.lines.last(), Some(Line::AddedSecret(_)))) || self.is_full() {
            return Ok(());
        }
        let line = match text {
            Text::Literal { .. } => Line::Added(self.read(text)?),
            Text::Secret { text, .. } if text.is_empty() => Line::AddedSecret("‹secret›".into()),
            Text::Secret { text, .. } => Line::AddedSecret(text.clone()),
        };
        self.lines.push(line);
        Ok(())
    }

    /// True if the line is not shown but counted.
    fn is_full(&mut self) -> bool {
        let full = self.lines.len() >= SHOWN;
        self.omitted += u64::from(full);
        full
    }

    /// The policy's own text of a line.
    fn read(&self, text: &Text) -> io::Result<String> {
        let (offset, length, newline) = match text {
            Text::Literal { offset, length, newline } => (*offset, *length, *newline),
            Text::Secret { text, .. } => return Ok(text.clone()),
        };
        let mut bytes = vec![0; length.min(WIDTH + 4)];
        read_exact_at(self.content, &mut bytes, offset)?;
        let mut shown = String::new();
        push_limited(&mut shown, &String::from_utf8_lossy(&bytes));
        if !newline {
            shown.push_str(" (no newline at the end)");
        }
        Ok(shown)
    }
}
