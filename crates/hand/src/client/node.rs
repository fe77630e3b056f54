//! What `vigo` asks its hand.

use super::{Hand, ORDINARY, message};
use crate::HandError;
use crate::content::{self, Wanted};
use crate::target::Placement;
use crate::types::{Binding, Command, Comparison, Finished, Heard, Placed, SealedItem, VaultRecord};
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vigo_base::{AbsolutePath, Pieces, SecretPath, SecretVersion, limits};
use vigo_secret::SecretBuf;
use vigo_wire::hand::{self as wire, Ask, Nothing};

impl Hand {
    /// The public half of a new one-time key (also for operators). The private half stays in the hand and is good for one [`Hand::open`] or
    /// [`Hand::show`], whether that succeeds or not.
    ///
    /// # Errors
    /// When the hand has ended.
    pub fn one_time_key(&mut self) -> Result<[u8; 32], HandError> {
        let answer: wire::PublicKey = self.ask(Ask::OneTimeKey, &Nothing {})?;
        message::array(Ask::OneTimeKey.name(), &answer.key)
    }

    /// Opens values that were sealed to the one-time key, all or none, and keeps them. At most [`limits::SECRET_BATCH`] of them, and 4 MiB.
    ///
    /// # Errors
    /// `Sealed` when one of them does not open; `Room` when the arena is full.
    pub fn open(&mut self, binding: &Binding, items: &[SealedItem]) -> Result<(), HandError> {
        let items = items.iter().map(message::sealed_item).collect();
        self.ask(Ask::Open, &wire::Open { binding: message::binding(binding), items }).map(|Nothing {}| ())
    }

    /// Opens a record of the unlocked vault and keeps the value (`apply --secrets DIR`).
    ///
    /// # Errors
    /// `Locked` without a vault; `Machine` when the record does not open.
    pub fn open_record(&mut self, record: &VaultRecord) -> Result<(), HandError> {
        self.ask(Ask::OpenRecord, &message::record(record)).map(|Nothing {}| ())
    }

    /// Takes a value from a file, which the hand reads itself (`apply --secrets systemd`). Its version is 1.
    ///
    /// # Errors
    /// When it cannot be read, is empty or too long.
    pub fn take_from_file(&mut self, path: &SecretPath, file: &Path) -> Result<(), HandError> {
        let take = wire::Take { path: path.to_string(), file: message::path_text(file)? };
        self.ask(Ask::Take, &take).map(|Nothing {}| ())
    }

    /// Takes a value from a variable of this process's environment (`apply --secrets env`). It stands there in ordinary memory already, so
    /// this is for level `weak`; the copy that is made on the way is wiped. Its version is 1. `false` if there is no such variable.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn take_from_environment(&mut self, path: &SecretPath, variable: &str) -> Result<bool, HandError> {
        let Some(value) = std::env::var_os(variable) else { return Ok(false) };
        let value = SecretBuf::from_vec(std::os::unix::ffi::OsStringExt::into_vec(value));
        if value.len() > limits::SECRET_VALUE {
            let why = format!("`{variable}` is longer than {} bytes", limits::SECRET_VALUE);
            return Err(HandError::Request { what: "take a secret from the environment", why });
        }
        let prepare =
            |errno: rustix::io::Errno| HandError::Prepare { what: "make a pipe", source: errno.into() };
        // An empty pipe takes as many bytes as a value may have (pipe(7)), so nobody need read meanwhile.
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(prepare)?;
        let mut rest = value.expose();
        while !rest.is_empty() {
            let written = rustix::io::write(&writer, rest).map_err(prepare)?;
            rest = rest.get(written..).unwrap_or_default();
        }
        drop(writer);
        let take = wire::Take { path: path.to_string(), file: String::new() };
        self.ask_with(Ask::Take, &take, &[reader.as_fd()], Some(ORDINARY)).map(|Nothing {}| true)
    }

    /// Drops and wipes values. Paths that are not held are passed over.
    ///
    /// # Errors
    /// When the hand has ended.
    pub fn forget(&mut self, paths: &[SecretPath]) -> Result<(), HandError> {
        let paths = paths.iter().map(SecretPath::to_string).collect();
        self.ask(Ask::Forget, &wire::Paths { paths }).map(|Nothing {}| ())
    }

    /// What it holds.
    ///
    /// # Errors
    /// When the hand has ended.
    pub fn held(&mut self) -> Result<Vec<(SecretPath, SecretVersion)>, HandError> {
        message::versions(self.ask(Ask::Held, &Nothing {})?)
    }

    /// A run starts: from now on, values that no request has used may be dropped where room is needed.
    ///
    /// # Errors
    /// When the hand has ended.
    pub fn new_run(&mut self) -> Result<(), HandError> {
        self.ask(Ask::NewRun, &Nothing {}).map(|Nothing {}| ())
    }

    /// Values that this run uses: they are not dropped where room is needed. Paths that are not held are passed over.
    ///
    /// # Errors
    /// When the hand has ended.
    pub fn uses(&mut self, paths: &[SecretPath]) -> Result<(), HandError> {
        let paths = paths.iter().map(SecretPath::to_string).collect();
        self.ask(Ask::Uses, &wire::Paths { paths }).map(|Nothing {}| ())
    }

    /// Compares a target with what it is to hold. Nothing read from it leaves the hand; the diff is that for tainted targets.
    ///
    /// # Errors
    /// `NotHeld` when a secret is missing; `Author` when a filter refuses a value; `Machine` when the target cannot be read.
    pub fn compare<'a>(
        &mut self,
        target: &AbsolutePath,
        wanted: impl Into<Wanted<'a>>,
        resource: &str,
    ) -> Result<Comparison, HandError> {
        let (content, file) = content::send(wanted.into(), resource)?;
        let request = wire::Compare { target: target.to_string(), content };
        message::comparison(self.ask_with(Ask::Compare, &request, &[file.as_fd()], Some(ORDINARY))?)
    }

    /// Whether a target is still what it was when this hand wrote or compared it, with the same text and these versions. No value is needed
    /// for that; `false` if it is not, or if nothing is remembered of it.
    ///
    /// # Errors
    /// `Machine` when the target cannot be read.
    pub fn verify(
        &mut self,
        target: &AbsolutePath,
        pieces: &Pieces,
        versions: &[(SecretPath, SecretVersion)],
        resource: &str,
    ) -> Result<bool, HandError> {
        let (content, file) = content::send(pieces.into(), resource)?;
        let versions = message::version_items(versions);
        let request = wire::Verify { target: target.to_string(), content, versions };
        let verified: wire::Verified =
            self.ask_with(Ask::Verify, &request, &[file.as_fd()], Some(ORDINARY))?;
        Ok(verified.same)
    }

    /// The secrets that stand in targets which [`Hand::verify`] may know.
    ///
    /// # Errors
    /// When the hand has ended.
    pub fn covered(&mut self) -> Result<Vec<(SecretPath, SecretVersion)>, HandError> {
        message::versions(self.ask(Ask::Covered, &Nothing {})?)
    }

    /// Compares a target with a file of `size` bytes that is open as `source`. Nothing read from either leaves the hand, and there is no diff.
    ///
    /// # Errors
    /// `Machine` when one of them cannot be read, or the source has another size by now.
    pub fn compare_copy(
        &mut self,
        target: &AbsolutePath,
        source: BorrowedFd<'_>,
        size: u64,
        resource: &str,
    ) -> Result<Comparison, HandError> {
        let request = wire::Compare { target: target.to_string(), content: content::copy_of(size, resource) };
        message::comparison(self.ask_with(Ask::Compare, &request, &[source], Some(ORDINARY))?)
    }

    /// Puts a copy of such a file in its place.
    ///
    /// # Errors
    /// As [`Hand::write`].
    pub fn copy(
        &mut self,
        placement: &Placement,
        source: BorrowedFd<'_>,
        size: u64,
        resource: &str,
    ) -> Result<Placed, HandError> {
        let request = message::write_of(placement, content::copy_of(size, resource));
        let stamp: wire::Stamp = self.ask_with(Ask::Write, &request, &[source], Some(ORDINARY))?;
        Ok(message::placed(&stamp))
    }

    /// Puts a content in its place.
    ///
    /// # Errors
    /// As [`Hand::compare`]; `Author` when the target is linked or mounted over and not to be written in place.
    pub fn write<'a>(
        &mut self,
        placement: &Placement,
        wanted: impl Into<Wanted<'a>>,
        resource: &str,
    ) -> Result<Placed, HandError> {
        let (request, file) = message::write(placement, wanted.into(), resource)?;
        let stamp: wire::Stamp = self.ask_with(Ask::Write, &request, &[file.as_fd()], Some(ORDINARY))?;
        Ok(message::placed(&stamp))
    }

    /// Makes the candidate for a place and lets it stand beside it (same mode, named by an intent), for a command to look at: `validate`.
    /// Gives its path. One at a time; [`Hand::commit`] or [`Hand::discard`] comes next. What the command says of it is to be dropped.
    ///
    /// # Errors
    /// As [`Hand::write`]; `Author` when the target is to be written in place.
    pub fn stage<'a>(
        &mut self,
        placement: &Placement,
        wanted: impl Into<Wanted<'a>>,
        resource: &str,
    ) -> Result<PathBuf, HandError> {
        let (request, file) = message::write(placement, wanted.into(), resource)?;
        let staged: wire::File = self.ask_with(Ask::Stage, &request, &[file.as_fd()], Some(ORDINARY))?;
        Ok(staged.path.into())
    }

    /// Puts the candidate in its place.
    ///
    /// # Errors
    /// As [`Hand::write`]; then the candidate is gone.
    pub fn commit(&mut self) -> Result<Placed, HandError> {
        let stamp: wire::Stamp = self.ask(Ask::Commit, &Nothing {})?;
        Ok(message::placed(&stamp))
    }

    /// Throws the candidate away.
    ///
    /// # Errors
    /// `Machine` when it cannot be removed; the next start tries again.
    pub fn discard(&mut self) -> Result<(), HandError> {
        self.ask(Ask::Discard, &Nothing {}).map(|Nothing {}| ())
    }

    /// Runs a command that gets secrets, and waits for its end.
    ///
    /// # Errors
    /// As [`Hand::compare`]; `Author` when a secret stands in an argument without leave; `Machine` when it does not start.
    pub fn run(&mut self, command: &Command) -> Result<Finished, HandError> {
        let stdin = command
            .stdin
            .as_ref()
            .map(|pieces| content::send(pieces.into(), &command.resource))
            .transpose()?;
        let (stdin, file) = stdin.unzip();
        let descriptors: Vec<BorrowedFd<'_>> = file.iter().map(std::os::fd::AsFd::as_fd).collect();
        let within = command.timeout.saturating_add(Duration::from_secs(60)).min(LONGEST_COMMAND);
        let request = message::command(command, stdin);
        message::finished(self.ask_with(Ask::Run, &request, &descriptors, Some(within))?)
    }

    /// Which of these values it does not hold, each in that version; and that there is room to scrub against all of them.
    ///
    /// # Errors
    /// `Room` when there is none.
    pub fn missing(
        &mut self,
        required: &[(SecretPath, SecretVersion)],
    ) -> Result<Vec<(SecretPath, SecretVersion)>, HandError> {
        let items = message::version_items(required);
        message::versions(self.ask(Ask::Missing, &wire::Versions { items })?)
    }

    /// Begins to read what a command says that the caller starts: the read ends of its standard output and standard error, which must not
    /// block, and that of a pipe of which the caller holds the other end until the command has ended. [`Hand::heard`] has to come next, and
    /// nothing else is answered before. What is `required` are the values that may stand in it.
    ///
    /// # Errors
    /// When the hand has ended.
    pub fn listen(
        &mut self,
        required: &[(SecretPath, SecretVersion)],
        [stdout, stderr, ended]: [BorrowedFd<'_>; 3],
    ) -> Result<(), HandError> {
        let request = wire::Listen { required: message::version_items(required) };
        let deadline = Some(Instant::now() + ORDINARY);
        self.begin(Ask::Listen, &request, &[stdout, stderr, ended], deadline)
    }

    /// What the command said, once its pipe was closed.
    ///
    /// # Errors
    /// When the hand has ended.
    pub fn heard(&mut self) -> Result<Heard, HandError> {
        self.answer(Ask::Listen, Some(Instant::now() + ORDINARY)).map(message::heard)
    }

    /// Readable when there is an answer, or the hand has ended: then before the command has.
    #[must_use]
    pub fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(std::os::fd::AsFd::as_fd)
    }

    /// Replaces every form of every value that the hand holds (value, base64, hexadecimal, URL, shell, JSON). Values under eight bytes are
    /// not replaced. For output in chunks use whole lines: a value that a cut divides is found only if both parts are given together.
    ///
    /// # Errors
    /// When there are more than [`limits::FRAME`] bytes.
    pub fn scrub(&mut self, bytes: &[u8]) -> Result<Vec<u8>, HandError> {
        let answer: wire::Bytes = self.ask(Ask::Scrub, &wire::Bytes { bytes: bytes.to_vec() })?;
        Ok(answer.bytes)
    }
}

/// No command is waited for longer than this, whatever its timeout says.
const LONGEST_COMMAND: Duration = Duration::from_secs(7 * 86_400);
