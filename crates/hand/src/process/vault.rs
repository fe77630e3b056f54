//! The master key, and what everybody who has a vault does with it.

use super::refused::Refused;
use super::state::State;
use super::values::parse_path;
use crate::target::{self, Durability, Placement, TargetError};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use std::os::fd::OwnedFd;
use vigo_base::{AbsolutePath, SecretVersion};
use vigo_secret::{Alphabet, MacLabel, MasterKey, SecretBuf, seal_record};
use vigo_wire::hand::{self as wire, FailureCode};

pub(super) fn create_master_key(
    state: &mut State,
    request: wire::File,
    _: Vec<OwnedFd>,
) -> Result<wire::VaultId, Refused> {
    let path: AbsolutePath =
        request.path.parse().map_err(|error| Refused::machine("cannot create a key file", &error))?;
    let key = MasterKey::generate()?;
    let placement = Placement {
        path,
        mode: vigo_base::Mode::SECRET,
        owner: None,
        group: None,
        in_place: false,
        durability: Durability::Each,
    };
    let text = key.write();
    target::create(&placement, &mut |out| out.write_all(text.expose())).map_err(|error| {
        let text = match error {
            TargetError::Appeared(_) => {
                format!(
                    "cannot make a master key: `{}` is there already, and no key is ever written over",
                    request.path
                )
            }
            error => error.full_text(),
        };
        Refused::new(FailureCode::KeyFile, text)
    })?;
    let id = key.id().to_vec();
    state.master = Some(key);
    Ok(wire::VaultId { id })
}

pub(super) fn unlock(
    state: &mut State,
    request: wire::File,
    _: Vec<OwnedFd>,
) -> Result<wire::VaultId, Refused> {
    let wrong = |why: String| {
        let text = format!("cannot take the master key from `{}`: {why}", request.path);
        Refused::new(FailureCode::KeyFile, text)
    };
    let failed = |errno: rustix::io::Errno| wrong(errno.to_string());
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(CWD, &request.path, flags, Mode::empty()).map_err(failed)?;
    let stat = fstat(&file).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode as _) != FileType::RegularFile {
        return Err(wrong("it is not a file".into()));
    }
    let mode = vigo_base::Mode::from_bits(stat.st_mode as _);
    if mode.bits() & 0o077 != 0 {
        return Err(wrong(format!("others may read it (mode {mode}): `chmod 600` it")));
    }
    let mut text = SecretBuf::zeroed(MasterKey::TEXT);
    let mut length = 0;
    while let Some(rest) = text.expose_mut().get_mut(length..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(&file, rest).map_err(failed)? {
            0 => break,
            read => length += read,
        }
    }
    text.truncate(length);
    let key = MasterKey::parse(text.expose()).map_err(|error| wrong(error.to_string()))?;
    let id = key.id().to_vec();
    state.master = Some(key);
    Ok(wire::VaultId { id })
}

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
