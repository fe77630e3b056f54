//! One run: everything rendered, ordered, its secrets asked for once, then each resource in its turn.

mod turn;

use crate::conditions::Condition;
use crate::render::{self, Rendered, Scopes, Source};
use crate::{
    AppliedStore, EngineError, Order, Overlay, OwedStore, ResourceReport, RunReport, Secrets, bundle, needs,
    order,
};
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use vigo_base::{AbsolutePath, SecretPath, SecretVersion};
use vigo_resource::{Failure, Host, ManagedPaths, Outcome, Registry};
use vigo_template::{EnvoyFacts, Renderer, Scope};
use vigo_wire::bundle::Bundle;
use vigo_wire::node::{Entry, Node};

/// Everything that a run takes, but for the machine.
pub struct RunInput<'a> {
    /// What the machine is to look like.
    pub bundle: &'a Bundle,
    /// Variables that stand above those of the bundle: an assignment's, or `--var`.
    pub parameters: &'a [Entry],
    /// What was found out about the machine.
    pub traits: &'a Node,
    /// What could not be found out.
    pub failed_traits: &'a [FailedTrait],
    /// Who this is.
    pub envoy: &'a EnvoyFacts,
    /// The types.
    pub registry: &'a Registry,
    /// Debts of notification.
    pub owed: &'a mut dyn OwedStore,
    /// What resources with secrets were last applied with.
    pub applied: &'a mut dyn AppliedStore,
    /// Where secrets come from.
    pub secrets: &'a dyn Secrets,
    /// What kind of run this is.
    pub options: RunOptions,
}

/// A collector that failed: what uses its trait is blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedTrait {
    /// The trait, as `network`.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What kind of run this is. The default applies everything and shows no diff.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Plan and report, change nothing. A bundle with `mode: observe` makes every run one.
    pub dry_run: bool,
    /// Make diffs.
    pub diff: bool,
    /// References of the resources to run, with what they depend on; empty for all.
    pub only: Vec<String>,
    /// Asked before each resource: once it is true, no further one is begun, and those left are blocked. Never asked to stop without it.
    pub is_stop_asked: Option<fn() -> bool>,
}

/// Brings the machine to what the bundle says, or says in a dry run what that would take.
///
/// An error means that the run did not begin. What goes wrong with a single resource is in the report and stops its dependants alone.
pub fn run(input: RunInput<'_>, host: &mut dyn Host) -> Result<RunReport, EngineError> {
    bundle::check(input.bundle)?;
    let renderer = Renderer::new(&input.bundle.templates).map_err(EngineError::Templates)?;
    let variables = overlaid(&input.bundle.variables, input.parameters);
    let scopes = Scopes::new(input.bundle, &Scope::new(&variables, Some(input.traits), input.envoy));
    let mut rendered = render::all(&Source {
        bundle: input.bundle,
        scopes: &scopes,
        renderer: &renderer,
        registry: input.registry,
        failed_traits: input.failed_traits,
    });
    let identities: Vec<_> = rendered.iter_mut().map(|one| std::mem::take(&mut one.identity)).collect();
    let order = order(input.bundle, &identities)?;
    rendered.iter_mut().zip(identities).for_each(|(one, identity)| one.identity = identity);
    let selected = match input.options.only.as_slice() {
        [] => None,
        only => Some(needs::selected(input.bundle, &rendered, &order, only)?),
    };
    let values = obtain(input.secrets, &needs::secrets(&rendered, &order, selected.as_deref()));
    let mut served = input.applied.secrets();
    served.extend(values.iter().filter(|(_, value)| value.is_ok()).map(|(path, _)| path.clone()));
    served.sort();
    served.dedup();
    let dry_run = input.options.dry_run || input.bundle.observe;
    let machine = if dry_run { Machine::Dry(Box::new(Overlay::new(host))) } else { Machine::Real(host) };
    let report = RunReport { dry_run, warnings: order.warnings.clone(), ..RunReport::default() };
    let managed = Managed { rendered: &rendered, paths: OnceCell::new() };
    let mut running = Running {
        targets: targets(input.bundle, &rendered),
        outcomes: vec![None; rendered.len()],
        crate_failures: vec![None; input.bundle.configcrates.len()],
        input,
        rendered: &rendered,
        renderer: &renderer,
        scopes: &scopes,
        order: &order,
        managed: &managed,
        values,
        machine,
        wrote: false,
        served: &served,
        report,
    };
    for index in &order.sequence {
        if selected.as_ref().is_none_or(|selected| selected.get(*index as usize) == Some(&true)) {
            running.turn(*index);
        }
    }
    Ok(running.end())
}

/// The variables of the bundle with others laid over them; a value replaces whole.
fn overlaid(variables: &[Entry], parameters: &[Entry]) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::with_capacity(variables.len() + parameters.len());
    let replaced: HashSet<&str> = parameters.iter().map(|entry| entry.name.as_str()).collect();
    all.extend(variables.iter().filter(|entry| !replaced.contains(entry.name.as_str())).cloned());
    all.extend(parameters.iter().cloned());
    all
}

/// What became of the request for each secret.
type Values = HashMap<SecretPath, Result<SecretVersion, Failure>>;

fn obtain(secrets: &dyn Secrets, paths: &[SecretPath]) -> Values {
    if paths.is_empty() {
        return Values::new();
    }
    let mut answers = secrets.obtain(paths).into_iter();
    let unanswered = || Err(Failure::blocked("nobody answered for this secret; this is a bug in vigo"));
    paths.iter().map(|path| (path.clone(), answers.next().unwrap_or_else(unanswered))).collect()
}

/// For each resource those that it notifies, but for what is skipped whatever happens.
fn targets(bundle: &Bundle, rendered: &[Rendered]) -> Vec<Vec<u32>> {
    let same =
        |index: u32| rendered.get(index as usize).and_then(|one| one.identity.same_as).unwrap_or(index);
    let mut targets = vec![Vec::new(); rendered.len()];
    for (resource, index) in bundle.resources.iter().zip(0_u32..) {
        let target = same(index);
        let hears = rendered.get(target as usize).is_some_and(|one| one.condition != Condition::Never);
        for notifier in resource.notified_by.iter().filter(|_| hears).map(|notifier| same(*notifier)) {
            if let Some(targets) = targets.get_mut(notifier as usize)
                && notifier != target
                && !targets.contains(&target)
            {
                targets.push(target);
            }
        }
    }
    targets
}

/// The machine of a run.
enum Machine<'a> {
    Real(&'a mut dyn Host),
    Dry(Box<Overlay<'a>>),
}

impl Machine<'_> {
    fn view(&self) -> &dyn Host {
        match self {
            Self::Real(host) => &**host,
            Self::Dry(overlay) => &**overlay,
        }
    }

    fn change(&mut self) -> &mut dyn Host {
        match self {
            Self::Real(host) => &mut **host,
            Self::Dry(overlay) => &mut **overlay,
        }
    }

    const fn is_dry(&self) -> bool {
        matches!(self, Self::Dry(_))
    }
}

/// The paths that a run manages, with all folders above them; put together when the first resource asks.
struct Managed<'a> {
    rendered: &'a [Rendered],
    paths: OnceCell<HashSet<AbsolutePath>>,
}

impl ManagedPaths for Managed<'_> {
    fn holds(&self, path: &AbsolutePath) -> bool {
        let paths = self.paths.get_or_init(|| {
            let mut paths = HashSet::new();
            for path in self.rendered.iter().filter_map(|one| one.identity.path.as_ref()) {
                let mut above = Some(path.clone());
                while let Some(path) = above {
                    above = path.parent();
                    if !paths.insert(path) {
                        break;
                    }
                }
            }
            paths
        });
        paths.contains(path)
    }
}

/// A run under way. What it was given outlives what it made of that.
struct Running<'r, 'a> {
    input: RunInput<'a>,
    rendered: &'r [Rendered],
    renderer: &'r Renderer,
    scopes: &'r Scopes,
    order: &'r Order,
    managed: &'r Managed<'r>,
    values: Values,
    machine: Machine<'r>,
    /// For each resource those that it notifies.
    targets: Vec<Vec<u32>>,
    /// What became of those whose turn has been.
    outcomes: Vec<Option<Outcome>>,
    /// For each configcrate the first resource in it that did not succeed.
    crate_failures: Vec<Option<u32>>,
    wrote: bool,
    /// The secrets that this machine was ever given.
    served: &'r [SecretPath],
    report: RunReport,
}

impl Running<'_, '_> {
    fn id(&self, index: u32) -> &str {
        self.rendered.get(index as usize).map_or("", |one| one.identity.id.as_str())
    }

    fn outcome(&self, index: u32) -> Option<Outcome> {
        let index = self.rendered.get(index as usize).and_then(|one| one.identity.same_as).unwrap_or(index);
        self.outcomes.get(index as usize).copied().flatten()
    }

    /// Notes what became of a resource, for those that come after it and for the report.
    fn conclude(&mut self, index: u32, report: ResourceReport) {
        if let Some(outcome) = self.outcomes.get_mut(index as usize) {
            *outcome = Some(report.outcome);
        }
        if !report.outcome.satisfies()
            && let Some(one) = self.rendered.get(index as usize)
        {
            for original in one.originals(index) {
                let configcrate =
                    self.input.bundle.resources.get(original as usize).map(|resource| resource.configcrate);
                if let Some(failure) =
                    configcrate.and_then(|index| self.crate_failures.get_mut(index as usize))
                {
                    failure.get_or_insert(index);
                }
            }
        }
        self.report.resources.push(report);
    }

    fn end(mut self) -> RunReport {
        if self.wrote
            && let Err(failure) = self.machine.change().flush()
        {
            self.report
                .problems
                .push(format!("what was changed may not survive a loss of power: {}", failure.reason));
        }
        self.report
    }
}
