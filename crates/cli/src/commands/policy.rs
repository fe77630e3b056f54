//! `vigocli secrets policy`: who may have which secrets, on what machines.

use crate::arguments::Policy;
use crate::client::{Ask, encode};
use crate::error::CliError;
use crate::output::{self, Column};
use crate::session::Session;
use serde_json::{Map, Value, json};
use vigo_base::{Exit, SecretScope};

const POLICIES: &[Column] = &[
    ("secrets", "/scope"),
    ("level", "/require"),
    ("swap", "/require_swap"),
    ("environments", "/environments"),
    ("envoys", "/envoys"),
    ("labels", "/labels"),
    ("by", "/set_by"),
    ("at", "/set_at"),
];

pub fn run(session: &mut Session, command: &Policy) -> Result<Exit, CliError> {
    let output = session.output;
    match command {
        Policy::Set { scope, require, require_swap, environments, envoys, labels } => {
            let labels: Map<_, _> = labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let body = json!({
                "require": require,
                "require_swap": require_swap,
                "environments": environments,
                "envoys": envoys,
                "labels": labels,
            });
            let answer = session.ask(&Ask::put(route(scope), body))?;
            output.object(&answer, |_| format!("set the policy of {scope}"))?;
        }
        Policy::Show { scope } => {
            let answer = session.ask(&Ask::get(route(scope)))?;
            return shown(
                session,
                &answer,
                "no policy covers it: who has it in its bundle gets it, however badly protected",
            );
        }
        Policy::List => {
            let answer = session.ask(&Ask::get("/secret-policies"))?;
            return shown(
                session,
                &answer,
                "there are no policies: who has a secret in its bundle gets it, however badly protected",
            );
        }
        Policy::Rm { scope } => {
            let answer = session.ask(&Ask::delete(route(scope)))?;
            output.object(&answer, |_| format!("removed the policy of {scope}"))?;
        }
        Policy::Accept => {
            let answer = session.ask(&Ask::post_empty("/secret-policies"))?;
            let count = session.number(&answer, "accepted")?;
            output.object(&answer, |_| match count {
                0 => "nothing was wrong with the stored policies".to_owned(),
                count => format!("took the {count} stored policies as they are"),
            })?;
        }
    }
    Ok(Exit::Success)
}

fn route(scope: &SecretScope) -> String {
    format!("/secret-policies/{}", encode(scope.as_str()))
}

/// Prints policies; ends with 5 when they were changed past the server.
fn shown(session: &Session, answer: &Value, none: &str) -> Result<Exit, CliError> {
    session.output.list(answer, POLICIES)?;
    let is_empty = answer.get("items").and_then(Value::as_array).is_none_or(Vec::is_empty);
    if is_empty && !session.output.is_json() {
        output::note(none);
    }
    if answer.get("intact").and_then(Value::as_bool).unwrap_or(false) {
        return Ok(Exit::Success);
    }
    output::note(
        "these policies were changed past the server, which gives no secret to anybody until `vigocli secrets policy accept`, or a backup, mends that",
    );
    Ok(Exit::Bad)
}
