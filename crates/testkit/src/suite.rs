//! What every resource type has to stand, from its registry entry and its cases alone. No type can ask to be left out.
//!
//! Plan changes nothing; the same again changes nothing; whatever call of the host fails, the next run reaches the goal; no secret is ever said.

use crate::case::{self, Case, Ended, Expected, Given, Machine};
use crate::fake::{FakeHost, Fault};
use vigo_base::Value;
use vigo_resource::{Attributes, Outcome, Registry, ResourceType};

/// More calls than one resource of a case makes.
const MOST_CALLS: u64 = 200;

/// Runs everything on every type. `cases_of` gives the text of a type's case file; a type without one is a complaint.
#[must_use]
pub fn check(registry: &Registry, cases_of: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    for kind in registry.iter() {
        let name = kind.info().name;
        let cases =
            match cases_of(name).ok_or("no case file".to_owned()).and_then(|text| case::read(&text, "")) {
                Ok(cases) => cases,
                Err(problem) => {
                    complaints.push(format!("{name}: {problem}"));
                    continue;
                }
            };
        complaints.extend(of_type(kind, &cases).into_iter().map(|complaint| format!("{name}: {complaint}")));
    }
    complaints
}

fn of_type(kind: &'static dyn ResourceType, cases: &[Case]) -> Vec<String> {
    let mut complaints = about_schema(kind);
    complaints.extend(about_coverage(kind, cases));
    for case in cases {
        let about = [
            as_written(kind, case),
            plan_changes_nothing(kind, case).into_iter().collect(),
            second_plan_is_empty(kind, case).into_iter().collect(),
            every_fault_heals(kind, case),
            no_secret_is_said(kind, case).into_iter().collect(),
        ];
        let about = about.into_iter().flatten();
        complaints.extend(about.map(|complaint| format!("{}: {complaint}", case.name)));
    }
    complaints
}

/// The schema says what parse does: every attribute in it is taken, none beside it, and the manual has its lines.
fn about_schema(kind: &'static dyn ResourceType) -> Vec<String> {
    let info = kind.info();
    let mut complaints = Vec::new();
    if info.doc.is_empty() || info.examples.is_empty() {
        complaints.push("has no line or no example for the manual".to_owned());
    }
    if info.identity().next().is_none() {
        complaints.push("has no identity".to_owned());
    }
    for attribute in info.attributes {
        if attribute.doc.is_empty() {
            complaints.push(format!("`{}` has no line for the manual", attribute.name));
        }
        let written = vec![(attribute.name.to_owned(), Value::text("0"))];
        let problems = kind.parse(Attributes::new(info, written)).err().unwrap_or_default();
        if problems.iter().any(|problem| problem.message.contains("has no such attribute")) {
            complaints.push(format!("`{}` is in the schema and never taken", attribute.name));
        }
    }
    let written = vec![("no_such_attribute".to_owned(), Value::text("x"))];
    let problems = kind.parse(Attributes::new(info, written)).err().unwrap_or_default();
    if !problems.iter().any(|problem| problem.attribute == "no_such_attribute") {
        complaints.push("takes an attribute that is not in its schema".to_owned());
    }
    complaints
}

/// The cases show what there is to be shown.
fn about_coverage(kind: &'static dyn ResourceType, cases: &[Case]) -> Vec<String> {
    let info = kind.info();
    let mut complaints = Vec::new();
    let shows = |wanted: Outcome| cases.iter().any(|case| case.expect == Expected::Outcome(wanted));
    let changes =
        cases.iter().any(|case| matches!(case.expect, Expected::Outcome(outcome) if outcome.is_change()));
    if !changes || !shows(Outcome::Unchanged) || !shows(Outcome::Failed) {
        complaints.push("needs cases with a change, without one, and with a failure".to_owned());
    }
    if info.states.contains(&"absent") && !shows(Outcome::Deleted) {
        complaints.push("has `state: absent` and no case with outcome deleted".to_owned());
    }
    if !cases
        .iter()
        .any(|case| !case.repeats && matches!(case.expect, Expected::Outcome(outcome) if outcome.is_change()))
    {
        complaints.push("needs a case with a change after which nothing is left to do".to_owned());
    }
    for attribute in info.attributes {
        let written = |case: &&Case| case.attributes.iter().any(|(name, _)| name == attribute.name);
        let mut with: Vec<&Case> = cases.iter().filter(written).collect();
        if with.is_empty() {
            complaints.push(format!("no case writes `{}`", attribute.name));
        }
        with.retain(|case| {
            let value = case.attributes.iter().find(|(name, _)| name == attribute.name);
            value.is_some_and(|(_, value)| !value.slots().is_empty())
        });
        if attribute.secrets.takes_secret() && with.is_empty() {
            complaints.push(format!("no case has a secret in `{}`", attribute.name));
        }
    }
    complaints
}

fn as_written(kind: &'static dyn ResourceType, case: &Case) -> Vec<String> {
    let mut machine = match machine(case) {
        Ok(machine) => machine,
        Err(problem) => return vec![problem],
    };
    let ended = case.go(kind, &mut machine);
    case.complaints(&ended, &machine)
}

fn plan_changes_nothing(kind: &'static dyn ResourceType, case: &Case) -> Option<String> {
    let machine = machine(case).ok()?;
    let before = machine.snapshot();
    let resource = case.parse(kind).ok()?;
    case.with_context(kind, |context| drop(resource.plan(&machine, context)));
    (machine.snapshot() != before).then(|| "its plan changed something".to_owned())
}

fn second_plan_is_empty(kind: &'static dyn ResourceType, case: &Case) -> Option<String> {
    let mut machine = machine(case).ok()?;
    let first = case.go(kind, &mut machine);
    if !first.outcome?.satisfies() || case.repeats {
        return None;
    }
    let before = machine.snapshot();
    let second = case.go(kind, &mut machine);
    (second.outcome != Some(Outcome::Unchanged) || machine.snapshot() != before)
        .then(|| format!("the second run is not empty but {:?}", second.outcome))
}

fn every_fault_heals(kind: &'static dyn ResourceType, case: &Case) -> Vec<String> {
    let Ok(mut calm) = machine(case) else { return Vec::new() };
    if !case.go(kind, &mut calm).outcome.is_some_and(Outcome::satisfies) {
        return Vec::new();
    }
    let goal = tree_of(&calm);
    let mut complaints = Vec::new();
    for number in 1..=MOST_CALLS {
        let faults = [Fault::Before(number), Fault::After(number)];
        let mut reached = false;
        for fault in faults {
            let Ok(mut machine) = machine(case) else { continue };
            machine.set_fault(Some(fault));
            let ended = case.go(kind, &mut machine);
            reached |= machine.calls() >= number;
            if ended.outcome.is_some_and(Outcome::satisfies) && tree_of(&machine) != goal {
                complaints.push(format!("with {fault:?} it claims to have reached the goal and has not"));
            }
            complaints.extend(leak(case, &ended).map(|leak| format!("with {fault:?}: {leak}")));
            machine.set_fault(None);
            let again = case.go(kind, &mut machine);
            if !again.outcome.is_some_and(Outcome::satisfies) || tree_of(&machine) != goal {
                complaints.push(format!("after {fault:?} the next run misses the goal: {}", again.said()));
            }
        }
        if !reached {
            return complaints;
        }
    }
    complaints.push(format!("makes more than {MOST_CALLS} calls"));
    complaints
}

fn no_secret_is_said(kind: &'static dyn ResourceType, case: &Case) -> Option<String> {
    let mut machine = machine(case).ok()?;
    let first = leak(case, &case.go(kind, &mut machine));
    first.or_else(|| leak(case, &case.go(kind, &mut machine)))
}

fn leak(case: &Case, ended: &Ended) -> Option<String> {
    let said = ended.said();
    case.before.iter().find_map(|given| match given {
        Given::Secret(path, value) if said.contains(value.as_str()) => {
            Some(format!("says the secret `{path}`"))
        }
        _ => None,
    })
}

/// The machine before the case.
fn machine(case: &Case) -> Result<FakeHost, String> {
    let mut machine = FakeHost::new();
    case.before.iter().try_for_each(|given| Machine::give(&mut machine, given))?;
    Ok(machine)
}

/// The file system alone: a command may have run twice on the way.
fn tree_of(machine: &FakeHost) -> String {
    machine
        .snapshot()
        .lines()
        .filter(|line| !line.starts_with("ran "))
        .map(|line| format!("{line}\n"))
        .collect()
}
