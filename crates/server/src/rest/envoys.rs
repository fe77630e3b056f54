//! Envoys: who there is, what they have, what they last said; and revoking them.

use super::call::{Answer, Call};
use crate::auth::Permission;
use crate::clock::rfc3339;
use crate::fleet::is_stale;
use crate::problem::{Code, Problem};
use crate::state::Server;
use prost::Message as _;
use serde_json::{Map, Value, json};
use vigo_base::EnvoyId;
use vigo_store::{Envoy, EnvoyState, NewAudit, Page, Summary};
use vigo_wire::node::{Kind, Node};

/// `GET /envoys?name=&level=&swap=&state=`: a page that is filtered may be shorter than what was asked for, and empty only at the end.
pub fn list(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let mut cursor = call.page().cursor.map(str::to_owned);
    let mut items = Vec::new();
    loop {
        let page = Page { cursor: cursor.as_deref(), limit: call.page().limit };
        let page = server.store.envoys(call.asked("name"), page)?;
        for envoy in &page.items {
            let shown = show_envoy(server, envoy)?;
            let fits = |name: &str| {
                let wanted = call.asked(name);
                wanted.is_empty() || shown.get(name).and_then(Value::as_str) == Some(wanted)
            };
            if ["level", "swap", "state"].into_iter().all(fits) {
                items.push(Value::Object(shown));
            }
        }
        cursor = page.next;
        if cursor.is_none() || !items.is_empty() {
            return Ok(Answer::object(json!({ "items": items, "next": cursor })));
        }
    }
}

/// `GET /envoys/{name-or-id}`.
pub fn show(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let envoy = find(server, call)?;
    let mut fields = show_envoy(server, &envoy)?;
    let traits = server.store.traits(&envoy.identity.id)?;
    let traits = traits.and_then(|traits| Node::decode(traits.bytes.as_slice()).ok());
    fields.insert("traits".into(), traits.map_or(Value::Null, |node| show_node(&node)));
    Ok(Answer::object(Value::Object(fields)))
}

fn find(server: &Server, call: &Call) -> Result<Envoy, Problem> {
    named(server, call.parameter("envoy")?)
}

/// The envoy of that name or id.
pub fn named(server: &Server, text: &str) -> Result<Envoy, Problem> {
    let named = match text.parse::<EnvoyId>() {
        Ok(id) => server.store.envoy(&id)?,
        Err(()) => server.store.envoy_named(text)?,
    };
    named.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no envoy `{text}`")))
}

fn show_envoy(server: &Server, envoy: &Envoy) -> Result<Map<String, Value>, Problem> {
    let identity = &envoy.identity;
    let current = server.store.assignments(&identity.id)?.into_iter().next();
    // What the last seconds brought is in memory only.
    let live = server.fleet.known(&identity.id).map(|member| member.live().clone());
    let last_seen = live.as_ref().map_or(envoy.last_seen.unwrap_or(0), |live| live.last_seen);
    let posture = live.as_ref().map_or(&envoy.posture, |live| &live.posture);
    let newest = live.as_ref().and_then(|live| live.assigned.as_ref());
    let publish =
        newest.map_or(current.as_ref().map_or(0, |one| one.publish), |current| current.stamp.publish);
    let published = server.published();
    let traits = if published.wants_traits(identity) { server.traits(&identity.id)? } else { None };
    let block = published.choose(identity, traits.as_ref()).block;
    let fields = json!({
        "id": identity.id.to_string(),
        "name": identity.name.as_str(),
        "environment": current.as_ref().map_or(block.environment.as_str(), |one| one.environment.as_str()),
        "labels": identity.labels,
        "state": envoy.state.as_str(),
        "enrolled_at": rfc3339(envoy.enrolled_at),
        "agent_version": live.as_ref().map_or(&envoy.agent_version, |live| &live.agent_version),
        "last_seen": Some(last_seen).filter(|seen| *seen != 0).map(rfc3339),
        "publish": publish,
        "generation": current.as_ref().map_or(0, |one| one.generation),
        "stale": is_stale(last_seen.max(envoy.enrolled_at)),
        "level": posture.level,
        "reasons": posture.reasons,
        "swap": posture.swap,
        "last_run": envoy.last_run.map(|run| json!({ "at": rfc3339(run.at), "summary": show_summary(&run.summary) })),
        "match": Some(block.origin.as_str()).filter(|origin| !origin.is_empty()),
    });
    match fields {
        Value::Object(fields) => Ok(fields),
        _ => Err(Problem::new(Code::Bug, "an envoy cannot be shown")),
    }
}

/// The numbers of a run.
pub fn show_summary(summary: &Summary) -> Value {
    json!({
        "unchanged": summary.unchanged,
        "changed": summary.changed,
        "failed": summary.failed,
        "blocked": summary.blocked,
        "skipped": summary.skipped,
    })
}

fn show_node(node: &Node) -> Value {
    match &node.kind {
        None => Value::Null,
        Some(Kind::Boolean(value)) => json!(value),
        Some(Kind::Integer(value)) => json!(value),
        Some(Kind::Number(value)) => json!(value),
        Some(Kind::Literal(text) | Kind::Template(text) | Kind::Expression(text) | Kind::Source(text)) => {
            json!(text)
        }
        Some(Kind::List(list)) => Value::Array(list.items.iter().map(show_node).collect()),
        Some(Kind::Map(map)) => {
            let show = |value: &Option<Node>| value.as_ref().map_or(Value::Null, show_node);
            Value::Object(map.entries.iter().map(|entry| (entry.name.clone(), show(&entry.value))).collect())
        }
    }
}

/// The record of what is done to an envoy.
fn change(call: &Call, envoy: &Envoy, done: &str) -> NewAudit {
    let detail = format!("{done} {}", envoy.identity.id);
    call.audit(Permission::EnvoysWrite, envoy.identity.name.as_str(), "allowed", &detail)
}

/// `POST /envoys/{name-or-id}/revoke`: never again. Check-ins and secrets are refused from this answer on.
pub fn revoke(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let envoy = find(server, call)?;
    let id = envoy.identity.id;
    let audit = change(call, &envoy, "revoked");
    server.store.set_envoy_state(&id, EnvoyState::Revoked, &[audit])?;
    server.metrics.audit_records.inc();
    server.fleet.set_state(&id, EnvoyState::Revoked);
    if envoy.state != EnvoyState::Revoked {
        server.metrics.envoys.dec();
    }
    Ok(Answer::object(
        json!({ "id": id.to_string(), "name": envoy.identity.name.as_str(), "state": "revoked" }),
    ))
}

/// `DELETE /envoys/{name-or-id}`: only what is revoked.
pub fn remove(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let envoy = find(server, call)?;
    let id = envoy.identity.id;
    let audit = change(call, &envoy, "removed");
    server.store.remove_envoy(&id, &[audit])?;
    server.metrics.audit_records.inc();
    server.fleet.forget(&id);
    Ok(Answer::object(json!({ "id": id.to_string(), "name": envoy.identity.name.as_str() })))
}
