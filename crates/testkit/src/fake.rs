//! A machine in memory: files with modes and owners, users, secrets, commands from a table, and calls that fail when told to.

mod commands;
mod tree;

use base64::Engine as _;
pub use commands::{Effect, FakeCommand};
pub use tree::{Node, NodeKind};

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tree::Tree;
use vigo_base::{AbsolutePath, ExposureWay, Filter, Mode, Piece, Pieces, SecretPath};
use vigo_edit::{Edit, Operand, Part};
use vigo_resource::{
    CommandRequest, Comparison, Context, DiffLine, DiffSign, Entry, EntryKind, Exposed, Failure, Finished,
    Group, Host, Link, Ownership, Placement, Storage, SwapModel, SwapState, SwapStep, Timestamp, User,
};

/// A call of the host that is to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The n-th call (from 1) does nothing and fails.
    Before(u64),
    /// The n-th call does what it should and says that it failed.
    After(u64),
}

/// A machine in memory.
#[derive(Debug, Default)]
pub struct FakeHost {
    tree: Tree,
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, Group>,
    secrets: BTreeMap<SecretPath, String>,
    tainted: BTreeSet<AbsolutePath>,
    guarded: Vec<AbsolutePath>,
    commands: BTreeMap<String, FakeCommand>,
    processes: BTreeSet<String>,
    ports: BTreeSet<u16>,
    ran: Vec<String>,
    seconds: i64,
    fault: Option<Fault>,
    calls: Cell<u64>,
    probed: RefCell<Vec<String>>,
    flushed: u64,
    exposed: RefCell<Vec<Exposed>>,
    swap: SwapModel,
}

impl FakeHost {
    /// A machine with `/` and root on it.
    #[must_use]
    pub fn new() -> Self {
        let mut host = Self { seconds: 1_700_000_000, ..Self::default() };
        host.add_user("root", 0);
        host.add_group("root", 0);
        host
    }

    /// Puts a user there; the group of the same number is the primary one.
    pub fn add_user(&mut self, name: &str, id: u32) {
        let user =
            User { name: name.into(), id, group: id, home: format!("/home/{name}"), shell: "/bin/sh".into() };
        self.users.insert(name.into(), user);
    }

    /// Puts a group there.
    pub fn add_group(&mut self, name: &str, id: u32) {
        self.groups.insert(name.into(), Group { name: name.into(), id });
    }

    /// Gives a secret its value.
    pub fn set_secret(&mut self, path: &SecretPath, value: &str) {
        self.secrets.insert(path.clone(), value.into());
    }

    /// Takes a secret away, as after a restart without a server.
    pub fn drop_secret(&mut self, path: &SecretPath) {
        self.secrets.remove(path);
    }

    /// Puts something at a path. Its parents are made as folders.
    pub fn put(&mut self, path: &AbsolutePath, node: Node) {
        self.tree.put(path, node);
    }

    /// What stands at a path.
    #[must_use]
    pub fn node(&self, path: &AbsolutePath) -> Option<&Node> {
        self.tree.get(path)
    }

    /// Says what a command does. The text is that after `-c`, or the arguments joined by blanks.
    pub fn add_command(&mut self, text: &str, command: FakeCommand) {
        self.commands.insert(text.into(), command);
    }

    /// Makes a path Vigo's own.
    pub fn guard(&mut self, path: AbsolutePath) {
        self.guarded.push(path);
    }

    /// Makes a process run.
    pub fn add_process(&mut self, name: &str) {
        self.processes.insert(name.into());
    }

    /// Makes a port listen.
    pub fn add_port(&mut self, port: u16) {
        self.ports.insert(port);
    }

    /// Its swap, to be set up and looked at.
    pub const fn swap(&mut self) -> &mut SwapModel {
        &mut self.swap
    }

    /// The same, to look at only.
    #[must_use]
    pub const fn swap_model(&self) -> &SwapModel {
        &self.swap
    }

    /// Lets the wall clock go on.
    pub fn pass(&mut self, seconds: i64) {
        self.seconds += seconds;
    }

    /// Makes a call fail, and counts calls from here.
    pub fn set_fault(&mut self, fault: Option<Fault>) {
        self.fault = fault;
        self.calls.set(0);
    }

    /// How many calls were made since the last [`FakeHost::set_fault`].
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// How often everything was made durable.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.flushed
    }

    /// The commands that ran, guards not among them.
    #[must_use]
    pub fn ran(&self) -> &[String] {
        &self.ran
    }

    /// The whole file system and everything that ran, as text: two machines are alike if this is.
    #[must_use]
    pub fn snapshot(&self) -> String {
        let mut text = self.tree.snapshot();
        for area in &self.swap.state.areas {
            text.push_str(&format!("swap {} {}\n", area.storage.path, area.priority));
        }
        for storage in &self.swap.storages {
            text.push_str(&format!("storage {} {:?}\n", storage.path, storage.content));
        }
        for command in &self.ran {
            text.push_str(&format!("ran {command}\n"));
        }
        text
    }

    fn call<T>(&self, result: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        match self.count() {
            Some(Fault::Before(_)) => Err(injected()),
            Some(Fault::After(_)) => result().and(Err(injected())),
            None => result(),
        }
    }

    fn change<T>(&mut self, result: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        match self.count() {
            Some(Fault::Before(_)) => Err(injected()),
            Some(Fault::After(_)) => result(self).and(Err(injected())),
            None => result(self),
        }
    }

    fn count(&self) -> Option<Fault> {
        let call = self.calls.get() + 1;
        self.calls.set(call);
        self.fault.filter(|fault| matches!(fault, Fault::Before(n) | Fault::After(n) if *n == call))
    }

    fn fill(&self, content: &Pieces) -> Result<String, Failure> {
        let mut text = String::new();
        for piece in content.as_slice() {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Slot(slot) => {
                    let value = self.secrets.get(&slot.path).ok_or_else(|| {
                        Failure::blocked(format!("the value of secret `{}` is not held", slot.path))
                    })?;
                    let filtered = slot.filters.iter().fold(value.clone(), filtered);
                    text.push_str(&filtered);
                }
            }
        }
        Ok(text)
    }

    /// What an edit makes of a file, with the values where secrets stand.
    fn edited(&self, target: &AbsolutePath, edit: &Edit, text: &Pieces) -> Result<Option<String>, Failure> {
        let there = self.tree.file(target).unwrap_or_default();
        let values: Vec<(bool, String)> = text
            .as_slice()
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => Ok((false, text.clone())),
                Piece::Slot(slot) => {
                    let mut one = Pieces::default();
                    one.push_slot(slot.clone());
                    self.fill(&one).map(|value| (true, value))
                }
            })
            .collect::<Result<_, Failure>>()?;
        let parts: Vec<Part<'_>> = values
            .iter()
            .map(|(secret, text)| if *secret { Part::Value(text) } else { Part::Literal(text) })
            .collect();
        edit.apply(there, &Operand::new(&parts))
            .map_err(|error| Failure::failed(format!("cannot edit `{target}`: {error}")).help(error.help()))
    }

    fn taints(&self, path: &AbsolutePath) -> bool {
        self.tainted.contains(path)
            || self
                .tree
                .get(path)
                .is_some_and(|node| matches!(node.kind, NodeKind::File(_)) && !node.mode.others_may_read())
    }

    fn diff(&self, target: &AbsolutePath, content: &Pieces, context: &Context<'_>) -> Vec<DiffLine> {
        if !context.diff {
            return Vec::new();
        }
        let masked = context.masked(content);
        let new = masked.lines().map(|line| DiffLine::new(DiffSign::Added, line));
        let old = match self.tree.file(target) {
            Some(old) if self.taints(target) || content.has_secret() => {
                vec![DiffLine::new(DiffSign::Note, format!("{} lines removed", old.lines().count()))]
            }
            Some(old) => old.lines().map(|line| DiffLine::new(DiffSign::Removed, line)).collect(),
            None => Vec::new(),
        };
        old.into_iter().chain(new).collect()
    }

    fn place(&mut self, placement: &Placement, bytes: String, tainted: bool) -> Result<(), Failure> {
        if let Some(validation) = &placement.validation {
            let accepted = self.commands.get(&validation.command).is_none_or(|command| command.exit == 0);
            if !accepted {
                let command = &validation.command;
                return Err(Failure::failed(format!(
                    "`{command}` refuses the new content of `{}`",
                    placement.path
                )));
            }
        }
        let ownership = (placement.ownership.owner.unwrap_or(0), placement.ownership.group.unwrap_or(0));
        self.tree.place(&placement.path, bytes, placement.mode, ownership, placement.in_place)?;
        if tainted {
            self.tainted.insert(placement.path.clone());
        }
        Ok(())
    }
}

/// What the filters that cases use do; the names of the others stand for what they do.
fn filtered(value: String, filter: &Filter) -> String {
    match filter {
        Filter::Base64 => base64::engine::general_purpose::STANDARD.encode(value),
        Filter::Hex => vigo_base::encode_hex(value.as_bytes()),
        Filter::Trim => value.trim().to_owned(),
        other => format!("{}({value})", other.name()),
    }
}

fn injected() -> Failure {
    Failure::failed("an injected fault")
}

impl Host for FakeHost {
    fn entry(&self, path: &AbsolutePath) -> Result<Option<Entry>, Failure> {
        self.call(|| Ok(self.tree.entry(path)))
    }

    fn list_folder(&self, path: &AbsolutePath) -> Result<Vec<String>, Failure> {
        self.call(|| self.tree.names(path))
    }

    fn read_small(&self, path: &AbsolutePath, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        self.call(|| match self.tree.file(path) {
            _ if self.taints(path) && !vigo_resource::is_public_table(path) => {
                Err(Failure::failed(format!("cannot read `{path}`: it is tainted")))
            }
            Some(text) if text.len() > limit => {
                Err(Failure::failed(format!("cannot read `{path}`: it has more than {limit} bytes")))
            }
            Some(text) => Ok(Some(text.as_bytes().to_vec())),
            None => Ok(None),
        })
    }

    fn compare_text(
        &self,
        target: &AbsolutePath,
        content: &Pieces,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure> {
        self.call(|| {
            let wanted = self.fill(content)?;
            // What was left for later is needed as soon as the file is not as it was put.
            let is_same = self.tree.file(target) == Some(wanted.as_str());
            if content.has_secret() && !(is_same && context.on_demand.is_left_for_later()) {
                context.require_secrets()?;
            }
            Ok(match self.tree.file(target) {
                None => Comparison::Missing,
                Some(text) if *text == wanted => {
                    self.exposed.borrow_mut().extend(Exposed::of(content, ExposureWay::File));
                    Comparison::Same
                }
                Some(_) => Comparison::Different { diff: self.diff(target, content, context) },
            })
        })
    }

    fn compare_copy(
        &self,
        target: &AbsolutePath,
        source: &AbsolutePath,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure> {
        self.call(|| {
            let Some(wanted) = self.tree.file(source) else {
                return Err(Failure::failed(format!("cannot copy `{source}`: it does not exist")));
            };
            Ok(match self.tree.file(target) {
                None => Comparison::Missing,
                Some(text) if text == wanted => Comparison::Same,
                Some(_) if self.taints(source) => Comparison::Different { diff: Vec::new() },
                Some(_) => {
                    Comparison::Different { diff: self.diff(target, &Pieces::literal(wanted), context) }
                }
            })
        })
    }

    fn compare_edit(
        &self,
        target: &AbsolutePath,
        edit: &Edit,
        text: &Pieces,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure> {
        self.call(|| {
            if text.has_secret() {
                context.require_secrets()?;
            }
            let Some(there) = self.tree.file(target) else { return Ok(Comparison::Missing) };
            if self.edited(target, edit, text)?.is_none() {
                self.exposed.borrow_mut().extend(Exposed::of(text, ExposureWay::File));
                return Ok(Comparison::Same);
            }
            let diff = match context.edited(target, edit, there.as_bytes(), text)? {
                Some(masked) if context.diff => self.diff(target, &Pieces::literal(masked), context),
                _ => Vec::new(),
            };
            Ok(Comparison::Different { diff })
        })
    }

    fn user(&self, name: &str) -> Result<Option<User>, Failure> {
        self.call(|| {
            let number: Option<u32> = name.parse().ok();
            let by_number = || self.users.values().find(|user| Some(user.id) == number);
            Ok(self.users.get(name).or_else(by_number).cloned())
        })
    }

    fn group(&self, name: &str) -> Result<Option<Group>, Failure> {
        self.call(|| Ok(self.groups.get(name).cloned()))
    }

    fn is_guarded(&self, path: &AbsolutePath) -> bool {
        self.guarded.iter().any(|guarded| path.is_at_or_below(guarded))
    }

    fn has_access_list(&self, _path: &AbsolutePath) -> bool {
        false
    }

    fn own(&self) -> Ownership {
        Ownership { owner: Some(0), group: Some(0) }
    }

    fn is_tainted(&self, path: &AbsolutePath) -> Result<bool, Failure> {
        self.call(|| Ok(self.taints(path)))
    }

    fn holds_secret(&self, path: &AbsolutePath) -> bool {
        self.tainted.contains(path)
    }

    fn probe(&self, request: &CommandRequest) -> Result<Finished, Failure> {
        self.call(|| {
            let text = commands::text(request);
            self.probed.borrow_mut().push(text.clone());
            self.exposed.borrow_mut().extend(request.exposes());
            Ok(match self.commands.get(&text) {
                Some(command) => command.finished(request.has_secret()),
                None => commands::builtin(&text, &self.tree),
            })
        })
    }

    fn process_running(&self, name: &str) -> Result<bool, Failure> {
        self.call(|| Ok(self.processes.contains(name)))
    }

    fn port_listening(&self, port: u16) -> Result<bool, Failure> {
        self.call(|| Ok(self.ports.contains(&port)))
    }

    fn swap_state(&self) -> Result<SwapState, Failure> {
        self.call(|| Ok(self.swap.state.clone()))
    }

    fn storage(&self, path: &str) -> Result<Option<Storage>, Failure> {
        self.call(|| Ok(self.swap.storage(path).cloned()))
    }

    fn now(&self) -> Timestamp {
        Timestamp { seconds: self.seconds, nanoseconds: 0 }
    }

    fn utc_offset_seconds(&self) -> i32 {
        0
    }

    fn clock(&self) -> Duration {
        Duration::from_millis(self.calls.get())
    }

    fn write_text(
        &mut self,
        placement: &Placement,
        content: &Pieces,
        _context: &Context<'_>,
    ) -> Result<(), Failure> {
        self.change(|host| {
            let text = host.fill(content)?;
            host.place(placement, text, content.has_secret())?;
            host.exposed.get_mut().extend(Exposed::of(content, ExposureWay::File));
            Ok(())
        })
    }

    fn copy_file(
        &mut self,
        placement: &Placement,
        source: &AbsolutePath,
        _context: &Context<'_>,
    ) -> Result<(), Failure> {
        self.change(|host| {
            let tainted = host.taints(source);
            match host.tree.file(source).map(str::to_owned) {
                Some(text) => host.place(placement, text, tainted),
                None => Err(Failure::failed(format!("cannot copy `{source}`: it does not exist"))),
            }
        })
    }

    fn edit_file(
        &mut self,
        placement: &Placement,
        edit: &Edit,
        text: &Pieces,
        _context: &Context<'_>,
    ) -> Result<(), Failure> {
        self.change(|host| {
            let there = host.tree.file(&placement.path).unwrap_or_default().to_owned();
            let tainted = text.has_secret() || host.tainted.contains(&placement.path);
            let edited = host.edited(&placement.path, edit, text)?.unwrap_or(there);
            host.place(placement, edited, tainted)?;
            host.exposed.get_mut().extend(Exposed::of(text, ExposureWay::File));
            Ok(())
        })
    }

    fn make_folder(&mut self, path: &AbsolutePath, mode: Mode, ownership: Ownership) -> Result<(), Failure> {
        self.change(|host| {
            let owner = (ownership.owner.unwrap_or(0), ownership.group.unwrap_or(0));
            host.tree.make_folder(path, mode, owner)
        })
    }

    fn make_link(&mut self, path: &AbsolutePath, link: &Link, ownership: Ownership) -> Result<(), Failure> {
        self.change(|host| {
            let owner = (ownership.owner.unwrap_or(0), ownership.group.unwrap_or(0));
            match link {
                Link::Soft(to) => host.tree.soft_link(path, to, owner),
                Link::Hard(to) => {
                    if host.taints(to) {
                        host.tainted.insert(path.clone());
                    }
                    host.tree.hard_link(path, to)
                }
            }
        })
    }

    fn remove_file(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        self.change(|host| {
            host.tree.remove(path, false)?;
            host.tainted.remove(path);
            host.swap.storages.retain(|storage| storage.path != path.as_str());
            Ok(())
        })
    }

    fn remove_folder(&mut self, path: &AbsolutePath) -> Result<(), Failure> {
        self.change(|host| host.tree.remove(path, true))
    }

    fn set_mode(&mut self, path: &AbsolutePath, mode: Mode) -> Result<(), Failure> {
        self.change(|host| host.tree.set_mode(path, mode))
    }

    fn set_owner(&mut self, path: &AbsolutePath, ownership: Ownership) -> Result<(), Failure> {
        self.change(|host| host.tree.set_owner(path, ownership))
    }

    fn run(&mut self, request: &CommandRequest) -> Result<Finished, Failure> {
        self.change(|host| {
            let text = commands::text(request);
            if host.tree.entry(&request.folder).is_none_or(|entry| entry.kind != EntryKind::Folder) {
                return Err(Failure::failed(format!("cannot run in `{}`: no such folder", request.folder)));
            }
            let stdin = match &request.stdin {
                Some(stdin) => host.fill(stdin)?,
                None => String::new(),
            };
            for (_, value) in request.environment.iter().chain(&request.credentials) {
                host.fill(value)?;
            }
            host.ran.push(text.clone());
            host.exposed.get_mut().extend(request.exposes());
            let Some(command) = host.commands.get(&text).cloned() else {
                return Ok(commands::builtin(&text, &host.tree));
            };
            command.effects.iter().try_for_each(|effect| match effect {
                Effect::Write(path, bytes) => {
                    let bytes = bytes.replace("{stdin}", &stdin);
                    host.tree.place(path, bytes, Mode::FILE, (0, 0), false)
                }
                Effect::Remove(path) => host.tree.remove(path, false),
            })?;
            Ok(command.finished(request.has_secret()))
        })
    }

    fn file_way(&self, _path: &AbsolutePath) -> ExposureWay {
        ExposureWay::File
    }

    fn take_exposures(&self) -> Vec<Exposed> {
        let mut exposed = self.exposed.take();
        exposed.sort();
        exposed.dedup();
        exposed
    }

    fn change_swap(&mut self, step: &SwapStep) -> Result<(), Failure> {
        self.change(|host| {
            if let SwapStep::Make { path, size: Some(_) } = step {
                let path: AbsolutePath = path.parse().map_err(|_| Failure::failed("no path"))?;
                host.tree.place(&path, String::new(), Mode::from_bits(0o600), (0, 0), false)?;
            }
            host.swap.carry_out(step).map_err(Failure::failed)
        })
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.change(|host| {
            host.flushed += 1;
            Ok(())
        })
    }
}
