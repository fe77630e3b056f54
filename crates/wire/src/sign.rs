//! Signatures: Ed25519 over a fixed context and the bytes. What is signed cannot be taken for anything else.
//!
//! There is no frame that means "sign these bytes": who asks for a signature names one of [`SignContext`], and the signer checks that the
//! message is of that kind. Where the private keys are kept is left to the hand (server) and to [`crate::identity`] (node).

use crate::WireError;
use crate::assignment::KeyCertificate;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use prost::Message as _;

/// A key certificate may have so many bytes.
pub const CERTIFICATE_LIMIT: usize = 1024;

/// Which key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signer {
    /// The trust anchor.
    Anchor,
    /// A bundle key that the anchor certified.
    Bundle,
    /// A node's identity.
    Node,
}

/// What is signed. The list is closed; each has a context that no other has, and one kind of key that may sign it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignContext {
    /// An encoded [`crate::assignment::Assignment`].
    Assignment,
    /// An encoded [`KeyCertificate`] without its signature.
    KeyCertificate,
    /// An encoded [`crate::enrol::EnrolAnswer`] without its signature and MAC.
    EnrolAnswer,
    /// The head of an audit chain.
    AuditHead,
    /// The `TBSCertificate` (RFC 5280) of a transport or server certificate, or of the authority's own. X.509 leaves no room for a context: see [`SignContext::prepare`].
    TransportCertificate,
    /// An encoded [`crate::enrol::EnrolRequest`] without its signature and MAC: the node holds its identity key.
    EnrolRequest,
}

impl SignContext {
    /// Every context.
    pub const ALL: [Self; 6] = [
        Self::Assignment,
        Self::KeyCertificate,
        Self::EnrolAnswer,
        Self::AuditHead,
        Self::TransportCertificate,
        Self::EnrolRequest,
    ];

    /// The context string. Never reused for anything else. Each is shorter than 48 bytes: [`SignContext::prepare`] needs that.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Assignment => "vigo assignment v1",
            Self::KeyCertificate => "vigo key certificate v1",
            Self::EnrolAnswer => "vigo enrol answer v1",
            Self::AuditHead => "vigo audit head v1",
            Self::TransportCertificate => "x509 tbs certificate",
            Self::EnrolRequest => "vigo enrol request v1",
        }
    }

    /// What it is called in errors.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Assignment => "the assignment",
            Self::KeyCertificate => "the key certificate",
            Self::EnrolAnswer => "the enrolment answer",
            Self::AuditHead => "the audit head",
            Self::TransportCertificate => "the transport certificate",
            Self::EnrolRequest => "the enrolment request",
        }
    }

    /// Which key may sign this.
    #[must_use]
    pub const fn signer(self) -> Signer {
        match self {
            Self::Assignment => Signer::Bundle,
            Self::KeyCertificate | Self::EnrolAnswer | Self::AuditHead | Self::TransportCertificate => {
                Signer::Anchor
            }
            Self::EnrolRequest => Signer::Node,
        }
    }

    /// The bytes that the key signs: length of the context (one byte), the context, the message.
    ///
    /// A `TBSCertificate` is signed as it stands, because X.509 says so. It is one DER SEQUENCE, so its first byte is 0x30; every
    /// prepared message of another context starts with the length of its context, which is below 0x30. So none can stand for the other.
    ///
    /// # Errors
    /// When a message for [`SignContext::TransportCertificate`] is not exactly one DER SEQUENCE.
    pub fn prepare(self, message: &[u8]) -> Result<Vec<u8>, WireError> {
        if matches!(self, Self::TransportCertificate) {
            return if is_one_der_sequence(message) {
                Ok(message.to_vec())
            } else {
                Err(WireError::Malformed { what: self.what(), why: "it is not one DER sequence" })
            };
        }
        let context = self.text().as_bytes();
        let length = u8::try_from(context.len()).unwrap_or(u8::MAX);
        let mut bytes = Vec::with_capacity(1 + context.len() + message.len());
        bytes.push(length);
        bytes.extend_from_slice(context);
        bytes.extend_from_slice(message);
        Ok(bytes)
    }
}

/// True if `bytes` are one DER SEQUENCE (X.690, 8.1) from the first byte to the last.
fn is_one_der_sequence(bytes: &[u8]) -> bool {
    let (length, content) = match bytes {
        [0x30, short @ 0..=0x7f, content @ ..] => (usize::from(*short), content),
        [0x30, 0x81, one, content @ ..] => (usize::from(*one), content),
        [0x30, 0x82, high, low, content @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), content),
        _ => return false,
    };
    length == content.len()
}

/// Signs `message` in `context`. For the node's own key and for the hand; nobody else holds a signing key.
///
/// # Errors
/// When the message is none of that context.
pub fn sign(context: SignContext, key: &SigningKey, message: &[u8]) -> Result<[u8; 64], WireError> {
    Ok(key.sign(&context.prepare(message)?).to_bytes())
}

/// Verifies the signature of `message` in `context` (`verify_strict`: no small-order keys, no malleable signatures).
///
/// # Errors
/// When key, context, message and signature do not fit together.
pub fn verify(
    context: SignContext,
    public: &[u8; 32],
    message: &[u8],
    signature: &[u8],
) -> Result<(), WireError> {
    let wrong = || WireError::Signature { what: context.what() };
    let key = VerifyingKey::from_bytes(public).map_err(|_| wrong())?;
    let signature = Signature::from_slice(signature).map_err(|_| wrong())?;
    key.verify_strict(&context.prepare(message)?, &signature).map_err(|_| wrong())
}

/// What the anchor certifies a key for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertifiedPurpose {
    /// An Ed25519 key that signs assignments.
    Bundle,
    /// An X25519 key to which values are sealed on their way to the server.
    Entry,
    /// The server's X25519 key of the inner session.
    Session,
}

impl CertifiedPurpose {
    /// The word in [`KeyCertificate::purpose`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Entry => "entry",
            Self::Session => "session",
        }
    }

    /// What such a key is called in errors.
    const fn what(self) -> &'static str {
        match self {
            Self::Bundle => "the bundle key",
            Self::Entry => "the entry key",
            Self::Session => "the session key",
        }
    }
}

/// A key that the anchor certified for one purpose. Holding one proves that the certificate's signature and time were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertifiedKey {
    key: [u8; 32],
    purpose: CertifiedPurpose,
}

impl CertifiedKey {
    /// The public key.
    #[must_use]
    pub const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// What it may be used for.
    #[must_use]
    pub const fn purpose(&self) -> CertifiedPurpose {
        self.purpose
    }
}

/// The message that the anchor signs in [`SignContext::KeyCertificate`]: the certificate without its signature.
#[must_use]
pub fn certificate_message(certificate: &KeyCertificate) -> Vec<u8> {
    KeyCertificate { signature: Vec::new(), ..certificate.clone() }.encode_to_vec()
}

/// A certificate that is still to be signed: sign [`certificate_message`] of it, then set the signature.
#[must_use]
pub fn new_certificate(
    key: &[u8; 32],
    purpose: CertifiedPurpose,
    not_before: u64,
    not_after: u64,
) -> KeyCertificate {
    let purpose = purpose.as_str().into();
    KeyCertificate { key: key.to_vec(), purpose, not_before, not_after, signature: Vec::new() }
}

/// Verifies that the anchor certified this key for `purpose` and that `time` (seconds since 1970) is within its time.
///
/// # Errors
/// When it did not, or the time is outside.
pub fn verify_certificate(
    certificate: &KeyCertificate,
    anchor: &[u8; 32],
    purpose: CertifiedPurpose,
    time: u64,
) -> Result<CertifiedKey, WireError> {
    let what = purpose.what();
    crate::error::check_size(what, certificate.encoded_len(), CERTIFICATE_LIMIT)?;
    if certificate.purpose != purpose.as_str() {
        return Err(WireError::Uncertified { what });
    }
    verify(SignContext::KeyCertificate, anchor, &certificate_message(certificate), &certificate.signature)?;
    let KeyCertificate { not_before, not_after, .. } = *certificate;
    if !(not_before..=not_after).contains(&time) {
        return Err(WireError::CertificateTime { not_before, not_after, time });
    }
    let key = crate::error::array(what, "the key has not 32 bytes", &certificate.key)?;
    Ok(CertifiedKey { key, purpose })
}
