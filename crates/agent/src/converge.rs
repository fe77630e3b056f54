//! From a bundle to a report: the part that `run` and `apply` share.

use crate::arguments::ConvergeArguments;
use crate::error::AgentError;
use crate::machine::Machine;
use crate::stores::{Applied, Owed};
use crate::traits::Traits;
use std::rc::Rc;
use vigo_base::Blame;
use vigo_engine::{EngineError, RunInput, RunOptions, RunReport, Secrets};
use vigo_host::Hands;
use vigo_template::EnvoyFacts;
use vigo_wire::bundle::Bundle;
use vigo_wire::node::Entry;

/// What this machine is to look like, and as whom.
pub struct Wanted<'a> {
    /// The bundle.
    pub bundle: &'a Bundle,
    /// Variables above those of the bundle.
    pub parameters: &'a [Entry],
    /// Who this is.
    pub envoy: EnvoyFacts,
}

/// Who the envoy is, for expressions.
#[must_use]
pub fn facts_of(name: &str, id: &str, environment: &str) -> EnvoyFacts {
    EnvoyFacts { name: name.to_owned(), id: id.to_owned(), environment: environment.to_owned() }
}

/// Brings this machine to what is wanted, or says in a dry run what that would take.
///
/// # Errors
/// When the run could not begin.
pub fn converge(
    machine: &Machine,
    hands: &Rc<Hands>,
    wanted: &Wanted<'_>,
    traits: &Traits,
    secrets: &dyn Secrets,
    arguments: &ConvergeArguments,
) -> Result<RunReport, AgentError> {
    let mut host = machine.host(hands, secrets)?;
    let mut owed = Owed::load(&machine.state.owed)?;
    let mut applied = Applied::load(&machine.state.root)?;
    let input = RunInput {
        bundle: wanted.bundle,
        parameters: wanted.parameters,
        traits: &traits.all,
        failed_traits: &traits.failed,
        envoy: &wanted.envoy,
        registry: &vigo_resources::REGISTRY,
        owed: &mut owed,
        applied: &mut applied,
        secrets,
        options: RunOptions {
            dry_run: arguments.dry_run,
            diff: arguments.diff,
            only: arguments.only.clone(),
            is_stop_asked: Some(vigo_sys::signal::is_stop_asked),
        },
    };
    vigo_engine::run(input, &mut host).map_err(engine_error)
}

fn engine_error(error: EngineError) -> AgentError {
    let text = vigo_base::chain(&error);
    match error.blame() {
        Blame::Operator => AgentError::Operator(text),
        _ => AgentError::Run(text),
    }
}
