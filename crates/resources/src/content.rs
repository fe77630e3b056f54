//! The text of a file: indented as asked, and shown line by line.

use vigo_base::{Piece, Pieces};
use vigo_resource::{Context, DiffLine, DiffSign};

/// How many lines of a new file a diff shows.
const SHOWN_LINES: usize = 1_000;

/// Every line that is not empty begins with that many blanks. What a secret holds is not looked at: only its first line moves.
pub(crate) fn indent(content: Pieces, columns: usize) -> Pieces {
    if columns == 0 {
        return content;
    }
    let blanks = " ".repeat(columns);
    let mut at_start = true;
    let mut indented = Pieces::default();
    for piece in content.as_slice() {
        match piece {
            Piece::Slot(slot) => {
                if at_start {
                    indented.push_literal(blanks.as_str());
                }
                at_start = false;
                indented.push_slot(slot.clone());
            }
            Piece::Literal(text) => {
                for line in text.split_inclusive('\n') {
                    if at_start && line != "\n" {
                        indented.push_literal(blanks.as_str());
                    }
                    indented.push_literal(line);
                    at_start = line.ends_with('\n');
                }
            }
        }
    }
    indented
}

/// The lines of a file that was not there, when somebody wants to see them.
pub(crate) fn as_new(content: &Pieces, context: &Context<'_>) -> Vec<DiffLine> {
    if !context.diff {
        return Vec::new();
    }
    let text = context.masked(content);
    let mut lines = text.lines();
    let mut shown: Vec<DiffLine> =
        lines.by_ref().take(SHOWN_LINES).map(|line| DiffLine::new(DiffSign::Added, line)).collect();
    let left = lines.count();
    if left > 0 {
        shown.push(DiffLine::new(DiffSign::Note, format!("{left} more lines")));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use vigo_base::Slot;

    #[test]
    fn lines_are_indented_and_empty_ones_stay_empty() {
        assert_eq!(indent(Pieces::literal("a\n\nb\n"), 2), Pieces::literal("  a\n\n  b\n"));
        assert_eq!(indent(Pieces::literal("a\n"), 0), Pieces::literal("a\n"));
    }

    #[test]
    fn a_secret_at_the_start_of_a_line_is_indented_and_one_in_a_line_is_not() {
        let slot = Slot { path: "web/token".parse().unwrap(), filters: Vec::new() };
        let mut pieces = Pieces::default();
        pieces.push_slot(slot.clone());
        pieces.push_literal("\nx ");
        pieces.push_slot(slot);
        assert_eq!(indent(pieces, 1).to_string(), " ‹secret web/token›\n x ‹secret web/token›");
    }
}
