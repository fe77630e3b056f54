//! `vigo apply`: the way of a policy on one machine, without a server. The same path as a run, without its two ends.

use crate::arguments::ApplyArguments;
use crate::converge::{Wanted, converge, facts_of};
use crate::enroll::host_name;
use crate::error::AgentError;
use crate::link::seconds_now;
use crate::machine::Machine;
use crate::posture::{Facts, Posture};
use crate::secrets::{LocalSecrets, LocalSource, open_vault};
use crate::{enrolment, last_run, output, reports, traits};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;
use vigo_base::{EnvoyName, Exit, ProtectionLevel, SecretPath};
use vigo_hand::Hand;
use vigo_host::{Hands, StacksError, read_folder, read_single};
use vigo_policy::{Compiled, Severity, Surroundings, Tree, argument_value, check, compile, select};
use vigo_resource::Failure;
use vigo_wire::node::Node;

/// Applies a file or a folder of stacks and prints the result.
///
/// # Errors
/// When the policy has mistakes (they are printed), or the run could not begin.
pub fn apply(machine: &Machine, arguments: &ApplyArguments) -> Result<Exit, AgentError> {
    let (started, started_at) = (Instant::now(), seconds_now());
    let source = LocalSource::parse(arguments.secrets.as_deref())?;
    let hands = machine.hands(None)?;
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    let (tree, alone) = read(&arguments.path)?;
    let _lock = machine.state.lock(arguments.converge.wait)?;

    let facts = Facts { swap: traits::swap_class(), ..machine.facts(&hands) };
    let identity = enrolment::identity_path(&machine.state);
    let posture = lowered(Posture::assess(&facts, machine.settings.arena, &identity), &source);
    posture.log();
    let traits = traits::collect(&posture);

    let passphrase_file = arguments.passphrase_file.clone();
    let known = known_secrets(&hands, &source, passphrase_file.as_deref())?;
    let (compiled, environment) =
        compiled(machine, arguments, &tree, alone.as_deref(), known.as_ref(), &name, &traits.all)?;
    if compiled.unmatched {
        tracing::warn!("no match block fits `{name}`: nothing is to be done");
    }
    let secrets = LocalSecrets {
        hands: Rc::clone(&hands),
        source,
        passphrase_file,
        obtained: RefCell::default(),
        asked: RefCell::default(),
    };
    let wanted = Wanted {
        bundle: &compiled.bundle,
        parameters: &[],
        envoy: facts_of(name.as_str(), "", &environment),
    };
    let report = converge(machine, &hands, &wanted, &traits, &secrets, &arguments.converge)?;

    let facts = Facts { hand: hands.status(), ..facts };
    let posture = lowered(Posture::assess(&facts, machine.settings.arena, &identity), &secrets.source);
    let frame = reports::Frame {
        started_at,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        standing: (0, 0),
        publish: 0,
        offline: false,
    };
    last_run::store(&machine.state.root, &report, &frame, &posture)?;
    output::print_run(&report, name.as_str(), false, &arguments.converge)?;
    Ok(output::exit(&report, arguments.converge.detailed_exit_code))
}

/// The files of a policy; for a single file also its name among them.
fn read(path: &Path) -> Result<(Tree, Option<String>), AgentError> {
    let failed = |error: StacksError| match error {
        StacksError::Read { path, source } => AgentError::Read { path, source },
        other => AgentError::Operator(other.to_string()),
    };
    if path.is_dir() {
        Ok((read_folder(path).map_err(failed)?, None))
    } else {
        let (tree, name) = read_single(path).map_err(failed)?;
        Ok((tree, Some(name)))
    }
}

/// Checks and compiles; prints what is wrong.
fn compiled(
    machine: &Machine,
    arguments: &ApplyArguments,
    tree: &Tree,
    alone: Option<&str>,
    secrets: Option<&BTreeSet<SecretPath>>,
    name: &EnvoyName,
    traits: &Node,
) -> Result<(Compiled, String), AgentError> {
    let guarded = machine.guarded();
    let paths: Vec<String> = vigo_traits::known_paths().map(|(path, _)| path).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let variables: Vec<String> = arguments.variables.iter().map(|(name, _)| name.clone()).collect();
    let surroundings = Surroundings {
        registry: &vigo_resources::REGISTRY,
        secrets,
        guarded: &guarded,
        traits: Some(&paths),
        variables: &variables,
        alone,
    };
    let (policy, diagnostics) = check(tree, &surroundings);
    if !diagnostics.is_empty() {
        output::print_error(&vigo_syntax::render_text(&diagnostics, tree));
    }
    let errors = diagnostics.iter().filter(|one| one.severity == Severity::Error).count();
    if errors > 0 {
        return Err(AgentError::Policy(errors));
    }
    let mut selection = select(&policy, name.as_str(), Some(traits));
    for (name, value) in &arguments.variables {
        selection.set_variable(name, argument_value(value));
    }
    let environment = selection.environment.clone();
    Ok((compile(&policy, &selection), environment))
}

/// Every secret of a vault folder, so that a missing one is a mistake with a place and not a blocked resource.
fn known_secrets(
    hands: &Hands,
    source: &LocalSource,
    passphrase_file: Option<&Path>,
) -> Result<Option<BTreeSet<SecretPath>>, AgentError> {
    let LocalSource::Vault(folder) = source else { return Ok(None) };
    let cannot = |failure: Failure| AgentError::Run(format!("{}; {}", failure.reason, failure.help));
    let mut hand = hands.get().map_err(cannot)?;
    let hand: &mut Hand = &mut hand;
    let vault = open_vault(folder, passphrase_file, hand)
        .map_err(|error| AgentError::Operator(vigo_base::chain(&error)))?;
    Ok(Some(vault.list("").into_iter().map(|secret| secret.path).collect()))
}

/// Values that come from the environment stood in ordinary memory before Vigo saw them.
fn lowered(mut posture: Posture, source: &LocalSource) -> Posture {
    if matches!(source, LocalSource::Environment) {
        posture.level = posture.level.min(ProtectionLevel::Weak);
        posture.reasons.push("secrets come from the environment of the agent".to_owned());
    }
    posture
}
