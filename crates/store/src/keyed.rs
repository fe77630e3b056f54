//! Everything in a store that is under the master key: what has to change when that key does.

use crate::api_token::ApiToken;
use crate::deployment::ServerKey;
use crate::envoy::NewEnvoy;
use crate::secret::SecretRecord;
use crate::secret_policy::SecretPolicies;
use crate::token::Token;
use vigo_base::SecretPath;

/// Everything that is sealed, wrapped or authenticated under the master key, at one moment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keyed {
    /// Every record of every version that is kept.
    pub records: Vec<(SecretPath, SecretRecord)>,
    /// Keys of the server: `wrapped` is under it.
    pub keys: Vec<ServerKey>,
    /// Enrolment tokens: `key` is wrapped, `mac` a MAC.
    pub tokens: Vec<Token>,
    /// Identities of envoys: `mac`.
    pub envoys: Vec<NewEnvoy>,
    /// API tokens: `mac`.
    pub api_tokens: Vec<ApiToken>,
    /// The policies of secrets: one `mac` over all.
    pub policies: SecretPolicies,
}
