//! Is the server there, is it ready, and what state is it in.

use super::call::{Answer, Call};
use super::config;
use crate::keys::KeyKept;
use crate::problem::{Code, Problem};
use crate::protection::Protection;
use crate::state::Server;
use serde_json::json;
use std::sync::atomic::Ordering;

/// `GET /healthz`: the process lives.
pub fn health(_: &Server, _: &Call) -> Result<Answer, Problem> {
    Ok(Answer::Text("text/plain; charset=utf-8", "ok\n".into()))
}

/// `GET /readyz`: the store and the hand answer.
pub fn ready(server: &Server, _: &Call) -> Result<Answer, Problem> {
    let ready = server.store.ping().is_ok() && server.keys.status().is_ok();
    if ready {
        return Ok(Answer::Text("text/plain; charset=utf-8", "ready\n".into()));
    }
    Err(Problem::new(Code::Busy, "the store or the hand does not answer; the server's log says which"))
}

/// `GET /metrics`.
pub fn metrics(server: &Server, _: &Call) -> Result<Answer, Problem> {
    server.metrics.sessions.set(i64::try_from(server.sessions.count()).unwrap_or(i64::MAX));
    server.metrics.held.set(i64::try_from(server.held.count()).unwrap_or(i64::MAX));
    let begun = server.store.transactions();
    server.metrics.store_reads.inner().store(begun.reads, Ordering::Relaxed);
    server.metrics.store_writes.inner().store(begun.writes, Ordering::Relaxed);
    let text = server.metrics.text().map_err(|_| Problem::new(Code::Bug, "the metrics cannot be written"))?;
    Ok(Answer::Text("application/openmetrics-text; version=1.0.0; charset=utf-8", text))
}

/// What an operator should do about the master key.
fn warnings(kept: KeyKept) -> Vec<String> {
    let KeyKept { kept: is, wanted, is_safe } = kept;
    let never = "the master key was not exported: without it every secret is lost; stop the server and `vigosrv key export FILE`";
    let other = || {
        let (is, wanted) = (is.as_str(), wanted.as_str());
        format!("the master key is kept in: {is}, the settings say: {wanted}; `vigosrv rekey` changes that")
    };
    let never = (!is_safe).then(|| never.to_owned());
    never.into_iter().chain((is != wanted).then(other)).collect()
}

/// `GET /api/v1/status`.
pub fn status(server: &Server, _: &Call) -> Result<Answer, Problem> {
    let publish = server.store.current_publish()?;
    let protection = Protection::of(&server.keys.status()?);
    let kept = server.keys.kept();
    Ok(Answer::object(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "publish": publish.as_ref().map(config::show_publish),
        "envoys": server.metrics.envoys.get(),
        "term": server.keys.term(),
        "anchor": vigo_base::encode_hex(server.keys.anchor()),
        "level": protection.level.as_str(),
        "reasons": protection.reasons,
        "master_key": {
            "kept": kept.kept.as_str(),
            "exported": kept.is_safe,
        },
        "warnings": warnings(kept),
    })))
}
