//! The real machine. Ordinary files and commands it handles itself; whatever holds a secret, or may not be read by everybody, goes to the hand.

mod copies;

use crate::accounts::Accounts;
use crate::commands;
use crate::compare;
use crate::exposures::{self, Exposures, SwapProbe};
use crate::files::{Folders, failed};
use crate::hands::Hands;
use crate::ledger::{self, Ledger, Put, Secrets};
use crate::listener::Ear;
use crate::looks;
use crate::map;
use crate::swap;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use vigo_base::{AbsolutePath, ExposureWay, Mode, Pieces, SecretPath, SecretVersion};
use vigo_edit::Edit;
use vigo_hand::Wanted;
use vigo_hand::target::{self, Durability, Intents, Placed};
use vigo_resource::{
    CommandLine, CommandRequest, Comparison, Context, Entry, Exposed, Failure, Finished, Group, Host, Link,
    OutputRule, Ownership, Placement, Storage, SwapState, SwapStep, Timestamp, User, Validation, Values,
};
use vigo_sys::spawn::Spawner;

/// What a [`RealHost`] is made of.
pub struct Parts<'a> {
    /// Starts commands.
    pub spawner: Rc<Spawner>,
    /// The hand, shared with who fetches the values.
    pub hands: Rc<Hands>,
    /// The state folder: ledger and candidates.
    pub state: PathBuf,
    /// Where intents are written, as the hand was told, too.
    pub intents: Intents,
    /// Paths that belong to Vigo itself.
    pub guarded: Vec<AbsolutePath>,
    /// Looks at the machine's swap, when a secret stands in memory that may be written there.
    pub swap: SwapProbe,
    /// Gets values that output has to be scrubbed of.
    pub values: &'a dyn Values,
}

/// The real machine.
pub struct RealHost<'a> {
    parts: Parts<'a>,
    folders: Folders,
    accounts: RefCell<Accounts>,
    ledger: RefCell<Ledger>,
    /// No file held a secret when this run began: what they hold now, the hand of this run put there, and it is in `put_now`.
    began_clean: Cell<bool>,
    /// What that is, where its versions say nothing to a later run.
    put_now: RefCell<Secrets>,
    window: RefCell<compare::Window>,
    exposures: Exposures,
    /// One open folder per file system that was written to since the last flush.
    unsynced: HashMap<u64, OwnedFd>,
    started: Instant,
}

impl<'a> RealHost<'a> {
    /// Opens the ledger and is ready.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub fn new(parts: Parts<'a>) -> Result<Self, Failure> {
        let ledger = Ledger::open(&parts.state)?;
        Ok(Self {
            began_clean: Cell::new(ledger.is_empty()),
            put_now: RefCell::default(),
            ledger: RefCell::new(ledger),
            parts,
            folders: Folders::default(),
            window: RefCell::default(),
            exposures: Exposures::default(),
            accounts: RefCell::new(Accounts::in_folder("/etc")),
            unsynced: HashMap::new(),
            started: Instant::now(),
        })
    }

    /// The secrets that Vigo put into files which may still stand on this machine: what a command may come across.
    #[must_use]
    pub fn secrets_put(&self) -> Put {
        self.ledger.borrow().secrets()
    }

    /// Compares what only the hand may read.
    fn compare_tainted(
        &self,
        target: &AbsolutePath,
        content: &Pieces,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure> {
        if content.has_secret() && self.is_as_it_was(target, content, context)? {
            self.note_file(target, content);
            return Ok(Comparison::Same);
        }
        self.compare_in_hand(target, content.into(), context)
    }

    fn compare_in_hand(
        &self,
        target: &AbsolutePath,
        wanted: Wanted<'_>,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure> {
        let content = wanted.pieces;
        let is_edit = wanted.edit.is_some();
        if content.has_secret() {
            context.require_secrets()?;
        }
        let found = self.parts.hands.with(|hand| hand.compare(target, wanted, context.id));
        let found = match found.map(map::comparison)? {
            Comparison::Different { .. } if !context.diff => Comparison::Different { diff: Vec::new() },
            found => found,
        };
        if content.has_secret() && found == Comparison::Same {
            // It got there some other way, or the ledger of that time is lost: it holds the secret all the same.
            let mut secrets = self.secrets_of(content, context);
            if is_edit {
                // The other lines may hold others.
                secrets = secrets.and(self.ledger.borrow().secrets_at(target));
            }
            self.ledger.borrow_mut().found(target, &secrets)?;
            self.note_file(target, content);
        }
        Ok(found)
    }

    /// The secrets of a text with their versions: what the run says of them, or else the hand.
    fn secrets_of(&self, content: &Pieces, context: &Context<'_>) -> Put {
        let mut put = Put { is_whole: true, ..Put::default() };
        let mut held = None;
        for slot in content.slots() {
            let is_it = |known: &&(SecretPath, SecretVersion)| known.0 == slot.path;
            let known = context.versions.iter().find(is_it).cloned().or_else(|| {
                let held = held.get_or_insert_with(|| self.parts.hands.with(vigo_hand::Hand::held));
                held.as_ref().ok()?.iter().find(is_it).cloned()
            });
            match known {
                Some(known) => drop(put.secrets.insert(known)),
                None => {
                    put.is_whole = false;
                    self.began_clean.set(false);
                }
            }
        }
        if !self.parts.values.have_versions() {
            self.put_now.borrow_mut().extend(put.secrets.iter().cloned());
            put.is_whole = false;
        }
        put
    }

    /// True if the hand can tell without the values, which were left for later, that the file is as it was put.
    fn is_as_it_was(
        &self,
        target: &AbsolutePath,
        content: &Pieces,
        context: &Context<'_>,
    ) -> Result<bool, Failure> {
        if !context.on_demand.is_left_for_later() || !self.parts.hands.is_running() {
            return Ok(false);
        }
        self.parts.hands.with(|hand| hand.verify(target, content, context.versions, context.id))
    }

    /// Notes that the secrets of a text stand in that file.
    fn note_file(&self, path: &AbsolutePath, content: &Pieces) {
        let secrets = content.slots().map(|slot| slot.path.clone()).collect();
        self.exposures.note_file(path, secrets, self.file_way(path));
    }

    /// `None` when the file turns out to be one that only the hand may read.
    fn compare_ordinary(
        &self,
        target: &AbsolutePath,
        content: &str,
        diff: bool,
    ) -> Result<Option<Comparison>, Failure> {
        let cannot = |error: std::io::Error| Failure::failed(format!("cannot read `{target}`: {error}"));
        let Some((mut file, entry)) = self.folders.open_file(target)? else {
            return Ok(Some(Comparison::Missing));
        };
        if !entry.mode.others_may_read() {
            return Ok(None);
        }
        let found =
            self.window.borrow_mut().compare(&mut file, entry.size, content.as_bytes()).map_err(cannot)?;
        if !diff || found == Comparison::Same {
            return Ok(Some(found));
        }
        self.difference(target, content.as_bytes()).map(Some)
    }

    /// What differs, line by line.
    fn difference(&self, target: &AbsolutePath, wanted: &[u8]) -> Result<Comparison, Failure> {
        let Some((file, _)) = self.folders.open_file(target)? else { return Ok(Comparison::Missing) };
        let there = compare::read_shown(file)?;
        Ok(Comparison::Different { diff: compare::lines(Some(&there), wanted) })
    }

    fn place(
        &mut self,
        placement: &Placement,
        durability: Durability,
        content: &mut dyn FnMut(&mut dyn std::io::Write) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        let target = map::placement(placement, durability);
        let before = Ledger::before(&placement.path);
        let placed = target::place(&self.parts.intents, &target, content)
            .map_err(|error| map::target_failure(&error))?;
        self.ledger.borrow_mut().settle_plain(&before, &placed)?;
        if durability == Durability::Later {
            self.unsynced(&placement.path)?;
        }
        Ok(())
    }

    /// Remembers the file system of a path for the next flush.
    fn unsynced(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        let cannot = |errno| failed("sync", path, errno);
        let (folder, _) = self.folders.parent(path).map_err(cannot)?;
        let device = rustix::fs::fstat(&*folder).map_err(cannot)?.st_dev;
        if let std::collections::hash_map::Entry::Vacant(slot) = self.unsynced.entry(device) {
            slot.insert(rustix::io::fcntl_dupfd_cloexec(&*folder, 0).map_err(cannot)?);
        }
        Ok(())
    }

    /// Lets a command judge the content before it takes its place. The candidate is a private file in the state folder.
    fn validate(&self, validation: &Validation, content: &str, context: &Context<'_>) -> Result<(), Failure> {
        let folder = crate::Folder::open(&self.parts.state.join("candidates"))
            .map_err(|error| map::folder_failure(&error))?;
        let name = "candidate";
        folder.write(name, content.as_bytes()).map_err(|error| map::folder_failure(&error))?;
        let path = folder.path().join(name);
        let judged = self.judge(validation, &path.to_string_lossy(), OutputRule::Automatic, context);
        folder.remove(name).map_err(|error| map::folder_failure(&error))?;
        judged
    }

    /// A file with these secrets, which the ledger remembers before its first byte.
    fn write_tainted(
        &self,
        placement: &Placement,
        wanted: Wanted<'_>,
        secrets: &Put,
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        let before = self.ledger.borrow_mut().taint(&placement.path, secrets)?;
        let placed = self.write_secret(placement, wanted, context)?;
        self.ledger.borrow_mut().settle(&before, &placed, secrets)
    }

    /// A file with a secret. Its candidate, if a command is to judge it, is the file that will be renamed into place, written by the hand.
    fn write_secret(
        &self,
        placement: &Placement,
        content: Wanted<'_>,
        context: &Context<'_>,
    ) -> Result<Placed, Failure> {
        let target = map::placement(placement, Durability::Each);
        let Some(validation) = &placement.validation else {
            return self.parts.hands.with(|hand| hand.write(&target, content, context.id));
        };
        let candidate = self.parts.hands.with(|hand| hand.stage(&target, content, context.id))?;
        match self.judge(validation, &candidate.to_string_lossy(), OutputRule::Drop, context) {
            Ok(()) => self.parts.hands.with(vigo_hand::Hand::commit),
            Err(failure) => {
                self.parts.hands.with(vigo_hand::Hand::discard)?;
                Err(failure)
            }
        }
    }

    /// Runs the command on the candidate.
    fn judge(
        &self,
        validation: &Validation,
        candidate: &str,
        output: OutputRule,
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        let request = CommandRequest {
            line: CommandLine::Shell {
                shell: map::shell()?,
                text: Pieces::literal(validation.command_for(candidate)),
            },
            user: None,
            group: None,
            folder: map::root()?,
            environment: Vec::new(),
            allow_argv: false,
            credentials: Vec::new(),
            stdin: None,
            umask: 0o022,
            timeout: validation.timeout,
            output,
            resource: context.id.to_owned(),
        };
        let finished = self.run_command(&request)?;
        if finished.succeeded() {
            Ok(())
        } else {
            Err(map::validation_failure(&validation.command, &finished))
        }
    }

    pub(crate) fn run_command(&self, request: &CommandRequest) -> Result<Finished, Failure> {
        let keep = self.keep(request);
        if gets_secret(request) {
            return self.run_with_secret(request, keep);
        }
        let run = |ear| commands::run(&self.parts.spawner, request, &self.accounts.borrow(), ear);
        let ran = match keep {
            Keep::Nothing(why) => run(Ear::Nobody(why)),
            Keep::Plain => run(Ear::Own),
            Keep::Scrubbed(required) => match self.parts.hands.get() {
                Ok(mut hand) => run(Ear::Hand(&mut hand, &required)),
                Err(failure) => run(Ear::Nobody(format!("nobody can scrub it: {}", failure.reason))),
            },
        }?;
        if ran.is_hand_lost {
            self.parts.hands.end();
        }
        Ok(Finished { end: ran.end, output: ran.output })
    }

    /// What of a command's output may be kept.
    fn keep(&self, request: &CommandRequest) -> Keep {
        let is_wanted = match request.output {
            OutputRule::Drop => false,
            OutputRule::Automatic => !gets_secret(request),
            OutputRule::Scrub => true,
        };
        if !is_wanted || self.names_tainted(request) {
            return Keep::Nothing(String::new());
        }
        let Put { mut secrets, is_whole } = self.ledger.borrow().secrets();
        if self.ledger.borrow().is_empty() && !gets_secret(request) && !self.parts.hands.is_running() {
            return Keep::Plain;
        }
        if !is_whole {
            if !self.began_clean.get() {
                let why =
                    "it is not known which values an earlier run put into files, so it cannot be scrubbed";
                return Keep::Nothing(why.to_owned());
            }
            secrets.extend(self.put_now.borrow().iter().cloned());
        }
        self.scrubbable(secrets.into_iter().collect())
    }

    /// What the hand is asked for: it says itself what it does not hold. Those values are got before, where they can be had.
    fn scrubbable(&self, required: Vec<(SecretPath, SecretVersion)>) -> Keep {
        let hands = &self.parts.hands;
        let missing = if hands.is_running() {
            // One that is gone is replaced, and holds nothing.
            hands.with(|hand| hand.missing(&required)).unwrap_or_else(|_| required.clone())
        } else {
            required.clone()
        };
        if !missing.is_empty() {
            self.parts.values.hold_for_scrubbing(&missing);
            if let (false, Some((path, version))) = (hands.is_running(), missing.first()) {
                return Keep::Nothing(map::not_here(path, *version));
            }
        }
        Keep::Scrubbed(required)
    }

    fn run_with_secret(&self, request: &CommandRequest, keep: Keep) -> Result<Finished, Failure> {
        let resolved = commands::resolve(request, &self.accounts.borrow())?;
        let (required, why) = match keep {
            Keep::Scrubbed(required) => (Some(required), String::new()),
            Keep::Plain => (None, String::new()),
            Keep::Nothing(why) => (None, why),
        };
        let is_kept = required.is_some();
        let command = map::command(request, resolved, required)?;
        let finished = self.parts.hands.with(|hand| hand.run(&command));
        // A hand that is gone may have started it before.
        if finished.is_ok() || !self.parts.hands.is_running() {
            self.exposures.note(request.exposes());
        }
        finished.map(|finished| map::finished(finished, is_kept, why))
    }

    /// True if the command names a file that others may not read. What can be run is taken for a program, not for data; what cannot be
    /// looked at, for no file.
    fn names_private(&self, request: &CommandRequest) -> bool {
        ledger::paths_named(request).iter().any(|path| {
            // Whatever links lead there: what is read is what they lead to.
            let real = std::fs::canonicalize(path.as_path()).ok();
            let real = real.and_then(|real| real.to_str()?.parse::<AbsolutePath>().ok());
            let entry = real.and_then(|real| self.folders.entry(&real).ok().flatten());
            entry.is_some_and(|entry| {
                entry.kind == vigo_resource::EntryKind::File
                    && !entry.mode.others_may_read()
                    && entry.mode.bits() & 0o111 == 0
            })
        })
    }

    /// True if the command names a file that holds a secret: what it says may be that file.
    fn names_tainted(&self, request: &CommandRequest) -> bool {
        self.ledger.borrow().is_named_by(request) || self.names_private(request)
    }
}

/// What of a command's output may be kept.
#[derive(Debug)]
enum Keep {
    /// Nothing. Why, if it is for want of something.
    Nothing(String),
    /// All of it: no file holds a value, and none is held.
    Plain,
    /// What the hand gives, if it holds these values.
    Scrubbed(Vec<(SecretPath, SecretVersion)>),
}

fn gets_secret(request: &CommandRequest) -> bool {
    request.has_secret() || !request.credentials.is_empty()
}

impl Host for RealHost<'_> {
    fn entry(&self, path: &AbsolutePath) -> Result<Option<Entry>, Failure> {
        self.folders.entry(path)
    }

    fn list_folder(&self, path: &AbsolutePath) -> Result<Vec<String>, Failure> {
        self.folders.list(path)
    }

    fn read_small(&self, path: &AbsolutePath, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        let is_table = vigo_resource::is_public_table(path) && !self.ledger.borrow().holds(path);
        if !is_table && self.is_tainted(path)? {
            return Err(Failure::failed(format!(
                "cannot read `{path}`: it holds a secret, or is not for everybody to read"
            )));
        }
        let Some((file, _)) = self.folders.open_file(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        file.take(bound)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::failed(format!("cannot read `{path}`: {error}")))?;
        if bytes.len() > limit {
            return Err(Failure::failed(format!("cannot read `{path}`: it is larger than {limit} bytes")));
        }
        Ok(Some(bytes))
    }

    fn compare_text(
        &self,
        target: &AbsolutePath,
        content: &Pieces,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure> {
        if let Some(text) = content.as_literal()
            && !self.ledger.borrow().holds(target)
            && let Some(found) = self.compare_ordinary(target, text, context.diff)?
        {
            return Ok(found);
        }
        self.compare_tainted(target, content, context)
    }

    fn compare_copy(
        &self,
        target: &AbsolutePath,
        source: &AbsolutePath,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure> {
        let is_tainted = self.is_tainted(source)?;
        if is_tainted || self.is_tainted(target)? {
            let (file, entry) = self.open_source(source)?;
            let found = self
                .parts
                .hands
                .with(|hand| hand.compare_copy(target, file.as_fd(), entry.size, context.id))
                .map(map::comparison)?;
            if is_tainted && found == Comparison::Same {
                let mut ledger = self.ledger.borrow_mut();
                let secrets = ledger.secrets_at(source);
                ledger.found(target, &secrets)?;
                drop(ledger);
                self.exposures.note_copy(target, source, self.file_way(target));
            }
            return Ok(found);
        }
        let wanted = self.read_source(source)?;
        let cannot = |error: std::io::Error| Failure::failed(format!("cannot read `{target}`: {error}"));
        let Some((mut file, entry)) = self.folders.open_file(target)? else { return Ok(Comparison::Missing) };
        let found = self.window.borrow_mut().compare(&mut file, entry.size, &wanted).map_err(cannot)?;
        if !context.diff || found == Comparison::Same {
            return Ok(found);
        }
        self.difference(target, &wanted)
    }

    fn compare_edit(
        &self,
        target: &AbsolutePath,
        edit: &Edit,
        text: &Pieces,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure> {
        if text.has_secret() || self.is_tainted(target)? {
            return self.compare_in_hand(target, Wanted { pieces: text, edit: Some(edit) }, context);
        }
        let Some(there) = self.read_small(target, vigo_edit::LARGEST)? else {
            return Ok(Comparison::Missing);
        };
        Ok(match context.edited(target, edit, &there, text)? {
            None => Comparison::Same,
            Some(_) if !context.diff => Comparison::Different { diff: Vec::new() },
            Some(edited) => Comparison::Different { diff: compare::lines(Some(&there), edited.as_bytes()) },
        })
    }

    fn user(&self, name: &str) -> Result<Option<User>, Failure> {
        self.accounts.borrow().user(name)
    }

    fn group(&self, name: &str) -> Result<Option<Group>, Failure> {
        self.accounts.borrow().group(name)
    }

    fn is_guarded(&self, path: &AbsolutePath) -> bool {
        self.parts.guarded.iter().any(|guarded| path.is_at_or_below(guarded))
    }

    fn has_access_list(&self, path: &AbsolutePath) -> bool {
        crate::identity::has_access_list(path)
    }

    fn own(&self) -> Ownership {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        Ownership { owner: Some(user.as_raw()), group: Some(group.as_raw()) }
    }

    fn is_tainted(&self, path: &AbsolutePath) -> Result<bool, Failure> {
        if self.ledger.borrow().holds(path) {
            return Ok(true);
        }
        let entry = self.folders.entry(path)?;
        Ok(entry.is_some_and(|entry| {
            entry.kind == vigo_resource::EntryKind::File && !entry.mode.others_may_read()
        }))
    }

    fn holds_secret(&self, path: &AbsolutePath) -> bool {
        self.ledger.borrow().holds(path)
    }

    fn probe(&self, request: &CommandRequest) -> Result<Finished, Failure> {
        self.run_command(request)
    }

    fn process_running(&self, name: &str) -> Result<bool, Failure> {
        looks::process_running(name)
    }

    fn port_listening(&self, port: u16) -> Result<bool, Failure> {
        looks::port_listening(port)
    }

    fn swap_state(&self) -> Result<SwapState, Failure> {
        swap::state()
    }

    fn storage(&self, path: &str) -> Result<Option<Storage>, Failure> {
        swap::storage(path)
    }

    fn now(&self) -> Timestamp {
        looks::now()
    }

    fn utc_offset_seconds(&self) -> i32 {
        looks::utc_offset_seconds()
    }

    fn clock(&self) -> Duration {
        self.started.elapsed()
    }

    fn write_text(
        &mut self,
        placement: &Placement,
        content: &Pieces,
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        match content.as_literal() {
            Some(text) => {
                if let Some(validation) = &placement.validation {
                    self.validate(validation, text, context)?;
                }
                self.place(placement, Durability::Later, &mut |file| file.write_all(text.as_bytes()))
            }
            None => {
                // Before the first byte: a kill in between leaves a file that is treated as tainted and is not, never the other way round.
                let secrets = self.secrets_of(content, context);
                self.write_tainted(placement, content.into(), &secrets, context)?;
                self.note_file(&placement.path, content);
                Ok(())
            }
        }
    }

    fn edit_file(
        &mut self,
        placement: &Placement,
        edit: &Edit,
        text: &Pieces,
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        let path = &placement.path;
        if text.has_secret() || self.is_tainted(path)? {
            let wanted = Wanted { pieces: text, edit: Some(edit) };
            if text.has_secret() || self.ledger.borrow().holds(path) {
                // What stands in the other lines stays there.
                let secrets = self.ledger.borrow().secrets_at(path).and(self.secrets_of(text, context));
                self.write_tainted(placement, wanted, &secrets, context)?;
            } else {
                self.write_secret(placement, wanted, context)?;
            }
            self.note_file(path, text);
            return Ok(());
        }
        let there = self.read_small(path, vigo_edit::LARGEST)?.unwrap_or_default();
        let edited = context.edited(path, edit, &there, text)?;
        let bytes = edited.as_deref().map_or(there.as_slice(), str::as_bytes);
        if let (Some(validation), Ok(candidate)) = (&placement.validation, std::str::from_utf8(bytes)) {
            self.validate(validation, candidate, context)?;
        }
        self.place(placement, Durability::Later, &mut |file| file.write_all(bytes))
    }

    fn copy_file(
        &mut self,
        placement: &Placement,
        source: &AbsolutePath,
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        if self.is_tainted(source)? {
            return self.copy_tainted(placement, source, context);
        }
        let bytes = self.read_source(source)?;
        if let Some(validation) = &placement.validation {
            let text = String::from_utf8(bytes.clone()).map_err(|_| {
                Failure::failed(format!("cannot validate a copy of `{source}`: it is not text"))
            })?;
            self.validate(validation, &text, context)?;
        }
        self.place(placement, Durability::Later, &mut |file| file.write_all(&bytes))
    }

    fn make_folder(&mut self, path: &AbsolutePath, mode: Mode, ownership: Ownership) -> Result<(), Failure> {
        self.folders.make_folder(path, mode, ownership)?;
        self.unsynced(path)
    }

    fn make_link(&mut self, path: &AbsolutePath, link: &Link, ownership: Ownership) -> Result<(), Failure> {
        let before = Ledger::before(path);
        self.folders.make_link(path, link, ownership)?;
        let mut ledger = self.ledger.borrow_mut();
        ledger.forget(&before)?;
        if let Link::Hard(target) = link
            && ledger.holds(target)
        {
            // Another name of the same file, which the ledger knows by its inode already.
            let secrets = ledger.secrets_at(target);
            ledger.found(path, &secrets)?;
            self.exposures.note_copy(path, target, self.file_way(path));
        }
        drop(ledger);
        self.unsynced(path)
    }

    fn remove_file(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        let before = Ledger::before(path);
        self.folders.remove_file(path)?;
        self.ledger.borrow_mut().forget(&before)?;
        self.unsynced(path)
    }

    fn remove_folder(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        self.folders.remove_folder(path)?;
        self.unsynced(path)
    }

    fn set_mode(&mut self, path: &AbsolutePath, mode: Mode) -> Result<(), Failure> {
        self.folders.set_mode(path, mode)
    }

    fn set_owner(&mut self, path: &AbsolutePath, ownership: Ownership) -> Result<(), Failure> {
        self.folders.set_owner(path, ownership)
    }

    fn run(&mut self, request: &CommandRequest) -> Result<Finished, Failure> {
        let finished = self.run_command(request);
        // It may have changed accounts, and what folders lead where.
        self.accounts.borrow_mut().forget();
        self.folders.forget();
        finished
    }

    fn file_way(&self, path: &AbsolutePath) -> ExposureWay {
        let folder = self.folders.parent(path);
        folder.map_or(ExposureWay::FileOnSwap, |(folder, _)| {
            exposures::way_of_files_in(&folder, self.parts.swap)
        })
    }

    fn take_exposures(&self) -> Vec<Exposed> {
        self.exposures.take()
    }

    fn change_swap(&mut self, step: &SwapStep) -> Result<(), Failure> {
        let changed = swap::change(self, step);
        self.folders.forget();
        changed
    }

    fn flush(&mut self) -> Result<(), Failure> {
        for (_, folder) in self.unsynced.drain() {
            sync(&folder).map_err(|errno| {
                Failure::failed(format!("cannot sync a file system: {}", std::io::Error::from(errno)))
            })?;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn sync(folder: &OwnedFd) -> Result<(), rustix::io::Errno> {
    rustix::fs::syncfs(folder)
}

#[cfg(not(target_os = "linux"))]
fn sync(_folder: &OwnedFd) -> Result<(), rustix::io::Errno> {
    rustix::fs::sync();
    Ok(())
}
