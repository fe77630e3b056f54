//! The audit log: what was done and refused, and whether the chain is whole.

use super::call::{Answer, Call};
use crate::problem::Problem;
use crate::state::Server;
use serde_json::json;

/// `GET /audit`.
pub fn list(server: &Server, call: &Call) -> Result<Answer, Problem> {
    let page = server.store.audit(call.page())?;
    Ok(Answer::list(page, |record| {
        let entry = record.entry;
        json!({
            "sequence": record.sequence,
            "at": crate::clock::rfc3339(entry.at_ms / 1000),
            "actor": entry.actor,
            "action": entry.action,
            "object": entry.object,
            "outcome": entry.outcome,
            "detail": entry.detail,
            "previous": record.previous.to_string(),
            "digest": record.digest.to_string(),
        })
    }))
}

/// `GET /audit/verify`.
pub fn verify(server: &Server, _: &Call) -> Result<Answer, Problem> {
    let verdict = server.store.verify_audit()?;
    let broken = verdict.broken.map(|(sequence, why)| json!({ "sequence": sequence, "reason": why }));
    Ok(Answer::object(json!({
        "intact": verdict.broken.is_none(),
        "records": verdict.records,
        "head": verdict.head.digest.to_string(),
        "broken": broken,
    })))
}
