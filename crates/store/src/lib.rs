//! The server's state behind one trait: what was founded, published, enrolled, sealed, run and audited.
//!
//! Holds bytes and facts only: a secret is a record that the hand made and that only the hand opens; nothing here can hold a value.
//! It has no clock (every time is given, in seconds since 1970) and decides no rights, except the ones that must be decided in the transaction that uses them:
//! a token's uses, a name's one living id, the order of versions and generations.
#![forbid(unsafe_code)]

mod api_token;
mod audit;
mod contract;
mod deployment;
mod envoy;
mod error;
mod keyed;
mod page;
mod publish;
mod run;
mod secret;
mod secret_policy;
mod secret_use;
mod sqlite;
mod token;

pub use api_token::ApiToken;
pub use audit::{AUDIT_FIELD, AuditHead, AuditRecord, AuditVerdict, NewAudit};
pub use contract::{Store, Transactions};
pub use deployment::{Deployment, ServerKey};
pub use envoy::{
    Entitled, Envoy, EnvoyState, LastRun, NewEnvoy, Posture, Sighting, StoredAssignment, StoredTraits,
};
pub use error::StoreError;
pub use keyed::Keyed;
pub use page::{Listing, PAGE_MAX, Page};
pub use publish::{Git, NewBundle, NewPublish, Publish};
pub use run::{NewRun, RUNS_KEPT, Run, Summary};
pub use secret::{NewSecret, Secret, SecretChange, SecretHistory, SecretRecord, VersionState};
pub use secret_policy::{POLICIES_MOST, SecretPolicies, SecretPolicy};
pub use secret_use::{SecretUse, SeenExposure};
pub use sqlite::SqliteStore;
pub use token::{Enrolled, Enrolment, Token, TokenId, Uses};
