//! The names that expressions see: `vars`, `traits`, `envoy`, `item`. Variables are rendered when they are first used.

use crate::engine::Engine;
use crate::error::{Fault, FaultKind};
use crate::session;
use crate::slot::holds_secret;
use crate::value::from_data;
use minijinja::Value;
use minijinja::value::{Enumerator, Object};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use vigo_base::nearest;
use vigo_wire::node::{Entry, Node};

/// Who the envoy is, as the server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvoyFacts {
    /// Its name.
    pub name: String,
    /// Its id; empty without a server.
    pub id: String,
    /// Its environment; empty when it has none.
    pub environment: String,
}

type Variables = Arc<HashMap<String, Node>>;

/// What the names mean for one configcrate, or one stamped resource. Cheap to clone; clones share what was rendered.
#[derive(Clone)]
pub struct Scope(Arc<Inner>);

struct Inner {
    /// Highest first.
    layers: Vec<Variables>,
    traits: Option<Value>,
    envoy: Value,
    item: Option<Node>,
    seed: Option<[u8; 32]>,
    rendered: Mutex<HashMap<String, (Value, bool)>>,
}

impl fmt::Debug for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Scope").field("variables", &self.names()).finish_non_exhaustive()
    }
}

fn collect(entries: &[Entry]) -> Variables {
    let pair = |entry: &Entry| (entry.name.clone(), entry.value.clone().unwrap_or_default());
    Arc::new(entries.iter().map(pair).collect())
}

impl Scope {
    /// The scope of an envoy. `traits` is `None` at publish, where nobody knows them.
    #[must_use]
    pub fn new(variables: &[Entry], traits: Option<&Node>, envoy: &EnvoyFacts) -> Self {
        let facts = [("name", &envoy.name), ("id", &envoy.id), ("environment", &envoy.environment)];
        Self(Arc::new(Inner {
            layers: vec![collect(variables)],
            traits: traits.map(from_data),
            envoy: Value::from_pairs(facts.map(|(name, value)| (name, Value::from(value.as_str())))),
            item: None,
            seed: None,
            rendered: Mutex::default(),
        }))
    }

    /// The scope inside a configcrate: its own variables stand below all others.
    #[must_use]
    pub fn configcrate(&self, variables: &[Entry]) -> Self {
        let mut layers = self.0.layers.clone();
        layers.push(collect(variables));
        self.derive(layers, self.0.item.clone())
    }

    /// The scope of what `foreach` stamped with `item`.
    #[must_use]
    pub fn with_item(&self, item: Option<&Node>) -> Self {
        match item {
            None => self.clone(),
            Some(item) => self.derive(self.0.layers.clone(), Some(item.clone())),
        }
    }

    fn derive(&self, layers: Vec<Variables>, item: Option<Node>) -> Self {
        let (traits, envoy, seed) = (self.0.traits.clone(), self.0.envoy.clone(), self.0.seed);
        Self(Arc::new(Inner { layers, traits, envoy, item, seed, rendered: Mutex::default() }))
    }

    /// With the seed of the node, from which `sha512_crypt` and `bcrypt` derive the salts for ordinary values. Without one those two refuse.
    #[must_use]
    pub fn with_seed(&self, seed: [u8; 32]) -> Self {
        let inner = &self.0;
        let (layers, traits, envoy, item) =
            (inner.layers.clone(), inner.traits.clone(), inner.envoy.clone(), inner.item.clone());
        Self(Arc::new(Inner { layers, traits, envoy, item, seed: Some(seed), rendered: Mutex::default() }))
    }

    /// The names of all variables in sight, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.0.layers.iter().flat_map(|layer| layer.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn variable(&self, name: &str) -> Option<&Node> {
        self.0.layers.iter().find_map(|layer| layer.get(name))
    }

    /// What was probably meant by a dotted path that is not defined.
    pub(crate) fn suggest(&self, path: &str) -> Option<String> {
        let steps: Vec<&str> = path.split('.').collect();
        let (root, rest) = steps.split_first()?;
        match *root {
            "vars" => {
                let name = rest.first()?;
                if let Some(near) = nearest(name, self.names()) {
                    return Some(format!("vars.{near}"));
                }
                None
            }
            "traits" => suggest_step("traits", self.0.traits.as_ref()?, rest),
            "envoy" => suggest_step("envoy", &self.0.envoy, rest),
            "item" => None,
            other if self.variable(other).is_some() => Some(format!("vars.{other}")),
            other => nearest(other, ["vars", "traits", "envoy", "item", "secret"]).map(str::to_owned),
        }
    }
}

fn suggest_step(known: &str, value: &Value, rest: &[&str]) -> Option<String> {
    let (step, rest) = rest.split_first()?;
    match value.get_attr(step).ok().filter(|inner| !inner.is_undefined()) {
        Some(inner) => suggest_step(&format!("{known}.{step}"), &inner, rest),
        None => {
            let keys: Vec<Value> = value.try_iter().ok()?.collect();
            let near = nearest(step, keys.iter().filter_map(Value::as_str))?;
            Some(format!("{known}.{near}"))
        }
    }
}

/// Under this name filters find the seed; no expression can write it.
pub const SEED: &str = "node seed";

/// The engine's view of a scope.
#[derive(Clone)]
pub struct Root {
    pub engine: Arc<Engine>,
    pub scope: Scope,
    /// Names that exist in conditions only.
    pub answers: Option<Arc<crate::condition::Answers>>,
}

impl fmt::Debug for Root {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("names")
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let inner = &self.scope.0;
        match key {
            "vars" => Some(Value::from_object(Vars(Self::clone(self)))),
            "traits" => Some(inner.traits.clone().unwrap_or_else(|| Value::from_object(NoTraits))),
            "envoy" => Some(inner.envoy.clone()),
            "item" => inner.item.as_ref().map(|item| self.lazy("item", item)),
            SEED => inner.seed.map(|seed| Value::from_bytes(seed.to_vec())),
            "changed" => self.answers.as_ref().map(|answers| answers.changed()),
            _ => None,
        }
    }
}

impl Root {
    /// Renders a variable, or takes what was rendered before. A failure becomes a value that fails whoever uses it.
    fn lazy(&self, name: &str, node: &Node) -> Value {
        let rendered = |scope: &Scope| {
            scope.0.rendered.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
        };
        if let Some((value, secret)) = rendered(&self.scope) {
            if secret {
                session::taint();
            }
            return value;
        }
        if session::nesting() >= 32 {
            return Value::from(minijinja::Error::from(Fault::new(
                FaultKind::Limit,
                "variables refer to each other more than 32 deep",
            )));
        }
        if let Err(circle) = session::begin(name) {
            return Value::from(minijinja::Error::from(Fault::new(FaultKind::Cycle, circle.join(" -> "))));
        }
        let result =
            self.engine.evaluate(node, &Self { answers: None, ..self.clone() }, &format!("vars.{name}"));
        session::end();
        match result {
            Err(error) => {
                let detail = error.to_string();
                Value::from(
                    minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, detail).with_source(error),
                )
            }
            Ok(value) => {
                let entry = (value.clone(), holds_secret(&value));
                self.scope
                    .0
                    .rendered
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(name.to_owned(), entry);
                value
            }
        }
    }
}

/// `vars`.
#[derive(Debug)]
struct Vars(Root);

impl Object for Vars {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let node = self.0.scope.variable(key)?;
        Some(self.0.lazy(key, node))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.scope.names().into_iter().map(Value::from).collect())
    }
}

/// `traits` where nobody knows them.
#[derive(Debug)]
struct NoTraits;

impl Object for NoTraits {
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from(minijinja::Error::from(Fault::new(
            FaultKind::NeedsTraits,
            "traits are not known here",
        ))))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let unknown = Value::from(minijinja::Error::from(Fault::new(
            FaultKind::NeedsTraits,
            "traits are not known here",
        )));
        Enumerator::Values(vec![unknown])
    }
}
