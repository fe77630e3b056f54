//! Which resources `--only` means, and which secrets a run is going to need.

use crate::render::{Body, Rendered};
use crate::{EngineError, Order};
use std::collections::BTreeSet;
use vigo_base::SecretPath;
use vigo_wire::bundle::Bundle;

/// For each resource whether it is to run: those that are named, and what they depend on.
pub(crate) fn selected(
    bundle: &Bundle,
    rendered: &[Rendered],
    order: &Order,
    only: &[String],
) -> Result<Vec<bool>, EngineError> {
    let mut selected = vec![false; rendered.len()];
    let mut open = Vec::new();
    for reference in only {
        open.extend(named(bundle, rendered, reference)?);
    }
    let mut crates_done = vec![false; bundle.configcrates.len()];
    while let Some(index) = open.pop() {
        let index = rendered.get(index as usize).and_then(|one| one.identity.same_as).unwrap_or(index);
        let Some(flag) = selected.get_mut(index as usize) else { continue };
        if std::mem::replace(flag, true) {
            continue;
        }
        let Some(one) = rendered.get(index as usize) else { continue };
        open.extend(order.implied.get(index as usize).into_iter().flatten());
        for original in one.originals(index) {
            let Some(resource) = bundle.resources.get(original as usize) else { continue };
            open.extend(&resource.requires);
            let own = bundle.configcrates.get(resource.configcrate as usize);
            let required =
                own.into_iter().flat_map(|own| &own.requires).chain(&resource.requires_configcrates);
            for configcrate in required {
                take_configcrate(bundle, *configcrate, &mut crates_done, &mut open);
            }
        }
    }
    Ok(selected)
}

fn take_configcrate(bundle: &Bundle, configcrate: u32, done: &mut [bool], open: &mut Vec<u32>) {
    let Some(flag) = done.get_mut(configcrate as usize) else { return };
    if std::mem::replace(flag, true) {
        return;
    }
    let own = bundle.resources.iter().zip(0_u32..);
    open.extend(own.filter(|(resource, _)| resource.configcrate == configcrate).map(|(_, index)| index));
}

/// What a reference means: an id, a name, or `type/identity`.
fn named(bundle: &Bundle, rendered: &[Rendered], reference: &str) -> Result<Vec<u32>, EngineError> {
    let fits = |one: &Rendered, index: u32| {
        let by_name = bundle.resources.get(index as usize).is_some_and(|resource| resource.name == reference);
        by_name
            || one.identity.id == reference
            || reference.split_once('/').is_some_and(|(kind, identity)| {
                one.kind_name() == Some(kind) && one.identity_text.as_deref() == Some(identity)
            })
    };
    let mut found: Vec<u32> = rendered
        .iter()
        .zip(0_u32..)
        .filter(|(one, index)| fits(one, *index))
        .map(|(_, index)| index)
        .collect();
    found.dedup_by_key(|index| {
        rendered.get(*index as usize).and_then(|one| one.identity.same_as).unwrap_or(*index)
    });
    // A configcrate means everything in it.
    if found.is_empty()
        && let Some(configcrate) =
            bundle.configcrates.iter().position(|configcrate| configcrate.name == reference)
    {
        let own = bundle.resources.iter().zip(0_u32..);
        return Ok(own
            .filter(|(resource, _)| resource.configcrate as usize == configcrate)
            .map(|(_, index)| index)
            .collect());
    }
    match found.as_slice() {
        [] => Err(EngineError::UnknownReference(reference.to_owned())),
        [_] => Ok(found),
        many => Err(EngineError::AmbiguousReference {
            reference: reference.to_owned(),
            candidates: many
                .iter()
                .filter_map(|index| rendered.get(*index as usize))
                .map(|one| one.identity.id.clone())
                .collect(),
        }),
    }
}

/// Every secret whose value a run may need: of what is not ruled out before anything is looked at.
pub(crate) fn secrets(rendered: &[Rendered], order: &Order, selected: Option<&[bool]>) -> Vec<SecretPath> {
    let mut paths = BTreeSet::new();
    for index in &order.sequence {
        if selected.is_some_and(|selected| selected.get(*index as usize) != Some(&true)) {
            continue;
        }
        if let Some(one) = rendered.get(*index as usize)
            && matches!(one.body, Body::Ready(_))
        {
            paths.extend(&one.secrets);
        }
    }
    paths.into_iter().cloned().collect()
}
