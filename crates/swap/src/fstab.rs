//! fstab(5) as text: lines of swap are found, commented out, taken out or added; every other byte stays as it is.

use crate::lines::Lines;

/// What a line that Vigo commented out begins with; the rest of the line is as it was. Without this word it is in force again.
pub const MARK: &str = "#vigo:swap# ";

/// A swap line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FstabEntry {
    /// What stands first: a path, `UUID=...`, `LABEL=...`, without escapes and quotes.
    pub spec: String,
    /// The options, without escapes.
    pub options: Vec<String>,
    /// The whole line without its end, and without [`MARK`].
    pub line: String,
    /// True if Vigo commented it out.
    pub marked: bool,
    /// Which line of the file it is, from 0.
    pub number: usize,
}

impl FstabEntry {
    /// True if the next boot switches it on.
    #[must_use]
    pub fn is_automatic(&self) -> bool {
        !self.marked && !self.options.iter().any(|option| option == "noauto")
    }

    /// Its `pri=`.
    #[must_use]
    pub fn priority(&self) -> Option<i32> {
        self.options.iter().find_map(|option| option.strip_prefix("pri=")?.parse().ok())
    }
}

/// The text of an fstab.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fstab {
    lines: Lines,
}

impl Fstab {
    /// Any text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { lines: Lines::new(text) }
    }

    /// The text, with what was changed.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.text()
    }

    /// Its swap lines, also those that Vigo commented out.
    #[must_use]
    pub fn swaps(&self) -> Vec<FstabEntry> {
        self.lines.numbered().filter_map(|(number, line)| entry(number, line)).collect()
    }

    /// Comments a line out.
    pub fn comment_out(&mut self, number: usize) {
        if let Some(line) = self.lines.get_mut(number)
            && !line.starts_with(MARK)
        {
            line.insert_str(0, MARK);
        }
    }

    /// Takes a line out. The numbers of the others stay.
    pub fn remove(&mut self, number: usize) {
        self.lines.remove(number);
    }

    /// Puts a line at the end.
    pub fn add(&mut self, line: &str) {
        self.lines.add(line);
    }

    /// Puts another line in the place of one.
    pub fn replace(&mut self, number: usize, line: &str) {
        if let Some(old) = self.lines.get_mut(number) {
            *old = format!("{line}\n");
        }
    }

    /// A line that switches `path` on at boot.
    #[must_use]
    pub fn line(path: &str, priority: Option<i32>) -> String {
        let priority = priority
            .filter(|priority| *priority >= 0)
            .map_or(String::new(), |priority| format!(",pri={priority}"));
        format!("{} none swap sw{priority} 0 0", escape(path))
    }
}

fn entry(number: usize, line: &str) -> Option<FstabEntry> {
    let whole = line.trim_end_matches(['\n', '\r']);
    let (marked, text) = match whole.strip_prefix(MARK) {
        Some(text) => (true, text),
        None => (false, whole),
    };
    if text.trim_start().starts_with('#') {
        return None;
    }
    let mut fields = text.split([' ', '\t']).filter(|field| !field.is_empty());
    let spec = unescape(fields.next()?);
    let (_, kind) = (fields.next()?, fields.next()?);
    if kind != "swap" {
        return None;
    }
    let options = fields.next().unwrap_or("defaults").split(',').map(unescape).collect();
    Some(FstabEntry { spec: without_quotes(&spec), options, line: text.to_owned(), marked, number })
}

/// libblkid takes `LABEL="a b"` too.
fn without_quotes(spec: &str) -> String {
    match spec.split_once('=') {
        Some((tag, value)) if !spec.starts_with('/') => {
            let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let inner = inner.or_else(|| value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')));
            format!("{tag}={}", inner.unwrap_or(value))
        }
        _ => spec.to_owned(),
    }
}

/// getmntent(3) and the kernel's tables write blank, tab, newline, backslash and `#` as `\` and three octal digits; any other byte may stand so, too.
#[must_use]
pub fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            digits.iter().try_fold(0_u32, |sum, digit| {
                (b'0'..=b'7').contains(digit).then(|| sum * 8 + u32::from(digit - b'0'))
            })
        });
        match octal.and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The reverse of [`unescape`], as far as a field needs it.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut field = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            ' ' => field.push_str("\\040"),
            '\t' => field.push_str("\\011"),
            '\n' => field.push_str("\\012"),
            '\\' => field.push_str("\\134"),
            '#' => field.push_str("\\043"),
            other => field.push(other),
        }
    }
    field
}

/// The path that udev keeps for `UUID=...`, `LABEL=...` and the like (systemd.device(5)); a path is its own. `None` for anything else.
#[must_use]
pub fn spec_path(spec: &str) -> Option<String> {
    let tags = [
        ("UUID=", "by-uuid"),
        ("LABEL=", "by-label"),
        ("PARTUUID=", "by-partuuid"),
        ("PARTLABEL=", "by-partlabel"),
        ("ID=", "by-id"),
    ];
    if spec.starts_with('/') {
        return Some(spec.to_owned());
    }
    let (tag, folder) = tags.iter().find(|(tag, _)| spec.starts_with(tag))?;
    let name = spec.strip_prefix(tag)?;
    let name = if tag.ends_with("UUID=") { name.to_ascii_lowercase() } else { encoded(name) };
    Some(format!("/dev/disk/{folder}/{name}"))
}

/// udev writes what is not plain in the name of a link as `\x` and two hex digits (encode_devnode_name in systemd).
fn encoded(name: &str) -> String {
    let mut link = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() || "#+-.:=@_".contains(letter) || !letter.is_ascii() {
            link.push(letter);
        } else {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                link.push_str(&format!("\\x{byte:02x}"));
            }
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# static\nUUID=1 / ext4 defaults 0 1\r\n\tUUID=AB-c\tnone\tswap\tsw,pri=5\t0 0\n/dev/sdb1 none swap noauto\n/my\\040swap\\134x none swap\nLABEL=\"a\\040b\" swap swap defaults 0 0\nswap /mnt ext4 swap 0 0\n#/x none swap sw 0 0";

    #[test]
    fn swap_lines_are_found_with_their_escapes_and_quotes() {
        let swaps = Fstab::new(TEXT).swaps();
        let specs: Vec<&str> = swaps.iter().map(|entry| entry.spec.as_str()).collect();
        assert_eq!(specs, ["UUID=AB-c", "/dev/sdb1", "/my swap\\x", "LABEL=a b"]);
        let automatic: Vec<bool> = swaps.iter().map(FstabEntry::is_automatic).collect();
        assert_eq!(automatic, [true, false, true, true]);
        assert_eq!(swaps[0].priority(), Some(5));
        assert_eq!(spec_path(&swaps[0].spec).unwrap(), "/dev/disk/by-uuid/ab-c");
        assert_eq!(spec_path(&swaps[2].spec).unwrap(), "/my swap\\x");
        assert_eq!(spec_path(&swaps[3].spec).unwrap(), "/dev/disk/by-label/a\\x20b");
    }

    #[test]
    fn a_line_that_is_commented_out_leaves_every_other_byte_and_comes_back() {
        let mut fstab = Fstab::new(TEXT);
        assert_eq!(fstab.text(), TEXT);
        fstab.comment_out(2);
        fstab.comment_out(2);
        let closed = fstab.text();
        assert_eq!(closed, TEXT.replace("\tUUID=AB-c", "#vigo:swap# \tUUID=AB-c"));
        let swaps = Fstab::new(&closed).swaps();
        assert!(swaps[0].marked && !swaps[0].is_automatic());
        assert_eq!(swaps[0].line, "\tUUID=AB-c\tnone\tswap\tsw,pri=5\t0 0");
        assert_eq!(closed.replace(MARK, ""), TEXT);
    }

    #[test]
    fn a_line_is_added_after_a_last_one_without_an_end() {
        let mut fstab = Fstab::new(TEXT);
        fstab.add(&Fstab::line("/a b", Some(3)));
        assert_eq!(fstab.text(), format!("{TEXT}\n/a\\040b none swap sw,pri=3 0 0\n"));
        let mut fstab = Fstab::new("");
        fstab.add(&Fstab::line("/a", Some(-2)));
        assert_eq!(fstab.text(), "/a none swap sw 0 0\n");
        fstab.remove(0);
        assert_eq!(fstab.text(), "");
    }

    #[test]
    fn escapes_are_octal_bytes_and_nothing_else() {
        assert_eq!(unescape("a\\040b\\134040"), "a b\\040");
        assert_eq!(unescape("\\303\\244\\9\\"), "ä\\9\\");
        assert_eq!(unescape("\\777"), "\\777");
        assert_eq!(unescape(&escape("a b\t#\\ä")), "a b\t#\\ä");
    }
}
