//! Messages about master keys: where one is kept, and how another takes its place.

use super::{Labelled, Record};

/// What the file of a master key says openly.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeyInfo {
    /// Which key it is, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// `plain`, `passphrase` or `transit`.
    #[prost(string, tag = "2")]
    pub form: String,
}

/// Writes a master key that the hand has into a new file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StoreMasterKey {
    /// The file's absolute path; nothing may be there.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The key that waits to be adopted instead of the one in use.
    #[prost(bool, tag = "2")]
    pub next: bool,
    /// Under the passphrase that is read from the descriptor.
    #[prost(bool, tag = "3")]
    pub passphrase: bool,
    /// The passphrase is given twice, because somebody types it unseen.
    #[prost(bool, tag = "4")]
    pub twice: bool,
}

/// Makes the key that waits to be adopted, or reads it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PrepareMasterKey {
    /// The file to read it from; empty when it is to be made.
    #[prost(string, tag = "1")]
    pub file: String,
}

/// What is under the master key in use, to be put under the one that waits.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Rekey {
    /// Records of the vault.
    #[prost(message, repeated, tag = "1")]
    pub records: Vec<Record>,
    /// Wrapped keys.
    #[prost(message, repeated, tag = "2")]
    pub wraps: Vec<Labelled>,
    /// What has a MAC.
    #[prost(message, repeated, tag = "3")]
    pub macs: Vec<Authenticated>,
}

/// Bytes with the MAC that they have.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Authenticated {
    /// The kind of the MAC.
    #[prost(string, tag = "1")]
    pub label: String,
    /// The bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub bytes: Vec<u8>,
    /// Their MAC under the key in use; empty only where the kind allows that.
    #[prost(bytes = "vec", tag = "3")]
    pub mac: Vec<u8>,
}

/// The same under the key that waits, in the same order.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Rekeyed {
    /// Records.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub records: Vec<Vec<u8>>,
    /// Wrapped keys.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub wraps: Vec<Vec<u8>>,
    /// MACs.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub macs: Vec<Vec<u8>>,
}
