//! What is made once: the deployment and the server's keys.

/// What a deployment is, made once on an empty store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The trust anchor's public key (Ed25519).
    pub anchor: [u8; 32],
    /// Which master key its vault records and wrapped keys are under.
    pub master_key: [u8; 16],
    /// Raised by a restore, or a failover that may have lost commits; starts at 1.
    pub term: u64,
    /// When it was made.
    pub founded_at: u64,
}

/// A key of the server. The private half is wrapped by the hand under the master key: these bytes are of use to nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerKey {
    /// `anchor`, `bundle`, `entry`, `session` or another fixed word, 64 bytes at most.
    pub purpose: String,
    /// The public half.
    pub public: Vec<u8>,
    /// The private half as the hand wrapped it.
    pub wrapped: Vec<u8>,
    /// What certifies it (an encoded certificate); empty when nothing has to.
    pub certificate: Vec<u8>,
    /// When it was made.
    pub created_at: u64,
    /// When it was replaced; it is kept to read what was made with it.
    pub retired_at: Option<u64>,
}
