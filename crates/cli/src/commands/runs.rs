//! `vigocli runs`.

use crate::arguments::Runs;
use crate::client::{Ask, encode};
use crate::error::CliError;
use crate::output::Column;
use crate::session::Session;
use serde_json::Value;
use vigo_base::Exit;

const RUNS: &[Column] = &[
    ("run", "/run"),
    ("envoy", "/name"),
    ("started", "/started_at"),
    ("ms", "/duration_ms"),
    ("dry run", "/dry_run"),
    ("offline", "/offline"),
    ("publish", "/publish"),
    ("unchanged", "/summary/unchanged"),
    ("changed", "/summary/changed"),
    ("failed", "/summary/failed"),
    ("blocked", "/summary/blocked"),
    ("skipped", "/summary/skipped"),
];

const RESOURCES: &[Column] = &[
    ("resource", "/id"),
    ("outcome", "/outcome"),
    ("changes", "/changes"),
    ("reason", "/reason"),
    ("ms", "/duration_ms"),
];

pub fn run(session: &mut Session, command: &Runs) -> Result<Exit, CliError> {
    match command {
        Runs::List { envoy, part } => {
            session.list("/runs", &[("envoy", envoy.as_deref().unwrap_or_default())], part, RUNS)?;
        }
        Runs::Show { run } => {
            let run = session.ask(&Ask::get(format!("/runs/{}", encode(run))))?;
            let output = session.output;
            output.object(&run, |run| {
                let mut rest = run.clone();
                let resources = rest.as_object_mut().and_then(|fields| fields.remove("resources"));
                let resources = resources.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
                format!("{}\n{}", output.details(&rest), output.table(&resources, RESOURCES))
            })?;
        }
    }
    Ok(Exit::Success)
}
