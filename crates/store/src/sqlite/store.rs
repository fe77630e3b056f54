//! [`Store`] for SQLite: which call is written where.

use super::SqliteStore;
use crate::api_token::ApiToken;
use crate::audit::{AuditHead, AuditRecord, AuditVerdict, NewAudit};
use crate::contract::{Store, Transactions};
use crate::deployment::{Deployment, ServerKey};
use crate::envoy::{Entitled, Envoy, EnvoyState, Sighting, StoredAssignment, StoredTraits};
use crate::error::StoreError;
use crate::keyed::Keyed;
use crate::page::{Listing, Page};
use crate::publish::{NewPublish, Publish};
use crate::run::{NewRun, Run};
use crate::secret::{NewSecret, Secret, SecretChange, SecretHistory, SecretRecord};
use crate::secret_policy::SecretPolicies;
use crate::secret_use::{SecretUse, SeenExposure};
use crate::token::{Enrolled, Enrolment, Token, TokenId};
use vigo_base::{Digest, EnvoyId, SecretPath, SecretVersion};
use vigo_wire::inner::Report;

type Result<T> = std::result::Result<T, StoreError>;

impl Store for SqliteStore {
    fn deployment(&self) -> Result<Option<Deployment>> {
        self.read_deployment()
    }
    fn is_empty(&self) -> Result<bool> {
        self.holds_nothing()
    }
    fn found(&self, deployment: &Deployment, keys: &[ServerKey], audit: &[NewAudit]) -> Result<()> {
        self.write_deployment(deployment, keys, audit)
    }
    fn raise_term(&self, version_floor: u64, audit: &[NewAudit]) -> Result<u64> {
        self.write_term(version_floor, audit)
    }
    fn keyed(&self) -> Result<Keyed> {
        self.read_keyed()
    }
    fn rekey(&self, master_key: &[u8; 16], keyed: &Keyed, audit: &[NewAudit]) -> Result<()> {
        self.write_keyed(master_key, keyed, audit)
    }
    fn add_key(&self, key: &ServerKey, audit: &[NewAudit]) -> Result<()> {
        self.write_key(key, audit)
    }
    fn keys(&self, purpose: &str) -> Result<Vec<ServerKey>> {
        self.read_keys(purpose)
    }
    fn retire_key(&self, purpose: &str, public: &[u8], at: u64, audit: &[NewAudit]) -> Result<()> {
        self.write_retirement(purpose, public, at, audit)
    }
    fn publish(&self, publish: &NewPublish<'_>, audit: &[NewAudit]) -> Result<u64> {
        self.write_publish(publish, audit)
    }
    fn current_publish(&self) -> Result<Option<Publish>> {
        self.read_current()
    }
    fn publish_of(&self, version: u64) -> Result<Option<Publish>> {
        self.read_publish(version)
    }
    fn publishes(&self, page: Page<'_>) -> Result<Listing<Publish>> {
        self.list_publishes(page)
    }
    fn tree(&self, version: u64) -> Result<Option<Vec<u8>>> {
        self.read_tree(version)
    }
    fn index(&self, version: u64) -> Result<Option<Vec<u8>>> {
        self.read_index(version)
    }
    fn bundles_of(&self, version: u64) -> Result<Vec<Digest>> {
        self.list_bundles(version)
    }
    fn bundle(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        self.read_bundle(digest)
    }
    fn add_token(&self, token: &Token, audit: &[NewAudit]) -> Result<()> {
        self.write_token(token, audit)
    }
    fn token(&self, id: &TokenId) -> Result<Option<Token>> {
        self.read_token(id)
    }
    fn tokens(&self, page: Page<'_>) -> Result<Listing<Token>> {
        self.list_tokens(page)
    }
    fn remove_token(&self, id: &TokenId, audit: &[NewAudit]) -> Result<()> {
        self.delete_token(id, audit)
    }
    fn answered(&self, token: &TokenId, request: &Digest) -> Result<Option<Vec<u8>>> {
        self.read_answer(token, request)
    }
    fn enrol(&self, enrolment: &Enrolment<'_>, audit: &[NewAudit]) -> Result<Enrolled> {
        self.write_enrolment(enrolment, audit)
    }
    fn prune_tokens(&self, before: u64) -> Result<u64> {
        self.delete_expired_tokens(before)
    }
    fn envoy(&self, id: &EnvoyId) -> Result<Option<Envoy>> {
        self.read_envoy(id)
    }
    fn envoy_named(&self, name: &str) -> Result<Option<Envoy>> {
        self.read_envoy_named(name)
    }
    fn envoys(&self, prefix: &str, page: Page<'_>) -> Result<Listing<Envoy>> {
        self.list_envoys(prefix, page)
    }
    fn record_sightings(&self, sightings: &[Sighting]) -> Result<()> {
        self.write_sightings(sightings)
    }
    fn set_traits(&self, envoy: &EnvoyId, traits: &StoredTraits) -> Result<()> {
        self.write_traits(envoy, traits)
    }
    fn traits(&self, envoy: &EnvoyId) -> Result<Option<StoredTraits>> {
        self.read_traits(envoy)
    }
    fn set_assignments(&self, assignments: &[StoredAssignment]) -> Result<()> {
        self.write_assignments(assignments)
    }
    fn assignments(&self, envoy: &EnvoyId) -> Result<Vec<StoredAssignment>> {
        self.read_assignments(envoy)
    }
    fn set_continuity(&self, envoy: &EnvoyId, value: &[u8]) -> Result<()> {
        self.write_continuity(envoy, value)
    }
    fn set_envoy_state(&self, envoy: &EnvoyId, state: EnvoyState, audit: &[NewAudit]) -> Result<()> {
        self.write_envoy_state(envoy, state, audit)
    }
    fn remove_envoy(&self, envoy: &EnvoyId, audit: &[NewAudit]) -> Result<()> {
        self.delete_envoy(envoy, audit)
    }
    fn highest_secret_version(&self) -> Result<SecretVersion> {
        self.read_highest_version()
    }

    fn next_secret_version(&self, path: &SecretPath) -> Result<SecretVersion> {
        self.read_next_version(path)
    }
    fn put_secret(&self, secret: &NewSecret<'_>, audit: &[NewAudit]) -> Result<u64> {
        self.write_secret(secret, audit)
    }
    fn secret(&self, path: &SecretPath) -> Result<Option<Secret>> {
        self.read_secret(path)
    }
    fn secret_record(
        &self,
        path: &SecretPath,
        version: Option<SecretVersion>,
    ) -> Result<Option<SecretRecord>> {
        self.read_record(path, version)
    }
    fn secrets(&self, prefix: &str, page: Page<'_>) -> Result<Listing<Secret>> {
        self.list_secrets(prefix, page)
    }
    fn secret_history(&self, path: &SecretPath, page: Page<'_>) -> Result<Listing<SecretHistory>> {
        self.list_history(path, page)
    }
    fn remove_secret(&self, path: &SecretPath, at: u64, by: &str, audit: &[NewAudit]) -> Result<u64> {
        self.delete_secret(path, at, by, audit)
    }
    fn last_secret_change(&self) -> Result<u64> {
        self.read_last_change()
    }
    fn secret_changes(&self, since: u64, limit: usize) -> Result<Vec<SecretChange>> {
        self.list_changes(since, limit)
    }
    fn entitled(&self, envoy: &EnvoyId, paths: &[SecretPath]) -> Result<Option<Entitled>> {
        self.read_entitled(envoy, paths)
    }
    fn secret_policies(&self) -> Result<SecretPolicies> {
        self.read_secret_policies()
    }
    fn set_secret_policies(&self, next: &SecretPolicies, audit: &[NewAudit]) -> Result<()> {
        self.write_secret_policies(next, audit)
    }
    fn record_secret_uses(&self, uses: &[SecretUse]) -> Result<()> {
        self.write_secret_uses(uses)
    }
    fn secret_uses(&self, path: &SecretPath) -> Result<Vec<SecretUse>> {
        self.list_secret_uses(path)
    }
    fn secret_uses_of(&self, actor: &str) -> Result<Vec<SecretUse>> {
        self.list_uses_of(actor)
    }
    fn record_exposures(&self, seen: &[SeenExposure]) -> Result<()> {
        self.write_exposures(seen)
    }
    fn exposures(&self, envoy: &EnvoyId) -> Result<Vec<SeenExposure>> {
        self.list_exposures(envoy)
    }
    fn add_api_token(&self, token: &ApiToken, audit: &[NewAudit]) -> Result<()> {
        self.write_api_token(token, audit)
    }
    fn api_token(&self, id: &TokenId) -> Result<Option<ApiToken>> {
        self.read_api_token(id)
    }
    fn api_tokens(&self, page: Page<'_>) -> Result<Listing<ApiToken>> {
        self.list_api_tokens(page)
    }
    fn remove_api_token(&self, id: &TokenId, audit: &[NewAudit]) -> Result<()> {
        self.delete_api_token(id, audit)
    }
    fn prune_api_tokens(&self, before: u64) -> Result<u64> {
        self.delete_expired_api_tokens(before)
    }
    fn store_run(&self, run: &NewRun<'_>) -> Result<bool> {
        self.write_run(run)
    }
    fn runs(&self, envoy: Option<&EnvoyId>, page: Page<'_>) -> Result<Listing<Run>> {
        self.list_runs(envoy, page)
    }
    fn run(&self, run: &[u8; 16]) -> Result<Option<(Run, Report)>> {
        self.read_run(run)
    }
    fn append_audit(&self, entries: &[NewAudit]) -> Result<AuditHead> {
        self.append_together(entries)
    }
    fn audit_head(&self) -> Result<AuditHead> {
        self.read_audit_head()
    }
    fn audit(&self, page: Page<'_>) -> Result<Listing<AuditRecord>> {
        self.list_audit(page)
    }
    fn verify_audit(&self) -> Result<AuditVerdict> {
        self.walk_audit()
    }
    fn ping(&self) -> Result<()> {
        self.read("reach the database", |transaction| {
            Ok(transaction.prepare_cached("SELECT 1")?.query_row([], |_| Ok(()))?)
        })
    }
    fn transactions(&self) -> Transactions {
        self.begun.count()
    }
}
