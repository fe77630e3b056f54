//! Who listens to a command: nobody, this process, or the hand. Starting it and waiting for its end is `commands`'.

use crate::map;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use vigo_base::{SecretPath, SecretVersion, limits};
use vigo_hand::Hand;
use vigo_resource::Output;

/// Read at a time.
const WINDOW: usize = 16 << 10;

/// Who is to listen to a command.
pub enum Ear<'a> {
    /// Nobody: what it says is counted and thrown away. Why, if somebody would have liked to know.
    Nobody(String),
    /// This process: only where no value is, and none was ever put on this machine.
    Own,
    /// The hand, which gives it scrubbed, if it holds these values.
    Hand(&'a mut Hand, &'a [(SecretPath, SecretVersion)]),
}

/// Listens to one command.
pub enum Listener<'a> {
    /// Moves what is said to a place where it is gone.
    Nobody {
        /// What was to listen and cannot.
        is_hand_lost: bool,
        /// Bytes of both streams.
        counts: [u64; 2],
        /// Why, if somebody would have liked to know.
        why: String,
        /// /dev/null.
        null: OwnedFd,
    },
    /// Reads it.
    Own([Tail; 2]),
    /// The hand reads it until nobody has the other end of that pipe any more.
    Hand(&'a mut Hand, OwnedFd),
}

impl<'a> Listener<'a> {
    /// Begins to listen to standard output and standard error, neither of which blocks.
    pub fn new(ear: Ear<'a>, [stdout, stderr]: [&OwnedFd; 2]) -> Result<Self, Errno> {
        Ok(match ear {
            Ear::Nobody(why) => Self::nobody(why, false)?,
            Ear::Own => Self::Own([Tail::default(), Tail::default()]),
            Ear::Hand(hand, required) => {
                let (ended, ours) = pipe_with(PipeFlags::CLOEXEC)?;
                let streams = [stdout.as_fd(), stderr.as_fd(), ended.as_fd()];
                match hand.listen(required, streams) {
                    Ok(()) => Self::Hand(hand, ours),
                    Err(error) => Self::nobody(lost(&error), true)?,
                }
            }
        })
    }

    fn nobody(why: String, is_hand_lost: bool) -> Result<Self, Errno> {
        use rustix::fs::{Mode, OFlags, open};
        let null = open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self::Nobody { is_hand_lost, counts: [0; 2], why, null })
    }

    /// What becomes readable when the hand ends before the command; `None` where this process attends to the streams.
    pub fn hand_pipe(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Hand(hand, _) => hand.pipe(),
            Self::Nobody { .. } | Self::Own(_) => None,
        }
    }

    /// Takes what was said so far, as far as that is for this process. Notes which streams have ended.
    pub fn take(&mut self, streams: [&OwnedFd; 2], open: &mut [bool; 2]) -> Result<(), Errno> {
        if let Self::Hand(hand, _) = self {
            if !has_spoken(hand) {
                return Ok(());
            }
            // Before it was told that the command has ended: the process is gone, and nobody would read what the command says.
            let why = hand.heard().err().map_or_else(String::new, |error| lost(&error));
            *self = Self::nobody(why, true)?;
        }
        match self {
            Self::Nobody { counts, null, .. } => {
                for ((stream, count), open) in streams.into_iter().zip(counts).zip(open) {
                    *open = *open && discard(stream, null, count)?;
                }
            }
            Self::Own(tails) => {
                for ((stream, tail), open) in streams.into_iter().zip(tails).zip(open) {
                    *open = *open && drain(stream, tail)?;
                }
            }
            Self::Hand(..) => {}
        }
        Ok(())
    }

    /// The command has ended: what it said, and whether the hand that was to listen has ended, too.
    pub fn end(self) -> (Output, bool) {
        match self {
            Self::Nobody { counts: [stdout_bytes, stderr_bytes], why, is_hand_lost, .. } => {
                (Output::Dropped { stdout_bytes, stderr_bytes, why }, is_hand_lost)
            }
            Self::Own([stdout, stderr]) => {
                (Output::Kept { stdout: stdout.text(), stderr: stderr.text() }, false)
            }
            Self::Hand(hand, ended) => {
                drop(ended);
                match hand.heard() {
                    Ok(heard) => (map::heard(heard), false),
                    Err(error) => {
                        let why = lost(&error);
                        (Output::Dropped { stdout_bytes: 0, stderr_bytes: 0, why }, error.is_gone())
                    }
                }
            }
        }
    }
}

fn lost(error: &vigo_hand::HandError) -> String {
    format!("nobody could scrub it: {}", vigo_base::chain(error))
}

/// True if the hand answered, or ended.
fn has_spoken(hand: &Hand) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let Some(pipe) = hand.pipe() else { return true };
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::from_borrowed_fd(pipe, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
}

/// The last bytes of a stream, at most twice [`limits::COMMAND_OUTPUT`].
#[derive(Default)]
pub struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 2 * limits::COMMAND_OUTPUT {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let more = self.0.len().saturating_sub(limits::COMMAND_OUTPUT);
        self.0.drain(..more);
    }

    fn text(mut self) -> String {
        self.cut();
        map::text(&self.0)
    }
}

/// Reads what is there; false when the stream has ended.
fn drain(stream: &OwnedFd, tail: &mut Tail) -> Result<bool, Errno> {
    let mut window = [0; WINDOW];
    loop {
        match rustix::io::read(stream, &mut window) {
            Ok(0) => return Ok(false),
            Ok(read) => tail.push(window.get(..read).unwrap_or_default()),
            Err(Errno::AGAIN) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Throws away what is there and counts it; false when the stream has ended. No byte of it comes into this process: splice(2) hands the
/// pages of the pipe over.
#[cfg(target_os = "linux")]
fn discard(stream: &OwnedFd, null: &OwnedFd, count: &mut u64) -> Result<bool, Errno> {
    use rustix::pipe::{SpliceFlags, splice};
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    loop {
        match splice(stream, None, null, None, limits::COMMAND_OUTPUT, flags) {
            Ok(0) => return Ok(false),
            Ok(moved) => *count = count.saturating_add(u64::try_from(moved).unwrap_or(u64::MAX)),
            Err(Errno::AGAIN) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The same where there is no splice(2): into memory that is written over at once.
#[cfg(not(target_os = "linux"))]
fn discard(stream: &OwnedFd, _null: &OwnedFd, count: &mut u64) -> Result<bool, Errno> {
    let mut window = [0; WINDOW];
    loop {
        let read = rustix::io::read(stream, &mut window);
        std::hint::black_box(&mut window).fill(0);
        match read {
            Ok(0) => return Ok(false),
            Ok(read) => *count = count.saturating_add(u64::try_from(read).unwrap_or(u64::MAX)),
            Err(Errno::AGAIN) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
