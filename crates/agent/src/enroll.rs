//! `vigo enroll`: how this machine becomes an envoy. Only this process sees the token; the worker relays.

use crate::arguments::EnrollArguments;
use crate::enrolment::{self, Enrolment, Record};
use crate::error::AgentError;
use crate::link::seconds_now;
use crate::state::State;
use crate::worker::Worker;
use rustix::fs::{Mode, OFlags};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use vigo_base::EnvoyName;
use vigo_sys::spawn::Spawner;
use vigo_wire::WireError;
use vigo_wire::enrol::{self, RefusalCode, Token};
use vigo_wire::identity::Identity;
use vigo_wire::worker::{Client, TransportKey};

/// The server may be slow to wake; a person waits.
const PATIENCE: Duration = Duration::from_secs(30);
/// A token line has far fewer bytes.
const TOKEN_LIMIT: usize = 4096;
/// What was sent last: sent again after a kill, it gets the same answer and costs no second use of the token.
const PENDING_REQUEST: &str = "pending.request";
const PENDING_KEY: &str = "pending.transport";
const PENDING_SERVER: &str = "pending.server";

/// Who this machine became.
#[derive(Debug)]
pub struct Outcome {
    /// The envoy's name.
    pub name: EnvoyName,
    /// The envoy's id as text.
    pub id: String,
    /// The server.
    pub server: String,
}

/// Enrols this machine. A token given on the command line must have been wiped from the arguments by the caller.
///
/// # Errors
/// When it is enrolled already, the token is none or refused, or the server cannot be reached or is not the token's.
pub fn enroll(state: &State, spawner: &Spawner, arguments: &EnrollArguments) -> Result<Outcome, AgentError> {
    if let Some(enrolled) = Enrolment::load(state)? {
        let path = state.identity.path().to_owned();
        return Err(AgentError::Enrolled { path, name: enrolled.name.to_string() });
    }
    let token = token(arguments)?;
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => host_name()?,
    };
    let (_worker, client) = Worker::start(spawner)?;
    through(state, &client, &arguments.server, &token, &name)
}

/// Enrols through a worker that was started.
///
/// # Errors
/// When the token is refused, or the server cannot be reached or is not the token's.
pub fn through(
    state: &State,
    client: &Client,
    server: &str,
    token: &Token,
    name: &EnvoyName,
) -> Result<Outcome, AgentError> {
    let identity = enrolment::load_or_make_identity(&state.identity)?;
    let pending = pending(state, client, token, name, &identity, server)?;

    let answer = client.enrol(server, &pending.request, PATIENCE).map_err(AgentError::Relay)?;
    let enrolled = match enrol::open_answer(&answer, &pending.request, token, seconds_now()) {
        Ok(enrolled) => enrolled,
        Err(error) => {
            // Only what the server itself refuses is over. Anything else may come from somebody on the way: the same request is sent again by the next try,
            // and gets the same answer without costing another use of the token.
            if let WireError::Refused { proven: true, code, .. } = &error
                && !RefusalCode::by_name(code).is_some_and(RefusalCode::may_pass)
            {
                forget_pending(state)?;
            }
            return Err(refusal(error).into());
        }
    };
    let record = Record {
        format: 0,
        server: server.to_owned(),
        envoy: enrolled.envoy.as_bytes().to_vec(),
        name: enrolled.name.as_str().to_owned(),
        anchor: enrolled.anchor.to_vec(),
        session: enrolled.session.to_vec(),
        authority: enrolled.authority,
        transport_key: pending.key,
        transport_chain: enrolled.chain,
        keys: enrolled.keys,
        term: enrolled.term,
        generation: enrolled.generation,
        server_time: enrolled.server_time,
        transport_since: enrolled.server_time,
    };
    forget_earlier(state)?;
    enrolment::store(&state.identity, &record)?;
    forget_pending(state)?;
    Ok(Outcome { name: enrolled.name, id: enrolled.envoy.to_string(), server: server.to_owned() })
}

struct Pending {
    request: Vec<u8>,
    key: Vec<u8>,
}

/// The request that was stored before a kill, if it was for the same token, name and server; else a new one, stored before it is sent.
fn pending(
    state: &State,
    client: &Client,
    token: &Token,
    name: &EnvoyName,
    identity: &Identity,
    server: &str,
) -> Result<Pending, AgentError> {
    let folder = &state.identity;
    let purpose = format!("{server}\n{name}\n{}\n", vigo_base::encode_hex(token.id()));
    let stored = (
        folder.read(PENDING_SERVER, 1024)?,
        folder.read(PENDING_REQUEST, 1 << 17)?,
        folder.read(PENDING_KEY, 4096)?,
    );
    if let (Some(for_what), Some(request), Some(key)) = stored
        && for_what == purpose.as_bytes()
    {
        return Ok(Pending { request, key });
    }
    let transport: TransportKey = client.make_transport_key().map_err(AgentError::Relay)?;
    let request = enrol::request(token, name, identity, &transport.certificate_request)?;
    // The purpose goes last: without it the other two are not used.
    folder.remove(PENDING_SERVER)?;
    folder.write(PENDING_KEY, &transport.key)?;
    folder.write(PENDING_REQUEST, &request)?;
    folder.write(PENDING_SERVER, purpose.as_bytes())?;
    Ok(Pending { request, key: transport.key.clone() })
}

/// What an earlier envoy on this machine held is not this one's: its assignment, its reports, what the server knew of it.
fn forget_earlier(state: &State) -> Result<(), AgentError> {
    for folder in [&state.bundle, &state.queue] {
        for name in folder.names()? {
            folder.remove(&name)?;
        }
    }
    for name in crate::run::KNOWN_TO_THE_SERVER {
        state.identity.remove(name)?;
    }
    Ok(())
}

fn forget_pending(state: &State) -> Result<(), AgentError> {
    for name in [PENDING_SERVER, PENDING_REQUEST, PENDING_KEY] {
        state.identity.remove(name)?;
    }
    Ok(())
}

/// Says what a refusal without proof may mean: whoever answers does not know the token's secret.
fn refusal(error: WireError) -> WireError {
    match error {
        WireError::Refused { code, message, proven: false } => WireError::Refused {
            code,
            message: format!("{message}; if the token is right, this is not the server that made it"),
            proven: false,
        },
        other => other,
    }
}

fn token(arguments: &EnrollArguments) -> Result<Token, AgentError> {
    let line = match (&arguments.token, &arguments.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(path)) => read_token(path)?,
        (None, None) => return Err(AgentError::Token("none was given; use --token-file FILE".to_owned())),
    };
    let token = Token::parse(line.trim())?;
    Ok(if arguments.token.is_some() { token.from_command_line() } else { token })
}

fn read_token(path: &Path) -> Result<String, AgentError> {
    let failed = |source: std::io::Error| AgentError::Read { path: path.to_owned(), source };
    let input: OwnedFd = if path == Path::new("-") {
        rustix::io::dup(rustix::stdio::stdin()).map_err(|errno| failed(errno.into()))?
    } else {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| failed(errno.into()))?
    };
    let mut text = String::new();
    let bound = u64::try_from(TOKEN_LIMIT).unwrap_or(u64::MAX) + 1;
    std::fs::File::from(input).take(bound).read_to_string(&mut text).map_err(failed)?;
    if text.len() > TOKEN_LIMIT {
        return Err(AgentError::Token(format!("`{}` is longer than any token", path.display())));
    }
    Ok(text)
}

/// The full name of this host in lower case, else its short one.
///
/// # Errors
/// When this host has no name that an envoy could have.
pub fn host_name() -> Result<EnvoyName, AgentError> {
    let system = rustix::system::uname();
    let short = system.nodename().to_string_lossy().into_owned();
    let name = full_name(&short).unwrap_or(short);
    name.parse().map_err(|error: vigo_base::NameError| {
        AgentError::Operator(format!("cannot use the name of this host: {error}; give one with --name"))
    })
}

/// What /etc/hosts says is the full name of `short` (hosts(5): the first name of a line is the canonical one). DNS is not asked: this process has no network.
fn full_name(short: &str) -> Option<String> {
    if short.contains('.') {
        return None;
    }
    let hosts = std::fs::read_to_string("/etc/hosts").ok()?;
    let full = format!("{short}.");
    hosts
        .lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(str::split_whitespace)
        .find(|name| name.starts_with(&full) && !name.ends_with(".localdomain"))
        .map(str::to_owned)
}
