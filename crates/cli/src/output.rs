//! What is printed: tables that fit the terminal, or the server's own JSON. Results on standard output, everything else on standard error.

use crate::error::CliError;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write as _};

/// What one cell shows at most; the whole is in `--json`.
const CELL: usize = 2000;

/// Where results go and how.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    width: Option<u16>,
}

/// A column of a table: its heading and where its value stands in an item (RFC 6901).
pub type Column = (&'static str, &'static str);

impl Output {
    /// For this process's standard output.
    #[must_use]
    pub fn standard(json: bool) -> Self {
        Self { json, width: terminal_width() }
    }

    /// True if results are JSON.
    #[must_use]
    pub const fn is_json(self) -> bool {
        self.json
    }

    /// Prints an object: as JSON, or as what `text` makes of it.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn object(self, value: &Value, text: impl FnOnce(&Value) -> String) -> Result<(), CliError> {
        if self.json { self.json_line(value) } else { self.text(&text(value)) }
    }

    /// Prints a list: as JSON, or as a table.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn list(self, list: &Value, columns: &[Column]) -> Result<(), CliError> {
        if self.json {
            return self.json_line(list);
        }
        let items = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        self.text(&self.table(items, columns))
    }

    /// Prints lines as they are.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn text(self, text: &str) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        write!(out, "{text}{end}").and_then(|()| out.flush()).map_err(CliError::Output)
    }

    fn json_line(self, value: &Value) -> Result<(), CliError> {
        self.text(&format!("{value:#}"))
    }

    /// A table of `items`; the headings alone when there are none.
    #[must_use]
    pub fn table(self, items: &[Value], columns: &[Column]) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table.set_header(columns.iter().map(|(heading, _)| heading.to_uppercase()));
        for item in items {
            table.add_row(columns.iter().map(|(_, place)| cell(item.pointer(place), place)));
        }
        unindented(&table)
    }

    /// An object as lines of name and value; what is inside it by the way to it.
    #[must_use]
    pub fn details(self, value: &Value) -> String {
        let mut rows = Vec::new();
        flatten(String::new(), value, &mut rows);
        let mut table = Table::new();
        table.load_style(NOTHING);
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table.add_rows(
            rows.into_iter().filter(|(name, _)| name != "format").map(|(name, value)| [name, value]),
        );
        unindented(&table)
    }
}

/// A list as the server's, with all pages in one.
#[must_use]
pub fn listing(items: Vec<Value>, next: Option<String>) -> Value {
    json!({"format": 1, "items": items, "next": next})
}

/// The table's lines without the space before the first column and the ones at the ends.
fn unindented(table: &Table) -> String {
    let lines =
        table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n");
    lines.collect()
}

fn flatten(name: String, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (field, value) in fields {
                let field = printable(field, 200);
                let name = if name.is_empty() { field } else { format!("{name}.{field}") };
                flatten(name, value, rows);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (number, item) in items.iter().enumerate() {
                flatten(format!("{name}[{number}]"), item, rows);
            }
        }
        value => {
            let shown = cell(Some(value), &name);
            rows.push((name, shown));
        }
    }
}

/// One value as text. `place` tells times apart from other numbers: theirs end in `at` or `seen`.
fn cell(value: Option<&Value>, place: &str) -> String {
    match value {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) if text.is_empty() => "-".into(),
        Some(Value::String(text)) => printable(text, CELL),
        Some(Value::Bool(true)) => "yes".into(),
        Some(Value::Bool(false)) => "no".into(),
        Some(Value::Number(number)) => {
            let time = is_time(place).then(|| number.as_i64().and_then(time)).flatten();
            time.unwrap_or_else(|| number.to_string())
        }
        Some(Value::Array(items)) if items.is_empty() => "-".into(),
        Some(Value::Array(items)) => {
            let shown: Vec<_> = items.iter().map(|item| cell(Some(item), "")).collect();
            printable(&shown.join(", "), CELL)
        }
        Some(Value::Object(fields)) if fields.is_empty() => "-".into(),
        Some(Value::Object(fields)) => {
            let shown: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name}={}", cell(Some(value), name))).collect();
            printable(&shown.join(" "), CELL)
        }
    }
}

fn is_time(place: &str) -> bool {
    let name = place.rsplit(['/', '.']).next().unwrap_or(place);
    name == "at" || name == "clock" || name.ends_with("_at") || name.ends_with("_seen")
}

/// Seconds (or, where they are too many, milliseconds) since 1970 as a date that sorts.
#[must_use]
pub fn time(number: i64) -> Option<String> {
    const FAR: i64 = 100_000_000_000;
    let timestamp =
        if number > FAR { Timestamp::from_millisecond(number) } else { Timestamp::from_second(number) };
    timestamp.ok().map(|timestamp| timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// What may be sent to a terminal, cut to `limit` characters: no control characters, nothing that turns the line around.
#[must_use]
pub fn printable(text: &str, limit: usize) -> String {
    let shown = |letter: char| match letter {
        '\t' | '\n' | '\r' => ' ',
        letter if letter.is_control() => '\u{fffd}',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        letter => letter,
    };
    let mut letters = text.chars().map(shown);
    let mut cut: String = letters.by_ref().take(limit).collect();
    if letters.next().is_some() {
        cut.push('…');
    }
    cut
}

/// Columns of the terminal that standard output is; `None` when it is none.
fn terminal_width() -> Option<u16> {
    let out = std::io::stdout();
    if !out.is_terminal() {
        return None;
    }
    // A terminal that does not know its width says 0.
    let width = rustix::termios::tcgetwinsize(&out).map(|size| size.ws_col).ok().filter(|width| *width > 0);
    Some(width.unwrap_or(80).max(20))
}

/// Says something beside the result.
pub fn note(text: &str) {
    // Nobody to tell it to if this fails.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[("name", "/name"), ("last seen", "/last_seen"), ("match", "/match")];

    fn output(width: Option<u16>) -> Output {
        Output { json: false, width }
    }

    #[test]
    fn a_table_has_a_heading_and_a_line_per_item() {
        let items = [
            json!({"name": "web-1", "last_seen": 0, "match": ["web-*", "db-*"]}),
            json!({"name": "db", "last_seen": null, "match": []}),
        ];
        assert_eq!(
            output(None).table(&items, COLUMNS),
            "NAME   LAST SEEN             MATCH\nweb-1  1970-01-01T00:00:00Z  web-*, db-*\ndb     -                     -\n"
        );
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let items = [json!({"name": "n".repeat(100), "last_seen": 1, "match": ["m".repeat(100)]})];
        for width in [20, 60, 80] {
            let table = output(Some(width)).table(&items, COLUMNS);
            let widest = table.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= usize::from(width), "{widest} > {width}\n{table}");
        }
    }

    #[test]
    fn what_comes_from_a_machine_cannot_steer_the_terminal() {
        let items = [json!({"name": "a\u{1b}[2Jb\r\nc", "last_seen": 1, "match": "\u{202e}x"})];
        let table = output(None).table(&items, COLUMNS);
        assert!(
            !table.contains('\u{1b}') && !table.contains('\r') && !table.contains('\u{202e}'),
            "{table:?}"
        );
        assert_eq!(table.lines().count(), 2);
    }

    #[test]
    fn a_long_cell_is_cut() {
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("abc", 3), "abc");
    }

    #[test]
    fn details_show_the_way_to_what_is_inside() {
        let value = json!({"format": 1, "name": "web-1", "last_run": {"at": 60, "summary": {"changed": 2}},
            "traits": {"os": {"family": "debian"}}, "reasons": ["a", "b"]});
        let text = output(None).details(&value);
        let lines: Vec<_> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "name web-1",
                "last_run.at 1970-01-01T00:01:00Z",
                "last_run.summary.changed 2",
                "traits.os.family debian",
                "reasons a, b"
            ]
        );
    }

    #[test]
    fn times_are_told_from_numbers_by_their_name() {
        assert_eq!(cell(Some(&json!(1)), "/issued_at"), "1970-01-01T00:00:01Z");
        assert_eq!(cell(Some(&json!(1_764_000_000_000_i64)), "/at"), "2025-11-24T16:00:00Z");
        assert_eq!(cell(Some(&json!(1)), "/format"), "1");
        assert_eq!(cell(Some(&json!(i64::MAX)), "/at"), i64::MAX.to_string());
    }
}
