//! What every kind of store does. One conformance suite (`tests/conformance.rs`) is written against this trait.

use crate::api_token::ApiToken;
use crate::audit::{AuditHead, AuditRecord, AuditVerdict, NewAudit};
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

/// So many transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    /// That looked.
    pub reads: u64,
    /// That changed something.
    pub writes: u64,
}

/// The server's state. Every call is one transaction; what it acknowledges is on disk.
///
/// Calls block: an async caller moves them to a thread of their own. `audit` in a call that changes something is written in the same transaction,
/// so that the effect and its record stand or fall together.
pub trait Store: Send + Sync {
    // --- the deployment

    /// The deployment, or `None` on a store where none was founded.
    fn deployment(&self) -> Result<Option<Deployment>>;
    /// True if nothing at all was ever stored.
    fn is_empty(&self) -> Result<bool>;
    /// Makes the deployment and its first keys; refused on a store that is not empty.
    fn found(&self, deployment: &Deployment, keys: &[ServerKey], audit: &[NewAudit]) -> Result<()>;
    /// Raises the term and gives the new one. Versions of secrets up to `version_floor` are not given any more.
    fn raise_term(&self, version_floor: u64, audit: &[NewAudit]) -> Result<u64>;
    /// Everything that is under the master key.
    fn keyed(&self) -> Result<Keyed>;
    /// Replaces all of that by the same under another master key, which is the deployment's from then on; refused if a row came or went since.
    fn rekey(&self, master_key: &[u8; 16], keyed: &Keyed, audit: &[NewAudit]) -> Result<()>;
    /// Adds a key.
    fn add_key(&self, key: &ServerKey, audit: &[NewAudit]) -> Result<()>;
    /// The keys of a purpose, newest first, retired ones too.
    fn keys(&self, purpose: &str) -> Result<Vec<ServerKey>>;
    /// Marks a key as replaced.
    fn retire_key(&self, purpose: &str, public: &[u8], at: u64, audit: &[NewAudit]) -> Result<()>;

    // --- published versions

    /// Publishes; gives the new version.
    fn publish(&self, publish: &NewPublish<'_>, audit: &[NewAudit]) -> Result<u64>;
    /// The current version; `None` before the first.
    fn current_publish(&self) -> Result<Option<Publish>>;
    /// A version by its number.
    fn publish_of(&self, version: u64) -> Result<Option<Publish>>;
    /// All versions, newest first.
    fn publishes(&self, page: Page<'_>) -> Result<Listing<Publish>>;
    /// The encoded tree of a version.
    fn tree(&self, version: u64) -> Result<Option<Vec<u8>>>;
    /// The server's own table of a version.
    fn index(&self, version: u64) -> Result<Option<Vec<u8>>>;
    /// The digests of a version's bundles.
    fn bundles_of(&self, version: u64) -> Result<Vec<Digest>>;
    /// The bytes of a bundle.
    fn bundle(&self, digest: &Digest) -> Result<Option<Vec<u8>>>;

    // --- enrolment

    /// Stores a token.
    fn add_token(&self, token: &Token, audit: &[NewAudit]) -> Result<()>;
    /// A token by its id, spent and expired ones too.
    fn token(&self, id: &TokenId) -> Result<Option<Token>>;
    /// All tokens, by id.
    fn tokens(&self, page: Page<'_>) -> Result<Listing<Token>>;
    /// Removes a token and its answers.
    fn remove_token(&self, id: &TokenId, audit: &[NewAudit]) -> Result<()>;
    /// The answer that a request with that digest got, to be asked before any work is done for it.
    fn answered(&self, token: &TokenId, request: &Digest) -> Result<Option<Vec<u8>>>;
    /// Spends a use and stores the envoy. An envoy that had the name is revoked if it is unseen for 7 days or the token may replace, else the enrolment is refused.
    fn enrol(&self, enrolment: &Enrolment<'_>, audit: &[NewAudit]) -> Result<Enrolled>;
    /// Removes tokens (with their answers) that expired before `before`; gives how many.
    fn prune_tokens(&self, before: u64) -> Result<u64>;

    // --- envoys

    /// An envoy by its id.
    fn envoy(&self, id: &EnvoyId) -> Result<Option<Envoy>>;
    /// The living envoy of that name, else the one last enrolled under it.
    fn envoy_named(&self, name: &str) -> Result<Option<Envoy>>;
    /// All envoys by name, or those whose name begins with `prefix`.
    fn envoys(&self, prefix: &str, page: Page<'_>) -> Result<Listing<Envoy>>;
    /// Writes what check-ins said, in one transaction; ids that are gone are passed over.
    fn record_sightings(&self, sightings: &[Sighting]) -> Result<()>;
    /// Stores an envoy's traits.
    fn set_traits(&self, envoy: &EnvoyId, traits: &StoredTraits) -> Result<()>;
    /// An envoy's traits as it last sent them whole.
    fn traits(&self, envoy: &EnvoyId) -> Result<Option<StoredTraits>>;
    /// Stores assignments before they are handed out. Each must be newer than what its envoy has; the one before is kept, older ones go.
    fn set_assignments(&self, assignments: &[StoredAssignment]) -> Result<()>;
    /// The current assignment and the one before it, newest first.
    fn assignments(&self, envoy: &EnvoyId) -> Result<Vec<StoredAssignment>>;
    /// Stores a new continuity value; the one before is kept.
    fn set_continuity(&self, envoy: &EnvoyId, value: &[u8]) -> Result<()>;
    /// Changes an envoy's state; a revoked one stays revoked.
    fn set_envoy_state(&self, envoy: &EnvoyId, state: EnvoyState, audit: &[NewAudit]) -> Result<()>;
    /// Removes a revoked envoy with all that was kept of it but its id, which never returns.
    fn remove_envoy(&self, envoy: &EnvoyId, audit: &[NewAudit]) -> Result<()>;

    // --- secrets

    /// The version that the next record of that path must have. Rises also over a removal.
    fn next_secret_version(&self, path: &SecretPath) -> Result<SecretVersion>;
    /// The highest version that any secret ever had here; 0 before the first.
    fn highest_secret_version(&self) -> Result<SecretVersion>;
    /// Stores a new version, which is current from then on; gives the number of the change.
    fn put_secret(&self, secret: &NewSecret<'_>, audit: &[NewAudit]) -> Result<u64>;
    /// A secret that has a current version.
    fn secret(&self, path: &SecretPath) -> Result<Option<Secret>>;
    /// The record of a version, or of the current one.
    fn secret_record(
        &self,
        path: &SecretPath,
        version: Option<SecretVersion>,
    ) -> Result<Option<SecretRecord>>;
    /// All secrets by path, or those whose path begins with `prefix`.
    fn secrets(&self, prefix: &str, page: Page<'_>) -> Result<Listing<Secret>>;
    /// All versions of a secret, newest first, removed ones too.
    fn secret_history(&self, path: &SecretPath, page: Page<'_>) -> Result<Listing<SecretHistory>>;
    /// Removes every record of a secret; gives the number of the change.
    fn remove_secret(&self, path: &SecretPath, at: u64, by: &str, audit: &[NewAudit]) -> Result<u64>;
    /// The number of the last change; 0 before the first.
    fn last_secret_change(&self) -> Result<u64>;
    /// Changes after `since`, in order.
    fn secret_changes(&self, since: u64, limit: usize) -> Result<Vec<SecretChange>>;
    /// An envoy with its assignments, the current records of `paths` and the policies of secrets, as they are in one moment; `None` if there is no such envoy.
    fn entitled(&self, envoy: &EnvoyId, paths: &[SecretPath]) -> Result<Option<Entitled>>;

    /// The policies of secrets.
    fn secret_policies(&self) -> Result<SecretPolicies>;
    /// Replaces the policies of secrets; their revision must be the next one. Every secret that a policy covers which came, went or changed is changed by it, too:
    /// see [`Store::secret_changes`].
    fn set_secret_policies(&self, next: &SecretPolicies, audit: &[NewAudit]) -> Result<()>;
    /// Notes who got secrets, in one transaction.
    fn record_secret_uses(&self, uses: &[SecretUse]) -> Result<()>;
    /// Who ever got a secret, the last first; the first ten thousand.
    fn secret_uses(&self, path: &SecretPath) -> Result<Vec<SecretUse>>;
    /// Which secrets somebody ever got, by path; the first ten thousand.
    fn secret_uses_of(&self, actor: &str) -> Result<Vec<SecretUse>>;
    /// Notes where secrets can be seen, in one transaction; envoys that are gone are passed over.
    fn record_exposures(&self, seen: &[SeenExposure]) -> Result<()>;
    /// Where an envoy said that secrets can be seen; the first ten thousand.
    fn exposures(&self, envoy: &EnvoyId) -> Result<Vec<SeenExposure>>;

    // --- API tokens

    /// Stores a token.
    fn add_api_token(&self, token: &ApiToken, audit: &[NewAudit]) -> Result<()>;
    /// A token by its id, an expired one too.
    fn api_token(&self, id: &TokenId) -> Result<Option<ApiToken>>;
    /// All tokens, by id.
    fn api_tokens(&self, page: Page<'_>) -> Result<Listing<ApiToken>>;
    /// Removes a token.
    fn remove_api_token(&self, id: &TokenId, audit: &[NewAudit]) -> Result<()>;
    /// Removes tokens that expired before `before`; gives how many.
    fn prune_api_tokens(&self, before: u64) -> Result<u64>;

    // --- runs

    /// Stores a report; `false` when the same run is stored already. The oldest beyond [`crate::RUNS_KEPT`] of this envoy go.
    fn store_run(&self, run: &NewRun<'_>) -> Result<bool>;
    /// All runs, newest first, or those of one envoy.
    fn runs(&self, envoy: Option<&EnvoyId>, page: Page<'_>) -> Result<Listing<Run>>;
    /// A run with its report.
    fn run(&self, run: &[u8; 16]) -> Result<Option<(Run, Report)>>;

    // --- audit

    /// Appends records and gives the new head. When it returns they are on disk; calls that come together share one commit.
    fn append_audit(&self, entries: &[NewAudit]) -> Result<AuditHead>;
    /// The head of the chain.
    fn audit_head(&self) -> Result<AuditHead>;
    /// All records, newest first.
    fn audit(&self, page: Page<'_>) -> Result<Listing<AuditRecord>>;
    /// Goes through the whole chain.
    fn verify_audit(&self) -> Result<AuditVerdict>;

    // --- health

    /// A round trip to the database, for readiness.
    fn ping(&self) -> Result<()>;
    /// Transactions that were begun since it was opened.
    fn transactions(&self) -> Transactions;
}
