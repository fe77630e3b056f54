//! What wraps and unwraps master keys for this hand, if the program brought something: only `vigosrv` does, so no other hand has TLS in it.

use std::os::fd::OwnedFd;
use vigo_secret::SecretBuf;
use vigo_wire::hand::{FailureCode, TransitService};

/// One call of a key service.
pub struct ServiceCall {
    /// A connection to it. It is all of a network that the hand has, and closed behind the call.
    pub connection: OwnedFd,
    /// How to speak.
    pub service: TransitService,
    /// The token, or the secret id of a role.
    pub credential: SecretBuf,
}

/// Why it was not done. Holds no word that the service said.
pub struct ServiceError {
    /// What kind of failure: [`FailureCode::NotNow`] for what may pass.
    pub code: FailureCode,
    /// For people.
    pub text: String,
}

impl ServiceError {
    /// That failure.
    pub fn new(code: FailureCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// Something that holds a key above the master key.
pub trait KeyService: Sync {
    /// Has `plain` wrapped, with `bound` bound in. What it gives is not checked.
    ///
    /// # Errors
    /// When the service cannot be spoken to, or refuses.
    fn wrap(&self, call: ServiceCall, plain: &[u8], bound: &[u8]) -> Result<String, ServiceError>;

    /// Has unwrapped what [`KeyService::wrap`] gave. What it gives is not checked.
    ///
    /// # Errors
    /// As there.
    fn unwrap(&self, call: ServiceCall, wrapped: &str, bound: &[u8]) -> Result<SecretBuf, ServiceError>;
}
