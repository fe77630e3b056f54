//! Reads maps with a closed schema: what is not known is an error with a near match, and every mistake is said.

use crate::model::Named;
use vigo_base::Span;
use vigo_syntax::{Code, Diagnostic, Entry, Kind, Node, nearest};

/// A file while it is read, and where its mistakes go.
pub(crate) struct Reader<'a> {
    pub path: &'a str,
    pub source: &'a str,
    /// `user` is known: in usercrates, and in templates, which they may use.
    pub user: bool,
    pub out: &'a mut Vec<Diagnostic>,
}

/// The entries of a map whose keys are all known.
pub(crate) struct Fields<'n> {
    pub entries: &'n [Entry],
    pub span: Span,
}

impl<'n> Fields<'n> {
    /// The entry of that key, unless it is null.
    pub fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key && entry.value.kind != Kind::Null)
    }

    /// The value of that key, unless it is null.
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.value)
    }
}

impl<'a> Reader<'a> {
    pub fn report(&mut self, code: Code, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.out.push(Diagnostic::new(code, span, message).help(help));
    }

    /// The folder of the file; empty for the root.
    pub fn folder(&self) -> &'a str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The text of the file that `span` covers.
    pub fn raw(&self, span: Span) -> &'a str {
        let range = usize::try_from(span.start).ok().zip(usize::try_from(span.end).ok());
        range.and_then(|(start, end)| self.source.get(start..end)).unwrap_or_default().trim_end()
    }

    /// Says that `node` is no `wanted`. Nothing is said about what was a mistake already.
    pub fn wrong_kind(&mut self, node: &Node, what: &str, wanted: &str) {
        if node.kind != Kind::Invalid {
            let message = format!("{what} is {wanted}, not {}", node.kind_name());
            self.report(Code::WrongKind, node.span, message, "");
        }
    }

    /// The entries of a map.
    pub fn entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Entry] {
        match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Null => &[],
            _ => {
                self.wrong_kind(node, what, "a map");
                &[]
            }
        }
    }

    /// The items of a list.
    pub fn items<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.kind {
            Kind::List(items) => items,
            Kind::Null => &[],
            _ => {
                self.wrong_kind(node, what, "a list");
                &[]
            }
        }
    }

    /// A map that has these keys and no others.
    pub fn fields<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<Fields<'n>> {
        let Kind::Map(entries) = &node.kind else {
            self.wrong_kind(node, what, "a map");
            return None;
        };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            self.unknown_key(&entry.key, entry.key_span, what, known);
        }
        Some(Fields { entries, span: node.span })
    }

    /// Says that a key is not known, and which one was probably meant.
    pub fn unknown_key(&mut self, key: &str, span: Span, what: &str, known: &[&str]) {
        let help = match nearest(key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are: {}", known.join(", ")),
        };
        self.report(Code::UnknownKey, span, format!("{what} has no key `{key}`"), help);
    }

    /// A text that is taken as it stands: a name and the like. Numbers count as they are written.
    pub fn plain(&mut self, node: &Node, what: &str) -> Option<Named> {
        let name = match &node.kind {
            Kind::Text(text) => text.value.clone(),
            Kind::Integer(_) | Kind::Number(_) => self.raw(node.span).to_owned(),
            _ => {
                self.wrong_kind(node, what, "text");
                return None;
            }
        };
        if name.contains("{{") || name.contains("{%") {
            let help = "it must be the same for every envoy; use `case` and `match`, `foreach` or `when` to vary what is there";
            self.report(Code::InvalidValue, node.span, format!("{what} cannot be computed"), help);
            return None;
        }
        Some(Named { name, span: node.span })
    }

    /// One text, or a list of texts.
    pub fn plain_list(&mut self, node: &Node, what: &str) -> Vec<Named> {
        match &node.kind {
            Kind::List(items) => items.iter().filter_map(|item| self.plain(item, what)).collect(),
            Kind::Null => Vec::new(),
            Kind::Map(_) => {
                self.wrong_kind(node, what, "a name or a list of names");
                Vec::new()
            }
            _ => self.plain(node, what).into_iter().collect(),
        }
    }

    /// A list of names that other files define: letters, digits, `_`, `.` and `-`.
    pub fn names(&mut self, node: &Node, what: &str) -> Vec<Named> {
        let mut names = self.plain_list(node, what);
        names.retain(|name| self.check_name(name, what));
        names
    }

    /// True if it is a name; says so if it is not.
    pub fn check_name(&mut self, named: &Named, what: &str) -> bool {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let fits = named.name.bytes().all(letter)
            && named.name.len() <= 200
            && named.name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !fits {
            let message = format!("`{}` is no {what}", named.name);
            let help = if named.name.contains(',') {
                "write a list: `[a, b]`; names are never split at commas"
            } else {
                "it takes letters, digits, `_`, `.` and `-`, and starts with a letter, a digit or `_`"
            };
            self.report(Code::InvalidValue, named.span, message, help);
        }
        fits
    }

    /// Says that a key is missing.
    pub fn missing(&mut self, span: Span, what: &str, key: &str, help: &str) {
        // The first character is enough: a map can be long.
        let span = Span { end: span.start.saturating_add(1).min(span.end.max(span.start)), ..span };
        self.report(Code::MissingKey, span, format!("{what} lacks `{key}`"), help);
    }
}
