//! What resources manage: the same thing twice, two types on one path, paths inside others that are removed, guarded paths.

use crate::ground::{Notes, Stage, Stamped};
use crate::model::{Attribute, Resource};
use crate::safety::runs_command;
use std::collections::HashMap;
use vigo_base::{AbsolutePath, Value as Rendered};
use vigo_resource::{Kind as Wanted, Provides};
use vigo_syntax::{Code, Diagnostic};
use vigo_wire::node::Kind;

/// What a resource manages, as far as publish can know it.
pub(crate) struct Identity {
    /// As it is written, with what is still to be rendered.
    pub written: String,
    /// As the envoy would render it.
    pub rendered: Option<String>,
}

impl Identity {
    pub fn shown(&self) -> &str {
        self.rendered.as_deref().unwrap_or(&self.written)
    }
}

pub(crate) fn of(stage: &Stage<'_>, resource: &Stamped<'_>) -> Identity {
    let mut written = Vec::new();
    let mut rendered = Some(Vec::new());
    for info in resource.model.kind.identity() {
        let Some(attribute) = resource.model.attribute(info.name) else {
            rendered = None;
            continue;
        };
        written.push(source(attribute));
        let value = stage.render(resource, &attribute.value).and_then(|value| text(&value, info.kind));
        match (value, &mut rendered) {
            (Some(value), Some(all)) => all.push(value),
            _ => rendered = None,
        }
    }
    Identity { written: written.join(","), rendered: rendered.map(|all| all.join(",")) }
}

fn source(attribute: &Attribute) -> String {
    match &attribute.value.node.kind {
        Some(Kind::Literal(text) | Kind::Template(text)) => text.clone(),
        Some(Kind::Expression(expression)) => format!("{{{{ {expression} }}}}"),
        _ => crate::value::data(&attribute.value.node)
            .and_then(|value| text(&value, Wanted::Text))
            .unwrap_or_default(),
    }
}

fn text(value: &Rendered, kind: Wanted) -> Option<String> {
    let text = match value {
        Rendered::Text(pieces) => pieces.as_literal()?.to_owned(),
        Rendered::Integer(number) => number.to_string(),
        Rendered::Number(number) => number.to_string(),
        Rendered::Boolean(value) => value.to_string(),
        Rendered::List(items) => {
            items.iter().map(|item| text(item, kind)).collect::<Option<Vec<_>>>()?.join(",")
        }
        Rendered::Null | Rendered::Map(_) => return None,
    };
    match kind {
        Wanted::Path => text.parse::<AbsolutePath>().ok().map(|path| path.as_str().to_owned()),
        _ => Some(text),
    }
}

/// Which resources are one with an earlier one: for each resource the one that stands for it.
pub(crate) fn unite(stage: &Stage<'_>, identities: &[Identity], notes: &mut Notes<'_>) -> Vec<usize> {
    let mut first: HashMap<(&str, &str), usize> = HashMap::new();
    let mut stands_for: Vec<usize> = (0..stage.resources.len()).collect();
    for (index, (resource, identity)) in stage.resources.iter().zip(identities).enumerate() {
        let Some(rendered) = &identity.rendered else { continue };
        let key = (resource.model.kind.name, rendered.as_str());
        let Some(earlier) = first.get(&key).copied() else {
            first.insert(key, index);
            continue;
        };
        let Some(other) = stage.resources.get(earlier) else { continue };
        if may_differ(other, resource) {
            continue;
        }
        match same(stage, other, resource) {
            Some(true) => {
                if let Some(slot) = stands_for.get_mut(index) {
                    *slot = earlier;
                }
            }
            Some(false) => {
                notes.report(|| {
                    let message =
                        format!("`{}/{rendered}` is wanted twice, with different attributes", key.0);
                    Diagnostic::new(Code::DuplicateResource, resource.model.span, message)
                        .related(other.model.span, "the other one")
                        .help(
                            "make them equal (then they are one), remove one, or let `when` tell them apart",
                        )
                });
            }
            None => {}
        }
    }
    stands_for
}

/// Both may not hold at once, or they are commands with names of their own: only the envoy can tell.
fn may_differ(one: &Stamped<'_>, other: &Stamped<'_>) -> bool {
    let source = |resource: &Resource| resource.when.as_ref().map(|when| when.source.clone());
    let name = |resource: &Resource| resource.name.as_ref().map(|name| name.name.clone());
    source(one.model) != source(other.model)
        || one.model.case.is_some()
        || other.model.case.is_some()
        || (runs_command(one.model.kind) && name(one.model) != name(other.model))
}

/// True if their attributes are equal; `None` where only the envoy can tell.
fn same(stage: &Stage<'_>, one: &Stamped<'_>, other: &Stamped<'_>) -> Option<bool> {
    let mut unknown = false;
    for attribute in &one.model.attributes {
        let name = attribute.name.name.as_str();
        let Some(own) = other.model.attribute(name) else { return Some(false) };
        match (stage.render(one, &attribute.value), stage.render(other, &own.value)) {
            (Some(left), Some(right)) if left == right => {}
            (Some(_), Some(_)) => return Some(false),
            // The same text, in the same configcrate and without `item`, comes out the same.
            _ if attribute.value.node == own.value.node
                && one.owner == other.owner
                && one.key.is_none()
                && other.key.is_none() => {}
            _ => unknown = true,
        }
    }
    if one.model.attributes.len() != other.model.attributes.len() {
        return Some(false);
    }
    let settings = one.model.timeout_ms == other.model.timeout_ms
        && one.model.allow_exposure == other.model.allow_exposure;
    if unknown && settings { None } else { Some(settings) }
}

/// Path of a resource that makes or removes one.
fn path_of(resource: &Stamped<'_>, identity: &Identity) -> Option<AbsolutePath> {
    let Provides::Path(_) = resource.model.kind.provides else { return None };
    identity.rendered.as_deref()?.parse().ok()
}

/// Two types on one path, and paths below one that is removed.
pub(crate) fn check_paths(stage: &Stage<'_>, identities: &[Identity], notes: &mut Notes<'_>) {
    let mut kinds: HashMap<AbsolutePath, &Stamped<'_>> = HashMap::new();
    let mut paths = Vec::new();
    for (resource, identity) in stage.resources.iter().zip(identities) {
        let Some(path) = path_of(resource, identity) else { continue };
        guarded(resource, &path, notes);
        // What holds under a condition may well exclude the other.
        let conditional =
            resource.model.when.as_ref().is_some_and(|when| !when.changed) || resource.model.case.is_some();
        if conditional {
            continue;
        }
        if let Some(other) = kinds.get(&path)
            && other.model.kind.name != resource.model.kind.name
        {
            let message = format!(
                "`{path}` is a {} here and a {} elsewhere",
                resource.model.kind.name, other.model.kind.name
            );
            let (span, other) = (resource.model.span, other.model.span);
            notes.report(|| {
                Diagnostic::new(Code::DuplicatePath, span, message).related(other, "the other one")
            });
            continue;
        }
        kinds.insert(path.clone(), resource);
        paths.push((path, resource));
    }
    for (path, resource) in paths.iter().filter(|(_, resource)| resource.model.state() != "absent") {
        let mut above = path.parent();
        while let Some(folder) = above {
            if let Some(remover) = kinds.get(&folder).filter(|one| one.model.state() == "absent") {
                let message = format!("`{path}` stands in `{folder}`, which another resource removes");
                let (span, remover) = (resource.model.span, remover.model.span);
                notes.report(|| {
                    Diagnostic::new(Code::RemovedPath, span, message).related(remover, "removed here")
                });
                break;
            }
            above = folder.parent();
        }
    }
}

fn guarded(resource: &Stamped<'_>, path: &AbsolutePath, notes: &mut Notes<'_>) {
    let Some(checking) = notes.checking else { return };
    let removes = resource.model.state() == "absent" || resource.model.attribute("purge").is_some();
    let touched = checking
        .surroundings
        .guarded
        .iter()
        .find(|guarded| path.is_at_or_below(guarded) || (removes && guarded.is_at_or_below(path)));
    if let Some(guarded) = touched {
        let message = format!("`{path}` belongs to Vigo itself (`{guarded}`)");
        let span = resource.model.span;
        notes.report(|| {
            Diagnostic::new(Code::GuardedPath, span, message)
                .help("what Vigo lives on cannot be managed by it; remove the resource")
        });
    }
}
