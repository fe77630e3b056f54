//! Which secrets an envoy is entitled to: those that its bundle refers to, by facts that the server owns. What a node says of itself is no such fact.

use crate::ServerError;
use crate::state::Server;
use std::collections::BTreeSet;
use vigo_base::{Digest, SecretPath};
use vigo_policy::{Entitlement, entitled};
use vigo_resources::REGISTRY;
use vigo_store::NewEnvoy;
use vigo_template::EnvoyFacts;
use vigo_wire::bundle::Bundle;

/// Every use of a secret in `bundle` that comes to a path for this envoy. One that cannot be computed entitles to nothing: the envoy cannot compute it either.
#[must_use]
pub fn uses(bundle: &Bundle, envoy: &NewEnvoy, environment: &str) -> BTreeSet<Entitlement> {
    let facts = EnvoyFacts {
        name: envoy.name.as_str().into(),
        id: envoy.id.to_string(),
        environment: environment.into(),
    };
    entitled(bundle, &REGISTRY, &facts, &[]).0
}

/// Whose values the envoy may have.
#[must_use]
pub fn paths(bundle: &Bundle, envoy: &NewEnvoy, environment: &str) -> BTreeSet<SecretPath> {
    uses(bundle, envoy, environment).into_iter().map(|one| one.path).collect()
}

/// Whose values the envoy may have by the bundle of that digest. Blocks when the bundle is not in memory.
///
/// # Errors
/// When the bundle cannot be had.
pub fn by_digest(
    server: &Server,
    bundle: &Digest,
    envoy: &NewEnvoy,
    environment: &str,
) -> Result<BTreeSet<SecretPath>, ServerError> {
    Ok(paths(&server.bundles.get(server, bundle)?.bundle, envoy, environment))
}

/// Whose versions the envoy is told: those, and the ones that its resources only subscribe to. Blocks when the bundle is not in memory.
///
/// # Errors
/// When the bundle cannot be had.
pub fn watched(
    server: &Server,
    bundle: &Digest,
    envoy: &NewEnvoy,
    environment: &str,
) -> Result<BTreeSet<SecretPath>, ServerError> {
    let loaded = server.bundles.get(server, bundle)?;
    let subscribed = loaded.bundle.resources.iter().flat_map(|resource| &resource.subscribes_secrets);
    let mut watched = paths(&loaded.bundle, envoy, environment);
    watched.extend(subscribed.filter_map(|path| path.parse().ok()));
    Ok(watched)
}
