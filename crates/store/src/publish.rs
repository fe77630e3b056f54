//! Published versions: the tree as the operator gave it and the bundles that came of it.

use vigo_base::Digest;

/// Where a tree came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Git {
    /// The commit, in hexadecimal.
    pub commit: String,
    /// Whether files differed from it.
    pub dirty: bool,
}

/// A compiled bundle, named by the digest of its bytes.
#[derive(Clone, Copy)]
pub struct NewBundle<'a> {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// The encoded bundle.
    pub bytes: &'a [u8],
}

/// What is to be published.
#[derive(Clone, Copy)]
pub struct NewPublish<'a> {
    /// The version it was built on; another current one refuses it. `None` does not look.
    pub base: Option<u64>,
    /// When.
    pub at: u64,
    /// By whom.
    pub by: &'a str,
    /// Why, in the operator's words.
    pub message: &'a str,
    /// Where the tree came from.
    pub git: Option<&'a Git>,
    /// The whole tree, encoded.
    pub tree: &'a [u8],
    /// The server's own table from match block to bundle, encoded; opaque here.
    pub index: &'a [u8],
    /// Every bundle that an envoy can be given by it.
    pub bundles: &'a [NewBundle<'a>],
}

/// A published version, without its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// From 1 upwards.
    pub version: u64,
    /// When.
    pub at: u64,
    /// By whom.
    pub by: String,
    /// Why, in the operator's words.
    pub message: String,
    /// Where the tree came from.
    pub git: Option<Git>,
    /// SHA-256 of the encoded tree.
    pub tree: Digest,
}
