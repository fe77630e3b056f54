//! What `vigocli` sends for publishing: files of a policy, with their templates and expressions.

use crate::{Target, files_in};
use std::path::Path;
use vigo_policy::{Surroundings, Tree, check, compile, selections};
use vigo_template::{EnvoyFacts, Place, Renderer, Scope};
use vigo_wire::node::Node;

pub const TARGETS: &[Target] = &[
    Target { name: "yaml", run: yaml, seeds: yaml_seeds },
    Target { name: "policy", run: policy, seeds: policy_seeds },
    Target { name: "template", run: template, seeds: template_seeds },
    Target { name: "expression", run: expression, seeds: expression_seeds },
];

fn yaml(bytes: &[u8]) {
    let parsed = vigo_syntax::parse(0, bytes);
    let mut tree = Tree::default();
    if tree.insert("a.vgo", bytes).is_ok() {
        let _ = vigo_syntax::render_text(&parsed.diagnostics, &tree);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = vigo_policy::argument_value(text);
    }
}

/// The case files of the policy crate: lines `--- NAME` and what stands in the file of that name.
fn cases() -> Vec<Vec<u8>> {
    files_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/cases"))
}

fn yaml_seeds() -> Vec<Vec<u8>> {
    let cases = cases();
    let texts = cases.iter().filter_map(|case| std::str::from_utf8(case).ok());
    let parts = texts.flat_map(|text| text.split("\n--- ")).filter_map(|part| part.split_once(".vgo\n"));
    parts.map(|(_, body)| body.as_bytes().to_vec()).filter(|body| body.len() < 2048).take(64).collect()
}

fn tree_of(text: &str) -> Tree {
    let mut tree = Tree::default();
    for part in text.split("--- ") {
        if let Some((name, body)) = part.split_once('\n') {
            let _ = tree.insert(name, body);
        }
    }
    tree
}

/// Checked as on the server; what has no errors is compiled, and its bundle passes the check of the agent.
fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let tree = tree_of(text);
    let (policy, diagnostics) = check(&tree, &Surroundings::new(&vigo_resources::REGISTRY));
    let _ = vigo_syntax::render_text(&diagnostics, &tree);
    let _ = vigo_syntax::render_json(&diagnostics, &tree);
    if vigo_syntax::has_errors(&diagnostics) {
        return;
    }
    for selection in selections(&policy).iter().take(8) {
        let compiled = compile(&policy, selection);
        let checked = vigo_wire::check_bundle(&compiled.bytes, &compiled.digest);
        assert!(checked.is_ok(), "a bundle that the agent refuses: {checked:?}");
    }
}

fn policy_seeds() -> Vec<Vec<u8>> {
    cases().into_iter().filter(|case| case.len() < 4096).collect()
}

fn template(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for place in [Place::Attribute, Place::TemplateFile] {
        let recognised = vigo_template::recognise(text, place);
        let _ = vigo_template::check(recognised.source(), place);
        let Ok(renderer) = Renderer::new(&[]) else { return };
        let scope = Scope::new(&[], None, &EnvoyFacts::default());
        let _ = renderer.value(&Node::new(recognised.kind), &scope);
    }
}

fn template_seeds() -> Vec<Vec<u8>> {
    [
        "Bearer secret:web/token and secret:{web/token}x {{ secret(\"a/\" ~ envoy.name) | base64 }}",
        "{% for x in [1, 2] %}{{ x }}{% if loop.last %}.{% endif %}{% endfor %}",
        "{% raw %}{{ {% endraw %}{{ vars.a | default(1) | json }}{# note #}",
        "{% include \"x.j2\" %}{% set a = 1 %}{% macro m(x) %}{{ x }}{% endmacro %}{{ m(a) }}",
        "{{ \"secret:\" }}x secret\\:y {{ range(100000) | join(\",\") }}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

fn expression(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = vigo_template::check_expression(text);
    }
}

fn expression_seeds() -> Vec<Vec<u8>> {
    [
        "changed && !file_exists(\"/etc/x\") || os.family == \"debian\"",
        "hardware.memory_mb >= 1024 and (envoy.name in [\"a\", 'b'])",
        "command(\"true\") or weekday() == \"monday\" if true else false",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
