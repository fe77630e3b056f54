//! The two TLS acceptors: TLS 1.3 only, ring only. A client certificate is optional here; who needs one says so where it is needed.

use crate::ca::{self, Leaf};
use crate::{ServerError, clock};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

/// The acceptor of the port for envoys: HTTP/2, a client certificate of our authority if there is one.
///
/// # Errors
/// When the certificate and the key do not fit together.
pub fn for_envoys(leaf: &Leaf, authority: &CertificateDer<'static>) -> Result<TlsAcceptor, ServerError> {
    let verifier = ExpiredMayAsk::new(authority)?;
    let mut config = builder()?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(vec![leaf.certificate.clone()], leaf.key.clone_key())
        .map_err(ServerError::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The acceptor of the port for operators: HTTP/2 or HTTP/1.1, no client certificate.
///
/// # Errors
/// When the certificate and the key do not fit together.
pub fn for_operators(leaf: &Leaf) -> Result<TlsAcceptor, ServerError> {
    let mut config = builder()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.certificate.clone()], leaf.key.clone_key())
        .map_err(ServerError::Tls)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, ServerError> {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(ServerError::Tls)
}

/// Verifies client certificates as webpki does, but lets one that expired less than the grace ago through the handshake: its envoy may
/// still ask for a new one. The relay refuses it everything else.
#[derive(Debug)]
struct ExpiredMayAsk(Arc<dyn ClientCertVerifier>);

impl ExpiredMayAsk {
    fn new(authority: &CertificateDer<'static>) -> Result<Self, ServerError> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone()).map_err(ServerError::Tls)?;
        let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .allow_unauthenticated()
            .build()
            .map_err(|cause| ServerError::Tls(rustls::Error::General(cause.to_string())))?;
        Ok(Self(inner))
    }
}

impl ClientCertVerifier for ExpiredMayAsk {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Nobody who only looks at the port needs to learn the authority's name.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let until = ca::read_transport(end_entity).map_or(0, |(_, until)| until);
        let in_grace = now.as_secs() > until && now.as_secs() - until <= ca::RENEWAL_GRACE_SECONDS;
        let time = if in_grace { UnixTime::since_unix_epoch(Duration::from_secs(until)) } else { now };
        self.0.verify_client_cert(end_entity, intermediates, time)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// What the outer TLS says of who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// The envoy that the certificate was made for.
    pub envoy: vigo_base::EnvoyId,
    /// Seconds since 1970 until which it is good.
    pub until: u64,
}

impl Transport {
    /// Reads the verified certificate of a connection; `None` when the client showed none.
    #[must_use]
    pub fn of(connection: &rustls::ServerConnection) -> Option<Self> {
        let certificate = connection.peer_certificates()?.first()?;
        ca::read_transport(certificate).map(|(envoy, until)| Self { envoy, until })
    }

    /// True if it may only ask for a new one.
    #[must_use]
    pub fn expired(&self) -> bool {
        clock::now() > self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::AnchorKey as _;
    use crate::ca::tests::{NOW, TestAnchor, request};
    use crate::ca::{RENEWAL_GRACE_SECONDS, TRANSPORT_SECONDS};

    fn is_let_in(verifier: &ExpiredMayAsk, certificate: &CertificateDer<'_>, at: u64) -> bool {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        verifier.verify_client_cert(certificate, &[], at).is_ok()
    }

    #[test]
    fn an_expired_certificate_is_let_in_for_half_a_year_and_those_of_others_never() {
        let (anchor, other) = (TestAnchor::new(), TestAnchor::new());
        let authority = |anchor: &TestAnchor| {
            ca::read_authority(&ca::authority(anchor, NOW).unwrap(), anchor.public()).unwrap()
        };
        let verifier = ExpiredMayAsk::new(&authority(&anchor)).unwrap();
        let envoy = vigo_base::EnvoyId::from_bytes(&[7; 16]).unwrap();
        let certificate = |anchor: &TestAnchor| ca::transport(anchor, NOW, envoy, &request(&[])).unwrap();
        let ours = certificate(&anchor);
        let end = NOW + TRANSPORT_SECONDS;
        assert!(is_let_in(&verifier, &ours, NOW));
        assert!(is_let_in(&verifier, &ours, end + 1));
        assert!(is_let_in(&verifier, &ours, end + RENEWAL_GRACE_SECONDS));
        assert!(!is_let_in(&verifier, &ours, end + RENEWAL_GRACE_SECONDS + 1));
        assert!(!is_let_in(&verifier, &ours, NOW - 2 * 86_400), "not yet good");
        let theirs = certificate(&other);
        assert!(!is_let_in(&verifier, &theirs, NOW));
        assert!(!is_let_in(&verifier, &theirs, end + 1));
        assert!(!is_let_in(&verifier, &authority(&anchor), NOW), "the authority is no envoy");
        assert!(!verifier.client_auth_mandatory());
    }
}
