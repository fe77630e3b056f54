//! Data nodes as JSON, for `--json`.

use serde_json::{Map, Value};
use vigo_wire::node::{Kind, Node};

/// The node as JSON. What is still to be rendered stands there as its source.
#[must_use]
pub fn value(node: &Node) -> Value {
    match &node.kind {
        None => Value::Null,
        Some(Kind::Boolean(value)) => Value::Bool(*value),
        Some(Kind::Integer(value)) => Value::from(*value),
        Some(Kind::Number(value)) => serde_json::Number::from_f64(*value).map_or(Value::Null, Value::Number),
        Some(Kind::Literal(text) | Kind::Template(text) | Kind::Expression(text) | Kind::Source(text)) => {
            Value::String(text.clone())
        }
        Some(Kind::List(list)) => Value::Array(list.items.iter().map(value).collect()),
        Some(Kind::Map(map)) => Value::Object(
            map.entries
                .iter()
                .map(|entry| (entry.name.clone(), entry.value.as_ref().map_or(Value::Null, value)))
                .collect::<Map<_, _>>(),
        ),
    }
}
