//! Runs: what envoys reported.

use super::call::{Answer, Call};
use super::envoys::show_summary;
use crate::clock::rfc3339;
use crate::problem::{Code, Problem};
use crate::state::Server;
use serde_json::{Value, json};
use vigo_base::{EnvoyId, decode_hex, encode_hex};
use vigo_store::Run;
use vigo_wire::inner::{Exposure, ResourceReport};

/// `GET /runs`.
pub fn list(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let of = match call.asked("envoy") {
        "" => None,
        text => Some(envoy(server, text)?),
    };
    let page = server.store.runs(of.as_ref(), call.page())?;
    Ok(Answer::list(page, |run| show_run(&run)))
}

fn envoy(server: &Server, text: &str) -> Result<EnvoyId, Problem> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let named = server.store.envoy_named(text)?.map(|envoy| envoy.identity.id);
    named.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no envoy `{text}`")))
}

fn show_run(run: &Run) -> Value {
    json!({
        "run": encode_hex(&run.run),
        "envoy": run.envoy.to_string(),
        "name": run.name.as_str(),
        "started_at": rfc3339(run.started_at),
        "received_at": rfc3339(run.received_at),
        "duration_ms": run.duration_ms,
        "dry_run": run.dry_run,
        "offline": run.offline,
        "publish": run.publish,
        "generation": run.generation,
        "summary": show_summary(&run.summary),
    })
}

/// `GET /runs/{run}`.
pub fn show(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let text = call.parameter("run")?;
    let missing = || Problem::new(Code::NotFound, format!("there is no run `{text}`"));
    let id: [u8; 16] = decode_hex(text).and_then(|id| id.try_into().ok()).ok_or_else(missing)?;
    let (run, report) = server.store.run(&id)?.ok_or_else(missing)?;
    let mut fields = show_run(&run);
    if let Some(fields) = fields.as_object_mut() {
        let resources: Vec<Value> = report.resources.iter().map(show_resource).collect();
        fields.insert("resources".into(), Value::Array(resources));
        fields.insert("problems".into(), json!(report.problems));
        fields.insert("exposures".into(), report.exposures.iter().map(show_exposure).collect());
    }
    Ok(Answer::object(fields))
}

fn show_exposure(exposure: &Exposure) -> Value {
    json!({
        "resource": exposure.resource,
        "path": exposure.path,
        "version": exposure.version,
        "way": exposure.way,
    })
}

fn show_resource(resource: &ResourceReport) -> Value {
    json!({
        "id": resource.id,
        "type": resource.r#type,
        "outcome": resource.outcome,
        "changes": resource.changes,
        "reason": resource.reason,
        "duration_ms": resource.duration_ms,
    })
}
