//! TLS 1.3 to the service, with the roots that the operator named and no others. What is older than 1.3 is refused, as everywhere in Vigo.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::sync::Arc;
use vigo_hand::{FailureCode, ServiceError};

/// A session that has not begun yet.
pub(crate) fn session(name: &str, roots: &[u8]) -> Result<ClientConnection, ServiceError> {
    let wrong = |why: &str| {
        let text = format!("cannot trust a key service: {why}");
        ServiceError::new(FailureCode::KeyFile, text)
    };
    let mut store = RootCertStore::empty();
    // As with a system's bundle: a certificate of a kind that the library does not know makes nobody trusted.
    let certificates = CertificateDer::pem_slice_iter(roots).filter_map(Result::ok);
    let (taken, _) = store.add_parsable_certificates(certificates);
    if taken == 0 {
        return Err(wrong("the CA file (`transit_ca_file`) has no certificate that can be used"));
    }
    let name = ServerName::try_from(name.to_owned()).map_err(|_| wrong("its name in the address is none"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|_| wrong("the TLS library has no TLS 1.3"))?
        .with_root_certificates(store)
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), name).map_err(|_| wrong("TLS cannot be set up"))
}

/// What went wrong in a session: mended by somebody, or by time.
pub(crate) fn explain(error: &std::io::Error) -> ServiceError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let text = format!(
                "cannot trust the key service: its certificate does not hold ({why}); `transit_ca_file` says whose hold"
            );
            ServiceError::new(FailureCode::KeyFile, text)
        }
        Some(wrong) => {
            let text = format!("cannot speak TLS 1.3 to the key service: {wrong}");
            ServiceError::new(FailureCode::KeyFile, text)
        }
        None => {
            let text = format!("cannot speak to the key service now: {error}");
            ServiceError::new(FailureCode::NotNow, text)
        }
    }
}
