//! Audit records: each holds the digest of the one before, so that none can be changed or taken out unseen.

use sha2::{Digest as _, Sha256};
use vigo_base::Digest;

/// The context of a record's digest; another order or set of fields is another context.
const CONTEXT: &[u8] = b"vigo audit record v1";

/// The longest text of one field: records are for people, not for data.
pub const AUDIT_FIELD: usize = 4096;

/// What happened, as the caller says it. Never a secret, nor anything from which one could be computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAudit {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who: `admin`, `envoy:<id>`, `vigosrv` ...
    pub actor: String,
    /// What: one of the fixed words, such as `secrets.set`.
    pub action: String,
    /// To what: a path, a name, an id.
    pub object: String,
    /// `allowed`, `denied`, `failed`.
    pub outcome: String,
    /// Anything else, for people.
    pub detail: String,
}

/// A record in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// From 1 upwards, without gaps.
    pub sequence: u64,
    /// What happened.
    pub entry: NewAudit,
    /// The digest of the record before; of no bytes for the first.
    pub previous: Digest,
    /// The digest of this record.
    pub digest: Digest,
}

impl AuditRecord {
    /// The record that follows `head`.
    pub(crate) fn follow(head: &AuditHead, entry: NewAudit) -> Self {
        let sequence = head.sequence.saturating_add(1);
        let digest = digest(sequence, &head.digest, &entry);
        Self { sequence, entry, previous: head.digest, digest }
    }

    /// True if this record follows `head` and its digest is that of its content.
    #[must_use]
    pub fn follows(&self, head: &AuditHead) -> bool {
        head.sequence.checked_add(1) == Some(self.sequence)
            && self.previous == head.digest
            && self.digest == digest(self.sequence, &self.previous, &self.entry)
    }

    /// The head of a chain that ends with this record.
    #[must_use]
    pub const fn head(&self) -> AuditHead {
        AuditHead { sequence: self.sequence, digest: self.digest }
    }
}

/// The end of the chain: whoever knows it can tell whether anything before was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// The last record's sequence; 0 when there is none.
    pub sequence: u64,
    /// The last record's digest; of no bytes when there is none.
    pub digest: Digest,
}

impl AuditHead {
    /// The head of a chain without records.
    #[must_use]
    pub fn empty() -> Self {
        Self { sequence: 0, digest: Digest::of(b"") }
    }
}

/// What came of going through the whole chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditVerdict {
    /// How many records are whole and in order, from the first.
    pub records: u64,
    /// The head as far as the chain is whole.
    pub head: AuditHead,
    /// The sequence at which it is not, with the reason; `None` when it is whole to its end.
    pub broken: Option<(u64, &'static str)>,
}

fn digest(sequence: u64, previous: &Digest, entry: &NewAudit) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(CONTEXT);
    hasher.update(sequence.to_be_bytes());
    hasher.update(previous.as_bytes());
    hasher.update(entry.at_ms.to_be_bytes());
    for field in [&entry.actor, &entry.action, &entry.object, &entry.outcome, &entry.detail] {
        // The length first: else two fields could trade bytes.
        hasher.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(field.as_bytes());
    }
    Digest::from_bytes(&hasher.finalize()).unwrap_or_else(|| Digest::of(b""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(object: &str, outcome: &str) -> NewAudit {
        NewAudit {
            at_ms: 1,
            actor: "admin".into(),
            action: "secrets.set".into(),
            object: object.into(),
            outcome: outcome.into(),
            detail: String::new(),
        }
    }

    #[test]
    fn bytes_cannot_move_from_one_field_to_the_next() {
        let head = AuditHead::empty();
        let one = AuditRecord::follow(&head, entry("ab", "c"));
        let other = AuditRecord::follow(&head, entry("a", "bc"));
        assert_ne!(one.digest, other.digest);
    }

    #[test]
    fn the_digest_of_a_record_is_the_one_of_format_one() {
        let record = AuditRecord::follow(&AuditHead::empty(), entry("web/token", "allowed"));
        assert_eq!(
            record.digest.to_string(),
            "d21bcae5e165bfb9276c0d0a1b51412e96da3571937ddfe512af1a1fe89076b2",
            "records are kept for years: their digest must never come out another way"
        );
    }

    #[test]
    fn a_changed_record_follows_nothing() {
        let head = AuditHead::empty();
        let mut record = AuditRecord::follow(&head, entry("a", "allowed"));
        assert!(record.follows(&head));
        record.entry.actor = "mallory".into();
        assert!(!record.follows(&head));
    }
}
