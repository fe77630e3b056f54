//! Reads configcrates and their resources.

use crate::model::{Attribute, Configcrate, Foreach, Named, Resource};
use crate::reader::{Fields, Reader};
use crate::value::{Take, read_value, read_variables};
use crate::{attributes, safety, text};
use vigo_base::{SecretPath, Span};
use vigo_resource::{Registry, TypeInfo};
use vigo_syntax::{Code, Diagnostic, Entry, Kind, Node, nearest};

const CONFIGCRATE: &[&str] = &[
    "configcrate",
    "name",
    "vars",
    "defaults",
    "resources",
    "depends_on",
    "when",
    "foreach",
    "provides",
    "compliance",
];
const USERCRATE: &[&str] = &["usercrate", "name", "vars", "defaults", "resources", "depends_on", "when"];
/// Keys that every resource has.
const RESOURCE: &[&str] = &[
    "name",
    "type",
    "depends_on",
    "before",
    "notify",
    "subscribes",
    "when",
    "foreach",
    "case",
    "match",
    "timeout",
    "allow_exposure",
    "revert",
    "on_revert",
];
/// Keys of the language that this version does not carry out.
const LATER: &[&str] = &["provides", "compliance", "revert", "on_revert"];

/// A configcrate.
pub(crate) fn read(reader: &mut Reader<'_>, node: &Node, registry: &Registry) -> Option<Configcrate> {
    let fields = reader.fields(node, "a configcrate", CONFIGCRATE)?;
    refuse_later(reader, fields.entries);
    let name = read_name(reader, &fields, "configcrate");
    let variables = fields.get("vars").map(|node| read_variables(reader, node)).unwrap_or_default();
    let resources = read_resources(reader, &fields, registry);
    let depends_on = fields.get("depends_on").map(|node| read_dependencies(reader, node)).unwrap_or_default();
    let when = fields.get("when").and_then(|node| text::read_expression(reader, node, "`when`"));
    if let Some(when) = when.as_ref().filter(|when| when.changed) {
        let help = "write it at the resources that wait for a change";
        reader.report(
            Code::UnknownName,
            when.span,
            "`changed` is known in the `when` of a resource only",
            help,
        );
    }
    let foreach = fields.get("foreach").and_then(|node| read_foreach(reader, node));
    Some(Configcrate { name: name?, variables, resources, depends_on, when, foreach })
}

/// Checks a usercrate. Nothing of it goes into a policy yet: it is inert until a match block names it, and that is refused there.
pub(crate) fn read_usercrate(reader: &mut Reader<'_>, node: &Node, registry: &Registry) {
    let Some(fields) = reader.fields(node, "a usercrate", USERCRATE) else { return };
    read_name(reader, &fields, "usercrate");
    if let Some(node) = fields.get("vars") {
        read_variables(reader, node);
    }
    if let Some(node) = fields.get("when") {
        text::read_expression(reader, node, "`when`");
    }
    read_resources(reader, &fields, registry);
}

fn refuse_later(reader: &mut Reader<'_>, entries: &[Entry]) {
    for entry in entries.iter().filter(|entry| LATER.contains(&entry.key.as_str())) {
        let message = format!("`{}` is not carried out by this version", entry.key);
        reader.report(Code::NotSupported, entry.key_span, message, "remove the key");
    }
}

fn read_name(reader: &mut Reader<'_>, fields: &Fields<'_>, key: &str) -> Option<Named> {
    let entry = fields.entry(key).or_else(|| fields.entry("name"));
    let Some(entry) = entry else {
        reader.missing(fields.span, &format!("a {key}"), key, &format!("write `{key}: NAME` first"));
        return None;
    };
    if let (Some(_), Some(second)) = (fields.entry(key), fields.entry("name")) {
        let message = format!("`{key}` and `name` say the same");
        reader.report(Code::ExclusiveKeys, second.key_span, message, "remove one of them");
    }
    let name = reader.plain(&entry.value, &format!("the name of a {key}"))?;
    reader.check_name(&name, &format!("{key} name")).then_some(name)
}

fn read_dependencies(reader: &mut Reader<'_>, node: &Node) -> Vec<Named> {
    let mut names = reader.plain_list(node, "a configcrate that is depended on");
    for named in &mut names {
        if let Some(name) = named.name.strip_prefix("configcrate:") {
            named.name = name.to_owned();
        }
    }
    names.retain(|name| reader.check_name(name, "configcrate name"));
    names
}

fn read_foreach(reader: &mut Reader<'_>, node: &Node) -> Option<Foreach> {
    match &node.kind {
        Kind::List(_) | Kind::Map(_) => {
            Some(Foreach::Value(read_value(reader, node, Take::Typed, "foreach")))
        }
        _ => text::read_expression(reader, node, "`foreach`").map(Foreach::Expression),
    }
}

fn read_resources(reader: &mut Reader<'_>, fields: &Fields<'_>, registry: &Registry) -> Vec<Resource> {
    let defaults = fields.get("defaults").map_or(&[] as &[Entry], |node| reader.entries(node, "`defaults`"));
    check_defaults(reader, defaults, registry);
    let Some(list) = fields.get("resources") else {
        if fields.entry("depends_on").is_none() {
            reader.missing(fields.span, "a configcrate", "resources", "write `resources:` and a list");
        }
        return Vec::new();
    };
    let items = reader.items(list, "`resources`");
    items.iter().filter_map(|item| read_resource(reader, item, defaults, registry)).collect()
}

fn check_defaults(reader: &mut Reader<'_>, defaults: &[Entry], registry: &Registry) {
    for entry in defaults {
        if registry.iter().all(|kind| kind.info().attribute(&entry.key).is_none()) {
            let all = registry.iter().flat_map(|kind| kind.info().attributes).map(|attribute| attribute.name);
            let help = nearest(&entry.key, all).map_or_else(
                || "`defaults` holds attributes; other keys stand at the resource".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            let message = format!("no type has an attribute `{}`", entry.key);
            reader.report(Code::UnknownKey, entry.key_span, message, help);
        }
    }
}

fn read_resource(
    reader: &mut Reader<'_>,
    node: &Node,
    defaults: &[Entry],
    registry: &Registry,
) -> Option<Resource> {
    let Kind::Map(entries) = &node.kind else {
        reader.wrong_kind(node, "a resource", "a map");
        return None;
    };
    let fields = Fields { entries, span: node.span };
    refuse_later(reader, entries);
    let kind = read_type(reader, &fields, registry)?;
    let attributes = read_attributes(reader, kind, &fields, defaults);
    let (case, branches) = read_case(reader, kind, &fields);
    let mut subscribes = references(reader, &fields, "subscribes");
    let subscribes_secrets = take_secrets(reader, &mut subscribes);
    let resource = Resource {
        kind,
        name: fields.get("name").and_then(|node| read_resource_name(reader, node)),
        span: fields.entries.first().map_or(node.span, |entry| entry.key_span),
        attributes,
        case,
        branches,
        when: fields.get("when").and_then(|node| text::read_expression(reader, node, "`when`")),
        foreach: fields.get("foreach").and_then(|node| read_foreach(reader, node)),
        depends_on: references(reader, &fields, "depends_on"),
        before: references(reader, &fields, "before"),
        notify: references(reader, &fields, "notify"),
        subscribes,
        subscribes_secrets,
        timeout_ms: fields.get("timeout").and_then(|node| read_duration(reader, node)).unwrap_or_default(),
        allow_exposure: read_exposures(reader, &fields),
    };
    check_attributes(reader, &resource, &fields);
    safety::check_resource(reader, &resource, &fields);
    Some(resource)
}

fn read_type(reader: &mut Reader<'_>, fields: &Fields<'_>, registry: &Registry) -> Option<&'static TypeInfo> {
    let Some(node) = fields.get("type") else {
        reader.missing(fields.span, "a resource", "type", "write `type:` with the type of the resource");
        return None;
    };
    let written = reader.plain(node, "`type`")?;
    if let Some(kind) = registry.get(&written.name) {
        return Some(kind.info());
    }
    let names = || registry.iter().map(|kind| kind.info().name);
    let help = match nearest(&written.name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    let message = format!("there is no resource type `{}`", written.name);
    reader.report(Code::UnknownType, written.span, message, help);
    None
}

fn read_resource_name(reader: &mut Reader<'_>, node: &Node) -> Option<Named> {
    let name = reader.plain(node, "the name of a resource")?;
    let odd = |letter: char| letter.is_control() || matches!(letter, '[' | ']');
    if name.name.is_empty() || name.name.len() > 200 || name.name.contains(odd) {
        let message = "this cannot be the name of a resource";
        let help =
            "a name is one line of at most 200 bytes without `[` and `]`, which mark what `foreach` stamped";
        reader.report(Code::InvalidValue, name.span, message, help);
        return None;
    }
    Some(name)
}

fn read_attributes(
    reader: &mut Reader<'_>,
    kind: &'static TypeInfo,
    fields: &Fields<'_>,
    defaults: &[Entry],
) -> Vec<Attribute> {
    let own = |entry: &&Entry| {
        entry.value.kind != Kind::Null
            && (!RESOURCE.contains(&entry.key.as_str()) || kind.attribute(&entry.key).is_some())
    };
    let mut attributes: Vec<Attribute> = fields
        .entries
        .iter()
        .filter(own)
        .filter_map(|entry| attributes::read(reader, kind, entry, RESOURCE))
        .collect();
    for entry in defaults {
        let written = fields.entries.iter().any(|own| own.key == entry.key);
        // One of a group that excludes each other is written: the default would stand beside it.
        let excluded = kind.exclusive.iter().any(|group| {
            group.contains(&entry.key.as_str())
                && fields.entries.iter().any(|own| group.contains(&own.key.as_str()))
        });
        if !written && !excluded && kind.attribute(&entry.key).is_some() && entry.value.kind != Kind::Null {
            attributes.extend(attributes::read(reader, kind, entry, RESOURCE));
        }
    }
    attributes
}

type Branches = Vec<(String, Vec<Attribute>)>;

fn read_case(
    reader: &mut Reader<'_>,
    kind: &'static TypeInfo,
    fields: &Fields<'_>,
) -> (Option<crate::model::Expression>, Branches) {
    let (case, map) = match (fields.get("case"), fields.entry("match")) {
        (Some(case), Some(map)) => (case, map),
        (None, None) => return (None, Vec::new()),
        (Some(_), None) => {
            reader.missing(
                fields.span,
                "a resource with `case`",
                "match",
                "write `match:` with attributes for each value",
            );
            return (None, Vec::new());
        }
        (None, Some(entry)) => {
            reader.missing(
                entry.key_span,
                "a resource with `match`",
                "case",
                "write `case:` with an expression",
            );
            return (None, Vec::new());
        }
    };
    let case = text::read_expression(reader, case, "`case`");
    let mut branches = Vec::new();
    for branch in reader.entries(&map.value, "`match`") {
        let entries = reader.entries(&branch.value, "a branch of `match`");
        let attributes =
            entries.iter().filter_map(|entry| attributes::read(reader, kind, entry, &[])).collect();
        branches.push((branch.key.clone(), attributes));
    }
    (case, branches)
}

/// What a list of references says; a reference may be computed, as far as publish can compute it.
fn references(reader: &mut Reader<'_>, fields: &Fields<'_>, key: &str) -> Vec<Named> {
    let Some(node) = fields.get(key) else { return Vec::new() };
    let one = std::slice::from_ref(node);
    let nodes = if let Kind::List(items) = &node.kind { items.as_slice() } else { one };
    let mut named = Vec::with_capacity(nodes.len());
    for node in nodes {
        match &node.kind {
            Kind::Text(text) => named.push(Named { name: text.value.clone(), span: node.span }),
            Kind::Integer(_) | Kind::Number(_) => {
                named.push(Named { name: reader.raw(node.span).to_owned(), span: node.span });
            }
            _ => reader.wrong_kind(node, &format!("`{key}`"), "a name or a list of names"),
        }
    }
    named
}

fn take_secrets(reader: &mut Reader<'_>, subscribes: &mut Vec<Named>) -> Vec<(SecretPath, Span)> {
    let mut secrets = Vec::new();
    subscribes.retain(|named| {
        let Some(path) = named.name.strip_prefix("secret:") else { return true };
        match path.parse() {
            Ok(path) => secrets.push((path, named.span)),
            Err(error) => {
                let error: vigo_base::SecretPathError = error;
                reader.report(Code::InvalidValue, named.span, error.to_string(), "");
            }
        }
        false
    });
    secrets
}

/// A duration in milliseconds: a number of seconds, or with `ms`, `s`, `m` or `h`.
fn read_duration(reader: &mut Reader<'_>, node: &Node) -> Option<u64> {
    let written = reader.plain(node, "`timeout`")?;
    let text = written.name.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text.get(..digits).and_then(|digits| digits.parse::<u64>().ok());
    let unit = match text.get(digits..).unwrap_or_default() {
        "ms" => Some(1),
        "" | "s" => Some(1000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let duration = number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    let day = 24 * 3_600_000;
    match duration.filter(|duration| (1..=day).contains(duration)) {
        Some(duration) => Some(duration),
        None => {
            let message = format!("`{text}` is no timeout");
            let help = "write a number with `ms`, `s`, `m` or `h`, like `300s`, of a day at most";
            reader.report(Code::InvalidValue, written.span, message, help);
            None
        }
    }
}

fn read_exposures(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<String> {
    let Some(node) = fields.get("allow_exposure") else { return Vec::new() };
    let mut names = Vec::new();
    for named in reader.plain_list(node, "`allow_exposure`") {
        if named.name == "argv" {
            names.push(named.name);
        } else {
            let message = format!("`{}` is no exposure that can be allowed", named.name);
            reader.report(
                Code::UnknownChoice,
                named.span,
                message,
                "there is `argv`: the command line of a process",
            );
        }
    }
    names
}

/// What is required, and what excludes each other.
fn check_attributes(reader: &mut Reader<'_>, resource: &Resource, fields: &Fields<'_>) {
    let what = format!("a resource of type `{}`", resource.kind.name);
    for info in resource.kind.attributes.iter().filter(|info| info.required) {
        let in_branches = !resource.branches.is_empty()
            && resource
                .branches
                .iter()
                .all(|(_, attributes)| attributes.iter().any(|one| one.name.name == info.name));
        let written = fields.entry(info.name).is_some();
        if !written && resource.attribute(info.name).is_none() && !in_branches {
            reader.missing(fields.span, &what, info.name, &format!("it is {}", info.kind.describe()));
        }
    }
    for group in resource.kind.exclusive {
        let mut found =
            resource.attributes.iter().filter(|attribute| group.contains(&attribute.name.name.as_str()));
        if let (Some(first), Some(second)) = (found.next(), found.next()) {
            let message = format!("`{}` and `{}` exclude each other", first.name.name, second.name.name);
            reader.out.push(
                Diagnostic::new(Code::ExclusiveKeys, second.name.span, message)
                    .related(first.name.span, "the other one")
                    .help(format!("write one of {}", group.join(", "))),
            );
        }
    }
}

/// The first of two resources of one configcrate that have one name, by the second.
pub(crate) fn duplicate_names(configcrate: &Configcrate) -> Vec<(Span, Span, &str)> {
    let mut seen = std::collections::HashMap::new();
    let mut duplicates = Vec::new();
    for name in configcrate.resources.iter().filter_map(|resource| resource.name.as_ref()) {
        match seen.get(name.name.as_str()) {
            Some(first) => duplicates.push((*first, name.span, name.name.as_str())),
            None => {
                seen.insert(name.name.as_str(), name.span);
            }
        }
    }
    duplicates
}
