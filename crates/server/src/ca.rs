//! The certificate authority: X.509 for the outer TLS only. Who an envoy is, is decided inside the session.
//!
//! The authority's key is the trust anchor, so every signature here is made by the hand.

use crate::ServerError;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SigningKey, SubjectPublicKeyInfo,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::IpAddr;
use std::time::Duration;
use vigo_base::EnvoyId;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

const DAY: u64 = 86_400;
/// How long an envoy's transport certificate is good.
pub const TRANSPORT_SECONDS: u64 = 30 * DAY;
/// How long after that it is still good for asking for a new one, and for nothing else.
pub const RENEWAL_GRACE_SECONDS: u64 = 180 * DAY;
/// A machine whose clock is a little behind must not find a certificate of tomorrow.
const SKEW_SECONDS: u64 = DAY;
/// A hundred years: the anchor is replaced by an operator, not by a calendar.
const AUTHORITY_SECONDS: u64 = 36_525 * DAY;

/// Signs the bytes of a certificate with the anchor.
pub trait AnchorKey: Send + Sync {
    /// The public half.
    fn public(&self) -> &[u8; 32];
    /// The signature over the certificate's bytes.
    ///
    /// # Errors
    /// When the hand cannot.
    fn sign_certificate(&self, bytes: &[u8]) -> Result<[u8; 64], ServerError>;
}

/// A certificate with the key that belongs to it.
pub struct Leaf {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
}

/// Makes the authority's own certificate, in PEM, good from `now` on.
///
/// # Errors
/// When the hand cannot sign.
pub fn authority(anchor: &dyn AnchorKey, now: u64) -> Result<String, ServerError> {
    let certificate = authority_names(now).self_signed(&Signer(anchor)).map_err(ServerError::certificate)?;
    Ok(certificate.pem())
}

/// The certificate in `pem`, if it is one of this anchor.
#[must_use]
pub fn read_authority(pem: &str, anchor: &[u8; 32]) -> Option<CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject as _;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
    let key = certificate.public_key().subject_public_key.data.as_ref();
    (key == anchor.as_slice()).then(|| der.clone())
}

/// Makes the server's own certificate with a new P-256 key, good for all these names.
///
/// # Errors
/// When the hand cannot sign, or a name fits no certificate.
pub fn server(anchor: &dyn AnchorKey, now: u64, names: &ServerNames) -> Result<Leaf, ServerError> {
    let mut wanted = CertificateParams::new(names.hosts.clone()).map_err(ServerError::certificate)?;
    wanted.subject_alt_names.extend(names.addresses.iter().copied().map(SanType::IpAddress));
    let common = names.hosts.first().map_or("vigosrv", String::as_str);
    leaf(&mut wanted, common, ExtendedKeyUsagePurpose::ServerAuth)?;
    // Made anew at each start, so as long as a server may run without one.
    validity(&mut wanted, now, 3_650 * DAY);
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(ServerError::certificate)?;
    let certificate = wanted.signed_by(&key, &issuer(anchor, now)).map_err(ServerError::certificate)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok(Leaf { certificate: certificate.der().clone(), key })
}

/// Certifies the key of the request `csr` for the outer TLS of this envoy. Nothing but the key is taken from the request.
///
/// # Errors
/// When it is no request that its own key signed, or the hand cannot sign.
pub fn transport(
    anchor: &dyn AnchorKey,
    now: u64,
    envoy: EnvoyId,
    csr: &[u8],
) -> Result<CertificateDer<'static>, ServerError> {
    let key = requested_key(csr)?;
    let mut wanted = CertificateParams::default();
    leaf(&mut wanted, &envoy.to_string(), ExtendedKeyUsagePurpose::ClientAuth)?;
    validity(&mut wanted, now, TRANSPORT_SECONDS);
    let certificate = wanted.signed_by(&key, &issuer(anchor, now)).map_err(ServerError::certificate)?;
    Ok(certificate.der().clone())
}

/// Which envoy a transport certificate is of, and until when it is good. It was verified by TLS before.
#[must_use]
pub fn read_transport(certificate: &CertificateDer<'_>) -> Option<(EnvoyId, u64)> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let until = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    Some((name.parse().ok()?, until))
}

/// The names and addresses under which the server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames {
    /// Host names.
    pub hosts: Vec<String>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

fn requested_key(csr: &[u8]) -> Result<SubjectPublicKeyInfo, ServerError> {
    let (rest, request) =
        X509CertificationRequest::from_der(csr).map_err(|_| ServerError::CertificateRequest)?;
    if !rest.is_empty() || request.verify_signature().is_err() {
        return Err(ServerError::CertificateRequest);
    }
    // rcgen reads requests too; it must agree on what was signed and with which algorithm.
    let der = CertificateSigningRequestDer::from(csr);
    rcgen::CertificateSigningRequestParams::from_der(&der).map_err(|_| ServerError::CertificateRequest)?;
    SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
        .map_err(|_| ServerError::CertificateRequest)
}

fn leaf(
    wanted: &mut CertificateParams,
    common: &str,
    purpose: ExtendedKeyUsagePurpose,
) -> Result<(), ServerError> {
    let mut serial: [u8; 16] = vigo_wire::random::array()?;
    // RFC 5280, 4.1.2.2: positive.
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    wanted.serial_number = Some(SerialNumber::from_slice(&serial));
    wanted.distinguished_name = DistinguishedName::new();
    wanted.distinguished_name.push(DnType::CommonName, common);
    wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    wanted.extended_key_usages = vec![purpose];
    wanted.use_authority_key_identifier_extension = true;
    Ok(())
}

fn validity(wanted: &mut CertificateParams, now: u64, seconds: u64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    wanted.not_before = epoch + Duration::from_secs(now.saturating_sub(SKEW_SECONDS));
    wanted.not_after = epoch + Duration::from_secs(now.saturating_add(seconds));
}

fn authority_names(now: u64) -> CertificateParams {
    let mut wanted = CertificateParams::default();
    wanted.distinguished_name = DistinguishedName::new();
    wanted.distinguished_name.push(DnType::CommonName, "Vigo trust anchor");
    wanted.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut wanted, now, AUTHORITY_SECONDS);
    wanted
}

fn issuer(anchor: &dyn AnchorKey, now: u64) -> Issuer<'static, Signer<'_>> {
    Issuer::new(authority_names(now), Signer(anchor))
}

struct Signer<'a>(&'a dyn AnchorKey);

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.0.sign_certificate(message).map_err(|cause| {
            tracing::error!(%cause, "cannot sign a certificate");
            rcgen::Error::RemoteKeyError
        })?;
        Ok(signature.to_vec())
    }
}

#[cfg(test)]
#[path = "ca_tests.rs"]
pub(crate) mod tests;
