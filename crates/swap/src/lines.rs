//! A table of the system as its lines: what is not changed stays byte for byte, the last line's missing end too.

/// The lines of a text, each with its end. A line that was taken out is empty, so that the numbers of the others stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines(Vec<String>);

impl Lines {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.split_inclusive('\n').map(str::to_owned).collect())
    }

    pub(crate) fn text(&self) -> String {
        self.0.concat()
    }

    /// With their numbers, from 0.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (usize, &String)> {
        self.0.iter().enumerate()
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut String> {
        self.0.get_mut(number)
    }

    pub(crate) fn remove(&mut self, number: usize) {
        if let Some(line) = self.0.get_mut(number) {
            line.clear();
        }
    }

    /// Puts a line at the end; the one before it gets its end if it has none.
    pub(crate) fn add(&mut self, line: &str) {
        if let Some(last) = self.0.iter_mut().rev().find(|line| !line.is_empty())
            && !last.ends_with('\n')
        {
            last.push('\n');
        }
        self.0.push(format!("{line}\n"));
    }
}
