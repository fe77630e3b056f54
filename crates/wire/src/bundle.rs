//! The bundle: what envoys that are alike are to look like. References only, never a secret's value; named by the digest of its bytes.

use crate::node::{Entry, Node};

/// The format that this build writes; [`Bundle::format`] of a newer one is refused.
pub const FORMAT: u32 = 1;

/// What envoys that are alike are to look like. Decode it only after its digest was checked against a verified assignment.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Bundle {
    /// [`FORMAT`] of who wrote it.
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// Variables of the match block, its environment and the common files, already laid over one another. They may refer to each other and to traits.
    #[prost(message, repeated, tag = "2")]
    pub variables: Vec<Entry>,
    /// Configcrates in written order.
    #[prost(message, repeated, tag = "3")]
    pub configcrates: Vec<Configcrate>,
    /// Resources in written order; all indices in a bundle count in here.
    #[prost(message, repeated, tag = "4")]
    pub resources: Vec<Resource>,
    /// Template files that the resources use, with those they include.
    #[prost(message, repeated, tag = "5")]
    pub templates: Vec<Template>,
    /// Every secret reference in it: what entitles an envoy.
    #[prost(message, repeated, tag = "6")]
    pub secrets: Vec<SecretUse>,
    /// The match block says `mode: observe`: plan and report, change nothing.
    #[prost(bool, tag = "7")]
    pub observe: bool,
}

/// A configcrate as far as a run needs it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Configcrate {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its own variables, seen inside it only, below all others.
    #[prost(message, repeated, tag = "2")]
    pub variables: Vec<Entry>,
    /// Its `when`; empty means always.
    #[prost(string, tag = "3")]
    pub when: String,
    /// Configcrates that must all have succeeded first; indices into [`Bundle::configcrates`].
    #[prost(uint32, repeated, tag = "4")]
    pub requires: Vec<u32>,
}

/// One resource before rendering.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    /// Index into [`Bundle::configcrates`].
    #[prost(uint32, tag = "1")]
    pub configcrate: u32,
    /// The type, as in the registry.
    #[prost(string, tag = "2")]
    pub r#type: String,
    /// The written name with its `[key]` from `foreach`; empty when none was written, then the rendered identity stands in the id.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Attributes with the configcrate's defaults already in.
    #[prost(message, repeated, tag = "4")]
    pub attributes: Vec<Entry>,
    /// Its `when`; empty means always.
    #[prost(string, tag = "5")]
    pub when: String,
    /// Resources that must have succeeded first (`depends_on`, the other side of `before`).
    #[prost(uint32, repeated, tag = "6")]
    pub requires: Vec<u32>,
    /// Resources that notify this one (`notify` of the other side, `subscribes`). They come first, too.
    #[prost(uint32, repeated, tag = "7")]
    pub notified_by: Vec<u32>,
    /// Paths of secrets whose new version alone makes `changed` true here (`subscribes: secret:path`).
    #[prost(string, repeated, tag = "8")]
    pub subscribes_secrets: Vec<String>,
    /// `timeout` in milliseconds; 0 means the type's own.
    #[prost(uint64, tag = "9")]
    pub timeout_ms: u64,
    /// `allow_exposure`, as written.
    #[prost(string, repeated, tag = "10")]
    pub allow_exposure: Vec<String>,
    /// The value of `item`, where `foreach` stamped it.
    #[prost(message, optional, tag = "11")]
    pub item: Option<Node>,
    /// `case`: an expression; empty means none.
    #[prost(string, tag = "12")]
    pub case: String,
    /// `match`: attributes laid over the others when `case` comes out as the name.
    #[prost(message, repeated, tag = "13")]
    pub branches: Vec<Branch>,
    /// Where it is written, `file:line`, for messages.
    #[prost(string, tag = "14")]
    pub origin: String,
    /// Configcrates that must all have succeeded first (`depends_on: configcrate:name`).
    #[prost(uint32, repeated, tag = "15")]
    pub requires_configcrates: Vec<u32>,
}

/// One branch of `match`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Branch {
    /// The value of `case`, as text.
    #[prost(string, tag = "1")]
    pub value: String,
    /// The attributes.
    #[prost(message, repeated, tag = "2")]
    pub attributes: Vec<Entry>,
}

/// A template file. Secret references already stand as `{{ secret("path") }}`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Template {
    /// Its path below `templates/`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its text.
    #[prost(string, tag = "2")]
    pub source: String,
}

/// One secret reference.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SecretUse {
    /// The path; empty when it has to be computed.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The argument of `secret()` when it is no literal: an expression over `vars`, `envoy` and `item`.
    #[prost(string, tag = "2")]
    pub expression: String,
    /// Which resource it stands in.
    #[prost(uint32, tag = "3")]
    pub resource: u32,
    /// Who else can see the value there: empty (nobody), `environment` or `argv`.
    #[prost(string, tag = "4")]
    pub exposure: String,
    /// The attribute that it stands in.
    #[prost(string, tag = "5")]
    pub attribute: String,
}
