//! Envoys: who they are, what they were given, what they said of themselves.

use crate::run::Summary;
use crate::secret::SecretRecord;
use crate::secret_policy::SecretPolicies;
use std::collections::BTreeMap;
use vigo_base::{Digest, EnvoyId, EnvoyName};

/// Whether an envoy may do anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvoyState {
    /// It may.
    Active,
    /// It looks like a clone: no secrets until an operator approves.
    Quarantined,
    /// Never again.
    Revoked,
}

impl EnvoyState {
    /// The word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Quarantined => "quarantined",
            Self::Revoked => "revoked",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Quarantined, Self::Revoked].into_iter().find(|state| state.as_str() == text)
    }
}

/// Who enrols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEnvoy {
    /// A fresh random id.
    pub id: EnvoyId,
    /// Its name.
    pub name: EnvoyName,
    /// Its identity key (Ed25519).
    pub identity_key: [u8; 32],
    /// Its key for the inner session (X25519).
    pub session_key: [u8; 32],
    /// What the token bound to it.
    pub labels: BTreeMap<String, String>,
    /// A MAC by the hand over [`NewEnvoy::granting_bytes`]: who can write to the database alone cannot become an envoy.
    pub mac: Vec<u8>,
}

impl NewEnvoy {
    /// What the MAC is over: id, name, keys and labels.
    #[must_use]
    pub fn granting_bytes(&self) -> Vec<u8> {
        let mut bytes = b"vigo envoy v1".to_vec();
        let mut put = |part: &[u8]| {
            bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            bytes.extend(part);
        };
        put(self.id.as_bytes());
        put(self.name.as_str().as_bytes());
        put(&self.identity_key);
        put(&self.session_key);
        for (name, value) in &self.labels {
            put(name.as_bytes());
            put(value.as_bytes());
        }
        bytes
    }
}

/// An envoy as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envoy {
    /// Who it is.
    pub identity: NewEnvoy,
    /// Whether it may do anything.
    pub state: EnvoyState,
    /// When it enrolled.
    pub enrolled_at: u64,
    /// Its environment in the current assignment; empty for none.
    pub environment: String,
    /// When it was last heard of; what the last seconds before a crash said may be lost.
    pub last_seen: Option<u64>,
    /// The version of its agent, as last heard.
    pub agent_version: String,
    /// Its protection, by its own word.
    pub posture: Posture,
    /// SHA-256 of its traits; `None` when it never sent any.
    pub traits_digest: Option<Digest>,
    /// The last continuity value it was given; empty when none.
    pub continuity: Vec<u8>,
    /// The one before.
    pub continuity_before: Vec<u8>,
    /// What its last stored run did.
    pub last_run: Option<LastRun>,
}

/// What protection a machine gives, by its own word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Posture {
    /// `secure`, `weak`, `insecure`; empty when it never said.
    pub level: String,
    /// Why it is no better.
    pub reasons: Vec<String>,
    /// The swap class.
    pub swap: String,
}

/// The last run of an envoy, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// Its start by the machine's clock.
    pub at: u64,
    /// What it did.
    pub summary: Summary,
}

/// What check-ins said; written in batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Who.
    pub envoy: EnvoyId,
    /// When.
    pub at: u64,
    /// The version of its agent.
    pub agent_version: String,
    /// Its protection.
    pub posture: Posture,
}

/// An assignment that was signed for an envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAssignment {
    /// Whose.
    pub envoy: EnvoyId,
    /// Its term.
    pub term: u64,
    /// Its generation.
    pub generation: u64,
    /// The digest of its bundle.
    pub bundle: Digest,
    /// The publish it comes from.
    pub publish: u64,
    /// Its secrets epoch.
    pub secrets_epoch: u64,
    /// Its environment; empty for none.
    pub environment: String,
    /// When it was issued.
    pub issued_at: u64,
    /// The encoded signed assignment.
    pub bytes: Vec<u8>,
}

/// Traits as they were last sent whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTraits {
    /// SHA-256 as the agent computed it and the server checked it.
    pub digest: Digest,
    /// The encoded traits.
    pub bytes: Vec<u8>,
}

/// Everything that decides whether an envoy gets secrets, and the records, out of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitled {
    /// The envoy.
    pub envoy: Envoy,
    /// Its current assignment and the one before it, newest first.
    pub assignments: Vec<StoredAssignment>,
    /// One per path asked for, in that order; `None` where there is no such secret.
    pub records: Vec<Option<SecretRecord>>,
    /// The policies of secrets.
    pub policies: SecretPolicies,
}
