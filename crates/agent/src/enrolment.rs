//! What an enrolled machine knows of itself and its server, as it stands in the state folder.

use crate::error::AgentError;
use crate::state::State;
use prost::Message;
use std::path::PathBuf;
use vigo_base::{EnvoyId, EnvoyName};
use vigo_host::Folder;
use vigo_wire::assignment::KeyCertificate;
use vigo_wire::identity::Identity;
use vigo_wire::worker::Configure;

/// The format that this build writes.
const FORMAT: u32 = 1;
const NAME: &str = "enrolment";
const IDENTITY: &str = "identity.key";
const LIMIT: usize = 256 << 10;
/// A transport certificate is renewed at two thirds of its thirty days.
const RENEW_AFTER_S: u64 = 20 * 86_400;

/// The record, made once at enrolment; the transport certificate in it is replaced at each renewal.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Record {
    /// [`FORMAT`] of who wrote it.
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// The server as the operator named it.
    #[prost(string, tag = "2")]
    pub server: String,
    /// This envoy's id.
    #[prost(bytes = "vec", tag = "3")]
    pub envoy: Vec<u8>,
    /// This envoy's name.
    #[prost(string, tag = "4")]
    pub name: String,
    /// The trust anchor's public key.
    #[prost(bytes = "vec", tag = "5")]
    pub anchor: Vec<u8>,
    /// The server's key of the inner session.
    #[prost(bytes = "vec", tag = "6")]
    pub session: Vec<u8>,
    /// The authority's certificate (X.509, DER).
    #[prost(bytes = "vec", tag = "7")]
    pub authority: Vec<u8>,
    /// The worker's private key (PKCS #8, DER): it proves nothing to the protocol inside.
    #[prost(bytes = "vec", tag = "8")]
    pub transport_key: Vec<u8>,
    /// The transport certificate and its chain (X.509, DER each).
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub transport_chain: Vec<Vec<u8>>,
    /// Bundle keys that the anchor certified.
    #[prost(message, repeated, tag = "10")]
    pub keys: Vec<KeyCertificate>,
    /// Term below which no assignment is taken.
    #[prost(uint64, tag = "11")]
    pub term: u64,
    /// Generation below which no assignment is taken, in that term.
    #[prost(uint64, tag = "12")]
    pub generation: u64,
    /// The last time that the server gave, seconds since 1970.
    #[prost(uint64, tag = "13")]
    pub server_time: u64,
    /// When the transport certificate was given, seconds since 1970 by the server's clock.
    #[prost(uint64, tag = "14")]
    pub transport_since: u64,
}

/// An enrolled machine.
pub struct Enrolment {
    /// The record as it stands in the state folder.
    pub record: Record,
    /// This envoy's id.
    pub envoy: EnvoyId,
    /// This envoy's name.
    pub name: EnvoyName,
    /// The trust anchor's public key.
    pub anchor: [u8; 32],
    /// The server's key of the inner session.
    pub session: [u8; 32],
    /// The keys that this envoy is.
    pub identity: Identity,
}

impl Enrolment {
    /// Reads it; `None` when this machine is not enrolled.
    ///
    /// # Errors
    /// When what stands there cannot be read.
    pub fn load(state: &State) -> Result<Option<Self>, AgentError> {
        let Some(bytes) = state.identity.read(NAME, LIMIT)? else { return Ok(None) };
        let path = state.identity.path().join(NAME);
        let wrong = |why: &str| AgentError::Stored { path: path.clone(), why: why.to_owned() };
        let record = Record::decode(bytes.as_slice()).map_err(|error| wrong(&error.to_string()))?;
        if record.format != FORMAT {
            return Err(wrong("a later version of Vigo wrote it; upgrade this one"));
        }
        let Some(identity) = load_identity(&state.identity)? else {
            return Err(wrong("the identity key beside it is missing; enrol this machine anew"));
        };
        Ok(Some(Self {
            envoy: EnvoyId::from_bytes(&record.envoy).ok_or_else(|| wrong("the id has not 16 bytes"))?,
            name: record.name.parse().map_err(|_| wrong("the name is no envoy name"))?,
            anchor: record.anchor.as_slice().try_into().map_err(|_| wrong("the anchor has not 32 bytes"))?,
            session: record
                .session
                .as_slice()
                .try_into()
                .map_err(|_| wrong("the session key has not 32 bytes"))?,
            identity,
            record,
        }))
    }

    /// True if the transport certificate is to be renewed, by that time (seconds since 1970) or by the last that the server gave.
    #[must_use]
    pub fn is_renewal_due(&self, time: u64) -> bool {
        time.max(self.record.server_time).saturating_sub(self.record.transport_since) >= RENEW_AFTER_S
    }

    /// What the worker needs to reach the server.
    #[must_use]
    pub fn transport(&self) -> Configure {
        Configure {
            server: self.record.server.clone(),
            authority: self.record.authority.clone(),
            key: self.record.transport_key.clone(),
            chain: self.record.transport_chain.clone(),
            connect_timeout_ms: 0,
            idle_timeout_ms: 0,
            server_time: self.record.server_time,
            keep_alive_ms: 0,
        }
    }
}

/// Stores a record; from now on this machine is that envoy.
///
/// # Errors
/// When it cannot be written.
pub fn store(folder: &Folder, record: &Record) -> Result<(), AgentError> {
    let record = Record { format: FORMAT, ..record.clone() };
    Ok(folder.write(NAME, &record.encode_to_vec())?)
}

/// The identity key of this machine, if it has one.
///
/// # Errors
/// When it cannot be read.
pub fn load_identity(folder: &Folder) -> Result<Option<Identity>, AgentError> {
    match folder.read(IDENTITY, 1024)? {
        Some(bytes) => Ok(Some(Identity::decode(&bytes)?)),
        None => Ok(None),
    }
}

/// The identity key of this machine, made when it has none.
///
/// # Errors
/// When it cannot be read, made or written.
pub fn load_or_make_identity(folder: &Folder) -> Result<Identity, AgentError> {
    if let Some(identity) = load_identity(folder)? {
        return Ok(identity);
    }
    let identity = Identity::generate()?;
    folder.write(IDENTITY, &identity.encode())?;
    Ok(identity)
}

/// Where the identity key stands, for the check that others cannot read it.
#[must_use]
pub fn identity_path(state: &State) -> PathBuf {
    state.identity.path().join(IDENTITY)
}
