//! The check of a whole tree: every file, every name, every match block.

use crate::assemble::assemble;
use crate::blocks::unknown;
use crate::configcrate::duplicate_names;
use crate::ground::{Checking, Ground, Notes};
use crate::model::{Configcrate, Matcher, Member, Mention, Named, Policy, Variable};
use crate::select::{self, Selection};
use crate::stacks::{self, Stacks};
use crate::uses::{Reached, Sight};
use crate::{Surroundings, reach, templates};
use prost::Message as _;
use std::collections::{BTreeSet, HashMap, HashSet};
use vigo_syntax::{Code, Diagnostic, Tree};
use vigo_wire::node::{Entry, Map};

/// Reads and checks a tree. All mistakes are reported, in the order of files and places; with an error among them the policy is not to be used.
#[must_use]
pub fn check(tree: &Tree, surroundings: &Surroundings<'_>) -> (Policy, Vec<Diagnostic>) {
    let mut out = Vec::new();
    let Stacks { policy, complete } = stacks::read(tree, surroundings.registry, surroundings.alone, &mut out);
    let mut named = Vec::new();
    check_names(&policy, &mut named);
    templates::check_includes(&policy, complete, &mut named);
    check_sources(&policy, &mut named);
    check_expressions(tree, &policy, surroundings, &mut named);
    if !complete {
        // What is missing may stand in the file that could not be read.
        named.retain(|one| {
            !matches!(
                one.code,
                Code::UnknownConfigcrate
                    | Code::UnknownRole
                    | Code::UnknownEnvironment
                    | Code::UnknownTemplate
            )
        });
    }
    out.extend(named);
    check_duplicates(&policy, &mut out);
    check_reach(&policy, &mut out);
    if complete {
        check_selections(tree, &policy, surroundings, &mut out);
    }
    vigo_syntax::sort(&mut out);
    (policy, out)
}

/// Every mention of a configcrate, role or environment.
fn check_names(policy: &Policy, out: &mut Vec<Diagnostic>) {
    let configcrate = |named: &Named, out: &mut Vec<Diagnostic>| {
        if !policy.by_name.contains_key(&named.name) {
            let known = policy.by_name.keys().map(String::as_str);
            out.push(unknown(Code::UnknownConfigcrate, "configcrate", named, sorted(known)));
        }
    };
    let role = |named: &Named, out: &mut Vec<Diagnostic>| {
        if !policy.roles.contains_key(&named.name) {
            let known = policy.roles.keys().map(String::as_str);
            out.push(unknown(Code::UnknownRole, "role", named, known));
        }
    };
    let mentions = |mentions: &[Mention], out: &mut Vec<Diagnostic>| {
        for mention in mentions {
            match mention {
                Mention::Configcrate(named) => configcrate(named, out),
                Mention::Role(named) => role(named, out),
            }
        }
    };
    for common in &policy.commons {
        mentions(&common.mentions, out);
    }
    for environment in &policy.environments {
        environment.configcrates.iter().chain(&environment.exclude).for_each(|named| configcrate(named, out));
    }
    for one in policy.roles.values() {
        for member in &one.members {
            match member {
                Member::Configcrate(named) => configcrate(named, out),
                Member::Include(named) => {
                    role(named, out);
                    nested(policy, named, out);
                }
                Member::Case { branches, .. } => {
                    branches.iter().flat_map(|(_, names)| names).for_each(|named| configcrate(named, out));
                }
            }
        }
    }
    for block in &policy.blocks {
        mentions(&block.mentions, out);
        block.exclude.iter().for_each(|named| configcrate(named, out));
        block.environment.iter().for_each(|named| check_environment(policy, &block.folder, named, out));
    }
    let needed = policy.configcrates.iter().flat_map(|configcrate| &configcrate.depends_on);
    needed.for_each(|named| configcrate(named, out));
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names
}

fn nested(policy: &Policy, named: &Named, out: &mut Vec<Diagnostic>) {
    let inner = policy.roles.get(&named.name).and_then(|role| {
        role.members.iter().find_map(|member| match member {
            Member::Include(inner) => Some(inner),
            _ => None,
        })
    });
    if let Some(inner) = inner {
        let message = format!("the role `{}` includes others itself", named.name);
        out.push(
            Diagnostic::new(Code::NestedRole, named.span, message)
                .related(inner.span, "it includes this")
                .help("roles include one level deep: include that role here, too"),
        );
    }
}

fn check_environment(policy: &Policy, folder: &str, named: &Named, out: &mut Vec<Diagnostic>) {
    let above = |other: &str| {
        other.is_empty()
            || folder == other
            || folder.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'))
    };
    let reachable = || policy.environments.iter().filter(|one| above(&one.folder));
    if !reachable().any(|one| one.name.name == named.name) {
        let known = sorted(reachable().map(|one| one.name.name.as_str()));
        out.push(unknown(Code::UnknownEnvironment, "environment", named, known));
    }
}

/// Every `source`.
fn check_sources(policy: &Policy, out: &mut Vec<Diagnostic>) {
    let resources = policy.configcrates.iter().flat_map(|configcrate| &configcrate.resources);
    let leaves = resources
        .flat_map(|resource| resource.all_attributes())
        .flat_map(|attribute| &attribute.value.leaves);
    for named in leaves.flat_map(|leaf| &leaf.uses.templates) {
        if !policy.templates.contains_key(&named.name) {
            out.push(templates::unknown(policy, named));
        }
    }
}

/// Traits in the expressions of match blocks and roles; those of resources are followed with everything else.
fn check_expressions(
    tree: &Tree,
    policy: &Policy,
    surroundings: &Surroundings<'_>,
    out: &mut Vec<Diagnostic>,
) {
    let sources = sources(tree);
    let checking = Checking { sources: &sources, surroundings, unused: false, block: None };
    let mut notes = Notes { checking: Some(checking), ..Notes::default() };
    let wheres = policy.blocks.iter().filter_map(|block| match &block.matcher {
        Matcher::Where(expression) => Some(expression),
        Matcher::Names(_) => None,
    });
    let cases = policy.roles.values().flat_map(|role| &role.members).filter_map(|member| match member {
        Member::Case { case, .. } => Some(case),
        _ => None,
    });
    for expression in wheres.chain(cases) {
        let names = expression
            .uses
            .names
            .iter()
            .filter(|name| name.steps.first().is_some_and(|step| step == "traits"));
        let traits = names.map(|name| (name, expression.uses.written)).collect();
        let reached = Reached { traits, ..Reached::default() };
        reach::check_traits(&reached, expression.span, &mut notes);
    }
    out.append(&mut notes.out);
}

fn sources(tree: &Tree) -> Vec<&str> {
    tree.files().map(|file| std::str::from_utf8(file.bytes).unwrap_or_default()).collect()
}

fn check_duplicates(policy: &Policy, out: &mut Vec<Diagnostic>) {
    for configcrate in &policy.configcrates {
        for (first, second, name) in duplicate_names(configcrate) {
            let message = format!("two resources of this configcrate have the name `{name}`");
            out.push(
                Diagnostic::new(Code::DuplicateName, second, message)
                    .related(first, "the first one")
                    .help("references go by name: give one of them another"),
            );
        }
    }
}

/// Match blocks that earlier ones leave nothing to.
fn check_reach(policy: &Policy, out: &mut Vec<Diagnostic>) {
    let mut earlier: Vec<(&crate::Glob, vigo_base::Span)> = Vec::new();
    let mut everything: Option<vigo_base::Span> = None;
    for block in &policy.blocks {
        let Matcher::Names(globs) = &block.matcher else {
            if let Some(span) = everything {
                out.push(unreachable(block.span, span));
            }
            continue;
        };
        let by: Vec<_> = globs
            .iter()
            .map(|(glob, _)| earlier.iter().find(|(other, _)| other.covers(glob)).map(|(_, span)| *span))
            .collect();
        if let Some(Some(span)) = by.first().filter(|_| by.iter().all(Option::is_some)) {
            out.push(unreachable(block.span, *span));
        }
        for (glob, span) in globs {
            if glob.as_str() == "*" {
                everything.get_or_insert(*span);
            }
            earlier.push((glob, *span));
        }
    }
}

fn unreachable(span: vigo_base::Span, by: vigo_base::Span) -> Diagnostic {
    Diagnostic::new(Code::UnreachableBlock, span, "no envoy can reach this match block: the first match wins")
        .related(by, "this one takes them all")
        .help(
            "move it up, or remove it; the order is: subfolders first, then files by name, `envoys.vgo` last",
        )
}

/// What shows only when everything is put together: once for each match block.
fn check_selections(
    tree: &Tree,
    policy: &Policy,
    surroundings: &Surroundings<'_>,
    out: &mut Vec<Diagnostic>,
) {
    let sources = sources(tree);
    let mut notes = Notes::default();
    let mut covered = BTreeSet::new();
    let mut checking = Checking { sources: &sources, surroundings, unused: false, block: None };
    if policy.alone {
        checking.unused = false;
        check_one(policy, &select::select(policy, "", None), checking, &mut notes, &mut covered);
    }
    let mut checked: HashMap<vigo_base::Digest, bool> = HashMap::new();
    for (number, block) in policy.blocks.iter().enumerate() {
        let selection = select::of_block(policy, number, block, &mut notes.out);
        let refers_to_secrets = *checked.entry(likeness(&selection)).or_insert_with(|| {
            checking.block = Some(block.span);
            check_one(policy, &selection, checking, &mut notes, &mut covered)
        });
        if refers_to_secrets && select::is_by_traits(block) {
            out.push(by_traits(block.span));
        }
    }
    checking.block = None;
    checking.unused = true;
    for (index, configcrate) in policy.configcrates.iter().enumerate() {
        if !covered.contains(&index) {
            let selection = select::of_unused(policy, configcrate);
            check_one(policy, &selection, checking, &mut notes, &mut covered);
        }
    }
    check_unused_variables(policy, &notes, out);
    out.append(&mut notes.out);
}

fn by_traits(span: vigo_base::Span) -> Diagnostic {
    let message = "this match block is chosen by traits, so no secret in it is given to anybody";
    Diagnostic::new(Code::SecretByTraits, span, message)
        .help("what a machine says of itself entitles to nothing: choose these envoys by name (`match:`)")
}

/// Equal for match blocks of which everything that is checked is equal.
fn likeness(selection: &Selection) -> vigo_base::Digest {
    let entry = |variable: &select::SelectedVariable| Entry {
        name: variable.name.clone(),
        value: Some(variable.value.clone()),
    };
    let variables = Map { entries: selection.variables.iter().map(entry).collect() };
    let mut bytes = variables.encode_to_vec();
    for chosen in &selection.configcrates {
        bytes.extend(chosen.index.to_le_bytes());
        bytes.extend(chosen.condition.as_deref().unwrap_or_default().as_bytes());
        bytes.push(0);
    }
    bytes.extend(selection.environment.as_bytes());
    vigo_base::Digest::of(&bytes)
}

/// Checks one selection; true if it refers to secrets.
fn check_one<'n>(
    policy: &Policy,
    selection: &Selection,
    checking: Checking<'n>,
    notes: &mut Notes<'n>,
    covered: &mut BTreeSet<usize>,
) -> bool {
    covered.extend(selection.configcrates.iter().map(|chosen| chosen.index));
    notes.checking = Some(checking);
    let Some(ground) = Ground::new(policy, selection) else { return false };
    check_circles(&ground, notes);
    // The notes outlive the ground: what is passed on is owned.
    let mut inner = Notes { checking: Some(checking), ..Notes::default() };
    assemble(&ground, &mut inner);
    notes.out.append(&mut inner.out);
    for (configcrate, mut names) in inner.used {
        notes.used.entry(configcrate).or_default().append(&mut names);
    }
    notes.used_whole.append(&mut inner.used_whole);
    inner.refers_to_secrets
}

fn check_circles(ground: &Ground<'_>, notes: &mut Notes<'_>) {
    let crates =
        ground.selection.configcrates.iter().filter_map(|one| ground.policy.configcrates.get(one.index));
    let scopes = std::iter::once(None).chain(crates.map(Some));
    for configcrate in scopes {
        let sight = Sight { policy: ground.policy, shared: &ground.shared, configcrate, item: None };
        let own = configcrate.map(|one| one.variables.as_slice()).unwrap_or_default();
        let shared: Vec<&Variable> = match configcrate {
            None => sorted(ground.shared.keys().copied())
                .into_iter()
                .filter_map(|name| sight.variable(name))
                .collect(),
            Some(_) => own.iter().collect(),
        };
        let mut done = HashSet::new();
        for variable in shared {
            if let Some(circle) = sight.circle(variable, &mut done) {
                let message =
                    format!("variables refer to each other in a circle or too deep: {}", circle.join(" -> "));
                notes.report(|| Diagnostic::new(Code::VariableCycle, variable.name.span, message));
                break;
            }
        }
    }
}

/// Variables whose name nothing uses that could see them.
fn check_unused_variables(policy: &Policy, notes: &Notes<'_>, out: &mut Vec<Diagnostic>) {
    let mut users: HashMap<&str, Vec<usize>> = HashMap::new();
    for (configcrate, names) in &notes.used {
        names.iter().for_each(|name| users.entry(name).or_default().push(*configcrate));
    }
    let mut in_roles = HashSet::new();
    let mut whole = !notes.used_whole.is_empty();
    for name in role_names(policy) {
        match name {
            Some(name) => {
                in_roles.insert(name);
            }
            None => whole = true,
        }
    }
    let mut warn = |variable: &Variable, help: &str| {
        let message = format!("nothing uses the variable `{}`", variable.name.name);
        out.push(Diagnostic::new(Code::UnusedVariable, variable.name.span, message).help(help));
    };
    let blocks = policy.blocks.iter().flat_map(|block| &block.variables);
    let environments = policy.environments.iter().flat_map(|one| &one.variables);
    let commons = policy.commons.iter().flat_map(|common| &common.variables);
    for variable in blocks.chain(environments).chain(commons) {
        let name = variable.name.name.as_str();
        if !whole && !users.contains_key(name) && !in_roles.contains(name) {
            warn(variable, "remove it, or check how its name is spelt where it should be used");
        }
    }
    for (index, configcrate) in policy.configcrates.iter().enumerate() {
        let Configcrate { variables, .. } = configcrate;
        for variable in variables {
            let name = variable.name.name.as_str();
            let used = users.get(name).is_some_and(|users| users.contains(&index));
            if !used && !notes.used_whole.contains(&index) {
                warn(variable, "a configcrate's own variables are seen inside it only");
            }
        }
    }
}

/// Variables that conditions of roles use; `None` for `vars` as a whole.
fn role_names(policy: &Policy) -> impl Iterator<Item = Option<&str>> {
    let cases = policy.roles.values().flat_map(|role| &role.members).filter_map(|member| match member {
        Member::Case { case, .. } => Some(case),
        _ => None,
    });
    cases
        .flat_map(|case| &case.uses.names)
        .filter(|name| name.steps.first().is_some_and(|step| step == "vars"))
        .map(|name| name.steps.get(1).map(String::as_str))
}
