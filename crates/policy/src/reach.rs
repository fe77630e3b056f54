//! What the values of resources reach: secrets and who sees them, templates, variables; and values that can be rendered at publish.

use crate::ground::{Checking, Notes, Stage, Stamped, note_names, report_undefined};
use crate::model::{Attribute, Expression, SecretCall, Value, Written};
use crate::simple;
use crate::uses::{Reached, Sight};
use std::collections::BTreeSet;
use vigo_base::{SecretPath, Span, Value as Rendered};
use vigo_resource::{Kind as Wanted, SecretRule};
use vigo_syntax::{Code, Diagnostic};
use vigo_template::{EnvoyFacts, Scope, TemplateError};
use vigo_wire::bundle::SecretUse;

/// What all resources of an envoy reach.
#[derive(Default)]
pub(crate) struct Needs {
    pub variables: BTreeSet<String>,
    pub all_variables: bool,
    pub templates: BTreeSet<String>,
    /// By resource, in the numbering of the stage.
    pub secrets: Vec<SecretUse>,
}

impl Needs {
    fn add(&mut self, reached: &Reached<'_>) {
        for name in &reached.variables {
            if !self.variables.contains(*name) {
                self.variables.insert((*name).to_owned());
            }
        }
        self.all_variables |= reached.all_variables;
        for name in &reached.templates {
            if !self.templates.contains(*name) {
                self.templates.insert((*name).to_owned());
            }
        }
    }
}

/// Follows every value of every resource that stands for itself.
pub(crate) fn follow(stage: &Stage<'_>, stands_for: &[usize], notes: &mut Notes<'_>) -> Needs {
    let mut needs = Needs::default();
    for one in &stage.crates {
        let sight = Sight {
            policy: stage.ground.policy,
            shared: &stage.ground.shared,
            configcrate: Some(one.model),
            item: one.item.as_ref(),
        };
        if let Some(when) = &one.model.when {
            expression(when, "when", &sight, one.index, &mut needs, notes);
        }
    }
    for chosen in &stage.ground.selection.configcrates {
        condition(stage, chosen.condition.as_deref(), &mut needs);
    }
    for (number, resource) in stage.resources.iter().enumerate() {
        if stands_for.get(number) == Some(&number) {
            follow_resource(stage, number, resource, &mut needs, notes);
        }
    }
    needs
}

/// Conditions of roles: their places were checked with the role; here counts which variables they use.
fn condition(stage: &Stage<'_>, source: Option<&str>, needs: &mut Needs) {
    let names = source.and_then(|source| vigo_template::check_expression(source).ok());
    for name in names.iter().flat_map(|names| &names.names) {
        let mut steps = name.steps();
        if steps.next() != Some("vars") {
            continue;
        }
        let Some(variable) = steps.next() else {
            needs.all_variables = true;
            continue;
        };
        needs.variables.insert(variable.to_owned());
        if let Some(Some(variable)) = stage.ground.shared.get(variable) {
            let sight = Sight {
                policy: stage.ground.policy,
                shared: &stage.ground.shared,
                configcrate: None,
                item: None,
            };
            let mut reached = Reached::default();
            sight.value(&variable.value, &mut reached);
            needs.add(&reached);
        }
    }
}

fn expression(
    expression: &Expression,
    what: &str,
    sight: &Sight<'_>,
    configcrate: usize,
    needs: &mut Needs,
    notes: &mut Notes<'_>,
) {
    let mut reached = Reached::default();
    sight.uses(&expression.uses, &mut reached);
    needs.add(&reached);
    note_names(&reached, configcrate, notes);
    report_undefined(&reached, sight, expression.span, notes);
    check_traits(&reached, expression.span, notes);
    if let Some((call, written)) = reached.secrets.first() {
        let place = notes.place(*written, call.solid, call.length, expression.span);
        notes.report(|| {
            Diagnostic::new(
                Code::SecretNotAllowed,
                expression.span,
                format!("`{what}` depends on {}", shown(call)),
            )
            .related(place, "the secret")
            .help("a condition can be guessed from what is done; secrets can only be placed")
        });
    }
}

fn shown(call: &SecretCall) -> String {
    match &call.path {
        Some(path) => format!("`secret:{path}`"),
        None => format!("`secret({})`", call.expression),
    }
}

fn follow_resource(
    stage: &Stage<'_>,
    number: usize,
    resource: &Stamped<'_>,
    needs: &mut Needs,
    notes: &mut Notes<'_>,
) {
    let sight = stage.sight(resource);
    let configcrate = stage.owner(resource).map_or(0, |owner| owner.index);
    for (part, what) in [(&resource.model.when, "when"), (&resource.model.case, "case")] {
        if let Some(part) = part {
            expression(part, what, &sight, configcrate, needs, notes);
        }
    }
    if let Some(checking) = notes.checking {
        for (path, span) in &resource.model.subscribes_secrets {
            missing(path, *span, checking, notes);
        }
    }
    let mut listed: BTreeSet<(String, String, &str, &str)> = BTreeSet::new();
    for attribute in resource.model.all_attributes() {
        if attribute.value.leaves.is_empty() {
            continue;
        }
        let mut reached = Reached::default();
        sight.value(&attribute.value, &mut reached);
        needs.add(&reached);
        note_names(&reached, configcrate, notes);
        let rule = attribute.info.map_or(SecretRule::Refused, |info| info.secrets);
        for (call, _) in &reached.secrets {
            let path = call.path.as_ref().map_or("", |path| path.as_str());
            let expression = if call.path.is_some() { "" } else { call.expression.as_str() };
            let name = attribute.name.name.as_str();
            listed.insert((path.to_owned(), expression.to_owned(), rule.exposure(), name));
        }
        if notes.checking.is_some() {
            check_attribute(stage, resource, attribute, &sight, &reached, notes);
        }
    }
    notes.refers_to_secrets |= !listed.is_empty();
    let uses = listed.into_iter().map(|(path, expression, exposure, attribute)| SecretUse {
        path,
        expression,
        resource: u32::try_from(number).unwrap_or(u32::MAX),
        exposure: exposure.to_owned(),
        attribute: attribute.to_owned(),
    });
    needs.secrets.extend(uses);
}

fn check_attribute(
    stage: &Stage<'_>,
    resource: &Stamped<'_>,
    attribute: &Attribute,
    sight: &Sight<'_>,
    reached: &Reached<'_>,
    notes: &mut Notes<'_>,
) {
    let Some(checking) = notes.checking else { return };
    let span = attribute.value.span;
    let undefined = report_undefined(reached, sight, span, notes);
    check_traits(reached, span, notes);
    check_rule(resource, attribute, reached, notes);
    for (call, written) in &reached.secrets {
        let place = notes.place(*written, call.solid, call.length, span);
        match &call.path {
            Some(path) => missing(path, place, checking, notes),
            None if !undefined && !checking.unused => computed(stage, resource, call, place, checking, notes),
            None => {}
        }
    }
    if !undefined {
        check_rendered(stage, resource, attribute, sight, reached, notes);
    }
}

/// Whether a secret may stand in the attribute.
fn check_rule(resource: &Stamped<'_>, attribute: &Attribute, reached: &Reached<'_>, notes: &mut Notes<'_>) {
    let name = &attribute.name.name;
    let rule = attribute.info.map_or(SecretRule::Refused, |info| info.secrets);
    let allowed = resource.model.allow_exposure.iter().any(|allowed| allowed == "argv");
    let (code, message, help) = match rule {
        SecretRule::Unexposed | SecretRule::Environment => return,
        SecretRule::Argv if allowed => return,
        SecretRule::Argv => (
            Code::Exposure,
            "would stand on a command line, which every user of the machine can read",
            "give it by `stdin` or `environment`; if there is no other way, write `allow_exposure: [argv]`"
                .to_owned(),
        ),
        SecretRule::Refused => {
            let takers: Vec<&str> = resource
                .model
                .kind
                .attributes
                .iter()
                .filter(|info| info.secrets.takes_secret())
                .map(|info| info.name)
                .collect();
            let help = match takers.as_slice() {
                [] => format!("no attribute of `{}` takes one", resource.model.kind.name),
                takers => format!("of `{}`, these take one: {}", resource.model.kind.name, takers.join(", ")),
            };
            (Code::SecretNotAllowed, "cannot stand here", help)
        }
    };
    for (call, written) in &reached.secrets {
        let place = notes.place(*written, call.solid, call.length, attribute.value.span);
        let message = format!("{} in `{name}` {message}", shown(call));
        let within =
            |outer: Span| outer.file == place.file && (outer.start..=outer.end).contains(&place.start);
        let mut diagnostic = Diagnostic::new(code, place, message).help(help.clone());
        if !within(attribute.value.span) {
            diagnostic.span = attribute.value.span;
            diagnostic = diagnostic.related(place, "the secret comes from here");
        }
        notes.out.push(diagnostic);
    }
}

fn missing(path: &SecretPath, place: Span, checking: Checking<'_>, notes: &mut Notes<'_>) {
    let Some(known) = checking.surroundings.secrets else { return };
    if !known.contains(path) {
        let help = match vigo_syntax::nearest(path.as_str(), known.iter().map(SecretPath::as_str)) {
            Some(near) => {
                format!("did you mean `{near}`? A new one is set with `vigocli secrets set {path}`")
            }
            None => format!("set it with `vigocli secrets set {path}`"),
        };
        let message = format!("the vault has no secret `{path}`");
        notes.out.push(Diagnostic::new(Code::MissingSecret, place, message).help(help));
    }
}

/// A computed path must come out at publish, whatever the envoy's name.
fn computed(
    stage: &Stage<'_>,
    resource: &Stamped<'_>,
    call: &SecretCall,
    place: Span,
    checking: Checking<'_>,
    notes: &mut Notes<'_>,
) {
    let ground = stage.ground;
    let path = |name: &str| -> Result<SecretPath, TemplateError> {
        let environment = ground.selection.environment.clone();
        let facts = EnvoyFacts { name: name.to_owned(), id: name.to_owned(), environment };
        let own: Vec<vigo_wire::node::Entry> = stage
            .owner(resource)
            .map(|owner| owner.model.variables.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|variable| vigo_wire::node::Entry {
                name: variable.name.name.clone(),
                value: Some(variable.value.node.clone()),
            })
            .collect();
        let item = stage.sight(resource).item.map(|item| &item.node);
        let scope = Scope::new(&ground.entries, None, &facts).configcrate(&own).with_item(item);
        ground.renderer.secret_path(&call.expression, &scope)
    };
    match (path("a"), path("b")) {
        (Ok(one), Ok(other)) if one == other => missing(&one, place, checking, notes),
        (Ok(_), Ok(_)) => {}
        (Err(error), _) | (_, Err(error)) => {
            let code = match error {
                TemplateError::Undefined { .. } => Code::UnknownName,
                TemplateError::Secret { .. } => Code::SecretInExpression,
                _ => Code::ComputedSecret,
            };
            let message = format!("the path of this secret cannot be computed: {error}");
            let help = "it takes literals, `~`, `vars`, `envoy` and `item`, all known at publish";
            notes.out.push(Diagnostic::new(code, place, message).help(help));
        }
    }
}

/// Values that only choose what to do are rendered here already, where that is possible.
fn check_rendered(
    stage: &Stage<'_>,
    resource: &Stamped<'_>,
    attribute: &Attribute,
    sight: &Sight<'_>,
    reached: &Reached<'_>,
    notes: &mut Notes<'_>,
) {
    let fixed = !reached.varies && reached.secrets.is_empty() && reached.templates.is_empty();
    let Some(info) = attribute.info.filter(|info| fixed && info.kind != Wanted::Text) else { return };
    let Value { node, span, .. } = &attribute.value;
    let simple = simple::render(node, sight).map(|text| Ok(Rendered::text(text)));
    match simple.unwrap_or_else(|| stage.ground.renderer.value(node, &stage.scope(resource))) {
        Ok(rendered) => {
            if let Err(problem) = info.check(&rendered) {
                let message = format!("`{}`, as rendered: {}", info.name, problem.message);
                notes.out.push(Diagnostic::new(Code::InvalidValue, *span, message).help(problem.help));
            }
        }
        // A variable of `--var` is not known here.
        Err(TemplateError::Undefined { .. } | TemplateError::NeedsTraits { .. }) => {}
        Err(error) => {
            let code = Code::from_number(error.code()).unwrap_or(Code::TemplateSyntax);
            if code != Code::VariableCycle {
                notes.out.push(Diagnostic::new(code, *span, error.to_string()));
            }
        }
    }
}

pub(crate) fn check_traits(reached: &Reached<'_>, otherwise: Span, notes: &mut Notes<'_>) {
    let Some(known) = notes.checking.and_then(|checking| checking.surroundings.traits) else { return };
    for (name, written) in &reached.traits {
        if let Some(path) = unknown_trait(&name.steps, name.optional, known) {
            let span = trait_place(notes, *written, name.solid, name.length, otherwise);
            let help = match vigo_syntax::nearest(&path, known.iter().copied()) {
                Some(near) => format!("did you mean `traits.{near}`? A custom trait needs `| default(..)`"),
                None => "a custom trait may be missing on a node: write `| default(..)`".to_owned(),
            };
            notes.out.push(
                Diagnostic::new(Code::UnknownTrait, span, format!("there is no trait `{path}`")).help(help),
            );
        }
    }
}

fn trait_place(
    notes: &Notes<'_>,
    written: Option<Written>,
    solid: usize,
    length: usize,
    otherwise: Span,
) -> Span {
    notes.place(written, solid, length, otherwise)
}

/// The path, if it is neither a known trait, nor above, nor below one.
pub(crate) fn unknown_trait(steps: &[String], optional: bool, known: &[&str]) -> Option<String> {
    let path = steps.get(1..)?;
    if path.is_empty() || optional {
        return None;
    }
    let fits = |known: &&str| known.split('.').zip(path).all(|(step, wanted)| step == wanted);
    (!known.iter().any(fits)).then(|| path.join("."))
}
