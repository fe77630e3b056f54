//! `vigocli token`.

use crate::arguments::Token;
use crate::client::{Ask, encode};
use crate::error::CliError;
use crate::output::{self, Column};
use crate::session::Session;
use serde_json::{Map, json};
use vigo_base::Exit;

const TOKENS: &[Column] = &[
    ("id", "/id"),
    ("match", "/match"),
    ("uses left", "/uses_left"),
    ("expires", "/expires_at"),
    ("labels", "/labels"),
    ("made by", "/created_by"),
];

pub fn run(session: &mut Session, command: &Token) -> Result<Exit, CliError> {
    let output = session.output;
    match command {
        Token::Create { globs, ttl, uses, labels, replace } => {
            let labels: Map<_, _> = labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let body = json!({
                "match": globs,
                "ttl_seconds": ttl,
                "uses": uses,
                "labels": labels,
                "replace": replace,
            });
            let made = session.ask(&Ask::post("/tokens", body))?;
            // One line and nothing else: it is usually put straight into a file.
            let token = session.text(&made, "token")?.to_owned();
            output.object(&made, |_| output::printable(&token, 4096))?;
        }
        Token::List { part } => session.list("/tokens", &[], part, TOKENS)?,
        Token::Rm { id } => {
            let answer = session.ask(&Ask::delete(format!("/tokens/{}", encode(id))))?;
            output.object(&answer, |_| format!("removed {id}"))?;
        }
    }
    Ok(Exit::Success)
}
