//! `vigocli api-token`.

use crate::arguments::ApiToken;
use crate::client::{Ask, encode};
use crate::error::CliError;
use crate::output::{self, Column};
use crate::session::Session;
use serde_json::json;
use vigo_base::Exit;

const TOKENS: &[Column] = &[
    ("id", "/id"),
    ("user", "/user"),
    ("permissions", "/permissions"),
    ("paths", "/paths"),
    ("expires", "/expires_at"),
    ("expired", "/expired"),
    ("made by", "/created_by"),
];

pub fn run(session: &mut Session, command: &ApiToken) -> Result<Exit, CliError> {
    let output = session.output;
    match command {
        ApiToken::Create { user, permissions, paths, ttl } => {
            let paths: Vec<&str> = paths.iter().map(|scope| scope.as_str()).collect();
            let body =
                json!({ "user": user, "permissions": permissions, "paths": paths, "ttl_seconds": ttl });
            let made = session.ask(&Ask::post("/api-tokens", body))?;
            // One line and nothing else: it is usually put straight into a file.
            let token = session.text(&made, "token")?.to_owned();
            output.object(&made, |_| output::printable(&token, 4096))?;
        }
        ApiToken::List { part } => session.list("/api-tokens", &[], part, TOKENS)?,
        ApiToken::Rm { id } => {
            let answer = session.ask(&Ask::delete(format!("/api-tokens/{}", encode(id))))?;
            output.object(&answer, |_| format!("removed {id}"))?;
        }
    }
    Ok(Exit::Success)
}
