//! The authority with a key of the test's own in place of the hand's.

use super::*;
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

pub(crate) struct TestAnchor {
    key: KeyPair,
    public: [u8; 32],
}

impl TestAnchor {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let public = key.public_key_raw().try_into().unwrap();
        Self { key, public }
    }
}

impl AnchorKey for TestAnchor {
    fn public(&self) -> &[u8; 32] {
        &self.public
    }
    fn sign_certificate(&self, bytes: &[u8]) -> Result<[u8; 64], ServerError> {
        Ok(SigningKey::sign(&self.key, bytes).unwrap().try_into().unwrap())
    }
}

pub(crate) const NOW: u64 = 1_795_000_000;

pub(crate) fn request(names: &[&str]) -> Vec<u8> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    CertificateParams::new(names).unwrap().serialize_request(&key).unwrap().der().to_vec()
}

#[test]
fn the_authority_is_recognised_by_its_own_anchor_only() {
    let anchor = TestAnchor::new();
    let pem = authority(&anchor, NOW).unwrap();
    let der = read_authority(&pem, anchor.public()).unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(certificate.is_ca());
    certificate.verify_signature(None).unwrap();
    assert!(read_authority(&pem, TestAnchor::new().public()).is_none());
    assert!(read_authority("no pem", anchor.public()).is_none());
}

#[test]
fn a_transport_certificate_names_the_envoy_and_nothing_that_the_request_asked_for() {
    let anchor = TestAnchor::new();
    let envoy = EnvoyId::from_bytes(&[7; 16]).unwrap();
    let der = transport(&anchor, NOW, envoy, &request(&["other.example"])).unwrap();
    assert_eq!(read_transport(&der), Some((envoy, NOW + TRANSPORT_SECONDS)));
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(certificate.subject_alternative_name().unwrap().is_none());
    assert!(!certificate.is_ca());
    let authority = read_authority(&authority(&anchor, NOW).unwrap(), anchor.public()).unwrap();
    let (_, authority) = x509_parser::parse_x509_certificate(&authority).unwrap();
    certificate.verify_signature(Some(authority.public_key())).unwrap();
}

#[test]
fn a_request_that_its_key_did_not_sign_is_refused() {
    let anchor = TestAnchor::new();
    let envoy = EnvoyId::from_bytes(&[7; 16]).unwrap();
    let mut forged = request(&[]);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    for wrong in [forged, vec![], b"garbage".to_vec()] {
        let refused = transport(&anchor, NOW, envoy, &wrong);
        assert!(matches!(refused, Err(ServerError::CertificateRequest)));
    }
}

#[test]
fn the_server_is_good_for_every_name_and_address_it_was_given() {
    let anchor = TestAnchor::new();
    let names = ServerNames {
        hosts: vec!["localhost".into(), "srv.example".into()],
        addresses: vec![IpAddr::from([127, 0, 0, 1])],
    };
    let leaf = server(&anchor, NOW, &names).unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&leaf.certificate).unwrap();
    let found = certificate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(found.value.general_names.len(), 3);
}
