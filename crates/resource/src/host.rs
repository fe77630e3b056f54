//! The machine as a resource sees it. Looking takes `&self`, changing takes `&mut self`: a plan cannot change anything by its type.

use crate::{CommandRequest, Context, DiffLine, Failure, Finished, Storage, SwapState, SwapStep};
use std::time::Duration;
use vigo_base::{AbsolutePath, ExposureWay, Mode, Pieces, SecretPath};
use vigo_edit::Edit;

/// Everything that a resource may see of a machine or do to it.
///
/// What holds a [`vigo_base::Slot`] is passed on as [`Pieces`]: the real host sends it to the hand, and nobody on this side sees a value.
/// No method follows a symbolic link in the last part of a path. Every failure says what, where and why, and never holds a secret.
pub trait Host {
    /// What stands at `path` (lstat(2)); `None` when nothing does, also when its folder is missing.
    fn entry(&self, path: &AbsolutePath) -> Result<Option<Entry>, Failure>;

    /// The names in a folder, in byte order, without `.` and `..`.
    fn list_folder(&self, path: &AbsolutePath) -> Result<Vec<String>, Failure>;

    /// The bytes of a file of at most `limit` bytes; `None` when it is missing. A tainted file is refused.
    fn read_small(&self, path: &AbsolutePath, limit: usize) -> Result<Option<Vec<u8>>, Failure>;

    /// Whether the file at `target` has that content. The diff is made only where [`Context::diff`] asks for it.
    fn compare_text(
        &self,
        target: &AbsolutePath,
        content: &Pieces,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure>;

    /// Whether the file at `target` has the content of the file at `source`. A missing source is a failure.
    fn compare_copy(
        &self,
        target: &AbsolutePath,
        source: &AbsolutePath,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure>;

    /// Whether the file at `target` already is what `edit` makes of it with that text. It is looked at as a whole, so it has at most
    /// [`vigo_edit::LARGEST`] bytes.
    fn compare_edit(
        &self,
        target: &AbsolutePath,
        edit: &Edit,
        text: &Pieces,
        context: &Context<'_>,
    ) -> Result<Comparison, Failure>;

    /// The user of that name in passwd(5).
    fn user(&self, name: &str) -> Result<Option<User>, Failure>;

    /// The group of that name in group(5).
    fn group(&self, name: &str) -> Result<Option<Group>, Failure>;

    /// True if the path is Vigo's own: its binaries, its folders.
    fn is_guarded(&self, path: &AbsolutePath) -> bool;

    /// True if more than owner, group and mode say who may read the file there: it has an access list (acl(5)).
    fn has_access_list(&self, path: &AbsolutePath) -> bool;

    /// Who runs Vigo: the user and the group that own what it makes.
    fn own(&self) -> Ownership;

    /// True if the file there ever got a secret, or its mode keeps others from reading it.
    fn is_tainted(&self, path: &AbsolutePath) -> Result<bool, Failure>;

    /// True if the file there ever got a secret, whatever its mode.
    fn holds_secret(&self, path: &AbsolutePath) -> bool;

    /// Runs a guard. It must only look; that is the author's promise, a guard runs in a dry run too.
    fn probe(&self, request: &CommandRequest) -> Result<Finished, Failure>;

    /// True if a process of that name runs.
    fn process_running(&self, name: &str) -> Result<bool, Failure>;

    /// True if something on this machine listens on that TCP port.
    fn port_listening(&self, port: u16) -> Result<bool, Failure>;

    /// What is in use as swap, and what this process may do to it.
    fn swap_state(&self) -> Result<SwapState, Failure>;

    /// What the device or file at that path is, whatever links lead to it; `None` when there is none. Also `UUID=...` and the like.
    fn storage(&self, path: &str) -> Result<Option<Storage>, Failure>;

    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// How far local time is ahead of UTC now, in seconds.
    fn utc_offset_seconds(&self) -> i32;

    /// A clock that only goes forward, for durations.
    fn clock(&self) -> Duration;

    /// Puts a file with that content where the placement says, all or nothing, and remembers its taint if there is a secret in it.
    fn write_text(
        &mut self,
        placement: &Placement,
        content: &Pieces,
        context: &Context<'_>,
    ) -> Result<(), Failure>;

    /// Puts a copy of `source` where the placement says, all or nothing. Taint goes along.
    fn copy_file(
        &mut self,
        placement: &Placement,
        source: &AbsolutePath,
        context: &Context<'_>,
    ) -> Result<(), Failure>;

    /// Puts a file there that is what `edit` makes of the file that stands there, or of an empty one; else as [`Host::write_text`].
    fn edit_file(
        &mut self,
        placement: &Placement,
        edit: &Edit,
        text: &Pieces,
        context: &Context<'_>,
    ) -> Result<(), Failure>;

    /// Makes one folder; its parent must be there and it must not.
    fn make_folder(&mut self, path: &AbsolutePath, mode: Mode, ownership: Ownership) -> Result<(), Failure>;

    /// Makes a link, in one step also where a file or a link stands. Ownership is that of a soft link itself.
    fn make_link(&mut self, path: &AbsolutePath, link: &Link, ownership: Ownership) -> Result<(), Failure>;

    /// Removes what is no folder.
    fn remove_file(&mut self, path: &AbsolutePath) -> Result<(), Failure>;

    /// Removes an empty folder.
    fn remove_folder(&mut self, path: &AbsolutePath) -> Result<(), Failure>;

    /// Sets the permission bits of a file or folder.
    fn set_mode(&mut self, path: &AbsolutePath, mode: Mode) -> Result<(), Failure>;

    /// Sets owner or group or both; of a symbolic link, its own.
    fn set_owner(&mut self, path: &AbsolutePath, ownership: Ownership) -> Result<(), Failure>;

    /// Runs a command.
    fn run(&mut self, request: &CommandRequest) -> Result<Finished, Failure>;

    /// In which way a value that stands in that file can be seen.
    fn file_way(&self, path: &AbsolutePath) -> ExposureWay;

    /// Which secrets were handed over in which way since this was last asked: to commands that ran, guards too, and in files that were found
    /// as written or put.
    fn take_exposures(&self) -> Vec<Exposed>;

    /// Changes swap by one step. What was switched on in vain is switched off again.
    fn change_swap(&mut self, step: &SwapStep) -> Result<(), Failure>;

    /// Returns when everything written so far would survive a loss of power.
    fn flush(&mut self) -> Result<(), Failure>;
}

/// A secret that was handed over, and in which way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exposed {
    /// The secret.
    pub secret: SecretPath,
    /// How.
    pub way: ExposureWay,
}

impl Exposed {
    /// The secrets of a text, all in the same way.
    pub fn of(content: &Pieces, way: ExposureWay) -> impl Iterator<Item = Self> {
        content.slots().map(move |slot| Self { secret: slot.path.clone(), way })
    }
}

/// True for the tables of the system that some distributions keep from others though they hold names only, none of a policy's values: crypttab(5).
#[must_use]
pub fn is_public_table(path: &AbsolutePath) -> bool {
    path.as_str() == "/etc/crypttab"
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which kind of thing.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: Mode,
    /// The owner's number.
    pub owner: u32,
    /// The group's number.
    pub group: u32,
    /// Bytes in it.
    pub size: u64,
    /// The device it is on.
    pub device: u64,
    /// Its number on that device.
    pub inode: u64,
    /// How many names it has.
    pub links: u64,
    /// When it or what is said of it was last changed (ctime).
    pub changed_at: Timestamp,
    /// Where a symbolic link points to; `None` for everything else.
    pub link_target: Option<String>,
}

/// Kinds of things at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A device, a socket, a pipe.
    Other,
}

impl EntryKind {
    /// With its article, for messages.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Folder => "a directory",
            Self::Symlink => "a symbolic link",
            Self::Other => "a device, socket or pipe",
        }
    }
}

/// Seconds and nanoseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds.
    pub seconds: i64,
    /// The rest.
    pub nanoseconds: u32,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// There is no such file.
    Missing,
    /// It has that content.
    Same,
    /// It has other content.
    Different {
        /// What differs, as far as it may be shown and was asked for.
        diff: Vec<DiffLine>,
    },
}

/// Where and how a file is to stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Its path.
    pub path: AbsolutePath,
    /// Its mode, from before its first byte.
    pub mode: Mode,
    /// Its owner and group, from before its first byte.
    pub ownership: Ownership,
    /// Write into the file that is there instead of replacing it.
    pub in_place: bool,
    /// A command that must succeed on the candidate before it takes its place.
    pub validation: Option<Validation>,
}

/// A command that must succeed on a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validation {
    /// A command for `/bin/sh` in which every `%` stands for the candidate's path and `%%` for a per cent sign.
    pub command: String,
    /// How long it may take.
    pub timeout: Duration,
}

impl Validation {
    /// True if the command says where the candidate's path is to stand.
    #[must_use]
    pub fn names_candidate(command: &str) -> bool {
        command.replace("%%", "").contains('%')
    }

    /// The command for a candidate at that path, quoted where a shell would take it for more than one word.
    #[must_use]
    pub fn command_for(&self, candidate: &str) -> String {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@:,=".contains(letter);
        let word = if !candidate.is_empty() && candidate.chars().all(plain) {
            candidate.to_owned()
        } else {
            format!("'{}'", candidate.replace('\'', "'\\''"))
        };
        let mut command = String::with_capacity(self.command.len() + word.len());
        let mut letters = self.command.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '%' if letters.next_if_eq(&'%').is_some() => command.push('%'),
                '%' => command.push_str(&word),
                other => command.push(other),
            }
        }
        command
    }
}

/// Owner and group by number; `None` leaves as it is, or as the kernel makes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The owner.
    pub owner: Option<u32>,
    /// The group.
    pub group: Option<u32>,
}

impl Ownership {
    /// True if it says nothing.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.owner.is_none() && self.group.is_none()
    }
}

/// A link to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// A symbolic link with that text.
    Soft(String),
    /// Another name of that file.
    Hard(AbsolutePath),
}

/// A line of passwd(5), without what is nobody's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The number.
    pub id: u32,
    /// The number of the primary group.
    pub group: u32,
    /// The home folder.
    pub home: String,
    /// The login shell.
    pub shell: String,
}

/// A line of group(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The name.
    pub name: String,
    /// The number.
    pub id: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_takes_the_place_of_each_per_cent_sign() {
        let validation = |command: &str| Validation { command: command.into(), timeout: Duration::ZERO };
        assert_eq!(validation("visudo -cf %").command_for("/etc/.vigo-1"), "visudo -cf /etc/.vigo-1");
        assert_eq!(validation("a % %% %").command_for("/x"), "a /x % /x");
        assert_eq!(validation("a %").command_for("/it's here"), "a '/it'\\''s here'");
        assert!(Validation::names_candidate("a %") && !Validation::names_candidate("date +%%s"));
    }
}
