//! Publishing: from a tree of files to what every envoy is given, in the one function [`publish`], and back from the store at start.

use crate::auth::{Permission, Principal};
use crate::plan::{self, Plan};
use crate::problem::{Code, Problem};
use crate::published::{Checked, Published};
use crate::rest::call::record;
use crate::state::Server;
use crate::{ServerError, clock, tree};
use std::collections::BTreeSet;
use vigo_base::{Digest, SecretPath};
use vigo_policy::{Diagnostic, Tree};
use vigo_store::{Git, NewBundle, NewPublish};
use vigo_syntax::Report;

/// What is to be published.
pub struct Wanted {
    /// The files.
    pub tree: Tree,
    /// The version it was built on; another current one refuses it.
    pub base: Option<u64>,
    /// Why, in the operator's words.
    pub message: String,
    /// Where the tree came from.
    pub git: Option<Git>,
}

/// What was published.
pub struct Done {
    /// The new version.
    pub version: u64,
    /// The digest of the tree as it is stored.
    pub digest: Digest,
    /// Warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// Envoys that are given something else from now on.
    pub envoys_affected: usize,
    /// Who can read which secret from now on that it could not read before.
    pub new_readers: Vec<(String, SecretPath)>,
}

/// Publishes a tree: check, compile, look at what it changes, store with the audit record, and only then give it to anybody. Blocks.
///
/// # Errors
/// When the tree is wrong (with its diagnostics), somebody else published first, or whoever asks may not let envoys read more secrets.
pub fn publish(server: &Server, principal: &Principal, wanted: &Wanted) -> Result<Done, Problem> {
    let _turn = server.publishing();
    let checked = Checked::of(&wanted.tree, Some(&known_secrets(server)));
    if checked.is_broken() {
        return Err(broken(&checked.diagnostics, &wanted.tree));
    }
    let next = Published::compile(checked.policy);
    let current = server.published();
    let plan = plan::between(server, &current, &next)?;
    // Also one that no envoy of today gets: the next one to enrol may.
    let references = next.references();
    let new: Vec<_> = references.difference(&current.references()).cloned().collect();
    may_use(principal, &plan, &new)?;
    let tree = tree::encode(&wanted.tree);
    let version = store(server, principal.name(), wanted, &tree, &next, &plan)?;
    server.swap_in(next.as_version(version));
    let digest = Digest::of(&tree);
    tracing::info!(version, by = principal.name(), envoys = plan.envoys, "published");
    let diagnostics = checked.diagnostics;
    Ok(Done { version, digest, diagnostics, envoys_affected: plan.envoys, new_readers: plan.new_readers })
}

/// Refuses unless whoever publishes may write every new reference. One whose path is computed may come to any secret.
fn may_use(principal: &Principal, plan: &Plan, new: &[(String, String, Digest)]) -> Result<(), Problem> {
    if new.is_empty() && plan.new_references.is_empty() {
        return Ok(());
    }
    principal.require(Permission::SecretsUse)?;
    plan.new_references.iter().try_for_each(|path| principal.require_for(path))?;
    let everything = "/".parse().map_err(|_| Problem::new(Code::Bug, "`/` is no scope"))?;
    new.iter().try_for_each(|(path, _, _)| match path.parse() {
        Ok(path) => principal.require_for(&path),
        Err(_) => principal.require_over(&everything),
    })
}

/// The version, its bundles and the audit record, in one transaction.
fn store(
    server: &Server,
    by: &str,
    wanted: &Wanted,
    tree: &[u8],
    next: &Published,
    plan: &Plan,
) -> Result<u64, ServerError> {
    let mut seen = BTreeSet::new();
    let of = |block: &'_ crate::published::Block| block.digest;
    let bundles: Vec<NewBundle<'_>> = next
        .blocks()
        .iter()
        .filter(|block| seen.insert(of(block)))
        .map(|block| NewBundle { digest: block.digest, bytes: &block.bytes })
        .collect();
    let withheld = next.blocks().iter().filter(|block| block.withheld);
    for block in withheld {
        tracing::warn!(
            block = block.origin,
            "a match block chosen by traits refers to secrets: nobody gets them by it"
        );
    }
    let publish = NewPublish {
        base: wanted.base,
        at: clock::now(),
        by,
        message: &wanted.message,
        git: wanted.git.as_ref(),
        tree,
        index: &tree::encode_index(next),
        bundles: &bundles,
    };
    let (action, object) = (Permission::ConfigPublish.as_str(), Digest::of(tree).to_string());
    let detail =
        format!("{} envoys affected, {} new readers of secrets", plan.envoys, plan.new_readers.len());
    let version = server.store.publish(&publish, &[record(by, action, &object, "allowed", &detail)])?;
    server.metrics.audit_records.inc();
    Ok(version)
}

/// Every secret that there is.
#[must_use]
pub fn known_secrets(server: &Server) -> BTreeSet<SecretPath> {
    server.secrets.snapshot().paths().cloned().collect()
}

/// A refusal with the places in the tree.
#[must_use]
pub fn broken(diagnostics: &[Diagnostic], tree: &Tree) -> Problem {
    let errors = diagnostics.iter().filter(|one| one.severity == vigo_policy::Severity::Error).count();
    let detail = format!("the policy has {errors} {}", if errors == 1 { "error" } else { "errors" });
    Problem::new(Code::Invalid, detail).diagnostics(shown(diagnostics, tree))
}

/// Diagnostics as they are answered.
#[must_use]
pub fn shown(diagnostics: &[Diagnostic], tree: &Tree) -> Vec<serde_json::Value> {
    let report = Report::new(diagnostics, tree);
    report.diagnostics.iter().filter_map(|one| serde_json::to_value(one).ok()).collect()
}

/// At start: what was published last is compiled again. If this build compiles it to other bundles, they become a version of their own; if it
/// cannot use it at all, envoys keep what they have. Blocks.
///
/// # Errors
/// When the store cannot be read or written.
pub fn reopen(server: &Server) -> Result<(), ServerError> {
    let Some(current) = server.store.current_publish()? else { return Ok(()) };
    let missing = ServerError::Deployment { what: "published tree" };
    let tree = server.store.tree(current.version)?.and_then(|bytes| tree::decode(&bytes)).ok_or(missing)?;
    // A secret that was removed since is no reason to stop: its envoys are told when they ask for it.
    let checked = Checked::of(&tree, None);
    if checked.is_broken() {
        let text = vigo_syntax::render_text(&checked.diagnostics, &tree);
        tracing::error!(
            version = current.version,
            "this vigosrv cannot use what is published; envoys keep what they have:\n{text}"
        );
        server.swap_in(Published::frozen(current.version));
        return Ok(());
    }
    let next = Published::compile(checked.policy);
    let stored: BTreeSet<Digest> = server.store.bundles_of(current.version)?.into_iter().collect();
    if next.blocks().iter().all(|block| stored.contains(&block.digest)) {
        server.swap_in(next.as_version(current.version));
        return Ok(());
    }
    tracing::info!(
        version = current.version,
        "this vigosrv compiles what is published to other bundles: publishing it again"
    );
    let message = format!("version {} compiled by vigosrv {}", current.version, env!("CARGO_PKG_VERSION"));
    let wanted = Wanted { tree, base: Some(current.version), message, git: current.git };
    let bytes = tree::encode(&wanted.tree);
    let version = store(server, "vigosrv", &wanted, &bytes, &next, &Plan::default())?;
    server.swap_in(next.as_version(version));
    Ok(())
}
