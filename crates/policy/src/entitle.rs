//! Which secrets an envoy may read: those that its bundle refers to, with computed paths as they come out for this envoy.

use crate::value::scalar_text;
use std::collections::BTreeSet;
use vigo_base::{SecretPath, Value};
use vigo_resource::{Provides, Registry};
use vigo_template::{EnvoyFacts, Renderer, Scope, TemplateError};
use vigo_wire::bundle::{Bundle, Configcrate, Resource, SecretUse};
use vigo_wire::node::{Entry, Kind, Node};

/// A secret that an envoy may read, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entitlement {
    /// Which secret.
    pub path: SecretPath,
    /// The id of the resource that it stands in, as far as publish knows it.
    pub resource: String,
    /// What it is put into there: the identity of the resource, such as the path of a file.
    pub target: String,
    /// How it gets there: `stdin`, `credentials`, `environment`, `argv`, `file`; else the resource type, which does itself what is to be done with it.
    pub way: String,
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
#[must_use]
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
        let resource = usize::try_from(used.resource).ok().and_then(|index| bundle.resources.get(index));
        let Some(resource) = resource else { continue };
        let world = world.get_or_insert_with(|| World::new(bundle, envoy, parameters));
        let (id, target) = world.id(registry, resource);
        let path = if used.expression.is_empty() {
            // What is no path is no reference, whoever made the bundle.
            used.path.parse().ok().map(Ok)
        } else {
            Some(world.secret_path(&used.expression, resource))
        };
        match path {
            None => {}
            Some(Ok(path)) => {
                let (way, exposure) = (way(registry, resource, used), used.exposure.clone());
                entitlements.insert(Entitlement { path, resource: id, target, way, exposure });
            }
            Some(Err(source)) => failures.push(EntitlementError { resource: id, source }),
        }
    }
    (entitlements, failures)
}

fn way(registry: &Registry, resource: &Resource, used: &SecretUse) -> String {
    let provides = registry.get(&resource.r#type).map(|kind| kind.info().provides);
    let way = match (used.exposure.as_str(), used.attribute.as_str()) {
        ("", "stdin" | "credentials") => used.attribute.as_str(),
        ("", _) if matches!(provides, Some(Provides::Path(_) | Provides::Part(_))) => "file",
        ("", _) => resource.r#type.as_str(),
        (exposure, _) => exposure,
    };
    way.to_owned()
}

/// What names mean for one envoy, without its traits.
struct World<'a> {
    bundle: &'a Bundle,
    renderer: Result<Renderer, TemplateError>,
    scope: Scope,
}

impl<'a> World<'a> {
    fn new(bundle: &'a Bundle, envoy: &EnvoyFacts, parameters: &[Entry]) -> Self {
        let given = |name: &str| parameters.iter().any(|entry| entry.name == name);
        let shared = bundle.variables.iter().filter(|entry| !given(&entry.name));
        let variables: Vec<Entry> = parameters.iter().chain(shared).cloned().collect();
        Self { bundle, renderer: Renderer::new(&[]), scope: Scope::new(&variables, None, envoy) }
    }

    fn configcrate(&self, resource: &Resource) -> Option<&'a Configcrate> {
        self.bundle.configcrates.get(usize::try_from(resource.configcrate).ok()?)
    }

    fn scope(&self, resource: &Resource) -> Scope {
        let own = self.configcrate(resource).map(|one| one.variables.as_slice()).unwrap_or_default();
        self.scope.configcrate(own).with_item(resource.item.as_ref())
    }

    fn secret_path(&self, expression: &str, resource: &Resource) -> Result<SecretPath, TemplateError> {
        self.renderer.as_ref().map_err(Clone::clone)?.secret_path(expression, &self.scope(resource))
    }

    /// `configcrate:name`, or `configcrate:type/identity`, as rendered where that needs no traits; and the identity.
    fn id(&self, registry: &Registry, resource: &Resource) -> (String, String) {
        let configcrate = self.configcrate(resource).map_or("", |one| one.name.as_str());
        let attribute =
            |name: &str| resource.attributes.iter().find(|entry| entry.name == name)?.value.as_ref();
        let identity = registry.get(&resource.r#type).into_iter().flat_map(|kind| kind.info().identity());
        let parts: Vec<String> =
            identity.filter_map(|info| attribute(info.name).map(|node| self.shown(node, resource))).collect();
        let identity = parts.join(" ");
        let id = match resource.name.as_str() {
            "" => format!("{configcrate}:{}/{identity}", resource.r#type),
            name => format!("{configcrate}:{name}"),
        };
        (id, identity)
    }

    fn shown(&self, node: &Node, resource: &Resource) -> String {
        let source = match &node.kind {
            Some(Kind::Template(text)) => text.clone(),
            Some(Kind::Expression(text)) => format!("{{{{ {text} }}}}"),
            _ => return scalar_text(node).unwrap_or_default(),
        };
        let rendered =
            self.renderer.as_ref().ok().and_then(|one| one.value(node, &self.scope(resource)).ok());
        match rendered {
            Some(Value::Text(pieces)) => pieces.to_string(),
            Some(Value::Integer(number)) => number.to_string(),
            _ => source,
        }
    }
}
