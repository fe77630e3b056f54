//! Case tables: recognition, rendering, everything that is refused to a secret, limits.

mod recognising;
mod refusing;
mod rendering;

use crate::{EnvoyFacts, Place, Renderer, Scope, recognise};
use vigo_base::Value;
use vigo_wire::bundle::Template;
use vigo_wire::node::{Entry, Node};

/// An attribute as the policy has it, as a node.
fn attribute(text: &str) -> Node {
    let recognised = recognise(text, Place::Attribute);
    assert!(recognised.problems.iter().all(|problem| !problem.error), "{text}: {:?}", recognised.problems);
    Node::new(recognised.kind)
}

fn variables(pairs: &[(&str, &str)]) -> Vec<Entry> {
    pairs.iter().map(|(name, text)| Entry { name: (*name).into(), value: Some(attribute(text)) }).collect()
}

fn traits() -> Node {
    let os =
        Node::map([("family".to_owned(), Node::literal("debian")), ("codename".to_owned(), Node::default())]);
    let hardware = Node::map([
        ("cpu_count".to_owned(), Node::new(vigo_wire::node::Kind::Integer(2))),
        ("container".to_owned(), Node::default()),
        ("ratio".to_owned(), Node::new(vigo_wire::node::Kind::Number(1.5))),
    ]);
    Node::map([("os".to_owned(), os), ("hardware".to_owned(), hardware)])
}

fn scope(pairs: &[(&str, &str)]) -> Scope {
    let envoy = EnvoyFacts { name: "web-1".into(), id: "00ff".into(), environment: "production".into() };
    Scope::new(&variables(pairs), Some(&traits()), &envoy)
}

fn renderer(templates: &[(&str, &str)]) -> Renderer {
    let template = |(name, text): &(&str, &str)| {
        let recognised = recognise(text, Place::TemplateFile);
        Template { name: (*name).into(), source: recognised.source().to_owned() }
    };
    Renderer::new(&templates.iter().map(template).collect::<Vec<_>>()).unwrap()
}

/// The common variables of the tables.
const VARIABLES: &[(&str, &str)] = &[
    ("port", "{{ 8080 }}"),
    ("name", "web"),
    ("flag", "{{ true }}"),
    ("nothing", "{{ none }}"),
    ("list", "{{ [\"a\", \"b\"] }}"),
    ("map", "{{ {\"k\": {\"x\": 1}} }}"),
    ("token", "secret:web/token"),
    ("url", "https://u:secret:{db/pw}@host"),
    ("holder", "{{ {\"inside\": secret(\"a/b\")} }}"),
    ("derived", "{{ vars.name }}-{{ vars.port }}"),
    ("loop_a", "{{ vars.loop_b }}"),
    ("loop_b", "x{{ vars.loop_a }}"),
];

fn render(text: &str) -> Result<Value, crate::TemplateError> {
    renderer(&[]).value(&attribute(text), &scope(VARIABLES))
}

/// What a text renders to, with `‹secret path|filter›` for slots.
fn shown(text: &str) -> String {
    match render(text) {
        Ok(value) => show(&value),
        Err(error) => format!("error: {error}"),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Text(pieces) => pieces
            .as_slice()
            .iter()
            .map(|piece| match piece {
                vigo_base::Piece::Literal(text) => text.clone(),
                vigo_base::Piece::Slot(slot) => {
                    let filters: String =
                        slot.filters.iter().map(|filter| format!("|{}", filter.name())).collect();
                    format!("‹{}{filters}›", slot.path)
                }
            })
            .collect(),
        other => format!("{other:?}"),
    }
}
