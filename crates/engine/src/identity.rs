//! Who a resource is: its id, what it gives to others, and which of them are one and the same.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use vigo_base::{AbsolutePath, Pieces, Value};
use vigo_resource::{Failure, Provides, TypeInfo};
use vigo_wire::bundle::Bundle;

/// What order has to know of a rendered resource.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Its id in reports.
    pub id: String,
    /// An earlier resource that is the same: it runs once, as that one.
    pub same_as: Option<u32>,
    /// What others may silently depend on. Resources that remove give nothing.
    pub provides: Option<Provided>,
    /// A path that it manages, also one that it removes.
    pub path: Option<AbsolutePath>,
    /// The name in its `owner`.
    pub owner: Option<String>,
    /// The name in its `group`.
    pub group: Option<String>,
}

/// What others may silently depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Provided {
    /// The path is there.
    Path(AbsolutePath),
    /// The user is there.
    User(String),
    /// The group is there.
    Group(String),
}

/// The id of a resource: `configcrate:name`, else `configcrate:type/identity`.
pub(crate) fn id(bundle: &Bundle, index: usize, identity: Option<&str>) -> String {
    let Some(resource) = bundle.resources.get(index) else { return String::new() };
    let configcrate = usize::try_from(resource.configcrate)
        .ok()
        .and_then(|index| bundle.configcrates.get(index))
        .map_or("", |configcrate| configcrate.name.as_str());
    if !resource.name.is_empty() {
        return format!("{configcrate}:{}", resource.name);
    }
    match identity {
        Some(identity) => format!("{configcrate}:{}/{identity}", resource.r#type),
        // The identity could not be rendered, so only the place in the policy is left to tell it by.
        None => format!("{configcrate}:{} at {}", resource.r#type, resource.origin),
    }
}

/// The identity of a type's resource as text: normalised paths, secrets by their names. `None` when a part of it is missing.
pub(crate) fn text(info: &TypeInfo, attributes: &[(String, Value)]) -> Option<String> {
    let mut parts = Vec::with_capacity(1);
    for attribute in info.identity() {
        match find(attributes, attribute.name) {
            Some(value) => parts.push(as_text(value)?),
            None if attribute.required => return None,
            None => {}
        }
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// What order has to know of it.
pub(crate) fn of(info: &TypeInfo, attributes: &[(String, Value)]) -> Identity {
    let name = |name| find(attributes, name).and_then(as_text);
    let path = match info.provides {
        Provides::Path(attribute) | Provides::Part(attribute) => {
            name(attribute).and_then(|path| path.parse().ok())
        }
        _ => None,
    };
    let removes = name("state").as_deref() == Some("absent");
    let provides = match info.provides {
        _ if removes => None,
        Provides::Nothing | Provides::Part(_) | Provides::OnlyOne => None,
        Provides::Path(_) => path.clone().map(Provided::Path),
        Provides::User(attribute) => name(attribute).map(Provided::User),
        Provides::Group(attribute) => name(attribute).map(Provided::Group),
    };
    Identity { path, provides, owner: name("owner"), group: name("group"), ..Identity::default() }
}

fn find<'a>(attributes: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    attributes.iter().find(|(written, _)| written == name).map(|(_, value)| value)
}

/// A value as text, as identities and the keys of `match` are compared. Absolute paths come out in their one spelling.
pub(crate) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Text(pieces) => Some(pieces_as_text(pieces)),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::List(items) => Some(items.iter().filter_map(as_text).collect::<Vec<_>>().join(" ")),
        Value::Null | Value::Map(_) => None,
    }
}

fn pieces_as_text(pieces: &Pieces) -> String {
    match pieces.as_literal() {
        Some(text) if text.starts_with('/') => match text.parse::<AbsolutePath>() {
            Ok(path) => path.to_string(),
            Err(_) => text.to_owned(),
        },
        Some(text) => text.to_owned(),
        None => pieces.to_string(),
    }
}

/// A resource as far as it is compared with others.
pub(crate) struct Candidate<'a> {
    pub(crate) index: u32,
    pub(crate) kind: &'static str,
    pub(crate) identity: &'a str,
    /// A machine has one of its type.
    pub(crate) is_only_one: bool,
    pub(crate) path: Option<&'a AbsolutePath>,
    pub(crate) attributes: &'a [(String, Value)],
    pub(crate) origin: &'a str,
}

/// What comparing all resources with each other found.
#[derive(Default)]
pub(crate) struct Twins {
    /// A later resource and the earlier one that it is.
    pub(crate) same: Vec<(u32, u32)>,
    /// Resources that contradict another.
    pub(crate) failures: Vec<(u32, Failure)>,
}

/// Finds resources that are the same, and those that contradict each other: one identity with other attributes, or two types on one path.
pub(crate) fn twins<'a>(candidates: impl Iterator<Item = Candidate<'a>>) -> Twins {
    let mut by_identity: HashMap<(&str, &str), Candidate<'a>> = HashMap::new();
    let mut by_path: HashMap<&AbsolutePath, (u32, &str, &str)> = HashMap::new();
    let mut twins = Twins::default();
    for candidate in candidates {
        if let Some(path) = candidate.path {
            let (first, kind, origin) =
                *by_path.entry(path).or_insert((candidate.index, candidate.kind, candidate.origin));
            if kind != candidate.kind {
                let failure = contradiction(
                    &format!("`{path}` is managed as `{kind}` and as `{}`", candidate.kind),
                    origin,
                    candidate.origin,
                );
                twins.failures.push((first, failure.clone()));
                twins.failures.push((candidate.index, failure));
                continue;
            }
        }
        let identity = if candidate.is_only_one { "" } else { candidate.identity };
        match by_identity.entry((candidate.kind, identity)) {
            Entry::Vacant(vacant) => {
                vacant.insert(candidate);
            }
            Entry::Occupied(first) => {
                let first = first.get();
                if alike(first.attributes, candidate.attributes) {
                    twins.same.push((candidate.index, first.index));
                } else {
                    let what = match first.is_only_one {
                        true => {
                            format!("a machine has one `{}`, and two different ones are written", first.kind)
                        }
                        false => {
                            format!(
                                "`{}/{}` is written twice, with other attributes",
                                first.kind, first.identity
                            )
                        }
                    };
                    let failure = contradiction(&what, first.origin, candidate.origin);
                    twins.failures.push((first.index, failure.clone()));
                    twins.failures.push((candidate.index, failure));
                }
            }
        }
    }
    twins
}

fn contradiction(what: &str, first: &str, second: &str) -> Failure {
    Failure::failed(format!("{what}: {first} and {second}"))
        .help("keep one of them, or make their attributes the same")
}

/// The same attributes, in whatever order; paths may be spelt differently.
fn alike(left: &[(String, Value)], right: &[(String, Value)]) -> bool {
    let written =
        |attributes: &[(String, Value)]| attributes.iter().filter(|(_, value)| *value != Value::Null).count();
    written(left) == written(right)
        && left.iter().filter(|(_, value)| *value != Value::Null).all(|(name, value)| {
            find(right, name).is_some_and(|other| other == value || as_text(other) == as_text(value))
        })
}
