//! Text that is made from other text, and remembers which byte came from where.

/// A text under construction from a source.
#[derive(Debug, Default)]
pub struct Edited {
    text: String,
    marks: Vec<Mark>,
}

/// From `at` in the text on: bytes from `origin` in the source, or one insertion that stands for `origin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    at: usize,
    origin: usize,
    inserted: bool,
}

/// Where the bytes of an edited text came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<Mark>);

impl Edited {
    /// Appends `part`, which stands at `origin` in the source.
    pub fn copy(&mut self, part: &str, origin: usize) {
        self.push(part, origin, false);
    }

    /// Appends text that stands for what is at `origin` in the source.
    pub fn insert(&mut self, text: &str, origin: usize) {
        self.push(text, origin, true);
    }

    fn push(&mut self, text: &str, origin: usize, inserted: bool) {
        if !text.is_empty() {
            self.marks.push(Mark { at: self.text.len(), origin, inserted });
            self.text.push_str(text);
        }
    }

    /// What stands there so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes the last byte off again, which must be ASCII.
    pub fn pop(&mut self) {
        self.text.pop();
    }

    /// The text and where it came from.
    pub fn finish(self) -> (String, Origins) {
        (self.text, Origins(self.marks))
    }
}

impl Origins {
    /// The byte of the source that the byte at `offset` came from.
    #[must_use]
    pub fn of(&self, offset: usize) -> usize {
        let after = self.0.partition_point(|mark| mark.at <= offset);
        match after.checked_sub(1).and_then(|index| self.0.get(index)) {
            None => offset,
            Some(mark) if mark.inserted => mark.origin,
            Some(mark) => mark.origin + (offset - mark.at),
        }
    }
}
