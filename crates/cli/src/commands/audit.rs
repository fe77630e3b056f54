//! `vigocli audit`.

use crate::arguments::Audit;
use crate::client::{Ask, Patience};
use crate::error::CliError;
use crate::output::Column;
use crate::session::Session;
use serde_json::Value;
use vigo_base::Exit;

const RECORDS: &[Column] = &[
    ("number", "/sequence"),
    ("at", "/at"),
    ("actor", "/actor"),
    ("action", "/action"),
    ("object", "/object"),
    ("outcome", "/outcome"),
    ("detail", "/detail"),
];

pub fn run(session: &mut Session, command: &Audit) -> Result<Exit, CliError> {
    match command {
        Audit::List { part } => {
            session.list("/audit", &[], part, RECORDS)?;
            Ok(Exit::Success)
        }
        Audit::Verify => {
            session.patience(Patience::publish());
            let verdict = session.ask(&Ask::get("/audit/verify"))?;
            let intact = session.field(&verdict, "intact")?.as_bool();
            let intact = intact.ok_or_else(|| session.strange("its `intact` is neither true nor false"))?;
            let output = session.output;
            output.object(&verdict, |verdict| summary(intact, verdict))?;
            Ok(if intact { Exit::Success } else { Exit::Bad })
        }
    }
}

fn summary(intact: bool, verdict: &Value) -> String {
    let records = verdict.get("records").and_then(Value::as_u64).unwrap_or_default();
    let head = verdict.get("head").map(|head| head.as_str().map_or_else(|| head.to_string(), str::to_owned));
    let head = crate::output::printable(&head.unwrap_or_default(), 200);
    if intact {
        format!("intact: {records} records, head {head}")
    } else {
        let broken = verdict.get("broken").map(Value::to_string).unwrap_or_default();
        let broken = crate::output::printable(&broken, 500);
        format!("BROKEN after {records} good records, head {head} {broken}")
    }
}
