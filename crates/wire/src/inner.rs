//! What `vigo` and `vigosrv` say to each other inside the inner session. The worker relays it and can read none of it.

use crate::assignment::{KeyCertificate, SignedAssignment};
use crate::node::Node;

/// What an envoy asks. One at a time; every one has one [`Reply`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// Which.
    #[prost(oneof = "Ask", tags = "1, 2, 3, 4, 5")]
    pub ask: Option<Ask>,
}

/// The kinds of [`Request`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Ask {
    /// Anything new?
    #[prost(message, tag = "1")]
    CheckIn(CheckIn),
    /// The bytes of a bundle.
    #[prost(message, tag = "2")]
    Bundle(BundleRequest),
    /// Values of secrets, sealed.
    #[prost(message, tag = "3")]
    Secrets(SecretRequest),
    /// What a run did.
    #[prost(message, tag = "4")]
    Report(Report),
    /// A new transport certificate.
    #[prost(message, tag = "5")]
    Renew(Renew),
}

/// What the server answers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Reply {
    /// Which.
    #[prost(oneof = "Answer", tags = "1, 2, 3, 4, 5, 6")]
    pub answer: Option<Answer>,
}

/// The kinds of [`Reply`].
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Answer {
    /// To [`Ask::CheckIn`].
    #[prost(message, tag = "1")]
    CheckIn(CheckInReply),
    /// To [`Ask::Bundle`].
    #[prost(message, tag = "2")]
    Bundle(BundleReply),
    /// To [`Ask::Secrets`].
    #[prost(message, tag = "3")]
    Secrets(SecretReply),
    /// To [`Ask::Report`].
    #[prost(message, tag = "4")]
    Report(ReportReply),
    /// To [`Ask::Renew`].
    #[prost(message, tag = "5")]
    Renew(RenewReply),
    /// To anything: no.
    #[prost(message, tag = "6")]
    Refused(Refused),
}

/// Anything new? Sent every interval.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CheckIn {
    /// Version of the agent, for people.
    #[prost(string, tag = "1")]
    pub agent_version: String,
    /// Bundle formats that this agent reads.
    #[prost(uint32, repeated, tag = "2")]
    pub formats: Vec<u32>,
    /// Term of the assignment it holds; 0 with generation 0 means none.
    #[prost(uint64, tag = "3")]
    pub term: u64,
    /// Generation of the assignment it holds.
    #[prost(uint64, tag = "4")]
    pub generation: u64,
    /// SHA-256 of the traits as they were last sent whole.
    #[prost(bytes = "vec", tag = "5")]
    pub traits_digest: Vec<u8>,
    /// The traits whole, when they changed or the server asked; empty otherwise.
    #[prost(message, optional, tag = "6")]
    pub traits: Option<Node>,
    /// What protection this machine gives.
    #[prost(message, optional, tag = "7")]
    pub posture: Option<Posture>,
    /// The machine's clock, seconds since 1970: skew is reported, never fatal.
    #[prost(uint64, tag = "8")]
    pub clock: u64,
    /// The continuity value last given; tells a clone of this machine from the machine.
    #[prost(bytes = "vec", tag = "9")]
    pub continuity: Vec<u8>,
    /// The answer may be kept back for so many seconds while there is nothing new; 0 asks for one at once. The server bounds it
    /// ([`HOLD_MOST_S`]), and answers earlier as soon as it has something else than what this envoy says it holds.
    #[prost(uint32, tag = "10")]
    pub hold_s: u32,
}

/// A check-in is held for so many seconds at most: with what an answer may take, less than [`crate::session::GRACE_S`], so that a session that
/// was good when the check-in began is good for its answer.
pub const HOLD_MOST_S: u32 = 240;

/// What protection a machine gives, by its own word.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Posture {
    /// `secure`, `weak` or `insecure`.
    #[prost(string, tag = "1")]
    pub level: String,
    /// Why it is no better; empty at `secure`.
    #[prost(string, repeated, tag = "2")]
    pub reasons: Vec<String>,
    /// The swap class.
    #[prost(string, tag = "3")]
    pub swap: String,
}

/// The answer to a check-in.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CheckInReply {
    /// The server's clock, seconds since 1970.
    #[prost(uint64, tag = "1")]
    pub server_time: u64,
    /// A new assignment; absent when the one held is the current one.
    #[prost(message, optional, tag = "2")]
    pub assignment: Option<SignedAssignment>,
    /// Bundle keys that the anchor certified, when there is a new assignment.
    #[prost(message, repeated, tag = "3")]
    pub keys: Vec<KeyCertificate>,
    /// Current versions of the secrets that this envoy is entitled to, when there is a new assignment.
    #[prost(message, repeated, tag = "4")]
    pub secrets: Vec<SecretState>,
    /// The server does not have the traits of that digest: send them whole next time.
    #[prost(bool, tag = "5")]
    pub want_traits: bool,
    /// A new continuity value to be stored before the next check-in; empty to keep the old.
    #[prost(bytes = "vec", tag = "6")]
    pub continuity: Vec<u8>,
}

/// A secret and its current version.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SecretState {
    /// The path.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The version; 0 when there is no such secret.
    #[prost(uint64, tag = "2")]
    pub version: u64,
}

/// Asks for a bundle by its digest.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BundleRequest {
    /// SHA-256 of its bytes; it must be the one of an assignment of this envoy.
    #[prost(bytes = "vec", tag = "1")]
    pub digest: Vec<u8>,
}

/// The bytes of a bundle.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BundleReply {
    /// The encoded bundle.
    #[prost(bytes = "vec", tag = "1")]
    pub bundle: Vec<u8>,
}

/// Asks for values, to be sealed to a one-time key of this envoy's hand.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SecretRequest {
    /// Bound into every seal; 16 random bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub request: Vec<u8>,
    /// The one-time X25519 public key.
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    /// Term of the assignment that entitles.
    #[prost(uint64, tag = "3")]
    pub term: u64,
    /// Generation of the assignment that entitles.
    #[prost(uint64, tag = "4")]
    pub generation: u64,
    /// The paths.
    #[prost(string, repeated, tag = "5")]
    pub paths: Vec<String>,
    /// What protection this machine gives now, read back from the hand that made the key. Without it, what the last check-in said counts.
    #[prost(message, optional, tag = "6")]
    pub posture: Option<Posture>,
}

/// The values, each sealed or refused.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SecretReply {
    /// One item per path asked for, in that order.
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<SecretItem>,
    /// The epoch bound into every seal.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
}

/// One value, sealed or refused.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SecretItem {
    /// The path.
    #[prost(string, tag = "1")]
    pub path: String,
    /// The version that is sealed here.
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// HPKE's encapsulated key; empty when refused.
    #[prost(bytes = "vec", tag = "3")]
    pub encapsulated: Vec<u8>,
    /// HPKE's ciphertext; empty when refused.
    #[prost(bytes = "vec", tag = "4")]
    pub ciphertext: Vec<u8>,
    /// Why it is refused; empty when it is not.
    #[prost(string, tag = "5")]
    pub refused: String,
    /// In which of the fixed words it is refused: `no-secret`, `not-in-bundle`, `by-traits`, `policy`, `level`, `swap`, `broken` (what is stored does not open); empty when it is not.
    #[prost(string, tag = "6")]
    pub code: String,
    /// What to do about it; may be empty.
    #[prost(string, tag = "7")]
    pub help: String,
}

/// What a run did. Never a secret, nor anything from which one could be computed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Report {
    /// 16 random bytes: the same report sent again is the same run.
    #[prost(bytes = "vec", tag = "1")]
    pub run: Vec<u8>,
    /// The machine's clock at the start, seconds since 1970.
    #[prost(uint64, tag = "2")]
    pub started_at: u64,
    /// How long it took.
    #[prost(uint64, tag = "3")]
    pub duration_ms: u64,
    /// Nothing was changed: a plan, not a convergence.
    #[prost(bool, tag = "4")]
    pub dry_run: bool,
    /// Term of the assignment that was applied.
    #[prost(uint64, tag = "5")]
    pub term: u64,
    /// Generation of the assignment that was applied.
    #[prost(uint64, tag = "6")]
    pub generation: u64,
    /// The publish that it came from.
    #[prost(uint64, tag = "7")]
    pub publish: u64,
    /// One per resource, in the order they ran.
    #[prost(message, repeated, tag = "8")]
    pub resources: Vec<ResourceReport>,
    /// The protection while it ran.
    #[prost(message, optional, tag = "9")]
    pub posture: Option<Posture>,
    /// It ran from the cache: the server was not reached.
    #[prost(bool, tag = "10")]
    pub offline: bool,
    /// What was wrong with the run as a whole; empty if nothing.
    #[prost(string, repeated, tag = "11")]
    pub problems: Vec<String>,
    /// Which secrets were handed over in which way: commands that ran, and files that were found or put.
    #[prost(message, repeated, tag = "12")]
    pub exposures: Vec<Exposure>,
}

/// One secret that left the hand in one way, for one resource.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exposure {
    /// The id of the resource.
    #[prost(string, tag = "1")]
    pub resource: String,
    /// The secret's path.
    #[prost(string, tag = "2")]
    pub path: String,
    /// Its version.
    #[prost(uint64, tag = "3")]
    pub version: u64,
    /// A word of [`vigo_base::ExposureWay`].
    #[prost(string, tag = "4")]
    pub way: String,
}

/// What became of one resource.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceReport {
    /// `configcrate:name` or `configcrate:type/identity`.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its type.
    #[prost(string, tag = "2")]
    pub r#type: String,
    /// `unchanged`, `created`, `updated`, `deleted`, `skipped`, `blocked` or `failed`.
    #[prost(string, tag = "3")]
    pub outcome: String,
    /// What changed, a line each.
    #[prost(string, repeated, tag = "4")]
    pub changes: Vec<String>,
    /// Why it failed, is blocked, was skipped or is unverified; empty otherwise.
    #[prost(string, tag = "5")]
    pub reason: String,
    /// How long it took.
    #[prost(uint64, tag = "6")]
    pub duration_ms: u64,
}

/// The report is stored.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReportReply {}

/// Asks for a new transport certificate. The session already says who asks.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Renew {
    /// A certificate signing request (PKCS #10, DER) by the worker's new key.
    #[prost(bytes = "vec", tag = "1")]
    pub request: Vec<u8>,
}

/// A new transport certificate.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RenewReply {
    /// The certificate and its chain (X.509, DER each).
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub chain: Vec<Vec<u8>>,
}

/// No, and why.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Refused {
    /// One of the fixed words: `revoked`, `unknown-envoy`, `stale-bundle`, `malformed`, `too-large`, `busy`, `too-many` (requests: it is to wait), `quarantined`, `untrusted-policy` (of secrets: the stored ones are not the server's), `expired` (the transport certificate: renew it).
    #[prost(string, tag = "1")]
    pub code: String,
    /// For people: what and what to do.
    #[prost(string, tag = "2")]
    pub message: String,
}
