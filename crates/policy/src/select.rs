//! Which match block an envoy gets, and what follows from it: configcrates in order, variables, and for each where it came from.

use crate::model::{Block, Configcrate, Expression, Matcher, Member, Mention, Named, Policy, Variable};
use std::collections::{HashMap, HashSet};
use vigo_base::Span;
use vigo_syntax::{Code, Diagnostic};
use vigo_template::{EnvoyFacts, Probe, Renderer, Scope, WallClock};
use vigo_wire::node::Node;

/// What an envoy gets, and why. What is compiled from it depends on the match block and the arguments alone, never on the envoy's name.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The match block; `None` when no block fits and nothing is to be done.
    pub block: Option<BlockMatch>,
    /// A `where` before it could not be decided, because the traits are not known: the block may change when they are.
    pub undecided: bool,
    /// The environment; empty for none.
    pub environment: String,
    /// Plan and report, change nothing.
    pub observe: bool,
    /// Configcrates in order.
    pub configcrates: Vec<SelectedConfigcrate>,
    /// Variables that every configcrate sees, by name; those of a configcrate itself are below them.
    pub variables: Vec<SelectedVariable>,
}

/// The match block that an envoy fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMatch {
    /// Its number in the order in which blocks are tried, from 0. Envoys of one block have one bundle.
    pub number: usize,
    /// Where it is written, `file:line`.
    pub origin: String,
    /// What fitted: the glob, or the expression.
    pub pattern: String,
    /// It is chosen by traits: by what an envoy says of itself, which entitles to no secret.
    pub by_traits: bool,
}

/// A configcrate that an envoy gets.
#[derive(Clone, Debug)]
pub struct SelectedConfigcrate {
    /// Its name.
    pub name: String,
    /// Why it is there, outermost first: `role web (envoys.vgo:4)`.
    pub reasons: Vec<String>,
    /// It counts only where this holds; `None` for always.
    pub condition: Option<String>,
    pub(crate) index: usize,
}

/// Where a variable is written, highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// `--var`.
    Argument,
    /// The match block.
    Block,
    /// An `environments.vgo`.
    Environment,
    /// A `common.vgo`.
    Common,
    /// A configcrate, for itself.
    Configcrate,
}

impl Layer {
    /// The words in traces.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Argument => "argument",
            Self::Block => "match block",
            Self::Environment => "environments.vgo",
            Self::Common => "common.vgo",
            Self::Configcrate => "configcrate",
        }
    }
}

/// A variable as an envoy gets it.
#[derive(Clone, Debug)]
pub struct SelectedVariable {
    /// Its name.
    pub name: String,
    /// Its value before rendering.
    pub value: Node,
    /// Where it comes from.
    pub layer: Layer,
    /// `file:line`; empty for an argument.
    pub origin: String,
    /// What it overrode, highest first.
    pub overrode: Vec<(Layer, String)>,
    pub(crate) source: Option<Source>,
}

/// Which variable of the policy it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Block(usize, usize),
    Environment(usize, usize),
    Common(usize, usize),
}

impl Policy {
    /// The own variables of a configcrate: below all others, seen inside it only.
    #[must_use]
    pub fn variables_of(&self, configcrate: &str) -> Vec<SelectedVariable> {
        let configcrate = self.by_name.get(configcrate).and_then(|index| self.configcrates.get(*index));
        let selected = |variable: &Variable| SelectedVariable {
            name: variable.name.name.clone(),
            value: variable.value.node.clone(),
            layer: Layer::Configcrate,
            origin: self.origin(variable.name.span),
            overrode: Vec::new(),
            source: None,
        };
        configcrate.map(|one| one.variables.iter().map(selected).collect()).unwrap_or_default()
    }

    pub(crate) fn variable(&self, source: Source) -> Option<&Variable> {
        match source {
            Source::Block(block, index) => self.blocks.get(block)?.variables.get(index),
            Source::Environment(environment, index) => {
                self.environments.get(environment)?.variables.get(index)
            }
            Source::Common(common, index) => self.commons.get(common)?.variables.get(index),
        }
    }
}

impl Selection {
    /// Puts a variable above all others: `--var` of `vigo apply`.
    pub fn set_variable(&mut self, name: &str, value: Node) {
        let mut overrode = Vec::new();
        if let Some(place) = self.variables.iter().position(|variable| variable.name == name) {
            let before = self.variables.remove(place);
            overrode.push((before.layer, before.origin));
            overrode.extend(before.overrode);
        }
        let (name, origin) = (name.to_owned(), String::new());
        let variable =
            SelectedVariable { name, value, layer: Layer::Argument, origin, overrode, source: None };
        self.variables.push(variable);
        self.variables.sort_by(|one, other| one.name.cmp(&other.name));
    }
}

/// What an envoy of that name gets: the first match block that fits. `traits` are those it last told, if any.
#[must_use]
pub fn select(policy: &Policy, name: &str, traits: Option<&Node>) -> Selection {
    if policy.alone {
        return alone(policy);
    }
    let (found, undecided) = find_block(policy, name, traits);
    let block = found.as_ref().and_then(|found| policy.blocks.get(found.number));
    let selection = match (&found, block) {
        (Some(found), Some(block)) => of_block(policy, found.number, block, &mut Vec::new()),
        _ => nothing(),
    };
    Selection { block: found, undecided, ..selection }
}

/// The match block that an envoy of that name fits, and whether one before it could not be decided without traits: [`select`] without what follows from it.
#[must_use]
pub fn find_block(policy: &Policy, name: &str, traits: Option<&Node>) -> (Option<BlockMatch>, bool) {
    let mut undecided = false;
    for (number, block) in policy.blocks.iter().enumerate() {
        if let Some(pattern) = matches(block, name, traits, &mut undecided) {
            return (Some(block_match(policy, number, block, pattern)), undecided);
        }
    }
    (None, undecided)
}

/// What the envoys of each match block get, in the order in which blocks are tried: everything that [`select`] can come to.
#[must_use]
pub fn selections(policy: &Policy) -> Vec<Selection> {
    let of = |(number, block): (usize, &Block)| {
        let pattern = match &block.matcher {
            Matcher::Names(globs) => {
                globs.iter().map(|(glob, _)| glob.as_str()).collect::<Vec<_>>().join(", ")
            }
            Matcher::Where(expression) => expression.source.clone(),
        };
        let selection = of_block(policy, number, block, &mut Vec::new());
        Selection { block: Some(block_match(policy, number, block, pattern)), ..selection }
    };
    policy.blocks.iter().enumerate().map(of).collect()
}

fn block_match(policy: &Policy, number: usize, block: &Block, pattern: String) -> BlockMatch {
    BlockMatch { number, origin: policy.origin(block.span), pattern, by_traits: is_by_traits(block) }
}

/// True if what a machine says of itself chooses the block.
pub(crate) fn is_by_traits(block: &Block) -> bool {
    matches!(&block.matcher, Matcher::Where(expression) if wants_traits(expression))
}

fn wants_traits(expression: &Expression) -> bool {
    expression.uses.names.iter().any(|name| name.steps.first().is_some_and(|step| step == "traits"))
}

const fn nothing() -> Selection {
    Selection {
        block: None,
        undecided: false,
        environment: String::new(),
        observe: false,
        configcrates: Vec::new(),
        variables: Vec::new(),
    }
}

fn matches(block: &Block, name: &str, traits: Option<&Node>, undecided: &mut bool) -> Option<String> {
    match &block.matcher {
        Matcher::Names(globs) => {
            globs.iter().find(|(glob, _)| glob.matches(name)).map(|(glob, _)| glob.to_string())
        }
        Matcher::Where(expression) => {
            if traits.is_none()
                && expression
                    .uses
                    .names
                    .iter()
                    .any(|name| name.steps.first().is_some_and(|step| step == "traits"))
            {
                *undecided = true;
                return None;
            }
            let envoy = EnvoyFacts { name: name.to_owned(), ..EnvoyFacts::default() };
            let scope = Scope::new(&[], traits, &envoy);
            let renderer = Renderer::new(&[]).ok()?;
            // What cannot be told of this envoy (a trait it does not have) does not fit it.
            let holds = renderer.condition(&expression.source, &scope, &Nobody).unwrap_or(false);
            holds.then(|| expression.source.clone())
        }
    }
}

/// Answers nothing about any machine: functions that would ask are refused in `where`.
struct Nobody;

impl Probe for Nobody {
    fn file_exists(&self, _: &str) -> bool {
        false
    }
    fn dir_exists(&self, _: &str) -> bool {
        false
    }
    fn process_running(&self, _: &str) -> bool {
        false
    }
    fn command_succeeds(&self, _: &str) -> bool {
        false
    }
    fn port_listening(&self, _: u16) -> bool {
        false
    }
    fn now(&self) -> WallClock {
        WallClock::default()
    }
    fn changed(&self) -> bool {
        false
    }
}

/// A file of configcrates by itself.
fn alone(policy: &Policy) -> Selection {
    let mut plan = Plan::new(policy);
    for configcrate in &policy.configcrates {
        plan.take(&configcrate.name, None, &[format!("applied ({})", policy.origin(configcrate.name.span))]);
    }
    let configcrates = plan.finish(&[], &mut Vec::new());
    Selection { configcrates, block: None, ..nothing() }
}

/// What the envoys of a match block get. Mistakes that only show here are reported.
pub(crate) fn of_block(
    policy: &Policy,
    number: usize,
    block: &Block,
    out: &mut Vec<Diagnostic>,
) -> Selection {
    let environment = block.environment.as_ref().map_or("", |named| named.name.as_str());
    let above = |folder: &str| {
        folder.is_empty()
            || block.folder == folder
            || block.folder.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    };
    let commons: Vec<usize> = indices(&policy.commons, |common| above(&common.folder));
    let environments: Vec<usize> = indices(&policy.environments, |one| {
        one.name.name == environment && !environment.is_empty() && above(&one.folder)
    });
    let mut plan = Plan::new(policy);
    for common in commons.iter().filter_map(|index| policy.commons.get(*index)) {
        plan.mentions(&common.mentions, "common.vgo");
    }
    let mut exclude: Vec<&Named> = Vec::new();
    for one in environments.iter().filter_map(|index| policy.environments.get(*index)) {
        for named in &one.configcrates {
            plan.take(named, None, &[format!("environment {environment} ({})", policy.origin(named.span))]);
        }
        exclude.extend(&one.exclude);
    }
    plan.mentions(&block.mentions, "match block");
    exclude.extend(&block.exclude);
    Selection {
        block: None,
        undecided: false,
        environment: environment.to_owned(),
        observe: block.observe,
        configcrates: plan.finish(&exclude, out),
        variables: layered(policy, number, block, &environments, &commons),
    }
}

fn indices<T>(all: &[T], wanted: impl Fn(&T) -> bool) -> Vec<usize> {
    all.iter().enumerate().filter(|(_, one)| wanted(one)).map(|(index, _)| index).collect()
}

/// Match block over environments over common files, inner folders over outer ones.
fn layered(
    policy: &Policy,
    number: usize,
    block: &Block,
    environments: &[usize],
    commons: &[usize],
) -> Vec<SelectedVariable> {
    type Sources<'a> = (Layer, &'a [Variable], Box<dyn Fn(usize) -> Source>);
    let mut layers: Vec<Sources<'_>> =
        vec![(Layer::Block, &block.variables, Box::new(move |index| Source::Block(number, index)))];
    for of in environments.iter().rev().copied() {
        if let Some(one) = policy.environments.get(of) {
            layers.push((
                Layer::Environment,
                &one.variables,
                Box::new(move |index| Source::Environment(of, index)),
            ));
        }
    }
    for of in commons.iter().rev().copied() {
        if let Some(one) = policy.commons.get(of) {
            layers.push((Layer::Common, &one.variables, Box::new(move |index| Source::Common(of, index))));
        }
    }
    let mut selected: Vec<SelectedVariable> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (layer, variables, source) in &layers {
        for (index, variable) in variables.iter().enumerate() {
            let origin = policy.origin(variable.name.span);
            match places.get(variable.name.name.as_str()).and_then(|place| selected.get_mut(*place)) {
                Some(higher) => higher.overrode.push((*layer, origin)),
                None => {
                    places.insert(&variable.name.name, selected.len());
                    selected.push(SelectedVariable {
                        name: variable.name.name.clone(),
                        value: variable.value.node.clone(),
                        layer: *layer,
                        origin,
                        overrode: Vec::new(),
                        source: Some(source(index)),
                    });
                }
            }
        }
    }
    selected.sort_by(|one, other| one.name.cmp(&other.name));
    selected
}

/// The configcrates of an envoy, while they are collected.
struct Plan<'p> {
    policy: &'p Policy,
    chosen: Vec<SelectedConfigcrate>,
    places: HashMap<usize, usize>,
}

impl<'p> Plan<'p> {
    fn new(policy: &'p Policy) -> Self {
        Self { policy, chosen: Vec::new(), places: HashMap::new() }
    }

    fn mentions(&mut self, mentions: &[Mention], by: &str) {
        for mention in mentions {
            match mention {
                Mention::Configcrate(named) => {
                    let reason = format!("{by} ({})", self.policy.origin(named.span));
                    self.take(named, None, &[reason]);
                }
                Mention::Role(named) => {
                    let reason = format!("{by}: role {} ({})", named.name, self.policy.origin(named.span));
                    self.role(&named.name, true, vec![reason]);
                }
            }
        }
    }

    fn role(&mut self, name: &str, may_include: bool, reasons: Vec<String>) {
        let policy = self.policy;
        let Some(role) = policy.roles.get(name) else { return };
        for member in &role.members {
            match member {
                Member::Configcrate(named) => self.take(named, None, &reasons),
                Member::Include(named) if may_include => {
                    let mut reasons = reasons.clone();
                    reasons.push(format!("role {} ({})", named.name, policy.origin(named.span)));
                    self.role(&named.name, false, reasons);
                }
                Member::Include(_) => {}
                Member::Case { case, branches } => {
                    for (value, names) in branches {
                        let condition = is_case(case, value);
                        for named in names {
                            self.take(named, Some(condition.clone()), &reasons);
                        }
                    }
                }
            }
        }
    }

    /// Takes a configcrate at its first mention; a later one can only make it count in more cases.
    fn take(&mut self, named: &Named, condition: Option<String>, reasons: &[String]) {
        let Some(index) = self.policy.by_name.get(&named.name).copied() else { return };
        if let Some(known) = self.places.get(&index).and_then(|place| self.chosen.get_mut(*place)) {
            known.condition = match (known.condition.take(), condition) {
                (Some(one), Some(other)) if one != other => Some(format!("{one} or {other}")),
                (Some(one), Some(_)) => Some(one),
                _ => None,
            };
            return;
        }
        self.places.insert(index, self.chosen.len());
        let (name, reasons) = (named.name.clone(), reasons.to_vec());
        self.chosen.push(SelectedConfigcrate { name, reasons, condition, index });
    }

    /// Takes out what is excluded, and in what is depended on.
    fn finish(mut self, exclude: &[&Named], out: &mut Vec<Diagnostic>) -> Vec<SelectedConfigcrate> {
        let excluded: HashMap<usize, Span> = exclude
            .iter()
            .filter_map(|named| Some((*self.policy.by_name.get(&named.name)?, named.span)))
            .collect();
        self.chosen.retain(|chosen| !excluded.contains_key(&chosen.index));
        let mut ordered = Ordered {
            policy: self.policy,
            excluded,
            done: Vec::new(),
            places: HashMap::new(),
            entered: HashSet::new(),
        };
        for chosen in self.chosen {
            ordered.visit(chosen, out);
        }
        ordered.done
    }
}

/// The condition under which a branch of a role counts: keys are compared as text.
fn is_case(case: &Expression, value: &str) -> String {
    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("(({}) ~ \"\") == \"{quoted}\"", case.source)
}

/// Configcrates with what they depend on before them.
struct Ordered<'p> {
    policy: &'p Policy,
    excluded: HashMap<usize, Span>,
    done: Vec<SelectedConfigcrate>,
    /// Where in `done` it stands.
    places: HashMap<usize, usize>,
    entered: HashSet<usize>,
}

/// What is still to be done for a configcrate. Steps on a heap, because chains of dependencies can be long.
enum Step {
    Enter(SelectedConfigcrate),
    Leave(SelectedConfigcrate),
}

impl Ordered<'_> {
    fn visit(&mut self, first: SelectedConfigcrate, out: &mut Vec<Diagnostic>) {
        let mut steps = vec![Step::Enter(first)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Leave(chosen) => {
                    self.places.insert(chosen.index, self.done.len());
                    self.done.push(chosen);
                }
                Step::Enter(chosen) if self.entered.insert(chosen.index) => {
                    let needed = self.needed(&chosen, out);
                    steps.push(Step::Leave(chosen));
                    steps.extend(needed.into_iter().rev().map(Step::Enter));
                }
                Step::Enter(chosen) => self.again(chosen),
            }
        }
    }

    /// It was taken in before, as a dependency: it counts wherever one of both reasons holds.
    fn again(&mut self, chosen: SelectedConfigcrate) {
        let done = self.places.get(&chosen.index).and_then(|place| self.done.get_mut(*place));
        if let Some(done) = done.filter(|done| done.condition != chosen.condition) {
            done.condition = match (done.condition.take(), chosen.condition) {
                (Some(one), Some(other)) => Some(format!("{one} or {other}")),
                _ => None,
            };
        }
    }

    fn needed(&self, chosen: &SelectedConfigcrate, out: &mut Vec<Diagnostic>) -> Vec<SelectedConfigcrate> {
        let configcrate: Option<&Configcrate> = self.policy.configcrates.get(chosen.index);
        let mut all = Vec::new();
        for needed in configcrate.map(|configcrate| configcrate.depends_on.as_slice()).unwrap_or_default() {
            let Some(index) = self.policy.by_name.get(&needed.name).copied() else { continue };
            if let Some(span) = self.excluded.get(&index) {
                let message = format!("`{}` is excluded, but `{}` needs it", needed.name, chosen.name);
                out.push(
                    Diagnostic::new(Code::ExcludedButNeeded, *span, message)
                        .related(needed.span, "needed here")
                        .help(format!("exclude `{}` too, or keep `{}`", chosen.name, needed.name)),
                );
                continue;
            }
            let origin = self.policy.origin(needed.span);
            let reason = format!("configcrate {} depends on it ({origin})", chosen.name);
            let (name, condition) = (needed.name.clone(), chosen.condition.clone());
            all.push(SelectedConfigcrate { name, reasons: vec![reason], condition, index });
        }
        all
    }
}

/// A configcrate that no match block uses, with what it depends on, to be checked all the same.
pub(crate) fn of_unused(policy: &Policy, configcrate: &Configcrate) -> Selection {
    let mut plan = Plan::new(policy);
    plan.take(&configcrate.name, None, &[]);
    Selection { configcrates: plan.finish(&[], &mut Vec::new()), ..nothing() }
}
