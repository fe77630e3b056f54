//! Whom the client trusts: the certificates of `--ca-file` and nothing else. The key of such a certificate is the trust anchor.

use crate::error::CliError;
use crate::files;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A CA file; more than a few certificates.
const FILE: usize = 64 << 10;
/// Ed25519 (RFC 8410).
const ED25519: &str = "1.3.101.112";

/// Whom the client trusts.
#[derive(Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    anchors: Vec<[u8; 32]>,
}

impl Trust {
    /// Reads a CA file.
    ///
    /// # Errors
    /// When it cannot be read or holds anything but certificates of an anchor.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        Self::parse(&files::read_bounded(path, FILE)?, path)
    }

    fn parse(pem: &[u8], path: &Path) -> Result<Self, CliError> {
        let wrong = |why: &str| {
            CliError::usage(
                format!("cannot use `{}` as CA file: {why}", path.display()),
                "it is the `ca.pem` in the server's data folder",
            )
        };
        let mut roots = RootCertStore::empty();
        let mut anchors = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| wrong("it is no PEM"))?;
            anchors.push(anchor(&certificate).ok_or_else(|| wrong("its key is no trust anchor (Ed25519)"))?);
            roots.add(certificate).map_err(|_| wrong("its certificate cannot be read"))?;
        }
        if anchors.is_empty() {
            return Err(wrong("it has no certificate"));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| CliError::Bug("the TLS library has no TLS 1.3"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), anchors })
    }

    /// The public keys of the certificates.
    #[must_use]
    pub fn anchors(&self) -> &[[u8; 32]] {
        &self.anchors
    }

    pub(crate) fn connector(&self) -> TlsConnector {
        TlsConnector::from(Arc::clone(&self.config))
    }
}

fn anchor(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let key = parsed.public_key();
    let ed25519 = key.algorithm.algorithm.to_id_string() == ED25519;
    ed25519.then(|| key.subject_public_key.data.as_ref().try_into().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

    fn parse(pem: &str) -> Result<Trust, CliError> {
        Trust::parse(pem.as_bytes(), Path::new("ca.pem"))
    }

    #[test]
    fn the_anchor_is_the_key_of_the_certificate() {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        let trust = parse(&certificate.pem()).unwrap();
        assert_eq!(trust.anchors(), [<[u8; 32]>::try_from(key.public_key_raw()).unwrap()]);
    }

    #[test]
    fn what_is_no_anchor_is_refused_with_where_to_find_it() {
        let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let other = CertificateParams::default().self_signed(&other).unwrap().pem();
        let private = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem();
        for pem in ["", "hello", &other, &private, "-----BEGIN CERTIFICATE-----\nxx"] {
            let error = parse(pem).err().unwrap();
            assert!(error.help().unwrap().contains("ca.pem"), "{error}");
        }
    }
}
