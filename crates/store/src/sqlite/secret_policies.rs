//! Policies of secrets: replaced as a set, read as a set.

use super::SqliteStore;
use super::rows::{self, Fault};
use crate::audit::NewAudit;
use crate::error::StoreError;
use crate::secret_policy::{POLICIES_MOST, SecretPolicies, SecretPolicy};
use rusqlite::{Row, Transaction, params};
use vigo_base::{ProtectionLevel, SecretScope};

/// Environments, globs or labels of one policy, as JSON.
const LISTS: usize = 16 << 10;

impl SqliteStore {
    pub(super) fn read_secret_policies(&self) -> Result<SecretPolicies, StoreError> {
        self.read("read the policies of secrets", all)
    }

    pub(super) fn write_secret_policies(
        &self,
        next: &SecretPolicies,
        audit: &[NewAudit],
    ) -> Result<(), StoreError> {
        self.write_audited("store the policies of secrets", audit, |transaction| {
            if next.policies.len() > POLICIES_MOST {
                let limit = POLICIES_MOST;
                return Err(StoreError::TooMany { what: "policies of secrets", limit }.into());
            }
            let before = all(transaction)?;
            let expected = before.revision.saturating_add(1);
            if next.revision != expected {
                return Err(StoreError::PolicyRevision { given: next.revision, next: expected }.into());
            }
            transaction.execute("DELETE FROM secret_policies", [])?;
            next.policies.iter().try_for_each(|policy| insert(transaction, policy))?;
            transaction
                .prepare_cached("INSERT INTO secret_policy_set (one, revision, mac) VALUES (1, ?1, ?2) ON CONFLICT (one) DO UPDATE SET revision = excluded.revision, mac = excluded.mac")?
                .execute(params![next.revision, next.mac])?;
            touch(transaction, &before, next)
        })
    }
}

/// A policy that comes, goes or says something else is a change of every secret that it covers: their envoys ask for them anew.
fn touch(transaction: &Transaction<'_>, before: &SecretPolicies, next: &SecretPolicies) -> Result<(), Fault> {
    let differs = |one: &&SecretPolicy, other: &SecretPolicies| other.of(&one.scope) != Some(*one);
    let scopes: Vec<&SecretScope> = before
        .policies
        .iter()
        .filter(|one| differs(one, next))
        .chain(next.policies.iter().filter(|one| differs(one, before)))
        .map(|policy| &policy.scope)
        .collect();
    if scopes.is_empty() {
        return Ok(());
    }
    let statement = transaction
        .prepare_cached("SELECT path, version FROM secret_versions WHERE state = 'current' ORDER BY path")?;
    let current =
        rows::all(statement, [], |row| Ok((rows::secret_path(row, "path")?, row.get::<_, u64>("version")?)))?;
    let mut insert =
        transaction.prepare_cached("INSERT INTO secret_changes (path, version) VALUES (?1, ?2)")?;
    for (path, version) in current {
        if scopes.iter().any(|scope| scope.covers(&path)) {
            insert.execute(params![path.as_str(), version])?;
        }
    }
    Ok(())
}

/// The set as it is in this transaction.
pub(super) fn all(transaction: &Transaction<'_>) -> Result<SecretPolicies, Fault> {
    let statement = transaction.prepare_cached("SELECT revision, mac FROM secret_policy_set")?;
    let head = rows::first(statement, [], |row| Ok((row.get("revision")?, row.get("mac")?)))?;
    let (revision, mac) = head.unwrap_or_default();
    let statement = transaction.prepare_cached("SELECT * FROM secret_policies ORDER BY scope")?;
    Ok(SecretPolicies { revision, policies: rows::all(statement, [], policy)?, mac })
}

fn insert(transaction: &Transaction<'_>, policy: &SecretPolicy) -> Result<(), Fault> {
    let lists = [
        rows::json(policy.environments.clone()),
        rows::json(policy.envoys.clone()),
        rows::json_map(&policy.labels),
    ];
    for list in &lists {
        rows::bounded("policy of a secret", list.len(), LISTS)?;
    }
    let [environments, envoys, labels] = lists;
    transaction
        .prepare_cached("INSERT INTO secret_policies (scope, require, swap_closed, environments, envoys, labels, by, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            policy.scope.as_str(),
            policy.require.map_or("", ProtectionLevel::as_str),
            policy.require_swap_closed,
            environments,
            envoys,
            labels,
            policy.by,
            policy.at
        ])?;
    Ok(())
}

fn policy(row: &Row<'_>) -> Result<SecretPolicy, Fault> {
    let require: String = row.get("require")?;
    let level = ProtectionLevel::parse(&require);
    if level.is_none() && !require.is_empty() {
        return Err(rows::malformed("protection level"));
    }
    Ok(SecretPolicy {
        scope: rows::secret_scope(row, "scope")?,
        require: level,
        require_swap_closed: row.get("swap_closed")?,
        environments: rows::texts(row, "environments")?,
        envoys: rows::texts(row, "envoys")?,
        labels: rows::labels(row, "labels")?,
        by: row.get("by")?,
        at: row.get("at")?,
    })
}
