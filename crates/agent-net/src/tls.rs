//! TLS 1.3 with ring, in two ways: as the enrolled envoy, and for the one call of an enrolment.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use std::sync::Arc;
use std::time::Duration;
use vigo_wire::outer::ALPN;
use vigo_wire::worker::{Configure, Failure, Kind};

/// As the enrolled envoy: the server's certificate must lead to our authority and be for the host that is dialled; ours is shown.
pub fn enrolled(configure: &Configure) -> Result<Arc<ClientConfig>, Failure> {
    let wrong = |what: &str, error: &dyn std::fmt::Display| Failure {
        kind: Kind::Tls,
        text: format!("cannot use the {what} of this machine: {error}; enrol it again"),
    };
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(configure.authority.clone()))
        .map_err(|error| wrong("authority's certificate", &error))?;
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| wrong("authority's certificate", &error))?;
    let known = UnixTime::since_unix_epoch(Duration::from_secs(configure.server_time));
    let chain = configure.chain.iter().map(|one| CertificateDer::from(one.clone())).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(configure.key.clone()));
    let config = builder(provider)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Authority { inner, known }))
        .with_client_auth_cert(chain, key)
        .map_err(|error| wrong("transport certificate", &error))?;
    Ok(finished(config))
}

/// For the one call of an enrolment: any certificate is taken, none is shown.
///
/// The node knows nothing of the server yet but the digest of its anchor, which stands in the token, and the token never comes to this process.
/// So this TLS cannot be relied on, and is not: the request carries a MAC by the token's key, the answer one, too, and the anchor's signature, and
/// `vigo` verifies them (`vigo_wire::enrol`). Whoever stands between can read names and public keys, and deny.
pub fn enrolling() -> Result<Arc<ClientConfig>, Failure> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Anyone { provider: Arc::clone(&provider) });
    let config =
        builder(provider)?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(finished(config))
}

fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Failure> {
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Failure { kind: Kind::Bug, text: format!("cannot set up TLS 1.3: {error}") })
}

fn finished(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::in_memory_sessions(4);
    Arc::new(config)
}

/// Verifies by our authority, on a machine whose clock may be wrong: the certificate must be good by the clock or by the last time that the
/// server gave inside a session, whichever is later, or else by the latter alone (a clock that runs ahead).
#[derive(Debug)]
struct Authority {
    inner: Arc<WebPkiServerVerifier>,
    known: UnixTime,
}

impl ServerCertVerifier for Authority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify =
            |time| self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, time);
        let later = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs().max(self.known.as_secs())));
        verify(later).or_else(|error| match error {
            Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) if self.known.as_secs() != 0 => verify(self.known),
            other => Err(other),
        })
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Takes any certificate, but the other end must hold its key.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Never reached: only TLS 1.3 is offered.
fn no_tls12() -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(std::io::Error::other(
        "TLS 1.2 is not spoken here",
    )))))
}
