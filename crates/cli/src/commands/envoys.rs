//! `vigocli envoys`.

use crate::arguments::Envoys;
use crate::client::{Ask, encode};
use crate::error::CliError;
use crate::output::Column;
use crate::session::Session;
use vigo_base::Exit;

const ENVOYS: &[Column] = &[
    ("name", "/name"),
    ("state", "/state"),
    ("environment", "/environment"),
    ("last seen", "/last_seen"),
    ("publish", "/publish"),
    ("stale", "/stale"),
    ("level", "/level"),
    ("swap", "/swap"),
    ("changed", "/last_run/summary/changed"),
    ("failed", "/last_run/summary/failed"),
    ("blocked", "/last_run/summary/blocked"),
];

pub fn run(session: &mut Session, command: &Envoys) -> Result<Exit, CliError> {
    let output = session.output;
    match command {
        Envoys::List { name, level, swap, state, part } => {
            let filter = [
                ("name", name.as_str()),
                ("level", level.as_deref().unwrap_or_default()),
                ("swap", swap.as_deref().unwrap_or_default()),
                ("state", state.as_deref().unwrap_or_default()),
            ];
            session.list("/envoys", &filter, part, ENVOYS)?;
        }
        Envoys::Show { envoy } => {
            let envoy = session.ask(&Ask::get(format!("/envoys/{}", encode(envoy))))?;
            output.object(&envoy, |envoy| output.details(envoy))?;
        }
        Envoys::Revoke { envoy } => {
            let answer =
                session.ask(&Ask::post_empty(format!("/envoys/{}/revoke", encode(envoy))).repeatable())?;
            output.object(&answer, |_| format!("revoked {envoy}"))?;
        }
        Envoys::Rm { envoy } => {
            let answer = session.ask(&Ask::delete(format!("/envoys/{}", encode(envoy))))?;
            output.object(&answer, |_| format!("removed {envoy}"))?;
        }
    }
    Ok(Exit::Success)
}
