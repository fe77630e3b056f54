//! Which secret can be seen where: what the bundles say, joined with what the machines reported.

use super::call::{Answer, Call};
use crate::clock::rfc3339;
use crate::problem::{Code, Problem};
use crate::state::Server;
use crate::{ServerError, entitle};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vigo_base::{EnvoyId, SecretPath};
use vigo_policy::Entitlement;
use vigo_store::{Envoy, EnvoyState, Listing, Page, SecretUse, SeenExposure};

/// `GET /exposure?envoy=&path=`: a page has whole envoys, so it may have more items than were asked for.
pub fn list(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let path: Option<SecretPath> = match call.asked("path") {
        "" => None,
        text => Some(text.parse().map_err(|error| Problem::new(Code::Malformed, format!("{error}")))?),
    };
    let is_wanted =
        |one: &SecretPath| path.as_ref().is_none_or(|path| path == one) && call.principal.covers(one);
    server.flush_secret_uses()?;
    if !call.asked("envoy").is_empty() {
        let envoy = super::envoys::named(server, call.asked("envoy"))?;
        return Ok(Answer::items(of_envoy(server, &envoy, &is_wanted)?));
    }
    let mut cursor = call.page().cursor.map(str::to_owned);
    let mut items = Vec::new();
    loop {
        let page = Page { cursor: cursor.as_deref(), limit: call.page().limit };
        let Listing { items: envoys, next } = server.store.envoys("", page)?;
        for envoy in &envoys {
            items.extend(of_envoy(server, envoy, &is_wanted)?);
        }
        cursor = next;
        if cursor.is_none() || !items.is_empty() {
            return Ok(Answer::object(json!({ "items": items, "next": cursor })));
        }
    }
}

/// Where secrets can be seen on one machine: planned and reported, planned only, reported only (it was so; what was written may still be there).
fn of_envoy(
    server: &Server,
    envoy: &Envoy,
    is_wanted: &dyn Fn(&SecretPath) -> bool,
) -> Result<Vec<Value>, ServerError> {
    let id = envoy.identity.id;
    let seen = server.store.exposures(&id)?;
    let planned = if envoy.state == EnvoyState::Revoked { Vec::new() } else { planned(server, envoy)? };
    let given: BTreeMap<SecretPath, SecretUse> = server
        .store
        .secret_uses_of(&crate::fleet::actor(&id))?
        .into_iter()
        .map(|used| (used.path.clone(), used))
        .collect();
    let mut items = Vec::new();
    for plan in planned.iter().filter(|plan| is_wanted(&plan.path)) {
        let reports: Vec<_> =
            seen.iter().filter(|one| one.path == plan.path && one.resource == plan.resource).collect();
        if reports.is_empty() {
            items.push(show(server, envoy, Some(plan), None, given.get(&plan.path)));
        }
        for report in reports {
            items.push(show(server, envoy, Some(plan), Some(report), given.get(&plan.path)));
        }
    }
    let is_planned = |one: &&SeenExposure| {
        planned.iter().any(|plan| plan.path == one.path && plan.resource == one.resource)
    };
    for report in seen.iter().filter(|one| is_wanted(&one.path) && !is_planned(one)) {
        items.push(show(server, envoy, None, Some(report), given.get(&report.path)));
    }
    Ok(items)
}

fn planned(server: &Server, envoy: &Envoy) -> Result<Vec<Entitlement>, ServerError> {
    let published = server.published();
    let identity = &envoy.identity;
    let traits = if published.wants_traits(identity) { server.traits(&identity.id)? } else { None };
    let block = published.choose(identity, traits.as_ref()).block;
    Ok(entitle::uses(&block.bundle, identity, &block.environment).into_iter().collect())
}

fn show(
    server: &Server,
    envoy: &Envoy,
    planned: Option<&Entitlement>,
    reported: Option<&SeenExposure>,
    given: Option<&SecretUse>,
) -> Value {
    let identity = &envoy.identity;
    let live = server.fleet.known(&identity.id).map(|member| member.live().posture.clone());
    let posture = live.as_ref().unwrap_or(&envoy.posture);
    let path = planned.map(|one| &one.path).or(reported.map(|one| &one.path));
    let resource = planned.map(|one| &one.resource).or(reported.map(|one| &one.resource));
    let way = reported.map(|one| &one.way).or(planned.map(|one| &one.way));
    json!({
        "envoy": identity.id.to_string(),
        "name": identity.name.as_str(),
        "path": path.map(SecretPath::as_str),
        "resource": resource,
        "target": planned.map(|one| &one.target),
        "way": way,
        "planned": planned.is_some(),
        "version": reported.map(|one| one.version.0).or(given.map(|one| one.version.0)),
        "reported_at": reported.map(|one| rfc3339(one.at)),
        "given_at": given.map(|one| rfc3339(one.at)),
        "level": posture.level,
        "swap": posture.swap,
    })
}

/// The exposures of a report as they are stored; what is no path or no way is passed over.
#[must_use]
pub fn of_report(envoy: EnvoyId, at: u64, said: &[vigo_wire::inner::Exposure]) -> Vec<SeenExposure> {
    let one = |said: &vigo_wire::inner::Exposure| {
        Some(SeenExposure {
            envoy,
            resource: super::call::cut(&said.resource, RESOURCE).to_owned(),
            path: said.path.parse().ok()?,
            way: said.way.parse::<vigo_base::ExposureWay>().ok()?.as_str().to_owned(),
            version: vigo_base::SecretVersion(said.version.min(i64::MAX.unsigned_abs())),
            at,
        })
    };
    said.iter().filter_map(one).collect()
}

/// An id of a resource that is longer is cut.
const RESOURCE: usize = 1024;
