//! Files that somebody else wrote, as the hand edits them.

use crate::Target;
use vigo_edit::{
    BlockEdit, Edit, EditError, Format, IniEdit, Key, LineEdit, Operand, Part, Pattern, Position,
    ReplaceEdit, ValueEdit,
};

pub const TARGETS: &[Target] = &[
    Target { name: "edit_lines", run: lines, seeds: line_seeds },
    Target { name: "edit_values", run: values, seeds: value_seeds },
];

/// Tries an edit; what it makes stays as it is, and no error repeats the file.
fn tried(edit: &Edit, there: &str, operand: &str) -> Option<String> {
    let operand = [Part::Literal(operand)];
    match edit.apply(there, &Operand::new(&operand)) {
        Ok(edited) => {
            let edited = edited.as_deref().unwrap_or(there);
            assert!(edit.apply(edited, &Operand::new(&operand)) == Ok(None), "it does not come to rest");
            let (kind, arguments) = edit.to_arguments();
            assert!(Edit::from_arguments(kind, arguments).as_ref() == Ok(edit), "it crosses a pipe changed");
            Some(edited.to_owned())
        }
        Err(error) => {
            assert!(!error.to_string().contains(MARK), "an error repeats the file");
            None
        }
    }
}

/// Stands in the seeds and is no word of an error.
const MARK: &str = "QWXZ";

fn lines(bytes: &[u8]) {
    let Ok(there) = std::str::from_utf8(bytes) else { return };
    let pattern = Pattern::new("^(#|x)").ok();
    let line = LineEdit { pattern: pattern.clone(), position: Position::Begin, ..LineEdit::default() };
    let replace =
        pattern.map(|pattern| ReplaceEdit { pattern, region: vigo_edit::Region::default(), most: None });
    let edits = [
        Edit::Line(LineEdit::default()),
        Edit::Line(line),
        Edit::Block(BlockEdit { begin: "# B".into(), end: "# E".into(), absent: false }),
        Edit::Block(BlockEdit { begin: "# B".into(), end: "# E".into(), absent: true }),
        Edit::Ini(IniEdit { section: "a".into(), key: "k".into(), separator: "=".into(), absent: false }),
        Edit::Ini(IniEdit { section: String::new(), key: "k".into(), separator: "=".into(), absent: true }),
    ];
    for edit in edits.iter().chain(replace.map(Edit::Replace).iter()) {
        tried(edit, there, "k=1");
    }
}

fn line_seeds() -> Vec<Vec<u8>> {
    ["# QWXZ\nx = 1\n[a]\nk = 2\n", "a\r\n# B\r\nQWXZ\r\n# E\r\n", "k=0\n[a]\nk : QWXZ ; c\n[b]", "", "x\nx"]
        .map(|text| text.into())
        .into()
}

fn values(bytes: &[u8]) {
    let Ok(there) = std::str::from_utf8(bytes) else { return };
    for format in [Format::Json, Format::Yaml, Format::Toml] {
        for (key, absent) in [("a", false), ("a", true), ("b.c.0", false), ("b.c", true), ("d.e", false)] {
            let Ok(key) = Key::new(key) else { continue };
            let edit = Edit::Value(ValueEdit { format, key, absent });
            tried(&edit, there, "{\"x\": [1, \"y\"], \"z\": null}");
            let Some(edited) = tried(&edit, there, "\"text: # 'of\\nlines\"") else { continue };
            // It is one that can be read, and so can be changed again.
            let again = edit.apply(&edited, &Operand::new(&[Part::Literal("true")]));
            assert!(!matches!(again, Err(EditError::Malformed { .. })), "it made what it cannot read");
        }
    }
}

fn value_seeds() -> Vec<Vec<u8>> {
    [
        "{\n  \"a\": \"QWXZ\",\n  \"b\": {\"c\": [1, 2]}\n}\n",
        "# QWXZ\na: 1 # one\nb:\n  c:\n  - &x 1\n  - e: |\n      blk\n      two\n    f: {g: [1, *x], h: }\nd: !!str 5\n",
        "# QWXZ\na = 1 # one\n\n[b]\nc = [\n  1,\n  2, # two\n]\n\n[[t]]\nn = 1979-05-27\n\n[[t]]\nn = 2\n",
        "{a: [1, {b: c}], \"d\": 'e'}",
        "",
    ]
    .map(|text| text.into())
    .into()
}
