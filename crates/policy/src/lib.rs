//! From a tree of `.vgo` files to a checked policy, and from there to the bundle of an envoy.
//!
//! Pure: no I/O, no clock. The one way is [`check()`], [`select`], [`compile`]; [`entitled`] says which secrets a bundle opens to an envoy. Rendering with fresh traits is the agent's business, signing is the server's.
#![forbid(unsafe_code)]

mod assemble;
mod attributes;
mod blocks;
mod check;
mod configcrate;
mod cycles;
mod entitle;
mod foreach;
mod glob;
mod ground;
mod identity;
mod model;
mod plaintext;
mod reach;
mod reader;
mod references;
mod safety;
mod select;
mod simple;
mod stacks;
mod templates;
mod text;
mod uses;
mod value;

pub use check::check;
pub use entitle::{Entitlement, EntitlementError, entitled};
pub use glob::{Glob, GlobError};
pub use identity::guarded_by_default;
pub use model::Policy;
pub use select::{
    BlockMatch, Layer, SelectedConfigcrate, SelectedVariable, Selection, find_block, select, selections,
};
pub use vigo_syntax::{Code, Diagnostic, Severity, Tree, TreeError};

use std::collections::BTreeSet;
use vigo_base::{AbsolutePath, Digest, SecretPath};
use vigo_resource::Registry;
use vigo_wire::bundle::{Bundle, FORMAT};
use vigo_wire::node::Node;

/// What a check knows besides the tree. What is not known is not checked.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The resource types.
    pub registry: &'a Registry,
    /// Every secret that the vault has; `None` when there is no vault to ask.
    pub secrets: Option<&'a BTreeSet<SecretPath>>,
    /// Paths that no resource may touch: Vigo's own. [`guarded_by_default`] where those in use are not known.
    pub guarded: &'a [AbsolutePath],
    /// Dotted paths of the built-in traits (`os.family`); `None` when nobody told.
    pub traits: Option<&'a [&'a str]>,
    /// Names of variables that will be given as arguments.
    pub variables: &'a [String],
    /// The path of a file whose configcrates are applied by themselves; all others but templates are left alone.
    pub alone: Option<&'a str>,
}

impl<'a> Surroundings<'a> {
    /// The types, and nothing else.
    #[must_use]
    pub const fn new(registry: &'a Registry) -> Self {
        Self { registry, secrets: None, guarded: &[], traits: None, variables: &[], alone: None }
    }
}

/// A bundle with its bytes and their name.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The bundle.
    pub bundle: Bundle,
    /// Its encoding: equal for envoys that are alike.
    pub bytes: Vec<u8>,
    /// The digest of the bytes.
    pub digest: Digest,
    /// Where each resource of the bundle comes from.
    pub origins: Vec<Origin>,
    /// No match block fits: the bundle is empty.
    pub unmatched: bool,
}

/// Where a resource comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its id, as far as publish knows it.
    pub id: String,
    /// `file:line`.
    pub place: String,
}

/// The bundle of a selection. The policy must have been checked without errors; what is wrong in it is left out.
#[must_use]
pub fn compile(policy: &Policy, selection: &Selection) -> Compiled {
    let mut notes = ground::Notes::default();
    let assembled =
        ground::Ground::new(policy, selection).map(|ground| assemble::assemble(&ground, &mut notes));
    let (bundle, origins) = match assembled {
        Some(assembled) => (assembled.bundle, assembled.origins),
        None => (Bundle { format: FORMAT, ..Bundle::default() }, Vec::new()),
    };
    let (bytes, digest) = vigo_wire::encode_bundle(&bundle);
    let origin = |(id, span)| Origin { id, place: policy.origin(span) };
    let unmatched = selection.block.is_none() && !policy.alone;
    Compiled { bundle, bytes, digest, origins: origins.into_iter().map(origin).collect(), unmatched }
}

/// A value for `--var NAME=VALUE`: as YAML would read it, so `8080` is a number. Text with template tags or references in it stays text.
#[must_use]
pub fn argument_value(text: &str) -> Node {
    let parsed = vigo_syntax::parse(0, text.as_bytes());
    let plain = parsed.diagnostics.is_empty().then_some(parsed.root);
    plain.and_then(|node| value::argument(&node)).unwrap_or_else(|| Node::literal(text))
}
