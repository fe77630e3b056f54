//! Values between an operator and the hand: read from a descriptor, written to one.

use super::refused::Refused;
use super::state::State;
use super::values::{Bound, open_items, parse_path, too_long};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use vigo_base::{SecretVersion, limits};
use vigo_secret::{PublicKey, SHORTEST_SCRUBBED, SealPurpose, SecretBuf, seal, seal_record};
use vigo_wire::hand::{self as wire, FailureCode, Nothing};

pub(super) fn read_and_seal(
    state: &mut State,
    request: wire::ReadAndSeal,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::Entered, Refused> {
    state.make_room(4 * limits::SECRET_VALUE)?;
    let path = parse_path(&request.path)?;
    let key = PublicKey::try_from(request.key.as_slice())
        .map_err(|_| Refused::new(FailureCode::Sealed, "cannot seal to a key that has not 32 bytes"))?;
    let (value, dropped_newline) = read_from(&descriptors, request.exact)?;
    let sealed = seal(&key, &Bound::ENTRY.with(SealPurpose::Entry, &path, SecretVersion(0)), value.expose())?;
    let sealed = wire::SealedItem {
        path: request.path,
        version: 0,
        encapsulated: sealed.encapsulated,
        ciphertext: sealed.ciphertext,
    };
    let short = value.len() < SHORTEST_SCRUBBED;
    Ok(wire::Entered { sealed: Some(sealed), record: Vec::new(), dropped_newline, short })
}

pub(super) fn read_into_record(
    state: &mut State,
    request: wire::ReadIntoRecord,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::Entered, Refused> {
    state.make_room(4 * limits::SECRET_VALUE)?;
    let path = parse_path(&request.path)?;
    let master = state.master()?;
    let (value, dropped_newline) = read_from(&descriptors, request.exact)?;
    let record = seal_record(master, &path, SecretVersion(request.version), value.expose())?;
    let short = value.len() < SHORTEST_SCRUBBED;
    Ok(wire::Entered { sealed: None, record, dropped_newline, short })
}

pub(super) fn show(
    state: &mut State,
    request: wire::Open,
    descriptors: Vec<OwnedFd>,
) -> Result<Nothing, Refused> {
    for (_, _, value) in open_items(state, request)? {
        write_to(&descriptors, &value)?;
    }
    Ok(Nothing {})
}

pub(super) fn show_record(
    state: &mut State,
    request: wire::Record,
    descriptors: Vec<OwnedFd>,
) -> Result<Nothing, Refused> {
    state.make_room(request.record.len())?;
    let path = parse_path(&request.path)?;
    let version = SecretVersion(request.version);
    let value = vigo_secret::open_record(state.master()?, &path, version, &request.record)
        .map_err(|error| Refused::from(error).about(&path))?;
    write_to(&descriptors, &value)?;
    Ok(Nothing {})
}

fn read_from(descriptors: &[OwnedFd], exact: bool) -> Result<(SecretBuf, bool), Refused> {
    let input = descriptors.first().ok_or_else(|| Refused::bug("cannot read without a descriptor"))?;
    read_value(input, exact)
}

/// Reads to the end, with read(2) straight into protected pages: `std::io::stdin` would keep a copy. Says if it dropped a final newline.
pub(super) fn read_value(input: &impl AsFd, exact: bool) -> Result<(SecretBuf, bool), Refused> {
    // One byte more than a value may have shows that it has more, and one is for the newline.
    let mut buffer = SecretBuf::zeroed(limits::SECRET_VALUE + 2);
    let mut length = 0;
    while let Some(rest) = buffer.expose_mut().get_mut(length..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(input, rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Refused::machine("cannot read the value", &errno)),
        }
    }
    let read = buffer.expose().get(..length).unwrap_or_default();
    let kept = if exact { read } else { without_newline(read) };
    if kept.is_empty() {
        return Err(Refused::new(FailureCode::Input, "cannot take an empty value"));
    }
    if kept.len() > limits::SECRET_VALUE {
        return Err(too_long());
    }
    Ok((SecretBuf::copy_of(kept), kept.len() < read.len()))
}

/// One line without its end; several as they are.
pub(super) fn without_newline(read: &[u8]) -> &[u8] {
    match read.split_last() {
        Some((b'\n', line)) if !line.contains(&b'\n') => line,
        _ => read,
    }
}

pub(super) fn write_to(descriptors: &[OwnedFd], value: &SecretBuf) -> Result<(), Refused> {
    let output = descriptors.first().ok_or_else(|| Refused::bug("cannot write without a descriptor"))?;
    let mut rest = value.expose();
    while !rest.is_empty() {
        match rustix::io::write(output, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Refused::machine("cannot write the value", &errno)),
        }
    }
    Ok(())
}
