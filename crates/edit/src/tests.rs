//! What holds for every edit, and examples of each.

use crate::{
    BlockEdit, Edit, EditError, IniEdit, LineEdit, Operand, Part, Pattern, Position, Region, ReplaceEdit,
};
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

fn block(there: &str, operand: &str, absent: bool) -> Result<Option<String>, EditError> {
    edited(&Edit::Block(BlockEdit { begin: "# B".into(), end: "# E".into(), absent }), there, operand)
}

#[test]
fn a_block_stands_between_its_markers() {
    let new = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(block("a", "x\ny", false), new("a\n# B\nx\ny\n# E\n"));
    assert_eq!(block("a\n# B\nold\n# E\nz\n", "x\n", false), new("a\n# B\nx\n# E\nz\n"));
    assert_eq!(block("a\n# B\nx\n# E\nz\n", "x\n", false), Ok(None));
    assert_eq!(block("a\r\n", "x", false), new("a\r\n# B\r\nx\r\n# E\r\n"));
    assert_eq!(block("a\n# B\nx\n# E\nz\n", "", true), new("a\nz\n"));
    assert_eq!(block("a\n", "", true), Ok(None));
    assert_eq!(block("# B\n", "x", false), Err(EditError::Markers));
    assert_eq!(block("# E\n# B\n", "x", false), Err(EditError::Markers));
    assert_eq!(block("# B\n# B\n# E\n", "x", false), Err(EditError::Several { count: 2, lines: vec![1, 2] }));
    assert_eq!(block("", "x\n# E\n", false), Err(EditError::MarkerInBlock));
}

#[test]
fn a_replacement_knows_groups_in_the_policys_text_only() {
    let edit = |source: &str, most| {
        Edit::Replace(ReplaceEdit { pattern: pattern(source), region: Region::default(), most })
    };
    let apply = |edit: &Edit, there: &str, parts: &[Part<'_>]| edit.apply(there, &Operand::new(parts));
    let ports = edit(r"port=(\d+)", None);
    let literal = [Part::Literal("port=1${1}")];
    assert_eq!(apply(&ports, "port=2", &literal), Err(EditError::Unstable));
    let fixed = [Part::Literal("port="), Part::Value("9$1")];
    assert_eq!(
        apply(&edit("port=.*", None), "port=2\nport=3\n", &fixed),
        Ok(Some("port=9$1\nport=9$1\n".into()))
    );
    assert_eq!(apply(&edit("a(b)c", None), "abc abc", &[Part::Literal("$1")]), Ok(Some("b b".into())));
    assert_eq!(
        apply(&edit("port=.*", Some(1)), "port=2\nport=3\n", &fixed),
        Ok(Some("port=9$1\nport=3\n".into()))
    );
    assert_eq!(apply(&edit("z", None), "abc", &fixed), Ok(None));
}

fn ini(section: &str, there: &str, value: &str) -> Result<Option<String>, EditError> {
    let edit = IniEdit { section: section.into(), key: "k".into(), separator: " = ".into(), absent: false };
    edited(&Edit::Ini(edit), there, value)
}

#[test]
fn a_key_of_an_ini_file_keeps_everything_around_it() {
    let new = |text: &str| Ok(Some(text.to_owned()));
    assert_eq!(ini("s", "", "1"), new("[s]\nk = 1\n"));
    assert_eq!(ini("", "", "1"), new("k = 1\n"));
    assert_eq!(ini("", "[s]\nk = 2\n", "1"), new("k = 1\n[s]\nk = 2\n"));
    assert_eq!(ini("s", "a\n", "1"), new("a\n\n[s]\nk = 1\n"));
    assert_eq!(ini("s", "[s]\n; k = 0\n  k:2\n\n[t]\nk=3\n", "1"), new("[s]\n; k = 0\n  k:1\n\n[t]\nk=3\n"));
    assert_eq!(ini("s", "[s]\nkk = 2\n\n[t]\n", "1"), new("[s]\nkk = 2\nk = 1\n\n[t]\n"));
    assert_eq!(ini("s", "[s] ; here\nk=1\n", "1"), Ok(None));
    assert_eq!(ini("s", "[s]\nk=1\nk=2\n", "1"), Err(EditError::Several { count: 2, lines: vec![2, 3] }));
    assert_eq!(ini("s", "", "1\n2"), Err(EditError::SeveralLines));
    let absent = IniEdit { section: "s".into(), key: "k".into(), separator: "=".into(), absent: true };
    assert_eq!(edited(&Edit::Ini(absent), "[s]\nk=1\nx\nk=2\n[t]\nk=3\n", ""), new("[s]\nx\n[t]\nk=3\n"));
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
    let region = (some.clone(), some.clone()).prop_map(|(start, end)| Region { start, end });
    let word = prop::sample::select(vec!["a", "b", "x"]);
    prop_oneof![
        (some, position, region.clone(), any::<bool>()).prop_map(|(pattern, position, region, absent)| {
            Edit::Line(LineEdit { pattern, position, region, absent })
        }),
        any::<bool>().prop_map(|absent| Edit::Block(BlockEdit {
            begin: "a".into(),
            end: "b".into(),
            absent
        })),
        (prop::sample::select(vec!["^a", "b+", "[xy]", "(?m)^$"]), region, prop::option::of(0..3_usize))
            .prop_map(|(source, region, most)| Edit::Replace(ReplaceEdit {
                pattern: pattern(source),
                region,
                most
            })),
        (word.clone(), word, any::<bool>()).prop_map(|(section, key, absent)| {
            let (section, key) = (section.to_owned(), key.to_owned());
            Edit::Ini(IniEdit { section, key, separator: "=".into(), absent })
        }),
    ]
}

proptest! {
    #[test]
    fn an_edit_comes_to_rest(edit in any_edit(), there in "[abxy=\\[\\]\n]{0,40}", operand in "[abxy]{0,4}") {
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
