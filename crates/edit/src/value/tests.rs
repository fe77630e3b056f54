//! What each format makes of a change, and what holds for all of them.

use super::*;
use crate::Edit;
use proptest::prelude::*;

fn edit(format: Format, key: &str, absent: bool) -> Edit {
    Edit::Value(ValueEdit { format, key: Key::new(key).unwrap(), absent })
}

fn set(format: Format, there: &str, key: &str, json: &str) -> String {
    match edit(format, key, false).apply(there, &Operand::new(&[Part::Literal(json)])) {
        Ok(edited) => edited.unwrap_or_else(|| "unchanged".to_owned()),
        Err(error) => format!("error: {error}"),
    }
}

fn unset(format: Format, there: &str, key: &str) -> String {
    match edit(format, key, true).apply(there, &Operand::new(&[])) {
        Ok(edited) => edited.unwrap_or_else(|| "unchanged".to_owned()),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn json_keeps_what_is_around() {
    let json = |there: &str, key: &str, value: &str| set(Format::Json, there, key, value);
    let there = "{\n    \"a\" : 1,\n    \"b\": {\"c\": [1, 2]}\n}\n";
    assert_eq!(json(there, "a", "2"), there.replace(": 1", ": 2"));
    assert_eq!(json(there, "a", "1"), "unchanged");
    assert_eq!(json(there, "b.c.1", "\"x\""), there.replace("[1, 2]", "[1, \"x\"]"));
    assert_eq!(json(there, "b.c.2", "3"), there.replace("[1, 2]", "[1, 2, 3]"));
    assert_eq!(json(there, "b.d", "{\"e\":[]}"), there.replace("2]}", "2], \"d\": {\"e\": []}}"));
    assert_eq!(
        json(there, "d.e", "{\"f\":[1]}"),
        there.replace(
            "]}\n}",
            "]},\n    \"d\": {\n        \"e\": {\n            \"f\": [\n                1\n            ]\n        }\n    }\n}"
        )
    );
    assert_eq!(json("", "a.b", "true"), "{\n  \"a\": {\n    \"b\": true\n  }\n}\n");
    assert_eq!(json("{}", "a", "1"), "{\n  \"a\": 1\n}");
    assert_eq!(json("{\r\n\t\"a\": null\r\n}", "a.b", "1"), "{\r\n\t\"a\": {\r\n\t\t\"b\": 1\r\n\t}\r\n}");
    assert_eq!(json("[{\"a\":1}]", "0.b", "2"), "[{\"a\":1, \"b\":2}]");
}

#[test]
fn a_member_of_json_goes_with_its_comma() {
    let json = |there: &str, key: &str| unset(Format::Json, there, key);
    let there = "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}\n";
    assert_eq!(json(there, "a"), "{\n  \"b\": 2,\n  \"c\": 3\n}\n");
    assert_eq!(json(there, "b"), "{\n  \"a\": 1,\n  \"c\": 3\n}\n");
    assert_eq!(json(there, "c"), "{\n  \"a\": 1,\n  \"b\": 2\n}\n");
    assert_eq!(json("{\"a\": {\"b\": 1}}", "a.b"), "{\"a\": {}}");
    assert_eq!(json(there, "d.e"), "unchanged");
    assert_eq!(json(there, "a.e"), "unchanged");
    assert!(json("[1, 2, 3]", "1").contains("`1` is an element of a list"));
    assert_eq!(json("", "a"), "unchanged");
}

#[test]
fn what_is_no_json_and_has_no_place_says_where() {
    let json = |there: &str, key: &str| set(Format::Json, there, key, "1");
    assert_eq!(
        json("{\n// x\n}", "a"),
        "error: line 2 of the file cannot be read as JSON: a name in quotes is missing"
    );
    for (there, why) in [
        ("{\"a\": 01}", "a number is not written"),
        ("{\"a\": 1,}", "a name in quotes"),
        ("{\"a\": \"x", "a text does not end"),
        ("{\"a\": \"\\ud800\"}", "half of a character"),
        ("{} {}", "something stands behind"),
        ("{\"a\": # 1\n}", "a comment stands there"),
    ] {
        let found = json(there, "b");
        assert!(found.contains(why) && !found.contains("ud800"), "{there}: {found}");
    }
    assert!(
        json("{\"a\": \"text\"}", "a.b").contains("`a.b` would be inside of a value"),
        "{}",
        json("{\"a\": \"text\"}", "a.b")
    );
    assert!(json("{\"a\": [1]}", "a.b").contains("`a.b` is a name"));
    assert!(json("{\"a\": [1]}", "a.5").contains("`a.5` is behind the end"));
    assert!(json("{\"a\": 1, \"a\": 2}", "a").contains("stands there twice"));
    let deep = "[".repeat(80) + &"]".repeat(80);
    assert!(json(&deep, "a").contains("64 deep"));
}

#[test]
fn the_value_of_a_secret_stands_inside_of_a_text_whatever_is_in_it() {
    let value = "a\"b\\c\n{\u{7}ü";
    let operand = [Part::Literal("{\"url\": \"x://"), Part::Value(value), Part::Literal("@h\"}")];
    for format in [Format::Json, Format::Yaml, Format::Toml] {
        let edit = edit(format, "db", false);
        let edited = edit.apply("", &Operand::new(&operand)).unwrap().unwrap();
        let found = format.read(&edited).ok().unwrap();
        let Tree::Map(members) = found else { panic!("{edited}") };
        let Tree::Map(members) = &members[0].1 else { panic!("{edited}") };
        assert!(members[0].1 == Tree::Text(format!("x://{value}@h")), "{edited}");
        assert_eq!(edit.apply(&edited, &Operand::new(&operand)), Ok(None));
    }
}

const YAML: &str = "# top\na: 1 # one\nb:\n  c: \"x\"  # n\n  d:\n  - 1\n  - e: |\n      blk\n      two\n    f: {g: [1, 2], h: }\n  # tail\nk: plain text\no:\n";

#[test]
fn yaml_keeps_what_is_around() {
    let yaml = |key: &str, value: &str| set(Format::Yaml, YAML, key, value);
    assert_eq!(yaml("a", "2"), YAML.replace("a: 1", "a: 2"));
    assert_eq!(yaml("a", "1"), "unchanged");
    assert_eq!(yaml("k", "\"plain text\""), "unchanged");
    assert_eq!(yaml("k", "\"yes\""), YAML.replace("k: plain text", "k: \"yes\""));
    assert_eq!(yaml("b.c", "\"/usr/bin\""), YAML.replace("\"x\"", "/usr/bin"));
    assert_eq!(yaml("o", "true"), YAML.replace("o:\n", "o: true\n"));
    assert_eq!(yaml("o.p", "[1]"), YAML.replace("o:\n", "o:\n  p:\n    - 1\n"));
    assert_eq!(yaml("b.d.1.f.h", "5"), YAML.replace("h: }", "h: 5 }"));
    assert_eq!(yaml("b.d.1.f.i", "{\"j\": 1}"), YAML.replace("h: }", "h:, \"i\": {\"j\": 1} }"));
    assert_eq!(yaml("b.d.1.e", "\"z\""), YAML.replace("e: |\n      blk\n      two\n", "e: z\n"));
    assert_eq!(yaml("b.d.0", "{\"q\": 1, \"r\": 2}"), YAML.replace("- 1\n", "- q: 1\n    r: 2\n"));
    assert_eq!(yaml("b.d.2", "\"s\""), YAML.replace("h: }\n", "h: }\n  - s\n"));
    assert_eq!(
        yaml("b.new", "{\"u\": [1, {\"v\": \"0640\"}]}"),
        YAML.replace("h: }\n", "h: }\n  new:\n    u:\n      - 1\n      - v: \"0640\"\n")
    );
    assert_eq!(yaml("z.w", "null"), format!("{YAML}z:\n  w: null\n"));
    assert_eq!(set(Format::Yaml, "# only this", "a.b", "1"), "# only this\na:\n  b: 1\n");
    assert_eq!(set(Format::Yaml, "{a: 1}\n", "b", "2"), "{a: 1, \"b\": 2}\n");
    assert_eq!(set(Format::Yaml, "a: 1\r\nb: 2\r\n", "c", "3"), "a: 1\r\nb: 2\r\nc: 3\r\n");
}

#[test]
fn a_member_of_yaml_goes_with_its_lines() {
    let yaml = |key: &str| unset(Format::Yaml, YAML, key);
    assert_eq!(yaml("a"), YAML.replace("a: 1 # one\n", ""));
    assert_eq!(yaml("o"), YAML.replace("o:\n", ""));
    assert!(yaml("b.d.0").contains("`b.d.0` is an element of a list"));
    assert_eq!(yaml("b.d.1.e"), YAML.replace("e: |\n      blk\n      two\n    f", "f"));
    assert_eq!(yaml("b.d.1.f.g"), YAML.replace("g: [1, 2], h", "h"));
    assert_eq!(unset(Format::Yaml, "a:\n  b: 1\nc: 2\n", "a.b"), "a:\n  {}\nc: 2\n");
    assert_eq!(yaml("nothing.here"), "unchanged");
}

#[test]
fn what_is_no_yaml_or_cannot_be_changed_safely_is_left_alone() {
    let yaml = |there: &str, key: &str| set(Format::Yaml, there, key, "1");
    assert!(yaml("a: [\n", "a").contains("cannot be read as YAML"));
    assert!(yaml("a: 1\n---\nb: 2\n", "a").contains("a second document"));
    assert!(yaml("? [a]\n: 1\n", "a").contains("a name is no text"));
    assert!(yaml("a: &x 2\nb: *x\n", "a").contains("safely"), "{}", yaml("a: &x 2\nb: *x\n", "a"));
    assert_eq!(yaml("a: &x 2\nb: *x\n", "b"), "a: &x 2\nb: 1\n");
    assert!(yaml("a: text\n", "a.b").contains("`a.b` would be inside"));
}

const TOML: &str = "# top\na = 1 # one\n\n[b]\nc = \"x\"   # n\nd = [\n  1,\n  2, # two\n]\n\n[[t]]\nn = 1\n\n[[t]]\nn = 2\n";

#[test]
fn toml_keeps_what_is_around() {
    let toml = |key: &str, value: &str| set(Format::Toml, TOML, key, value);
    assert_eq!(toml("a", "2"), TOML.replace("a = 1", "a = 2"));
    assert_eq!(toml("a", "1"), "unchanged");
    assert_eq!(toml("b.c", "\"y\""), TOML.replace("\"x\"", "\"y\""));
    assert_eq!(toml("b.d.0", "7"), TOML.replace("  1,", "  7,"));
    assert_eq!(toml("b.e", "true"), TOML.replace("]\n\n[[t]]\nn = 1", "]\ne = true\n\n[[t]]\nn = 1"));
    assert_eq!(toml("t.1.n", "5"), TOML.replace("n = 2", "n = 5"));
    assert_eq!(toml("x.y.z", "1.5"), format!("{TOML}\n[x.y]\nz = 1.5\n"));
    assert!(toml("a", "null").contains("no null"));
    assert_eq!(unset(Format::Toml, TOML, "b.c"), TOML.replace("c = \"x\"   # n\n", ""));
    assert!(set(Format::Toml, "a = \n", "a", "1").contains("line 1 of the file cannot be read as TOML"));
    assert_eq!(set(Format::Toml, "a = 1\r\nb = 2\r\n", "a", "3"), "a = 3\r\nb = 2\r\n");
}

#[test]
fn a_key_is_names_with_dots_between() {
    let names = |source: &str| -> Vec<String> {
        Key::new(source).unwrap().steps().iter().map(|step| step.name.clone()).collect()
    };
    assert_eq!(names("a.b-c.0"), ["a", "b-c", "0"]);
    assert_eq!(names("\"a.b\".'c \"d'"), ["a.b", "c \"d"]);
    for wrong in ["", ".", "a.", "a..b", "a b", "\"a", "\"a\"b", "a[0]"] {
        assert!(Key::new(wrong).is_err(), "{wrong}");
    }
    assert!(Key::new(&["a"; 33].join(".")).is_err() && Key::new(&"a".repeat(1025)).is_err());
}

fn json_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("true".to_owned()),
        any::<i32>().prop_map(|number| number.to_string()),
        Just("0.5".to_owned()),
        "[ -~äü\n]{0,12}".prop_map(|text| {
            let mut out = String::new();
            tree::quoted(&text, &mut out);
            out
        }),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::btree_map("[a-z0-9 .]{1,6}", inner, 0..4).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

proptest! {
    // Whatever was put in by one edit after the other, each file is read as its format, and holds what was put in last.
    #[test]
    fn what_was_put_in_is_found_again(
        first in json_value(), second in json_value(), third in json_value(), key in "[a-c](\\.[a-c]){0,2}",
    ) {
        for format in [Format::Json, Format::Yaml, Format::Toml] {
            let mut text = String::new();
            for (key, value) in [("a", &first), ("b.c", &second), (key.as_str(), &third), (key.as_str(), &first)] {
                let edit = edit(format, key, false);
                if let Ok(Some(edited)) = edit.apply(&text, &Operand::new(&[Part::Literal(value)])) {
                    let wanted = json::read(value).ok();
                    let found = at(&format.read(&edited).ok().unwrap(), Key::new(key).unwrap().steps());
                    prop_assert!(found == wanted, "{edited}");
                    text = edited;
                }
            }
            let gone = edit(format, "a", true).apply(&text, &Operand::new(&[]));
            prop_assert!(gone.is_ok(), "{text}\n{gone:?}");
        }
    }
}

fn at(tree: &Tree, steps: &[Step]) -> Option<Tree> {
    let Some((step, rest)) = steps.split_first() else { return Some(tree.clone()) };
    match tree {
        Tree::Map(members) => {
            members.iter().find(|(name, _)| *name == step.name).and_then(|(_, value)| at(value, rest))
        }
        _ => None,
    }
}
