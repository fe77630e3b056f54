//! A text as lines that can be put together again byte by byte.

/// A text as lines. Each keeps its own end; the last one may have none.
pub(crate) struct Lines<'a> {
    lines: Vec<&'a str>,
}

impl<'a> Lines<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { lines: text.split_inclusive('\n').collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// A line without its end.
    pub(crate) fn text(&self, number: usize) -> &'a str {
        self.lines.get(number).map_or("", |line| without_end(line))
    }

    /// The lines in that range, with their ends.
    pub(crate) fn raw(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = &'a str> {
        self.lines.get(range).unwrap_or_default().iter().copied()
    }

    /// How this text ends its lines: as its first line does.
    pub(crate) fn end(&self) -> &'static str {
        match self.lines.first() {
            Some(line) if line.ends_with("\r\n") => "\r\n",
            _ => "\n",
        }
    }
}

/// A line without its end.
fn without_end(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

/// Appends lines, each with its end; what stood without an end before gets one first.
pub(crate) fn push_line(text: &mut String, line: &str, end: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str(end);
    }
    text.push_str(line);
    text.push_str(end);
}
