//! Lists in pages: no call gives more than [`PAGE_MAX`] items.

/// The most items of one page.
pub const PAGE_MAX: usize = 1000;

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The [`Listing::next`] of the page before; `None` for the first.
    pub cursor: Option<&'a str>,
    /// How many items at most; less than 1 means 1, more than [`PAGE_MAX`] means that.
    pub limit: usize,
}

impl Page<'static> {
    /// The first `limit` items.
    #[must_use]
    pub const fn first(limit: usize) -> Self {
        Self { cursor: None, limit }
    }
}

impl<'a> Page<'a> {
    /// What follows `cursor`.
    #[must_use]
    pub const fn after(cursor: &'a str, limit: usize) -> Self {
        Self { cursor: Some(cursor), limit }
    }

    pub(crate) fn bounded(&self) -> usize {
        self.limit.clamp(1, PAGE_MAX)
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<String>,
}

impl<T> Listing<T> {
    /// From up to one item more than the page takes; that one only says that there is a next page.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(key) } else { None };
        Self { items, next }
    }
}
