//! What a publish would change: which envoys, which of their resources, and which secrets they could read that they cannot read now.

use crate::published::{Block, Published};
use crate::secret_policy::{self, Facts};
use crate::state::Server;
use crate::{ServerError, entitle};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use vigo_base::{Digest, SecretPath};
use vigo_store::{Envoy, EnvoyState, PAGE_MAX, Page};
use vigo_wire::bundle::{Bundle, Configcrate, Resource};
use vigo_wire::node::{Entry, Kind, Node};

/// What changes, for whom.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// How many envoys are given something else.
    pub envoys: usize,
    /// Envoys that change alike, with what changes.
    pub changes: Vec<Change>,
    /// Who could read which secret that it cannot read now: it comes to stand in the bundle, and the policies of secrets allow it.
    pub new_readers: Vec<(String, SecretPath)>,
    /// Secrets that come to stand in the bundle of some envoy, whatever the policies say.
    pub new_references: BTreeSet<SecretPath>,
}

/// What changes alike for some envoys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Their names.
    pub envoys: Vec<String>,
    /// No match block fitted them before.
    pub unmatched_before: bool,
    /// No match block fits them any more.
    pub unmatched_after: bool,
    /// Ids of new resources.
    pub added: Vec<String>,
    /// Ids of resources that are no longer looked after.
    pub removed: Vec<String>,
    /// Ids of resources that say something else.
    pub changed: Vec<String>,
}

/// Compares two published versions for every envoy that is not revoked. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub fn between(server: &Server, before: &Published, after: &Published) -> Result<Plan, ServerError> {
    let mut plan = Plan::default();
    let policies = server.store.secret_policies()?;
    let mut groups: BTreeMap<(Digest, Digest, String), Change> = BTreeMap::new();
    each_envoy(server, |envoy| {
        let identity = &envoy.identity;
        let wants = before.wants_traits(identity) || after.wants_traits(identity);
        let traits = if wants { server.traits(&identity.id)? } else { None };
        let (old, new) = (before.choose(identity, traits.as_ref()), after.choose(identity, traits.as_ref()));
        if old.block.digest == new.block.digest && old.block.environment == new.block.environment {
            return Ok(());
        }
        plan.envoys += 1;
        let reads = |block: &Block| entitle::paths(&block.bundle, identity, &block.environment);
        let newly = &reads(new.block) - &reads(old.block);
        let environment = new.block.environment.as_str();
        let facts = Facts { name: identity.name.as_str(), environment, labels: &identity.labels };
        let readable = newly.iter().filter(|path| secret_policy::allows(&policies, path, &facts).is_ok());
        plan.new_readers.extend(readable.map(|path| (identity.name.as_str().to_owned(), path.clone())));
        plan.new_references.extend(newly);
        let key = (old.block.digest, new.block.digest, new.block.environment.clone());
        let change = groups.entry(key).or_insert_with(|| {
            let mut change = compare(old.block, new.block);
            (change.unmatched_before, change.unmatched_after) = (old.unmatched, new.unmatched);
            change
        });
        change.envoys.push(identity.name.as_str().into());
        Ok(())
    })?;
    // A line that moved in its file makes another bundle, and changes nothing.
    plan.changes = groups.into_values().filter(Change::is_one).collect();
    Ok(plan)
}

impl Change {
    fn is_one(&self) -> bool {
        let lists = [&self.added, &self.removed, &self.changed];
        self.unmatched_before != self.unmatched_after || lists.iter().any(|list| !list.is_empty())
    }
}

/// Every envoy that is not revoked. Blocks.
///
/// # Errors
/// When the store cannot be read, or `see` fails.
pub fn each_envoy(
    server: &Server,
    mut see: impl FnMut(&Envoy) -> Result<(), ServerError>,
) -> Result<(), ServerError> {
    let mut cursor: Option<String> = None;
    loop {
        let page = server.store.envoys("", Page { cursor: cursor.as_deref(), limit: PAGE_MAX })?;
        page.items.iter().filter(|envoy| envoy.state != EnvoyState::Revoked).try_for_each(&mut see)?;
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

/// Compares what two blocks say, resource by resource. Where something is written and where it stands in the list is no difference.
fn compare(old: &Block, new: &Block) -> Change {
    let print = |block: &Block| -> BTreeMap<String, Vec<u8>> {
        let one = |(id, resource): (&String, &Resource)| (id.clone(), fingerprint(block, resource));
        block.ids.iter().zip(&block.bundle.resources).map(one).collect()
    };
    let (before, after) = (print(old), print(new));
    let ids = |map: &BTreeMap<String, Vec<u8>>| map.keys().cloned().collect::<BTreeSet<_>>();
    let (old_ids, new_ids) = (ids(&before), ids(&after));
    let differs = |id: &&String| before.get(*id) != after.get(*id);
    Change {
        added: (&new_ids - &old_ids).into_iter().collect(),
        removed: (&old_ids - &new_ids).into_iter().collect(),
        changed: (&old_ids & &new_ids).iter().filter(differs).cloned().collect(),
        ..Change::default()
    }
}

/// What a resource says, with what it takes from templates, variables and its configcrate, and what it waits for.
fn fingerprint(block: &Block, resource: &Resource) -> Vec<u8> {
    let bundle = &block.bundle;
    let mut plain = Resource { origin: String::new(), configcrate: 0, ..resource.clone() };
    let waits_for: Vec<u32> = plain.requires.drain(..).chain(plain.notified_by.drain(..)).collect();
    plain.requires_configcrates.clear();
    let mut bytes = plain.encode_to_vec();
    let mut texts = vec![String::from_utf8_lossy(&bytes).into_owned()];
    texts.extend(reached(bundle, resource));
    let own = configcrate(bundle, resource);
    texts.extend(own.map(|own| own.when.clone()));
    bytes.push(u8::from(bundle.observe));
    for at in waits_for {
        let id = usize::try_from(at).ok().and_then(|at| block.ids.get(at));
        bytes.extend_from_slice(id.map_or(&[], |id| id.as_bytes()));
    }
    let mut variables: Vec<&Entry> =
        own.iter().flat_map(|own| &own.variables).chain(&bundle.variables).collect();
    let mut at = 0;
    while let Some(text) = texts.get(at).cloned() {
        at += 1;
        bytes.extend_from_slice(text.as_bytes());
        if text.contains("envoy.environment") {
            bytes.extend_from_slice(block.environment.as_bytes());
        }
        let (used, rest): (Vec<_>, Vec<_>) =
            variables.into_iter().partition(|one| mentions(&text, &one.name));
        texts.extend(used.iter().map(|one| String::from_utf8_lossy(&one.encode_to_vec()).into_owned()));
        variables = rest;
    }
    bytes
}

fn configcrate<'a>(bundle: &'a Bundle, resource: &Resource) -> Option<&'a Configcrate> {
    bundle.configcrates.get(usize::try_from(resource.configcrate).ok()?)
}

/// The texts of the templates that a resource names, and of those that they include.
fn reached(bundle: &Bundle, resource: &Resource) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut wanted: Vec<&str> =
        resource.attributes.iter().filter_map(|entry| source(entry.value.as_ref()?)).collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        let Some(template) = bundle.templates.iter().find(|one| one.name == name) else { continue };
        if seen.insert(name) {
            let included = bundle.templates.iter().filter(|one| template.source.contains(&one.name));
            wanted.extend(included.map(|one| one.name.as_str()));
            texts.push(template.source.clone());
        }
    }
    texts
}

fn source(node: &Node) -> Option<&str> {
    match &node.kind {
        Some(Kind::Source(name)) => Some(name),
        _ => None,
    }
}

/// True if a text may use that variable: by its name, or by a name that is computed.
fn mentions(text: &str, name: &str) -> bool {
    text.contains("vars[") || text.contains(&format!("vars.{name}"))
}
