//! Messages about a master key that OpenBao or Vault wraps. The connection comes as a descriptor; token and key are never in a message.

/// How to speak over the connection that comes along.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TransitService {
    /// The name that the service's certificate must have: a host's or an address.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The name with its port, as it stands in a request.
    #[prost(string, tag = "2")]
    pub authority: String,
    /// Without TLS: to this machine only.
    #[prost(bool, tag = "3")]
    pub plain: bool,
    /// Certificates in PEM, whose certificates hold.
    #[prost(bytes = "vec", tag = "4")]
    pub roots: Vec<u8>,
    /// Where the engine is. When a key is unwrapped, its file says that.
    #[prost(string, tag = "5")]
    pub mount: String,
    /// The name of the service's key. When a key is unwrapped, its file says that.
    #[prost(string, tag = "6")]
    pub key: String,
    /// The file with the token, or with the secret id where there is a role.
    #[prost(string, tag = "7")]
    pub credential: String,
    /// The role id of an AppRole, with which a token is had first; empty if the file has the token.
    #[prost(string, tag = "8")]
    pub role: String,
}

/// Has a master key that the hand has wrapped, and writes that into a new file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WrapMasterKey {
    /// How to speak.
    #[prost(message, required, tag = "1")]
    pub service: TransitService,
    /// The file's absolute path; nothing may be there.
    #[prost(string, tag = "2")]
    pub path: String,
    /// The key that waits to be adopted instead of the one in use.
    #[prost(bool, tag = "3")]
    pub next: bool,
}

/// Has the master key in a file unwrapped, and unlocks the vault with it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UnwrapMasterKey {
    /// How to speak.
    #[prost(message, required, tag = "1")]
    pub service: TransitService,
    /// The file's absolute path.
    #[prost(string, tag = "2")]
    pub path: String,
    /// Only to see that it can be had: nothing is unlocked.
    #[prost(bool, tag = "3")]
    pub check: bool,
}
