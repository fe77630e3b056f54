//! What holds for every edit, and examples of each.

use crate::{Edit, EditError, LineEdit, Operand, Part, Pattern, Position, Region};
use proptest::prelude::*;

fn pattern(source: &str) -> Pattern {
    Pattern::new(source).unwrap()
}

fn edited(edit: &Edit, there: &str, operand: &str) -> Result<Option<String>, EditError> {
    edit.apply(there, &Operand::new(&[Part::Value(operand)]))
}

fn line(edit: LineEdit, there: &str, operand: &str) -> String {
    edited(&Edit::Line(edit), there, operand).unwrap().unwrap_or_else(|| "unchanged".to_owned())
}

#[test]
fn a_line_is_put_at_the_end_or_where_its_position_says() {
    let at = |position| LineEdit { position, ..LineEdit::default() };
    assert_eq!(line(at(Position::End), "", "x"), "x\n");
    assert_eq!(line(at(Position::End), "a", "x"), "a\nx\n");
    assert_eq!(line(at(Position::End), "a\r\nb\r\n", "x"), "a\r\nb\r\nx\r\n");
    assert_eq!(line(at(Position::Begin), "a\n", "x"), "x\na\n");
    assert_eq!(line(at(Position::After(pattern("^a"))), "a1\na2\nb\n", "x"), "a1\na2\nx\nb\n");
    assert_eq!(line(at(Position::Before(pattern("^a"))), "b\na1\na2\n", "x"), "b\nx\na1\na2\n");
    assert_eq!(line(at(Position::Before(pattern("^z"))), "b\n", "x"), "b\nx\n");
    assert_eq!(line(at(Position::End), "a\nx\nb", "x"), "unchanged");
}

#[test]
fn the_line_that_matches_becomes_the_wanted_one_and_two_are_an_error() {
    let edit = || LineEdit { pattern: Some(pattern("^#?Port ")), ..LineEdit::default() };
    assert_eq!(line(edit(), "a\n#Port 22\nb\n", "Port 2222"), "a\nPort 2222\nb\n");
    assert_eq!(line(edit(), "a\nPort 2222\nb\n", "Port 2222"), "unchanged");
    let two = edited(&Edit::Line(edit()), "Port 1\nPort 2\n", "Port 3").unwrap_err();
    assert_eq!(two, EditError::Several { count: 2, lines: vec![1, 2] });
    // The line is not what the pattern looks for, so it would be put there again and again.
    let moving = Edit::Line(LineEdit { pattern: Some(pattern("^b")), ..LineEdit::default() });
    assert_eq!(edited(&moving, "a\nb\n", "a"), Err(EditError::Several { count: 2, lines: vec![1, 2] }));
}

#[test]
fn a_region_bounds_where_a_line_is_looked_for() {
    let region = || Region { start: Some(pattern(r"^\[b\]")), end: Some(pattern(r"^\[")) };
    let edit = || LineEdit { region: region(), ..LineEdit::default() };
    assert_eq!(line(edit(), "[a]\nx\n[b]\ny\n[c]\n", "x"), "[a]\nx\n[b]\ny\nx\n[c]\n");
    let missing = edited(&Edit::Line(edit()), "[a]\n", "x").unwrap_err();
    assert!(missing.to_string().contains("begin the region"), "{missing}");
    let absent = LineEdit { absent: true, ..edit() };
    assert_eq!(line(absent, "[a]\n", "x"), "unchanged");
}

#[test]
fn an_absent_line_is_not_there_any_more_however_often_it_was() {
    let edit = LineEdit { absent: true, pattern: Some(pattern("^y")), ..LineEdit::default() };
    assert_eq!(line(edit.clone(), "x\na\ny1\nx\n", "x"), "a\n");
    assert_eq!(line(edit, "a\n", "x"), "unchanged");
}

#[test]
fn a_line_is_one_line() {
    let edit = Edit::Line(LineEdit::default());
    assert_eq!(edited(&edit, "", "a\nb"), Err(EditError::SeveralLines));
}

#[test]
fn a_pattern_is_bounded() {
    assert!(Pattern::new("(").is_err());
    assert!(Pattern::new(&"a".repeat(2000)).is_err());
    assert!(Pattern::new("((a{1000}){1000}){1000}").is_err());
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let source = prop::sample::select(vec!["^a", "b$", "[xy]+", "a|b", "^$"]);
    let some = prop::option::of(source.clone().prop_map(pattern));
    let position = prop_oneof![
        Just(Position::End),
        Just(Position::Begin),
        source.clone().prop_map(|source| Position::After(pattern(source))),
        source.prop_map(|source| Position::Before(pattern(source))),
    ];
    (some.clone(), position, some.clone(), some, any::<bool>()).prop_map(
        |(pattern, position, start, end, absent)| {
            Edit::Line(LineEdit { pattern, position, region: Region { start, end }, absent })
        },
    )
}

proptest! {
    #[test]
    fn an_edit_comes_to_rest(edit in any_edit(), there in "[abxy\n]{0,40}", operand in "[abxy]{0,4}") {
        if let Ok(Some(changed)) = edited(&edit, &there, &operand) {
            prop_assert_ne!(&changed, &there);
            prop_assert_eq!(edited(&edit, &changed, &operand), Ok(None));
        }
    }

    #[test]
    fn an_edit_is_the_same_after_a_pipe(edit in any_edit()) {
        let (kind, arguments) = edit.to_arguments();
        prop_assert_eq!(Edit::from_arguments(kind, arguments), Ok(edit));
    }
}
