//! What a command says, read in protected pages: counted, and given to nobody but scrubbed.
//!
//! It is kept only if every value that may stand in it is held, each in the version that was put on this machine: what is not here cannot be
//! found in text. What one of those requests cannot keep is read all the same, so that the command goes on.

use super::files::WINDOW;
use super::refused::Refused;
use super::state::State;
use super::values::{parse_path, scrubber, scrubber_room};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use vigo_base::limits::COMMAND_OUTPUT;
use vigo_base::{SecretPath, SecretVersion};
use vigo_secret::{Scrubber, SecretBuf};
use vigo_sys::arena;
use vigo_wire::hand as wire;

/// How long what a command left in its pipes is waited for after its end.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(200);
/// Beside the scrubbers: windows, and the ends of both streams at their shortest.
const ROOM: usize = 128 << 10;
/// Parts of the free memory of which the end of one stream takes one: each grows by being copied, and the scrubbers hold something back.
const PARTS: usize = 8;

/// Two scrubbers, one for each stream, and how much of its end is kept.
pub(super) struct Keep<'a> {
    stdout: Scrubber<'a>,
    stderr: Scrubber<'a>,
    most: usize,
}

/// What keeps the output of a command in which these values may stand, or why it is dropped. The state comes back for looking only.
///
/// # Errors
/// When there is no room for it.
pub(super) fn keep<'a>(
    state: &'a mut State,
    required: &[wire::Version],
) -> Result<(&'a State, Result<Keep<'a>, String>), Refused> {
    if let Some(first) = missing_of(state, required)?.first() {
        let version = SecretVersion(first.version);
        let why = format!("the value of `{}` {version} is not here, so it cannot be scrubbed", first.path);
        return Ok((state, Err(why)));
    }
    let state = &*state;
    let free = arena::room().saturating_sub(2 * scrubber_room(state));
    let most = (free / PARTS).min(COMMAND_OUTPUT);
    Ok((state, Ok(Keep { stdout: scrubber(state)?, stderr: scrubber(state)?, most })))
}

/// Which of these values are not held in that version, with room made for scrubbing against all of them. None of them is dropped for it.
fn missing_of(state: &mut State, required: &[wire::Version]) -> Result<Vec<wire::Version>, Refused> {
    let paths: BTreeSet<SecretPath> =
        required.iter().map(|one| parse_path(&one.path)).collect::<Result<_, _>>()?;
    state.make_room_beside(ROOM + 2 * scrubber_room(state), &paths)?;
    let is_held = |one: &&wire::Version| {
        let path = one.path.parse::<SecretPath>().ok();
        path.and_then(|path| state.values.get(&path)).is_some_and(|held| held.version.0 == one.version)
    };
    Ok(required.iter().filter(|one| !is_held(one)).cloned().collect())
}

/// Which of some values are not held.
pub(super) fn missing(
    state: &mut State,
    request: wire::Versions,
    _: Vec<OwnedFd>,
) -> Result<wire::Versions, Refused> {
    Ok(wire::Versions { items: missing_of(state, &request.items)? })
}

/// Reads both streams of a command until its end, which is when nobody has the other end of the third descriptor any more.
pub(super) fn listen(
    state: &mut State,
    request: wire::Listen,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::Heard, Refused> {
    let Ok([stdout, stderr, ended]) = <[OwnedFd; 3]>::try_from(descriptors) else {
        return Err(Refused::bug("cannot listen to a command without its streams"));
    };
    let mut outputs = [Output::new(stdout), Output::new(stderr)];
    let kept = keep(state, &request.required).map(|(_, kept)| kept);
    let kept = kept.unwrap_or_else(|refused| Err(refused.text().to_owned()));
    let dropped = Output::keep_both(&mut outputs, kept);
    let mut window = SecretBuf::zeroed(WINDOW);
    let failed = |error: std::io::Error| Refused::machine("cannot listen to the command", &error);
    let mut last = None;
    loop {
        let has_ended = wait(&outputs, &ended, last).map_err(|errno| failed(errno.into()))?;
        let mut moved = false;
        for output in &mut outputs {
            moved |= output.read(&mut window).map_err(failed)?;
        }
        if has_ended {
            // A service that it left running may hold the pipes open for ever: what is in them now is taken, and no more.
            let last = *last.get_or_insert_with(|| Instant::now() + LAST_WORDS);
            if !moved || Instant::now() >= last {
                break;
            }
        }
    }
    let [(stdout_bytes, stdout), (stderr_bytes, stderr)] = outputs.map(Output::end);
    Ok(wire::Heard { stdout_bytes, stderr_bytes, stdout, stderr, dropped })
}

/// Waits until there is something to read or the command has ended; true if it has.
fn wait(outputs: &[Output<'_>; 2], ended: &OwnedFd, last: Option<Instant>) -> Result<bool, Errno> {
    if last.is_some() {
        return Ok(true);
    }
    let mut watched = Vec::with_capacity(3);
    watched.push(PollFd::new(ended, PollFlags::IN));
    watched.extend(outputs.iter().filter_map(Output::pipe).map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    match poll(&mut watched, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(errno),
    }
    Ok(watched.first().is_some_and(|ended| !ended.revents().is_empty()))
}

/// One of standard output and standard error.
pub(super) struct Output<'a> {
    pipe: Option<OwnedFd>,
    bytes: u64,
    keep: Option<Kept<'a>>,
}

struct Kept<'a> {
    scrubber: Scrubber<'a>,
    /// The end of what was said, scrubbed.
    end: Vec<u8>,
    most: usize,
}

impl<'a> Output<'a> {
    /// What is said into that pipe, which does not block.
    pub(super) const fn new(pipe: OwnedFd) -> Self {
        Self { pipe: Some(pipe), bytes: 0, keep: None }
    }

    /// Keeps the ends of both streams, if that may be; gives why not.
    pub(super) fn keep_both(outputs: &mut [Self; 2], keep: Result<Keep<'a>, String>) -> String {
        match keep {
            Ok(Keep { stdout, stderr, most }) => {
                for (output, scrubber) in outputs.iter_mut().zip([stdout, stderr]) {
                    output.keep = Some(Kept { scrubber, end: Vec::new(), most });
                }
                String::new()
            }
            Err(why) => why,
        }
    }

    /// The pipe, until the other end is closed.
    pub(super) const fn pipe(&self) -> Option<&OwnedFd> {
        self.pipe.as_ref()
    }

    /// Reads what is there, once; true if something was.
    pub(super) fn read(&mut self, window: &mut SecretBuf) -> std::io::Result<bool> {
        let Some(pipe) = &self.pipe else { return Ok(false) };
        match rustix::io::read(pipe, window.expose_mut()) {
            Ok(0) => {
                self.pipe = None;
                Ok(false)
            }
            Ok(read) => {
                self.bytes += read as u64;
                if let Some(kept) = &mut self.keep {
                    kept.scrubber.feed(window.expose().get(..read).unwrap_or_default(), &mut kept.end);
                    if kept.end.len() > kept.most.saturating_mul(2) {
                        kept.cut();
                    }
                }
                Ok(true)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// How much it was, and what is kept of it.
    pub(super) fn end(self) -> (u64, Vec<u8>) {
        let Some(mut kept) = self.keep else { return (self.bytes, Vec::new()) };
        kept.scrubber.finish(&mut kept.end);
        kept.cut();
        (self.bytes, kept.end)
    }
}

impl Kept<'_> {
    /// Leaves the end, which is scrubbed already: no value can be cut in two by that.
    fn cut(&mut self) {
        let more = self.end.len().saturating_sub(self.most);
        self.end.drain(..more);
    }
}
