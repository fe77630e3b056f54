//! What resources manage: the same thing twice, two types on one path, paths inside others that are removed, guarded paths.

use crate::ground::{Notes, Stage, Stamped};
use crate::model::{Attribute, Resource};
use crate::safety::runs_command;
use std::collections::HashMap;
use vigo_base::{AbsolutePath, Mode, Value as Rendered};
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
            if info.required {
                rendered = None;
            }
            continue;
        };
        written.push(source(attribute));
        let value = stage.render(resource, &attribute.value).and_then(|value| text(&value, info.kind));
        match (value, &mut rendered) {
            (Some(value), Some(all)) => all.push(value),
            _ => rendered = None,
        }
    }
    Identity { written: written.join(" "), rendered: rendered.map(|all| all.join(" ")) }
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
            items.iter().map(|item| text(item, kind)).collect::<Option<Vec<_>>>()?.join(" ")
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
        let is_only_one = resource.model.kind.provides == Provides::OnlyOne;
        let key = (resource.model.kind.name, if is_only_one { "" } else { rendered.as_str() });
        let Some(earlier) = first.get(&key).copied() else {
            first.insert(key, index);
            continue;
        };
        let Some(other) = stage.resources.get(earlier) else { continue };
        if may_differ(stage, other, resource) {
            continue;
        }
        match same(stage, other, resource) {
            Same::Equal => {
                if let Some(slot) = stands_for.get_mut(index) {
                    *slot = earlier;
                }
            }
            Same::Different(what) => {
                notes.report(|| {
                    let message = match is_only_one {
                        true => format!(
                            "a machine has one `{}`, and two are wanted, with different `{what}`",
                            key.0
                        ),
                        false => format!("`{}/{rendered}` is wanted twice, with different `{what}`", key.0),
                    };
                    Diagnostic::new(Code::DuplicateResource, resource.model.span, message)
                        .related(other.model.span, "the other one")
                        .help(
                            "make them equal (then they are one), remove one, or let `when` tell them apart",
                        )
                });
            }
            Same::Unknown => {}
        }
    }
    stands_for
}

/// Both may not hold at once, or they are commands with names of their own: only the envoy can tell.
fn may_differ(stage: &Stage<'_>, one: &Stamped<'_>, other: &Stamped<'_>) -> bool {
    let source = |resource: &Resource| resource.when.as_ref().map(|when| when.source.clone());
    let name = |resource: &Resource| resource.name.as_ref().map(|name| name.name.clone());
    (one.owner != other.owner && (stage.is_conditional(one) || stage.is_conditional(other)))
        || source(one.model) != source(other.model)
        || one.model.case.is_some()
        || other.model.case.is_some()
        || (runs_command(one.model.kind) && name(one.model) != name(other.model))
}

/// Whether two resources want the same.
enum Same {
    Equal,
    /// They do not, and this is the first attribute that differs.
    Different(String),
    /// Only the envoy can tell.
    Unknown,
}

fn same(stage: &Stage<'_>, one: &Stamped<'_>, other: &Stamped<'_>) -> Same {
    let mut unknown = false;
    for attribute in &one.model.attributes {
        let name = attribute.name.name.as_str();
        let Some(own) = other.model.attribute(name) else { return Same::Different(name.to_owned()) };
        let here = one.owner == other.owner && one.key.is_none() && other.key.is_none();
        match (stage.render(one, &attribute.value), stage.render(other, &own.value)) {
            (Some(left), Some(right)) if normal(attribute, &left) == normal(own, &right) => {}
            (Some(_), Some(_)) => return Same::Different(name.to_owned()),
            // The same text, in the same configcrate and without `item`, comes out the same.
            _ if here && attribute.value.node == own.value.node => {}
            _ => unknown = true,
        }
    }
    let more = other.model.attributes.iter().find(|own| one.model.attribute(&own.name.name).is_none());
    let settings = [
        ("timeout", one.model.timeout_ms == other.model.timeout_ms),
        ("allow_exposure", one.model.allow_exposure == other.model.allow_exposure),
    ];
    match (more, settings.iter().find(|(_, equal)| !equal)) {
        (Some(more), _) => Same::Different(more.name.name.clone()),
        (None, Some((name, _))) => Same::Different((*name).to_owned()),
        (None, None) if unknown => Same::Unknown,
        (None, None) => Same::Equal,
    }
}

/// A value in the one form that all its spellings have.
fn normal(attribute: &Attribute, value: &Rendered) -> Rendered {
    let kind = attribute.info.map_or(Wanted::Text, |info| info.kind);
    let normal = text(value, kind).and_then(|text| match kind {
        Wanted::Path => Some(text),
        Wanted::Mode => text.parse::<Mode>().ok().map(|mode| mode.to_string()),
        Wanted::Integer { .. } | Wanted::Boolean => Some(text),
        _ => None,
    });
    normal.map_or_else(|| value.clone(), Rendered::text)
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
        guarded_name(resource, identity, notes);
        let Some(path) = path_of(resource, identity) else { continue };
        guarded(resource, &path, notes);
        // What holds under a condition may well exclude the other.
        let conditional = resource.model.when.as_ref().is_some_and(|when| !when.changed)
            || resource.model.case.is_some()
            || stage.is_conditional(resource);
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
    if paths.iter().all(|(_, resource)| resource.model.state() != "absent") {
        return;
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

/// What Vigo lives on where nothing else was configured: for those who check a policy away from the node that will run it.
/// The node itself guards the paths that it uses.
#[must_use]
pub fn guarded_by_default() -> Vec<AbsolutePath> {
    const PATHS: [&str; 7] = [
        "/etc/vigo",
        "/run/vigo",
        "/usr/bin/vigo",
        "/usr/bin/vigocli",
        "/usr/bin/vigosrv",
        "/var/lib/vigo",
        "/var/lib/vigosrv",
    ];
    PATHS.iter().filter_map(|path| path.parse().ok()).collect()
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

/// Vigo's own package and service: it may upgrade itself, not remove or stop itself.
fn guarded_name(resource: &Stamped<'_>, identity: &Identity, notes: &mut Notes<'_>) {
    let acts = match resource.model.kind.name {
        "package" => ["absent", "purged"],
        "service" => ["stopped", "restarted"],
        _ => return,
    };
    let name = identity.shown().strip_suffix(".service").unwrap_or(identity.shown());
    if matches!(name, "vigo" | "vigosrv") && acts.contains(&resource.model.state()) {
        let (kind, state, span) = (resource.model.kind.name, resource.model.state(), resource.model.span);
        let message = format!("the {kind} `{name}` is Vigo itself and cannot be {state}");
        notes.report(|| {
            Diagnostic::new(Code::GuardedPath, span, message)
                .help("it may upgrade itself, nothing else; remove the resource")
        });
    }
}
