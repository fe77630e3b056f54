//! From bytes that came over a border to an assignment and a bundle that may be applied: verify first, then decode.

use crate::WireError;
use crate::assignment::{self, Assignment, KeyCertificate, SignedAssignment};
use crate::bundle::{self, Bundle};
use crate::error::{check_size, decode};
use crate::generation::Standing;
use crate::sign::{CertifiedPurpose, SignContext, verify, verify_certificate};
use prost::Message as _;
use vigo_base::{Digest, EnvoyId, EnvoyName, limits};

/// An encoded assignment may have so many bytes.
pub const ASSIGNMENT_LIMIT: usize = 1 << 20;
/// So many key certificates are looked at.
pub const KEYS_LIMIT: usize = 16;

/// An assignment that a bundle key signed, which the anchor certified, for this envoy. Holding one proves all of that; it does not prove
/// that it is the newest: [`crate::generation::accept`] decides that.
#[derive(Clone, Debug)]
pub struct VerifiedAssignment {
    assignment: Assignment,
    bytes: Vec<u8>,
    bundle: Digest,
    name: EnvoyName,
}

impl VerifiedAssignment {
    /// The assignment.
    #[must_use]
    pub const fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// The bytes that were signed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest of the bundle that it names.
    #[must_use]
    pub const fn bundle(&self) -> &Digest {
        &self.bundle
    }

    /// The envoy's name.
    #[must_use]
    pub const fn name(&self) -> &EnvoyName {
        &self.name
    }

    /// Where it stands among the assignments of this envoy.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::of(&self.assignment)
    }
}

/// Verifies an assignment: the key's certificate, then the signature, and only then the content: format, anchor, envoy, digest.
/// `time` is in seconds since 1970. For one that was accepted before and is read from the disk, pass the time at which it was accepted:
/// a node without its server goes on with what it holds.
///
/// # Errors
/// When any of it does not hold.
pub fn verify_assignment(
    signed: &SignedAssignment,
    keys: &[KeyCertificate],
    anchor: &[u8; 32],
    envoy: &EnvoyId,
    time: u64,
) -> Result<VerifiedAssignment, WireError> {
    let what = SignContext::Assignment.what();
    check_size(what, signed.assignment.len(), ASSIGNMENT_LIMIT)?;
    let key = certified(&signed.key, keys, anchor, time)?;
    verify(SignContext::Assignment, &key, &signed.assignment, &signed.signature)?;

    let assignment: Assignment = decode(what, &signed.assignment, ASSIGNMENT_LIMIT)?;
    check_format(what, assignment.format, assignment::FORMAT)?;
    let expected = Digest::of(anchor);
    if assignment.anchor != expected.as_bytes() {
        return Err(WireError::OtherAnchor { what, found: shown(&assignment.anchor), expected });
    }
    if assignment.envoy != envoy.as_bytes() {
        return Err(WireError::OtherEnvoy { what, found: shown(&assignment.envoy), expected: *envoy });
    }
    let malformed = |why| WireError::Malformed { what, why };
    let bundle = Digest::from_bytes(&assignment.bundle).ok_or(malformed("the digest has not 32 bytes"))?;
    let name = assignment.name.parse().map_err(|_| malformed("the name is no envoy name"))?;
    Ok(VerifiedAssignment { bundle, name, bytes: signed.assignment.clone(), assignment })
}

/// The key, if the anchor certified it. Of several certificates for one key, one that holds is enough.
fn certified(
    key: &[u8],
    keys: &[KeyCertificate],
    anchor: &[u8; 32],
    time: u64,
) -> Result<[u8; 32], WireError> {
    let mut failure = WireError::Uncertified { what: SignContext::Assignment.what() };
    for certificate in keys.iter().take(KEYS_LIMIT).filter(|certificate| certificate.key == key) {
        match verify_certificate(certificate, anchor, CertifiedPurpose::Bundle, time) {
            Ok(certified) => return Ok(*certified.key()),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Takes bytes as the bundle of that digest: size, digest, and only then decoding, format, and that every index points somewhere.
///
/// # Errors
/// When any of it does not hold.
pub fn check_bundle(bytes: &[u8], digest: &Digest) -> Result<Bundle, WireError> {
    let what = "the bundle";
    check_size(what, bytes.len(), limits::BUNDLE)?;
    let found = Digest::of(bytes);
    if found != *digest {
        return Err(WireError::BundleDigest { found, expected: *digest });
    }
    let bundle: Bundle = decode(what, bytes, limits::BUNDLE)?;
    check_format(what, bundle.format, bundle::FORMAT)?;
    check_size("the bundle's list of resources", bundle.resources.len(), limits::RESOURCES)?;
    let fits = |index: &u32, length: usize| usize::try_from(*index).is_ok_and(|index| index < length);
    let (resources, configcrates) = (bundle.resources.len(), bundle.configcrates.len());
    let is_whole = bundle.configcrates.iter().flat_map(|one| &one.requires).all(|to| fits(to, configcrates))
        && bundle.secrets.iter().all(|one| fits(&one.resource, resources))
        && bundle.resources.iter().all(|one| {
            fits(&one.configcrate, configcrates)
                && one.requires.iter().chain(&one.notified_by).all(|to| fits(to, resources))
                && one.requires_configcrates.iter().all(|to| fits(to, configcrates))
        });
    if !is_whole {
        return Err(WireError::Malformed { what, why: "an index points outside of it" });
    }
    Ok(bundle)
}

/// Encodes a bundle as it is stored, named and sent: bytes and digest.
#[must_use]
pub fn encode_bundle(bundle: &Bundle) -> (Vec<u8>, Digest) {
    let bytes = bundle.encode_to_vec();
    let digest = Digest::of(&bytes);
    (bytes, digest)
}

/// Formats count from 1; a newer one than known is refused.
pub(crate) const fn check_format(what: &'static str, found: u32, known: u32) -> Result<(), WireError> {
    if found == 0 || found > known { Err(WireError::Format { what, found, known }) } else { Ok(()) }
}

/// An id or digest for a message; a peer's bytes are cut to a length that fits a line.
fn shown(bytes: &[u8]) -> String {
    vigo_base::encode_hex(bytes.get(..32).unwrap_or(bytes))
}
