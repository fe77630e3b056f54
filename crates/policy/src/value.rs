//! Values of a file into values of a bundle.

use crate::model::{Leaf, Named, Value, Variable, Written};
use crate::reader::Reader;
use crate::text;
use vigo_base::Value as Rendered;
use vigo_syntax::{Code, Kind, Node};
use vigo_template::Place;
use vigo_wire::node;

/// How numbers and booleans are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// As numbers and booleans.
    Typed,
    /// Numbers as the text that is written: `1.10` stays `1.10`.
    NumbersAsText,
    /// Booleans too.
    AllAsText,
}

/// A value, and what it refers to. `name` is the key that it is the value of.
pub(crate) fn read_value(reader: &mut Reader<'_>, node: &Node, take: Take, name: &str) -> Value {
    let mut leaves = Vec::new();
    let mut path = Vec::new();
    let converted = convert(reader, node, take, name, &mut path, &mut leaves);
    Value { node: converted, leaves, span: node.span }
}

fn convert(
    reader: &mut Reader<'_>,
    node: &Node,
    take: Take,
    name: &str,
    path: &mut Vec<String>,
    leaves: &mut Vec<Leaf>,
) -> node::Node {
    let raw = |reader: &Reader<'_>| node::Node::literal(reader.raw(node.span));
    if path.len() >= node::DEPTH && matches!(node.kind, Kind::List(_) | Kind::Map(_)) {
        // No envoy could decode a bundle with it.
        let message =
            format!("lists and maps stand more than {} levels deep in each other in one value", node::DEPTH);
        reader.report(
            Code::TooLarge,
            node.span,
            message,
            "write it flatter, or divide it into several variables",
        );
        return node::Node::default();
    }
    match &node.kind {
        Kind::Null | Kind::Invalid => node::Node::default(),
        Kind::Boolean(_) if take == Take::AllAsText => raw(reader),
        Kind::Integer(_) | Kind::Number(_) if take != Take::Typed => raw(reader),
        Kind::Boolean(value) => node::Node::new(node::Kind::Boolean(*value)),
        Kind::Integer(value) => node::Node::new(node::Kind::Integer(*value)),
        Kind::Number(value) => node::Node::new(node::Kind::Number(*value)),
        Kind::Text(text) => {
            let written = Written { span: node.span, style: text.style };
            let (kind, uses) = text::read_text(reader, &text.value, written, Place::Attribute, name);
            if !(uses.names.is_empty() && uses.secrets.is_empty() && uses.templates.is_empty()) {
                leaves.push(Leaf { path: path.clone(), uses });
            }
            node::Node::new(kind)
        }
        Kind::List(items) => {
            let mut converted = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                converted.push(convert(reader, item, take, name, path, leaves));
                path.pop();
            }
            node::Node::list(converted)
        }
        Kind::Map(entries) => {
            let mut converted = Vec::with_capacity(entries.len());
            for entry in entries {
                path.push(entry.key.clone());
                converted
                    .push((entry.key.clone(), convert(reader, &entry.value, take, &entry.key, path, leaves)));
                path.pop();
            }
            node::Node::map(converted)
        }
    }
}

/// A map of variables.
pub(crate) fn read_variables(reader: &mut Reader<'_>, node: &Node) -> Vec<Variable> {
    let mut variables = Vec::new();
    for entry in reader.entries(node, "`vars`") {
        let name = Named { name: entry.key.clone(), span: entry.key_span };
        if !is_variable_name(&name.name) {
            let message = format!("`{}` is no name for a variable", name.name);
            let help = "it takes letters, digits and `_`, and does not start with a digit, so that `vars.name` is one name";
            reader.report(Code::InvalidValue, name.span, message, help);
            continue;
        }
        let value = read_value(reader, &entry.value, Take::Typed, &entry.key);
        variables.push(Variable { name, value });
    }
    variables
}

pub(crate) fn is_variable_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.len() <= 100 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Data as a rendered value; `None` where something is still to be rendered.
pub(crate) fn data(node: &node::Node) -> Option<Rendered> {
    Some(match &node.kind {
        None => Rendered::Null,
        Some(node::Kind::Boolean(value)) => Rendered::Boolean(*value),
        Some(node::Kind::Integer(value)) => Rendered::Integer(*value),
        Some(node::Kind::Number(value)) => Rendered::Number(*value),
        Some(node::Kind::Literal(text)) => Rendered::text(text.as_str()),
        Some(node::Kind::List(list)) => {
            Rendered::List(list.items.iter().map(data).collect::<Option<Vec<_>>>()?)
        }
        Some(node::Kind::Map(map)) => {
            let entry = |entry: &node::Entry| {
                Some((entry.name.clone(), entry.value.as_ref().map_or(Some(Rendered::Null), data)?))
            };
            Rendered::Map(map.entries.iter().map(entry).collect::<Option<Vec<_>>>()?)
        }
        Some(node::Kind::Template(_) | node::Kind::Expression(_) | node::Kind::Source(_)) => return None,
    })
}

/// The text of a scalar that is data.
pub(crate) fn scalar_text(node: &node::Node) -> Option<String> {
    match node.kind.as_ref()? {
        node::Kind::Boolean(value) => Some(value.to_string()),
        node::Kind::Integer(value) => Some(value.to_string()),
        node::Kind::Number(value) => Some(value.to_string()),
        node::Kind::Literal(text) => Some(text.clone()),
        _ => None,
    }
}

/// Data of a node, without looking for references; `None` when it holds something that is no data.
pub(crate) fn argument(node: &Node) -> Option<node::Node> {
    Some(match &node.kind {
        Kind::Null => node::Node::default(),
        Kind::Boolean(value) => node::Node::new(node::Kind::Boolean(*value)),
        Kind::Integer(value) => node::Node::new(node::Kind::Integer(*value)),
        Kind::Number(value) => node::Node::new(node::Kind::Number(*value)),
        Kind::Text(text) => node::Node::literal(text.value.as_str()),
        Kind::List(items) => node::Node::list(items.iter().map(argument).collect::<Option<Vec<_>>>()?),
        Kind::Map(entries) => {
            let entry = |entry: &vigo_syntax::Entry| Some((entry.key.clone(), argument(&entry.value)?));
            node::Node::map(entries.iter().map(entry).collect::<Option<Vec<_>>>()?)
        }
        Kind::Invalid => return None,
    })
}
