//! What goes through the pipe between `vigo`, `vigosrv` or `vigocli` and its hand. No message has a field for a value: values come sealed, as a
//! descriptor, or are named.
//!
//! A frame is a length (u32, little endian), a byte that says what it is ([`Ask`], or [`DONE`] and [`FAILED`] in answers) and one message.
//! Which role may ask what, and the bounds of each, stand in the table of `vigo-hand`.

mod ask;
mod command;
mod import;
mod transit;
mod vault;

pub use ask::Ask;
pub use command::{Credentials, Finished, Heard, Listen, Run, Variable};
pub use import::{ImportKind, ImportName, Imported, OpenImport, ReadImport, RecordImport, SealImport};
pub use transit::{TransitService, UnwrapMasterKey, WrapMasterKey};
pub use vault::{Authenticated, KeyInfo, PrepareMasterKey, Rekey, Rekeyed, StoreMasterKey};

use vigo_base::Blame;

/// The format that this build speaks; both ends are the same binary, so another one is refused.
pub const FORMAT: u32 = 1;
/// First byte of the answer to what was done.
pub const DONE: u8 = 0;
/// First byte of the answer to what failed; a [`Failure`] follows.
pub const FAILED: u8 = 1;

/// Who started the hand, and so what it may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Role {
    /// Not said: refused.
    Unknown = 0,
    /// `vigo`.
    Node = 1,
    /// `vigocli`.
    Operator = 2,
    /// `vigosrv`.
    Server = 3,
}

/// What kind of failure it is; the text is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum FailureCode {
    /// Vigo's own mistake: a panic, a request that makes no sense.
    Bug = 0,
    /// The arena has no room for this.
    Room = 1,
    /// A secret that is needed here is not held.
    NotHeld = 2,
    /// Something sealed does not open: another key, another envoy, path, version, epoch or request.
    Sealed = 3,
    /// No vault is unlocked, or no key of that purpose is loaded.
    Locked = 4,
    /// The policy asks for what cannot be: a value no filter can take, a secret on a command line, a linked target without `in_place`.
    Author = 5,
    /// The operator's input cannot be taken: empty, too long.
    Input = 6,
    /// This machine: a file that cannot be read or written, a command that does not start.
    Machine = 7,
    /// A key file that is wrong, open to others, or in the way.
    KeyFile = 8,
    /// This machine does not offer what the request needs, nor will it in the next run: another way has to be written.
    Unavailable = 9,
    /// A passphrase is needed and none was given.
    Passphrase = 10,
    /// A service that this machine depends on cannot be had now; it may later.
    NotNow = 11,
}

impl FailureCode {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(self) -> Blame {
        match self {
            Self::Bug => Blame::Bug,
            Self::Sealed => Blame::Peer,
            Self::Author => Blame::Author,
            Self::Input | Self::KeyFile | Self::Passphrase => Blame::Operator,
            Self::Room | Self::NotHeld | Self::Locked | Self::Machine | Self::Unavailable | Self::NotNow => {
                Blame::Machine
            }
        }
    }
}

/// Why it was not done. Never holds a byte of a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Failure {
    /// What kind.
    #[prost(enumeration = "FailureCode", tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub text: String,
}

/// Nothing to say.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Nothing {}

/// The first frame.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hello {
    /// [`FORMAT`] of who asks.
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// Who asks.
    #[prost(enumeration = "Role", tag = "2")]
    pub role: i32,
    /// Folder of the intents; empty if this hand is to write no files.
    #[prost(string, tag = "3")]
    pub intents: String,
    /// Seed of the node for the salts of filters; empty if it has none.
    #[prost(bytes = "vec", tag = "4")]
    pub salt_seed: Vec<u8>,
    /// Bound into those salts: the envoy's id.
    #[prost(bytes = "vec", tag = "5")]
    pub envoy: Vec<u8>,
    /// Remember a MAC of each target, so that its drift is seen without its values.
    #[prost(bool, tag = "6")]
    pub detect_drift: bool,
}

/// How well the hand is protected, as it reads it back itself.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    /// `secret`, `locked` or `plain`.
    #[prost(string, tag = "1")]
    pub arena_kind: String,
    /// Bytes mapped now.
    #[prost(uint64, tag = "2")]
    pub arena_size: u64,
    /// Bytes in use.
    #[prost(uint64, tag = "3")]
    pub arena_used: u64,
    /// Bytes it may grow to.
    #[prost(uint64, tag = "4")]
    pub arena_max: u64,
    /// Why it is no better.
    #[prost(string, repeated, tag = "5")]
    pub arena_reasons: Vec<String>,
    /// PR_GET_DUMPABLE.
    #[prost(bool, tag = "6")]
    pub dumpable: bool,
    /// Soft RLIMIT_CORE; absent means unlimited.
    #[prost(uint64, optional, tag = "7")]
    pub core_soft: Option<u64>,
    /// Hard RLIMIT_CORE; absent means unlimited.
    #[prost(uint64, optional, tag = "8")]
    pub core_hard: Option<u64>,
    /// Who traces it; absent means nobody.
    #[prost(uint32, optional, tag = "9")]
    pub tracer: Option<u32>,
    /// Open descriptors of protected memory; each could be taken with pidfd_getfd.
    #[prost(uint32, tag = "10")]
    pub open_arena_descriptors: u32,
    /// What could not be hardened.
    #[prost(string, repeated, tag = "11")]
    pub warnings: Vec<String>,
    /// Values held.
    #[prost(uint64, tag = "12")]
    pub values: u64,
    /// Its process.
    #[prost(uint32, tag = "13")]
    pub process: u32,
    /// The network is denied by seccomp.
    #[prost(bool, tag = "14")]
    pub network_denied: bool,
}

/// A public key.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PublicKey {
    /// The key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
}

/// What every seal of a batch is bound to, beside path and version.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Binding {
    /// The envoy's id, or 16 zero bytes for an operator.
    #[prost(bytes = "vec", tag = "1")]
    pub party: Vec<u8>,
    /// The secrets epoch.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// 16 random bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub request: Vec<u8>,
}

/// A sealed value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SealedItem {
    /// The path.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The version.
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// HPKE's encapsulated key.
    #[prost(bytes = "vec", tag = "3")]
    pub encapsulated: Vec<u8>,
    /// HPKE's ciphertext.
    #[prost(bytes = "vec", tag = "4")]
    pub ciphertext: Vec<u8>,
}

/// Several of them.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SealedItems {
    /// The items.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<SealedItem>,
}

/// Opens values that were sealed to the one-time key: all or none.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Open {
    /// What they are bound to.
    #[prost(message, required, tag = "1")]
    pub binding: Binding,
    /// The values.
    #[prost(message, repeated, tag = "2")]
    pub items: Vec<SealedItem>,
}

/// A file, opened by the hand itself.
#[derive(Clone, PartialEq, prost::Message)]
pub struct File {
    /// Its absolute path.
    #[prost(string, tag = "1")]
    pub path: String,
}

/// Which master key it is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct VaultId {
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
}

/// A record of the vault.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Record {
    /// The path bound into it.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The version bound into it.
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// Its bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub record: Vec<u8>,
}

/// Takes a value from a file or from a descriptor, as version 1.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Take {
    /// The secret's path.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The file; empty if a descriptor comes with the frame.
    #[prost(string, tag = "2")]
    pub file: String,
}

/// Secrets by name.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Paths {
    /// The paths.
    #[prost(string, repeated, tag = "1")]
    pub paths: Vec<String>,
}

/// Secrets with their versions.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Versions {
    /// The secrets.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<Version>,
}

/// A secret and its version.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Version {
    /// The path.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The version.
    #[prost(uint64, tag = "2")]
    pub version: u64,
}

/// The place of a secret, with its filters.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Slot {
    /// The path.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Names of filters, applied first to last.
    #[prost(string, repeated, tag = "2")]
    pub filters: Vec<String>,
}

/// A short text with secrets in it. Long ones (files, standard input) come as a descriptor, see [`Content`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Text {
    /// The pieces in order.
    #[prost(message, repeated, tag = "1")]
    pub pieces: Vec<Piece>,
}

/// One piece of a text.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Piece {
    /// Text as it stands, when there is no slot.
    #[prost(string, tag = "1")]
    pub literal: String,
    /// A secret.
    #[prost(message, optional, tag = "2")]
    pub slot: Option<Slot>,
}

/// A long text with secrets in it. Its pieces stand in an anonymous file whose descriptor comes with the frame, one after the other:
/// a length (u32, little endian) and that many bytes of text; or, with the highest bit of the length set, the index of a slot.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Content {
    /// The slots, by index.
    #[prost(message, repeated, tag = "1")]
    pub slots: Vec<Slot>,
    /// Bytes in the anonymous file.
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// The resource it is for: bound into the salts of filters.
    #[prost(string, tag = "3")]
    pub resource: String,
    /// The descriptor is a file to be copied byte for byte, which may hold secrets itself: no slots, and no line of it is shown.
    #[prost(bool, tag = "4")]
    pub copy: bool,
    /// The pieces are not what the target is to hold but what this edit puts into what it holds.
    #[prost(message, optional, tag = "5")]
    pub edit: Option<Edit>,
}

/// How what a file holds is to be changed, in the words of `vigo-edit`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Edit {
    /// Which kind of edit.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Its arguments, each once.
    #[prost(message, repeated, tag = "2")]
    pub arguments: Vec<EditArgument>,
}

/// One argument of an edit.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EditArgument {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Compares a file with a content.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Compare {
    /// The file's absolute path.
    #[prost(string, tag = "1")]
    pub target: String,
    /// What it is to hold.
    #[prost(message, required, tag = "2")]
    pub content: Content,
}

/// Asks whether a target is what it was when it was put or compared, for a content with secrets whose values need not be held.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Verify {
    /// The file's absolute path.
    #[prost(string, tag = "1")]
    pub target: String,
    /// What it is to hold.
    #[prost(message, required, tag = "2")]
    pub content: Content,
    /// The versions that are to stand in it.
    #[prost(message, repeated, tag = "3")]
    pub versions: Vec<Version>,
}

/// What became of [`Verify`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Verified {
    /// It is. Otherwise it is not, or nothing is remembered of it: the values are needed to know.
    #[prost(bool, tag = "1")]
    pub same: bool,
}

/// How a file differs from a content.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Compared {
    /// Whether it does.
    #[prost(enumeration = "Difference", tag = "1")]
    pub difference: i32,
    /// The lines that differ; empty when it is the same.
    #[prost(message, repeated, tag = "2")]
    pub lines: Vec<DiffLine>,
    /// The file as it was read; absent when it is missing.
    #[prost(message, optional, tag = "3")]
    pub stamp: Option<Stamp>,
}

/// Whether a file differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Difference {
    /// There is no such file.
    Missing = 0,
    /// Byte for byte the same.
    Same = 1,
    /// It differs.
    Different = 2,
}

/// One line of a diff. Shows policy text only, never a byte that was read from the target or came from a secret.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiffLine {
    /// What it is.
    #[prost(enumeration = "DiffKind", tag = "1")]
    pub kind: i32,
    /// The text, where there is one.
    #[prost(string, tag = "2")]
    pub text: String,
    /// How many lines, where they are only counted.
    #[prost(uint64, tag = "3")]
    pub count: u64,
}

/// What a line of a diff is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum DiffKind {
    /// A literal line of the new content.
    Added = 0,
    /// A line of the new content with a secret in it, named.
    AddedSecret = 1,
    /// An old line that is byte-equal to a literal line of the new content.
    Removed = 2,
    /// Old lines that are not shown.
    RemovedHidden = 3,
    /// More lines of the diff than are shown.
    Omitted = 4,
}

/// What tells a file from another and from itself at another time.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Stamp {
    /// Device.
    #[prost(uint64, tag = "1")]
    pub device: u64,
    /// Inode.
    #[prost(uint64, tag = "2")]
    pub inode: u64,
    /// Bytes.
    #[prost(uint64, tag = "3")]
    pub size: u64,
    /// Last change of content or metadata, seconds since 1970.
    #[prost(int64, tag = "4")]
    pub changed_s: i64,
    /// And nanoseconds.
    #[prost(int64, tag = "5")]
    pub changed_ns: i64,
}

/// Writes a content to a file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Write {
    /// The file's absolute path.
    #[prost(string, tag = "1")]
    pub target: String,
    /// Its mode.
    #[prost(uint32, tag = "2")]
    pub mode: u32,
    /// Its owner; absent means as it is.
    #[prost(uint32, optional, tag = "3")]
    pub owner: Option<u32>,
    /// Its group; absent means as it is.
    #[prost(uint32, optional, tag = "4")]
    pub group: Option<u32>,
    /// Write into the file that is there instead of replacing it.
    #[prost(bool, tag = "5")]
    pub in_place: bool,
    /// Do not wait for the disk.
    #[prost(bool, tag = "6")]
    pub later: bool,
    /// What it is to hold.
    #[prost(message, required, tag = "7")]
    pub content: Content,
}

/// Bytes that are no secret, or that are sealed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Bytes {
    /// The bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub bytes: Vec<u8>,
}

/// Reads a value and seals it to the server's entry key.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadAndSeal {
    /// Keep the final newline.
    #[prost(bool, tag = "1")]
    pub exact: bool,
    /// The entry key.
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    /// The path bound into the seal.
    #[prost(string, tag = "3")]
    pub path: String,
}

/// Reads a value and makes a record of the unlocked vault of it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadIntoRecord {
    /// Keep the final newline.
    #[prost(bool, tag = "1")]
    pub exact: bool,
    /// The path.
    #[prost(string, tag = "2")]
    pub path: String,
    /// The version.
    #[prost(uint64, tag = "3")]
    pub version: u64,
}

/// A value was read. How long it is is not said.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Entered {
    /// It, sealed to the entry key.
    #[prost(message, optional, tag = "1")]
    pub sealed: Option<SealedItem>,
    /// It, as a record.
    #[prost(bytes = "vec", tag = "2")]
    pub record: Vec<u8>,
    /// One final newline was dropped.
    #[prost(bool, tag = "3")]
    pub dropped_newline: bool,
    /// It has fewer than eight bytes, so it cannot be scrubbed from output.
    #[prost(bool, tag = "4")]
    pub short: bool,
}

/// What a key of the server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum KeyPurpose {
    /// Not said: refused.
    Unknown = 0,
    /// The trust anchor (Ed25519).
    Anchor = 1,
    /// A bundle key (Ed25519).
    Bundle = 2,
    /// The entry key (X25519).
    Entry = 3,
}

/// A key of the server.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Key {
    /// What it is for.
    #[prost(enumeration = "KeyPurpose", tag = "1")]
    pub purpose: i32,
    /// It, wrapped under the master key; empty when it is to be made.
    #[prost(bytes = "vec", tag = "2")]
    pub wrapped: Vec<u8>,
}

/// A new key.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NewKey {
    /// Its public half.
    #[prost(bytes = "vec", tag = "1")]
    pub public: Vec<u8>,
    /// Its private half, wrapped under the master key.
    #[prost(bytes = "vec", tag = "2")]
    pub wrapped: Vec<u8>,
}

/// Signs a message in a fixed context.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sign {
    /// With which key.
    #[prost(enumeration = "KeyPurpose", tag = "1")]
    pub purpose: i32,
    /// The text of a [`crate::sign::SignContext`].
    #[prost(string, tag = "2")]
    pub context: String,
    /// What is signed.
    #[prost(bytes = "vec", tag = "3")]
    pub message: Vec<u8>,
}

/// Opens what was sealed to the entry key and makes a record of it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Put {
    /// The path.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The version that it becomes.
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// HPKE's encapsulated key.
    #[prost(bytes = "vec", tag = "3")]
    pub encapsulated: Vec<u8>,
    /// HPKE's ciphertext.
    #[prost(bytes = "vec", tag = "4")]
    pub ciphertext: Vec<u8>,
}

/// Makes a random value that nobody sees.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Generate {
    /// The path.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The version.
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// How many characters.
    #[prost(uint32, tag = "3")]
    pub length: u32,
    /// Which characters.
    #[prost(string, tag = "4")]
    pub alphabet: String,
}

/// Opens records and seals their values to somebody's one-time key.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Reseal {
    /// The records.
    #[prost(message, repeated, tag = "1")]
    pub records: Vec<Record>,
    /// The one-time key.
    #[prost(bytes = "vec", tag = "2")]
    pub to: Vec<u8>,
    /// What the seals are bound to.
    #[prost(message, required, tag = "3")]
    pub binding: Binding,
}

/// Bytes with what they are for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Labelled {
    /// What for; from the lists in `vigo-hand`.
    #[prost(string, tag = "1")]
    pub label: String,
    /// The bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_found_by_its_number_and_no_other_is() {
        for ask in Ask::ALL {
            assert_eq!(Ask::from_number(*ask as u8), Some(*ask));
        }
        assert_eq!(Ask::from_number(0), None);
        assert_eq!(Ask::from_number(255), None);
    }
}
