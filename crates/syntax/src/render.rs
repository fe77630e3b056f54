//! Diagnostics for people (text with the line and a caret) and for programs (JSON). One diagnostic is one line to `grep`, whatever follows it.

use crate::{Diagnostic, Severity, Tree, TreeFile};
use std::fmt::Write as _;
use vigo_base::Span;

/// The format number of the JSON.
const FORMAT: u32 = 1;
/// How much of a source line is shown.
const SHOWN: usize = 120;

/// All diagnostics as text, each with its source line.
#[must_use]
pub fn render_text(diagnostics: &[Diagnostic], tree: &Tree) -> String {
    let files = tree.by_number();
    let line = |span: Span| (span.file, span.position.line);
    let hidden: Vec<(u32, u32)> = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.code.hides_source())
        .map(|diagnostic| line(diagnostic.span))
        .collect();
    let mut out = String::new();
    for diagnostic in diagnostics {
        let severity = diagnostic.severity.as_str();
        let place = place(&files, diagnostic.span);
        let _ = writeln!(out, "{place}{severity}[{}]: {}", diagnostic.code, printable(&diagnostic.message));
        if !hidden.contains(&line(diagnostic.span)) {
            source_line(&mut out, &files, diagnostic.span);
        }
        for related in &diagnostic.related {
            let place = self::place(&files, related.span);
            let _ = writeln!(out, "  {place}{}", printable(&related.message));
        }
        if !diagnostic.help.is_empty() {
            let _ = writeln!(out, "help: {}", printable(&diagnostic.help));
        }
    }
    out
}

/// All diagnostics as JSON: `{format, diagnostics: [..]}`.
#[must_use]
pub fn render_json(diagnostics: &[Diagnostic], tree: &Tree) -> String {
    // Strings and numbers only: writing them cannot fail.
    serde_json::to_string(&Report::new(diagnostics, tree)).unwrap_or_default()
}

fn file<'a>(files: &[TreeFile<'a>], span: Span) -> Option<TreeFile<'a>> {
    files.get(usize::try_from(span.file).ok()?).copied()
}

fn place(files: &[TreeFile<'_>], span: Span) -> String {
    file(files, span).map_or_else(String::new, |file| match span.position.line {
        0 => format!("{}: ", file.path),
        line => format!("{}:{line}:{}: ", file.path, span.position.column),
    })
}

fn source_line(out: &mut String, files: &[TreeFile<'_>], span: Span) {
    let Some(text) = file(files, span).and_then(|file| std::str::from_utf8(file.bytes).ok()) else { return };
    let (Ok(start), Ok(end)) = (usize::try_from(span.start), usize::try_from(span.end)) else { return };
    let (Some(before), Some(after)) = (text.get(..start), text.get(start..)) else { return };
    if span.position.line == 0 {
        return;
    }
    let head = before.rsplit_once('\n').map_or(before, |(_, last)| last);
    let tail = after.find('\n').and_then(|end| after.get(..end)).unwrap_or(after);
    let marked = tail.get(..end.saturating_sub(start)).unwrap_or(tail);
    let (head, skipped) = last_letters(head.trim_start_matches('\u{feff}'), SHOWN / 2);
    let tail: String = tail.trim_end().chars().take(SHOWN).collect();
    let gutter = span.position.line.to_string();
    let dots = if skipped { "…" } else { "" };
    let _ = writeln!(out, " {gutter} | {dots}{}{}", printable(head), printable(&tail));
    let indent = head.chars().count() + usize::from(skipped);
    let carets = marked.chars().count().clamp(1, tail.chars().count().max(1));
    let _ = writeln!(out, " {:1$} | {2:3$}{4}", "", gutter.len(), "", indent, "^".repeat(carets));
}

/// The last `count` characters, and whether that is less than all.
fn last_letters(text: &str, count: usize) -> (&str, bool) {
    let cut = text.char_indices().rev().nth(count.saturating_sub(1)).map_or(0, |(at, _)| at);
    (text.get(cut..).unwrap_or(text), cut > 0)
}

/// What can be sent to a terminal: a policy is not always one's own.
fn printable(text: &str) -> String {
    let foreign = |letter: char| {
        letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let shown = |letter: char| match letter {
        '\t' => ' ',
        letter if foreign(letter) => '\u{fffd}',
        letter => letter,
    };
    text.chars().map(shown).collect()
}

/// Diagnostics as they cross a program's border.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// The format number.
    pub format: u32,
    /// In the order of files and places.
    pub diagnostics: Vec<DiagnosticReport>,
}

/// One diagnostic of a [`Report`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DiagnosticReport {
    /// `V001` and so on.
    pub code: String,
    /// How bad.
    pub severity: Severity,
    /// The path below the stacks; empty when it concerns no file.
    pub file: String,
    /// Line, from 1; 0 when it concerns the whole file.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub help: String,
    /// Other places.
    pub related: Vec<RelatedReport>,
}

/// Another place of a [`DiagnosticReport`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RelatedReport {
    /// The path below the stacks.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// What is there.
    pub message: String,
}

impl Report {
    /// The diagnostics with the paths of `tree`.
    #[must_use]
    pub fn new(diagnostics: &[Diagnostic], tree: &Tree) -> Self {
        let files = tree.by_number();
        let path = |span| file(&files, span).map_or_else(String::new, |file| file.path.to_owned());
        let one = |diagnostic: &Diagnostic| DiagnosticReport {
            code: diagnostic.code.number().into(),
            severity: diagnostic.severity,
            file: path(diagnostic.span),
            line: diagnostic.span.position.line,
            column: diagnostic.span.position.column,
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
            related: diagnostic
                .related
                .iter()
                .map(|related| RelatedReport {
                    file: path(related.span),
                    line: related.span.position.line,
                    message: related.message.clone(),
                })
                .collect(),
        };
        Self { format: FORMAT, diagnostics: diagnostics.iter().map(one).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn shown(source: &str) -> (String, Report) {
        let mut tree = Tree::default();
        tree.insert("a.vgo", source).unwrap();
        let parsed = parse(0, source.as_bytes());
        (render_text(&parsed.diagnostics, &tree), Report::new(&parsed.diagnostics, &tree))
    }

    #[test]
    fn text_has_the_place_the_line_a_caret_and_help() {
        let (text, report) = shown("a: 1\nä: 2\n  \"ä\": 3\n".replace("  \"", "\"").as_str());
        assert_eq!(
            text,
            "a.vgo:3:1: error[V010]: the key `ä` stands twice in one map\n 3 | \"ä\": 3\n   | ^^^\n  a.vgo:2:1: first here\nhelp: remove one of the two: maps are not merged\n"
        );
        assert_eq!((report.diagnostics[0].line, report.diagnostics[0].related[0].line), (3, 2));
    }

    #[test]
    fn what_is_not_printable_does_not_reach_the_terminal() {
        let (text, _) = shown("a: \u{1b}[31m\n");
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert!(text.starts_with("a.vgo:1:4: error[V015]"), "{text}");
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let (text, _) = shown(&format!("{}: !tag {}\n", "k".repeat(300), "v".repeat(300)));
        let line = text.lines().nth(1).unwrap();
        assert!(line.chars().count() < 200 && line.starts_with(" 1 | …kkk"), "{line}");
        assert_eq!(text.lines().nth(2).unwrap().find('^'), line.replace('…', ".").find('!'));
    }

    #[test]
    fn json_reads_back() {
        let (_, report) = shown("a: 1\na: 2\n");
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        assert!(text.starts_with(r#"{"format":1,"diagnostics":[{"code":"V010","severity":"error","file":"a.vgo","line":2,"column":1,"#), "{text}");
    }
}
