//! `owner` and `group`: from names to numbers, and what of it differs from what is there.

use vigo_base::AbsolutePath;
use vigo_resource::{AttributeInfo, Attributes, Entry, Failure, Host, Kind, Ownership};

pub(crate) const OWNER: AttributeInfo =
    AttributeInfo::new("owner", Kind::User, "Who owns it, by name or number.")
        .default("who runs Vigo at creation, then left alone");
pub(crate) const GROUP: AttributeInfo =
    AttributeInfo::new("group", Kind::Group, "Which group owns it, by name or number.")
        .default("the group of who runs Vigo at creation, then left alone");

/// Owner and group as they are written.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    owner: Option<String>,
    group: Option<String>,
}

impl Owners {
    /// Takes `owner` and `group`.
    pub(crate) fn take(attributes: &mut Attributes) -> Self {
        Self { owner: attributes.text("owner"), group: attributes.text("group") }
    }

    /// The numbers. A name that this machine does not have blocks.
    pub(crate) fn resolve(&self, host: &dyn Host) -> Result<Ownership, Failure> {
        let owner = match &self.owner {
            Some(name) => Some(user_number(host, name)?),
            None => None,
        };
        let group = match &self.group {
            Some(name) => Some(group_number(host, name)?),
            None => None,
        };
        Ok(Ownership { owner, group })
    }
}

/// What of `wanted` is not so yet.
pub(crate) fn difference(wanted: Ownership, entry: &Entry) -> Ownership {
    Ownership {
        owner: wanted.owner.filter(|owner| *owner != entry.owner),
        group: wanted.group.filter(|group| *group != entry.group),
    }
}

/// What is to be set on something that takes the place of `entry`: as written, else as it was.
pub(crate) fn kept(wanted: Ownership, entry: Option<&Entry>) -> Ownership {
    Ownership {
        owner: wanted.owner.or(entry.map(|entry| entry.owner)),
        group: wanted.group.or(entry.map(|entry| entry.group)),
    }
}

/// [`kept`] for what holds a secret: a file that a stranger put there says nothing about who may read it.
///
/// # Errors
/// When it belongs to somebody who is neither root nor us, and the policy names no owner.
pub(crate) fn kept_for_secret(
    host: &dyn Host,
    target: &AbsolutePath,
    wanted: Ownership,
    entry: &Entry,
) -> Result<Ownership, Failure> {
    let own = host.own();
    let is_ours = entry.owner == 0 || Some(entry.owner) == own.owner;
    match wanted.owner {
        _ if is_ours => Ok(kept(wanted, Some(entry))),
        Some(owner) if owner == entry.owner => Ok(kept(wanted, Some(entry))),
        Some(_) => Ok(Ownership { owner: wanted.owner, group: wanted.group.or(own.group) }),
        None => Err(Failure::failed(format!(
            "cannot put a secret into `{target}`: it belongs to the user {}, whom the policy does not name",
            entry.owner
        ))
        .help("write `owner:` (who may read the secret), or remove the file")),
    }
}

/// A line for each part that differs.
pub(crate) fn describe(difference: Ownership, entry: &Entry, lines: &mut Vec<String>) {
    if let Some(owner) = difference.owner {
        lines.push(format!("owner {} -> {owner}", entry.owner));
    }
    if let Some(group) = difference.group {
        lines.push(format!("group {} -> {group}", entry.group));
    }
}

/// The number of a group by name or number.
pub(crate) fn group_number(host: &dyn Host, name: &str) -> Result<u32, Failure> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match host.group(name)? {
        Some(group) => Ok(group.id),
        None => Err(Failure::blocked(format!("cannot find the group `{name}` on this machine"))
            .help("add a resource that makes it, or correct the name")),
    }
}

fn user_number(host: &dyn Host, name: &str) -> Result<u32, Failure> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match host.user(name)? {
        Some(user) => Ok(user.id),
        None => Err(missing_user(name)),
    }
}

/// The failure of a user that is not there.
pub(crate) fn missing_user(name: &str) -> Failure {
    Failure::blocked(format!("cannot find the user `{name}` on this machine"))
        .help("add a resource that makes it, or correct the name")
}
