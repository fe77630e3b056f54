//! Attributes of a resource: known to its type, of the right kind, with values that can be.

use crate::model::{Attribute, Leaf, Named, Uses, Value, Written};
use crate::reader::Reader;
use crate::value::{Take, data, read_value, scalar_text};
use vigo_base::Span;
use vigo_resource::{AttributeInfo, Kind as Wanted, TypeInfo};
use vigo_syntax::{Code, Entry, Kind, Style};
use vigo_wire::node;

/// Reads one attribute. `None` when the type has none of that name; that is said.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    kind: &'static TypeInfo,
    entry: &Entry,
    keys: &[&str],
) -> Option<Attribute> {
    let name = Named { name: entry.key.clone(), span: entry.key_span };
    let info = kind.attribute(&entry.key);
    if info.is_none() && entry.key == "state" && !kind.states.is_empty() {
        return Some(Attribute { value: read_state(reader, kind, entry), name, info });
    }
    let Some(info) = info else {
        if kind.later.contains(&entry.key.as_str()) {
            let message = format!("`{}` of `{}` is not carried out by this version", entry.key, kind.name);
            reader.report(Code::NotSupported, entry.key_span, message, "remove the key");
            return None;
        }
        let what = format!("`{}`", kind.name);
        let attributes = kind.attributes.iter().map(|attribute| attribute.name);
        let state = (!kind.states.is_empty()).then_some("state");
        let known: Vec<&str> = attributes.chain(state).chain(keys.iter().copied()).collect();
        reader.unknown_key(&entry.key, entry.key_span, &what, &known);
        return None;
    };
    if is_template_name(info) {
        return Some(Attribute { value: read_source(reader, entry)?, name, info: Some(info) });
    }
    let value = read_value(reader, &entry.value, take(info.kind), info.name);
    check_value(reader, info, &value, entry);
    Some(Attribute { name, info: Some(info), value })
}

/// `source` names a file under `templates/`, whose rendering is the value.
fn is_template_name(info: &AttributeInfo) -> bool {
    info.name == "source" && info.kind == Wanted::Text
}

const fn take(kind: Wanted) -> Take {
    match kind {
        Wanted::Boolean | Wanted::Integer { .. } | Wanted::Integers { .. } => Take::Typed,
        Wanted::Shell => Take::NumbersAsText,
        _ => Take::AllAsText,
    }
}

fn read_state(reader: &mut Reader<'_>, kind: &TypeInfo, entry: &Entry) -> Value {
    let value = read_value(reader, &entry.value, Take::AllAsText, "state");
    if let Some(state) = scalar_text(&value.node)
        && !kind.states.contains(&state.as_str())
    {
        let message = format!("`{}` has no state `{state}`", kind.name);
        let help = format!("it has {}", kind.states.join(", "));
        reader.report(Code::UnknownChoice, entry.value.span, message, help);
    }
    value
}

fn read_source(reader: &mut Reader<'_>, entry: &Entry) -> Option<Value> {
    let template = reader.plain(&entry.value, "`source`")?;
    let odd = template.name.starts_with('/')
        || template.name.split('/').any(|part| part == ".." || part.is_empty());
    if odd {
        let message = format!("`{}` is no path of a template", template.name);
        let help = "write the path below `templates/`, without `..`";
        reader.report(Code::InvalidValue, template.span, message, help);
        return None;
    }
    let node = node::Node::new(node::Kind::Source(template.name.clone()));
    let span = template.span;
    let written = Some(Written { span, style: Style::Plain });
    let uses = Uses { written, templates: vec![template], ..Uses::default() };
    Some(Value { node, leaves: vec![Leaf { path: Vec::new(), uses }], span })
}

/// What does not have to be rendered is checked as the envoy would check it.
fn check_value(reader: &mut Reader<'_>, info: &AttributeInfo, value: &Value, entry: &Entry) {
    if entry.value.kind == Kind::Invalid {
        return;
    }
    let shape = wrong_shape(info, &entry.value.kind);
    let Some(rendered) = data(&value.node) else {
        if shape {
            wrong(reader, info, &entry.value, entry.value.span);
        }
        return;
    };
    if let Err(problem) = info.check(&rendered) {
        if shape {
            return wrong(reader, info, &entry.value, entry.value.span);
        }
        let code = match info.kind {
            Wanted::Choice(_) => Code::UnknownChoice,
            Wanted::Boolean => Code::WrongKind,
            _ => Code::InvalidValue,
        };
        let message = format!("`{}`: {}", info.name, problem.message);
        reader.report(code, entry.value.span, message, problem.help);
    }
}

/// True if no rendering could make it right.
fn wrong_shape(info: &AttributeInfo, written: &Kind) -> bool {
    match (info.kind, written) {
        (Wanted::Environment | Wanted::Credentials, Kind::Map(_)) => false,
        (Wanted::Environment | Wanted::Credentials, Kind::Text(text)) => !text.value.contains("{{"),
        (Wanted::Environment | Wanted::Credentials, _) => !matches!(written, Kind::Null),
        (Wanted::Integers { .. } | Wanted::Command | Wanted::Commands, Kind::List(_))
        | (Wanted::Value, _) => false,
        (_, Kind::List(_) | Kind::Map(_)) => true,
        _ => false,
    }
}

fn wrong(reader: &mut Reader<'_>, info: &AttributeInfo, node: &vigo_syntax::Node, span: Span) {
    let message = format!("`{}` is {}, not {}", info.name, info.kind.describe(), node.kind_name());
    reader.report(Code::WrongKind, span, message, "");
}
