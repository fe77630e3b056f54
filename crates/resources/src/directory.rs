//! `directory`: a folder, its parents where they are missing, and what may stand in it.

use crate::ownership::{self, GROUP, OWNER, Owners};
use crate::place;
use std::time::Duration;
use vigo_base::{AbsolutePath, Mode};
use vigo_resource::{
    Applied, AttributeInfo, AttributeProblem, Attributes, Change, Context, Entry, EntryKind, Example,
    Failure, Host, Kind, Outcome, Ownership, Plan, Provides, Resource, TypeInfo,
};

/// How many things below a folder one resource looks at: more is a mistake, not a policy.
const MOST_ENTRIES: usize = 1_000_000;
/// How many of the things that change are named one by one.
const NAMED: usize = 20;

static INFO: TypeInfo = TypeInfo {
    name: "directory",
    doc: "A directory: its mode and owner, and if asked what stands in it. Missing parents are made with 0755.",
    attributes: &[
        AttributeInfo::new("target_path", Kind::Path, "The directory.").identity(),
        AttributeInfo::new("mode", Kind::Mode, "Permission bits.").default("0755 at creation, then left alone"),
        OWNER,
        GROUP,
        AttributeInfo::new("recurse", Kind::Boolean, "Mode, owner and group hold for everything below; files get execute bits only where they have some. A file that a resource of its own manages is left to that one; one that ever got a secret keeps its owner and group and gets no bits that it does not have. With `state: absent` and `purge`: what stands below goes, too.")
            .default("false"),
        AttributeInfo::new("purge", Kind::Boolean, "Remove what stands in it and no resource manages.").default("false"),
    ],
    states: &["present", "absent"],
    later: &[],
    exclusive: &[],
    provides: Provides::Path("target_path"),
    timeout: Duration::from_secs(60),
    examples: &[Example {
        title: "A directory that holds what the policy says and nothing else",
        policy: "type: directory\ntarget_path: /etc/nginx/conf.d\nmode: \"0755\"\npurge: true\n",
    }],
};

/// A directory as the policy wants it.
#[derive(Debug)]
pub struct Directory {
    path: AbsolutePath,
    mode: Option<Mode>,
    owners: Owners,
    recurse: bool,
    purge: bool,
    absent: bool,
}

/// One thing to be done, in order.
#[derive(Debug)]
pub enum Step {
    /// Make a folder whose parent is there.
    Make(AbsolutePath, Mode, Ownership),
    /// Set an owner or a group.
    Own(AbsolutePath, Ownership),
    /// Set a mode.
    Mode(AbsolutePath, Mode),
    /// Remove what is no folder.
    RemoveFile(AbsolutePath),
    /// Remove a folder that is empty by then.
    RemoveFolder(AbsolutePath),
}

impl Resource for Directory {
    type Steps = Vec<Step>;
    const INFO: &'static TypeInfo = &INFO;

    fn parse(mut attributes: Attributes) -> Result<Self, Vec<AttributeProblem>> {
        let path = attributes.path("target_path");
        let mode = attributes.mode("mode");
        let owners = Owners::take(&mut attributes);
        let recurse = attributes.boolean("recurse");
        let purge = attributes.boolean("purge");
        let absent = attributes.state() == "absent";
        attributes.finish(path.map(|path| Self { path, mode, owners, recurse, purge, absent }))
    }

    fn plan(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<Self::Steps>, Failure> {
        place::refuse_guarded(host, &self.path)?;
        let entry = host.entry(&self.path)?;
        if let Some(entry) = &entry {
            place::require_kind(&self.path, entry, EntryKind::Folder)?;
        }
        match (self.absent, entry) {
            (true, None) => Ok(Plan::unchanged()),
            (true, Some(_)) => self.plan_removal(host),
            (false, None) => self.plan_creation(host),
            (false, Some(entry)) => self.plan_update(host, context, &entry),
        }
    }

    fn apply(
        &self,
        host: &mut dyn Host,
        _context: &Context<'_>,
        steps: Self::Steps,
    ) -> Result<Applied, Failure> {
        for step in steps {
            match step {
                Step::Make(path, mode, ownership) => host.make_folder(&path, mode, ownership)?,
                Step::Own(path, ownership) => host.set_owner(&path, ownership)?,
                Step::Mode(path, mode) => host.set_mode(&path, mode)?,
                Step::RemoveFile(path) => host.remove_file(&path)?,
                Step::RemoveFolder(path) => host.remove_folder(&path)?,
            }
        }
        Ok(Applied::default())
    }
}

impl Directory {
    fn plan_creation(&self, host: &dyn Host) -> Result<Plan<Vec<Step>>, Failure> {
        let mut missing = Vec::new();
        let mut above = self.path.parent();
        while let Some(folder) = above {
            match host.entry(&folder)?.map(|entry| entry.kind) {
                Some(EntryKind::Folder | EntryKind::Symlink) => break,
                Some(kind) => {
                    return Err(Failure::failed(format!(
                        "cannot make `{}`: `{folder}` is {}, not a directory",
                        self.path,
                        kind.describe()
                    )));
                }
                None => above = folder.parent(),
            }
            missing.push(folder);
        }
        let mode = self.mode.unwrap_or(Mode::DIRECTORY);
        let ownership = self.owners.resolve(host)?;
        let mut lines: Vec<String> = Vec::with_capacity(missing.len() + 1);
        let mut steps = Vec::with_capacity(missing.len() + 1);
        for folder in missing.into_iter().rev() {
            lines.push(format!("create `{folder}` with mode {}", Mode::DIRECTORY));
            steps.push(Step::Make(folder, Mode::DIRECTORY, Ownership::default()));
        }
        lines.push(format!("create `{}` with mode {mode}", self.path));
        steps.push(Step::Make(self.path.clone(), mode, ownership));
        Ok(Plan::Change { outcome: Outcome::Created, change: Change { lines, diff: Vec::new() }, steps })
    }

    fn plan_update(
        &self,
        host: &dyn Host,
        context: &Context<'_>,
        entry: &Entry,
    ) -> Result<Plan<Vec<Step>>, Failure> {
        let mut work = Work { wanted: self.owners.resolve(host)?, mode: self.mode, ..Work::default() };
        work.adjust(&self.path, entry, false);
        if self.recurse || self.purge {
            self.descend(host, context, &self.path, &mut work)?;
        }
        if work.steps.is_empty() {
            return Ok(Plan::unchanged());
        }
        let change = Change { lines: work.lines(), diff: Vec::new() };
        Ok(Plan::Change { outcome: Outcome::Updated, change, steps: work.steps })
    }

    fn descend(
        &self,
        host: &dyn Host,
        context: &Context<'_>,
        folder: &AbsolutePath,
        work: &mut Work,
    ) -> Result<(), Failure> {
        let mut folders = vec![folder.clone()];
        while let Some(folder) = folders.pop() {
            for name in host.list_folder(&folder)? {
                let path = child(&folder, &name)?;
                let Some(entry) = host.entry(&path)? else { continue };
                work.count()?;
                if self.purge && !context.managed.holds(&path) && !host.is_guarded(&path) {
                    self.remove(host, path, &entry, work)?;
                } else if self.recurse && !host.is_guarded(&path) {
                    if entry.kind == EntryKind::File && context.managed.holds(&path) {
                        // Its own resource says what it is to be, also in a run in which that one is blocked.
                        continue;
                    }
                    let holds_secret = entry.kind == EntryKind::File && host.holds_secret(&path);
                    work.adjust(&path, &entry, holds_secret);
                    if entry.kind == EntryKind::Folder {
                        folders.push(path);
                    }
                }
            }
        }
        Ok(())
    }

    fn plan_removal(&self, host: &dyn Host) -> Result<Plan<Vec<Step>>, Failure> {
        if !self.recurse && !host.list_folder(&self.path)?.is_empty() {
            return Err(Failure::failed(format!("cannot remove `{}`: it is not empty", self.path))
                .help("write `recurse: true` to remove what stands in it, too"));
        }
        let mut work = Work::default();
        self.empty(host, &self.path, &mut work)?;
        work.steps.push(Step::RemoveFolder(self.path.clone()));
        work.parts.push(format!("remove `{}`", self.path));
        let change = Change { lines: work.lines(), diff: Vec::new() };
        Ok(Plan::Change { outcome: Outcome::Deleted, change, steps: work.steps })
    }

    fn remove(
        &self,
        host: &dyn Host,
        path: AbsolutePath,
        entry: &Entry,
        work: &mut Work,
    ) -> Result<(), Failure> {
        work.parts.push(format!("remove `{path}`"));
        if entry.kind != EntryKind::Folder {
            work.steps.push(Step::RemoveFile(path));
            return Ok(());
        }
        if !self.recurse && !host.list_folder(&path)?.is_empty() {
            return Err(Failure::failed(format!(
                "cannot purge `{}`: the directory `{path}` in it is not empty",
                self.path
            ))
            .help("write `recurse: true` to remove what stands in such directories, too"));
        }
        self.empty(host, &path, work)?;
        work.steps.push(Step::RemoveFolder(path));
        Ok(())
    }

    /// Steps that remove everything below a folder, the deepest first. Nothing of it may be Vigo's.
    fn empty(&self, host: &dyn Host, folder: &AbsolutePath, work: &mut Work) -> Result<(), Failure> {
        let first = work.steps.len();
        let mut folders = vec![folder.clone()];
        while let Some(folder) = folders.pop() {
            for name in host.list_folder(&folder)? {
                let path = child(&folder, &name)?;
                place::refuse_guarded(host, &path)?;
                work.count()?;
                let folder = host.entry(&path)?.is_some_and(|entry| entry.kind == EntryKind::Folder);
                if folder {
                    folders.push(path.clone());
                    work.steps.push(Step::RemoveFolder(path));
                } else {
                    work.steps.push(Step::RemoveFile(path));
                }
            }
        }
        // A folder was noted before what is in it.
        if let Some(added) = work.steps.get_mut(first..) {
            added.reverse();
        }
        Ok(())
    }
}

/// The steps as they come together.
#[derive(Debug, Default)]
struct Work {
    wanted: Ownership,
    mode: Option<Mode>,
    steps: Vec<Step>,
    parts: Vec<String>,
    seen: usize,
}

impl Work {
    /// What holds a secret gets no other owner and no bits that it does not have.
    fn adjust(&mut self, path: &AbsolutePath, entry: &Entry, holds_secret: bool) {
        let wanted = if holds_secret { Ownership::default() } else { self.wanted };
        let difference = ownership::difference(wanted, entry);
        let mut parts = Vec::new();
        ownership::describe(difference, entry, &mut parts);
        if !difference.is_empty() {
            self.steps.push(Step::Own(path.clone(), difference));
        }
        let mode = match entry.kind {
            EntryKind::Folder => self.mode,
            EntryKind::File => self.mode.map(|mode| for_file(mode, entry.mode)),
            EntryKind::Symlink | EntryKind::Other => None,
        };
        let allowed = if holds_secret { entry.mode.bits() } else { u32::MAX };
        let mode = mode.map(|mode| Mode::from_bits(mode.bits() & allowed));
        if let Some(mode) = mode.filter(|mode| *mode != entry.mode) {
            parts.push(format!("mode {} -> {mode}", entry.mode));
            self.steps.push(Step::Mode(path.clone(), mode));
        }
        if !parts.is_empty() {
            self.parts.push(format!("update `{path}`: {}", parts.join(", ")));
        }
    }

    fn count(&mut self) -> Result<(), Failure> {
        self.seen += 1;
        if self.seen > MOST_ENTRIES {
            return Err(Failure::failed(format!(
                "cannot look at more than {MOST_ENTRIES} things below one directory"
            )));
        }
        Ok(())
    }

    fn lines(&mut self) -> Vec<String> {
        let mut lines = std::mem::take(&mut self.parts);
        if lines.len() > NAMED {
            let left = lines.len() - NAMED;
            lines.truncate(NAMED);
            lines.push(format!("{left} more"));
        }
        lines
    }
}

/// What `chmod -R u=rwX` does: execute bits only where there are some.
fn for_file(mode: Mode, now: Mode) -> Mode {
    const EXECUTE: u32 = 0o111;
    const SET_ID_AND_STICKY: u32 = 0o7000;
    let plain = mode.bits() & !SET_ID_AND_STICKY;
    Mode::from_bits(if now.bits() & EXECUTE == 0 { plain & !EXECUTE } else { plain })
}

fn child(folder: &AbsolutePath, name: &str) -> Result<AbsolutePath, Failure> {
    format!("{folder}/{name}").parse().map_err(|error: vigo_base::PathError| {
        Failure::failed(format!("cannot name `{name}` in `{folder}`: {error}"))
    })
}
