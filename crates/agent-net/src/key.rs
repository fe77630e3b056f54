//! The key of the transport certificate: made here, where its only use is.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use vigo_wire::worker::{Failure, Kind, TransportKey};

/// A new P-256 key and the request for its certificate. The request says nothing but the key: the server decides what stands in the certificate.
pub fn make() -> Result<TransportKey, Failure> {
    let bug = |error: rcgen::Error| Failure {
        kind: Kind::Bug,
        text: format!("cannot make a key for the transport certificate: {error}"),
    };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(bug)?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    let request = parameters.serialize_request(&key).map_err(bug)?;
    Ok(TransportKey { key: key.serialize_der(), certificate_request: request.der().to_vec() })
}
