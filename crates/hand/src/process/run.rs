//! Commands that get secrets.

use super::credentials;
use super::files::{WINDOW, content_of};
use super::filled::{Chunk, Filled, Stream};
use super::output::{self, LAST_WORDS, Output};
use super::refused::Refused;
use super::state::State;
use crate::child::{Environment, VariableProblem, wipe};
use crate::types::Account;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};
use vigo_base::CREDENTIALS_DIRECTORY;
use vigo_secret::SecretBuf;
use vigo_sys::spawn::{self, Child, Core, Credentials, Program, Spec};
use vigo_wire::hand::{self as wire, FailureCode};
use zeroize::Zeroize as _;

/// What a command takes beside its texts: windows, pipes, kept output.
const ROOM: usize = 256 << 10;
/// How long one wait may take; then the clock is looked at again.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

pub(super) fn run(
    state: &mut State,
    request: wire::Run,
    descriptors: Vec<OwnedFd>,
) -> Result<wire::Finished, Refused> {
    let named = request.environment.iter().chain(&request.files).map(|variable| &variable.value);
    let texts = request.arguments.iter().chain(named);
    state.uses(texts.flat_map(|text| &text.pieces).filter_map(|piece| piece.slot.as_ref()));
    state.uses(request.stdin.iter().flat_map(|content| &content.slots));
    state.make_room(ROOM)?;
    let has_argument_secret =
        request.arguments.iter().any(|text| text.pieces.iter().any(|piece| piece.slot.is_some()));
    if has_argument_secret && !request.allow_argv {
        return Err(Refused::new(
            FailureCode::Author,
            "cannot put a secret on a command line, where everybody on the machine sees it: use `stdin` or `environment`, or write `allow_exposure: [argv]`",
        ));
    }
    let mut short = false;
    let arguments = arguments(state, &request, &mut short)?;
    let environment = environment(state, &request, &mut short)?;
    let folder = credentials::folder(state, &request, &mut short)?;
    let stdin = match &request.stdin {
        Some(content) => {
            let filled = Filled::new(state, &content.slots, &content.resource)?;
            short |= filled.has_short();
            Some((content_of(&descriptors)?, content.size, filled))
        }
        None => None,
    };
    if short && request.keep_output {
        return Err(Refused::new(
            FailureCode::Author,
            "cannot show the output of a command that gets a secret of fewer than eight bytes, which cannot be scrubbed: leave out `sensitive_output: false`",
        ));
    }
    let stdin = stdin.as_ref().map(|(file, size, filled)| Stream::new(file, *size, filled));
    // Before it starts: a command that runs is attended to, whatever goes wrong.
    let (state, keep) = match request.keep_output {
        true => output::keep(state, &request.required).map(|(state, keep)| (state, Some(keep)))?,
        false => (&*state, None),
    };
    let mut running = Running::start(state, &request, &arguments, &environment, folder, stdin)?;
    let dropped = keep.map(|keep| Output::keep_both(&mut running.outputs, keep)).unwrap_or_default();
    let deadline = Instant::now().checked_add(Duration::from_millis(request.timeout_ms));
    Ok(wire::Finished { dropped, ..running.finish(deadline)? })
}

/// Texts that are wiped when they are dropped; the allocator would do it too.
struct Words(Vec<CString>);

impl Words {
    fn as_refs(&self) -> Vec<&CStr> {
        self.0.iter().map(CString::as_c_str).collect()
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        self.0.drain(..).for_each(wipe);
    }
}

fn arguments(state: &mut State, request: &wire::Run, short: &mut bool) -> Result<Words, Refused> {
    let mut words = Words(vec![word(request.program.clone().into_bytes(), "the program")?]);
    for text in &request.arguments {
        let bytes = fill_text(state, text, &request.resource, short)?;
        words.0.push(word(bytes, "an argument")?);
    }
    Ok(words)
}

fn environment(state: &mut State, request: &wire::Run, short: &mut bool) -> Result<Environment, Refused> {
    let refused = |name: &str, problem| {
        let text = match problem {
            VariableProblem::Name => format!("cannot name a variable `{name}`"),
            VariableProblem::Value => format!("cannot give a command `{name}` that holds a NUL byte"),
        };
        Refused::new(FailureCode::Author, text)
    };
    let wire::Run { home, user, shell, .. } = request;
    let account = Account { home: home.clone(), name: user.clone(), shell: shell.clone() };
    let mut environment = Environment::new(&account).map_err(|problem| refused(user, problem))?;
    for variable in &request.environment {
        let filled = fill_text(state, &variable.value, &request.resource, short)?;
        environment.set(&variable.name, filled).map_err(|problem| refused(&variable.name, problem))?;
    }
    if !request.files.is_empty() {
        let folder = credentials::FOLDER.as_bytes().to_vec();
        environment
            .set(CREDENTIALS_DIRECTORY, folder)
            .map_err(|problem| refused(CREDENTIALS_DIRECTORY, problem))?;
    }
    Ok(environment)
}

/// A text of a command, joined: the kernel takes arguments and environment only so.
fn fill_text(
    state: &mut State,
    text: &wire::Text,
    resource: &str,
    short: &mut bool,
) -> Result<Vec<u8>, Refused> {
    let mut bytes = SecretBuf::with_capacity(0);
    for piece in &text.pieces {
        match &piece.slot {
            None => bytes.append(piece.literal.as_bytes()),
            Some(slot) => {
                let filled = Filled::new(state, std::slice::from_ref(slot), resource)?;
                *short |= filled.has_short();
                bytes.append(filled.value(0).map(SecretBuf::expose).unwrap_or_default());
            }
        }
    }
    Ok(bytes.expose().to_vec())
}

fn word(bytes: Vec<u8>, what: &str) -> Result<CString, Refused> {
    CString::new(bytes).map_err(|error| {
        error.into_vec().zeroize();
        Refused::new(FailureCode::Author, format!("cannot give a command {what} that holds a NUL byte"))
    })
}

/// A command and its pipes.
struct Running<'a> {
    child: Child,
    stdin: Option<(OwnedFd, Stream<'a>)>,
    window: SecretBuf,
    /// Beside the window for input, which may hold what is still to be written.
    output_window: SecretBuf,
    /// What of the window is still to be written: from, to.
    unsent: (usize, usize),
    outputs: [Output<'a>; 2],
}

impl<'a> Running<'a> {
    fn start(
        state: &State,
        request: &wire::Run,
        arguments: &Words,
        environment: &Environment,
        credentials_folder: Option<OwnedFd>,
        stdin: Option<Stream<'a>>,
    ) -> Result<Self, Refused> {
        let failed = |errno: Errno| Refused::machine("cannot make a pipe", &errno);
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(failed);
        let folder = word(request.folder.clone().into_bytes(), "a folder")?;
        let credentials = request.credentials.as_ref().map(|credentials| Credentials {
            uid: credentials.user,
            gid: credentials.group,
            groups: &credentials.groups,
        });
        let (stdout, stdout_end) = pipe()?;
        let (stderr, stderr_end) = pipe()?;
        let (stdin_end, stdin) = match stdin {
            Some(stream) => pipe().map(|(end, ours)| (Some(end), Some((ours, stream))))?,
            None => (None, None),
        };
        for ours in [Some(&stdout), Some(&stderr), stdin.as_ref().map(|(pipe, _)| pipe)].into_iter().flatten()
        {
            rustix::io::ioctl_fionbio(ours, true).map_err(failed)?;
        }
        let mut descriptors = vec![(stdout_end.as_fd(), 1), (stderr_end.as_fd(), 2)];
        descriptors.extend(stdin_end.as_ref().map(|end| (end.as_fd(), 0)));
        descriptors.extend(credentials_folder.iter().map(|folder| (folder.as_fd(), credentials::NUMBER)));
        let (arguments, environment) = (arguments.as_refs(), environment.as_refs());
        let program = arguments.first().copied().unwrap_or_default();
        let spec = Spec {
            program: Program::Path(program),
            arguments: &arguments,
            environment: &environment,
            folder: &folder,
            credentials,
            umask: request.umask,
            descriptors: &descriptors,
            core: Core::One,
            dies_with_parent: true,
            own_group: true,
            no_new_privileges: false,
        };
        let child = state
            .spawner
            .spawn(&spec)
            .map_err(|error| Refused::machine(format!("cannot start `{}`", request.program), &error))?;
        let outputs = [Output::new(stdout), Output::new(stderr)];
        let (window, output_window) = (SecretBuf::zeroed(WINDOW), SecretBuf::zeroed(WINDOW));
        Ok(Self { child, stdin, window, output_window, unsent: (0, 0), outputs })
    }

    /// Attends to it until it ends or its time is over; then nothing of it is left running but what it sent into the background.
    fn finish(mut self, deadline: Option<Instant>) -> Result<wire::Finished, Refused> {
        let failed = |error: std::io::Error| Refused::machine("cannot attend to the command", &error);
        let attended = self.attend(deadline);
        if !matches!(attended, Ok(Some(_))) {
            self.child.kill_group().and_then(|()| self.child.wait()).map_err(failed)?;
        }
        let status = attended.map_err(failed)?;
        // A service that it left running may hold the pipes open for ever: what is in them now is taken, and no more.
        let last = Instant::now() + LAST_WORDS;
        self.stdin = None;
        while self.pump().map_err(failed)? && Instant::now() < last {}
        let [stdout, stderr] = self.outputs.map(Output::end);
        let (code, signal) = match status {
            Some(spawn::Status::Exited(code)) => (Some(code), None),
            Some(spawn::Status::Signalled(signal)) => (None, Some(signal)),
            None => (None, None),
        };
        Ok(wire::Finished {
            code,
            signal,
            timed_out: status.is_none(),
            stdout_bytes: stdout.0,
            stderr_bytes: stderr.0,
            stdout: stdout.1,
            stderr: stderr.1,
            dropped: String::new(),
        })
    }

    /// Feeds it and reads from it; `None` when its time is over.
    fn attend(&mut self, deadline: Option<Instant>) -> std::io::Result<Option<spawn::Status>> {
        loop {
            if let Some(status) = self.child.wait_until(Instant::now())? {
                return Ok(Some(status));
            }
            let left = deadline.map_or(LONGEST_WAIT, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(None);
            }
            self.wait(left)?;
            self.pump()?;
        }
    }

    /// Waits until it has ended, wants input or gives output.
    fn wait(&self, left: Duration) -> std::io::Result<()> {
        let mut watched = Vec::with_capacity(4);
        watched.extend(self.child.pidfd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        watched.extend(self.stdin.iter().map(|(pipe, _)| PollFd::new(pipe, PollFlags::OUT)));
        watched.extend(
            self.outputs.iter().filter_map(Output::pipe).map(|pipe| PollFd::new(pipe, PollFlags::IN)),
        );
        // Without a descriptor of the process (pidfd_open(2), Linux 5.3) its end is looked for now and then.
        let longest =
            if self.child.pidfd().is_some() { Duration::from_secs(3600) } else { Duration::from_millis(20) };
        let timeout = Timespec::try_from(left.min(longest)).map_err(std::io::Error::other)?;
        match poll(&mut watched, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Moves what can be moved now; true if something was.
    fn pump(&mut self) -> std::io::Result<bool> {
        let mut moved = self.feed()?;
        for output in &mut self.outputs {
            moved |= output.read(&mut self.output_window)?;
        }
        Ok(moved)
    }

    fn feed(&mut self) -> std::io::Result<bool> {
        let Some((pipe, stream)) = &mut self.stdin else { return Ok(false) };
        let (from, to) = &mut self.unsent;
        if from == to {
            match stream.next(self.window.expose_mut())? {
                Chunk::Literal { length, .. } | Chunk::Secret { length, .. } => (*from, *to) = (0, length),
                Chunk::End => {
                    self.stdin = None;
                    return Ok(true);
                }
            }
        }
        match rustix::io::write(&*pipe, self.window.expose().get(*from..*to).unwrap_or_default()) {
            Ok(written) => *from += written,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            // It closed its standard input: it has read what it wants.
            Err(Errno::PIPE) => self.stdin = None,
            Err(errno) => return Err(errno.into()),
        }
        Ok(true)
    }
}
