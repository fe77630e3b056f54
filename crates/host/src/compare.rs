//! Ordinary files: is the content the wanted one, and if not, what differs. Files with a secret go to the hand instead.

use similar::{ChangeTag, TextDiff};
use std::io::Read;
use vigo_resource::{Comparison, DiffLine, DiffSign, Failure};

/// Longer texts are not shown line by line.
const LONGEST_DIFF: usize = 1 << 20;
/// Lines shown around a change.
const AROUND: usize = 3;
/// A longer diff is cut.
const MOST_LINES: usize = 2000;
const WINDOW: usize = 64 << 10;

/// Memory to read files into, kept from one file to the next: clearing a large window for each of many small files costs more than reading them.
#[derive(Debug, Default)]
pub struct Window(Vec<u8>);

impl Window {
    /// Compares a regular `file` of `size` bytes with `wanted`, reading no more of it than needed.
    pub fn compare(&mut self, mut file: impl Read, size: u64, wanted: &[u8]) -> std::io::Result<Comparison> {
        let same = u64::try_from(wanted.len()).ok() == Some(size) && self.same(&mut file, wanted)?;
        Ok(if same { Comparison::Same } else { Comparison::Different { diff: Vec::new() } })
    }

    fn same(&mut self, file: &mut impl Read, wanted: &[u8]) -> std::io::Result<bool> {
        // One byte more than is wanted, so that a file that grew meanwhile is seen with the first read.
        let length = (wanted.len() + 1).min(WINDOW);
        if self.0.len() < length {
            self.0.resize(length, 0);
        }
        let mut left = wanted;
        loop {
            let read = file.read(&mut self.0)?;
            let Some(bytes) = self.0.get(..read) else { return Ok(false) };
            match left.split_at_checked(read) {
                Some((next, rest)) if next == bytes => left = rest,
                _ => return Ok(false),
            }
            // A regular file gives less than was asked for at its end only (read(2)).
            if read == 0 || (left.is_empty() && read < self.0.len()) {
                return Ok(left.is_empty());
            }
        }
    }
}

/// The lines that differ between what is there (`None`: nothing) and what is wanted.
pub fn lines(there: Option<&[u8]>, wanted: &[u8]) -> Vec<DiffLine> {
    let note = |text: String| vec![DiffLine::new(DiffSign::Note, text)];
    let old = there.unwrap_or_default();
    let (Ok(old_text), Ok(new_text)) = (std::str::from_utf8(old), std::str::from_utf8(wanted)) else {
        return note(format!("{} bytes become {} bytes, not text", old.len(), wanted.len()));
    };
    if old.len().max(wanted.len()) > LONGEST_DIFF {
        return note(format!("{} bytes become {} bytes, too long to show", old.len(), wanted.len()));
    }
    let diff = TextDiff::from_lines(old_text, new_text);
    let mut lines = Vec::new();
    for (number, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if number > 0 {
            lines.push(DiffLine::new(DiffSign::Note, "..."));
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let sign = match change.tag() {
                ChangeTag::Delete => DiffSign::Removed,
                ChangeTag::Insert => DiffSign::Added,
                ChangeTag::Equal => DiffSign::Context,
            };
            lines.push(DiffLine::new(sign, change.value().trim_end_matches('\n')));
        }
    }
    if lines.len() > MOST_LINES {
        let more = lines.len() - MOST_LINES;
        lines.truncate(MOST_LINES);
        lines.extend(note(format!("{more} more lines")));
    }
    lines
}

/// Reads the rest of a file of at most a size that can be shown; a longer one is cut, which the diff then says by its length.
pub fn read_shown(file: impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(LONGEST_DIFF).unwrap_or(u64::MAX).saturating_add(1);
    file.take(bound)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::failed(format!("cannot read: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_same(there: &[u8], wanted: &[u8]) -> bool {
        Window::default().compare(there, there.len() as u64, wanted).unwrap() == Comparison::Same
    }

    #[test]
    fn only_equal_bytes_are_the_same() {
        let long = vec![b'x'; WINDOW * 2 + 5];
        assert!(is_same(b"", b""));
        assert!(is_same(&long, &long));
        assert!(!is_same(b"a", b"b"));
        assert!(!is_same(b"a", b"ab"));
        let mut other = long.clone();
        *other.last_mut().unwrap() = b'y';
        assert!(!is_same(&long, &other));
    }

    #[test]
    fn a_file_that_grew_or_shrank_after_its_size_was_read_is_another() {
        let mut window = Window::default();
        assert_eq!(
            window.compare(&b"abc"[..], 2, b"ab").unwrap(),
            Comparison::Different { diff: Vec::new() }
        );
        assert_eq!(window.compare(&b"a"[..], 2, b"ab").unwrap(), Comparison::Different { diff: Vec::new() });
    }

    #[test]
    fn a_diff_shows_the_lines_and_what_is_around_them() {
        let shown: Vec<String> =
            lines(Some(b"a\nb\nc\n"), b"a\nB\nc\n").iter().map(ToString::to_string).collect();
        assert_eq!(shown, [" a", "-b", "+B", " c"]);
        assert_eq!(lines(None, b"a\n").len(), 1);
        assert_eq!(lines(Some(b"\xff"), b"a").len(), 1);
    }
}
