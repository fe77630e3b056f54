//! Messages about commands: those that the hand starts because they get secrets, and those that it only listens to.

use super::{Content, Text, Version};

/// Starts a command that gets secrets.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Run {
    /// The program's absolute path.
    #[prost(string, tag = "1")]
    pub program: String,
    /// Its arguments, without its name.
    #[prost(message, repeated, tag = "2")]
    pub arguments: Vec<Text>,
    /// A secret may stand in the arguments.
    #[prost(bool, tag = "3")]
    pub allow_argv: bool,
    /// What is added to the environment.
    #[prost(message, repeated, tag = "4")]
    pub environment: Vec<Variable>,
    /// Standard input, whose descriptor comes with the frame; absent means empty.
    #[prost(message, optional, tag = "5")]
    pub stdin: Option<Content>,
    /// Working folder.
    #[prost(string, tag = "6")]
    pub folder: String,
    /// As whom; absent means as the hand.
    #[prost(message, optional, tag = "7")]
    pub credentials: Option<Credentials>,
    /// HOME.
    #[prost(string, tag = "8")]
    pub home: String,
    /// USER and LOGNAME.
    #[prost(string, tag = "9")]
    pub user: String,
    /// SHELL.
    #[prost(string, tag = "10")]
    pub shell: String,
    /// Its umask.
    #[prost(uint32, tag = "11")]
    pub umask: u32,
    /// After which it is killed with its group.
    #[prost(uint64, tag = "12")]
    pub timeout_ms: u64,
    /// Keep its output, scrubbed, instead of dropping it.
    #[prost(bool, tag = "13")]
    pub keep_output: bool,
    /// The resource it is for: bound into the salts of filters.
    #[prost(string, tag = "14")]
    pub resource: String,
    /// Files in a folder of memory that only the command has, named by `CREDENTIALS_DIRECTORY`.
    #[prost(message, repeated, tag = "15")]
    pub files: Vec<Variable>,
    /// The values that may stand in its output: it is kept only if they are held, each in that version.
    #[prost(message, repeated, tag = "16")]
    pub required: Vec<Version>,
}

/// Reads what a command says that somebody else starts.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Listen {
    /// The values that may stand in it: it is kept only if they are held, each in that version.
    #[prost(message, repeated, tag = "1")]
    pub required: Vec<Version>,
}

/// What a command said.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Heard {
    /// Bytes on standard output.
    #[prost(uint64, tag = "1")]
    pub stdout_bytes: u64,
    /// Bytes on standard error.
    #[prost(uint64, tag = "2")]
    pub stderr_bytes: u64,
    /// The end of standard output, scrubbed; empty when it was dropped.
    #[prost(bytes = "vec", tag = "3")]
    pub stdout: Vec<u8>,
    /// The end of standard error, scrubbed; empty when it was dropped.
    #[prost(bytes = "vec", tag = "4")]
    pub stderr: Vec<u8>,
    /// Why both were dropped; empty when they were not.
    #[prost(string, tag = "5")]
    pub dropped: String,
}

/// A variable of the environment.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Variable {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(message, required, tag = "2")]
    pub value: Text,
}

/// As whom a command runs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Credentials {
    /// The user.
    #[prost(uint32, tag = "1")]
    pub user: u32,
    /// The group.
    #[prost(uint32, tag = "2")]
    pub group: u32,
    /// The other groups.
    #[prost(uint32, repeated, tag = "3")]
    pub groups: Vec<u32>,
}

/// How a command ended.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Finished {
    /// Its exit code, unless a signal ended it.
    #[prost(int32, optional, tag = "1")]
    pub code: Option<i32>,
    /// The signal that ended it.
    #[prost(int32, optional, tag = "2")]
    pub signal: Option<i32>,
    /// It was killed because its time was over.
    #[prost(bool, tag = "3")]
    pub timed_out: bool,
    /// Bytes it wrote to standard output.
    #[prost(uint64, tag = "4")]
    pub stdout_bytes: u64,
    /// Bytes it wrote to standard error.
    #[prost(uint64, tag = "5")]
    pub stderr_bytes: u64,
    /// The end of its standard output, scrubbed; empty when it was dropped.
    #[prost(bytes = "vec", tag = "6")]
    pub stdout: Vec<u8>,
    /// The end of its standard error, scrubbed; empty when it was dropped.
    #[prost(bytes = "vec", tag = "7")]
    pub stderr: Vec<u8>,
    /// Why both were dropped though they were to be kept; empty when they were not.
    #[prost(string, tag = "8")]
    pub dropped: String,
}
