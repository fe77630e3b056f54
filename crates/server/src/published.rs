//! What is published, ready to be given: each match block with its bundle, and the choice for one envoy.
//!
//! Envoys of one block share one bundle. A block that is chosen by what an envoy says of itself entitles to no secret: its bundle lists none.

use crate::bundles;
use prost::Message as _;
use std::collections::BTreeSet;
use vigo_base::{Digest, SecretPath};
use vigo_policy::{
    Diagnostic, Policy, Selection, Surroundings, Tree, check, compile, guarded_by_default, select, selections,
};
use vigo_resources::REGISTRY;
use vigo_store::NewEnvoy;
use vigo_wire::bundle::{Bundle, Configcrate, Resource};
use vigo_wire::encode_bundle;
use vigo_wire::node::Node;

/// What a match block comes to.
#[derive(Clone, Debug)]
pub struct Block {
    /// The digest of its bundle.
    pub digest: Digest,
    /// Its bundle.
    pub bundle: Bundle,
    /// The bundle's bytes.
    pub bytes: Vec<u8>,
    /// The ids of its resources, as far as they are known before rendering.
    pub ids: Vec<String>,
    /// Its environment; empty for none.
    pub environment: String,
    /// Where it is written.
    pub origin: String,
    /// It refers to secrets, and is chosen by traits: nobody gets them.
    pub withheld: bool,
}

/// A published version.
#[derive(Debug)]
pub struct Published {
    /// Its number; 0 before the first.
    pub version: u64,
    /// What is stored cannot be used by this build: envoys keep what they have.
    pub frozen: bool,
    policy: Policy,
    blocks: Vec<Block>,
    empty: Block,
}

/// What one envoy is given.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// The bundle and where it comes from.
    pub block: &'a Block,
    /// No match block fits.
    pub unmatched: bool,
}

/// A tree that was checked, with what was found.
pub struct Checked {
    /// The policy; of use only without errors.
    pub policy: Policy,
    /// What was found, errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

impl Checked {
    /// Checks a tree. `secrets` are those that the vault has; `None` does not look.
    #[must_use]
    pub fn of(tree: &Tree, secrets: Option<&BTreeSet<SecretPath>>) -> Self {
        let traits: Vec<String> = vigo_traits::known_paths().map(|(path, _)| path).collect();
        let traits: Vec<&str> = traits.iter().map(String::as_str).collect();
        let guarded = guarded_by_default();
        let surroundings = Surroundings {
            secrets,
            guarded: &guarded,
            traits: Some(&traits),
            ..Surroundings::new(&REGISTRY)
        };
        let (policy, diagnostics) = check(tree, &surroundings);
        Self { policy, diagnostics }
    }

    /// True if the policy must not be used.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        vigo_syntax::has_errors(&self.diagnostics)
    }
}

impl Published {
    /// Before the first publish.
    #[must_use]
    pub fn nothing() -> Self {
        Self::compile(Policy::default())
    }

    /// A version that this build cannot use: envoys keep what they have.
    #[must_use]
    pub fn frozen(version: u64) -> Self {
        Self { frozen: true, version, ..Self::nothing() }
    }

    /// Compiles every match block of a policy that was checked without errors. It has no version yet.
    #[must_use]
    pub fn compile(policy: Policy) -> Self {
        let blocks = selections(&policy).iter().map(|selection| Block::of(&policy, selection)).collect();
        let (bytes, digest) = bundles::empty();
        let empty = Block {
            digest,
            bundle: Bundle { format: vigo_wire::bundle::FORMAT, ..Bundle::default() },
            bytes,
            ids: Vec::new(),
            environment: String::new(),
            origin: String::new(),
            withheld: false,
        };
        Self { version: 0, frozen: false, policy, blocks, empty }
    }

    /// The same, as that version.
    #[must_use]
    pub fn as_version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// Every match block.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Every reference to a secret that some envoy may get, today or later: written paths, and computed ones with what they are computed from.
    #[must_use]
    pub fn references(&self) -> BTreeSet<(String, String, Digest)> {
        self.blocks.iter().flat_map(Block::references).collect()
    }

    /// Where the block is written whose bundle that is, if its secrets are withheld from everybody because traits choose it.
    #[must_use]
    pub fn withheld(&self, bundle: &Digest) -> Option<String> {
        let block = self.blocks.iter().find(|block| block.withheld && block.digest == *bundle);
        block.map(|block| block.origin.clone())
    }

    /// True if what `envoy` is given depends on its traits.
    #[must_use]
    pub fn wants_traits(&self, envoy: &NewEnvoy) -> bool {
        select(&self.policy, envoy.name.as_str(), None).undecided
    }

    /// What `envoy` is given, with the traits it last told, if they are wanted.
    #[must_use]
    pub fn choose(&self, envoy: &NewEnvoy, traits: Option<&Node>) -> Choice<'_> {
        let matched = select(&self.policy, envoy.name.as_str(), traits).block;
        match matched.and_then(|matched| self.blocks.get(matched.number)) {
            Some(block) => Choice { block, unmatched: false },
            None => Choice { block: &self.empty, unmatched: true },
        }
    }
}

impl Block {
    fn references(&self) -> impl Iterator<Item = (String, String, Digest)> {
        self.bundle.secrets.iter().map(|used| {
            let from = if used.expression.is_empty() { Digest::of(&[]) } else { self.sources(used.resource) };
            (used.path.clone(), used.expression.clone(), from)
        })
    }

    /// What a computed path of that resource may depend on.
    fn sources(&self, resource: u32) -> Digest {
        let resource = usize::try_from(resource).ok().and_then(|number| self.bundle.resources.get(number));
        let owner = resource.and_then(|resource| usize::try_from(resource.configcrate).ok());
        let own = owner.and_then(|number| self.bundle.configcrates.get(number));
        let seen = Bundle {
            variables: self.bundle.variables.clone(),
            configcrates: own
                .map(|own| Configcrate { variables: own.variables.clone(), ..Configcrate::default() })
                .into_iter()
                .collect(),
            resources: resource
                .map(|resource| Resource { item: resource.item.clone(), ..Resource::default() })
                .into_iter()
                .collect(),
            ..Bundle::default()
        };
        Digest::of(&[seen.encode_to_vec(), self.environment.clone().into_bytes()].concat())
    }

    fn of(policy: &Policy, selection: &Selection) -> Self {
        let compiled = compile(policy, selection);
        let (mut bundle, mut bytes, mut digest) = (compiled.bundle, compiled.bytes, compiled.digest);
        let by_traits = selection.block.as_ref().is_some_and(|block| block.by_traits);
        let withheld = by_traits && !bundle.secrets.is_empty();
        if withheld {
            bundle.secrets.clear();
            (bytes, digest) = encode_bundle(&bundle);
        }
        Self {
            digest,
            bundle,
            bytes,
            ids: compiled.origins.into_iter().map(|origin| origin.id).collect(),
            environment: selection.environment.clone(),
            origin: selection.block.as_ref().map_or_else(String::new, |block| block.origin.clone()),
            withheld,
        }
    }
}
