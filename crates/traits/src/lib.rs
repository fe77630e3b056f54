//! Traits: what an agent finds out about its machine.
//!
//! One file per collector and one list ([`COLLECTORS`]). A collector reads files of `/proc`, `/sys` and `/etc` and spawns nothing. Every path of [`known_paths`] exists after its collector succeeded, null where it does not apply; a collector that fails leaves its whole group out and is named in [`Collected::failures`], so that what uses it is blocked and says why.
#![forbid(unsafe_code)]

mod hardware;
mod memory;
mod network;
mod os;
mod protection;
mod source;
mod swap;
mod time;
mod users;

#[cfg(test)]
mod tests;

pub use source::{Source, TraitError};
pub use swap::{SwapDevice, SwapPosture, swap_posture};

use vigo_base::ProtectionLevel;
use vigo_wire::node::{Kind, Node};

/// How often a trait changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Hardly ever: with an upgrade or other hardware.
    Stable,
    /// Now and then, by what people do on the machine.
    Periodic,
    /// All the time; it is no reason to send the traits again.
    Volatile,
}

/// A trait that always exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name in its group.
    pub name: &'static str,
    /// How often it changes.
    pub class: Class,
    /// What it is, for the manual.
    pub about: &'static str,
}

/// What a collector is given besides the machine's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// How well the agent's memory is protected.
    pub level: ProtectionLevel,
    /// Why it is no better.
    pub reasons: Vec<String>,
}

/// One collector: a group of traits and how to find them out.
#[derive(Clone, Copy)]
pub struct Collector {
    /// The group's name: `traits.<group>.<name>`.
    pub group: &'static str,
    /// Its traits, in the order in which they are given.
    pub known: &'static [Known],
    collect: fn(&Source, &Given) -> Result<Vec<Node>, TraitError>,
}

/// Every collector, in the order of the traits.
pub const COLLECTORS: [Collector; 8] = [
    Collector { group: "os", known: &os::KNOWN, collect: os::collect },
    Collector { group: "hardware", known: &hardware::KNOWN, collect: hardware::collect },
    Collector { group: "network", known: &network::KNOWN, collect: network::collect },
    Collector { group: "memory", known: &memory::KNOWN, collect: memory::collect },
    Collector { group: "swap", known: &swap::KNOWN, collect: swap::collect },
    Collector { group: "protection", known: &protection::KNOWN, collect: protection::collect },
    Collector { group: "time", known: &time::KNOWN, collect: time::collect },
    Collector { group: "users", known: &users::KNOWN, collect: users::collect },
];

/// What was found out.
#[derive(Clone, Debug, PartialEq)]
pub struct Collected {
    /// A map of groups, each a map of traits.
    pub traits: Node,
    /// Collectors that failed, and why. Their groups are missing above.
    pub failures: Vec<(&'static str, String)>,
}

/// Finds out everything.
#[must_use]
pub fn collect(source: &Source, given: &Given) -> Collected {
    let mut groups = Vec::with_capacity(COLLECTORS.len());
    let mut failures = Vec::new();
    for collector in COLLECTORS {
        match (collector.collect)(&source.with_fresh_budget(), given) {
            Ok(values) => {
                let names = collector.known.iter().map(|known| known.name.to_owned());
                groups.push((collector.group.to_owned(), Node::map(names.zip(values))));
            }
            Err(error) => failures.push((collector.group, vigo_base::chain(&error))),
        }
    }
    Collected { traits: Node::map(groups), failures }
}

/// Every built-in trait as `group.name` with its class; what is below one of them (an interface, say) is not listed.
pub fn known_paths() -> impl Iterator<Item = (String, Class)> {
    COLLECTORS.into_iter().flat_map(|collector| {
        collector.known.iter().map(move |known| (format!("{}.{}", collector.group, known.name), known.class))
    })
}

/// The traits without those that change all the time: what decides whether they are sent again.
#[must_use]
pub fn without_volatile(traits: &Node) -> Node {
    let Some(Kind::Map(groups)) = &traits.kind else { return traits.clone() };
    let lasting = |group: &str, name: &str| {
        let collector = COLLECTORS.iter().find(|collector| collector.group == group);
        let known = collector.and_then(|collector| collector.known.iter().find(|known| known.name == name));
        known.is_none_or(|known| known.class != Class::Volatile)
    };
    Node::map(groups.entries.iter().map(|group| {
        let kept = match group.value.as_ref().and_then(|value| value.kind.as_ref()) {
            Some(Kind::Map(map)) => {
                let entries = map.entries.iter().filter(|entry| lasting(&group.name, &entry.name));
                Node::map(entries.map(|entry| (entry.name.clone(), entry.value.clone().unwrap_or_default())))
            }
            _ => group.value.clone().unwrap_or_default(),
        };
        (group.name.clone(), kept)
    }))
}

// --- how collectors write their values

fn null() -> Node {
    Node::default()
}

fn text(text: Option<impl Into<String>>) -> Node {
    text.map_or_else(null, Node::literal)
}

fn texts(texts: impl IntoIterator<Item = impl Into<String>>) -> Node {
    Node::list(texts.into_iter().map(Node::literal).collect())
}

fn whole(number: Option<u64>) -> Node {
    number.map_or_else(null, |number| Node::new(Kind::Integer(i64::try_from(number).unwrap_or(i64::MAX))))
}

const fn flag(value: bool) -> Node {
    Node::new(Kind::Boolean(value))
}

const fn known(name: &'static str, class: Class, about: &'static str) -> Known {
    Known { name, class, about }
}
