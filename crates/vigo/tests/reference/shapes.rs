//! The page of JSON output, and whether every field that a program prints is described there, and the other way round.

use crate::fields::{Field, Part, SHAPES, Shape};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// What was printed, by the name of its shape.
#[derive(Default)]
pub struct Printed(BTreeMap<&'static str, Vec<Value>>);

impl Printed {
    pub fn add(&mut self, name: &'static str, value: Value) {
        self.0.entry(name).or_default().push(value);
    }
}

/// Fields that the page explains once.
const EVERYWHERE: [&str; 4] = ["format", "items", "items[].format", "next"];

/// A field with its whole place.
struct Placed {
    path: String,
    kind: &'static str,
    optional: bool,
    about: &'static str,
}

/// The page; panics when something was printed that is not described here, or the other way round.
pub fn page(printed: &Printed) -> String {
    let mut out = String::from(
        "`--json` prints one JSON document on standard output; messages, those of errors too, stay on standard error, and the exit code \
         is the same.\n\nEvery document has `format`, a number: 1. No field is removed or given another meaning without another number; \
         fields may be added, so read over those you do not know. A list is `{format, items, next}`; `next` is what `--cursor` takes to \
         go on, null at the end. These three are not repeated below. A *time* is text like `2026-01-31T12:00:00Z`.\n",
    );
    let mut wrong = Vec::new();
    for shape in SHAPES {
        let fields = placed(shape);
        compare(shape, &fields, printed, &mut wrong);
        writeln!(out, "\n## {}\n\n| field | value | what it is |\n| --- | --- | --- |", shape.commands)
            .unwrap();
        for Placed { path, kind, optional, about } in
            fields.into_iter().filter(|field| !EVERYWHERE.contains(&&*field.path))
        {
            let missing = if optional { ", may be missing" } else { "" };
            writeln!(out, "| `{path}` | {kind}{missing} | {about} |").unwrap();
        }
    }
    let known: BTreeSet<_> = SHAPES.iter().map(|shape| shape.name).collect();
    wrong.extend(
        printed
            .0
            .keys()
            .filter(|name| !known.contains(*name))
            .map(|name| format!("no shape is named {name}")),
    );
    assert!(wrong.is_empty(), "json.md and what is printed differ; mend `SHAPES`:\n{}", wrong.join("\n"));
    out
}

/// The fields of a shape with their whole places.
fn placed(shape: &Shape) -> Vec<Placed> {
    let place = |before: &str, fields: &'static [Field]| -> Vec<Placed> {
        fields
            .iter()
            .map(|(path, kind, about)| Placed {
                path: format!("{before}{path}"),
                kind: kind.trim_end_matches('?'),
                optional: kind.ends_with('?'),
                about,
            })
            .collect()
    };
    let part = |part: &Part| match part {
        Part::Here(fields) => place("", fields),
        Part::Items(fields) => place("items[].", fields),
        Part::Under(name, fields) => place(&format!("{name}."), fields),
    };
    shape.parts.iter().flat_map(part).collect()
}

fn compare(shape: &Shape, fields: &[Placed], printed: &Printed, wrong: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    let samples = printed.0.get(shape.name).map(Vec::as_slice).unwrap_or_default();
    for sample in samples {
        walk(sample, "", fields, &mut seen, &mut |what| wrong.push(format!("{}: {what}", shape.commands)));
    }
    let missing = fields.iter().filter(|field| !field.optional && !seen.contains(&field.path));
    wrong.extend(missing.map(|field| format!("{}: nothing printed `{}`", shape.commands, field.path)));
}

fn walk(
    value: &Value,
    at: &str,
    fields: &[Placed],
    seen: &mut BTreeSet<String>,
    wrong: &mut dyn FnMut(String),
) {
    let Value::Object(entries) = value else { return };
    for (key, value) in entries {
        let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        let Some(Placed { kind, .. }) = fields.iter().find(|known| known.path == path) else {
            wrong(format!("`{path}` is not described; it was {value}"));
            continue;
        };
        if !fits(kind, value) {
            wrong(format!("`{path}` is said to be {kind}; it was {value}"));
        }
        seen.insert(path.clone());
        match value {
            Value::Array(items) if *kind == "list" => {
                items.iter().for_each(|item| walk(item, &format!("{path}[]"), fields, seen, wrong));
            }
            Value::Object(_) if kind.starts_with("object") => walk(value, &path, fields, seen, wrong),
            _ => {}
        }
    }
}

fn fits(kind: &str, value: &Value) -> bool {
    let texts = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    match kind.strip_suffix(" or null") {
        Some(_) if value.is_null() => true,
        Some(kind) => fits(kind, value),
        None => match kind {
            "text" => value.is_string(),
            "time" => value.as_str().is_some_and(|text| text.len() == 20 && text.ends_with('Z')),
            "number" => value.is_u64(),
            "boolean" => value.is_boolean(),
            "list" => value.as_array().is_some_and(|items| items.iter().all(Value::is_object)),
            "list of text" => texts(value),
            "list of pairs of text" => value.as_array().is_some_and(|items| items.iter().all(texts)),
            "object" | "map" => value.is_object(),
            _ => panic!("`{kind}` is no kind of value"),
        },
    }
}
