//! `vigocli status`: is the server there, and what has it. Answers within five seconds, whatever happens.

use crate::arguments::Global;
use crate::client::{Ask, Patience};
use crate::error::CliError;
use crate::session::Session;
use vigo_base::Exit;

pub fn run(global: &Global) -> Result<Exit, CliError> {
    let mut session = Session::open(global)?.with_patience(Patience::status());
    let status = session.ask(&Ask::get("/status"))?;
    session.text(&status, "version")?;
    let output = session.output;
    output.object(&status, |status| output.details(status))?;
    Ok(Exit::Success)
}
