//! The configcrates and resources of one selection, stamped out: what later stages look at.

use crate::foreach::{self, Item};
use crate::model::{Configcrate, Policy, Resource, Value, Variable, Written};
use crate::select::Selection;
use crate::uses::{Reached, Sight};
use crate::{Surroundings, simple, text};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use vigo_base::{Span, Value as Rendered, limits};
use vigo_syntax::{Code, Diagnostic};
use vigo_template::{EnvoyFacts, Renderer, Scope};
use vigo_wire::node::{Entry, Kind, Node};

/// Where mistakes of a selection go, and what is asked of it; without, it is compiled only.
#[derive(Default)]
pub(crate) struct Notes<'a> {
    pub checking: Option<Checking<'a>>,
    pub out: Vec<Diagnostic>,
    /// Names of variables that something uses, by the configcrate that does.
    pub used: BTreeMap<usize, BTreeSet<String>>,
    /// Configcrates in which something uses `vars` as a whole.
    pub used_whole: BTreeSet<usize>,
    /// Some resource refers to a secret.
    pub refers_to_secrets: bool,
}

/// What a check knows besides the policy.
#[derive(Clone, Copy)]
pub(crate) struct Checking<'a> {
    pub sources: &'a [&'a str],
    pub surroundings: &'a Surroundings<'a>,
    /// No match block uses these configcrates: what an envoy would have to bring along is not missed.
    pub unused: bool,
    /// The match block, for mistakes that show for its envoys only.
    pub block: Option<Span>,
}

impl Notes<'_> {
    pub fn report(&mut self, diagnostic: impl FnOnce() -> Diagnostic) {
        if self.checking.is_some() {
            self.out.push(diagnostic());
        }
    }

    /// The place of something in a text.
    pub fn place(&self, written: Option<Written>, solid: usize, length: usize, otherwise: Span) -> Span {
        let source = |written: Written| {
            let file = usize::try_from(written.span.file).ok()?;
            self.checking.as_ref()?.sources.get(file).copied()
        };
        match written.and_then(source) {
            Some(source) => text::place(source, written, solid, length, otherwise),
            None => otherwise,
        }
    }
}

/// What all configcrates of a selection share.
pub(crate) struct Ground<'a> {
    pub policy: &'a Policy,
    pub selection: &'a Selection,
    pub shared: HashMap<&'a str, Option<&'a Variable>>,
    pub entries: Vec<Entry>,
    pub renderer: Renderer,
    pub scope: Scope,
}

impl<'a> Ground<'a> {
    pub fn new(policy: &'a Policy, selection: &'a Selection) -> Option<Self> {
        let variables = &selection.variables;
        let shared = variables
            .iter()
            .map(|variable| {
                (variable.name.as_str(), variable.source.and_then(|source| policy.variable(source)))
            })
            .collect();
        let entry = |name: &str, value: &Node| Entry { name: name.to_owned(), value: Some(value.clone()) };
        let entries: Vec<Entry> =
            variables.iter().map(|variable| entry(&variable.name, &variable.value)).collect();
        let environment = selection.environment.clone();
        let envoy = EnvoyFacts { environment, ..EnvoyFacts::default() };
        let scope = Scope::new(&entries, None, &envoy);
        let renderer = Renderer::new(&[]).ok()?;
        Some(Self { policy, selection, shared, entries, renderer, scope })
    }
}

/// A configcrate of an envoy; one of several if `foreach` stamped it.
pub(crate) struct Crate<'a> {
    pub model: &'a Configcrate,
    /// Which of the policy's.
    pub index: usize,
    pub name: String,
    pub stamped: bool,
    pub item: Option<Value>,
    pub condition: Option<&'a str>,
    pub scope: Scope,
}

/// A resource of an envoy.
pub(crate) struct Stamped<'a> {
    pub model: &'a Resource,
    /// Which [`Crate`] it is in.
    pub owner: usize,
    pub key: Option<String>,
    pub item: Option<Value>,
}

/// Everything of an envoy, in written order.
pub(crate) struct Stage<'a> {
    pub ground: &'a Ground<'a>,
    pub crates: Vec<Crate<'a>>,
    pub resources: Vec<Stamped<'a>>,
    /// Numbers of configcrates by name; several if `foreach` stamped it.
    names: HashMap<&'a str, Vec<usize>>,
    /// There were more than a bundle may hold.
    full: bool,
}

impl<'a> Stage<'a> {
    pub fn new(ground: &'a Ground<'a>, notes: &mut Notes<'_>) -> Self {
        let mut stage =
            Self { ground, crates: Vec::new(), resources: Vec::new(), names: HashMap::new(), full: false };
        for chosen in &ground.selection.configcrates {
            if let Some(model) = ground.policy.configcrates.get(chosen.index) {
                let entries = own_entries(model);
                let scope = ground.scope.configcrate(&entries);
                stage.configcrate(model, chosen.index, chosen.condition.as_deref(), &scope, notes);
            }
        }
        stage
    }

    fn configcrate(
        &mut self,
        model: &'a Configcrate,
        index: usize,
        condition: Option<&'a str>,
        scope: &Scope,
        notes: &mut Notes<'_>,
    ) {
        let name = &model.name.name;
        let Some(over) = &model.foreach else {
            let (name, scope) = (name.clone(), scope.clone());
            self.crates.push(Crate { model, index, name, stamped: false, item: None, condition, scope });
            return self.fill(notes);
        };
        let sight = Sight {
            policy: self.ground.policy,
            shared: &self.ground.shared,
            configcrate: Some(model),
            item: None,
        };
        let items = self.items(over, &sight, scope, index, notes);
        for Item { key, value } in items {
            let scope = scope.with_item(Some(&value.node));
            let name = format!("{name}[{key}]");
            self.crates.push(Crate {
                model,
                index,
                name,
                stamped: true,
                item: Some(value),
                condition,
                scope,
            });
            self.fill(notes);
        }
    }

    fn items(
        &self,
        over: &crate::model::Foreach,
        sight: &Sight<'_>,
        scope: &Scope,
        index: usize,
        notes: &mut Notes<'_>,
    ) -> Vec<Item> {
        let mut missing = false;
        if let crate::model::Foreach::Expression(expression) = over {
            let mut reached = Reached::default();
            sight.uses(&expression.uses, &mut reached);
            note_names(&reached, index, notes);
            missing = report_undefined(&reached, sight, expression.span, notes);
        }
        if missing {
            return Vec::new();
        }
        match foreach::items(over, sight, &self.ground.renderer, scope) {
            Ok(items) => items,
            Err(diagnostic) => {
                notes.report(|| diagnostic);
                Vec::new()
            }
        }
    }

    /// The configcrates of that name.
    pub fn crates_named(&self, name: &str) -> &[usize] {
        self.names.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Stamps the resources of the configcrate that was pushed last.
    fn fill(&mut self, notes: &mut Notes<'_>) {
        let Some(owner) = self.crates.len().checked_sub(1) else { return };
        if let Some(name) = self.crates.last().map(|one| one.model.name.name.as_str()) {
            self.names.entry(name).or_default().push(owner);
        }
        let Some((model, index, scope)) =
            self.crates.last().map(|one| (one.model, one.index, one.scope.clone()))
        else {
            return;
        };
        for resource in &model.resources {
            if self.overflow(resource.span, notes) {
                return;
            }
            let Some(over) = &resource.foreach else {
                self.resources.push(Stamped { model: resource, owner, key: None, item: None });
                continue;
            };
            let item = self.crates.last().and_then(|one| one.item.clone());
            let sight = Sight {
                policy: self.ground.policy,
                shared: &self.ground.shared,
                configcrate: Some(model),
                item: item.as_ref(),
            };
            for Item { key, value } in self.items(over, &sight, &scope, index, notes) {
                self.resources.push(Stamped { model: resource, owner, key: Some(key), item: Some(value) });
            }
        }
    }

    /// True if there are too many resources. Then none is left: what they would be is not looked at.
    fn overflow(&mut self, span: Span, notes: &mut Notes<'_>) -> bool {
        if self.resources.len() >= limits::RESOURCES && !self.full {
            let message = format!("an envoy would get more than {} resources", limits::RESOURCES);
            notes.report(|| Diagnostic::new(Code::TooManyResources, span, message));
            self.full = true;
            self.resources.clear();
        }
        self.full
    }

    /// True if its configcrate may not count on every envoy of the selection.
    pub fn is_conditional(&self, resource: &Stamped<'_>) -> bool {
        self.owner(resource).is_some_and(|owner| owner.condition.is_some() || owner.model.when.is_some())
    }

    pub fn owner(&self, resource: &Stamped<'_>) -> Option<&Crate<'a>> {
        self.crates.get(resource.owner)
    }

    /// What names mean in a resource.
    pub fn sight<'s>(&'s self, resource: &'s Stamped<'a>) -> Sight<'s> {
        let owner = self.owner(resource);
        Sight {
            policy: self.ground.policy,
            shared: &self.ground.shared,
            configcrate: owner.map(|owner| owner.model),
            item: resource.item.as_ref().or_else(|| owner.and_then(|owner| owner.item.as_ref())),
        }
    }

    pub fn scope(&self, resource: &Stamped<'_>) -> Scope {
        let scope =
            self.owner(resource).map_or_else(|| self.ground.scope.clone(), |owner| owner.scope.clone());
        scope.with_item(resource.item.as_ref().map(|item| &item.node))
    }

    /// A value as the envoy would render it, where that can be known here.
    pub fn render(&self, resource: &Stamped<'_>, value: &Value) -> Option<Rendered> {
        if let Some(data) = crate::value::data(&value.node) {
            return Some(data);
        }
        let sight = self.sight(resource);
        // An expression keeps the type of its result.
        if matches!(value.node.kind, Some(Kind::Template(_)))
            && let Some(text) = simple::render(&value.node, &sight)
        {
            return Some(Rendered::text(text));
        }
        let mut reached = Reached::default();
        sight.value(value, &mut reached);
        let fixed = !reached.varies
            && reached.undefined.is_empty()
            && reached.secrets.is_empty()
            && reached.templates.is_empty();
        if !fixed {
            return None;
        }
        self.ground.renderer.value(&value.node, &self.scope(resource)).ok()
    }

    /// What messages and reports call it.
    pub fn id(&self, resource: &Stamped<'_>, identity: &str) -> String {
        let configcrate = self.owner(resource).map_or("", |owner| owner.name.as_str());
        match (&resource.model.name, &resource.key) {
            (Some(name), Some(key)) => format!("{configcrate}:{}[{key}]", name.name),
            (Some(name), None) => format!("{configcrate}:{}", name.name),
            (None, _) => format!("{configcrate}:{}/{identity}", resource.model.kind.name),
        }
    }
}

fn own_entries(model: &Configcrate) -> Vec<Entry> {
    let entry = |variable: &Variable| Entry {
        name: variable.name.name.clone(),
        value: Some(variable.value.node.clone()),
    };
    model.variables.iter().map(entry).collect()
}

/// Remembers which variables are used.
pub(crate) fn note_names(reached: &Reached<'_>, configcrate: usize, notes: &mut Notes<'_>) {
    if notes.checking.is_none() {
        return;
    }
    if !reached.variables.is_empty() {
        let used = notes.used.entry(configcrate).or_default();
        for name in &reached.variables {
            if !used.contains(*name) {
                used.insert((*name).to_owned());
            }
        }
    }
    if reached.all_variables {
        notes.used_whole.insert(configcrate);
    }
}

/// Says which names are not defined. True if there are any.
pub(crate) fn report_undefined(
    reached: &Reached<'_>,
    sight: &Sight<'_>,
    otherwise: Span,
    notes: &mut Notes<'_>,
) -> bool {
    let Some(checking) = notes.checking else { return !reached.undefined.is_empty() };
    for (name, written) in &reached.undefined {
        let variable = name.steps.get(1).filter(|_| name.steps.first().is_some_and(|step| step == "vars"));
        if checking.unused && variable.is_some() {
            continue;
        }
        let given = |variable: &String| checking.surroundings.variables.iter().any(|given| given == variable);
        if variable.is_some_and(given) {
            continue;
        }
        let span = notes.place(*written, name.solid, name.length, otherwise);
        let shown = name.steps.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(".");
        let help = match variable {
            None => "`item` is known under `foreach` only".to_owned(),
            Some(variable) => vigo_syntax::nearest(variable, sight.names()).map_or_else(
                || "define it in the match block, environments.vgo, common.vgo or the configcrate's `vars`, or write `| default(..)`".to_owned(),
                |near| format!("did you mean `vars.{near}`?"),
            ),
        };
        let shown = if variable.is_some() { shown } else { "item".to_owned() };
        let mut diagnostic =
            Diagnostic::new(Code::UnknownName, span, format!("`{shown}` is not defined")).help(help);
        if let Some(block) = checking.block {
            diagnostic = diagnostic.related(block, "for the envoys of this match block");
        }
        notes.out.push(diagnostic);
    }
    !reached.undefined.is_empty()
}
