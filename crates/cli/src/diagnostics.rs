//! Diagnostics as a person reads them: place, line, caret, help. The server sends places; the lines are in the tree that was sent to it.

use crate::output::printable;
use std::fmt::Write as _;
use vigo_syntax::{Code, DiagnosticReport, Severity, Tree};

/// How much of a source line is shown.
const SHOWN: usize = 120;

/// How many of them are errors.
#[must_use]
pub fn errors(diagnostics: &[DiagnosticReport]) -> usize {
    diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
}

/// All diagnostics as text, each with its source line.
#[must_use]
pub fn render(diagnostics: &[DiagnosticReport], tree: &Tree) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let place = match (diagnostic.file.as_str(), diagnostic.line) {
            ("", _) => String::new(),
            (file, 0) => format!("{}: ", printable(file, 1024)),
            (file, line) => format!("{}:{line}:{}: ", printable(file, 1024), diagnostic.column),
        };
        let (severity, code) = (diagnostic.severity.as_str(), printable(&diagnostic.code, 20));
        let _ = writeln!(out, "{place}{severity}[{code}]: {}", printable(&diagnostic.message, 4096));
        if !Code::from_number(&diagnostic.code).is_some_and(Code::hides_source) {
            source_line(&mut out, diagnostic, tree);
        }
        for related in &diagnostic.related {
            let (file, message) = (printable(&related.file, 1024), printable(&related.message, 4096));
            let _ = writeln!(out, "  {file}:{}: {message}", related.line);
        }
        if !diagnostic.help.is_empty() {
            let _ = writeln!(out, "help: {}", printable(&diagnostic.help, 4096));
        }
    }
    out
}

fn source_line(out: &mut String, diagnostic: &DiagnosticReport, tree: &Tree) {
    let index = usize::try_from(diagnostic.line).ok().and_then(|line| line.checked_sub(1));
    let text = tree.get(&diagnostic.file).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let line = text.zip(index).and_then(|(text, index)| text.lines().nth(index));
    let Some(line) = line else { return };
    let column = usize::try_from(diagnostic.column).unwrap_or(1).max(1);
    let skipped = column.saturating_sub(SHOWN / 2 + 1);
    let line: String = line.trim_start_matches('\u{feff}').chars().skip(skipped).collect();
    let (gutter, dots) = (diagnostic.line.to_string(), if skipped > 0 { "…" } else { "" });
    let indent = column - 1 - skipped + usize::from(skipped > 0);
    let _ = writeln!(out, " {gutter} | {dots}{}", printable(line.trim_end(), SHOWN));
    let _ = writeln!(out, " {:1$} | {2:3$}^", "", gutter.len(), "", indent);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(line: u32, column: u32) -> DiagnosticReport {
        DiagnosticReport {
            code: "V010".into(),
            severity: Severity::Error,
            file: "a.vgo".into(),
            line,
            column,
            message: "the key `ä` stands twice".into(),
            help: "remove one".into(),
            related: Vec::new(),
        }
    }

    fn shown(source: &str, diagnostic: DiagnosticReport) -> String {
        let mut tree = Tree::default();
        tree.insert("a.vgo", source).unwrap();
        render(&[diagnostic], &tree)
    }

    #[test]
    fn a_diagnostic_shows_its_line_and_a_caret() {
        assert_eq!(
            shown("a: 1\n ä: 2\n", diagnostic(2, 2)),
            "a.vgo:2:2: error[V010]: the key `ä` stands twice\n 2 |  ä: 2\n   |  ^\nhelp: remove one\n"
        );
    }

    #[test]
    fn a_place_that_the_tree_does_not_have_shows_no_line() {
        for (line, column) in [(0, 0), (9, 1), (u32::MAX, u32::MAX)] {
            assert_eq!(shown("a: 1\n", diagnostic(line, column)).lines().count(), 2);
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = shown(&"x".repeat(500), diagnostic(1, 300));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].chars().count() < 140, "{text}");
        assert_eq!(lines[2].chars().last(), Some('^'));
    }

    #[test]
    fn what_a_server_sends_cannot_steer_the_terminal() {
        let evil =
            DiagnosticReport { message: "\u{1b}[2J".into(), file: "\u{1b}x".into(), ..diagnostic(1, 1) };
        assert!(!shown("a\u{1b}b", evil).contains('\u{1b}'));
    }
}
