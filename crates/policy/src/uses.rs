//! What a text reaches: variables, and through them other variables, templates and secrets.

use crate::model::{Configcrate, Leaf, NameUse, Policy, SecretCall, Uses, Value, Variable, Written};
use std::collections::{HashMap, HashSet};

/// How deep variables may refer to each other; the renderer goes no further.
const DEPTH: usize = 32;

/// What names mean in one place of one envoy's policy.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub policy: &'a Policy,
    /// Variables of the match block and what is below it; `None` for an argument, which refers to nothing.
    pub shared: &'a HashMap<&'a str, Option<&'a Variable>>,
    /// Whose own variables are seen, below those.
    pub configcrate: Option<&'a Configcrate>,
    /// What `item` is.
    pub item: Option<&'a Value>,
}

/// What was reached.
#[derive(Default)]
pub(crate) struct Reached<'a> {
    /// It depends on traits, or on which envoy it is: publish cannot render it.
    pub varies: bool,
    pub traits: Vec<(&'a NameUse, Option<Written>)>,
    pub secrets: Vec<(&'a SecretCall, Option<Written>)>,
    /// Names of variables, whatever layer they came from.
    pub variables: Vec<&'a str>,
    /// `vars` as a whole.
    pub all_variables: bool,
    pub templates: Vec<&'a str>,
    /// Names that are not defined here.
    pub undefined: Vec<(&'a NameUse, Option<Written>)>,
}

/// Texts that were followed already: mostly one or two, so a list comes first.
#[derive(Default)]
struct Seen {
    few: Vec<*const Uses>,
    many: HashSet<*const Uses>,
}

impl Seen {
    /// True for the first time.
    fn insert(&mut self, uses: &Uses) -> bool {
        let uses = std::ptr::from_ref(uses);
        if self.few.contains(&uses) {
            return false;
        }
        if self.few.len() < 16 {
            self.few.push(uses);
            return true;
        }
        self.many.insert(uses)
    }
}

impl<'a> Sight<'a> {
    fn own(&self, name: &str) -> Option<&'a Variable> {
        self.configcrate?.variables.iter().find(|variable| variable.name.name == name)
    }

    /// Names of all variables in sight.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        let own = self.configcrate.map(|configcrate| configcrate.variables.as_slice()).unwrap_or_default();
        self.shared.keys().copied().chain(own.iter().map(|variable| variable.name.name.as_str()))
    }

    /// The value of that variable, if it is one of the policy's.
    pub fn variable(&self, name: &str) -> Option<&'a Variable> {
        match self.shared.get(name) {
            Some(shared) => *shared,
            None => self.own(name),
        }
    }

    fn defined(&self, name: &str) -> bool {
        self.shared.contains_key(name) || self.own(name).is_some()
    }

    /// Everything that the leaves of a value reach.
    pub fn value(&self, value: &'a Value, reached: &mut Reached<'a>) {
        self.walk(value.leaves.iter().map(|leaf| &leaf.uses).collect(), reached);
    }

    /// Everything that a text reaches.
    pub fn uses(&self, uses: &'a Uses, reached: &mut Reached<'a>) {
        self.walk(vec![uses], reached);
    }

    fn walk(&self, mut left: Vec<&'a Uses>, reached: &mut Reached<'a>) {
        let mut seen = Seen::default();
        while let Some(uses) = left.pop() {
            if !seen.insert(uses) {
                continue;
            }
            reached.secrets.extend(uses.secrets.iter().map(|call| (call, uses.written)));
            for named in &uses.templates {
                if let Some((name, template)) = self.policy.templates.get_key_value(&named.name)
                    && !reached.templates.contains(&name.as_str())
                {
                    reached.templates.push(name);
                    left.push(&template.uses);
                }
            }
            for name in &uses.names {
                self.name(name, uses.written, reached, &mut left);
            }
        }
    }

    fn name(
        &self,
        name: &'a NameUse,
        written: Option<Written>,
        reached: &mut Reached<'a>,
        left: &mut Vec<&'a Uses>,
    ) {
        let (first, rest) = match name.steps.split_first() {
            Some((first, rest)) => (first.as_str(), rest),
            None => return,
        };
        match (first, rest) {
            ("traits", _) => {
                reached.varies = true;
                reached.traits.push((name, written));
            }
            // The match block says it: the same for all its envoys.
            ("envoy", [field, ..]) if field == "environment" => {}
            ("item", rest) => match self.item {
                Some(item) => left.extend(below(&item.leaves, rest)),
                None if !name.optional => reached.undefined.push((name, written)),
                None => {}
            },
            ("vars", []) => {
                reached.all_variables = true;
                for variable in self.names().filter_map(|name| self.variable(name)) {
                    left.extend(below(&variable.value.leaves, &[]));
                }
            }
            ("vars", [variable, rest @ ..]) => {
                reached.variables.push(variable);
                match self.variable(variable) {
                    Some(variable) => left.extend(below(&variable.value.leaves, rest)),
                    None if !name.optional && !self.defined(variable) => {
                        reached.undefined.push((name, written));
                    }
                    None => {}
                }
            }
            _ => reached.varies = true,
        }
    }

    /// Variables that refer to each other in a circle, or deeper than can be rendered, from `start` on.
    pub fn circle(&self, start: &'a Variable, done: &mut HashSet<&'a str>) -> Option<Vec<&'a str>> {
        let mut path = Vec::new();
        self.follow(start, &mut path, done).then_some(path)
    }

    fn follow(&self, variable: &'a Variable, path: &mut Vec<&'a str>, done: &mut HashSet<&'a str>) -> bool {
        let name = variable.name.name.as_str();
        if path.contains(&name) || path.len() > DEPTH {
            path.push(name);
            return true;
        }
        if done.contains(name) {
            return false;
        }
        path.push(name);
        for used in variable.value.leaves.iter().flat_map(|leaf| &leaf.uses.names) {
            if let [root, next, ..] = used.steps.as_slice()
                && root == "vars"
                && let Some(next) = self.variable(next)
                && self.follow(next, path, done)
            {
                return true;
            }
        }
        path.pop();
        done.insert(name);
        false
    }
}

/// The texts at or below that path, and those in which it leads on.
fn below<'a>(leaves: &'a [Leaf], path: &'a [String]) -> impl Iterator<Item = &'a Uses> {
    leaves
        .iter()
        .filter(move |leaf| leaf.path.iter().zip(path).all(|(step, wanted)| step == wanted))
        .map(|leaf| &leaf.uses)
}
