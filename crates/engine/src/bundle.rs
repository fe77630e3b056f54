//! What a bundle must hold so that its indices can be followed without looking again.

use crate::EngineError;
use vigo_base::limits;
use vigo_wire::bundle::Bundle;

/// Says no to a bundle with an index that points nowhere.
pub(crate) fn check(bundle: &Bundle) -> Result<(), EngineError> {
    if bundle.resources.len() > limits::RESOURCES {
        return Err(EngineError::Bundle(format!("it has more than {} resources", limits::RESOURCES)));
    }
    let resources = bundle.resources.len();
    let crates = bundle.configcrates.len();
    let inside = |indices: &[u32], length: usize| {
        indices.iter().all(|index| usize::try_from(*index).is_ok_and(|index| index < length))
    };
    for configcrate in &bundle.configcrates {
        if !inside(&configcrate.requires, crates) {
            return Err(EngineError::Bundle(format!(
                "`{}` needs a configcrate it does not have",
                configcrate.name
            )));
        }
    }
    for resource in &bundle.resources {
        let right = inside(&[resource.configcrate], crates)
            && inside(&resource.requires, resources)
            && inside(&resource.notified_by, resources)
            && inside(&resource.requires_configcrates, crates);
        if !right {
            return Err(EngineError::Bundle(format!(
                "the resource at {} points outside of it",
                resource.origin
            )));
        }
    }
    Ok(())
}
