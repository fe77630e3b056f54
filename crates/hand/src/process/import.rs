//! Files of other tools, on their way in: the clear text of one stands here from `OpenImport` to the next `ReadImport`, or to the end.

use super::entry;
use super::refused::Refused;
use super::state::State;
use super::values::{Bound, parse_path};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use vigo_base::{Blame, SecretVersion};
use vigo_import::{Content, File, Format, ImportError, Keys, Needs, Opened};
use vigo_secret::{PublicKey, SHORTEST_SCRUBBED, SealPurpose, seal, seal_record};
use vigo_sys::arena;
use vigo_wire::hand::{self as wire, FailureCode};
use zeroize::Zeroizing;

/// The longest file of identities.
const IDENTITIES: usize = 64 << 10;
/// What is left free of the protected memory while scrypt has its table.
const BESIDE_SCRYPT: usize = 1 << 20;
/// The most that scrypt is given.
const SCRYPT: usize = 256 << 20;
/// How often a file stands in memory at once, at most: read, opened, taken apart, and as the parser has it.
const COPIES: usize = 4;

/// A file that was read, and what it holds once it is opened.
pub(crate) struct Import {
    file: File,
    opened: Option<Opened>,
}

pub(super) fn read(
    state: &mut State,
    request: wire::ReadImport,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::ImportKind, Refused> {
    state.import = None;
    state.make_room(2 * vigo_import::FILE)?;
    let format = match request.format.as_str() {
        "" => None,
        name => Some(
            Format::by_name(name).ok_or_else(|| Refused::bug("cannot read a format that there is not"))?,
        ),
    };
    let input = descriptors.first().ok_or_else(|| Refused::bug("cannot read without a descriptor"))?;
    let file = File::read(read_all(input, vigo_import::FILE, "the file")?, format)?;
    let needs = file.needs()?;
    let kind = wire::ImportKind {
        kind: file.kind().name().into(),
        whole: file.kind().is_whole(),
        identity: needs == Needs::Identity,
        passphrase: needs == Needs::Passphrase,
    };
    state.import = Some(Import { file, opened: None });
    Ok(kind)
}

pub(super) fn open(
    state: &mut State,
    request: wire::OpenImport,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::Imported, Refused> {
    let mut import = state.import.take().ok_or_else(|| Refused::bug("cannot open before a file was read"))?;
    state.make_room(COPIES * vigo_import::FILE)?;
    let content = Content::by_name(&request.content);
    let content = content.ok_or_else(|| Refused::bug("cannot open a content that there is not"))?;
    let mut keys = Keys { memory: scrypt_memory(), ..Keys::default() };
    match (import.file.needs()?, descriptors.first()) {
        (Needs::Nothing, _) => {}
        (Needs::Identity, None) => return Err(ImportError::NoIdentity.into()),
        (Needs::Passphrase, None) => return Err(ImportError::NoPassphrase.into()),
        (Needs::Identity, Some(input)) => {
            keys.identities =
                vigo_import::age::identities(&read_all(input, IDENTITIES, "the identity file")?)?;
        }
        (Needs::Passphrase, Some(input)) => {
            let line = super::master::read_line(input)?;
            let line = line.expose().strip_suffix(b"\r").unwrap_or(line.expose());
            keys.passphrase = Some(Zeroizing::new(line.to_vec()));
        }
    }
    let mut opened = import.file.open(&keys, content, &request.only)?;
    drop(keys);
    let mut imported = wire::Imported::default();
    for named in &mut opened.values {
        // A file that is one value is what `set` would have read.
        if named.key.is_empty() && !request.exact {
            let kept = entry::without_newline(&named.value).len();
            imported.dropped_newline = kept < named.value.len();
            named.value.truncate(kept);
        }
        let short = named.value.len() < SHORTEST_SCRUBBED;
        imported.values.push(wire::ImportName { key: named.key.clone(), left_out: String::new(), short });
    }
    if opened.values.iter().any(|named| named.value.is_empty()) {
        return Err(ImportError::NoValues.into());
    }
    for (key, why) in &opened.left_out {
        let left_out = why.reason().to_owned();
        imported.left_out.push(wire::ImportName { key: key.clone(), left_out, short: false });
    }
    import.opened = Some(opened);
    state.import = Some(import);
    Ok(imported)
}

pub(super) fn seal_one(
    state: &mut State,
    request: wire::SealImport,
    _: Vec<OwnedFd>,
) -> Result<wire::Entered, Refused> {
    state.make_room(2 * vigo_base::limits::SECRET_VALUE)?;
    let path = parse_path(&request.path)?;
    let key = PublicKey::try_from(request.key.as_slice())
        .map_err(|_| Refused::new(FailureCode::Sealed, "cannot seal to a key that has not 32 bytes"))?;
    let value = value(state, request.value)?;
    let sealed = seal(&key, &Bound::ENTRY.with(SealPurpose::Entry, &path, SecretVersion(0)), value)?;
    let sealed = wire::SealedItem {
        path: request.path,
        version: 0,
        encapsulated: sealed.encapsulated,
        ciphertext: sealed.ciphertext,
    };
    Ok(wire::Entered { sealed: Some(sealed), ..wire::Entered::default() })
}

pub(super) fn record_one(
    state: &mut State,
    request: wire::RecordImport,
    _: Vec<OwnedFd>,
) -> Result<wire::Bytes, Refused> {
    state.make_room(2 * vigo_base::limits::SECRET_VALUE)?;
    let path = parse_path(&request.path)?;
    let value = value(state, request.value)?;
    let bytes = seal_record(state.master()?, &path, SecretVersion(request.version), value)?;
    Ok(wire::Bytes { bytes })
}

fn value(state: &State, number: u32) -> Result<&[u8], Refused> {
    let opened = state.import.as_ref().and_then(|import| import.opened.as_ref());
    let named = opened.and_then(|opened| opened.values.get(usize::try_from(number).ok()?));
    let named = named.ok_or_else(|| Refused::bug("cannot seal a value that no opened file has"))?;
    Ok(&named.value)
}

/// As much as there is, less what is needed beside it.
fn scrypt_memory() -> usize {
    arena::room().saturating_sub(BESIDE_SCRYPT).min(SCRYPT)
}

/// Reads to the end, straight into protected pages.
fn read_all(input: &impl AsFd, most: usize, what: &'static str) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let mut bytes = Zeroizing::new(vec![0; most + 1]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(input, rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Refused::machine(format!("cannot read {what}"), &errno)),
        }
    }
    if length > most {
        let text = format!("cannot read {what}: it has more than {most} bytes");
        return Err(Refused::new(FailureCode::Input, text));
    }
    bytes.truncate(length);
    Ok(bytes)
}

impl From<ImportError> for Refused {
    fn from(error: ImportError) -> Self {
        let code = match &error {
            ImportError::NoMemory => FailureCode::Room,
            ImportError::NoPassphrase | ImportError::OtherPassphrase(_) => FailureCode::Passphrase,
            ImportError::NoIdentity | ImportError::OtherIdentity(_) | ImportError::Identity { .. } => {
                FailureCode::KeyFile
            }
            error if error.blame() == Blame::Machine => FailureCode::Machine,
            _ => FailureCode::Input,
        };
        Self::new(code, error.to_string())
    }
}
