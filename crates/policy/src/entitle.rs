//! Which secrets an envoy may read: those that its bundle refers to, with computed paths as they come out for this envoy.

use crate::value::scalar_text;
use std::collections::BTreeSet;
use vigo_base::SecretPath;
use vigo_resource::Registry;
use vigo_template::{EnvoyFacts, Renderer, Scope, TemplateError};
use vigo_wire::bundle::{Bundle, Resource};
use vigo_wire::node::Entry;

/// A secret that an envoy may read, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entitlement {
    /// Which secret.
    pub path: SecretPath,
    /// The id of the resource that it stands in, as far as publish knows it.
    pub resource: String,
    /// Who else can see it there: empty (nobody), `environment` or `argv`.
    pub exposure: String,
}

/// A reference of a bundle that comes to no secret for this envoy. It entitles to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot compute the path of a secret of `{resource}`")]
pub struct EntitlementError {
    /// The id of the resource.
    pub resource: String,
    /// Why.
    pub source: TemplateError,
}

impl EntitlementError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> vigo_base::Blame {
        self.source.blame()
    }
}

/// What a bundle entitles an envoy to. `parameters` are the variables of its assignment, above those of the bundle.
pub fn entitled(
    bundle: &Bundle,
    registry: &Registry,
    envoy: &EnvoyFacts,
    parameters: &[Entry],
) -> (BTreeSet<Entitlement>, Vec<EntitlementError>) {
    let mut entitlements = BTreeSet::new();
    let mut failures = Vec::new();
    let mut world = None;
    for used in &bundle.secrets {
        let Some(resource) =
            usize::try_from(used.resource).ok().and_then(|index| bundle.resources.get(index))
        else {
            continue;
        };
        let path = if used.expression.is_empty() {
            used.path.parse().ok()
        } else {
            let (renderer, scope) = world.get_or_insert_with(|| world_of(bundle, envoy, parameters));
            let own = configcrate(bundle, resource).map(|one| one.variables.as_slice()).unwrap_or_default();
            let scope = scope.configcrate(own).with_item(resource.item.as_ref());
            match renderer
                .as_ref()
                .map_err(Clone::clone)
                .and_then(|renderer| renderer.secret_path(&used.expression, &scope))
            {
                Ok(path) => Some(path),
                Err(source) => {
                    failures.push(EntitlementError { resource: id(bundle, registry, resource), source });
                    None
                }
            }
        };
        if let Some(path) = path {
            let (resource, exposure) = (id(bundle, registry, resource), used.exposure.clone());
            entitlements.insert(Entitlement { path, resource, exposure });
        }
    }
    (entitlements, failures)
}

fn world_of(
    bundle: &Bundle,
    envoy: &EnvoyFacts,
    parameters: &[Entry],
) -> (Result<Renderer, TemplateError>, Scope) {
    let given = |name: &str| parameters.iter().any(|entry| entry.name == name);
    let shared = bundle.variables.iter().filter(|entry| !given(&entry.name));
    let variables: Vec<Entry> = parameters.iter().chain(shared).cloned().collect();
    (Renderer::new(&[]), Scope::new(&variables, None, envoy))
}

fn configcrate<'a>(bundle: &'a Bundle, resource: &Resource) -> Option<&'a vigo_wire::bundle::Configcrate> {
    bundle.configcrates.get(usize::try_from(resource.configcrate).ok()?)
}

/// `configcrate:name`, or `configcrate:type/identity` before rendering.
fn id(bundle: &Bundle, registry: &Registry, resource: &Resource) -> String {
    let configcrate = configcrate(bundle, resource).map_or("", |one| one.name.as_str());
    if !resource.name.is_empty() {
        return format!("{configcrate}:{}", resource.name);
    }
    let attribute = |name: &str| resource.attributes.iter().find(|entry| entry.name == name)?.value.as_ref();
    let shown = |node: &vigo_wire::node::Node| match &node.kind {
        Some(vigo_wire::node::Kind::Template(text)) => Some(text.clone()),
        Some(vigo_wire::node::Kind::Expression(text)) => Some(format!("{{{{ {text} }}}}")),
        _ => scalar_text(node),
    };
    let identity = registry.get(&resource.r#type).into_iter().flat_map(|kind| kind.info().identity());
    let parts: Vec<String> = identity.filter_map(|info| attribute(info.name).and_then(shown)).collect();
    format!("{configcrate}:{}/{}", resource.r#type, parts.join(","))
}
