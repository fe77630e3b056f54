//! `traits.users`: names of the users in `/etc/passwd` (passwd(5)). Names only, and no name service: this process asks no network.

use crate::Class::Periodic;
use crate::{Given, Known, Source, TraitError, known, texts};
use vigo_wire::node::Node;

pub const KNOWN: [Known; 2] = [
    known("names", Periodic, "names of all users"),
    known("regular", Periodic, "names of those with a uid from 1000 to 59999"),
];

/// Names that are kept of each kind.
const KEPT: usize = 5_000;

pub fn collect(source: &Source, _: &Given) -> Result<Vec<Node>, TraitError> {
    let table = source.require("/etc/passwd")?;
    let users: Vec<(&str, u32)> = table.lines().filter_map(user).take(KEPT).collect();
    let regular = users.iter().filter(|(_, uid)| (1000..60_000).contains(uid)).map(|(name, _)| *name);
    Ok(vec![texts(users.iter().map(|(name, _)| *name)), texts(regular)])
}

fn user(line: &str) -> Option<(&str, u32)> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with(['#', '+', '-']))?;
    let uid = fields.nth(1)?.parse().ok()?;
    Some((name, uid))
}
