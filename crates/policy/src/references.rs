//! References between resources into indices, and circles among them.

use crate::cycles;
use crate::ground::{Notes, Stage, Stamped};
use crate::identity::Identity;
use crate::model::Named;
use std::collections::{HashMap, HashSet};
use vigo_base::Span;
use vigo_syntax::{Code, Diagnostic, nearest};
use vigo_wire::node::{Kind, Node};

/// What each resource waits for, by index into the stage; resources that are one are written as the first of them.
#[derive(Default)]
pub(crate) struct Order {
    pub requires: Vec<Vec<usize>>,
    pub notified_by: Vec<Vec<usize>>,
    pub requires_configcrates: Vec<Vec<usize>>,
}

/// Where a reference leads.
enum Target {
    Resources(Vec<usize>),
    Configcrates(Vec<usize>),
}

struct Index<'a> {
    stage: &'a Stage<'a>,
    stands_for: &'a [usize],
    names: HashMap<(usize, String), Vec<usize>>,
    identities: HashMap<String, Vec<usize>>,
}

/// Resolves every reference.
pub(crate) fn resolve(
    stage: &Stage<'_>,
    identities: &[Identity],
    stands_for: &[usize],
    notes: &mut Notes<'_>,
) -> Order {
    let count = stage.resources.len();
    let mut order = Order {
        requires: vec![Vec::new(); count],
        notified_by: vec![Vec::new(); count],
        requires_configcrates: vec![Vec::new(); count],
    };
    let written = |resource: &Stamped<'_>| {
        let model = resource.model;
        [&model.depends_on, &model.before, &model.notify, &model.subscribes]
            .iter()
            .any(|list| !list.is_empty())
    };
    if stage.resources.iter().any(written) {
        let index = Index::new(stage, identities, stands_for);
        let mut places = HashMap::new();
        for (number, resource) in stage.resources.iter().enumerate() {
            index.resource(number, resource, &mut order, &mut places, notes);
        }
        for list in
            order.requires.iter_mut().chain(&mut order.notified_by).chain(&mut order.requires_configcrates)
        {
            list.sort_unstable();
            list.dedup();
        }
        if notes.checking.is_some() {
            index.circles(identities, &order, &places, notes);
        }
    }
    order
}

impl<'a> Index<'a> {
    fn new(stage: &'a Stage<'a>, identities: &'a [Identity], stands_for: &'a [usize]) -> Self {
        let mut index = Self { stage, stands_for, names: HashMap::new(), identities: HashMap::new() };
        for (number, (resource, identity)) in stage.resources.iter().zip(identities).enumerate() {
            let mut texts = vec![identity.written.as_str()];
            texts.extend(identity.rendered.as_deref().filter(|rendered| *rendered != identity.written));
            match &resource.model.name {
                Some(name) => index.name(resource, &name.name, number),
                None => texts.iter().for_each(|text| index.name(resource, text, number)),
            }
            for text in texts.iter().filter(|text| !text.is_empty()) {
                index
                    .identities
                    .entry(format!("{}/{text}", resource.model.kind.name))
                    .or_default()
                    .push(number);
                if text.starts_with('/') {
                    index
                        .identities
                        .entry(format!("{}{text}", resource.model.kind.name))
                        .or_default()
                        .push(number);
                }
            }
        }
        index
    }

    fn name(&mut self, resource: &Stamped<'_>, name: &str, number: usize) {
        if let Some(key) = &resource.key {
            self.names.entry((resource.owner, format!("{name}[{key}]"))).or_default().push(number);
        }
        self.names.entry((resource.owner, name.to_owned())).or_default().push(number);
    }

    fn one(&self, number: usize) -> usize {
        self.stands_for.get(number).copied().unwrap_or(number)
    }

    fn resource(
        &self,
        number: usize,
        resource: &Stamped<'_>,
        order: &mut Order,
        places: &mut HashMap<(usize, usize), Span>,
        notes: &mut Notes<'_>,
    ) {
        let this = self.one(number);
        let mut put = |list: &mut Vec<Vec<usize>>, later: usize, earlier: usize, span: Span| {
            // Two that became one cannot wait for each other.
            let united = later == earlier && number != this;
            if let Some(list) = list.get_mut(later).filter(|_| !united) {
                list.push(earlier);
                places.entry((later, earlier)).or_insert(span);
            }
        };
        for named in &resource.model.depends_on {
            match self.target(named, resource, notes) {
                Some(Target::Resources(all)) => {
                    all.into_iter().for_each(|other| put(&mut order.requires, this, other, named.span));
                }
                Some(Target::Configcrates(all)) => {
                    for other in all {
                        put(&mut order.requires_configcrates, this, other, named.span);
                    }
                }
                None => {}
            }
        }
        for named in &resource.model.before {
            for other in self.resources(named, resource, notes) {
                put(&mut order.requires, other, this, named.span);
            }
        }
        for named in &resource.model.notify {
            for other in self.resources(named, resource, notes) {
                put(&mut order.notified_by, other, this, named.span);
            }
        }
        for named in &resource.model.subscribes {
            for other in self.resources(named, resource, notes) {
                put(&mut order.notified_by, this, other, named.span);
            }
        }
    }

    /// The resources that a reference means; of a configcrate, all.
    fn resources(&self, named: &Named, from: &Stamped<'_>, notes: &mut Notes<'_>) -> Vec<usize> {
        match self.target(named, from, notes) {
            None => Vec::new(),
            Some(Target::Resources(all)) => all,
            Some(Target::Configcrates(all)) => {
                let wanted: HashSet<usize> = all.into_iter().collect();
                let owned = |number: &usize| {
                    self.stage.resources.get(*number).is_some_and(|one| wanted.contains(&one.owner))
                };
                (0..self.stage.resources.len()).filter(owned).map(|number| self.one(number)).collect()
            }
        }
    }

    fn target(&self, named: &Named, from: &Stamped<'_>, notes: &mut Notes<'_>) -> Option<Target> {
        let text = self.rendered(&named.name, from);
        let here = self.names.get(&(from.owner, text.clone()));
        if let Some(found) = here.or_else(|| self.identities.get(&text)) {
            return self.checked(&text, found, named, notes).map(Target::Resources);
        }
        if let Some(name) = text.strip_prefix("configcrate:") {
            let fits = |one: &crate::ground::Crate<'_>| one.name == name || one.model.name.name == name;
            let all: Vec<usize> = (0..)
                .zip(&self.stage.crates)
                .filter(|(_, one)| fits(one))
                .map(|(number, _)| number)
                .collect();
            if !all.is_empty() {
                return Some(Target::Configcrates(all));
            }
        }
        self.unknown(&text, named, from, notes);
        None
    }

    /// A reference with a template in it, as far as it can be rendered here.
    fn rendered(&self, text: &str, from: &Stamped<'_>) -> String {
        if !text.contains("{{") {
            return text.to_owned();
        }
        let node = Node::new(Kind::Template(text.to_owned()));
        let rendered = self.stage.ground.renderer.value(&node, &self.stage.scope(from)).ok();
        match rendered {
            // What depends on the envoy's name would come out empty here: it is compared as written.
            Some(vigo_base::Value::Text(pieces)) if !text.contains("envoy.") => {
                pieces.as_literal().unwrap_or(text).to_owned()
            }
            _ => text.to_owned(),
        }
    }

    /// All that fit, if they are stamped from one resource.
    fn checked(
        &self,
        text: &str,
        found: &[usize],
        named: &Named,
        notes: &mut Notes<'_>,
    ) -> Option<Vec<usize>> {
        let mut all: Vec<usize> = found.iter().map(|number| self.one(*number)).collect();
        all.sort_unstable();
        all.dedup();
        let models: Vec<&Stamped<'_>> =
            all.iter().filter_map(|number| self.stage.resources.get(*number)).collect();
        let first = models.first()?;
        if let Some(other) = models.iter().find(|one| !std::ptr::eq(one.model, first.model)) {
            let message = format!("`{text}` fits more than one resource");
            let (one, other) = (first.model.span, other.model.span);
            notes.report(|| {
                Diagnostic::new(Code::AmbiguousReference, named.span, message)
                    .related(one, "one")
                    .related(other, "another")
                    .help("give one of them a name of its own, or refer by `type/identity`")
            });
            return None;
        }
        Some(all)
    }

    fn unknown(&self, text: &str, named: &Named, from: &Stamped<'_>, notes: &mut Notes<'_>) {
        let Some(checking) = notes.checking else { return };
        if checking.unused && text.contains(['/', ':']) {
            return;
        }
        let here = self.names.keys().filter(|(owner, _)| *owner == from.owner).map(|(_, name)| name.as_str());
        let mut known: Vec<&str> = here.chain(self.identities.keys().map(String::as_str)).collect();
        known.sort_unstable();
        let help = match nearest(text, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if text.contains(',') => "write a list: `[a, b]`; references are never split at commas".to_owned(),
            None => "a reference is a name in this configcrate, `type/identity` of any resource of the envoy, or `configcrate:name`".to_owned(),
        };
        let message = format!("there is no resource `{text}`");
        let mut diagnostic = Diagnostic::new(Code::UnknownReference, named.span, message).help(help);
        if let Some(block) = checking.block.filter(|_| text.contains(['/', ':'])) {
            diagnostic = diagnostic.related(block, "for the envoys of this match block");
        }
        notes.out.push(diagnostic);
    }

    /// Nodes: resources, then the begin of each configcrate, then its end.
    fn circles(
        &self,
        identities: &[Identity],
        order: &Order,
        places: &HashMap<(usize, usize), Span>,
        notes: &mut Notes<'_>,
    ) {
        let (resources, crates) = (self.stage.resources.len(), self.stage.crates.len());
        let mut waits_for: Vec<Vec<usize>> = vec![Vec::new(); resources + 2 * crates];
        let mut put = |later: usize, earlier: usize| {
            if let Some(list) = waits_for.get_mut(later) {
                list.push(earlier);
            }
        };
        for (number, resource) in self.stage.resources.iter().enumerate() {
            if self.one(number) != number {
                continue;
            }
            let before =
                order.requires.get(number).into_iter().chain(order.notified_by.get(number)).flatten();
            before.for_each(|earlier| put(number, *earlier));
            for earlier in order.requires_configcrates.get(number).into_iter().flatten() {
                put(number, resources + crates + earlier);
            }
            put(number, resources + resource.owner);
            put(resources + crates + resource.owner, number);
        }
        for (number, one) in self.stage.crates.iter().enumerate() {
            put(resources + crates + number, resources + number);
            for earlier in configcrates_before(self.stage, one) {
                put(resources + number, resources + crates + earlier);
            }
        }
        for circle in cycles::find(&waits_for) {
            self.report_circle(&circle, identities, places, notes);
        }
    }

    fn report_circle(
        &self,
        circle: &[usize],
        identities: &[Identity],
        places: &HashMap<(usize, usize), Span>,
        notes: &mut Notes<'_>,
    ) {
        let (resources, crates) = (self.stage.resources.len(), self.stage.crates.len());
        let mut shown: Vec<String> = Vec::new();
        for node in circle {
            let text = match (self.stage.resources.get(*node), identities.get(*node)) {
                (Some(resource), Some(identity)) => self.stage.id(resource, identity.shown()),
                _ => {
                    let number = (node - resources) % crates.max(1);
                    let name = self.stage.crates.get(number).map_or("", |one| one.name.as_str());
                    format!("configcrate:{name}")
                }
            };
            if shown.last() != Some(&text) {
                shown.push(text);
            }
        }
        shown.extend(shown.first().cloned());
        let next = circle.iter().skip(1).chain(circle.first());
        let edge = circle.iter().zip(next).find_map(|(later, earlier)| places.get(&(*later, *earlier)));
        let owner = circle.first().map(|node| (node.saturating_sub(resources)) % crates.max(1));
        let span = edge.copied().or_else(|| {
            let one = self.stage.crates.get(owner?)?;
            one.model.depends_on.first().map(|named| named.span)
        });
        let Some(span) = span else { return };
        let message = format!("dependencies go in a circle: {}", shown.join(" -> "));
        notes.report(|| {
            Diagnostic::new(Code::Cycle, span, message)
                .help("each waits for the next; remove one of the references")
        });
    }
}

/// The configcrates that must have succeeded before this one, by their numbers.
pub(crate) fn configcrates_before(stage: &Stage<'_>, one: &crate::ground::Crate<'_>) -> Vec<usize> {
    let wanted: HashSet<&str> = one.model.depends_on.iter().map(|named| named.name.as_str()).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let fits = |other: &crate::ground::Crate<'_>| wanted.contains(other.model.name.name.as_str());
    (0..).zip(&stage.crates).filter(|(_, other)| fits(other)).map(|(number, _)| number).collect()
}
