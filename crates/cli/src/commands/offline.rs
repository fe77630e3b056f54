//! `vigocli config validate --stacks DIR`: the server's check, without a server.

use super::config::verdict;
use super::passphrase::Known;
use crate::error::CliError;
use crate::output::Output;
use crate::{hand, tree};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use vigo_base::{Exit, SecretPath};
use vigo_policy::{Surroundings, check, guarded_by_default};
use vigo_resources::REGISTRY;
use vigo_syntax::{Report, Tree};
use vigo_vault::Vault;

pub fn validate(
    output: Output,
    stacks: &Path,
    vault: Option<&Path>,
    warnings: &[String],
) -> Result<Exit, CliError> {
    let tree = tree::read(stacks)?;
    let secrets = vault.map(|vault| names(vault, warnings)).transpose()?;
    let report = checked(&tree, secrets.as_ref());
    let value = serde_json::to_value(&report).unwrap_or(Value::Null);
    verdict(output, &value, &report.diagnostics, &tree)
}

/// What is wrong with a tree. Without names of secrets, none is missed.
pub(super) fn checked(tree: &Tree, secrets: Option<&BTreeSet<SecretPath>>) -> Report {
    let traits: Vec<String> = vigo_traits::known_paths().map(|(path, _)| path).collect();
    let traits: Vec<&str> = traits.iter().map(String::as_str).collect();
    let guarded = guarded_by_default();
    let surroundings =
        Surroundings { secrets, guarded: &guarded, traits: Some(&traits), ..Surroundings::new(&REGISTRY) };
    let (_, diagnostics) = check(tree, &surroundings);
    Report::new(&diagnostics, tree)
}

/// The names are under the vault's MAC, so the vault is opened for them.
fn names(vault: &Path, warnings: &[String]) -> Result<BTreeSet<SecretPath>, CliError> {
    let known = Known::new(None);
    let opened = Vault::open(vault, &mut hand::start(warnings)?, &|| known.ask());
    known.done();
    let vault = opened?;
    Ok(vault.list("").into_iter().map(|secret| secret.path).collect())
}
