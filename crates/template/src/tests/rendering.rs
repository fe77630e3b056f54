//! What text and values come out as.

use super::{VARIABLES, attribute, renderer, scope, show, shown, variables};
use crate::{EnvoyFacts, Probe, Scope, TemplateError, WallClock};
use std::cell::RefCell;
use vigo_base::Value;
use vigo_wire::node::{Kind, Node};

#[test]
fn values_and_text_render_as_written() {
    for (text, want) in [
        ("plain {# text", "plain {# text"),
        ("{{ vars.name }}-{{ vars.port }}", "web-8080"),
        ("{{ vars.derived }}", "web-8080"),
        ("a{{ vars.flag }}b", "atrueb"),
        ("{{ 'a' ~ true ~ 1.0 ~ vars.name }}", "atrue1.0web"),
        ("{{ vars.list | join(', ') }}", "a, b"),
        ("{{ [true, 1] | join('-') }}", "true-1"),
        ("x{{ true | string }}", "xtrue"),
        ("{{ vars.map | json }}", "{\"k\": {\"x\": 1}}"),
        ("{{ vars.list | json }}", "[\"a\", \"b\"]"),
        ("{{ 'a\"\\n' | json }}", "\"a\\\"\\n\""),
        ("{{ 'a b/ä~' | urlencode }}", "a%20b%2F%C3%A4~"),
        ("{{ \"it's\" | shell_quote }}", "'it'\\''s'"),
        ("{{ 'AZ' | hex }}", "415a"),
        ("{{ ' a ' | trim }}", "a"),
        ("{{ 'xax' | trim('x') }}", "a"),
        ("{{ 'hi' | b64encode }}", "aGk="),
        ("{{ vars.nope | default('d') }}", "d"),
        ("{{ vars.nope.deep.er | default('d') }}", "d"),
        ("{{ vars.map.k.x | default('d') }}!", "1!"),
        ("{{ vars.map['k'].y | default('d') }}", "d"),
        ("{{ traits.custom.x is defined }}!", "false!"),
        ("{{ traits.os.family is defined }}!", "true!"),
        ("{{ nope.x.y is not defined }}!", "true!"),
        ("{{ item.x | default('d') }}", "d"),
        ("{{ traits.os.codename.x | default('null') }}", "null"),
        ("{{ -vars.port | default(1) }}!", "-8080!"),
        ("{{ 'y' if vars.flag && !false || false else 'n' }}", "y"),
        ("{{ '&& || !' }}", "&& || !"),
        ("{% if vars.port == 8080 and 'a' in vars.list and 'z' not in vars.list %}y{% endif %}", "y"),
        ("{% for x in vars.list if x != 'a' %}{{ x }}{% endfor %}", "b"),
        ("{% for k, v in vars.map | items %}{{ k }}{{ v.x }}{% endfor %}", "k1"),
        (
            "{% set n = namespace(c=0) %}{% for x in vars.list %}{% set n.c = n.c + 1 %}{% endfor %}{{ n.c }}",
            "2",
        ),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("{{ '{{' }}", "{{"),
        ("{{ 'secret:' }}x", "secret:x"),
        ("{{ envoy.name }} {{ envoy.environment }} {{ envoy.id }}", "web-1 production 00ff"),
        ("{{ vars.flag if false }}", ""),
        ("a\n{% if true %}\nb\n{% endif %}\nc\n", "a\n\nb\n\nc\n"),
        ("a\n{%- if true -%}\n b {% endif +%}\nc\n\n", "ab \nc\n\n"),
        ("{{ 1 < 2 < 3 }}!", "true!"),
        ("{{ 'web' ~ vars.port == 'web8080' }}!", "true!"),
        ("{{ vars.list | map('upper') | join }}", "AB"),
        ("{{ 3 is divisibleby 3 and 3 is not in [1] }}!", "true!"),
    ] {
        let want = want.to_owned();
        let got = shown(&if text.starts_with("{{") && text.ends_with("}}") {
            format!("{text}{{{{ '' }}}}")
        } else {
            text.to_owned()
        });
        assert_eq!(got, want, "{text}");
    }
}

#[test]
fn a_lone_expression_keeps_its_type() {
    for (text, want) in [
        ("{{ vars.port }}", Value::Integer(8080)),
        ("{{ vars.flag }}", Value::Boolean(true)),
        ("{{ none }}", Value::Null),
        ("{{ traits.os.codename }}", Value::Null),
        ("{{ traits.hardware.ratio }}", Value::Number(1.5)),
        ("{{ 8080 ~ '' }}", Value::text("8080")),
        ("{{ [1, 'a'] }}", Value::List(vec![Value::Integer(1), Value::text("a")])),
        (
            "{{ {'z': 1, 'a': 2} }}",
            Value::Map(vec![("z".into(), Value::Integer(1)), ("a".into(), Value::Integer(2))]),
        ),
        ("{{ range(2) }}", Value::List(vec![Value::Integer(0), Value::Integer(1)])),
    ] {
        assert_eq!(super::render(text), Ok(want), "{text}");
    }
}

#[test]
fn secrets_become_slots_wherever_they_are_placed() {
    for (text, want) in [
        ("secret:web/token", "‹web/token›"),
        ("a secret:{web/token}b", "a ‹web/token›b"),
        ("{{ vars.token }}", "‹web/token›"),
        ("x{{ vars.token | trim | b64encode }}y", "x‹web/token|trim|b64encode›y"),
        ("{{ secret('a') | hex }}", "‹a|hex›"),
        ("{{ secret('a') | sha512_crypt }}{{ secret('a') | bcrypt }}", "‹a|sha512_crypt›‹a|bcrypt›"),
        ("{{ vars.url }}", "https://u:‹db/pw›@host"),
        ("[{{ vars.url }}]", "[https://u:‹db/pw›@host]"),
        ("{{ secret('db/' ~ envoy.environment ~ '/pw') }}", "‹db/production/pw›"),
        ("{{ vars.holder.inside }}!", "‹a/b›!"),
        ("{{ vars.holder | json }}", "{\"inside\": ‹a/b|json›}"),
        ("{% for k, v in vars.holder | items %}{{ k }}={{ v }}{% endfor %}", "inside=‹a/b›"),
        ("{{ vars.token | default('x') }}", "‹web/token›"),
        ("{{ vars.token is defined }}!", "true!"),
        ("{% set t = vars.token %}{% if true %}{{ t }}{% endif %}", "‹web/token›"),
        ("{{ secret('a') if vars.flag else secret('b') }}", "‹a›"),
        ("{{ [secret('a'), 'x'] | first }}!", "‹a›!"),
        ("{% with t = vars.token %}{{ t }}{% endwith %}", "‹web/token›"),
    ] {
        assert_eq!(shown(text), want, "{text}");
    }
}

#[test]
fn template_files_include_each_other_and_report_file_and_line() {
    let renderer = renderer(&[
        ("site.j2", "{# note #}listen {{ vars.port }};\n{% include \"part.j2\" %}\nend\n"),
        ("part.j2", "token secret:web/token; {{ item }}"),
        ("bad.j2", "ok\n\n{{ vars.prot }}\n"),
        ("outer.j2", "{% include 'bad.j2' %}"),
        ("circle.j2", "{% include 'circle.j2' %}"),
        ("broken.j2", "a\n{{ x + }}"),
    ]);
    let scope = scope(VARIABLES).with_item(Some(&Node::literal("i")));
    let source = |name: &str| renderer.value(&Node::new(Kind::Source(name.into())), &scope);
    assert_eq!(show(&source("site.j2").unwrap()), "listen 8080;\ntoken ‹web/token›; i\nend\n");
    for name in ["bad.j2", "outer.j2"] {
        assert_eq!(
            source(name).unwrap_err().to_string(),
            "cannot render `templates/bad.j2` line 3: `vars.prot` is not defined; did you mean `vars.port`?"
        );
    }
    assert!(matches!(source("none.j2"), Err(TemplateError::MissingTemplate { .. })));
    assert!(source("circle.j2").is_err());
    assert!(source("broken.j2").unwrap_err().to_string().contains("`templates/broken.j2` line 2"));
}

#[test]
fn errors_say_what_was_probably_meant() {
    for (text, want) in [
        (
            "{{ vars.prot }}",
            "cannot render `vars.prot`: `vars.prot` is not defined; did you mean `vars.port`?",
        ),
        (
            "x {{ vars.prot }}",
            "cannot render `x {{ vars.prot }}`: `vars.prot` is not defined; did you mean `vars.port`?",
        ),
        (
            "x {{ traits.os.famly }}",
            "cannot render `x {{ traits.os.famly }}`: `traits.os.famly` is not defined; did you mean `traits.os.family`?",
        ),
        ("x {{ port }}", "cannot render `x {{ port }}`: `port` is not defined; did you mean `vars.port`?"),
        (
            "x {{ trait.os }}",
            "cannot render `x {{ trait.os }}`: `trait` is not defined; did you mean `traits`?",
        ),
        (
            "x {{ envoy.nam }}",
            "cannot render `x {{ envoy.nam }}`: `envoy.nam` is not defined; did you mean `envoy.name`?",
        ),
        (
            "x {{ vars.nothing }}",
            "cannot render `x {{ vars.nothing }}`: nothing (`none`) stands in text; pass it through `json`, or take one value of it",
        ),
        (
            "x {{ vars.map }}",
            "cannot render `x {{ vars.map }}`: a map stands in text; pass it through `json`, or take one value of it",
        ),
        (
            "x {{ vars.list }}",
            "cannot render `x {{ vars.list }}`: a list stands in text; pass it through `json`, or take one value of it",
        ),
        (
            "x {{ vars.loop_a }}",
            "cannot render `vars.loop_b`: variables refer to each other in a circle: loop_a -> loop_b -> loop_a",
        ),
        (
            "x {{ file_exists('/x') }}",
            "cannot render `x {{ file_exists('/x') }}`: this function looks at the machine, so it exists in `when` only",
        ),
    ] {
        assert_eq!(shown(text), format!("error: {want}"), "{text}");
    }
}

#[test]
fn a_variable_of_the_configcrate_stands_below_the_others_and_in_it_only() {
    let outer = scope(&[("a", "outer"), ("uses", "{{ vars.own }}")]);
    let inner = outer.configcrate(&variables(&[("a", "inner"), ("own", "mine")]));
    let renderer = renderer(&[]);
    assert_eq!(renderer.value(&attribute("{{ vars.a }}"), &inner), Ok(Value::text("outer")));
    assert_eq!(renderer.value(&attribute("{{ vars.uses }}"), &inner), Ok(Value::text("mine")));
    assert!(renderer.value(&attribute("{{ vars.own }}"), &outer).is_err());
    let stamped = inner.with_item(Some(&Node::map([
        ("key".to_owned(), attribute("k")),
        ("value".to_owned(), attribute("secret:a")),
    ])));
    assert_eq!(
        show(&renderer.value(&attribute("{{ item.key }}={{ item.value }}"), &stamped).unwrap()),
        "k=‹a›"
    );
}

#[test]
fn without_traits_what_needs_them_says_so() {
    let scope =
        Scope::new(&variables(&[("a", "{{ traits.os.family }}"), ("b", "x")]), None, &EnvoyFacts::default());
    let renderer = renderer(&[]);
    for text in [
        "{{ traits.os.family }}",
        "a {{ vars.a }}",
        "{{ traits.x.y | default(1) }}",
        "{% for t in traits %}{% endfor %}",
    ] {
        let error = renderer.value(&attribute(text), &scope).unwrap_err();
        assert!(matches!(error, TemplateError::NeedsTraits { .. }), "{text}: {error}");
    }
    assert_eq!(renderer.secret_path("\"a/\" ~ vars.b", &scope).unwrap().as_str(), "a/x");
    assert!(renderer.secret_path("\"a/\" ~ vars.a", &scope).is_err());
    assert!(renderer.secret_path("\"a b\"", &scope).is_err());
}

#[test]
fn a_crypt_of_an_ordinary_value_needs_the_seed_of_the_node_and_is_stable() {
    let (renderer, scope) = (renderer(&[]), scope(&[]));
    let node = attribute("{{ 'pass' | sha512_crypt }}");
    assert!(matches!(renderer.value(&node, &scope), Err(TemplateError::NeedsTraits { .. })));
    let crypt = |seed: u8| show(&renderer.value(&node, &scope.with_seed([seed; 32])).unwrap());
    assert!(crypt(1).starts_with("$6$") && crypt(1).len() == 106, "{}", crypt(1));
    assert_eq!(crypt(1), crypt(1));
    assert_ne!(crypt(1), crypt(2));
}

#[derive(Default)]
struct Machine {
    asked: RefCell<Vec<String>>,
    changed: bool,
}

impl Probe for Machine {
    fn file_exists(&self, path: &str) -> bool {
        self.asked.borrow_mut().push(path.to_owned());
        path == "/here"
    }
    fn dir_exists(&self, path: &str) -> bool {
        path == "/dir"
    }
    fn process_running(&self, name: &str) -> bool {
        name == "sshd"
    }
    fn command_succeeds(&self, command: &str) -> bool {
        self.asked.borrow_mut().push(command.to_owned());
        command == "true"
    }
    fn port_listening(&self, port: u16) -> bool {
        port == 22
    }
    fn now(&self) -> WallClock {
        WallClock { day: 15, weekday: 2, hour: 23, minute: 30 }
    }
    fn changed(&self) -> bool {
        self.changed
    }
}

#[test]
fn conditions_ask_the_machine_each_question_once() {
    let (renderer, scope) = (renderer(&[]), scope(VARIABLES));
    for (when, want) in [
        ("file_exists('/here') && !file_exists('/gone')", true),
        ("dir_exists('/dir') and process_running('sshd') and port_listening(22)", true),
        ("command_succeeds('false') || command_succeeds('true')", true),
        (
            "hour_range(22, 4) and minute_range(0, 30) and day_of_week('mon', 'Wednesday') and day_of_month(1, 15)",
            true,
        ),
        ("local_time('23:00', '23:30')", true),
        ("local_time('08:00', '09:00')", false),
        ("os_family('debian', 'suse') and os_family() == 'debian'", true),
        ("distro('x')", false),
        ("version_ge('1.10', '1.9')", true),
        ("is_container()", false),
        ("has_trait('os.family') and not has_trait('os.nope') and not has_trait('os.codename')", true),
        ("changed", false),
        ("not changed", true),
        ("vars.port == 8080", true),
    ] {
        assert_eq!(renderer.condition(when, &scope, &Machine::default()), Ok(want), "{when}");
    }
    let machine = Machine { changed: true, ..Machine::default() };
    assert_eq!(
        renderer.condition(
            "changed and file_exists('/gone') and file_exists('/never asked')",
            &scope,
            &machine
        ),
        Ok(false)
    );
    assert_eq!(machine.asked.into_inner(), ["/gone"]);
    for wrong in [
        "vars.name",
        "vars.token == 'x'",
        "local_time('25:00', '1:00')",
        "day_of_week('x')",
        "vars.nope",
        "1",
    ] {
        assert!(renderer.condition(wrong, &scope, &Machine::default()).is_err(), "{wrong}");
    }
}

#[test]
fn what_a_node_says_of_itself_never_becomes_a_slot_or_a_template() {
    let hostile = "secret:db/root {{ secret('db/root') }} {% raw %} {# \u{fffc} ‹secret db/root›";
    let os = Node::map([("family".to_owned(), Node::literal(hostile))]);
    let scope = Scope::new(
        &variables(&[("v", "<{{ traits.os.family }}>")]),
        Some(&Node::map([("os".to_owned(), os)])),
        &EnvoyFacts::default(),
    );
    let renderer = renderer(&[]);
    for text in [
        "{{ traits.os.family }}",
        "{{ traits.os.family | string }}",
        "{% set a %}{{ traits.os.family }}{% endset %}{{ a }}",
    ] {
        let value = renderer.value(&attribute(text), &scope).unwrap();
        assert_eq!(value, Value::text(hostile), "{text}");
    }
    let value = renderer.value(&attribute("{{ vars.v }} and secret:a"), &scope).unwrap();
    assert_eq!(show(&value), format!("<{hostile}> and ‹a›"));
    // Even where publish was passed by, it cannot name a secret of its choice.
    let node = Node::new(Kind::Expression("secret(traits.os.family)".into()));
    assert!(renderer.value(&node, &scope).is_err());
}

#[test]
fn a_long_chain_of_variables_fits_the_stack_and_a_longer_one_is_refused() {
    let chain = |length: usize| {
        let names: Vec<(String, String)> = (0..length)
            .map(|index| {
                (format!("v{index}"), format!("{{% if true %}}{{{{ vars.v{} }}}}{{% endif %}}", index + 1))
            })
            .collect();
        let mut pairs: Vec<(&str, &str)> =
            names.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let last = format!("v{length}");
        pairs.push((last.as_str(), "end"));
        renderer(&[]).value(&attribute("{{ vars.v0 }}"), &scope(&pairs))
    };
    assert_eq!(chain(31), Ok(Value::text("end")));
    assert!(matches!(chain(40), Err(TemplateError::Limit { .. })));
}

proptest::proptest! {
    #[test]
    fn whatever_a_trait_holds_it_stays_text(words in proptest::collection::vec(proptest::sample::select(vec![
        "secret:a/b", "{{", "}}", "secret(\"a\")", "{%", "%}", "{#", "\u{fffc}", "\0", "‹secret a›", "x", " ", "\n", "\\", "\"", "'", "|b64encode",
    ]), 0..12)) {
        let hostile = words.concat();
        let node = Node::map([("x".to_owned(), Node::literal(hostile.clone()))]);
        let scope = Scope::new(&variables(&[("v", "{{ traits.x }}")]), Some(&node), &EnvoyFacts::default());
        let value = renderer(&[]).value(&attribute("{{ vars.v }}{{ traits.x ~ '' }}"), &scope);
        proptest::prop_assert_eq!(value, Ok(Value::text(format!("{hostile}{hostile}"))));
    }
}
