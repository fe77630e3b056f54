//! What is a reference, and what is not.

use crate::{Place, check, recognise};
use vigo_wire::node::Kind;

fn tagged(text: &str, place: Place) -> String {
    let recognised = recognise(text, place);
    match recognised.kind {
        Kind::Literal(text) => format!("L {text}"),
        Kind::Template(text) => format!("T {text}"),
        Kind::Expression(text) => format!("E {text}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn references_become_calls_and_all_else_keeps_its_bytes() {
    for (text, want) in [
        ("plain", "L plain"),
        ("", "L "),
        ("secret:web/token", "E secret(\"web/token\")"),
        ("secret:{web/token}", "E secret(\"web/token\")"),
        ("a secret:web/token b", "T a {{ secret(\"web/token\") }} b"),
        ("secret:a.", "T {{ secret(\"a\") }}."),
        ("\"secret:a\"", "T \"{{ secret(\"a\") }}\""),
        ("u:secret:{a}@h", "T u:{{ secret(\"a\") }}@h"),
        ("secret:{a}b", "T {{ secret(\"a\") }}b"),
        ("{secret:a}", "T {{ \"{\" }}{{ secret(\"a\") }}}"),
        ("${secret:a}", "T ${{ \"{\" }}{{ secret(\"a\") }}}"),
        ("${#x} secret:a", "T ${{ \"{#\" }}x} {{ secret(\"a\") }}"),
        ("${#TOKEN}", "L ${#TOKEN}"),
        ("{% raw %}{#{% endraw %}{#", "T {% raw %}{#{% endraw %}{{ \"{#\" }}"),
        ("{{ vars.a }}", "E vars.a"),
        ("{{- vars.a -}}", "E vars.a"),
        ("{{ vars.a }}\n", "T {{ vars.a }}\n"),
        ("{{ a }}{{ b }}", "T {{ a }}{{ b }}"),
        ("{{ {\"a\": {\"b\": 1}} }}", "E {\"a\": {\"b\": 1}}"),
        ("{{ \"}}\" }}", "E \"}}\""),
        ("secret\\:a", "L secret:a"),
        ("x secret\\:{a} {{ vars.b }}", "T x secret:{a} {{ vars.b }}"),
        ("secret\\:", "L secret\\:"),
        ("}}secret:a_1", "T }}{{ secret(\"a_1\") }}"),
        ("{{ x }}secret:a", "T {{ x }}{{ secret(\"a\") }}"),
        ("äsecret:a", "T ä{{ secret(\"a\") }}"),
        ("secret:a secret:b/c-d.e", "T {{ secret(\"a\") }} {{ secret(\"b/c-d.e\") }}"),
    ] {
        assert_eq!(tagged(text, Place::Attribute), want, "{text}");
    }
}

#[test]
fn what_is_bound_to_a_word_before_it_is_no_reference() {
    for before in ["a", "Z", "0", "_", ".", "-", "\\"] {
        let text = format!("{before}secret:a/b");
        assert_eq!(tagged(&text, Place::Attribute), format!("L {text}"), "{before}");
    }
    for before in [" ", "\n", ":", "/", "=", "\"", "'", "(", "@", ",", "$", "\u{a0}"] {
        let text = format!("{before}secret:a/b");
        assert_eq!(recognise(&text, Place::Attribute).calls.len(), 1, "{before}");
    }
}

#[test]
fn a_near_miss_is_literal_and_gets_a_hint() {
    let long = format!("secret:{}", "a".repeat(201));
    for text in [
        "secret:/a",
        "secret:a/",
        "secret:a//b",
        "secret:a/../b",
        "secret:a/.b",
        "secret:.a",
        "secret:{}",
        "secret:{a b}",
        "secret:{a",
        "secret: web/token",
        "secret : web/token",
        "Secret:a",
        "SECRET:a",
        "secret:db/{{ vars.x }}",
        "secret:{{ vars.x }}",
        "{% raw %}secret:a{% endraw %}",
        long.as_str(),
    ] {
        let recognised = recognise(text, Place::Attribute);
        assert!(recognised.calls.is_empty(), "{text}");
        assert_eq!(recognised.source(), text, "{text}");
        if text != "secret:{a" {
            assert_eq!(recognised.problems.len(), 1, "{text}: {:?}", recognised.problems);
            assert_eq!(recognised.problems[0].code, "V023", "{text}");
            assert!(!recognised.problems[0].error, "{text}");
        }
    }
}

#[test]
fn ordinary_words_get_no_hint() {
    for text in [
        "the secret: keep it",
        "client_secret:abc",
        "secret",
        "a secret.",
        "secret:",
        "secret: x",
        "secret:\n",
        "secrets:a",
    ] {
        let recognised = recognise(text, Place::Attribute);
        assert!(
            recognised.calls.is_empty() && recognised.problems.is_empty(),
            "{text}: {:?}",
            recognised.problems
        );
        assert_eq!(recognised.source(), text);
    }
}

#[test]
fn a_path_that_ends_at_a_tag_is_a_reference_with_a_hint() {
    let recognised = recognise("secret:db{{ vars.x }}", Place::Attribute);
    assert_eq!(recognised.source(), "{{ secret(\"db\") }}{{ vars.x }}");
    assert_eq!(recognised.problems.len(), 1);
}

#[test]
fn comments_are_comments_in_template_files_only() {
    assert_eq!(tagged("{# secret:a #}", Place::TemplateFile), "T {# secret:a #}");
    assert!(recognise("{# secret:a #}", Place::TemplateFile).calls.is_empty());
    assert_eq!(tagged("{# secret:a #}", Place::Attribute), "T {{ \"{#\" }} {{ secret(\"a\") }} #}");
    assert_eq!(tagged("{# note", Place::Attribute), "L {# note");
    assert!(recognise("{# note", Place::TemplateFile).problems[0].error);
}

#[test]
fn calls_in_tags_are_listed_with_their_arguments() {
    let recognised = recognise(
        "{{ secret(\"db/\" ~ envoy.environment ~ \"/pw\") }} {% if vars.x %}{{ secret('a') | b64encode }}{% endif %} secret:z",
        Place::Attribute,
    );
    let calls: Vec<_> = recognised
        .calls
        .iter()
        .map(|call| (call.path.as_ref().map(|path| path.as_str().to_owned()), call.expression.as_str()))
        .collect();
    assert_eq!(
        calls,
        [
            (None, "\"db/\" ~ envoy.environment ~ \"/pw\""),
            (Some("a".into()), "'a'"),
            (Some("z".into()), "\"z\"")
        ]
    );
    assert!(recognised.problems.is_empty(), "{:?}", recognised.problems);
}

#[test]
fn mistakes_around_secrets_are_found_at_publish() {
    for (text, code) in [
        ("{{ secret() }}", "V024"),
        ("{{ secret(\"a b\") }}", "V024"),
        ("{{ secret(\"a/\" ~ traits.os.family) }}", "V024"),
        ("{% for x in vars.l %}{{ secret(\"a/\" ~ x) }}{% endfor %}", "V024"),
        ("{{ secret(vars.a | lower) }}", "V024"),
        ("{{ secret }}", "V025"),
        ("{% set secret = 1 %}", "V025"),
        ("{% macro secret(x) %}{% endmacro %}", "V025"),
        ("{{ secret(\"a\") == \"b\" }}", "V025"),
        ("{{ \"b\" != secret(\"a\") }}", "V025"),
        ("{{ secret(\"a\") ~ \"b\" }}", "V025"),
        ("{{ secret(\"a\") + \"b\" }}", "V025"),
        ("{{ secret(\"a\")[0] }}", "V025"),
        ("{{ secret(\"a\")[1:3] }}", "V025"),
        ("{{ secret(\"a\").x }}", "V025"),
        ("{{ secret(\"a\") is string }}", "V025"),
        ("{{ secret(\"a\") | length }}", "V025"),
        ("{{ secret(\"a\") | upper }}", "V025"),
        ("{% if secret(\"a\") %}{% endif %}", "V025"),
        ("{% for c in secret(\"a\") %}{% endfor %}", "V025"),
        ("{{ not secret(\"a\") }}", "V025"),
        ("{{ 1 if secret(\"a\") else 2 }}", "V025"),
        ("{% set x %}secret:a{% endset %}", "V025"),
        ("{% set x %}{{ secret(\"a\") }}{% endset %}", "V025"),
        ("{% macro m() %}secret:a{% endmacro %}", "V025"),
        ("{% filter upper %}secret:a{% endfilter %}", "V025"),
        ("{% include vars.x %}", "V026"),
        ("{% include [\"a\", \"b\"] %}", "V026"),
        ("{% include \"a\" ~ vars.x %}", "V026"),
        ("{% include \"a\" if vars.x else \"b\" %}", "V026"),
        ("{{ vars.x", "V020"),
        ("{{ \"a }}", "V020"),
        ("{% raw %}", "V020"),
        ("awk '{{ print }'", "V020"),
    ] {
        let recognised = recognise(text, Place::Attribute);
        let found: Vec<_> =
            recognised.problems.iter().filter(|problem| problem.error).map(|problem| problem.code).collect();
        assert_eq!(found.first(), Some(&code), "{text}: {:?}", recognised.problems);
    }
}

#[test]
fn right_uses_of_secrets_have_no_problem() {
    for text in [
        "{{ secret(\"a\") | trim | b64encode }}",
        "{{ secret(\"a\") if vars.x else secret(\"b\") }}",
        "{% set t = secret(\"a\") %}{{ t }}",
        "{{ {\"k\": secret(\"a\")} | json }}",
        "{{ vars.secret }}",
        "{{ vars.x.secret(1) }}",
        "{% include \"a.j2\" %}",
        "{% include \"a.j2\" ignore missing %}",
        "{% from \"a.j2\" import x %}",
    ] {
        let recognised = recognise(text, Place::Attribute);
        assert!(recognised.problems.is_empty(), "{text}: {:?}", recognised.problems);
    }
}

#[test]
fn a_reference_in_a_string_of_a_tag_is_text_with_a_hint() {
    let recognised = recognise("{{ \"secret:web/token\" }}", Place::Attribute);
    assert!(recognised.calls.is_empty());
    assert_eq!(recognised.problems[0].help, "inside `{{ }}` a secret is written `secret(\"web/token\")`");
}

#[test]
fn includes_are_listed_by_name() {
    let recognised = recognise("{% include \"a/b.j2\" %}{%- import 'm.j2' as m %}", Place::TemplateFile);
    let names: Vec<_> = recognised.includes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a/b.j2", "m.j2"]);
}

#[test]
fn offsets_lead_back_to_the_text_that_was_given() {
    let text = "${#x} secret:a {{ vars.portt }}";
    let recognised = recognise(text, Place::Attribute);
    let names = check(recognised.source(), Place::Attribute).unwrap();
    assert_eq!(names.names.len(), 1);
    let offset = recognised.original(names.names[0].offset);
    assert!(text.split_at(offset).1.starts_with("vars.portt"));
}

#[test]
fn names_are_listed_with_their_steps() {
    let source = "{{ vars.a.b[0].c }} {% for item in traits.x.list %}{{ item.q }}{{ loop.index }}{% endfor %} {{ vars.z | default(envoy.name) }} {{ f(vars.k, x=1) }} {{ vars.m.items() }} {% if item2 is not defined %}{% endif %}";
    let names = check(source, Place::Attribute).unwrap();
    let paths: Vec<_> = names.names.iter().map(|name| (name.path.as_str(), name.optional)).collect();
    assert_eq!(
        paths,
        [
            ("vars.a.b", false),
            ("traits.x.list", false),
            ("vars.z", true),
            ("envoy.name", false),
            ("vars.k", false),
            ("vars.m", false),
            ("item2", true)
        ]
    );
    assert_eq!(names.problems.len(), 1);
    assert!(names.problems[0].message.contains("there is no function `f`"));
}

#[test]
fn unknown_filters_and_tests_are_found_with_a_near_match() {
    let names = check(
        "{{ vars.a | b64encod }}{{ vars.a is defind }}{% filter uper %}{% endfilter %}",
        Place::Attribute,
    )
    .unwrap();
    let helps: Vec<_> = names.problems.iter().map(|problem| problem.help.as_str()).collect();
    assert_eq!(helps, ["did you mean `b64encode`?", "did you mean `defined`?", "did you mean `upper`?"]);
    let called = crate::check_expression("os_family == \"debian\"").unwrap();
    assert_eq!(called.problems[0].help, "call it: `os_family(..)`");
}

#[test]
fn what_does_not_parse_is_a_problem_in_its_place() {
    let problem = check("a\n{{ vars.x + }}", Place::Attribute).unwrap_err();
    assert_eq!(problem.code, "V020");
    assert!(problem.offset >= 2, "{problem:?}");
    let problem = crate::check_expression("a == b &&").unwrap_err();
    assert!(problem.error);
    assert!(crate::check_expression(" ").is_err());
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn recognising_never_panics(text in "\\PC{0,80}") {
            let recognised = recognise(&text, Place::Attribute);
            let _ = check(recognised.source(), Place::Attribute);
            let _ = recognise(&text, Place::TemplateFile);
        }

        #[test]
        fn recognising_tag_soup_never_panics(words in prop::collection::vec(prop::sample::select(vec![
            "{{", "}}", "{%", "%}", "{#", "#}", "{", "}", "secret", ":", "\\", "secret:", "a/b", "(", ")", "\"", "'", "raw", "endraw",
            " ", "-", "~", "==", "in", "not", "is", "defined", "|", "default", "vars", ".", "x", "[", "]", "for", "if", "&&", "!", "é", "\n",
        ]), 0..24)) {
            let text = words.concat();
            for place in [Place::Attribute, Place::TemplateFile] {
                let recognised = recognise(&text, place);
                let _ = check(recognised.source(), place);
                let _ = crate::check_expression(&text);
                for call in &recognised.calls {
                    prop_assert!(text.is_char_boundary(call.offset));
                }
            }
        }

        #[test]
        fn literal_text_stays_as_it_is(text in "[^{]{0,60}") {
            prop_assume!(!text.to_lowercase().contains("secret"));
            let recognised = recognise(&text, Place::TemplateFile);
            prop_assert_eq!(recognised.kind, Kind::Literal(text));
        }

        #[test]
        fn text_around_a_reference_renders_to_itself(before in "([^{}s\\\\]{0,19}[^{}s\\\\a-zA-Z0-9_.-])?", after in "[ \"'@,;)]([^{s]|\\{#|\\{ ){0,20}") {
            let shown = super::super::shown(&format!("{before}{{secret:x/y}}{after}"));
            prop_assert_eq!(shown, format!("{before}{{‹x/y›}}{after}"));
        }
    }
}
