//! Certificates as the server makes them: an Ed25519 authority, P-256 leaves.

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, date_time_ymd,
};

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate (DER).
    pub certificate: Vec<u8>,
}

/// A key and the certificate for it, both DER.
pub struct Leaf {
    /// PKCS #8.
    pub key: Vec<u8>,
    /// X.509.
    pub certificate: Vec<u8>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = parameters.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(parameters, key), certificate }
    }

    /// For a server of these names, good in these years.
    pub fn server(&self, names: &[&str], years: (i32, i32)) -> Leaf {
        self.leaf(names, years, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a worker.
    pub fn client(&self) -> Leaf {
        self.leaf(&["envoy"], (2020, 2120), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn leaf(&self, names: &[&str], years: (i32, i32), usage: ExtendedKeyUsagePurpose) -> Leaf {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.extended_key_usages = vec![usage];
        parameters.not_before = date_time_ymd(years.0, 1, 1);
        parameters.not_after = date_time_ymd(years.1, 1, 1);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Leaf { key: key.serialize_der(), certificate }
    }
}
