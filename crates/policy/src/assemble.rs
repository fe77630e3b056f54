//! From a selection to its bundle, in stages: stamp, identify, unite, resolve, follow, write.

use crate::ground::{Ground, Notes, Stage, Stamped};
use crate::identity::{self, Identity};
use crate::model::{Attribute, Variable};
use crate::reach::{self, Needs};
use crate::references::{self, Order, configcrates_before};
use std::collections::BTreeMap;
use vigo_base::Span;
use vigo_wire::bundle::{self, Bundle};
use vigo_wire::node::Entry;

/// A bundle, and where its resources come from.
pub(crate) struct Assembled {
    pub bundle: Bundle,
    /// Id and place of each resource.
    pub origins: Vec<(String, Span)>,
}

/// The bundle of a selection.
pub(crate) fn assemble(ground: &Ground<'_>, notes: &mut Notes<'_>) -> Assembled {
    let stage = Stage::new(ground, notes);
    let identities: Vec<Identity> =
        stage.resources.iter().map(|resource| identity::of(&stage, resource)).collect();
    let stands_for = identity::unite(&stage, &identities, notes);
    if notes.checking.is_some() {
        identity::check_paths(&stage, &identities, notes);
    }
    let order = references::resolve(&stage, &identities, &stands_for, notes);
    let needs = reach::follow(&stage, &stands_for, notes);
    if notes.checking.is_some() {
        // A check has seen what it wanted.
        return Assembled { bundle: Bundle::default(), origins: Vec::new() };
    }
    write(&stage, &identities, &stands_for, &order, needs)
}

fn write(
    stage: &Stage<'_>,
    identities: &[Identity],
    stands_for: &[usize],
    order: &Order,
    needs: Needs,
) -> Assembled {
    // Numbers in the bundle, where those that are one stand once.
    let kept: Vec<usize> =
        (0..stage.resources.len()).filter(|number| stands_for.get(*number) == Some(number)).collect();
    let numbers: BTreeMap<usize, u32> = kept.iter().copied().zip(0..).collect();
    let mut origins = Vec::with_capacity(kept.len());
    let mut resources = Vec::with_capacity(kept.len());
    for number in kept {
        let (Some(resource), Some(identity)) = (stage.resources.get(number), identities.get(number)) else {
            continue;
        };
        origins.push((stage.id(resource, identity.shown()), resource.model.span));
        resources.push(write_resource(stage, number, resource, order, &numbers));
    }
    let secrets = needs.secrets.iter().filter_map(|used| {
        let resource = numbers.get(&usize::try_from(used.resource).ok()?)?;
        Some(bundle::SecretUse { resource: *resource, ..used.clone() })
    });
    let secrets = secrets.collect();
    let used = |name: &str| needs.all_variables || needs.variables.contains(name);
    let variables = stage.ground.entries.iter().filter(|entry| used(&entry.name)).cloned().collect();
    let configcrates = write_configcrates(stage, &used);
    let template = |name: &String| {
        let template = stage.ground.policy.templates.get(name)?;
        Some(bundle::Template { name: name.clone(), source: template.source.clone() })
    };
    let templates = needs.templates.iter().filter_map(template).collect();
    let observe = stage.ground.selection.observe;
    let format = bundle::FORMAT;
    let bundle = Bundle { format, variables, configcrates, resources, templates, secrets, observe };
    Assembled { bundle, origins }
}

fn write_configcrates(stage: &Stage<'_>, used: &dyn Fn(&str) -> bool) -> Vec<bundle::Configcrate> {
    let entry = |variable: &Variable| Entry {
        name: variable.name.name.clone(),
        value: Some(variable.value.node.clone()),
    };
    let own = |variable: &&Variable| {
        let name = variable.name.name.as_str();
        used(name) && !stage.ground.shared.contains_key(name)
    };
    let write = |one: &crate::ground::Crate<'_>| {
        // Under `foreach` it may use `item`, so it stands at the resources.
        let when = one.model.when.as_ref().filter(|_| !one.stamped);
        bundle::Configcrate {
            name: one.name.clone(),
            variables: one.model.variables.iter().filter(own).map(entry).collect(),
            when: both(one.condition, when.map(|when| when.source.as_str())),
            requires: configcrates_before(stage, one).into_iter().map(narrow).collect(),
        }
    };
    stage.crates.iter().map(write).collect()
}

/// Both conditions, if there are two.
fn both(one: Option<&str>, other: Option<&str>) -> String {
    match (one, other) {
        (Some(one), Some(other)) => format!("({one}) and ({other})"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => String::new(),
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn write_resource(
    stage: &Stage<'_>,
    number: usize,
    resource: &Stamped<'_>,
    order: &Order,
    numbers: &BTreeMap<usize, u32>,
) -> bundle::Resource {
    let model = resource.model;
    let owner = stage.owner(resource);
    let others = |list: &[Vec<usize>]| -> Vec<u32> {
        list.get(number).into_iter().flatten().filter_map(|other| numbers.get(other).copied()).collect()
    };
    let outer = owner.filter(|owner| owner.stamped).and_then(|owner| owner.model.when.as_ref());
    let when =
        both(outer.map(|when| when.source.as_str()), model.when.as_ref().map(|when| when.source.as_str()));
    let name = match (&model.name, &resource.key) {
        (Some(name), Some(key)) => format!("{}[{key}]", name.name),
        (Some(name), None) => name.name.clone(),
        (None, _) => String::new(),
    };
    let item = resource.item.as_ref().or_else(|| owner.and_then(|owner| owner.item.as_ref()));
    let before = order.requires_configcrates.get(number).into_iter().flatten();
    bundle::Resource {
        configcrate: narrow(resource.owner),
        r#type: model.kind.name.to_owned(),
        name,
        attributes: entries(&model.attributes),
        when,
        requires: others(&order.requires),
        notified_by: others(&order.notified_by),
        subscribes_secrets: model.subscribes_secrets.iter().map(|(path, _)| path.to_string()).collect(),
        timeout_ms: model.timeout_ms,
        allow_exposure: model.allow_exposure.clone(),
        item: item.map(|item| item.node.clone()),
        case: model.case.as_ref().map_or_else(String::new, |case| case.source.clone()),
        branches: model
            .branches
            .iter()
            .map(|(value, attributes)| bundle::Branch {
                value: value.clone(),
                attributes: entries(attributes),
            })
            .collect(),
        origin: stage.ground.policy.origin(model.span),
        requires_configcrates: before.map(|other| narrow(*other)).collect(),
    }
}

fn entries(attributes: &[Attribute]) -> Vec<Entry> {
    let entry = |attribute: &Attribute| Entry {
        name: attribute.name.name.clone(),
        value: Some(attribute.value.node.clone()),
    };
    attributes.iter().map(entry).collect()
}
