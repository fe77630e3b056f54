//! Properties of the whole way: what is alike compiles alike, and no tree makes it panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod types;

use proptest::prelude::*;
use vigo_policy::{Glob, Surroundings, Tree, argument_value, check, compile, select};
use vigo_syntax::{has_errors, render_json, render_text};

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in files {
        tree.insert(*path, *text).unwrap();
    }
    tree
}

const SITE: &str = "configcrate: site\nvars: {port: 80}\nresources:\n  - {type: file, target_path: /a, content: \"{{ vars.port }} {{ envoy.name }}\"}\n";

#[test]
fn envoys_that_are_alike_have_one_bundle_byte_for_byte() {
    let tree = tree(&[
        ("configcrates/site.vgo", SITE),
        (
            "envoys.vgo",
            "envoys:\n  - {match: \"web-*\", configcrates: [site], vars: {port: 1, other: 2}}\n  - {match: \"db-*\", vars: {other: 3, port: 1}, configcrates: [site]}\n  - {match: \"x\", vars: {port: 2}, configcrates: [site]}\n",
        ),
    ]);
    let (policy, diagnostics) = check(&tree, &Surroundings::new(&types::TYPES));
    assert!(!has_errors(&diagnostics), "{diagnostics:?}");
    let bundle = |name: &str| compile(&policy, &select(&policy, name, None));
    assert_eq!(bundle("web-1").bytes, bundle("web-2").bytes);
    // Another match block, in another order, with another variable that nothing uses.
    assert_eq!(bundle("web-1").digest, bundle("db-1").digest);
    assert_ne!(bundle("web-1").digest, bundle("x").digest);
    assert!(bundle("nobody").unmatched && bundle("nobody").bundle.resources.is_empty());
}

#[test]
fn an_argument_stands_above_everything_and_never_becomes_a_reference() {
    let tree = tree(&[
        ("configcrates/site.vgo", SITE),
        ("envoys.vgo", "envoys: [{match: a, configcrates: [site]}]"),
    ]);
    let (policy, _) = check(&tree, &Surroundings::new(&types::TYPES));
    let mut selection = select(&policy, "a", None);
    selection.set_variable("port", argument_value("secret:web/token {{ traits.x }}"));
    let bundle = compile(&policy, &selection).bundle;
    assert!(bundle.secrets.is_empty());
    let value = bundle.variables[0].value.clone().unwrap();
    assert!(value.is_data(), "{value:?}");
}

#[test]
fn a_chain_of_ten_thousand_dependencies_is_no_problem() {
    let mut crates = String::new();
    for number in 0..10_000 {
        let next = if number == 9_999 { String::new() } else { format!("depends_on: c{}, ", number + 1) };
        crates.push_str(&format!("- {{configcrate: c{number}, {next}resources: []}}\n"));
    }
    let tree =
        tree(&[("configcrates/c.vgo", &crates), ("envoys.vgo", "envoys: [{match: a, configcrates: [c0]}]")]);
    let (policy, diagnostics) = check(&tree, &Surroundings::new(&types::TYPES));
    assert_eq!(diagnostics, []);
    let bundle = compile(&policy, &select(&policy, "a", None)).bundle;
    assert_eq!(bundle.configcrates[0].name, "c9999");
    assert_eq!(bundle.configcrates.len(), 10_000);
}

/// Maps in each other, `depth` levels: what takes most levels of an encoding.
fn nested(depth: usize) -> String {
    format!("{}1{}", "{a: ".repeat(depth), "}".repeat(depth))
}

#[test]
fn a_bundle_that_no_envoy_could_decode_is_refused_at_publish_with_its_place() {
    let crates = |depth| {
        let deep = nested(depth);
        format!(
            "configcrate: site\nvars: {{deep: {deep}}}\nresources:\n  - {{type: file, target_path: /a, content: \"{{{{ vars.deep | json }}}}\"}}\n  - {{type: file, target_path: \"/{{{{ item.name }}}}\", content: \"{{{{ item.deep | json }}}}\", foreach: [{{name: b, deep: {deep}}}]}}\n"
        )
    };
    let outcome = |depth| {
        let tree = tree(&[
            ("configcrates/site.vgo", &crates(depth)),
            ("envoys.vgo", "envoys: [{match: a, configcrates: [site]}]"),
        ]);
        let (policy, diagnostics) = check(&tree, &Surroundings::new(&types::TYPES));
        (compile(&policy, &select(&policy, "a", None)), render_text(&diagnostics, &tree))
    };
    let most = vigo_wire::node::DEPTH;
    // An item of `foreach` stands in a list.
    let (compiled, said) = outcome(most - 2);
    assert_eq!(said, "");
    assert_eq!(vigo_wire::check_bundle(&compiled.bytes, &compiled.digest).unwrap(), compiled.bundle);
    let (_, said) = outcome(most + 1);
    assert!(said.contains("configcrates/site.vgo:2:") && said.contains("error[V002]"), "{said}");
    assert!(said.contains("more than 30 levels deep"), "{said}");
}

#[test]
fn an_item_that_is_computed_too_deep_is_refused_too() {
    let deep = nested(vigo_wire::node::DEPTH);
    let site = format!(
        "configcrate: site\nvars: {{deep: {deep}}}\nresources:\n  - {{type: file, target_path: \"/{{{{ item.name }}}}\", content: x, foreach: \"[{{'name': 'b', 'deep': vars.deep}}]\"}}\n"
    );
    let tree = tree(&[
        ("configcrates/site.vgo", &site),
        ("envoys.vgo", "envoys: [{match: a, configcrates: [site]}]"),
    ]);
    let (_, diagnostics) = check(&tree, &Surroundings::new(&types::TYPES));
    let said = render_text(&diagnostics, &tree);
    assert!(said.contains("error[V002]: an item of `foreach` nests more than 30 levels deep"), "{said}");
}

const FILES: [(&str, &str); 7] = [
    (
        "common.vgo",
        "vars: {root: /srv, list: [{name: a}, {name: b, x: \"secret:web/b\"}]}\nconfigcrates: [base]\n",
    ),
    (
        "environments.vgo",
        "environments:\n  prod: {vars: {greeting: \"{{ vars.root }}\"}, exclude: [extra]}\n",
    ),
    (
        "roles.vgo",
        "roles:\n  - {name: web, configcrates: [base], includes: [inner]}\n  - name: inner\n    case: traits.os.family\n    match: {debian: [old]}\n",
    ),
    (
        "envoys.vgo",
        "envoys:\n  - match: [\"web-*\", db]\n    environment: prod\n    roles: [web]\n  - {where: \"traits.x == 1\", configcrates: [base], mode: observe}\n",
    ),
    (
        "configcrates/base.vgo",
        "configcrate: base\ndepends_on: old\nvars: {port: 80}\ndefaults: {owner: root}\nresources:\n  - name: conf\n    type: file\n    foreach: vars.list\n    target_path: \"{{ vars.root }}/{{ item.name }}\"\n    content: |\n      {{ item.x | default('') }} {{ vars.port }}\n    mode: 0640\n    notify: [reload, \"exec/true\"]\n  - {name: reload, type: service, service: x, state: reloaded, when: changed && vars.port > 1}\n  - {type: exec, command: \"true\", stdin: '{{ secret(\"a/\" ~ envoy.name) }}', unless: [\"test -e /x\"], timeout: 5s}\n  - {type: file, target_path: /t, source: t.j2, before: conf, case: traits.a, match: {b: {mode: \"0600\"}}}\n",
    ),
    ("configcrates/old.vgo", "configcrate: old\nresources: [{type: package, package: old, state: absent}]\n"),
    ("configcrates/extra.vgo", "configcrate: extra\nresources: []\n"),
];

fn with_template() -> Tree {
    let mut tree = tree(&FILES);
    tree.insert("templates/t.j2", "{% for one in vars.list %}{{ one.name }}{% endfor %} secret:web/t\n")
        .unwrap();
    tree
}

/// The whole way, with everything that could be asked of the result.
fn all(tree: &Tree) {
    let (policy, diagnostics) = check(tree, &Surroundings::new(&types::TYPES));
    let text = render_text(&diagnostics, tree);
    assert_eq!(text.is_empty(), diagnostics.is_empty());
    assert!(!render_json(&diagnostics, tree).is_empty());
    for name in ["web-1", "db", "other"] {
        let compiled = compile(&policy, &select(&policy, name, None));
        let facts = vigo_template::EnvoyFacts { name: name.into(), ..Default::default() };
        let (entitled, failed) = vigo_policy::entitled(&compiled.bundle, &types::TYPES, &facts, &[]);
        assert!(entitled.len() + failed.len() <= compiled.bundle.secrets.len());
    }
}

#[test]
fn the_policy_of_these_tests_is_right() {
    let tree = with_template();
    let (policy, diagnostics) = check(&tree, &Surroundings::new(&types::TYPES));
    assert!(!has_errors(&diagnostics), "{}", render_text(&diagnostics, &tree));
    assert_eq!(compile(&policy, &select(&policy, "web-1", None)).bundle.resources.len(), 6);
    all(&tree);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(400)))]

    #[test]
    fn no_change_of_a_policy_makes_it_panic(file in 0..FILES.len(), at in any::<prop::sample::Index>(), cut in 0..30_usize, put in "[-:{}*&!%|>'\"# \t\n\\\\a/.,\\[\\]]{0,5}|\\{\\{ vars\\.[a-z]{1,4} \\}\\}|secret:[a-z/]{0,4}") {
        let (path, text) = FILES[file];
        let start = at.index(text.len());
        let end = (start + cut).min(text.len());
        let changed = format!("{}{put}{}", text.get(..start).unwrap(), text.get(end..).unwrap());
        let mut tree = with_template();
        tree.insert(path, changed).unwrap();
        all(&tree);
    }

    #[test]
    fn no_change_of_lines_makes_it_panic(file in 0..FILES.len(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let (path, text) = FILES[file];
        let mut lines: Vec<&str> = text.lines().collect();
        let (from, to) = (from.index(lines.len()), to.index(lines.len()));
        let moved = lines.remove(from);
        lines.insert(to.min(lines.len()), moved);
        let mut tree = with_template();
        tree.insert(path, lines.join("\n")).unwrap();
        all(&tree);
    }

    #[test]
    fn a_glob_that_covers_another_matches_whatever_that_matches(one in "[ab*?]{1,5}", other in "[ab*?]{1,5}", name in "[ab]{1,6}") {
        let (one, other): (Glob, Glob) = (one.parse().unwrap(), other.parse().unwrap());
        let promised = one.covers(&other) && other.matches(&name);
        prop_assert!(!promised || one.matches(&name), "{one} {other} {name}");
    }
}
