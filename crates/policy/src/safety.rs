//! What a single resource must not do: act on every run, run a command without a guard.

use crate::model::{Attribute, Resource};
use crate::reader::{Fields, Reader};
use vigo_resource::TypeInfo;
use vigo_syntax::Code;
use vigo_wire::node::Kind;

/// Attributes that keep a command from running when there is nothing to do.
const GUARDS: [&str; 3] = ["creates", "onlyif", "unless"];
/// States that are acts.
const ACTS: [&str; 2] = ["restarted", "reloaded"];

/// True if a resource of the type runs a command that its author wrote.
pub(crate) fn runs_command(kind: &TypeInfo) -> bool {
    GUARDS.iter().all(|guard| kind.attribute(guard).is_some())
}

/// The checks that need nothing but the resource.
pub(crate) fn check_resource(reader: &mut Reader<'_>, resource: &Resource, fields: &Fields<'_>) {
    let at = |key: &str| fields.entry(key).map_or(resource.span, |entry| entry.key_span);
    // A `when` that could not be read may have said it.
    if resource.waits_for_change() || (resource.when.is_none() && fields.entry("when").is_some()) {
        return;
    }
    let guarded = resource.all_attributes().any(|attribute| GUARDS.contains(&attribute.name.name.as_str()));
    if runs_command(resource.kind) && !guarded {
        let identity = resource.kind.identity().next().map_or("type", |info| info.name);
        let help = "say when there is nothing to do with `creates`, `onlyif` or `unless`, or run it on notification only with `when: changed`";
        reader.report(Code::MissingGuard, at(identity), "this command would run at every check-in", help);
    }
    let subscribes = !resource.subscribes.is_empty() || !resource.subscribes_secrets.is_empty();
    if let Some(act) = resource.all_attributes().find_map(act).filter(|_| !subscribes) {
        let message = format!("`state: {act}` without `when: changed` would act at every check-in");
        let help = "add `when: changed` and let another resource `notify` this one, or write `subscribes`";
        reader.report(Code::Unconditional, at("state"), message, help);
    }
}

fn act(attribute: &Attribute) -> Option<&str> {
    match &attribute.value.node.kind {
        Some(Kind::Literal(state)) if attribute.name.name == "state" => {
            Some(state.as_str()).filter(|state| ACTS.contains(state))
        }
        _ => None,
    }
}
