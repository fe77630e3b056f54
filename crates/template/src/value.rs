//! Values between the three worlds: nodes of a bundle, the engine, and what a resource gets.

use crate::error::{Fault, FaultKind};
use crate::slot::Tainted;
use minijinja::value::{ObjectRepr, ValueKind};
use minijinja::{Error, Value};
use vigo_base::{Pieces, Value as Rendered};
use vigo_secret::Salt;
use vigo_wire::node::{Kind, Node};

/// How deep lists and maps may nest.
const DEPTH: usize = 64;

/// The engine's value for data. What is still to be rendered has no place here and becomes null.
pub fn from_data(node: &Node) -> Value {
    match &node.kind {
        None | Some(Kind::Template(_) | Kind::Expression(_) | Kind::Source(_)) => Value::from(()),
        Some(Kind::Boolean(value)) => Value::from(*value),
        Some(Kind::Integer(value)) => Value::from(*value),
        Some(Kind::Number(value)) => Value::from(*value),
        Some(Kind::Literal(text)) => Value::from(text.as_str()),
        Some(Kind::List(list)) => Value::from_iter(list.items.iter().map(from_data)),
        Some(Kind::Map(map)) => Value::from_pairs(map.entries.iter().map(|entry| {
            (entry.name.as_str(), entry.value.as_ref().map_or_else(|| Value::from(()), from_data))
        })),
    }
}

/// The rendered value for data; `None` if something in it is still to be rendered.
pub fn rendered_data(node: &Node) -> Option<Rendered> {
    Some(match &node.kind {
        None => Rendered::Null,
        Some(Kind::Boolean(value)) => Rendered::Boolean(*value),
        Some(Kind::Integer(value)) => Rendered::Integer(*value),
        Some(Kind::Number(value)) => Rendered::Number(*value),
        Some(Kind::Literal(text)) => Rendered::text(text.as_str()),
        Some(Kind::List(list)) => {
            Rendered::List(list.items.iter().map(rendered_data).collect::<Option<_>>()?)
        }
        Some(Kind::Map(map)) => {
            let entry = |entry: &vigo_wire::node::Entry| {
                Some((entry.name.clone(), entry.value.as_ref().map_or(Some(Rendered::Null), rendered_data)?))
            };
            Rendered::Map(map.entries.iter().map(entry).collect::<Option<_>>()?)
        }
        Some(Kind::Template(_) | Kind::Expression(_) | Kind::Source(_)) => return None,
    })
}

/// What the engine's value is for a resource.
pub fn to_rendered(value: &Value) -> Result<Rendered, Error> {
    convert(value, 0)
}

fn convert(value: &Value, depth: usize) -> Result<Rendered, Error> {
    if depth > DEPTH {
        return Err(Fault::new(FaultKind::Limit, "it nests deeper than 64 levels").into());
    }
    if let Some(Tainted(pieces)) = value.downcast_object_ref::<Tainted>() {
        return Ok(Rendered::Text(pieces.clone()));
    }
    match value.kind() {
        ValueKind::None => Ok(Rendered::Null),
        ValueKind::Bool => Ok(Rendered::Boolean(value.is_true())),
        ValueKind::Number => number(value),
        ValueKind::String | ValueKind::Bytes => Ok(Rendered::text(value.as_str().unwrap_or_default())),
        ValueKind::Seq | ValueKind::Iterable => value
            .try_iter()?
            .checked()
            .map(|item| convert(&item?, depth + 1))
            .collect::<Result<_, _>>()
            .map(Rendered::List),
        ValueKind::Map => {
            let pairs = value.as_object().and_then(|object| object.try_iter_pairs()).into_iter().flatten();
            pairs
                .map(|(key, item)| Ok((text_of(&key)?, convert(&item, depth + 1)?)))
                .collect::<Result<_, _>>()
                .map(Rendered::Map)
        }
        ValueKind::Undefined => Err(Fault::new(FaultKind::Undefined, "its value is not defined").into()),
        _ => Err(Fault::new(FaultKind::Other, "its value is a function, not data").into()),
    }
}

fn number(value: &Value) -> Result<Rendered, Error> {
    if let Some(whole) = value.as_i64().filter(|_| value.is_integer()) {
        return Ok(Rendered::Integer(whole));
    }
    if value.is_integer() {
        return Err(Fault::new(FaultKind::Limit, "a number is larger than 64 bits").into());
    }
    f64::try_from(value.clone()).map(Rendered::Number)
}

/// A value as it stands in text: booleans in small letters, nothing for what is no text.
pub fn text_of(value: &Value) -> Result<String, Error> {
    let wrong = |what: &str| {
        Fault::new(
            FaultKind::Other,
            format!("{what} in text; pass it through `json`, or take one value of it"),
        )
        .into()
    };
    match value.kind() {
        ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number => Ok(value.to_string()),
        ValueKind::String | ValueKind::Bytes => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::None => Err(wrong("nothing (`none`) stands")),
        ValueKind::Map => Err(wrong("a map stands")),
        ValueKind::Seq | ValueKind::Iterable => Err(wrong("a list stands")),
        ValueKind::Undefined => Err(Error::from(minijinja::ErrorKind::UndefinedError)),
        _ if value.downcast_object_ref::<Tainted>().is_some() => {
            Err(crate::slot::refusal("joined to other text"))
        }
        _ => Err(wrong("a function stands")),
    }
}

/// `value` as JSON (RFC 8259). Secrets in it become slots that write their own quotes.
pub fn to_json(value: &Value) -> Result<Pieces, Error> {
    let mut out = Pieces::default();
    push_json(&mut out, value, 0)?;
    Ok(out)
}

fn push_json(out: &mut Pieces, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > DEPTH || out.literal_len() > vigo_base::limits::RENDERED {
        return Err(Fault::new(FaultKind::Limit, "the JSON is too deep or too long").into());
    }
    if let Some(one) = value.downcast_object_ref::<Tainted>() {
        let filtered = one.filtered(vigo_base::Filter::Json)?;
        if let Some(Tainted(pieces)) = filtered.downcast_object_ref::<Tainted>() {
            pieces.slots().for_each(|slot| out.push_slot(slot.clone()));
        }
        return Ok(());
    }
    match value.kind() {
        ValueKind::None => out.push_literal("null"),
        ValueKind::Bool | ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(number) if !number.is_finite() => {
                return Err(Fault::new(FaultKind::Other, "JSON has no such number").into());
            }
            _ => out.push_literal(text_of(value)?),
        },
        ValueKind::String | ValueKind::Bytes => {
            out.push_literal(json_string(value.as_str().unwrap_or_default())?);
        }
        ValueKind::Map => push_json_map(out, value, depth)?,
        ValueKind::Seq | ValueKind::Iterable => {
            out.push_literal("[");
            for (index, item) in value.try_iter()?.checked().enumerate() {
                out.push_literal(if index == 0 { "" } else { ", " });
                push_json(out, &item?, depth + 1)?;
            }
            out.push_literal("]");
        }
        ValueKind::Undefined => return Err(Error::from(minijinja::ErrorKind::UndefinedError)),
        _ => return Err(Fault::new(FaultKind::Other, "a function cannot be written as JSON").into()),
    }
    Ok(())
}

fn json_string(text: &str) -> Result<String, Error> {
    filtered(vigo_base::Filter::Json, text, None)
}

/// What a fixed filter makes of ordinary text: the same code as the hand's on a secret.
pub fn filtered(filter: vigo_base::Filter, text: &str, salt: Option<&Salt>) -> Result<String, Error> {
    let made = vigo_secret::apply(filter, text.as_bytes(), salt)
        .map_err(|cause| Fault::new(FaultKind::Other, cause.to_string()))?;
    Ok(String::from_utf8_lossy(made.expose()).into_owned())
}

fn push_json_map(out: &mut Pieces, value: &Value, depth: usize) -> Result<(), Error> {
    out.push_literal("{");
    let object = value.as_object().filter(|object| object.repr() == ObjectRepr::Map);
    let pairs = object.and_then(|object| object.try_iter_pairs()).into_iter().flatten();
    for (index, (key, item)) in pairs.enumerate() {
        let mut text = String::from(if index == 0 { "" } else { ", " });
        text.push_str(&json_string(&text_of(&key)?)?);
        text.push_str(": ");
        out.push_literal(text);
        push_json(out, &item, depth + 1)?;
    }
    out.push_literal("}");
    Ok(())
}
