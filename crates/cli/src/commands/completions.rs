//! `vigocli completions`: from the same definition as the command line itself.

use crate::arguments::Arguments;
use crate::error::CliError;
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::io::Write as _;
use vigo_base::Exit;

pub fn run(shell: Shell) -> Result<Exit, CliError> {
    // Into memory first: the generator panics when its output goes away.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "vigocli", &mut script);
    std::io::stdout().lock().write_all(&script).map_err(CliError::Output)?;
    Ok(Exit::Success)
}
