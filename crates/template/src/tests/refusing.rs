//! What is refused: every use of a secret but placing and filtering it, and work without end.

use super::{VARIABLES, renderer, scope};
use crate::{Place, TemplateError, recognise, session, slot};
use vigo_wire::bundle::Template;
use vigo_wire::node::{Kind, Node};

/// Renders although publish would have refused the text already: the envoy does not rely on that.
fn forced(text: &str) -> Result<vigo_base::Value, TemplateError> {
    let recognised = recognise(text, Place::Attribute);
    renderer(&[]).value(&Node::new(recognised.kind), &scope(VARIABLES))
}

#[test]
fn everything_but_placing_and_filtering_a_secret_is_an_error_that_says_so() {
    let operations = [
        "{{ S == 'x' }}",
        "{{ 'x' == S }}",
        "{{ S != 'x' }}",
        "{{ S < 'x' }}",
        "{{ 'x' >= S }}",
        "{{ S == S }}",
        "{{ 1 < 2 < S }}",
        "{{ S in ['x'] }}",
        "{{ S in 'xyz' }}",
        "{{ 'x' in S }}",
        "{{ 'x' not in [S] }}",
        "{{ ['x', S] == ['x', 'y'] }}",
        "{{ {'a': S} == {'a': 'b'} }}",
        "{{ S ~ 'x' }}",
        "{{ 'x' ~ S }}",
        "{{ 'x' ~ 'y' ~ S ~ 'z' }}",
        "{{ S + 'x' }}",
        "{{ 'x' + S }}",
        "{{ S * 2 }}",
        "{{ -S }}",
        "{{ S - 1 }}",
        "{{ S / 2 }}",
        "{{ S % 2 }}",
        "{{ '%s' % S }}",
        "{{ S ** 2 }}",
        "{{ S[0] }}",
        "{{ S['x'] }}",
        "{{ S[1:2] }}",
        "{{ S.x }}",
        "{{ S.x | default('y') }}",
        "{{ S.upper() }}",
        "{{ S() }}",
        "{{ S | length }}",
        "{{ S | upper }}",
        "{{ S | lower }}",
        "{{ S | replace('a', 'b') }}",
        "{{ 'abc' | replace('a', S) }}",
        "{{ S | first }}",
        "{{ S | list }}",
        "{{ S | string }}",
        "{{ S | join }}",
        "{{ [S, 'x'] | join }}",
        "{{ ['x', 'y'] | join(S) }}",
        "{{ [S, 'x'] | sort }}",
        "{{ [S, 'x'] | unique }}",
        "{{ [S, 'x'] | max }}",
        "{{ [S] | map('upper') | list }}",
        "{{ [S] | select('eq', 'x') | list }}",
        "{{ '%s' | format(S) }}",
        "{{ S | format('x') }}",
        "{{ S | int }}",
        "{{ S | e }}",
        "{{ S | indent(2) }}",
        "{{ S | trim('x') }}",
        "{{ S | default('x', true) }}",
        "{{ S is string }}",
        "{{ S is none }}",
        "{{ S is eq 'x' }}",
        "{{ S is in ['x'] }}",
        "{{ 'x' is in [S] }}",
        "{{ not S }}",
        "{{ S and 'x' }}",
        "{{ S or 'x' }}",
        "{{ 'x' if S else 'y' }}",
        "{% if S %}x{% endif %}",
        "{% if S == 'x' %}x{% elif true %}y{% endif %}",
        "{% for c in S %}x{% endfor %}",
        "{% for c in ['x'] if c == S %}x{% endfor %}",
        "{% set a %}{{ S }}{% endset %}{{ a }}",
        "{% macro m() %}{{ S }}{% endmacro %}{{ m() }}",
        "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(S) }}",
        "{% filter upper %}{{ S }}{% endfilter %}",
        "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{{ S }}{% endcall %}",
        "{{ secret('a/' ~ S) }}",
        "{{ secret(S) }}",
        "{{ {S: 1} | json }}",
        "{{ {'a': 1}[S] | default('x') }}",
        "{{ range(S) }}",
        "{{ (S, 'x') | sort }}",
        "{{ [S, 'x'] | batch(S) }}",
        "{{ vars[S] | default('x') }}",
    ];
    let mut others = Vec::new();
    for secret in ["secret('a/b')", "vars.token", "vars.holder.inside", "vars.url"] {
        for operation in operations {
            let text = format!("<{}>", operation.replace('S', secret));
            match forced(&text) {
                Err(TemplateError::Secret { help, .. }) => assert!(help.contains("can be placed"), "{text}"),
                Err(error) => others.push(format!("{text}: {error}")),
                Ok(value) => panic!("{text}: rendered to {value:?}"),
            }
            // The same alone, where no text is written.
            if operation.starts_with("{{") {
                assert!(forced(&operation.replace('S', secret)).is_err(), "{operation}");
            }
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

/// Nothing that a policy can write gets there: what comes before refuses it. An engine that joins in a way of its own would.
#[test]
fn a_secret_that_the_engine_writes_by_itself_fails_the_rendering() {
    let _rendering = session::Guard::enter();
    let secret = slot::slot("a/b".parse().unwrap(), Vec::new());
    assert_eq!(session::refused(), None);
    assert_eq!(secret.to_string(), "");
    assert_eq!(session::refused(), Some("joined to other text"));
}

#[test]
fn a_text_with_a_secret_in_it_takes_no_filter() {
    for filter in ["b64encode", "json", "trim"] {
        let error = forced(&format!("{{{{ vars.url | {filter} }}}}")).unwrap_err();
        assert!(matches!(error, TemplateError::Secret { .. }), "{error}");
    }
}

#[test]
fn names_in_conditions_are_refused_like_in_text() {
    let recognised = recognise("{{ vars.token == 'x' && true }}", Place::Attribute);
    assert!(matches!(
        renderer(&[]).value(&Node::new(recognised.kind), &scope(VARIABLES)),
        Err(TemplateError::Secret { .. })
    ));
}

#[test]
fn one_refusal_does_not_reach_the_next_rendering() {
    assert!(forced("{{ vars.token ~ 'x' }}").is_err());
    assert_eq!(super::shown("{{ vars.token }} ok {{ 'a' == 'a' }}"), "‹web/token› ok true");
}

#[test]
fn work_without_end_is_stopped() {
    let templates: Vec<Template> = [
        (
            "long",
            "{% for a in range(3000) %}{% for b in range(3000) %}{% set x = a %}{% endfor %}{% endfor %}",
        ),
        ("wide", "{% for a in range(99999) %}{{ '0123456789' * 100 }}{% endfor %}"),
        ("deep", "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(1) }}"),
        ("huge", "{{ 'x' * 99999999 }}"),
        ("caught", "{% set a %}{% for a in range(99999) %}{{ '0123456789' * 1000 }}{% endfor %}{% endset %}"),
    ]
    .map(|(name, source)| Template { name: name.into(), source: source.into() })
    .into();
    let renderer = crate::Renderer::new(&templates).unwrap();
    for template in &templates {
        let error = renderer.value(&Node::new(Kind::Source(template.name.clone())), &scope(&[])).unwrap_err();
        let limited = matches!(error, TemplateError::Limit { .. })
            || error.to_string().contains("recursion")
            || error.to_string().contains("deep");
        assert!(limited, "{}: {error}", template.name);
    }
}
