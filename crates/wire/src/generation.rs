//! Which assignment is newer. The node stores the highest with fsync before it applies; storing is left to the agent.

use crate::WireError;
use crate::assignment::Assignment;
use prost::Message as _;
use vigo_base::Digest;

/// Encoded length of a [`Standing`].
const STORED: usize = 8 + 8 + 32;

/// Where an assignment stands among those of its envoy: term first, then generation. The digest covers everything the assignment says
/// except when it was issued, so that the same one signed again is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Raised by a restore or a failover that may have lost commits.
    pub term: u64,
    /// Rises with every assignment of this envoy.
    pub generation: u64,
    /// What it says.
    pub digest: Digest,
}

impl Standing {
    /// The standing of `assignment`.
    #[must_use]
    pub fn of(assignment: &Assignment) -> Self {
        let content = Assignment { issued_at: 0, ..assignment.clone() };
        Self {
            term: assignment.term,
            generation: assignment.generation,
            digest: Digest::of(&content.encode_to_vec()),
        }
    }

    /// As bytes for the state folder: term and generation (big-endian), digest.
    #[must_use]
    pub fn encode(&self) -> [u8; STORED] {
        let mut bytes = [0; STORED];
        let parts = self.term.to_be_bytes().into_iter().chain(self.generation.to_be_bytes());
        for (to, from) in bytes.iter_mut().zip(parts.chain(*self.digest.as_bytes())) {
            *to = from;
        }
        bytes
    }

    /// Reads what [`Standing::encode`] wrote.
    ///
    /// # Errors
    /// When the length is another: then nothing is known, and nothing may be accepted until the operator says so.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let wrong = || WireError::Malformed { what: "the stored generation", why: "it has not 48 bytes" };
        let bytes: &[u8; STORED] = bytes.try_into().map_err(|_| wrong())?;
        let (term, rest) = bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
        let (generation, digest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        Ok(Self {
            term: u64::from_be_bytes(*term),
            generation: u64::from_be_bytes(*generation),
            digest: Digest::from_bytes(digest).ok_or_else(wrong)?,
        })
    }
}

/// What to do with a verified assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision {
    /// Newer: store its standing with fsync, then apply it.
    Accept,
    /// The one that is held.
    Same,
    /// Not to be applied.
    Refused(Refusal),
}

/// Why an assignment is not to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An older one: replayed, or the server was restored without raising its term.
    Lower,
    /// Same term and generation, another content: somebody signed twice. To be reported.
    Equivocation,
}

/// Decides by what is held (`None`: nothing yet) whether `new` may be applied.
pub fn accept(held: Option<&Standing>, new: &Standing) -> Decision {
    let Some(held) = held else { return Decision::Accept };
    match (new.term, new.generation).cmp(&(held.term, held.generation)) {
        std::cmp::Ordering::Greater => Decision::Accept,
        std::cmp::Ordering::Less => Decision::Refused(Refusal::Lower),
        std::cmp::Ordering::Equal if new.digest == held.digest => Decision::Same,
        std::cmp::Ordering::Equal => Decision::Refused(Refusal::Equivocation),
    }
}
