//! Who got which secret, and where it can be seen since.

use vigo_base::{EnvoyId, SecretPath, SecretVersion};

/// Somebody was given a value. One row for each secret and each of those who ever got it: the last time counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// The secret.
    pub path: SecretPath,
    /// Who, as in the audit log: `envoy:ID`, or a person.
    pub actor: String,
    /// Which version it was.
    pub version: SecretVersion,
    /// When.
    pub at: u64,
}

/// Where a value is on a machine, by that machine's report. One row for each place: the last report counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenExposure {
    /// Which machine.
    pub envoy: EnvoyId,
    /// The resource that put it there.
    pub resource: String,
    /// The secret.
    pub path: SecretPath,
    /// How it got there: `file`, `stdin`, `environment`, `argv`, `credentials`.
    pub way: String,
    /// Which version it was.
    pub version: SecretVersion,
    /// When the report came.
    pub at: u64,
}
