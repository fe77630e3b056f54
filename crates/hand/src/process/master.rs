//! The master key: where it comes from, where it is kept, and how another takes its place.

use super::refused::Refused;
use super::state::State;
use super::values::parse_path;
use crate::target::{self, Durability, Placement, TargetError};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use subtle::ConstantTimeEq as _;
use vigo_base::{AbsolutePath, SecretVersion};
use vigo_secret::{
    Cost, LockedKey, MacLabel, MasterKey, PASSPHRASE, SecretBuf, SecretError, WrapLabel, WrappedKey,
    open_record, seal_record,
};
use vigo_wire::hand::{self as wire, FailureCode, Nothing, Role};

/// A text of a master key, however it is kept.
const TEXT: usize = WrappedKey::TEXT;

pub(super) fn create(
    state: &mut State,
    request: wire::File,
    _: Vec<OwnedFd>,
) -> Result<wire::VaultId, Refused> {
    let key = MasterKey::generate()?;
    write(&request.path, &key.write())?;
    let id = key.id().to_vec();
    state.master = Some(key);
    leave_terminal(state);
    Ok(wire::VaultId { id })
}

pub(super) fn unlock(
    state: &mut State,
    request: wire::File,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::VaultId, Refused> {
    let key = read(state, &request.path, descriptors.first())?;
    let id = key.id().to_vec();
    state.master = Some(key);
    leave_terminal(state);
    Ok(wire::VaultId { id })
}

/// What a key file says openly: nothing is unlocked by this.
pub(super) fn look(_: &mut State, request: wire::File, _: Vec<OwnedFd>) -> Result<wire::KeyInfo, Refused> {
    let wrong = |error: SecretError| refused(&request.path, error.to_string());
    Ok(match read_text(&request.path)? {
        Text::Plain(text) => {
            let key = MasterKey::parse(text.expose()).map_err(wrong)?;
            wire::KeyInfo { id: key.id().to_vec(), form: "plain".into() }
        }
        Text::Locked(key) => wire::KeyInfo { id: key.id().to_vec(), form: "passphrase".into() },
        Text::Wrapped(key) => wire::KeyInfo { id: key.id.to_vec(), form: "transit".into() },
    })
}

/// Makes the key that waits to be adopted, or reads it from where somebody else put it.
pub(super) fn prepare(
    state: &mut State,
    request: wire::PrepareMasterKey,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::VaultId, Refused> {
    let key = if request.file.is_empty() {
        MasterKey::generate()?
    } else {
        read(state, &request.file, descriptors.first())?
    };
    let id = key.id().to_vec();
    if state.master.as_ref().is_some_and(|master| master.id() == key.id()) {
        return Err(Refused::new(
            FailureCode::KeyFile,
            "cannot take the key that is in use already as the next one",
        ));
    }
    state.next_master = Some(key);
    Ok(wire::VaultId { id })
}

/// Writes a key into a new file, plain or under a passphrase.
pub(super) fn store(
    state: &mut State,
    request: wire::StoreMasterKey,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::VaultId, Refused> {
    let passphrase = match descriptors.first() {
        Some(input) if request.passphrase => Some(new_passphrase(input, request.twice)?),
        None if !request.passphrase => None,
        _ => return Err(Refused::bug("cannot store a key with half of a passphrase")),
    };
    let key = if request.next { state.next_master()? } else { state.master()? };
    let id = key.id().to_vec();
    let text = match &passphrase {
        Some(passphrase) => lock(key, passphrase)?,
        None => key.write(),
    };
    write(&request.path, &text)?;
    Ok(wire::VaultId { id })
}

/// Puts what is under the key in use under the one that waits. Nothing is kept, and nothing is taken that does not verify.
pub(super) fn rekey(
    state: &mut State,
    request: wire::Rekey,
    _: Vec<OwnedFd>,
) -> Result<wire::Rekeyed, Refused> {
    let need = request.records.iter().map(|record| 2 * record.record.len() + 512).sum();
    state.make_room(need)?;
    let (old, new) = (state.master()?, state.next_master()?);
    let mut rekeyed = wire::Rekeyed::default();
    for record in &request.records {
        let path = parse_path(&record.path)?;
        let version = SecretVersion(record.version);
        let value = open_record(old, &path, version, &record.record)
            .map_err(|error| Refused::from(error).about(&path))?;
        rekeyed.records.push(seal_record(new, &path, version, value.expose())?);
    }
    for wrapped in &request.wraps {
        let label = WrapLabel::by_name(&wrapped.label);
        let label = label.ok_or_else(|| Refused::bug("cannot wrap for a purpose that there is not"))?;
        let key =
            old.unwrap(label, &wrapped.bytes).map_err(|error| Refused::from(error).about(&wrapped.label))?;
        rekeyed.wraps.push(new.wrap(label, key.expose())?);
    }
    for row in &request.macs {
        let label = MacLabel::by_name(&row.label);
        let label = label.ok_or_else(|| Refused::bug("cannot make a MAC of a kind that there is not"))?;
        // A new manifest of a vault has no MAC yet; what grants something always has one, and a forged one is not made good.
        let is_new = label == MacLabel::VaultManifest && row.mac.is_empty();
        if !is_new && !bool::from(old.mac(label, &row.bytes).as_slice().ct_eq(&row.mac)) {
            let text = "cannot take over a MAC that is wrong: somebody wrote past Vigo";
            return Err(Refused::new(FailureCode::Machine, text).about(&row.label));
        }
        rekeyed.macs.push(new.mac(label, &row.bytes).to_vec());
    }
    Ok(rekeyed)
}

/// The key that waits is the one in use from here on; the other is wiped.
pub(super) fn adopt(state: &mut State, _: Nothing, _: Vec<OwnedFd>) -> Result<wire::VaultId, Refused> {
    let id = state.next_master()?.id().to_vec();
    state.master = state.next_master.take();
    leave_terminal(state);
    Ok(wire::VaultId { id })
}

/// A server's hand may have been in the session of a terminal to read a passphrase there. Now that it has its key, a break or a hang-up there is
/// the server's business alone: who is no leader of a group already gets a session without a terminal (setsid(2)).
pub(super) fn leave_terminal(state: &State) {
    if state.role == Some(Role::Server) {
        let _it_leads_one_already = rustix::process::setsid();
    }
}

/// A key that nothing is under yet, for who keeps keys elsewhere.
pub(super) fn show_new(_: &mut State, _: Nothing, descriptors: Vec<OwnedFd>) -> Result<Nothing, Refused> {
    super::entry::write_to(&descriptors, &MasterKey::generate()?.write())?;
    Ok(Nothing {})
}

pub(super) enum Text {
    Plain(SecretBuf),
    Locked(LockedKey),
    Wrapped(WrappedKey),
}

pub(super) fn refused(path: &str, why: impl std::fmt::Display) -> Refused {
    Refused::new(FailureCode::KeyFile, format!("cannot take the master key from `{path}`: {why}"))
}

/// Reads a key, with the passphrase where it is under one.
fn read(state: &mut State, path: &str, passphrase: Option<&OwnedFd>) -> Result<MasterKey, Refused> {
    let wrong = |error: SecretError| refused(path, error.to_string());
    match (read_text(path)?, passphrase) {
        (Text::Plain(text), _) => MasterKey::parse(text.expose()).map_err(wrong),
        (Text::Wrapped(_), _) => {
            Err(refused(path, "it is under a key of OpenBao or Vault, which only `vigosrv` asks for it"))
        }
        (Text::Locked(_), None) => Err(Refused::new(
            FailureCode::Passphrase,
            format!("cannot take the master key from `{path}`: it is under a passphrase, and none was given"),
        )),
        (Text::Locked(key), Some(input)) => {
            state.make_room(key.cost().bytes())?;
            let passphrase = read_line(input)?;
            key.open(passphrase.expose()).map_err(wrong)
        }
    }
}

pub(super) fn read_text(path: &str) -> Result<Text, Refused> {
    let wrong = |why: &dyn std::fmt::Display| refused(path, why);
    let text = read_private(path, TEXT, &wrong)?;
    if LockedKey::is_one(text.expose()) {
        return LockedKey::parse(text.expose()).map(Text::Locked).map_err(|error| wrong(&error));
    }
    if WrappedKey::is_one(text.expose()) {
        return WrappedKey::parse(text.expose()).map(Text::Wrapped).map_err(|error| wrong(&error));
    }
    Ok(Text::Plain(text))
}

/// What stands in a file that nobody else may read, `most` bytes at the most.
pub(super) fn read_private(
    path: &str,
    most: usize,
    wrong: &dyn Fn(&dyn std::fmt::Display) -> Refused,
) -> Result<SecretBuf, Refused> {
    let failed = |errno: Errno| wrong(&errno);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty()).map_err(failed)?;
    let stat = fstat(&file).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode as _) != FileType::RegularFile {
        return Err(wrong(&"it is not a file"));
    }
    let mode = vigo_base::Mode::from_bits(stat.st_mode as _);
    // systemd gives a service's user its credential by an ACL, whose mask shows as the group's right to read (systemd.exec(5), acl(5)).
    let is_credential = stat.st_uid == 0 && mode.bits() & 0o7777 == 0o440 && is_in_credentials(path);
    if mode.bits() & 0o077 != 0 && !is_credential {
        return Err(wrong(&format!("others may read it (mode {mode}): `chmod 600` it")));
    }
    let mut text = SecretBuf::zeroed(most);
    let mut length = 0;
    while let Some(rest) = text.expose_mut().get_mut(length..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(&file, rest).map_err(failed)? {
            0 => break,
            read => length += read,
        }
    }
    text.truncate(length);
    Ok(text)
}

fn is_in_credentials(path: &str) -> bool {
    std::env::var_os("CREDENTIALS_DIRECTORY")
        .is_some_and(|folder| std::path::Path::new(path).starts_with(folder))
}

/// Under the hardest of the costs for which there is protected memory.
fn lock(key: &MasterKey, passphrase: &SecretBuf) -> Result<SecretBuf, Refused> {
    let mut last = Refused::bug("cannot lock a key at no cost");
    for cost in Cost::CHOICES {
        match key.lock(passphrase.expose(), cost) {
            Ok(text) => return Ok(SecretBuf::from_vec(text)),
            Err(error @ SecretError::NoMemory(_)) => last = error.into(),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last)
}

fn new_passphrase(input: &impl AsFd, twice: bool) -> Result<SecretBuf, Refused> {
    let passphrase = read_line(input)?;
    if twice && !read_line(input)?.equals(&passphrase) {
        return Err(Refused::new(FailureCode::Input, "cannot take the passphrase: the two are not the same"));
    }
    Ok(passphrase)
}

/// A line, without its end. Byte by byte: what comes behind it is somebody else's.
pub(super) fn read_line(input: &impl AsFd) -> Result<SecretBuf, Refused> {
    let mut line = SecretBuf::zeroed(PASSPHRASE + 1);
    let mut length = 0;
    while let Some(byte) = line.expose_mut().get_mut(length..=length) {
        match rustix::io::read(input, byte) {
            Ok(0) => break,
            Ok(_) if line.expose().get(length) == Some(&b'\n') => break,
            Ok(_) => length += 1,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Refused::machine("cannot read the passphrase", &errno)),
        }
    }
    if length > PASSPHRASE {
        return Err(Refused::new(FailureCode::Input, "cannot take a passphrase of more than 1024 bytes"));
    }
    line.truncate(length);
    if line.is_empty() {
        return Err(Refused::new(FailureCode::Passphrase, "cannot take an empty passphrase"));
    }
    Ok(line)
}

/// Puts the text of a key into a new file, never over one.
pub(super) fn write(path: &str, text: &SecretBuf) -> Result<(), Refused> {
    let target: AbsolutePath =
        path.parse().map_err(|error| Refused::machine("cannot create a key file", &error))?;
    let placement = Placement {
        path: target,
        mode: vigo_base::Mode::SECRET,
        owner: None,
        group: None,
        in_place: false,
        closed: true,
        durability: Durability::Each,
    };
    target::create(&placement, &mut |out| out.write_all(text.expose())).map_err(|error| {
        let text = match error {
            TargetError::Appeared(_) => {
                format!(
                    "cannot make a master key: `{path}` is there already, and no key is ever written over"
                )
            }
            error => error.full_text(),
        };
        Refused::new(FailureCode::KeyFile, text)
    })?;
    Ok(())
}
