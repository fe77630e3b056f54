//! A master key that a service wraps. The service is believed nothing: what it gives must have the id that the file names.

use super::master::{self, Text, read_private, read_text};
use super::refused::Refused;
use super::service::{KeyService, ServiceCall, ServiceError};
use super::state::State;
use std::os::fd::OwnedFd;
use vigo_secret::{MasterKey, SecretBuf, WrappedKey};
use vigo_wire::hand::{self as wire, FailureCode};

/// A token or a secret id.
const CREDENTIAL: usize = 4096;
/// What TLS takes beside the roots.
const SESSION: usize = 512 << 10;

impl From<ServiceError> for Refused {
    fn from(error: ServiceError) -> Self {
        Self::new(error.code, error.text)
    }
}

pub(super) fn wrap(
    state: &mut State,
    request: wire::WrapMasterKey,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::VaultId, Refused> {
    let (service, call) = begin(state, request.service, descriptors)?;
    let (mount, name) = (call.service.mount.clone(), call.service.key.clone());
    let key = if request.next { state.next_master()? } else { state.master()? };
    let id = *key.id();
    let wrapped = service.wrap(call, key.write().expose(), &WrappedKey::bound(&id))?;
    let text = WrappedKey::new(id, &mount, &name, &wrapped)?.write();
    master::write(&request.path, &SecretBuf::copy_of(text.as_bytes()))?;
    Ok(wire::VaultId { id: id.to_vec() })
}

pub(super) fn unwrap(
    state: &mut State,
    request: wire::UnwrapMasterKey,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::VaultId, Refused> {
    let refused = |why: &dyn std::fmt::Display| master::refused(&request.path, why);
    let Text::Wrapped(file) = read_text(&request.path)? else {
        return Err(refused(&"it is not under a key of OpenBao or Vault"));
    };
    let (service, mut call) = begin(state, request.service, descriptors)?;
    // The file says under what it is; the settings only under what the next one will be.
    (call.service.mount, call.service.key) = (file.mount, file.key);
    let text = service.unwrap(call, &file.wrapped, &WrappedKey::bound(&file.id))?;
    let key = MasterKey::parse(text.expose()).map_err(|error| refused(&error))?;
    if *key.id() != file.id {
        return Err(refused(&"the key service gave another key than was wrapped"));
    }
    let id = key.id().to_vec();
    if !request.check {
        state.master = Some(key);
        master::leave_terminal(state);
    }
    Ok(wire::VaultId { id })
}

fn begin(
    state: &mut State,
    service: wire::TransitService,
    descriptors: Vec<OwnedFd>,
) -> Result<(&'static dyn KeyService, ServiceCall), Refused> {
    let brought = state.key_service.ok_or_else(|| {
        Refused::bug("cannot have a master key wrapped or unwrapped: this program brought nothing for that")
    })?;
    let connection = descriptors.into_iter().next();
    let connection =
        connection.ok_or_else(|| Refused::bug("cannot ask a key service without a connection"))?;
    state.make_room(SESSION.saturating_add(service.roots.len().saturating_mul(3)))?;
    let path = service.credential.clone();
    let wrong = |why: &dyn std::fmt::Display| {
        let text = format!("cannot take the key service's token or secret id from `{path}`: {why}");
        Refused::new(FailureCode::KeyFile, text)
    };
    let mut credential = read_private(&path, CREDENTIAL, &wrong)?;
    let length = credential.expose().trim_ascii_end().len();
    credential.truncate(length);
    Ok((brought, ServiceCall { connection, service, credential }))
}
