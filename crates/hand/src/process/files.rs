//! Files with secrets in them: compared and written through a window.

use super::diff::{self, Line};
use super::drift;
use super::edited;
use super::filled::{Chunk, Filled, Stream};
use super::refused::Refused;
use super::state::State;
use crate::target::{self, Durability, Intents, Placed, Placement};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use vigo_base::AbsolutePath;
use vigo_secret::SecretBuf;
use vigo_wire::hand::{self as wire, Difference};

/// Files and contents are read in steps of this.
pub(super) const WINDOW: usize = 16 << 10;
/// What a comparison takes beside the filled slots: windows, lines, the diff.
const COMPARE_ROOM: usize = 256 << 10;

pub(super) fn compare(
    state: &mut State,
    request: wire::Compare,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::Compared, Refused> {
    state.uses(&request.content.slots);
    state.make_room(COMPARE_ROOM)?;
    let content = content_of(&descriptors)?;
    let filled = Filled::new(state, &request.content.slots, &request.content.resource)?;
    let stream = || Stream::of(content, &request.content, &filled);
    let target = Target::open(&request.target)?;
    if let Some(edit) = &request.content.edit {
        let edited = edited::of(state, &request.content, edit, content, &filled, target.as_ref());
        let edited = edited.map_err(|error| error.about(&request.target))?;
        let difference = match (&target, &edited.text) {
            (None, _) => Difference::Missing,
            (Some(_), None) => Difference::Same,
            (Some(_), Some(_)) => Difference::Different,
        };
        return Ok(compared(difference, edited.lines, target.as_ref()));
    }
    let (difference, lines) = match &target {
        // A line of a file that is copied may be a secret: none is shown.
        None if request.content.copy => (Difference::Missing, Ok(Vec::new())),
        None => (Difference::Missing, diff::lines(state, None, stream(), content, &filled)),
        Some(target) if target.equals(stream()).map_err(|error| target.unreadable(&error))? => {
            (Difference::Same, Ok(Vec::new()))
        }
        Some(_) if request.content.copy => (Difference::Different, Ok(Vec::new())),
        Some(target) => {
            (Difference::Different, diff::lines(state, Some(&target.file), stream(), content, &filled))
        }
    };
    let lines = lines.map_err(|error| error.about(&request.target))?;
    if difference == Difference::Same {
        drift::remember(state, &request.target, &request.content, content);
    }
    Ok(compared(difference, lines, target.as_ref()))
}

fn compared(difference: Difference, lines: Vec<Line>, target: Option<&Target>) -> wire::Compared {
    wire::Compared {
        difference: difference.into(),
        lines: lines.into_iter().map(Line::into_message).collect(),
        stamp: target.map(|target| stamp(&target.placed)),
    }
}

pub(super) fn write(
    state: &mut State,
    request: wire::Write,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::Stamp, Refused> {
    let placed = with_content(state, &request, &descriptors, |intents, placement, content| {
        target::place(intents, placement, content)
    })?;
    drift::remember(state, &request.target, &request.content, content_of(&descriptors)?);
    Ok(stamp(&placed))
}

pub(super) fn stage(
    state: &mut State,
    request: wire::Write,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::File, Refused> {
    if state.staged.is_some() {
        return Err(Refused::bug("cannot make a second candidate before the first one is dealt with"));
    }
    let staged = with_content(state, &request, &descriptors, |intents, placement, content| {
        target::stage(intents, placement, content)
    })?;
    let path = staged.path().to_string_lossy().into_owned();
    state.staged = Some(staged);
    Ok(wire::File { path })
}

pub(super) fn commit(state: &mut State, _: wire::Nothing, _: Vec<OwnedFd>) -> Result<wire::Stamp, Refused> {
    Ok(stamp(&take_staged(state)?.commit(state.intents()?)?))
}

pub(super) fn discard(
    state: &mut State,
    _: wire::Nothing,
    _: Vec<OwnedFd>,
) -> Result<wire::Nothing, Refused> {
    take_staged(state)?.discard(state.intents()?)?;
    Ok(wire::Nothing {})
}

fn take_staged(state: &mut State) -> Result<target::Staged, Refused> {
    state.staged.take().ok_or_else(|| Refused::bug("cannot deal with a candidate that there is not"))
}

/// Fills the slots of a request and hands its content, piece by piece, to who puts it into a file.
fn with_content<T>(
    state: &mut State,
    request: &wire::Write,
    descriptors: &[OwnedFd],
    put: impl FnOnce(&Intents, &Placement, &mut target::Content<'_>) -> Result<T, target::TargetError>,
) -> Result<T, Refused> {
    state.uses(&request.content.slots);
    state.make_room(4 * WINDOW)?;
    let content = content_of(descriptors)?;
    let filled = Filled::new(state, &request.content.slots, &request.content.resource)?;
    let placement = Placement {
        path: parse_target(&request.target)?,
        mode: vigo_base::Mode::from_bits(request.mode),
        owner: request.owner,
        group: request.group,
        in_place: request.in_place,
        closed: request.content.copy || !request.content.slots.is_empty(),
        durability: if request.later { Durability::Later } else { Durability::Each },
    };
    if let Some(edit) = &request.content.edit {
        let target = Target::open(&request.target)?;
        let edited = edited::of(state, &request.content, edit, content, &filled, target.as_ref());
        let edited = edited.map_err(|error| error.about(&request.target))?.text;
        let text = match (edited, &target) {
            (Some(text), _) => text,
            (None, Some(target)) => target.read().map_err(|error| target.unreadable(&error))?,
            (None, None) => SecretBuf::with_capacity(0),
        };
        return Ok(put(state.intents()?, &placement, &mut |out| out.write_all(text.expose()))?);
    }
    let mut window = SecretBuf::zeroed(WINDOW);
    Ok(put(state.intents()?, &placement, &mut |out| {
        let mut stream = Stream::of(content, &request.content, &filled);
        loop {
            let length = match stream.next(window.expose_mut())? {
                Chunk::Literal { length, .. } | Chunk::Secret { length, .. } => length,
                Chunk::End => return Ok(()),
            };
            out.write_all(window.expose().get(..length).unwrap_or_default())?;
        }
    })?)
}

const fn stamp(placed: &Placed) -> wire::Stamp {
    let Placed { device, inode, size, changed: (changed_s, changed_ns) } = *placed;
    wire::Stamp { device, inode, size, changed_s, changed_ns }
}

pub(super) fn content_of(descriptors: &[OwnedFd]) -> Result<&OwnedFd, Refused> {
    descriptors.first().ok_or_else(|| Refused::bug("cannot read a content without a descriptor"))
}

fn parse_target(text: &str) -> Result<AbsolutePath, Refused> {
    text.parse().map_err(|error| Refused::machine("cannot take this path", &error))
}

/// A target that is there, open for reading.
pub(super) struct Target {
    path: String,
    pub(super) file: OwnedFd,
    placed: Placed,
}

impl Target {
    /// `None` if there is none.
    pub(super) fn open(path: &str) -> Result<Option<Self>, Refused> {
        let parsed = parse_target(path)?;
        let failed = |errno: Errno| Refused::machine(format!("cannot read `{path}`"), &errno);
        let Some(parent) = parsed.parent() else {
            return Err(target::TargetError::NotAFile(path.into()).into());
        };
        let folder = match vigo_sys::walk::open_folder(parent.as_path()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat(&folder, parsed.file_name(), flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::MLINK) => return Err(target::TargetError::Link(path.into()).into()),
            Err(errno) => return Err(failed(errno)),
        };
        let stat = fstat(&file).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode as _) != FileType::RegularFile {
            return Err(target::TargetError::NotAFile(path.into()).into());
        }
        // Taken before the content is read: a change meanwhile shows as another stamp later.
        Ok(Some(Self { path: path.into(), file, placed: target::stamp_of(&stat) }))
    }

    pub(super) fn unreadable(&self, error: &std::io::Error) -> Refused {
        Refused::machine(format!("cannot read `{}`", self.path), error)
    }

    /// Bytes in it when it was opened.
    pub(super) const fn size(&self) -> u64 {
        self.placed.size
    }

    /// All of it, as long as it was when it was opened.
    pub(super) fn read(&self) -> std::io::Result<SecretBuf> {
        let mut bytes = SecretBuf::zeroed(usize::try_from(self.placed.size).unwrap_or(usize::MAX));
        crate::content::read_exact_at(&self.file, bytes.expose_mut(), 0)?;
        Ok(bytes)
    }

    /// True if it holds these bytes and no others.
    fn equals(&self, mut stream: Stream<'_>) -> std::io::Result<bool> {
        let (mut wanted, mut found) = (SecretBuf::zeroed(WINDOW), SecretBuf::zeroed(WINDOW));
        let mut offset = 0;
        loop {
            let length = match stream.next(wanted.expose_mut())? {
                Chunk::Literal { length, .. } | Chunk::Secret { length, .. } => length,
                Chunk::End => return Ok(self.placed.size == offset),
            };
            offset += length as u64;
            if offset > self.placed.size {
                return Ok(false);
            }
            let found = found.expose_mut().get_mut(..length).unwrap_or_default();
            match crate::content::read_exact_at(&self.file, found, offset - length as u64) {
                Ok(()) if Some(&*found) == wanted.expose().get(..length) => {}
                Ok(()) => return Ok(false),
                // It got shorter while it was read.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}
