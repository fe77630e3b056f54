//! The process itself: how it starts, and the loop that answers.
//!
//! What it answers stands in [`table`]; the handlers are one file per concern.

mod credentials;
mod diff;
mod drift;
mod edited;
mod entry;
mod files;
mod filled;
mod import;
mod master;
mod output;
mod refused;
mod run;
mod server;
pub(crate) mod service;
mod state;
pub(crate) mod table;
mod transit;
mod values;
mod vault;

use refused::Refused;
use rustix::net::{RecvFlags, recv};
use service::KeyService;
pub(crate) use state::State;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
pub(crate) use table::Violation;
use vigo_sys::spawn::Spawner;
use vigo_sys::{arena, harden, sandbox, thread};
use vigo_wire::frame;
use vigo_wire::hand::FailureCode;

use crate::client::LARGEST_FRAME;

/// The parent closed the pipe.
const EXIT_PARENT_GONE: u8 = 0;
/// It could not be set up, or its pipe failed.
const EXIT_SETUP: u8 = 70;
/// It was asked what the table does not have, or got a frame that is none.
const EXIT_VIOLATION: u8 = 76;
/// Three requests in a row ended in a panic.
const EXIT_PANICS: u8 = 77;
/// So many panics in a row are one too many.
const PANICS: u32 = 3;
/// The first size of the arena and the step by which it grows.
const ARENA_STEP: usize = 2 << 20;
/// Stack of the thread that works; less where the arena is small.
const STACK: usize = 512 << 10;
const HALF_STACK: usize = 256 << 10;
const SMALLEST_STACK: usize = 128 << 10;

/// Runs the hand and gives its exit code, if this process was started as one. The first line of every `main`.
#[must_use]
pub fn enter() -> Option<ExitCode> {
    become_hand(None)
}

/// The same, of a program that can have master keys wrapped by a service.
#[must_use]
pub fn enter_with(service: &'static dyn KeyService) -> Option<ExitCode> {
    become_hand(Some(service))
}

fn become_hand(service: Option<&'static dyn KeyService>) -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    if arguments.next()? != "vigo-hand" {
        return None;
    }
    Some(match start(arguments.collect(), service) {
        Ok(never) => match never {},
        Err(text) => {
            complain(&format!(
                "vigo-hand: cannot start: {text}; it is started by vigo, vigosrv and vigocli only"
            ));
            ExitCode::from(EXIT_SETUP)
        }
    })
}

/// What an exit code of the hand means.
pub(crate) fn explain_exit(code: i32) -> String {
    match u8::try_from(code) {
        Ok(EXIT_SETUP) => "it could not be set up".into(),
        Ok(EXIT_VIOLATION) => "it was asked what it does not answer".into(),
        Ok(EXIT_PANICS) => "after three panics in a row".into(),
        _ => format!("with exit code {code}"),
    }
}

/// The order is that of the design: harden, arena, spawner, sandbox, check, and only then the first frame.
fn start(
    arguments: Vec<OsString>,
    service: Option<&'static dyn KeyService>,
) -> Result<std::convert::Infallible, String> {
    harden::name_process(c"vigo-hand");
    let hardened = harden::harden_process_memory(harden::Hold::Hand);
    std::panic::set_hook(Box::new(|panic| {
        // The place only: a payload could hold a piece of a value.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        complain(&format!("vigo-hand: panic at {place}"));
    }));
    let options = arena_options(&arguments)?;
    arena::activate(options).map_err(|error| error.to_string())?;
    let socket = vigo_sys::peer::take_pipe()
        .map_err(|error| format!("descriptor 3 is no pipe to a parent: {error}"))?;
    let spawner = Spawner::start().map_err(|error| format!("no thread for children: {error}"))?;
    // Before the thread that works is made, so that it holds for every thread of this process but the one that starts children: what they execute
    // would inherit it.
    let sandboxed = sandbox::deny_network();
    let (stack, size) =
        stack().ok_or("no room for a protected thread: raise `arena_max`, or RLIMIT_MEMLOCK")?;
    let work = move || {
        let mut state = State::new(spawner, hardened.warnings, sandboxed);
        state.key_service = service;
        // What is below the frame of `serve`, less what the calls between take.
        let forget = match size {
            STACK => wipe_stack::<{ STACK - (64 << 10) }>,
            HALF_STACK => wipe_stack::<{ HALF_STACK - (64 << 10) }>,
            _ => wipe_stack::<{ SMALLEST_STACK - (48 << 10) }>,
        };
        let answer: Answer = table::answer;
        std::process::exit(i32::from(serve(&socket, state, answer, forget)));
    };
    stack.run(Box::new(work)).map_err(|error| format!("no protected thread: {error}"))?;
    thread::park()
}

/// The stack of the thread that works, a quarter of the room at the most: what RLIMIT_MEMLOCK leaves shows only when it refuses.
fn stack() -> Option<(thread::ProtectedStack, usize)> {
    let sizes = [STACK, HALF_STACK, SMALLEST_STACK];
    sizes.into_iter().find_map(|size| {
        let fits = size == SMALLEST_STACK || size <= arena::room() / 4;
        Some((thread::ProtectedStack::new(if fits { size } else { return None })?, size))
    })
}

/// `--arena auto|mlock|plain --arena-max BYTES`: needed before anything else, so not in the first frame.
fn arena_options(arguments: &[OsString]) -> Result<arena::Options, String> {
    let mut options = arena::Options::default();
    let mut words = arguments.iter().map(|word| word.to_str().unwrap_or("?"));
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        match (word, value) {
            ("--arena", "auto") => options.choice = arena::Choice::Auto,
            ("--arena", "mlock") => options.choice = arena::Choice::Mlock,
            ("--arena", "plain") => options.choice = arena::Choice::Plain,
            ("--arena-max", bytes) => {
                options.max = bytes.parse().map_err(|_| format!("`--arena-max {bytes}` is no number"))?;
            }
            _ => return Err(format!("`{word} {value}` is no argument of it")),
        }
    }
    options.size = ARENA_STEP.min(options.max);
    Ok(options)
}

/// What answers a frame: [`table::answer`].
type Answer = fn(&mut State, &[u8], Vec<OwnedFd>) -> Result<Vec<u8>, table::Violation>;

/// Overwrites the part of the stack that calls from here have used: what they left there of values that were dropped since is gone, too.
#[inline(never)]
fn wipe_stack<const SIZE: usize>() {
    std::hint::black_box(&mut [0_u8; SIZE]);
}

/// Answers until the parent is gone; gives the exit code. Before each answer leaves it calls `forget`.
fn serve(socket: &OwnedFd, mut state: State, answer: Answer, forget: fn()) -> u8 {
    let mut panics = 0;
    loop {
        let received = match receive(socket, &mut state) {
            Ok(Received::Frame(frame)) => frame,
            Ok(Received::TooLarge(refused)) => {
                if send(socket, &refused.answer()).is_err() {
                    return EXIT_PARENT_GONE;
                }
                continue;
            }
            Ok(Received::Over) => return EXIT_PARENT_GONE,
            Err(code) => return code,
        };
        let answered =
            catch_unwind(AssertUnwindSafe(|| answer(&mut state, &received.bytes, received.descriptors)));
        let reply = match answered {
            Ok(Ok(reply)) => {
                panics = 0;
                reply
            }
            Ok(Err(table::Violation(what))) => {
                complain(&format!("vigo-hand: {what}"));
                return EXIT_VIOLATION;
            }
            Err(_) => {
                panics += 1;
                Refused::new(FailureCode::Bug, "cannot go on with this request: a panic in vigo-hand")
                    .answer()
            }
        };
        forget();
        if send(socket, &reply).is_err() {
            return EXIT_PARENT_GONE;
        }
        if panics >= PANICS {
            return EXIT_PANICS;
        }
    }
}

enum Received {
    Frame(frame::Received),
    /// There is no room for it; it was thrown away.
    TooLarge(Refused),
    Over,
}

/// Reads a frame, if there is room for it: its announced length is looked at before a byte of it is taken.
fn receive(socket: &OwnedFd, state: &mut State) -> Result<Received, u8> {
    let mut head = [0; 4];
    let peeked = loop {
        match recv(socket, &mut head, RecvFlags::PEEK | RecvFlags::WAITALL) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other,
        }
    };
    match peeked {
        Ok((_, 4)) => {}
        Ok(_) => return Ok(Received::Over),
        Err(_) => return Err(EXIT_SETUP),
    }
    let size = usize::try_from(u32::from_le_bytes(head)).unwrap_or(usize::MAX);
    if size > LARGEST_FRAME {
        complain("vigo-hand: a frame that is too large");
        return Err(EXIT_VIOLATION);
    }
    if let Err(refused) = state.make_room(size.saturating_mul(3)) {
        return if discard(socket, size + head.len()) {
            Ok(Received::TooLarge(refused))
        } else {
            Ok(Received::Over)
        };
    }
    match frame::read_with(socket, LARGEST_FRAME, None) {
        Ok(Some(frame)) => Ok(Received::Frame(frame)),
        Ok(None) => Ok(Received::Over),
        Err(_) => Err(EXIT_SETUP),
    }
}

/// Reads so many bytes and forgets them; descriptors that come with them are closed by the kernel, as nobody asks for them.
fn discard(socket: &OwnedFd, mut size: usize) -> bool {
    let mut window = [0; 4096];
    while size > 0 {
        let wanted = size.min(window.len());
        match recv(socket, window.get_mut(..wanted).unwrap_or_default(), RecvFlags::empty()) {
            Ok((_, 0)) => return false,
            Ok((_, read)) => size -= read.min(size),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

fn send(socket: &OwnedFd, reply: &[u8]) -> Result<(), vigo_wire::WireError> {
    frame::write(socket, reply, LARGEST_FRAME, None)
}

/// One line on standard error. Formatted by the caller from words and places, never from a value.
fn complain(line: &str) {
    let _ = rustix::io::write(rustix::stdio::stderr(), format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests;
