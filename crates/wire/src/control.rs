//! The messages on the agent's control socket: what a command on the same machine asks of the running daemon.
//!
//! One request and one answer a connection, each a frame of at most [`LIMIT`] bytes. Who may connect, and what the facts mean, is left to the
//! agent; no message here has a field for a value.

use crate::WireError;
use crate::error::decode;
use prost::Message as _;

/// The largest frame in either direction.
pub const LIMIT: usize = 256 << 10;

/// From a command.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ControlRequest {
    /// Which.
    #[prost(oneof = "Asked", tags = "1")]
    pub asked: Option<Asked>,
}

/// The kinds of [`ControlRequest`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Asked {
    /// What the agent is and how it is protected.
    #[prost(message, tag = "1")]
    Status(StatusRequest),
}

/// From the daemon.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ControlAnswer {
    /// Which.
    #[prost(oneof = "Answered", tags = "1, 2")]
    pub answered: Option<Answered>,
}

/// The kinds of [`ControlAnswer`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Answered {
    /// To [`Asked::Status`].
    #[prost(message, boxed, tag = "1")]
    Status(Box<AgentStatus>),
    /// To anything: it is not done, and why.
    #[prost(string, tag = "2")]
    Refused(String),
}

/// Asks for [`AgentStatus`].
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct StatusRequest {}

/// What a running agent says of itself.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AgentStatus {
    /// Its version.
    #[prost(string, tag = "1")]
    pub version: String,
    /// Itself.
    #[prost(message, optional, tag = "2")]
    pub process: Option<ProcessFacts>,
    /// Seconds since 1970.
    #[prost(uint64, tag = "3")]
    pub started_at: u64,
    /// Its state folder.
    #[prost(string, tag = "4")]
    pub state_dir: String,
    /// The server it is enrolled with; empty when with none.
    #[prost(string, tag = "5")]
    pub server: String,
    /// `secure`, `weak` or `insecure`.
    #[prost(string, tag = "6")]
    pub level: String,
    /// Why it is no better.
    #[prost(string, repeated, tag = "7")]
    pub reasons: Vec<String>,
    /// The swap class; empty when it is not known.
    #[prost(string, tag = "8")]
    pub swap: String,
    /// The hand that runs; absent while none does.
    #[prost(message, optional, tag = "9")]
    pub hand: Option<HandFacts>,
    /// The worker, as it was when it was started last; absent before the first.
    #[prost(message, optional, tag = "10")]
    pub worker: Option<WorkerFacts>,
    /// What settings hold.
    #[prost(message, repeated, tag = "11")]
    pub settings: Vec<Setting>,
    /// When the server last answered, in seconds since 1970; 0 when it has not since the start.
    #[prost(uint64, tag = "12")]
    pub last_check_in: u64,
    /// When the last run ended, likewise.
    #[prost(uint64, tag = "13")]
    pub last_run: u64,
    /// Why the last run failed; empty when it did not.
    #[prost(string, tag = "14")]
    pub last_error: String,
}

/// What a process reads back of its own protection.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProcessFacts {
    /// Its process id.
    #[prost(uint32, tag = "1")]
    pub process: u32,
    /// PR_GET_DUMPABLE.
    #[prost(bool, tag = "2")]
    pub dumpable: bool,
    /// Soft RLIMIT_CORE; absent means unlimited.
    #[prost(uint64, optional, tag = "3")]
    pub core_soft: Option<u64>,
    /// Hard RLIMIT_CORE; absent means unlimited.
    #[prost(uint64, optional, tag = "4")]
    pub core_hard: Option<u64>,
    /// Who traces it; absent means nobody.
    #[prost(uint32, optional, tag = "5")]
    pub tracer: Option<u32>,
    /// What could not be hardened.
    #[prost(string, repeated, tag = "6")]
    pub warnings: Vec<String>,
}

/// What a hand reads back of its protection.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HandFacts {
    /// As every process.
    #[prost(message, optional, tag = "1")]
    pub process: Option<ProcessFacts>,
    /// `secret`, `locked` or `plain`.
    #[prost(string, tag = "2")]
    pub pages: String,
    /// Why they are no better.
    #[prost(string, repeated, tag = "3")]
    pub reasons: Vec<String>,
    /// Bytes mapped.
    #[prost(uint64, tag = "4")]
    pub size: u64,
    /// Bytes in use.
    #[prost(uint64, tag = "5")]
    pub used: u64,
    /// Bytes it may grow to.
    #[prost(uint64, tag = "6")]
    pub most: u64,
    /// Open descriptors of protected pages; there should be none.
    #[prost(uint32, tag = "7")]
    pub open_descriptors: u32,
    /// The network is denied by seccomp.
    #[prost(bool, tag = "8")]
    pub network_denied: bool,
    /// How many values it holds.
    #[prost(uint64, tag = "9")]
    pub values: u64,
}

/// What a worker said of its cage before it touched the network.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkerFacts {
    /// Its process id; 0 when it does not run now.
    #[prost(uint32, tag = "1")]
    pub process: u32,
    /// The user it runs as.
    #[prost(uint32, tag = "2")]
    pub user: u32,
    /// What is missing of its sandbox, a line each.
    #[prost(string, repeated, tag = "3")]
    pub missing: Vec<String>,
}

/// One setting.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Setting {
    /// As in the settings file.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What holds.
    #[prost(string, tag = "2")]
    pub value: String,
    /// `flag`, `environment`, `file PATH` or `default`.
    #[prost(string, tag = "3")]
    pub source: String,
}

impl ControlRequest {
    /// Reads a request: bounded, and of a kind that there is.
    ///
    /// # Errors
    /// When it is too large, no message, or of a kind that this version does not know.
    pub fn read(bytes: &[u8]) -> Result<Asked, WireError> {
        let what = "a request on the control socket";
        let request: Self = decode(what, bytes, LIMIT)?;
        request.asked.ok_or(WireError::Malformed { what, why: "this version does not know its kind" })
    }

    /// The bytes of a request.
    #[must_use]
    pub fn write(asked: Asked) -> Vec<u8> {
        Self { asked: Some(asked) }.encode_to_vec()
    }
}

impl ControlAnswer {
    /// Reads an answer.
    ///
    /// # Errors
    /// When it is too large, no message, or of a kind that this version does not know.
    pub fn read(bytes: &[u8]) -> Result<Answered, WireError> {
        let what = "the answer of the running agent";
        let answer: Self = decode(what, bytes, LIMIT)?;
        answer.answered.ok_or(WireError::Malformed { what, why: "this version does not know its kind" })
    }

    /// The bytes of an answer.
    #[must_use]
    pub fn write(answered: Answered) -> Vec<u8> {
        Self { answered: Some(answered) }.encode_to_vec()
    }
}
