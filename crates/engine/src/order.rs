//! The order in which resources run: as written, moved later only as far as they must be.
//!
//! The graph has a node per resource and two per configcrate (its start and its end), so "everything in that configcrate first" costs an edge per resource and not one per pair. All steps are linear but for a heap.

use crate::{EngineError, Identity, Provided};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use vigo_base::AbsolutePath;
use vigo_wire::bundle::Bundle;

/// The order in which resources run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Indices into the bundle's resources; those that are the same as another are left out.
    pub sequence: Vec<u32>,
    /// For each resource, the one that it silently needs: folder of its path, owner, group.
    pub implied: Vec<Vec<u32>>,
    /// What had to be given up.
    pub warnings: Vec<String>,
}

/// Orders the resources of a bundle. `identities` has one entry per resource.
///
/// What the policy says always holds; a circle of that is an error. What is only understood (a parent folder, an owner) is dropped with a warning when it closes a circle.
pub fn order(bundle: &Bundle, identities: &[Identity]) -> Result<Order, EngineError> {
    let mut graph = Graph::of(bundle, identities);
    let mut warnings = Vec::new();
    let mut nodes = graph.sorted();
    if nodes.len() < graph.nodes {
        graph.drop_implied(&nodes, identities, &mut warnings);
        nodes = graph.sorted();
    }
    if nodes.len() < graph.nodes {
        return Err(EngineError::Cycle(graph.circle(&nodes, bundle, identities)));
    }
    let resources = bundle.resources.len();
    let is_own =
        |node: &u32| identities.get(*node as usize).is_some_and(|identity| identity.same_as.is_none());
    let sequence = nodes.into_iter().filter(|node| (*node as usize) < resources).filter(is_own).collect();
    let mut implied = vec![Vec::new(); resources];
    for edge in graph.edges.iter().filter(|edge| edge.implied) {
        if let Some(needs) = implied.get_mut(edge.to as usize) {
            needs.push(edge.from);
        }
    }
    Ok(Order { sequence, implied, warnings })
}

#[derive(Clone, Copy)]
struct Edge {
    from: u32,
    to: u32,
    implied: bool,
}

struct Graph {
    resources: usize,
    nodes: usize,
    edges: Vec<Edge>,
}

impl Graph {
    fn of(bundle: &Bundle, identities: &[Identity]) -> Self {
        let resources = bundle.resources.len();
        let mut graph = Self {
            resources,
            nodes: resources + 2 * bundle.configcrates.len(),
            edges: Vec::with_capacity(resources * 4),
        };
        for (index, configcrate) in bundle.configcrates.iter().enumerate() {
            // One without resources still stands between those before and after it.
            graph.edge(graph.start_of(number(index)), graph.end_of(number(index)));
            for required in &configcrate.requires {
                graph.edge(graph.end_of(*required), graph.start_of(number(index)));
            }
        }
        for (index, resource) in bundle.resources.iter().enumerate() {
            let own = number(index);
            // One that is the same as another runs as that one and brings along what itself waits for, but not the place of its configcrate.
            let twin = identities.get(index).and_then(|identity| identity.same_as);
            let node = twin.unwrap_or(own);
            graph.edge(node, graph.end_of(resource.configcrate));
            let same = |other: &u32| {
                identities.get(*other as usize).and_then(|identity| identity.same_as).unwrap_or(*other)
            };
            for required in resource.requires.iter().chain(&resource.notified_by).map(same) {
                if required != node {
                    graph.edge(required, node);
                }
            }
            if twin.is_none() {
                graph.edge(graph.start_of(resource.configcrate), node);
                for required in &resource.requires_configcrates {
                    graph.edge(graph.end_of(*required), node);
                }
            }
        }
        graph.imply(identities);
        graph
    }

    fn start_of(&self, configcrate: u32) -> u32 {
        number(self.resources) + 2 * configcrate
    }

    fn end_of(&self, configcrate: u32) -> u32 {
        self.start_of(configcrate) + 1
    }

    fn edge(&mut self, from: u32, to: u32) {
        self.edges.push(Edge { from, to, implied: false });
    }

    /// Adds what is understood without being written.
    fn imply(&mut self, identities: &[Identity]) {
        let mut paths: HashMap<&str, u32> = HashMap::new();
        let mut names: HashMap<&Provided, u32> = HashMap::new();
        for (index, identity) in
            identities.iter().enumerate().filter(|(_, identity)| identity.same_as.is_none())
        {
            match &identity.provides {
                Some(Provided::Path(path)) => drop(paths.entry(path.as_str()).or_insert(number(index))),
                Some(provided) => drop(names.entry(provided).or_insert(number(index))),
                None => {}
            }
        }
        for (index, identity) in
            identities.iter().enumerate().filter(|(_, identity)| identity.same_as.is_none())
        {
            let to = number(index);
            let path = identity.path.as_ref();
            // A part of a file comes after the one that makes the file; that one after its folder.
            let whole = path
                .filter(|_| identity.provides.is_none())
                .and_then(|path| paths.get(path.as_str()).copied());
            let folder = whole.or_else(|| path.and_then(|path| nearest_parent(path, &paths)));
            let owner =
                identity.owner.as_ref().and_then(|name| names.get(&Provided::User(name.clone())).copied());
            let group =
                identity.group.as_ref().and_then(|name| names.get(&Provided::Group(name.clone())).copied());
            for from in [folder, owner, group].into_iter().flatten().filter(|from| *from != to) {
                self.edges.push(Edge { from, to, implied: true });
            }
        }
    }

    /// Nodes in order (Kahn), the smallest first among those that may go; nodes on a circle and behind it are left out.
    fn sorted(&self) -> Vec<u32> {
        let (starts, followers) = self.followers();
        let mut open = vec![0_u32; self.nodes];
        for edge in &self.edges {
            if let Some(count) = open.get_mut(edge.to as usize) {
                *count += 1;
            }
        }
        // Starts and ends of configcrates take no time, so they never keep anybody waiting.
        let key = |node: u32| {
            if (node as usize) < self.resources { Reverse((1, node)) } else { Reverse((0, node)) }
        };
        let mut ready: BinaryHeap<Reverse<(u8, u32)>> =
            (0..number(self.nodes)).filter(|node| open.get(*node as usize) == Some(&0)).map(key).collect();
        let mut sorted = Vec::with_capacity(self.nodes);
        while let Some(Reverse((_, node))) = ready.pop() {
            sorted.push(node);
            for follower in slice(&starts, &followers, node) {
                if let Some(count) = open.get_mut(*follower as usize) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(key(*follower));
                    }
                }
            }
        }
        sorted
    }

    /// For each node the stretch of its followers in one list.
    fn followers(&self) -> (Vec<usize>, Vec<u32>) {
        let mut starts = vec![0_usize; self.nodes + 1];
        for edge in &self.edges {
            if let Some(count) = starts.get_mut(edge.from as usize + 1) {
                *count += 1;
            }
        }
        let mut total = 0;
        for start in &mut starts {
            total += *start;
            *start = total;
        }
        let mut next = starts.clone();
        let mut followers = vec![0_u32; self.edges.len()];
        for edge in &self.edges {
            if let Some(place) = next.get_mut(edge.from as usize) {
                if let Some(follower) = followers.get_mut(*place) {
                    *follower = edge.to;
                }
                *place += 1;
            }
        }
        (starts, followers)
    }

    /// Drops the implied edges that lie on a circle: those between two nodes of one strongly connected component.
    fn drop_implied(&mut self, sorted: &[u32], identities: &[Identity], warnings: &mut Vec<String>) {
        let component = self.components(sorted);
        let id = |node: u32| identities.get(node as usize).map_or("", |identity| identity.id.as_str());
        self.edges.retain(|edge| {
            let (from, to) = (component.get(edge.from as usize), component.get(edge.to as usize));
            let drop = edge.implied && from.is_some() && from == to && from != Some(&0);
            if drop {
                warnings.push(format!(
                    "`{}` would wait for `{}`, which the policy puts after it: it does not wait",
                    id(edge.to),
                    id(edge.from)
                ));
            }
            !drop
        });
    }

    /// The strongly connected component of each node that is not sorted yet, from 1 (Tarjan, without recursion).
    fn components(&self, sorted: &[u32]) -> Vec<u32> {
        let (starts, followers) = self.followers();
        let mut search = Components {
            component: vec![0; self.nodes],
            found: vec![0; self.nodes],
            low: vec![0; self.nodes],
            waiting: Vec::new(),
            visits: 0,
            count: 0,
        };
        // Sorted nodes lie on no circle: as if each was found long ago in a component of its own.
        let mut done = vec![false; self.nodes];
        for node in sorted {
            if let Some(done) = done.get_mut(*node as usize) {
                *done = true;
            }
        }
        for root in 0..number(self.nodes) {
            if done.get(root as usize) == Some(&false) && search.found.get(root as usize) == Some(&0) {
                search.visit(root, &done, |node| slice(&starts, &followers, node));
            }
        }
        search.component
    }

    /// The ids along one circle.
    fn circle(&self, sorted: &[u32], bundle: &Bundle, identities: &[Identity]) -> Vec<String> {
        let mut left = vec![true; self.nodes];
        for node in sorted {
            if let Some(left) = left.get_mut(*node as usize) {
                *left = false;
            }
        }
        let is_left = |node: u32| left.get(node as usize) == Some(&true);
        // Every node that is left has another before it; going back long enough ends in a circle.
        let mut before: HashMap<u32, u32> = HashMap::new();
        for edge in self.edges.iter().filter(|edge| is_left(edge.from) && is_left(edge.to)) {
            before.insert(edge.to, edge.from);
        }
        let Some(mut node) = before.keys().copied().min() else { return Vec::new() };
        for _ in 0..self.nodes {
            node = before.get(&node).copied().unwrap_or(node);
        }
        let mut circle = vec![node];
        let mut next = before.get(&node).copied().unwrap_or(node);
        while next != node && circle.len() <= self.nodes {
            circle.push(next);
            next = before.get(&next).copied().unwrap_or(node);
        }
        circle.push(node);
        circle.reverse();
        let name = |node: &u32| self.name(*node, bundle, identities);
        let mut names: Vec<String> = circle.iter().map(name).collect();
        names.dedup();
        names
    }

    fn name(&self, node: u32, bundle: &Bundle, identities: &[Identity]) -> String {
        match identities.get(node as usize) {
            Some(identity) => identity.id.clone(),
            None => {
                let configcrate = (node as usize).saturating_sub(self.resources) / 2;
                let name =
                    bundle.configcrates.get(configcrate).map_or("", |configcrate| configcrate.name.as_str());
                format!("configcrate:{name}")
            }
        }
    }
}

struct Components {
    component: Vec<u32>,
    /// When a node was found, from 1; 0 is never.
    found: Vec<u32>,
    low: Vec<u32>,
    waiting: Vec<u32>,
    visits: u32,
    count: u32,
}

impl Components {
    fn visit<'a>(&mut self, root: u32, done: &[bool], followers: impl Fn(u32) -> &'a [u32]) {
        let mut path: Vec<(u32, usize)> = Vec::new();
        self.enter(root, &mut path);
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            if let Some(follower) = followers(node).get(*next).copied() {
                *next += 1;
                let at = follower as usize;
                if done.get(at) == Some(&true) {
                    continue;
                }
                match self.found.get(at).copied() {
                    Some(0) => self.enter(follower, &mut path),
                    Some(found) if self.component.get(at) == Some(&0) => self.lower(node, found),
                    _ => {}
                }
                continue;
            }
            path.pop();
            let low = self.low.get(node as usize).copied().unwrap_or_default();
            if self.found.get(node as usize) == Some(&low) {
                self.close(node);
            }
            if let Some((parent, _)) = path.last() {
                self.lower(*parent, low);
            }
        }
    }

    fn enter(&mut self, node: u32, path: &mut Vec<(u32, usize)>) {
        self.visits += 1;
        if let (Some(found), Some(low)) = (self.found.get_mut(node as usize), self.low.get_mut(node as usize))
        {
            *found = self.visits;
            *low = self.visits;
        }
        self.waiting.push(node);
        path.push((node, 0));
    }

    fn lower(&mut self, node: u32, to: u32) {
        if let Some(low) = self.low.get_mut(node as usize) {
            *low = to.min(*low);
        }
    }

    fn close(&mut self, root: u32) {
        self.count += 1;
        while let Some(node) = self.waiting.pop() {
            if let Some(component) = self.component.get_mut(node as usize) {
                *component = self.count;
            }
            if node == root {
                break;
            }
        }
    }
}

fn slice<'a>(starts: &[usize], followers: &'a [u32], node: u32) -> &'a [u32] {
    let node = node as usize;
    match (starts.get(node), starts.get(node + 1)) {
        (Some(from), Some(to)) => followers.get(*from..*to).unwrap_or_default(),
        _ => &[],
    }
}

fn nearest_parent(path: &AbsolutePath, paths: &HashMap<&str, u32>) -> Option<u32> {
    let mut rest = path.as_str();
    while let Some((parent, _)) = rest.rsplit_once('/') {
        if let Some(index) = paths.get(if parent.is_empty() { "/" } else { parent }) {
            return Some(*index);
        }
        rest = parent;
    }
    None
}

/// Indices fit: a bundle has at most [`vigo_base::limits::RESOURCES`] resources.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
