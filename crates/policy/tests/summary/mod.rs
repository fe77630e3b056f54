//! A bundle as text, for the cases.

use crate::types::TYPES;
use std::fmt::Write as _;
use vigo_policy::{Compiled, Selection, entitled};
use vigo_template::EnvoyFacts;
use vigo_wire::node::{Entry, Kind, Node};

/// What an envoy of that name gets.
pub fn of(envoy: &str, selection: &Selection, compiled: &Compiled) -> String {
    let mut out = String::new();
    match &selection.block {
        Some(block) => {
            let _ = writeln!(out, "block {} ({}) {}", block.number, block.origin, block.pattern);
        }
        None if compiled.unmatched => out.push_str("unmatched\n"),
        None => {}
    }
    if selection.undecided {
        out.push_str("undecided\n");
    }
    if !selection.environment.is_empty() {
        let _ = writeln!(out, "environment {}", selection.environment);
    }
    let bundle = &compiled.bundle;
    if bundle.observe {
        out.push_str("observe\n");
    }
    for variable in &selection.variables {
        let overrode: Vec<String> =
            variable.overrode.iter().map(|(layer, origin)| format!("{} {origin}", layer.as_str())).collect();
        let over = if overrode.is_empty() { String::new() } else { format!(" over {}", overrode.join(", ")) };
        let used = bundle.variables.iter().any(|entry| entry.name == variable.name);
        let place = [variable.layer.as_str(), &variable.origin].join(" ");
        let unused = if used { "" } else { " (not in the bundle)" };
        let _ = writeln!(
            out,
            "var {} = {} from {}{over}{unused}",
            variable.name,
            node(&variable.value),
            place.trim()
        );
    }
    for (one, chosen) in bundle.configcrates.iter().zip(bundle.configcrates.iter().map(|one| {
        selection.configcrates.iter().find(|chosen| one.name.split('[').next() == Some(chosen.name.as_str()))
    })) {
        let _ = write!(out, "configcrate {}", one.name);
        if !one.requires.is_empty() {
            let _ = write!(out, " requires {:?}", one.requires);
        }
        if !one.when.is_empty() {
            let _ = write!(out, " when {}", one.when);
        }
        let reasons = chosen.map(|chosen| chosen.reasons.join("; ")).unwrap_or_default();
        let _ = writeln!(out, " because of {reasons}");
        entries(&mut out, "  var ", &one.variables);
    }
    for (number, (resource, origin)) in bundle.resources.iter().zip(&compiled.origins).enumerate() {
        let _ = writeln!(out, "{number} {} ({})", origin.id, origin.place);
        entries(&mut out, "    ", &resource.attributes);
        for (what, text) in [("when", &resource.when), ("case", &resource.case)] {
            if !text.is_empty() {
                let _ = writeln!(out, "    [{what}] {text}");
            }
        }
        for branch in &resource.branches {
            let _ = writeln!(out, "    [match {}]", branch.value);
            entries(&mut out, "        ", &branch.attributes);
        }
        for (what, list) in [
            ("requires", &resource.requires),
            ("notified by", &resource.notified_by),
            ("requires configcrates", &resource.requires_configcrates),
        ] {
            if !list.is_empty() {
                let _ = writeln!(out, "    [{what}] {list:?}");
            }
        }
        for (what, list) in
            [("subscribes", &resource.subscribes_secrets), ("may expose", &resource.allow_exposure)]
        {
            if !list.is_empty() {
                let _ = writeln!(out, "    [{what}] {}", list.join(", "));
            }
        }
        if let Some(item) = &resource.item {
            let _ = writeln!(out, "    [item] {}", node(item));
        }
        if resource.timeout_ms > 0 {
            let _ = writeln!(out, "    [timeout] {} ms", resource.timeout_ms);
        }
    }
    for template in &bundle.templates {
        let _ = writeln!(out, "template {} {:?}", template.name, template.source);
    }
    let facts =
        EnvoyFacts { name: envoy.to_owned(), id: String::new(), environment: selection.environment.clone() };
    let (entitlements, failures) = entitled(bundle, &TYPES, &facts, &[]);
    for one in entitlements {
        let _ = writeln!(out, "secret {} in {} {}", one.path, one.resource, one.exposure);
    }
    for failure in failures {
        let _ = writeln!(out, "no secret: {failure}");
    }
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

fn entries(out: &mut String, before: &str, entries: &[Entry]) {
    for entry in entries {
        let _ =
            writeln!(out, "{before}{} = {}", entry.name, entry.value.as_ref().map(node).unwrap_or_default());
    }
}

fn node(value: &Node) -> String {
    match &value.kind {
        None => "null".into(),
        Some(Kind::Boolean(value)) => value.to_string(),
        Some(Kind::Integer(value)) => value.to_string(),
        Some(Kind::Number(value)) => format!("{value:?}"),
        Some(Kind::Literal(text)) => format!("{text:?}"),
        Some(Kind::Template(text)) => format!("template {text:?}"),
        Some(Kind::Expression(text)) => format!("expression {text:?}"),
        Some(Kind::Source(name)) => format!("source {name:?}"),
        Some(Kind::List(list)) => format!("[{}]", list.items.iter().map(node).collect::<Vec<_>>().join(", ")),
        Some(Kind::Map(map)) => {
            let entry = |entry: &Entry| {
                format!("{}: {}", entry.name, entry.value.as_ref().map(node).unwrap_or_default())
            };
            format!("{{{}}}", map.entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}
