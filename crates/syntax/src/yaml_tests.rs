//! The YAML subset: what is read, what is refused, and where the message points.

use super::*;
use proptest::prelude::*;

fn codes(source: &str) -> Vec<String> {
    let mut diagnostics = parse(0, source.as_bytes()).diagnostics;
    crate::sort(&mut diagnostics);
    let place = |span: Span| format!("{}:{}", span.position.line, span.position.column);
    diagnostics.iter().map(|one| format!("{} {}", place(one.span), one.code)).collect()
}

fn kinds(source: &str) -> Vec<Kind> {
    let parsed = parse(0, source.as_bytes());
    assert_eq!(parsed.diagnostics, []);
    let Kind::List(items) = parsed.root.kind else { panic!("{:?}", parsed.root) };
    items.into_iter().map(|node| node.kind).collect()
}

fn plain(value: &str) -> Kind {
    Kind::Text(Text { value: value.into(), style: Style::Plain })
}

#[test]
fn words_that_older_yaml_takes_for_booleans_are_text() {
    for word in ["yes", "no", "on", "off", "y", "n", "Yes", "NO"] {
        assert_eq!(kinds(&format!("- {word}")), [plain(word)]);
    }
    assert_eq!(
        kinds("[true, False, null, ~, ]"),
        [Kind::Boolean(true), Kind::Boolean(false), Kind::Null, Kind::Null]
    );
}

#[test]
fn numbers_that_would_lose_something_stay_text() {
    assert_eq!(kinds("[8080, -1, +2, 0, 0x1f]"), [8080, -1, 2, 0, 31].map(Kind::Integer));
    assert_eq!(kinds("[1.5, 1e3, .5]"), [1.5, 1000.0, 0.5].map(Kind::Number));
    for text in [
        "0640",
        "007",
        "1.2.3",
        "12345678901234567890",
        ".inf",
        "1_000",
        "0b1",
        "0x",
        "2026-01-01",
        "1e999",
        "-x",
        "00.5",
    ] {
        assert_eq!(kinds(&format!("[\"\", {text}]"))[1], plain(text), "{text}");
    }
}

#[test]
fn spans_point_at_keys_and_values() {
    let source = "ä: b\nmap:\n  key: |\n    text\n";
    let root = parse(3, source.as_bytes()).root;
    let Kind::Map(entries) = &root.kind else { panic!() };
    assert_eq!((entries[0].key_span.start, entries[0].key_span.end), (0, 2));
    let value = root.get("map").and_then(|map| map.get("key")).unwrap();
    assert_eq!(value.as_text(), Some("text\n"));
    assert_eq!(value.span.position, Position { line: 4, column: 5 });
    assert_eq!(value.span.file, 3);
}

#[test]
fn all_mistakes_of_a_file_are_said_with_their_places() {
    let source = "match: *.example.com\na: {{ vars.x }}\nb: {{ vars.x }}/etc\nc: [*, z]\nd: \"secret\\:x\"\ne: 0o640\n{{ k }}: 1\nf: !tag x\nf: 1\n<<: 1\n? [q]\n: 1\ng: @x\nh: a: b\n{% if x %}\n";
    assert_eq!(
        codes(source),
        [
            "1:8 V007",
            "2:4 V005",
            "3:4 V005",
            "4:5 V007",
            "5:11 V008",
            "6:4 V009",
            "7:1 V006",
            "8:4 V011",
            "9:1 V010",
            "10:1 V012",
            "11:3 V013",
            "13:4 V003",
            "14:5 V003",
            "15:1 V006"
        ]
    );
}

#[test]
fn what_was_covered_is_invalid_and_nothing_else() {
    let parsed = parse(0, b"a: {{ x }}/etc\nb: fine\nc: [{{ x }}, y]\n");
    assert!(!parsed.complete);
    assert_eq!(parsed.root.get("a").unwrap().kind, Kind::Invalid);
    assert_eq!(parsed.root.get("b").unwrap().as_text(), Some("fine"));
    assert_eq!(codes("a: {{ x }}/etc\nc: [{{ x }}, y]\n"), ["1:4 V005", "2:5 V005"]);
}

#[test]
fn templates_in_the_middle_of_a_value_need_no_quotes() {
    let parsed = parse(0, b"a: /srv/{{ vars.x }}\nb: |\n  {{ vars.x }}\nc: \"{{ vars.x }}\"\n");
    assert_eq!(parsed.diagnostics, []);
    assert_eq!(parsed.root.get("a").unwrap().as_text(), Some("/srv/{{ vars.x }}"));
}

#[test]
fn tabs_are_named() {
    assert_eq!(codes("a:\n\t- b\n"), ["2:1 V004"]);
    assert_eq!(codes("\ta: 1\n"), ["1:1 V004"]);
    assert_eq!(codes("a:\n  b: 1\n\tc: 2\n"), ["3:1 V004"]);
    assert_eq!(codes("a: |\n  \tmake\n"), [] as [&str; 0]);
}

#[test]
fn yaml_that_cannot_be_read_is_one_diagnostic() {
    for (source, wanted) in [
        ("a: \"x\nb: 1\n", "1:4 V003"),
        ("a: [1, 2\nb: 3\n", "2:2 V003"),
        ("- a\nb: 1\n", "2:1 V003"),
        ("a: 1\n---\nb: 2\n", "2:1 V014"),
        ("%YAML 1.2\n---\na: 1\n", "1:1 V014"),
        ("a: \u{0}\n", "1:4 V015"),
        ("a: \u{202e}x\n", "1:4 V015"),
    ] {
        assert_eq!(codes(source), [wanted], "{source}");
        assert!(!parse(0, source.as_bytes()).complete);
    }
    assert_eq!(parse(0, b"a: \xff").diagnostics[0].code, Code::NotText);
}

#[test]
fn aliases_unfold_within_a_budget() {
    let parsed = parse(0, b"a: &x [1, {b: 2}]\nc: *x\n");
    assert_eq!(parsed.diagnostics, []);
    assert_eq!(parsed.root.get("a").unwrap().kind, parsed.root.get("c").unwrap().kind);
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let list = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{list}]\n"));
    }
    let parsed = parse(0, bomb.as_bytes());
    assert_eq!(parsed.diagnostics.iter().map(|one| one.code).collect::<Vec<_>>(), [Code::TooLarge]);
    assert_eq!(codes("a: &x [*x]\n"), ["1:8 V007"]);
}

#[test]
fn depth_is_limited_also_through_aliases() {
    assert_eq!(
        parse(0, format!("{}{}", "[".repeat(65), "]".repeat(65)).as_bytes()).diagnostics[0].code,
        Code::TooLarge
    );
    assert_eq!(parse(0, "[".repeat(100_000).as_bytes()).diagnostics[0].code, Code::TooLarge);
    assert_eq!(parse(0, "- ".repeat(1000).as_bytes()).diagnostics[0].code, Code::TooLarge);
    let mut chain = String::from("a0: &a0 [x]\n");
    for level in 1..70 {
        chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert_eq!(parse(0, chain.as_bytes()).diagnostics[0].code, Code::TooLarge);
}

#[test]
fn large_maps_still_find_their_duplicates() {
    let mut source: String = (0..100).map(|number| format!("k{number}: 1\n")).collect();
    source.push_str("k3: 2\nk99: 2\n");
    assert_eq!(codes(&source), ["101:1 V010", "102:1 V010"]);
    let large = "a".repeat((1 << 20) + 1);
    assert_eq!(parse(0, large.as_bytes()).diagnostics[0].code, Code::TooLarge);
}

const POLICY: &str = "configcrate: site\nvars: {port: 80, x: \"{{ traits.a }}\"}\nresources:\n  - name: &n site\n    type: file\n    content: |\n      listen {{ vars.port }};\n    mode: \"0640\"\n    depends_on: [*n, 'b']\n";

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let parsed = parse(0, &bytes);
        prop_assert!(parsed.root.kind != Kind::Invalid || !parsed.diagnostics.is_empty());
    }

    #[test]
    fn any_yaml_like_text_is_read_without_a_panic(text in "[-:?\\[\\]{}*&!%|>'\"# \t\nax0{}]{0,200}") {
        for one in parse(0, text.as_bytes()).diagnostics {
            prop_assert!(usize::try_from(one.span.start).unwrap() <= text.len());
            prop_assert!(one.span.position.line >= 1 && one.span.position.column >= 1);
        }
    }

    #[test]
    fn a_policy_with_one_change_is_read_without_a_panic(at in 0..POLICY.len(), cut in 0..20usize, put in "[-:{}*&!%|>'\"# \t\n\\\\a]{0,6}") {
        let end = (at + cut).min(POLICY.len());
        let text = format!("{}{put}{}", POLICY.get(..at).unwrap(), POLICY.get(end..).unwrap());
        let parsed = parse(0, text.as_bytes());
        prop_assert!(parsed.complete || !parsed.diagnostics.is_empty());
        let mut tree = crate::Tree::default();
        tree.insert("a.vgo", text).unwrap();
        prop_assert!(crate::render_text(&parsed.diagnostics, &tree).lines().count() >= parsed.diagnostics.len());
    }
}
