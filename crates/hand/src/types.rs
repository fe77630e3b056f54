//! What the callers of a hand give and get. No type here holds a value.

use std::path::PathBuf;
use std::time::Duration;
use vigo_base::{AbsolutePath, EnvoyId, Pieces, Sealed, SecretPath, SecretVersion};
use vigo_sys::arena;

pub use vigo_secret::{MacLabel, WrapLabel};
pub use vigo_wire::hand::{FailureCode, KeyPurpose, Role, TransitService};

/// How a hand is started. No `Debug`: the seed is nothing for a log.
#[derive(Clone)]
pub struct StartOptions {
    /// Who starts it, and so what it may be asked.
    pub role: Role,
    /// Which kind of protected pages.
    pub arena: arena::Choice,
    /// To how many bytes they may grow.
    pub arena_max: usize,
    /// Folder of the intents. A hand without one writes no files.
    pub intents: Option<PathBuf>,
    /// Seed of the node from which salts are derived. A hand without one has no crypt filters.
    pub salt_seed: Option<[u8; 32]>,
    /// Bound into those salts.
    pub envoy: Option<EnvoyId>,
    /// Remember a MAC of each target with a secret, for [`crate::Hand::verify`].
    pub detect_drift: bool,
    /// It stays in the session of the caller, and so can read from the caller's terminal. A server's leaves that when it has its master key.
    pub reads_terminal: bool,
}

impl StartOptions {
    /// To what the arena may grow when nothing else is said.
    pub const ARENA_MAX: usize = 16 << 20;

    /// The usual arena; no intents, no seed.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        let (arena, arena_max) = (arena::Choice::Auto, Self::ARENA_MAX);
        Self {
            role,
            arena,
            arena_max,
            intents: None,
            salt_seed: None,
            envoy: None,
            detect_drift: false,
            reads_terminal: matches!(role, Role::Operator),
        }
    }
}

/// How well the hand is protected, as it reads it back itself.
#[derive(Clone, Debug)]
pub struct HandStatus {
    /// Its process id.
    pub process: u32,
    /// Its protected pages.
    pub arena: arena::Status,
    /// PR_GET_DUMPABLE.
    pub dumpable: bool,
    /// Its core limits, soft and hard; `None` is unlimited.
    pub core_limit: (Option<u64>, Option<u64>),
    /// Who traces it.
    pub tracer: Option<u32>,
    /// Descriptors of protected memory that are open, from which it could be taken; there should be none.
    pub open_arena_descriptors: u32,
    /// The network is denied by seccomp.
    pub network_denied: bool,
    /// What could not be hardened.
    pub warnings: Vec<String>,
    /// How many values it holds.
    pub values: u64,
}

/// What the seals of a batch are bound to, beside path and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The envoy's id; [`Binding::OPERATOR`] for an operator.
    pub party: [u8; 16],
    /// The secrets epoch; 0 for an operator.
    pub epoch: u64,
    /// 16 random bytes, the request's own.
    pub request: [u8; 16],
}

impl Binding {
    /// The party that stands for an operator.
    pub const OPERATOR: [u8; 16] = [0; 16];
}

/// A sealed value on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedItem {
    /// The path.
    pub path: SecretPath,
    /// The version.
    pub version: SecretVersion,
    /// The sealed bytes.
    pub sealed: Sealed,
}

/// A record of a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultRecord {
    /// The path that is bound into it.
    pub path: SecretPath,
    /// The version that is bound into it.
    pub version: SecretVersion,
    /// Its bytes.
    pub record: Vec<u8>,
}

/// What the file of a master key says openly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Which key it is.
    pub id: [u8; 16],
    /// How it is kept.
    pub form: KeyForm,
}

/// How a key file keeps its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// Whoever reads the file has it.
    Plain,
    /// Under a passphrase.
    Passphrase,
    /// Under a key of OpenBao or Vault.
    Transit,
}

/// Bytes with the MAC that they have under the master key in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// The kind of the MAC.
    pub label: MacLabel,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their MAC.
    pub mac: Vec<u8>,
}

/// What was put under the next master key, in the order in which it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rekeyed {
    /// Records.
    pub records: Vec<Vec<u8>>,
    /// Wrapped keys.
    pub wraps: Vec<Vec<u8>>,
    /// MACs.
    pub macs: Vec<[u8; 32]>,
}

/// What was noticed when a value was read. Not its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadNote {
    /// One final newline was dropped.
    pub dropped_newline: bool,
    /// It has fewer than eight bytes: too short to be scrubbed from output.
    pub short: bool,
}

/// How a file compares with what it is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// There is no such file.
    Missing {
        /// The lines it would have.
        diff: Vec<DiffLine>,
    },
    /// Byte for byte the same.
    Same {
        /// The file that was read.
        placed: Placed,
    },
    /// It differs.
    Different {
        /// Where.
        diff: Vec<DiffLine>,
        /// The file that was read.
        placed: Placed,
    },
}

/// A line of a diff for a tainted target. Shows text of the policy only: never a byte that came from a secret, nor one that was read from the target
/// unless the policy has the same line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffLine {
    /// A literal line of the new content.
    Added(String),
    /// A line of the new content with `‹secret path version›` where a secret stands.
    AddedSecret(String),
    /// An old line that is byte-equal to a literal line of the new content.
    Removed(String),
    /// So many old lines that are not shown.
    RemovedHidden(u64),
    /// So many more lines of the diff than are shown.
    Omitted(u64),
}

/// What tells a file from another, and from itself at another time (stat(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Device.
    pub device: u64,
    /// Inode.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Last change of content or metadata: seconds since 1970, and nanoseconds.
    pub changed: (i64, i64),
}

/// A command that gets secrets.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program; PATH is not searched.
    pub program: AbsolutePath,
    /// Its arguments, without its name.
    pub arguments: Vec<Pieces>,
    /// A secret may stand in the arguments, where everybody on the machine sees it.
    pub allow_argv: bool,
    /// What is added to PATH, LANG, HOME, USER, LOGNAME and SHELL.
    pub environment: Vec<(String, Pieces)>,
    /// Files in a folder of memory that only the command has, named by `CREDENTIALS_DIRECTORY`.
    pub credential_files: Vec<(String, Pieces)>,
    /// Standard input; empty without one.
    pub stdin: Option<Pieces>,
    /// Working folder.
    pub folder: AbsolutePath,
    /// As whom; `None` as the hand itself.
    pub credentials: Option<Credentials>,
    /// For HOME, USER, LOGNAME and SHELL.
    pub account: Account,
    /// Its umask.
    pub umask: u32,
    /// After which it is killed with its process group.
    pub timeout: Duration,
    /// What becomes of its output.
    pub output: Output,
    /// The values that may stand in its output: it is kept only if they are held, each in that version.
    pub required: Vec<(SecretPath, SecretVersion)>,
    /// The resource it is for: bound into the salts of filters.
    pub resource: String,
}

/// As whom a command runs, in numbers: the hand asks no name service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The other groups.
    pub groups: Vec<u32>,
}

/// What a command is told of the user it runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// HOME.
    pub home: String,
    /// USER and LOGNAME.
    pub name: String,
    /// SHELL.
    pub shell: String,
}

/// What becomes of a command's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// It is dropped; its length is kept.
    #[default]
    Drop,
    /// Its end is kept, scrubbed against every value that the hand holds. Refused if one that the command gets has fewer than eight bytes.
    Scrub,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How.
    pub end: End,
    /// Bytes it wrote to standard output.
    pub stdout_bytes: u64,
    /// Bytes it wrote to standard error.
    pub stderr_bytes: u64,
    /// The end of its standard output, scrubbed; empty when it was dropped.
    pub stdout: Vec<u8>,
    /// The end of its standard error, scrubbed; empty when it was dropped.
    pub stderr: Vec<u8>,
    /// Why both were dropped though they were to be kept; empty when they were not.
    pub dropped: String,
}

/// What a command said that somebody else started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Bytes on standard output.
    pub stdout_bytes: u64,
    /// Bytes on standard error.
    pub stderr_bytes: u64,
    /// The end of standard output, scrubbed; empty when it was dropped.
    pub stdout: Vec<u8>,
    /// The end of standard error, scrubbed; empty when it was dropped.
    pub stderr: Vec<u8>,
    /// Why both were dropped; empty when they were not.
    pub dropped: String,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It was killed because its time was over.
    TimedOut,
}

/// With what a file of another tool opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportKey {
    /// It is in the clear.
    None,
    /// An age identity.
    Identity,
    /// A passphrase.
    Passphrase,
}

/// What a file of another tool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportKind {
    /// For people.
    pub name: String,
    /// It was encrypted as a whole: what stands in it has to be said.
    pub is_whole: bool,
    /// With what it opens.
    pub key: ImportKey,
}

/// A name in a file of another tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportName {
    /// Names of maps and numbers in lists, from the outside; empty for a file that is one value.
    pub key: Vec<String>,
    /// Why it was not taken; empty if it was.
    pub left_out: String,
    /// It has fewer than eight bytes: too short to be scrubbed from output.
    pub is_short: bool,
}

/// What a file of another tool holds: names, no values and no lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its values, in the order in which [`crate::Hand::seal_import`] counts them from 0.
    pub values: Vec<ImportName>,
    /// What was not taken.
    pub left_out: Vec<ImportName>,
    /// One final newline was dropped.
    pub dropped_newline: bool,
}
