//! Messages about files of other tools: read, opened, and sealed value by value. Names cross the pipe, and what is sealed; neither a value nor its
//! length does.

/// Reads the file on the descriptor, which stays with the hand.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadImport {
    /// What it is said to be; empty if that is to be found out.
    #[prost(string, tag = "1")]
    pub format: String,
}

/// What a file is.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImportKind {
    /// For people.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// It was encrypted as a whole: what stands in it has to be said.
    #[prost(bool, tag = "2")]
    pub whole: bool,
    /// It opens with an age identity.
    #[prost(bool, tag = "3")]
    pub identity: bool,
    /// It opens with a passphrase.
    #[prost(bool, tag = "4")]
    pub passphrase: bool,
}

/// Opens the file that was read, with the identities or the passphrase on the descriptor, if it needs one.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OpenImport {
    /// What stands in a file that was encrypted as a whole: `whole`, `yaml`, `json`, `env`.
    #[prost(string, tag = "1")]
    pub content: String,
    /// Keep a final newline of a file that is one value.
    #[prost(bool, tag = "2")]
    pub exact: bool,
    /// Names of what is wanted; all of it if there are none.
    #[prost(string, repeated, tag = "3")]
    pub only: Vec<String>,
}

/// A name in a file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImportName {
    /// Names of maps and numbers in lists, from the outside.
    #[prost(string, repeated, tag = "1")]
    pub key: Vec<String>,
    /// Why it is not among the values; empty if it is.
    #[prost(string, tag = "2")]
    pub left_out: String,
    /// It has fewer than eight bytes, so it cannot be scrubbed from output.
    #[prost(bool, tag = "3")]
    pub short: bool,
}

/// What a file holds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Imported {
    /// Its values, in an order that [`SealImport`] and [`RecordImport`] count from 0.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<ImportName>,
    /// What was not taken.
    #[prost(message, repeated, tag = "2")]
    pub left_out: Vec<ImportName>,
    /// One final newline was dropped.
    #[prost(bool, tag = "3")]
    pub dropped_newline: bool,
}

/// Seals a value to the server's entry key.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SealImport {
    /// Which value.
    #[prost(uint32, tag = "1")]
    pub value: u32,
    /// The entry key.
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    /// The path bound into the seal.
    #[prost(string, tag = "3")]
    pub path: String,
}

/// Makes a record of the unlocked vault of a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RecordImport {
    /// Which value.
    #[prost(uint32, tag = "1")]
    pub value: u32,
    /// The path.
    #[prost(string, tag = "2")]
    pub path: String,
    /// The version.
    #[prost(uint64, tag = "3")]
    pub version: u64,
}
