//! The tables that say what is swap at the next boot, read through a host and put back all or nothing.

use std::cell::RefCell;
use vigo_base::{AbsolutePath, Mode, PathError, Pieces};
use vigo_resource::{
    Context, EntryKind, Failure, Host, Link, Ownership, Placement, Storage, SwapState, SwapStep,
};
use vigo_swap::{Crypttab, Files, Fstab, FstabEntry, MARK, show_size, spec_path};

pub(crate) const FSTAB: &str = "/etc/fstab";
pub(crate) const CRYPTTAB: &str = "/etc/crypttab";
/// No table of a real machine is longer.
const LONGEST: usize = 1 << 20;
/// Kept free when what is swapped out comes back into memory: the larger of this and a twentieth of all memory.
const MARGIN: u64 = 64 << 20;

/// A path that is written in this program.
pub(crate) fn path(text: &str) -> Result<AbsolutePath, Failure> {
    text.parse().map_err(|error: PathError| Failure::failed(error.to_string()))
}

/// The files of a host. A look that fails is kept: what was concluded without it is worth nothing.
pub(crate) struct HostFiles<'a> {
    host: &'a dyn Host,
    failure: RefCell<Option<Failure>>,
}

impl<'a> HostFiles<'a> {
    pub(crate) const fn new(host: &'a dyn Host) -> Self {
        Self { host, failure: RefCell::new(None) }
    }

    /// What was concluded, if every look succeeded.
    pub(crate) fn end<T>(self, concluded: T) -> Result<T, Failure> {
        self.failure.into_inner().map_or(Ok(concluded), Err)
    }

    fn look<T>(&self, path: &str, look: impl FnOnce(&AbsolutePath) -> Result<T, Failure>) -> Option<T> {
        let path = path.parse().ok()?;
        look(&path).map_err(|failure| self.failure.borrow_mut().get_or_insert(failure).clone()).ok()
    }

    fn kind(&self, path: &str) -> Option<(EntryKind, Option<String>)> {
        let entry = self.look(path, |path| self.host.entry(path))??;
        Some((entry.kind, entry.link_target))
    }
}

impl Files for HostFiles<'_> {
    fn text(&self, path: &str) -> Option<String> {
        match self.kind(path)? {
            (EntryKind::File, _) => {
                let bytes = self.look(path, |path| self.host.read_small(path, LONGEST))??;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => None,
        }
    }

    fn names(&self, path: &str) -> Vec<String> {
        match self.kind(path) {
            // A link to a folder, `/lib` say, is the host's to judge.
            Some((EntryKind::Folder, _)) => {
                self.look(path, |path| self.host.list_folder(path)).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    fn link(&self, path: &str) -> Option<String> {
        self.kind(path)?.1
    }

    fn exists(&self, path: &str) -> bool {
        self.kind(path).is_some()
    }
}

/// A table as it is and as it is to be.
pub(crate) struct Table {
    path: &'static str,
    before: Option<String>,
}

impl Table {
    /// Reads it. Only a plain file is taken: a link means that something else of the system makes it.
    pub(crate) fn read(host: &dyn Host, path: &'static str) -> Result<Self, Failure> {
        let place = self::path(path)?;
        let entry = host.entry(&place)?;
        if let Some(entry) = entry.as_ref().filter(|entry| entry.kind != EntryKind::File) {
            return Err(Failure::blocked(format!(
                "cannot manage `{path}`: it is {}, so something else of this system makes it",
                entry.kind.describe()
            ))
            .help("set the swap where that is set up"));
        }
        let bytes = host.read_small(&place, LONGEST)?;
        let before = bytes.map(String::from_utf8).transpose().map_err(|_| {
            Failure::blocked(format!("cannot change `{path}`: it is not UTF-8 text"))
                .help("correct the line by hand; other bytes would be lost")
        })?;
        Ok(Self { path, before })
    }

    pub(crate) fn text(&self) -> &str {
        self.before.as_deref().unwrap_or_default()
    }

    /// The change to that text; `None` when it is the same.
    pub(crate) fn change(&self, after: String) -> Option<FileChange> {
        (after != self.text()).then(|| FileChange::Write {
            path: self.path.to_owned(),
            before: self.text().to_owned(),
            text: after,
        })
    }
}

/// A change of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileChange {
    /// It gets that content; mode and owner stay, or are 0644 of root.
    Write { path: String, before: String, text: String },
    /// It is a link to there.
    Link { path: String, to: String },
    /// It goes.
    Remove { path: String },
}

impl FileChange {
    pub(crate) fn carry_out(&self, host: &mut dyn Host, context: &Context<'_>) -> Result<(), Failure> {
        match self {
            Self::Write { path, text, .. } => {
                let path = self::path(path)?;
                make_parents(host, &path)?;
                let entry = host.entry(&path)?;
                let mode = entry.as_ref().map_or(Mode::FILE, |entry| entry.mode);
                let ownership = Ownership {
                    owner: entry.as_ref().map(|entry| entry.owner),
                    group: entry.as_ref().map(|entry| entry.group),
                };
                let placement = Placement { path, mode, ownership, in_place: false, validation: None };
                host.write_text(&placement, &Pieces::literal(text.clone()), context)
            }
            Self::Link { path, to } => {
                let path = self::path(path)?;
                make_parents(host, &path)?;
                host.make_link(&path, &Link::Soft(to.clone()), Ownership::default())
            }
            Self::Remove { path } => host.remove_file(&self::path(path)?),
        }
    }
}

impl FileChange {
    /// Each line that goes, comes or is commented out.
    pub(crate) fn describe(&self) -> Vec<String> {
        let (path, before, text) = match self {
            Self::Write { path, before, text } if before.is_empty() && text.lines().count() > 1 => {
                return vec![format!("write `{path}`")];
            }
            Self::Write { path, before, text } => (path, before, text),
            Self::Link { path, to } => return vec![format!("link `{path}` to `{to}`")],
            Self::Remove { path } => return vec![format!("remove `{path}`")],
        };
        let gone: Vec<&str> =
            before.lines().filter(|line| !text.lines().any(|other| other == *line)).collect();
        let come: Vec<&str> =
            text.lines().filter(|line| !before.lines().any(|other| other == *line)).collect();
        let marked = |line: &str| come.iter().any(|other| other.strip_prefix(MARK) == Some(line));
        let mut lines = Vec::new();
        for line in &gone {
            let verb = if marked(line) { "comment out" } else { "take out" };
            lines.push(format!("`{path}`: {verb} `{}`", line.trim()));
        }
        let new = come.iter().filter(|line| !line.strip_prefix(MARK).is_some_and(|old| gone.contains(&old)));
        lines.extend(new.map(|line| format!("`{path}`: add `{line}`")));
        lines
    }
}

fn make_parents(host: &mut dyn Host, path: &AbsolutePath) -> Result<(), Failure> {
    let mut missing = Vec::new();
    let mut above = path.parent();
    while let Some(folder) = above {
        if host.entry(&folder)?.is_some() {
            break;
        }
        above = folder.parent();
        missing.push(folder);
    }
    missing
        .iter()
        .rev()
        .try_for_each(|folder| host.make_folder(folder, Mode::DIRECTORY, Ownership::default()))
}

/// A swap line of fstab and what it leads to.
pub(crate) struct Line {
    pub(crate) entry: FstabEntry,
    /// `None` when nothing of that name is there now.
    pub(crate) storage: Option<Storage>,
}

/// The swap lines of fstab with what they lead to.
pub(crate) fn lines(host: &dyn Host, fstab: &Fstab, state: &SwapState) -> Result<Vec<Line>, Failure> {
    fstab
        .swaps()
        .into_iter()
        .map(|entry| Ok(Line { storage: find(host, state, &entry.spec)?, entry }))
        .collect()
}

/// What a name of fstab or crypttab leads to: an area in use that is called so, else what the host finds.
pub(crate) fn find(host: &dyn Host, state: &SwapState, spec: &str) -> Result<Option<Storage>, Failure> {
    let path = spec_path(spec);
    let called = |storage: &&Storage| {
        storage.is_called(spec) || path.as_ref().is_some_and(|path| storage.is_called(path))
    };
    match state.areas.iter().map(|area| &area.storage).find(called) {
        Some(storage) => Ok(Some(storage.clone())),
        None => host.storage(spec),
    }
}

/// The mapping below `/dev/mapper` that a line of fstab names, if crypttab makes it with a new key each time.
pub(crate) fn ephemeral<'a>(entry: &'a FstabEntry, crypttab: &Crypttab) -> Option<&'a str> {
    let name = entry.spec.strip_prefix("/dev/mapper/")?;
    crypttab.entry(name).filter(|entry| entry.is_ephemeral() && !entry.is_null()).map(|_| name)
}

/// Says no when this process may not do what is planned, or may not write to `/etc`.
pub(crate) fn require_rights(state: &SwapState, kernel: bool, files: bool) -> Result<(), Failure> {
    if kernel && let Some(why) = &state.refused {
        return Err(Failure::blocked(format!("cannot change the swap of this machine: {why}")).help(
            "swap belongs to the whole machine: let a Vigo that runs as root outside of containers do it",
        ));
    }
    if files && state.is_etc_read_only {
        return Err(Failure::blocked(format!(
            "cannot change `{FSTAB}`: `/etc` is on a read-only file system, so nothing would last over a boot"
        ))
        .help("make the change in the image of this machine, or mount it writable"));
    }
    Ok(())
}

/// Says no when what stands in these areas does not fit in memory.
pub(crate) fn require_room(state: &SwapState, off: &[&str]) -> Result<(), Failure> {
    let held =
        |path: &&str| state.areas.iter().find(|area| area.storage.is_called(path)).map(|area| area.used);
    let used: u64 = off.iter().filter_map(held).sum();
    let margin = MARGIN.max(state.memory_total / 20);
    if used == 0 || used.saturating_add(margin) <= state.memory_available {
        return Ok(());
    }
    Err(Failure::blocked(format!(
        "cannot switch off swap: {} are swapped out and {} of memory are available, of which {} are to stay free",
        show_size(used),
        show_size(state.memory_available),
        show_size(margin)
    ))
    .help("stop something, or let it happen after a restart of the machine; nothing was changed"))
}

/// Whether a step of the kernel is done with a fresh look at the memory.
pub(crate) fn carry_out(host: &mut dyn Host, step: &SwapStep) -> Result<(), Failure> {
    if let SwapStep::Off { path } | SwapStep::RemoveZram { path } = step {
        require_room(&host.swap_state()?, &[path])?;
    }
    host.change_swap(step)
}

/// What is left to a person after swap that could be read was closed.
pub(crate) fn after_care(context: &Context<'_>, closed: &[&Storage], is_erased: bool) -> Vec<String> {
    if closed.is_empty() {
        return Vec::new();
    }
    let mut lines = Vec::new();
    if !is_erased {
        let names: Vec<String> = closed.iter().map(|storage| format!("`{}`", storage.path)).collect();
        lines.push(format!(
            "what was swapped out can still be read on {}: `erase: discard` or `erase: overwrite` ends that",
            names.join(", ")
        ));
    }
    if context.served.is_empty() {
        return lines;
    }
    lines.push(format!(
        "{} secrets were given to this machine while its swap could be read; rotate them (`vigocli secrets rotate PATH`):",
        context.served.len()
    ));
    for names in context.served.chunks(8).take(32) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        lines.push(format!("  {}", names.join(", ")));
    }
    lines
}
