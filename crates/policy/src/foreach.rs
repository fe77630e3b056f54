//! `foreach`: one item after the other, each with the key that goes into the id.

use crate::model::{Foreach, Leaf, SecretCall, Uses, Value};
use crate::uses::Sight;
use crate::value::scalar_text;
use std::collections::HashSet;
use vigo_base::{Piece, Span, Value as Rendered};
use vigo_syntax::{Code, Diagnostic};
use vigo_template::{Renderer, Scope, TemplateError};
use vigo_wire::node::{DEPTH, Kind, Node};

/// One item.
pub(crate) struct Item {
    /// What stands in `[ ]` of the id.
    pub key: String,
    pub value: Value,
}

/// The items, or why there are none.
pub(crate) fn items(
    foreach: &Foreach,
    sight: &Sight<'_>,
    renderer: &Renderer,
    scope: &Scope,
) -> Result<Vec<Item>, Diagnostic> {
    let span = foreach.span();
    let over = match foreach {
        Foreach::Value(value) => value.clone(),
        Foreach::Expression(expression) => match written(&expression.source, sight) {
            Some(value) => value,
            None => computed(&expression.source, span, renderer, scope)?,
        },
    };
    let items = match &over.node.kind {
        Some(Kind::List(list)) => list
            .items
            .iter()
            .enumerate()
            .map(|(index, node)| list_item(&over, index, node, span))
            .collect::<Result<Vec<_>, _>>()?,
        Some(Kind::Map(map)) => map.entries.iter().map(|entry| map_item(&over, entry)).collect(),
        _ => {
            let message = "`foreach` goes over a list or a map; this is neither";
            return Err(Diagnostic::new(Code::Foreach, span, message));
        }
    };
    if items.iter().any(|item| item.value.node.depth() > DEPTH) {
        // What is computed can nest deeper than what is written, and no envoy could decode it.
        let message = format!("an item of `foreach` nests more than {DEPTH} levels deep");
        return Err(Diagnostic::new(Code::TooLarge, span, message).help("make the items flatter"));
    }
    let mut keys = HashSet::new();
    match items.iter().find(|item| !keys.insert(item.key.as_str())) {
        None => Ok(items),
        Some(twice) => {
            let message = format!("two items have the key `{}`", twice.key);
            let help =
                "the key stands in the ids of what is stamped: the item itself, or its `name`, `key` or `id`";
            Err(Diagnostic::new(Code::Foreach, span, message).help(help))
        }
    }
}

/// `vars.list` where it is written as a list or a map: its items keep what is still to be rendered in them.
fn written(source: &str, sight: &Sight<'_>) -> Option<Value> {
    let mut steps = source.trim().split('.');
    if steps.next() != Some("vars") {
        return None;
    }
    let mut value = sight.variable(steps.next()?)?.value.clone();
    for step in steps {
        let node = value.node.get(step)?.clone();
        value = part(&value, node, step);
    }
    matches!(value.node.kind, Some(Kind::List(_) | Kind::Map(_))).then_some(value)
}

/// A part of a value, with what refers to something in it.
fn part(of: &Value, node: Node, step: &str) -> Value {
    let inside = |leaf: &&Leaf| leaf.path.first().is_some_and(|first| first == step);
    let cut =
        |leaf: &Leaf| Leaf { path: leaf.path.iter().skip(1).cloned().collect(), uses: leaf.uses.clone() };
    Value { node, leaves: of.leaves.iter().filter(inside).map(cut).collect(), span: of.span }
}

fn list_item(of: &Value, index: usize, node: &Node, span: Span) -> Result<Item, Diagnostic> {
    let value = part(of, node.clone(), &index.to_string());
    let named = ["name", "key", "id"].iter().find_map(|key| node.get(key).and_then(scalar_text));
    let Some(key) = scalar_text(node).or(named) else {
        let message = format!("item {} has no key for the id", index + 1);
        let help = "an item is a word or a number, or a map with `name`, `key` or `id`";
        return Err(Diagnostic::new(Code::Foreach, span, message).help(help));
    };
    Ok(Item { key: shown(&key), value })
}

fn map_item(of: &Value, entry: &vigo_wire::node::Entry) -> Item {
    let node = entry.value.clone().unwrap_or_default();
    let mut value = part(of, node.clone(), &entry.name);
    for leaf in &mut value.leaves {
        leaf.path.insert(0, "value".to_owned());
    }
    value.node =
        Node::map([("key".to_owned(), Node::literal(entry.name.as_str())), ("value".to_owned(), node)]);
    Item { key: shown(&entry.name), value }
}

/// The key as it stands in an id: one line, no brackets, not too long.
fn shown(key: &str) -> String {
    key.chars()
        .map(|letter| if letter.is_control() || "[]".contains(letter) { '_' } else { letter })
        .take(100)
        .collect()
}

fn computed(source: &str, span: Span, renderer: &Renderer, scope: &Scope) -> Result<Value, Diagnostic> {
    match renderer.expression(source, scope) {
        Ok(rendered) => {
            let mut leaves = Vec::new();
            let node = unrendered(&rendered, &mut Vec::new(), &mut leaves);
            Ok(Value { node, leaves, span })
        }
        Err(TemplateError::NeedsTraits { .. }) => {
            let message = "`foreach` cannot depend on traits: what is stamped must be known at publish";
            let help = "use `when` at a resource, or a loop inside a template";
            Err(Diagnostic::new(Code::Foreach, span, message).help(help))
        }
        Err(error) => Err(Diagnostic::new(Code::Foreach, span, error.to_string())),
    }
}

/// A rendered value as one to be rendered: secrets become references again.
fn unrendered(value: &Rendered, path: &mut Vec<String>, leaves: &mut Vec<Leaf>) -> Node {
    match value {
        Rendered::Null => Node::default(),
        Rendered::Boolean(value) => Node::new(Kind::Boolean(*value)),
        Rendered::Integer(value) => Node::new(Kind::Integer(*value)),
        Rendered::Number(value) => Node::new(Kind::Number(*value)),
        Rendered::Text(pieces) => match pieces.as_literal() {
            Some(text) => Node::literal(text),
            None => {
                let calls = pieces.slots().map(|slot| SecretCall {
                    path: Some(slot.path.clone()),
                    expression: format!("\"{}\"", slot.path),
                    solid: 0,
                    length: 1,
                });
                let uses = Uses { secrets: calls.collect(), ..Uses::default() };
                leaves.push(Leaf { path: path.clone(), uses });
                Node::new(Kind::Template(pieces.as_slice().iter().map(source_of).collect()))
            }
        },
        Rendered::List(items) => Node::list(
            items
                .iter()
                .enumerate()
                .map(|(index, item)| inside(index.to_string(), item, path, leaves))
                .collect(),
        ),
        Rendered::Map(entries) => Node::map(
            entries.iter().map(|(name, value)| (name.clone(), inside(name.clone(), value, path, leaves))),
        ),
    }
}

fn inside(step: String, value: &Rendered, path: &mut Vec<String>, leaves: &mut Vec<Leaf>) -> Node {
    path.push(step);
    let node = unrendered(value, path, leaves);
    path.pop();
    node
}

fn source_of(piece: &Piece) -> String {
    match piece {
        Piece::Literal(text) => crate::templates::literal_source(text),
        Piece::Slot(slot) => {
            let filters: String = slot.filters.iter().map(|filter| format!(" | {}", filter.name())).collect();
            format!("{{{{ secret(\"{}\"){filters} }}}}", slot.path)
        }
    }
}
