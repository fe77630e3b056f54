//! What everybody who has a vault does with its master key.

use super::refused::Refused;
use super::state::State;
use super::values::parse_path;
use std::os::fd::OwnedFd;
use vigo_base::SecretVersion;
use vigo_secret::{Alphabet, MacLabel, seal_record};
use vigo_wire::hand as wire;

pub(super) fn generate(
    state: &mut State,
    request: wire::Generate,
    _: Vec<OwnedFd>,
) -> Result<wire::Bytes, Refused> {
    let path = parse_path(&request.path)?;
    let length = usize::try_from(request.length).unwrap_or(usize::MAX);
    let alphabet = Alphabet::new(&request.alphabet)?;
    state.make_room(length.min(vigo_base::limits::SECRET_VALUE) * 4)?;
    let master = state.master()?;
    let value = vigo_secret::generate(length, &alphabet)?;
    let bytes = seal_record(master, &path, SecretVersion(request.version), value.expose())?;
    Ok(wire::Bytes { bytes })
}

pub(super) fn mac(
    state: &mut State,
    request: wire::Labelled,
    _: Vec<OwnedFd>,
) -> Result<wire::Bytes, Refused> {
    let label = MacLabel::by_name(&request.label);
    let label = label.ok_or_else(|| Refused::bug("cannot make a MAC of a kind that there is not"))?;
    Ok(wire::Bytes { bytes: state.master()?.mac(label, &request.bytes).to_vec() })
}
