//! From the resources of a bundle to resources of their types: rendered, compared with each other, parsed.
//!
//! Nothing here looks at the machine, and nothing that goes wrong with one resource stops another.

use crate::conditions::{Condition, fixed};
use crate::identity::{self, Candidate, Identity};
use crate::{FailedTrait, digest};
use vigo_base::{Digest, SecretPath, Value};
use vigo_resource::{AnyResource, Attributes, Failure, Provides, Registry, ResourceType};
use vigo_template::{Renderer, Scope, TemplateError};
use vigo_wire::bundle::{Bundle, Resource};
use vigo_wire::node::{Entry, Kind, Node};

/// One resource, ready for its turn.
pub(crate) struct Rendered {
    pub(crate) identity: Identity,
    /// The identity as text, where it could be rendered.
    pub(crate) identity_text: Option<String>,
    pub(crate) kind: Option<&'static dyn ResourceType>,
    pub(crate) body: Body,
    /// Later resources that are the same as this one.
    pub(crate) twins: Vec<u32>,
    /// Secrets it uses, each once.
    pub(crate) secrets: Vec<SecretPath>,
    /// Digest of its attributes; only of one that uses secrets or subscribes to some.
    pub(crate) digest: Option<Digest>,
    /// What its own `when` and its configcrate's come to, one per original.
    pub(crate) condition: Condition,
}

/// What there is to be carried out.
pub(crate) enum Body {
    /// A resource of its type.
    Ready(Box<dyn AnyResource>),
    /// Its `when` is false whatever the machine looks like.
    Skipped,
    /// It cannot be carried out.
    Failed(Failure),
    /// Rendered and not parsed yet.
    Attributes(Vec<(String, Value)>),
}

impl Rendered {
    /// The resources of the bundle that this one stands for.
    pub(crate) fn originals(&self, own: u32) -> impl Iterator<Item = u32> {
        std::iter::once(own).chain(self.twins.iter().copied())
    }

    pub(crate) fn kind_name(&self) -> Option<&'static str> {
        self.kind.map(|kind| kind.info().name)
    }
}

/// What names mean in each configcrate.
pub(crate) struct Scopes(Vec<Scope>);

impl Scopes {
    pub(crate) fn new(bundle: &Bundle, envoy: &Scope) -> Self {
        Self(
            bundle
                .configcrates
                .iter()
                .map(|configcrate| match configcrate.variables.as_slice() {
                    [] => envoy.clone(),
                    variables => envoy.configcrate(variables),
                })
                .collect(),
        )
    }

    /// What names mean in a resource. The bundle was checked: the index is inside.
    pub(crate) fn of(&self, resource: &Resource) -> Option<Scope> {
        self.0.get(resource.configcrate as usize).map(|scope| scope.with_item(resource.item.as_ref()))
    }
}

/// Everything that rendering a resource takes.
pub(crate) struct Source<'a> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) scopes: &'a Scopes,
    pub(crate) renderer: &'a Renderer,
    pub(crate) registry: &'a Registry,
    pub(crate) failed_traits: &'a [FailedTrait],
}

/// Renders, compares and parses every resource of the bundle.
pub(crate) fn all(source: &Source<'_>) -> Vec<Rendered> {
    let conditions = crate_conditions(source);
    let mut rendered: Vec<Rendered> = source
        .bundle
        .resources
        .iter()
        .enumerate()
        .map(|(index, resource)| one(source, &conditions, index, resource))
        .collect();
    let twins = {
        let candidates = rendered.iter().zip(&source.bundle.resources).zip(0_u32..);
        identity::twins(candidates.filter_map(|((one, resource), index)| candidate(one, resource, index)))
    };
    for (later, earlier) in twins.same {
        let condition = rendered.get(later as usize).map(|one| one.condition);
        if let Some(one) = rendered.get_mut(later as usize) {
            one.identity.same_as = Some(earlier);
            one.body = Body::Skipped;
        }
        if let Some(one) = rendered.get_mut(earlier as usize) {
            one.twins.push(later);
            one.condition = either(one.condition, condition.unwrap_or(Condition::Never));
        }
    }
    for (index, failure) in twins.failures {
        if let Some(one) = rendered.get_mut(index as usize) {
            one.body = Body::Failed(failure);
        }
    }
    for (one, resource) in rendered.iter_mut().zip(&source.bundle.resources) {
        parse(one, resource);
    }
    rendered
}

const fn either(left: Condition, right: Condition) -> Condition {
    match (left, right) {
        (Condition::Always, _) | (_, Condition::Always) => Condition::Always,
        (Condition::Never, Condition::Never) => Condition::Never,
        _ => Condition::Ask,
    }
}

const fn both(left: Condition, right: Condition) -> Condition {
    match (left, right) {
        (Condition::Never, _) | (_, Condition::Never) => Condition::Never,
        (Condition::Always, Condition::Always) => Condition::Always,
        _ => Condition::Ask,
    }
}

fn crate_conditions(source: &Source<'_>) -> Vec<Result<Condition, Failure>> {
    let configcrates = source.bundle.configcrates.iter().zip(&source.scopes.0);
    configcrates
        .map(|(configcrate, scope)| {
            let when = &configcrate.when;
            fixed(source.renderer, when, scope).map_err(|error| source.failure(&error, &[when]))
        })
        .collect()
}

fn one(
    source: &Source<'_>,
    conditions: &[Result<Condition, Failure>],
    index: usize,
    resource: &Resource,
) -> Rendered {
    let mut one = Rendered {
        identity: Identity::default(),
        identity_text: None,
        kind: source.registry.get(&resource.r#type),
        body: Body::Skipped,
        twins: Vec::new(),
        secrets: Vec::new(),
        digest: None,
        condition: Condition::Always,
    };
    if let Err(failure) = fill(source, conditions, resource, &mut one) {
        one.body = Body::Failed(failure);
    }
    one.identity.id = identity::id(source.bundle, index, one.identity_text.as_deref());
    one
}

fn fill(
    source: &Source<'_>,
    conditions: &[Result<Condition, Failure>],
    resource: &Resource,
    one: &mut Rendered,
) -> Result<(), Failure> {
    let of_crate = conditions.get(resource.configcrate as usize).cloned();
    let Some(scope) = source.scopes.of(resource) else {
        return Err(Failure::failed("the bundle lacks its configcrate; this is a bug in vigo"));
    };
    let own = fixed(source.renderer, &resource.when, &scope)
        .map_err(|error| source.failure(&error, &[&resource.when]))?;
    one.condition = both(of_crate.unwrap_or(Ok(Condition::Always))?, own);
    let rendered = attributes(source, resource, &scope);
    // What is skipped anyway needs no attributes; if they can be had, they name it in the report.
    let attributes = match rendered {
        Err(_) if one.condition == Condition::Never => return Ok(()),
        other => other?,
    };
    let Some(kind) = one.kind else {
        return Err(Failure::failed(format!(
            "cannot manage a `{}`: this vigo does not know the type",
            resource.r#type
        ))
        .help("bring vigo on this machine to the version of the server"));
    };
    one.identity_text = identity::text(kind.info(), &attributes);
    if one.condition == Condition::Never {
        return Ok(());
    }
    one.identity = identity::of(kind.info(), &attributes);
    for slot in attributes.iter().flat_map(|(_, value)| value.slots()) {
        if !one.secrets.contains(&slot.path) {
            one.secrets.push(slot.path.clone());
        }
    }
    if !one.secrets.is_empty() || !resource.subscribes_secrets.is_empty() {
        one.digest = Some(digest::of(&attributes));
    }
    one.body = Body::Attributes(attributes);
    Ok(())
}

fn attributes(
    source: &Source<'_>,
    resource: &Resource,
    scope: &Scope,
) -> Result<Vec<(String, Value)>, Failure> {
    let mut values = Vec::with_capacity(resource.attributes.len());
    for entry in &resource.attributes {
        values.push((entry.name.clone(), source.value(entry, scope)?));
    }
    if resource.case.is_empty() {
        return Ok(values);
    }
    let case = source
        .renderer
        .expression(&resource.case, scope)
        .map_err(|error| source.failure(&error, &[&resource.case]))?;
    let branch = identity::as_text(&case)
        .and_then(|case| resource.branches.iter().find(|branch| branch.value == case));
    for entry in branch.into_iter().flat_map(|branch| &branch.attributes) {
        let value = source.value(entry, scope)?;
        match values.iter_mut().find(|(name, _)| *name == entry.name) {
            Some((_, old)) => *old = value,
            None => values.push((entry.name.clone(), value)),
        }
    }
    Ok(values)
}

impl Source<'_> {
    fn value(&self, entry: &Entry, scope: &Scope) -> Result<Value, Failure> {
        let Some(node) = &entry.value else { return Ok(Value::Null) };
        self.renderer.value(node, scope).map_err(|error| {
            let mut sources = Vec::new();
            if !self.failed_traits.is_empty() {
                texts(node, &mut sources);
            }
            let failure = self.failure(&error, &sources);
            Failure { reason: format!("attribute `{}`: {}", entry.name, failure.reason), ..failure }
        })
    }

    /// What an error of rendering means for the resource: a collector that failed blocks what uses its trait.
    fn failure(&self, error: &TemplateError, sources: &[&str]) -> Failure {
        let message = error.to_string();
        let uses = |failed: &&FailedTrait| {
            let name = format!("traits.{}", failed.name);
            message.contains(&name) || sources.iter().any(|source| source.contains(&name))
        };
        match self.failed_traits.iter().find(uses) {
            Some(failed) => Failure::blocked(format!(
                "the trait `{}` could not be found out: {}",
                failed.name, failed.reason
            ))
            .help("see `vigo traits`"),
            None => Failure::failed(message),
        }
    }
}

/// The sources in a node.
fn texts<'a>(node: &'a Node, found: &mut Vec<&'a str>) {
    match &node.kind {
        Some(Kind::Template(text) | Kind::Expression(text)) => found.push(text),
        Some(Kind::List(list)) => list.items.iter().for_each(|item| texts(item, found)),
        Some(Kind::Map(map)) => {
            map.entries.iter().filter_map(|entry| entry.value.as_ref()).for_each(|node| texts(node, found))
        }
        _ => {}
    }
}

fn candidate<'a>(one: &'a Rendered, resource: &'a Resource, index: u32) -> Option<Candidate<'a>> {
    let Body::Attributes(attributes) = &one.body else { return None };
    Some(Candidate {
        index,
        kind: one.kind_name()?,
        identity: one.identity_text.as_deref()?,
        is_only_one: one.kind?.info().provides == Provides::OnlyOne,
        path: one.identity.path.as_ref(),
        attributes,
        origin: &resource.origin,
    })
}

fn parse(one: &mut Rendered, resource: &Resource) {
    let Some(kind) = one.kind else { return };
    let Body::Attributes(attributes) = &mut one.body else { return };
    let attributes = std::mem::take(attributes);
    one.body = match kind.parse(Attributes::new(kind.info(), attributes)) {
        Ok(parsed) => Body::Ready(parsed),
        Err(problems) => {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let help: Vec<&str> = problems
                .iter()
                .map(|problem| problem.help.as_str())
                .filter(|help| !help.is_empty())
                .collect();
            Body::Failed(
                Failure::failed(format!("{}: {}", resource.origin, texts.join("; "))).help(help.join("; ")),
            )
        }
    };
}
