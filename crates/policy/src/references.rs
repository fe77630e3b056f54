//! References between resources into indices, and circles among them.

use crate::cycles;
use crate::ground::{Notes, Stage, Stamped};
use crate::identity::Identity;
use crate::model::Named;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use vigo_base::{AbsolutePath, Span};
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
    /// By configcrate and name.
    names: HashMap<(usize, &'a str), Found>,
    /// By type and identity.
    identities: HashMap<(&'a str, &'a str), Found>,
}

/// Resources that a name fits: nearly always one.
struct Found {
    first: usize,
    more: Vec<usize>,
}

impl Found {
    fn put<K: std::hash::Hash + Eq>(map: &mut HashMap<K, Self>, key: K, number: usize) {
        match map.entry(key) {
            Entry::Occupied(known) => known.into_mut().more.push(number),
            Entry::Vacant(free) => {
                free.insert(Self { first: number, more: Vec::new() });
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }
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
    let linked = stage.crates.iter().any(|one| !one.model.depends_on.is_empty());
    if linked || stage.resources.iter().any(written) {
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
            let rendered = identity.rendered.as_deref().filter(|rendered| *rendered != identity.written);
            for text in std::iter::once(identity.written.as_str()).chain(rendered) {
                if resource.model.name.is_none() {
                    Found::put(&mut index.names, (resource.owner, text), number);
                }
                Found::put(&mut index.identities, (resource.model.kind.name, text), number);
            }
            if let Some(name) = &resource.model.name {
                Found::put(&mut index.names, (resource.owner, &name.name), number);
            }
        }
        index
    }

    /// A name in the same configcrate; `name[key]` is one of those that `foreach` stamped.
    fn by_name(&self, owner: usize, text: &str) -> Option<Vec<usize>> {
        if let Some(found) = self.names.get(&(owner, text)) {
            return Some(found.all().collect());
        }
        let (name, key) = text.strip_suffix(']')?.rsplit_once('[')?;
        let stamped = |number: &usize| {
            self.stage.resources.get(*number).is_some_and(|resource| resource.key.as_deref() == Some(key))
        };
        let all: Vec<usize> = self.names.get(&(owner, name))?.all().filter(stamped).collect();
        (!all.is_empty()).then_some(all)
    }

    /// `configcrate:name`, as ids in reports are written.
    fn by_id(&self, text: &str) -> Option<Vec<usize>> {
        let (owner, name) = text.split_once(':')?;
        let owners = self.stage.crates_named(owner).iter();
        let all: Vec<usize> = owners.filter_map(|owner| self.by_name(*owner, name)).flatten().collect();
        (!all.is_empty()).then_some(all)
    }

    /// `type/identity`; the first `/` of a path may be the one that divides, and paths are compared in their one spelling.
    fn by_identity(&self, text: &str) -> Option<Vec<usize>> {
        let (kind, identity) = text.split_once('/')?;
        let path = text.get(kind.len()..)?;
        let all = |found: &Found| found.all().collect();
        let found = self.identities.get(&(kind, identity)).or_else(|| self.identities.get(&(kind, path)));
        found.map(all).or_else(|| {
            let normal: AbsolutePath = path.parse().ok()?;
            self.identities.get(&(kind, normal.as_str())).map(all)
        })
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
        let put = |places: &mut HashMap<(usize, usize), Span>,
                   list: &mut Vec<Vec<usize>>,
                   later: usize,
                   earlier: usize,
                   span: Span| {
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
                    all.into_iter()
                        .for_each(|other| put(places, &mut order.requires, this, other, named.span));
                }
                Some(Target::Configcrates(all)) => {
                    for other in all {
                        let end = self.stage.resources.len() + self.stage.crates.len() + other;
                        places.entry((this, end)).or_insert(named.span);
                        order
                            .requires_configcrates
                            .get_mut(this)
                            .into_iter()
                            .for_each(|list| list.push(other));
                    }
                }
                None => {}
            }
        }
        for named in &resource.model.before {
            for other in self.resources(named, resource, notes) {
                put(places, &mut order.requires, other, this, named.span);
            }
        }
        for named in &resource.model.notify {
            for other in self.resources(named, resource, notes) {
                put(places, &mut order.notified_by, other, this, named.span);
            }
        }
        for named in &resource.model.subscribes {
            for other in self.resources(named, resource, notes) {
                put(places, &mut order.notified_by, this, other, named.span);
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
        let found =
            self.by_name(from.owner, &text).or_else(|| self.by_identity(&text)).or_else(|| self.by_id(&text));
        if let Some(found) = found {
            return self.checked(&text, &found, named, notes).map(Target::Resources);
        }
        if let Some(name) = text.strip_prefix("configcrate:") {
            let stamped = name.split('[').next().unwrap_or(name);
            let named = |number: &&usize| {
                let one = self.stage.crates.get(**number);
                stamped == name || one.is_some_and(|one| one.name == name)
            };
            let all: Vec<usize> = self.stage.crates_named(stamped).iter().filter(named).copied().collect();
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
        let here = self.names.keys().filter(|(owner, _)| *owner == from.owner).map(|(_, name)| *name);
        let mut known: Vec<&str> = here.collect();
        known.sort_unstable();
        let mut identities: Vec<String> = match text.split_once('/') {
            None => Vec::new(),
            Some(_) => self.identities.keys().map(|(kind, identity)| format!("{kind}/{identity}")).collect(),
        };
        identities.sort_unstable();
        let help = match nearest(text, known.into_iter().chain(identities.iter().map(String::as_str))) {
            Some(near) => format!("did you mean `{near}`?"),
            None if text.contains(',') => "write a list: `[a, b]`; references are never split at commas".to_owned(),
            None => "a reference is a name in this configcrate, `type/identity` of any resource of the envoy, `web:site` for the resource `site` of the configcrate `web`, or `configcrate:web` for all of it".to_owned(),
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
        let (begin, end) = (|number: usize| resources + number, |number: usize| resources + crates + number);
        let mut places = places.clone();
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
                put(number, end(*earlier));
            }
            put(number, begin(resource.owner));
            put(end(resource.owner), number);
        }
        for (number, one) in self.stage.crates.iter().enumerate() {
            put(end(number), begin(number));
            for earlier in configcrates_before(self.stage, one) {
                put(begin(number), end(earlier));
                let name = self.stage.crates.get(earlier).map(|earlier| earlier.model.name.name.as_str());
                let written = one.model.depends_on.iter().find(|named| Some(named.name.as_str()) == name);
                places.extend(written.map(|named| ((begin(number), end(earlier)), named.span)));
            }
        }
        let mut told = HashSet::new();
        for circle in cycles::find(&waits_for) {
            let shown = self.shown_circle(&circle, identities);
            let next = circle.iter().skip(1).chain(circle.first());
            let place = circle.iter().zip(next).find_map(|(later, earlier)| places.get(&(*later, *earlier)));
            if let Some(span) = place.copied().filter(|_| told.insert(shown.clone())) {
                let message = format!("dependencies go in a circle: {}", shown.join(" -> "));
                notes.report(|| {
                    Diagnostic::new(Code::Cycle, span, message)
                        .help("each waits for the next; remove one of the references")
                });
            }
        }
    }

    /// The ids along a circle, from the smallest on and back to it. A configcrate that is passed from begin to end is said once.
    fn shown_circle(&self, circle: &[usize], identities: &[Identity]) -> Vec<String> {
        let (resources, crates) = (self.stage.resources.len(), self.stage.crates.len().max(1));
        let passed = |number: usize| {
            let owner = self.stage.resources.get(number).map(|resource| resource.owner);
            owner.is_some_and(|owner| {
                circle.contains(&(resources + owner)) && circle.contains(&(resources + crates + owner))
            })
        };
        let mut shown: Vec<String> = Vec::new();
        for node in circle.iter().filter(|node| !passed(**node)) {
            let text = match (self.stage.resources.get(*node), identities.get(*node)) {
                (Some(resource), Some(identity)) => self.stage.id(resource, identity.shown()),
                _ => {
                    let number = (node - resources) % crates;
                    let name = self.stage.crates.get(number).map_or("", |one| one.name.as_str());
                    format!("configcrate:{name}")
                }
            };
            if shown.last() != Some(&text) {
                shown.push(text);
            }
        }
        while shown.len() > 1 && shown.first() == shown.last() {
            shown.pop();
        }
        let smallest =
            shown.iter().enumerate().min_by(|one, other| one.1.cmp(other.1)).map_or(0, |(at, _)| at);
        shown.rotate_left(smallest);
        shown.extend(shown.first().cloned());
        shown
    }
}

/// The configcrates that must have succeeded before this one, by their numbers.
pub(crate) fn configcrates_before(stage: &Stage<'_>, one: &crate::ground::Crate<'_>) -> Vec<usize> {
    let mut all: Vec<usize> =
        one.model.depends_on.iter().flat_map(|named| stage.crates_named(&named.name)).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}
