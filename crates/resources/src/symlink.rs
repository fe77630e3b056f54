//! `symlink`: another name for a path, soft or hard.

use crate::ownership::{self, GROUP, OWNER, Owners};
use crate::place;
use std::time::Duration;
use vigo_base::AbsolutePath;
use vigo_resource::{
    Applied, AttributeInfo, AttributeProblem, Attributes, Change, Context, Entry, EntryKind, Example,
    Failure, Host, Kind, Link, Outcome, Ownership, Plan, Provides, Resource, TypeInfo,
};

static INFO: TypeInfo = TypeInfo {
    name: "symlink",
    doc: "A link: another name for a path.",
    attributes: &[
        AttributeInfo::new("target_path", Kind::Path, "The link.").identity(),
        AttributeInfo::new(
            "to",
            Kind::Text,
            "What it points to; absolute for a hard link. Needed unless the state is absent.",
        ),
        AttributeInfo::new(
            "link_type",
            Kind::Choice(&["soft", "hard"]),
            "A symbolic link, or another name of the same file.",
        )
        .default("soft"),
        AttributeInfo::new(
            "force",
            Kind::Boolean,
            "Replace or remove a file that stands there; never a directory.",
        )
        .default("false"),
        OWNER,
        GROUP,
    ],
    states: &["present", "absent"],
    later: &[],
    exclusive: &[],
    provides: Provides::Path("target_path"),
    timeout: Duration::from_secs(60),
    examples: &[Example {
        title: "A site that is switched on",
        policy: "type: symlink\ntarget_path: /etc/nginx/sites-enabled/shop\nto: /etc/nginx/sites-available/shop\n",
    }],
};

/// A link as the policy wants it.
#[derive(Debug)]
pub struct Symlink {
    path: AbsolutePath,
    /// `None` when the link is to be absent.
    link: Option<Link>,
    hard: bool,
    force: bool,
    owners: Owners,
}

/// What is to be done to a link.
#[derive(Debug)]
pub enum Steps {
    /// Remove it.
    Remove,
    /// Make it, also where a file or another link stands.
    Make(Link, Ownership),
    /// Set the link's own owner or group.
    Own(Ownership),
}

impl Resource for Symlink {
    type Steps = Steps;
    const INFO: &'static TypeInfo = &INFO;

    fn parse(mut attributes: Attributes) -> Result<Self, Vec<AttributeProblem>> {
        let path = attributes.path("target_path");
        let absent = attributes.state() == "absent";
        let hard = attributes.choice("link_type") == Some("hard");
        let written = attributes.has("to");
        let to = attributes.text("to");
        let force = attributes.boolean("force");
        let owners = Owners::take(&mut attributes);
        let link = match to {
            _ if absent => None,
            Some(to) if hard => match to.parse() {
                Ok(to) => Some(Link::Hard(to)),
                Err(error) => {
                    let error: vigo_base::PathError = error;
                    attributes.problem(AttributeProblem::new("to", error.to_string()));
                    None
                }
            },
            Some(to) => Some(Link::Soft(to)),
            None => {
                if !written {
                    attributes.problem(
                        AttributeProblem::new("to", "a link points somewhere")
                            .help("write `to`, or `state: absent`"),
                    );
                }
                None
            }
        };
        attributes.finish(path.map(|path| Self { path, link, hard, force, owners }))
    }

    fn plan(&self, host: &dyn Host, _context: &Context<'_>) -> Result<Plan<Steps>, Failure> {
        place::refuse_guarded(host, &self.path)?;
        let entry = host.entry(&self.path)?;
        match (&self.link, entry) {
            (None, None) => Ok(Plan::unchanged()),
            (None, Some(entry)) => self.plan_removal(&entry),
            (Some(link), entry) => self.plan_link(host, link, entry),
        }
    }

    fn apply(&self, host: &mut dyn Host, _context: &Context<'_>, steps: Steps) -> Result<Applied, Failure> {
        match steps {
            Steps::Remove => host.remove_file(&self.path)?,
            Steps::Make(link, ownership) => host.make_link(&self.path, &link, ownership)?,
            Steps::Own(ownership) => host.set_owner(&self.path, ownership)?,
        }
        Ok(Applied::default())
    }
}

impl Symlink {
    fn plan_removal(&self, entry: &Entry) -> Result<Plan<Steps>, Failure> {
        let is_link = match entry.kind {
            EntryKind::Symlink => true,
            EntryKind::File => self.force || (self.hard && entry.links > 1),
            EntryKind::Folder | EntryKind::Other => false,
        };
        if !is_link {
            return Err(self.in_the_way(entry));
        }
        let change = Change::line(format!("remove `{}`", self.path));
        Ok(Plan::Change { outcome: Outcome::Deleted, change, steps: Steps::Remove })
    }

    fn plan_link(&self, host: &dyn Host, link: &Link, entry: Option<Entry>) -> Result<Plan<Steps>, Failure> {
        let wanted = self.owners.resolve(host)?;
        let Some(entry) = entry else {
            place::require_parent(host, &self.path)?;
            self.require_source(host, link)?;
            return Ok(self.make(
                link,
                wanted,
                Outcome::Created,
                format!("link `{}` to `{}`", self.path, shown(link)),
            ));
        };
        if is_that_link(host, link, &entry)? {
            let difference = ownership::difference(wanted, &entry);
            if difference.is_empty() {
                return Ok(Plan::unchanged());
            }
            let mut parts = Vec::new();
            ownership::describe(difference, &entry, &mut parts);
            let change = Change::line(format!("update `{}`: {}", self.path, parts.join(", ")));
            return Ok(Plan::Change { outcome: Outcome::Updated, change, steps: Steps::Own(difference) });
        }
        let before = match (&entry.link_target, entry.kind) {
            (Some(before), EntryKind::Symlink) => format!("`{before}`"),
            (None, EntryKind::File) if self.force => "a file".to_owned(),
            _ => return Err(self.in_the_way(&entry)),
        };
        self.require_source(host, link)?;
        let ownership = match link {
            Link::Soft(_) if entry.kind == EntryKind::Symlink => ownership::kept(wanted, Some(&entry)),
            Link::Soft(_) | Link::Hard(_) => wanted,
        };
        let line = format!("link `{}`: {before} -> `{}`", self.path, shown(link));
        Ok(self.make(link, ownership, Outcome::Updated, line))
    }

    fn make(&self, link: &Link, ownership: Ownership, outcome: Outcome, line: String) -> Plan<Steps> {
        Plan::Change { outcome, change: Change::line(line), steps: Steps::Make(link.clone(), ownership) }
    }

    fn require_source(&self, host: &dyn Host, link: &Link) -> Result<(), Failure> {
        let Link::Hard(to) = link else { return Ok(()) };
        place::refuse_guarded(host, to)?;
        match host.entry(to)? {
            Some(entry) => place::require_kind(to, &entry, EntryKind::File),
            None => Err(Failure::failed(format!("cannot link `{}` to `{to}`: it does not exist", self.path))
                .help("add a resource that makes it, or use a soft link")),
        }
    }

    fn in_the_way(&self, entry: &Entry) -> Failure {
        let failure = Failure::failed(format!(
            "cannot manage `{}` as a link: it is {}",
            self.path,
            entry.kind.describe()
        ));
        match entry.kind {
            EntryKind::File => failure.help("write `force: true` to give the file up"),
            _ => failure.help("remove it first, or correct the path"),
        }
    }
}

fn shown(link: &Link) -> &str {
    match link {
        Link::Soft(to) => to,
        Link::Hard(to) => to.as_str(),
    }
}

fn is_that_link(host: &dyn Host, link: &Link, entry: &Entry) -> Result<bool, Failure> {
    match link {
        Link::Soft(to) => Ok(entry.link_target.as_ref() == Some(to)),
        Link::Hard(to) => Ok(host.entry(to)?.is_some_and(|source| {
            source.device == entry.device && source.inode == entry.inode && entry.kind == EntryKind::File
        })),
    }
}
