//! The values of a node: how they come in, what is held, what is scrubbed.

use super::entry::read_value;
use super::refused::Refused;
use super::state::{Held, State};
use std::os::fd::OwnedFd;
use vigo_base::{Sealed, SecretPath, SecretVersion, limits};
use vigo_secret::{KeyPair, Scrubber, SealBinding, SealPurpose, SecretBuf};
use vigo_wire::hand::{self as wire, FailureCode, Nothing};

pub(super) fn hello(state: &mut State, hello: wire::Hello, _: Vec<OwnedFd>) -> Result<wire::Status, Refused> {
    state.greet(hello)
}

pub(super) fn status(state: &mut State, _: Nothing, _: Vec<OwnedFd>) -> Result<wire::Status, Refused> {
    Ok(state.status())
}

pub(super) fn one_time_key(
    state: &mut State,
    _: Nothing,
    _: Vec<OwnedFd>,
) -> Result<wire::PublicKey, Refused> {
    let key = KeyPair::generate()?;
    let public = key.public().to_vec();
    state.one_time = Some(key);
    Ok(wire::PublicKey { key: public })
}

/// All or none: one bad item rejects the batch.
pub(super) fn open(state: &mut State, request: wire::Open, _: Vec<OwnedFd>) -> Result<Nothing, Refused> {
    let opened = open_items(state, request)?;
    for (path, version, value) in opened {
        state.values.insert(path, Held { version, value, used: true, results: Vec::new() });
    }
    Ok(Nothing {})
}

/// Opens items with the one-time key, which is spent by that.
pub(super) fn open_items(
    state: &mut State,
    request: wire::Open,
) -> Result<Vec<(SecretPath, SecretVersion, SecretBuf)>, Refused> {
    let key = state.one_time.take();
    let key = key.ok_or_else(|| Refused::bug("cannot open sealed values without a one-time key"))?;
    if request.items.len() > limits::SECRET_BATCH {
        return Err(Refused::bug("cannot open so many sealed values at once"));
    }
    state.make_room(request.items.iter().map(|item| item.ciphertext.len() + 256).sum())?;
    let binding = Bound::parse(&request.binding)?;
    let mut opened = Vec::with_capacity(request.items.len());
    for item in request.items {
        let path = parse_path(&item.path)?;
        let sealed = Sealed { encapsulated: item.encapsulated, ciphertext: item.ciphertext };
        let version = SecretVersion(item.version);
        let value = vigo_secret::open(&key, &binding.with(SealPurpose::Delivery, &path, version), &sealed)
            .map_err(|error| Refused::from(error).about(&path))?;
        if value.len() > limits::SECRET_VALUE {
            return Err(too_long().about(&path));
        }
        opened.push((path, version, value));
    }
    Ok(opened)
}

pub(super) fn open_record(
    state: &mut State,
    request: wire::Record,
    _: Vec<OwnedFd>,
) -> Result<Nothing, Refused> {
    state.make_room(request.record.len())?;
    let path = parse_path(&request.path)?;
    let version = SecretVersion(request.version);
    let value = vigo_secret::open_record(state.master()?, &path, version, &request.record)
        .map_err(|error| Refused::from(error).about(&path))?;
    state.values.insert(path, Held { version, value, used: true, results: Vec::new() });
    Ok(Nothing {})
}

pub(super) fn take(
    state: &mut State,
    request: wire::Take,
    descriptors: Vec<OwnedFd>,
) -> Result<Nothing, Refused> {
    let path = parse_path(&request.path)?;
    state.make_room(2 * limits::SECRET_VALUE)?;
    let input = match descriptors.into_iter().next() {
        Some(input) => input,
        None => open_file(&request.file)?,
    };
    let (value, _) = read_value(&input, true).map_err(|refused| refused.about(&path))?;
    state.values.insert(path, Held { version: SecretVersion(1), value, used: true, results: Vec::new() });
    Ok(Nothing {})
}

fn open_file(file: &str) -> Result<OwnedFd, Refused> {
    use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
    let what = format!("cannot read `{file}`");
    let failed = |errno: rustix::io::Errno| Refused::machine(&what, &errno);
    // Not blocking, so that a named pipe does not hold us up; of a file it changes nothing.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let input = openat(CWD, file, flags, Mode::empty()).map_err(failed)?;
    let stat = fstat(&input).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode as _) != FileType::RegularFile {
        return Err(Refused::new(FailureCode::Input, format!("{what}: it is not a file")));
    }
    Ok(input)
}

pub(super) fn forget(state: &mut State, request: wire::Paths, _: Vec<OwnedFd>) -> Result<Nothing, Refused> {
    for path in &request.paths {
        state.values.remove(&parse_path(path)?);
    }
    Ok(Nothing {})
}

pub(super) fn held(state: &mut State, _: Nothing, _: Vec<OwnedFd>) -> Result<wire::Versions, Refused> {
    let item = |(path, held): (&SecretPath, &Held)| wire::Version {
        path: path.to_string(),
        version: held.version.0,
    };
    Ok(wire::Versions { items: state.values.iter().map(item).collect() })
}

pub(super) fn new_run(state: &mut State, _: Nothing, _: Vec<OwnedFd>) -> Result<Nothing, Refused> {
    state.values.values_mut().for_each(|held| held.used = false);
    Ok(Nothing {})
}

pub(super) fn uses(state: &mut State, request: wire::Paths, _: Vec<OwnedFd>) -> Result<Nothing, Refused> {
    for path in &request.paths {
        if let Some(held) = state.values.get_mut(&parse_path(path)?) {
            held.used = true;
        }
    }
    Ok(Nothing {})
}

pub(super) fn scrub(
    state: &mut State,
    request: wire::Bytes,
    _: Vec<OwnedFd>,
) -> Result<wire::Bytes, Refused> {
    state.make_room(request.bytes.len() * 4 + scrubber_room(state))?;
    let mut scrubber = scrubber(state)?;
    Ok(wire::Bytes { bytes: scrubber.scrub(&request.bytes) })
}

/// How much room that takes.
pub(super) fn scrubber_room(state: &State) -> usize {
    Scrubber::room(state.values.values().flat_map(Held::texts))
}

/// A scrubber against every value that is held.
pub(super) fn scrubber(state: &State) -> Result<Scrubber<'_>, Refused> {
    Ok(Scrubber::new(state.values.values().flat_map(Held::texts))?)
}

pub(super) fn parse_path(text: &str) -> Result<SecretPath, Refused> {
    text.parse().map_err(|_| Refused::bug("cannot take this as the path of a secret"))
}

pub(super) fn too_long() -> Refused {
    let text = format!("cannot take a value of more than {} bytes", limits::SECRET_VALUE);
    Refused::new(FailureCode::Input, text)
}

/// What a batch is bound to.
pub(super) struct Bound {
    party: [u8; 16],
    request: [u8; 16],
    epoch: u64,
}

impl Bound {
    pub(super) fn parse(binding: &wire::Binding) -> Result<Self, Refused> {
        let bytes = |bytes: &[u8]| {
            <[u8; 16]>::try_from(bytes)
                .map_err(|_| Refused::bug("cannot take a binding whose ids have not 16 bytes"))
        };
        Ok(Self { party: bytes(&binding.party)?, request: bytes(&binding.request)?, epoch: binding.epoch })
    }

    /// What a value is bound to on its way from an operator to the server: the path, and that it is on this way.
    pub(super) const ENTRY: Self = Self { party: [0; 16], request: [0; 16], epoch: 0 };

    pub(super) const fn with<'a>(
        &'a self,
        purpose: SealPurpose,
        path: &'a SecretPath,
        version: SecretVersion,
    ) -> SealBinding<'a> {
        SealBinding { purpose, party: &self.party, path, version, epoch: self.epoch, request: &self.request }
    }
}
