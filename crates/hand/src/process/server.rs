//! What only the server's hand does: its keys, signatures, values on their way in and out.

use super::refused::Refused;
use super::state::State;
use super::values::{Bound, parse_path, too_long};
use ed25519_dalek::SigningKey;
use std::os::fd::OwnedFd;
use vigo_base::{Sealed, SecretVersion, limits};
use vigo_secret::{KeyPair, PublicKey, SealPurpose, SecretBuf, SecretError, WrapLabel, seal_record};
use vigo_wire::hand::{self as wire, FailureCode, KeyPurpose};
use vigo_wire::sign::{self, SignContext, Signer};

/// Values sealed to an entry key that was replaced since still open, as long as it is one of the last ones.
const ENTRY_KEYS: usize = 4;

pub(super) fn new_key(
    state: &mut State,
    request: wire::Key,
    _: Vec<OwnedFd>,
) -> Result<wire::NewKey, Refused> {
    let label = label_of(request.purpose())?;
    let private = match request.purpose() {
        KeyPurpose::Entry => KeyPair::generate()?.private(),
        _ => {
            let mut seed = SecretBuf::zeroed(vigo_secret::KEY);
            vigo_secret::fill_random(seed.expose_mut())?;
            seed
        }
    };
    let wrapped = state.master()?.wrap(label, private.expose())?;
    let public = load(state, request.purpose(), &private)?;
    Ok(wire::NewKey { public, wrapped })
}

pub(super) fn load_key(
    state: &mut State,
    request: wire::Key,
    _: Vec<OwnedFd>,
) -> Result<wire::PublicKey, Refused> {
    let private = state.master()?.unwrap(label_of(request.purpose())?, &request.wrapped)?;
    Ok(wire::PublicKey { key: load(state, request.purpose(), &private)? })
}

fn label_of(purpose: KeyPurpose) -> Result<WrapLabel, Refused> {
    match purpose {
        KeyPurpose::Anchor => Ok(WrapLabel::AnchorKey),
        KeyPurpose::Bundle => Ok(WrapLabel::BundleKey),
        KeyPurpose::Entry => Ok(WrapLabel::EntryKey),
        KeyPurpose::Unknown => Err(Refused::bug("cannot make or load a key without a purpose")),
    }
}

/// Keeps a key; gives its public half.
fn load(state: &mut State, purpose: KeyPurpose, private: &SecretBuf) -> Result<Vec<u8>, Refused> {
    if purpose == KeyPurpose::Entry {
        let pair = KeyPair::from_private(private.expose())?;
        let public = pair.public().to_vec();
        state.entry.retain(|known| known.public() != pair.public());
        let too_many = (state.entry.len() + 1).saturating_sub(ENTRY_KEYS);
        state.entry.drain(..too_many);
        state.entry.push(pair);
        return Ok(public);
    }
    let key = SigningKey::try_from(private.expose()).map_err(|_| SecretError::Wrapped)?;
    let public = key.verifying_key().to_bytes().to_vec();
    match purpose {
        KeyPurpose::Anchor => state.anchor = Some(key),
        _ => state.bundle = Some(key),
    }
    Ok(public)
}

/// Only messages of the fixed list, each with the one key that may sign it.
pub(super) fn sign(state: &mut State, request: wire::Sign, _: Vec<OwnedFd>) -> Result<wire::Bytes, Refused> {
    let context = SignContext::ALL.into_iter().find(|context| context.text() == request.context);
    let context = context.ok_or_else(|| Refused::bug("cannot sign in a context that there is not"))?;
    let (key, purpose) = match context.signer() {
        Signer::Anchor => (&state.anchor, KeyPurpose::Anchor),
        Signer::Bundle => (&state.bundle, KeyPurpose::Bundle),
        Signer::Node => return Err(Refused::bug("cannot sign what only a node's identity signs")),
    };
    if purpose != request.purpose() {
        return Err(Refused::bug("cannot sign this with a key of that purpose"));
    }
    let locked = || Refused::new(FailureCode::Locked, "cannot sign before the key is loaded");
    let signature = sign::sign(context, key.as_ref().ok_or_else(locked)?, &request.message)
        .map_err(|error| Refused::bug(error.to_string()))?;
    Ok(wire::Bytes { bytes: signature.to_vec() })
}

pub(super) fn put(state: &mut State, request: wire::Put, _: Vec<OwnedFd>) -> Result<wire::Bytes, Refused> {
    state.make_room(4 * request.ciphertext.len())?;
    let path = parse_path(&request.path)?;
    let master = state.master()?;
    if state.entry.is_empty() {
        return Err(Refused::new(FailureCode::Locked, "cannot take a value before the entry key is loaded"));
    }
    let sealed = Sealed { encapsulated: request.encapsulated, ciphertext: request.ciphertext };
    let binding = Bound::ENTRY.with(SealPurpose::Entry, &path, SecretVersion(0));
    let opened = state.entry.iter().rev().find_map(|key| vigo_secret::open(key, &binding, &sealed).ok());
    let value = opened.ok_or_else(|| Refused::from(SecretError::Seal).about(&path))?;
    if value.is_empty() {
        return Err(Refused::new(FailureCode::Input, "cannot take an empty value"));
    }
    if value.len() > limits::SECRET_VALUE {
        return Err(too_long());
    }
    let bytes = seal_record(master, &path, SecretVersion(request.version), value.expose())?;
    Ok(wire::Bytes { bytes })
}

/// Opens records and seals their values to a one-time key; each plaintext lives for one turn of the loop.
pub(super) fn reseal(
    state: &mut State,
    request: wire::Reseal,
    _: Vec<OwnedFd>,
) -> Result<wire::SealedItems, Refused> {
    if request.records.len() > limits::SECRET_BATCH {
        return Err(Refused::bug("cannot seal so many values at once"));
    }
    state.make_room(request.records.iter().map(|record| 2 * record.record.len() + 512).sum())?;
    let to = PublicKey::try_from(request.to.as_slice())
        .map_err(|_| Refused::new(FailureCode::Sealed, "cannot seal to a key that has not 32 bytes"))?;
    let master = state.master()?;
    let binding = Bound::parse(&request.binding)?;
    let mut items = Vec::with_capacity(request.records.len());
    for record in request.records {
        let path = parse_path(&record.path)?;
        let version = SecretVersion(record.version);
        let value = vigo_secret::open_record(master, &path, version, &record.record)
            .map_err(|error| Refused::from(error).about(&path))?;
        let sealed =
            vigo_secret::seal(&to, &binding.with(SealPurpose::Delivery, &path, version), value.expose())?;
        items.push(wire::SealedItem {
            path: record.path,
            version: record.version,
            encapsulated: sealed.encapsulated,
            ciphertext: sealed.ciphertext,
        });
    }
    Ok(wire::SealedItems { items })
}

pub(super) fn wrap(
    state: &mut State,
    request: wire::Labelled,
    _: Vec<OwnedFd>,
) -> Result<wire::Bytes, Refused> {
    let bytes = state.master()?.wrap(outer_label(&request.label)?, &request.bytes)?;
    Ok(wire::Bytes { bytes })
}

pub(super) fn unwrap(
    state: &mut State,
    request: wire::Labelled,
    _: Vec<OwnedFd>,
) -> Result<wire::Bytes, Refused> {
    let bytes = state.master()?.unwrap(outer_label(&request.label)?, &request.bytes)?;
    Ok(wire::Bytes { bytes: bytes.expose().to_vec() })
}

/// The labels of what the server itself uses. Those of the hand's own keys are refused: they never leave it.
fn outer_label(name: &str) -> Result<WrapLabel, Refused> {
    match WrapLabel::by_name(name) {
        Some(label @ (WrapLabel::SessionKey | WrapLabel::TlsKey | WrapLabel::TokenKey)) => Ok(label),
        _ => Err(Refused::bug("cannot wrap or unwrap for that purpose")),
    }
}
