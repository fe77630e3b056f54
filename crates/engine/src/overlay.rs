//! A machine as it will be: a host in which the planned changes of a dry run have happened, over one that is only looked at.
//!
//! What a command would do is not known. From the first planned one on, an answer of "it is not there" is in doubt; the engine makes `pending` of a failure that rests on such an answer.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;
use std::time::Duration;
use vigo_base::{AbsolutePath, ExposureWay, Mode, Pieces};
use vigo_edit::Edit;
use vigo_resource::{
    CommandRequest, Comparison, Context, DiffLine, DiffSign, End, Entry, EntryKind, Exposed, Failure,
    Finished, Group, Host, Link, Output, Ownership, Placement, Storage, SwapModel, SwapState, SwapStep,
    Timestamp, User,
};

/// No device of a real machine has this number.
const DEVICE: u64 = u64::MAX;

/// A machine as it will be.
pub struct Overlay<'a> {
    base: &'a dyn Host,
    /// What is different, by path; `None` where something is gone.
    shadows: BTreeMap<String, Option<Shadow>>,
    next_inode: u64,
    /// The first command that would have run.
    command: Option<String>,
    /// An answer since the last [`Overlay::begin`] may come out differently once that command ran.
    doubtful: Cell<bool>,
    /// What swap will be, once a step was planned.
    swap: Option<SwapModel>,
}

#[derive(Clone)]
struct Shadow {
    entry: Entry,
    content: Content,
    tainted: bool,
    /// A folder that is not on the real machine, so nothing there is in it.
    fresh: bool,
}

#[derive(Clone)]
enum Content {
    None,
    Text(Rc<Pieces>),
    /// What stands in that file of the real machine.
    Of(AbsolutePath),
    /// What these edits make of that file of the real machine, where only the hand could say.
    Edited(AbsolutePath, Rc<Vec<(Edit, Pieces)>>),
}

impl<'a> Overlay<'a> {
    /// Over a machine that is only looked at.
    #[must_use]
    pub const fn new(base: &'a dyn Host) -> Self {
        Self {
            base,
            shadows: BTreeMap::new(),
            next_inode: 1,
            command: None,
            doubtful: Cell::new(false),
            swap: None,
        }
    }

    /// Before a plan: forgets the doubts of the one before.
    pub(crate) fn begin(&self) {
        self.doubtful.set(false);
    }

    /// Why the answers of this plan may come out differently; `None` when they will not.
    pub(crate) fn doubt(&self) -> Option<String> {
        match &self.command {
            Some(command) if self.doubtful.get() => {
                Some(format!("it depends on what `{command}` does, which has not run"))
            }
            None if self.doubtful.get() => Some("it depends on changes that have not been made".to_owned()),
            _ => None,
        }
    }

    /// An answer of "not there" is in doubt once a command is planned.
    fn doubt_absence(&self) {
        if self.command.is_some() {
            self.doubtful.set(true);
        }
    }

    fn shadow(&self, path: &AbsolutePath) -> Option<&Option<Shadow>> {
        self.shadows.get(path.as_str())
    }

    /// What the content of a file will be; `None` when there will be no such file.
    fn content(&self, path: &AbsolutePath) -> Result<Option<Content>, Failure> {
        match self.shadow(path) {
            Some(shadow) => Ok(shadow.as_ref().map(|shadow| shadow.content.clone())),
            None => Ok(self.base.entry(path)?.map(|_| Content::Of(path.clone()))),
        }
    }

    fn put(&mut self, path: &AbsolutePath, mut shadow: Shadow) {
        if shadow.entry.device == DEVICE && shadow.entry.inode == 0 {
            shadow.entry.inode = self.next_inode;
            self.next_inode += 1;
        }
        self.shadows.insert(path.as_str().to_owned(), Some(shadow));
    }

    fn remove(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        if self.entry(path)?.is_none() {
            return Err(missing(path));
        }
        self.shadows.insert(path.as_str().to_owned(), None);
        Ok(())
    }

    fn place(
        &mut self,
        placement: &Placement,
        content: Content,
        tainted: bool,
        size: usize,
    ) -> Result<(), Failure> {
        let before = self.entry(&placement.path)?;
        let entry = made(EntryKind::File, placement.mode, placement.ownership, before.as_ref(), size);
        self.put(&placement.path, Shadow { entry, content, tainted, fresh: false });
        Ok(())
    }

    fn change_entry(&mut self, path: &AbsolutePath, change: impl FnOnce(&mut Entry)) -> Result<(), Failure> {
        let mut shadow = match self.shadow(path) {
            Some(Some(shadow)) => shadow.clone(),
            Some(None) => return Err(missing(path)),
            None => {
                let entry = self.base.entry(path)?.ok_or_else(|| missing(path))?;
                let tainted = self.base.is_tainted(path)?;
                Shadow { entry, content: Content::Of(path.clone()), tainted, fresh: false }
            }
        };
        change(&mut shadow.entry);
        self.put(path, shadow);
        Ok(())
    }
}

impl Host for Overlay<'_> {
    fn entry(&self, path: &AbsolutePath) -> Result<Option<Entry>, Failure> {
        let entry = match self.shadow(path) {
            Some(shadow) => shadow.as_ref().map(|shadow| shadow.entry.clone()),
            None => self.base.entry(path)?,
        };
        if entry.is_none() {
            self.doubt_absence();
        }
        Ok(entry)
    }

    fn list_folder(&self, path: &AbsolutePath) -> Result<Vec<String>, Failure> {
        let mut names = match self.shadow(path) {
            Some(None) => {
                self.doubt_absence();
                return Err(missing(path));
            }
            Some(Some(shadow)) if shadow.fresh => Vec::new(),
            Some(Some(_)) | None => self.base.list_folder(path).inspect_err(|_| self.doubt_absence())?,
        };
        let prefix = if path.as_str() == "/" { "/".to_owned() } else { format!("{path}/") };
        let below = self.shadows.range((Bound::Excluded(prefix.clone()), Bound::Unbounded));
        for (other, shadow) in below.take_while(|(other, _)| other.starts_with(&prefix)) {
            let name = other.strip_prefix(&prefix).unwrap_or_default();
            if name.contains('/') {
                continue;
            }
            match (names.iter().position(|known| known == name), shadow) {
                (Some(place), None) => drop(names.remove(place)),
                (None, Some(_)) => names.push(name.to_owned()),
                _ => {}
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn read_small(&self, path: &AbsolutePath, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        match self.content(path)? {
            None => {
                self.doubt_absence();
                Ok(None)
            }
            Some(Content::None) => Ok(Some(Vec::new())),
            Some(Content::Of(real)) => self.base.read_small(&real, limit),
            Some(Content::Edited(..)) => Err(Failure::failed(format!(
                "cannot read `{path}`: it holds a secret, or is not for everybody to read"
            ))),
            Some(Content::Text(pieces)) => match pieces.as_literal() {
                Some(text) if text.len() <= limit => Ok(Some(text.as_bytes().to_vec())),
                Some(_) => {
                    Err(Failure::failed(format!("cannot read `{path}`: it has more than {limit} bytes")))
                }
                None => Err(Failure::failed(format!("cannot read `{path}`: it holds a secret"))),
            },
        }
    }

    fn compare_text(
        &self,
        target: &AbsolutePath,
        content: &Pieces,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure> {
        match self.content(target)? {
            None => Ok(Comparison::Missing),
            Some(Content::Of(real)) => self.base.compare_text(&real, content, context),
            Some(Content::Text(pieces)) if *pieces == *content => Ok(Comparison::Same),
            Some(Content::None | Content::Text(_) | Content::Edited(..)) => {
                Ok(planned_difference(content, context))
            }
        }
    }

    fn compare_copy(
        &self,
        target: &AbsolutePath,
        source: &AbsolutePath,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure> {
        let Some(wanted) = self.content(source)? else {
            self.doubt_absence();
            return Err(Failure::failed(format!("cannot copy `{source}`: it does not exist")));
        };
        let different = Comparison::Different { diff: Vec::new() };
        match (self.content(target)?, wanted) {
            (None, _) => Ok(Comparison::Missing),
            (Some(Content::Of(target)), Content::Of(source)) if target == source => Ok(Comparison::Same),
            (Some(Content::Of(target)), Content::Of(source)) => {
                self.base.compare_copy(&target, &source, context)
            }
            (Some(Content::Of(target)), Content::Text(wanted)) => {
                self.base.compare_text(&target, &wanted, context)
            }
            (Some(Content::Text(there)), Content::Of(source)) => {
                match self.base.compare_text(&source, &there, &Context { diff: false, ..*context })? {
                    Comparison::Same => Ok(Comparison::Same),
                    _ => Ok(different),
                }
            }
            (Some(Content::Text(there)), Content::Text(wanted)) if there == wanted => Ok(Comparison::Same),
            (Some(Content::None), Content::None) => Ok(Comparison::Same),
            _ => Ok(different),
        }
    }

    fn compare_edit(
        &self,
        target: &AbsolutePath,
        edit: &Edit,
        text: &Pieces,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure> {
        let masked = match self.content(target)? {
            None => {
                self.doubt_absence();
                return Ok(Comparison::Missing);
            }
            Some(Content::Of(real)) => return self.base.compare_edit(&real, edit, text, context),
            Some(Content::Edited(_, done))
                if done.iter().any(|(known, put)| known == edit && put == text) =>
            {
                return Ok(Comparison::Same);
            }
            // The edits that come before are not in it, and one of them may make what this one looks for.
            Some(Content::Edited(real, _)) => {
                return self
                    .base
                    .compare_edit(&real, edit, text, context)
                    .inspect_err(|_| self.doubtful.set(true));
            }
            Some(Content::None) => String::new(),
            Some(Content::Text(pieces)) => context.masked(&pieces),
        };
        let edited = context.edited(target, edit, masked.as_bytes(), text)?;
        Ok(edited.map_or(Comparison::Same, |edited| planned_difference(&Pieces::literal(edited), context)))
    }

    fn user(&self, name: &str) -> Result<Option<User>, Failure> {
        let user = self.base.user(name)?;
        if user.is_none() {
            self.doubt_absence();
        }
        Ok(user)
    }

    fn group(&self, name: &str) -> Result<Option<Group>, Failure> {
        let group = self.base.group(name)?;
        if group.is_none() {
            self.doubt_absence();
        }
        Ok(group)
    }

    fn is_guarded(&self, path: &AbsolutePath) -> bool {
        self.base.is_guarded(path)
    }

    fn has_access_list(&self, path: &AbsolutePath) -> bool {
        // What a run writes with a secret has none, and nobody asks about the rest.
        self.shadow(path).is_none() && self.base.has_access_list(path)
    }

    fn own(&self) -> Ownership {
        self.base.own()
    }

    fn is_tainted(&self, path: &AbsolutePath) -> Result<bool, Failure> {
        match self.shadow(path) {
            Some(shadow) => Ok(shadow.as_ref().is_some_and(|shadow| {
                shadow.tainted
                    || (shadow.entry.kind == EntryKind::File && !shadow.entry.mode.others_may_read())
            })),
            None => self.base.is_tainted(path),
        }
    }

    fn holds_secret(&self, path: &AbsolutePath) -> bool {
        match self.shadow(path) {
            Some(shadow) => shadow.as_ref().is_some_and(|shadow| shadow.tainted),
            None => self.base.holds_secret(path),
        }
    }

    fn probe(&self, request: &CommandRequest) -> Result<Finished, Failure> {
        self.base.probe(request).inspect_err(|_| {
            // Where or as whom it runs may be among what has not been made yet.
            if self.command.is_some() || !self.shadows.is_empty() {
                self.doubtful.set(true);
            }
        })
    }

    fn process_running(&self, name: &str) -> Result<bool, Failure> {
        self.base.process_running(name)
    }

    fn port_listening(&self, port: u16) -> Result<bool, Failure> {
        self.base.port_listening(port)
    }

    fn swap_state(&self) -> Result<SwapState, Failure> {
        match &self.swap {
            Some(swap) => Ok(swap.state.clone()),
            None => self.base.swap_state(),
        }
    }

    fn storage(&self, path: &str) -> Result<Option<Storage>, Failure> {
        let Some(swap) = &self.swap else { return self.base.storage(path) };
        if let Some(storage) = swap.storage(path) {
            return Ok(Some(storage.clone()));
        }
        let is_gone = |storage: &Storage| swap.gone.iter().any(|name| storage.is_called(name));
        Ok(self.base.storage(path)?.filter(|storage| !is_gone(storage)))
    }

    fn now(&self) -> Timestamp {
        self.base.now()
    }

    fn utc_offset_seconds(&self) -> i32 {
        self.base.utc_offset_seconds()
    }

    fn clock(&self) -> Duration {
        self.base.clock()
    }

    fn write_text(
        &mut self,
        placement: &Placement,
        content: &Pieces,
        _context: &Context<'_>,
    ) -> Result<(), Failure> {
        let tainted = content.has_secret() || self.is_tainted(&placement.path)?;
        self.place(placement, Content::Text(Rc::new(content.clone())), tainted, content.literal_len())
    }

    fn copy_file(
        &mut self,
        placement: &Placement,
        source: &AbsolutePath,
        _context: &Context<'_>,
    ) -> Result<(), Failure> {
        let content = self.content(source)?.ok_or_else(|| missing(source))?;
        let tainted = self.is_tainted(source)?;
        let size = self.entry(source)?.map_or(0, |entry| entry.size);
        self.place(placement, content, tainted, usize::try_from(size).unwrap_or(usize::MAX))
    }

    fn edit_file(
        &mut self,
        placement: &Placement,
        edit: &Edit,
        text: &Pieces,
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        let path = &placement.path;
        let tainted = text.has_secret() || self.is_tainted(path)?;
        let size = self.entry(path)?.map_or(0, |entry| entry.size);
        let content = match self.content(path)? {
            Some(Content::Of(real)) if tainted => {
                Content::Edited(real, Rc::new(vec![(edit.clone(), text.clone())]))
            }
            Some(Content::Edited(real, done)) => {
                let mut done = Rc::unwrap_or_clone(done);
                done.push((edit.clone(), text.clone()));
                Content::Edited(real, Rc::new(done))
            }
            there => {
                let there = match there {
                    Some(Content::Text(there)) => context.masked(&there).into_bytes(),
                    Some(Content::Of(real)) => {
                        self.base.read_small(&real, vigo_edit::LARGEST)?.unwrap_or_default()
                    }
                    _ => Vec::new(),
                };
                let edited = context.edited(path, edit, &there, text)?;
                let as_it_is = || String::from_utf8_lossy(&there).into_owned();
                Content::Text(Rc::new(Pieces::literal(edited.unwrap_or_else(as_it_is))))
            }
        };
        self.place(placement, content, tainted, usize::try_from(size).unwrap_or(usize::MAX))
    }

    fn make_folder(&mut self, path: &AbsolutePath, mode: Mode, ownership: Ownership) -> Result<(), Failure> {
        let entry = made(EntryKind::Folder, mode, ownership, None, 0);
        self.put(path, Shadow { entry, content: Content::None, tainted: false, fresh: true });
        Ok(())
    }

    fn make_link(&mut self, path: &AbsolutePath, link: &Link, ownership: Ownership) -> Result<(), Failure> {
        let shadow = match link {
            Link::Soft(to) => {
                let mut entry = made(EntryKind::Symlink, Mode::from_bits(0o777), ownership, None, to.len());
                entry.link_target = Some(to.clone());
                Shadow { entry, content: Content::None, tainted: false, fresh: false }
            }
            Link::Hard(to) => Shadow {
                entry: self.entry(to)?.ok_or_else(|| missing(to))?,
                content: self.content(to)?.ok_or_else(|| missing(to))?,
                tainted: self.is_tainted(to)?,
                fresh: false,
            },
        };
        self.put(path, shadow);
        Ok(())
    }

    fn remove_file(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        self.remove(path)
    }

    fn remove_folder(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        self.remove(path)
    }

    fn set_mode(&mut self, path: &AbsolutePath, mode: Mode) -> Result<(), Failure> {
        self.change_entry(path, |entry| entry.mode = mode)
    }

    fn set_owner(&mut self, path: &AbsolutePath, ownership: Ownership) -> Result<(), Failure> {
        self.change_entry(path, |entry| {
            entry.owner = ownership.owner.unwrap_or(entry.owner);
            entry.group = ownership.group.unwrap_or(entry.group);
        })
    }

    fn run(&mut self, request: &CommandRequest) -> Result<Finished, Failure> {
        self.command.get_or_insert_with(|| request.resource.clone());
        let output = Output::Kept { stdout: String::new(), stderr: String::new() };
        Ok(Finished { end: End::Exited(0), output })
    }

    fn file_way(&self, path: &AbsolutePath) -> ExposureWay {
        self.base.file_way(path)
    }

    fn take_exposures(&self) -> Vec<Exposed> {
        self.base.take_exposures()
    }

    fn change_swap(&mut self, step: &SwapStep) -> Result<(), Failure> {
        let mut model = match self.swap.take() {
            Some(model) => model,
            None => {
                let state = self.base.swap_state()?;
                let storages = state.areas.iter().map(|area| area.storage.clone()).collect();
                SwapModel { state, storages, gone: Vec::new() }
            }
        };
        if let Some(path) = step.path()
            && model.storage(path).is_none()
            && let Some(storage) = self.base.storage(path)?
        {
            model.storages.push(storage);
        }
        if let SwapStep::Make { path, size: Some(size) } = step {
            let path: AbsolutePath =
                path.parse().map_err(|error: vigo_base::PathError| Failure::failed(error.to_string()))?;
            let size = usize::try_from(*size).unwrap_or(usize::MAX);
            let entry = made(EntryKind::File, Mode::from_bits(0o600), Ownership::default(), None, size);
            self.put(&path, Shadow { entry, content: Content::None, tainted: true, fresh: true });
        }
        let done = model.carry_out(step).map_err(Failure::failed);
        self.swap = Some(model);
        done
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

fn made(kind: EntryKind, mode: Mode, ownership: Ownership, before: Option<&Entry>, size: usize) -> Entry {
    Entry {
        kind,
        mode,
        owner: ownership.owner.or(before.map(|entry| entry.owner)).unwrap_or_default(),
        group: ownership.group.or(before.map(|entry| entry.group)).unwrap_or_default(),
        size: size as u64,
        device: DEVICE,
        inode: 0,
        links: 1,
        changed_at: Timestamp::default(),
        link_target: None,
    }
}

/// Against content that is itself only planned, a diff says what comes in.
fn planned_difference(content: &Pieces, context: &Context<'_>) -> Comparison {
    if !context.diff {
        return Comparison::Different { diff: Vec::new() };
    }
    let masked = context.masked(content);
    let mut diff =
        vec![DiffLine::new(DiffSign::Note, "replaces what an earlier resource of this run writes")];
    diff.extend(masked.lines().map(|line| DiffLine::new(DiffSign::Added, line)));
    Comparison::Different { diff }
}

fn missing(path: &AbsolutePath) -> Failure {
    Failure::failed(format!("cannot find `{path}`"))
}
