//! Commands that get no secret: started, watched, their output kept up to a limit. Commands that get one are the hand's.

use crate::accounts::Accounts;
use crate::map;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::{CString, NulError};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use vigo_base::{Pieces, limits};
use vigo_hand::{Environment, PATH, VariableProblem};
use vigo_resource::{CommandLine, CommandRequest, End, Failure, User};
use vigo_sys::spawn::{Child, Core, Credentials, Program, Spawner, Spec, Status};

/// Read at a time.
const WINDOW: usize = 16 << 10;
/// A longer wait is cut into several, so that no clock is trusted for long.
const LONGEST_POLL: Duration = Duration::from_secs(60);

/// How a command ended, with what it said: the ends of both outputs, and how much there was in all.
pub struct Ran {
    /// How.
    pub end: End,
    /// Standard output.
    pub stdout: Tail,
    /// Standard error.
    pub stderr: Tail,
}

/// Kept ahead of what is shown: the longest form of the largest value, so that none is cut in two before it is scrubbed.
const AHEAD: usize = 6 * limits::SECRET_VALUE;
/// So much of a stream is kept.
const KEPT: usize = AHEAD + limits::COMMAND_OUTPUT;

/// The last bytes of a stream.
#[derive(Default)]
pub struct Tail {
    /// The last bytes, not scrubbed yet: at most [`KEPT`].
    bytes: Vec<u8>,
    /// How many there were in all.
    pub total: u64,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.total = self.total.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > 2 * KEPT {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let more = self.bytes.len().saturating_sub(KEPT);
        self.bytes.drain(..more);
    }

    /// The end of the stream, scrubbed: of the last [`limits::COMMAND_OUTPUT`] bytes what is no value. A value of which only the end was
    /// kept cannot be told from other text; it stands ahead of those bytes, so that it is not shown.
    ///
    /// # Errors
    /// What `scrub` says.
    pub fn shown<E>(self, mut scrub: impl FnMut(&[u8]) -> Result<Vec<u8>, E>) -> Result<Vec<u8>, E> {
        let ahead = self.bytes.len().saturating_sub(limits::COMMAND_OUTPUT);
        let mut all = scrub(&self.bytes)?;
        if ahead > 0 {
            // Both are the same up to the border, or up to a value that stands across it.
            let before = scrub(self.bytes.get(..ahead).unwrap_or_default())?;
            let same = all.iter().zip(&before).take_while(|(one, other)| one == other).count();
            all.drain(..same);
        }
        Ok(all)
    }
}

/// What a request comes down to: program, arguments, as whom.
pub struct Resolved {
    /// Absolute.
    pub program: String,
    /// Without the program's name.
    pub arguments: Vec<Pieces>,
    /// Who runs it, for HOME and the like.
    pub account: User,
    /// `None` as this process.
    pub credentials: Option<(u32, u32, Vec<u32>)>,
}

/// Finds program and user of a request.
pub fn resolve(request: &CommandRequest, accounts: &Accounts) -> Result<Resolved, Failure> {
    let (program, arguments) = match &request.line {
        CommandLine::Shell { shell, text } => {
            (shell.as_str().to_owned(), vec![Pieces::literal("-c"), text.clone()])
        }
        CommandLine::Arguments(words) => match words.split_first() {
            Some((program, rest)) => {
                let name = program
                    .as_literal()
                    .ok_or_else(|| Failure::failed("cannot run a program whose name holds a secret"))?;
                (find_program(name)?, rest.to_vec())
            }
            None => return Err(Failure::failed("cannot run an empty command")),
        },
    };
    let (account, credentials) = identity(request, accounts)?;
    Ok(Resolved { program, arguments, account, credentials })
}

fn find_program(name: &str) -> Result<String, Failure> {
    if name.contains('/') {
        return Ok(name.to_owned());
    }
    PATH.split(':')
        .map(|folder| format!("{folder}/{name}"))
        .find(|path| rustix::fs::access(path.as_str(), rustix::fs::Access::EXEC_OK).is_ok())
        .ok_or_else(|| {
            Failure::failed(format!("cannot find the program `{name}` in {PATH}"))
                .help("install it, or write its whole path")
        })
}

type Identity = (User, Option<(u32, u32, Vec<u32>)>);

fn identity(request: &CommandRequest, accounts: &Accounts) -> Result<Identity, Failure> {
    let me = rustix::process::geteuid().as_raw();
    let own = || -> Result<User, Failure> {
        let unknown = User {
            name: me.to_string(),
            id: me,
            group: rustix::process::getegid().as_raw(),
            home: "/".to_owned(),
            shell: "/bin/sh".to_owned(),
        };
        Ok(accounts.user_by_id(me)?.unwrap_or(unknown))
    };
    let account = match &request.user {
        Some(user) => user.clone(),
        None => own()?,
    };
    if account.id == me && request.group.is_none() {
        return Ok((account, None));
    }
    if me != 0 {
        return Err(Failure::failed(format!(
            "cannot run a command as `{}`: Vigo does not run as root here",
            account.name
        )));
    }
    let mut groups = accounts.groups_of(&account)?;
    let group = request.group.unwrap_or(account.group);
    if !groups.contains(&group) {
        groups.push(group);
    }
    let credentials = Some((account.id, group, groups));
    Ok((account, credentials))
}

/// The environment of a child: six variables and what the policy gives.
fn environment(account: &User, given: &[(String, Pieces)]) -> Result<Environment, Failure> {
    let cannot = |name: &str, problem| {
        Failure::failed(match problem {
            VariableProblem::Name => format!("cannot name a variable `{name}`"),
            VariableProblem::Value => format!("cannot give a command `{name}` that holds a NUL byte"),
        })
    };
    let mut environment =
        Environment::new(&map::account(account)).map_err(|problem| cannot(&account.name, problem))?;
    for (name, value) in given {
        environment
            .set(name, literal(value)?.as_bytes().to_vec())
            .map_err(|problem| cannot(name, problem))?;
    }
    Ok(environment)
}

fn literal(pieces: &Pieces) -> Result<&str, Failure> {
    pieces.as_literal().ok_or_else(|| Failure::failed("cannot run this command here: it gets a secret"))
}

fn c_string(text: &str) -> Result<CString, Failure> {
    CString::new(text).map_err(|_: NulError| Failure::failed("cannot run a command with a NUL byte in it"))
}

/// Runs a command to its end or its timeout.
pub fn run(spawner: &Spawner, request: &CommandRequest, accounts: &Accounts) -> Result<Ran, Failure> {
    let resolved = resolve(request, accounts)?;
    let cannot = |errno: Errno| {
        Failure::failed(format!("cannot prepare `{}`: {}", resolved.program, std::io::Error::from(errno)))
    };
    let stdin = input(request.stdin.as_ref())?;
    let (stdout, stdout_child) = pipe_with(PipeFlags::CLOEXEC).map_err(cannot)?;
    let (stderr, stderr_child) = pipe_with(PipeFlags::CLOEXEC).map_err(cannot)?;
    for end in [&stdout, &stderr] {
        // Ours only: the child's ends are descriptions of their own and stay blocking.
        rustix::io::ioctl_fionbio(end, true).map_err(cannot)?;
    }
    let mut words = vec![c_string(&resolved.program)?];
    for argument in &resolved.arguments {
        words.push(c_string(literal(argument)?)?);
    }
    let words: Vec<&std::ffi::CStr> = words.iter().map(CString::as_c_str).collect();
    let environment = environment(&resolved.account, &request.environment)?;
    let program = c_string(&resolved.program)?;
    let folder = c_string(request.folder.as_str())?;
    let credentials =
        resolved.credentials.as_ref().map(|(uid, gid, groups)| Credentials { uid: *uid, gid: *gid, groups });
    let mut child = spawner
        .spawn(&Spec {
            program: Program::Path(&program),
            arguments: &words,
            environment: &environment.as_refs(),
            folder: &folder,
            credentials,
            umask: request.umask,
            descriptors: &[(stdin.as_fd(), 0), (stdout_child.as_fd(), 1), (stderr_child.as_fd(), 2)],
            core: Core::AsStarted,
            dies_with_parent: false,
            own_group: true,
            no_new_privileges: false,
        })
        .map_err(|error| start_failure(&resolved.program, request, &error))?;
    drop((stdout_child, stderr_child, stdin));
    watch(&mut child, &stdout, &stderr, request.timeout)
}

fn start_failure(program: &str, request: &CommandRequest, error: &std::io::Error) -> Failure {
    let failure = Failure::failed(format!("cannot start `{program}` in `{}`: {error}", request.folder));
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            failure.help("the program, its interpreter or the folder it is to run in is missing")
        }
        std::io::ErrorKind::PermissionDenied => {
            failure.help("the user it runs as may not execute it, or not enter the folder")
        }
        _ => failure,
    }
}

/// Standard input as a descriptor that needs nobody to feed it.
fn input(text: Option<&Pieces>) -> Result<OwnedFd, Failure> {
    let cannot = |errno: Errno| {
        Failure::failed(format!("cannot prepare standard input: {}", std::io::Error::from(errno)))
    };
    let Some(text) = text else {
        return rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(cannot);
    };
    let file = rustix::fs::memfd_create("stdin", MemfdFlags::CLOEXEC).map_err(cannot)?;
    let mut rest = literal(text)?.as_bytes();
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest).map_err(cannot)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).map_err(cannot)?;
    Ok(file)
}

/// Reads both outputs until the command ended or its time is over. A child that it left behind may hold the pipes open: they are not waited for.
fn watch(child: &mut Child, stdout: &OwnedFd, stderr: &OwnedFd, timeout: Duration) -> Result<Ran, Failure> {
    let deadline = Instant::now() + timeout;
    let mut tails = [Tail::default(), Tail::default()];
    let mut open = [true, true];
    let failed = |error: std::io::Error| Failure::failed(format!("cannot wait for a command: {error}"));
    let status = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill_group().map_err(failed)?;
            child.wait().map_err(failed)?;
            break None;
        }
        wait_for_news(child, [(stdout.as_fd(), open[0]), (stderr.as_fd(), open[1])], left)
            .map_err(|errno| failed(errno.into()))?;
        for ((stream, tail), open) in [stdout, stderr].into_iter().zip(&mut tails).zip(&mut open) {
            *open = *open && drain(stream, tail).map_err(|errno| failed(errno.into()))?;
        }
        if let Some(status) = child.wait_until(Instant::now()).map_err(failed)? {
            for (stream, tail) in [stdout, stderr].into_iter().zip(&mut tails) {
                drain(stream, tail).map_err(|errno| failed(errno.into()))?;
            }
            break Some(status);
        }
    };
    tails.iter_mut().for_each(Tail::cut);
    let [stdout, stderr] = tails;
    let end = match status {
        None => End::TimedOut,
        Some(Status::Exited(code)) => End::Exited(code),
        Some(Status::Signalled(signal)) => End::Signalled(signal),
    };
    Ok(Ran { end, stdout, stderr })
}

/// Sleeps until there is output, the command ended, or the time is over.
fn wait_for_news(child: &Child, streams: [(BorrowedFd<'_>, bool); 2], left: Duration) -> Result<(), Errno> {
    let ended = child.pidfd();
    // Without a descriptor for the process its end is asked for every now and then.
    let most = if ended.is_some() { LONGEST_POLL } else { Duration::from_millis(20) };
    let left = left.min(most);
    let open = streams.iter().filter(|(_, open)| *open).map(|(stream, _)| *stream);
    let mut fds: Vec<PollFd<'_>> =
        open.chain(ended).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    let time =
        Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(60), tv_nsec: left.subsec_nanos().into() };
    match poll(&mut fds, Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
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

#[cfg(test)]
mod tests {
    use super::*;
    use vigo_resource::OutputRule;

    fn request(text: &str) -> CommandRequest {
        CommandRequest {
            line: CommandLine::Shell { shell: "/bin/sh".parse().unwrap(), text: Pieces::literal(text) },
            user: None,
            group: None,
            folder: "/".parse().unwrap(),
            environment: Vec::new(),
            allow_argv: false,
            credentials: Vec::new(),
            stdin: None,
            umask: 0o022,
            timeout: Duration::from_secs(20),
            output: OutputRule::Automatic,
            resource: "test:a".to_owned(),
        }
    }

    fn run_it(request: &CommandRequest) -> Ran {
        let spawner = Spawner::start().unwrap();
        run(&spawner, request, &Accounts::in_folder("/etc")).unwrap()
    }

    #[test]
    fn a_command_says_what_it_says_and_ends_as_it_ends() {
        let ran = run_it(&request("echo out; echo err >&2; exit 3"));
        assert_eq!(ran.end, End::Exited(3));
        assert_eq!((as_it_is(ran.stdout), as_it_is(ran.stderr)), (b"out\n".to_vec(), b"err\n".to_vec()));
        assert_eq!(run_it(&request("kill -9 $$")).end, End::Signalled(9));
    }

    #[test]
    fn a_command_gets_its_input_and_the_environment_of_the_policy_only() {
        let mut with_input = request("cat; env | sort");
        with_input.stdin = Some(Pieces::literal("given\n"));
        with_input.environment = vec![("EXTRA".to_owned(), Pieces::literal("x y"))];
        let ran = run_it(&with_input);
        let text = String::from_utf8(as_it_is(ran.stdout)).unwrap();
        assert!(text.starts_with("given\n"));
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        // The shell itself adds PWD, and some add SHLVL and OLDPWD or `_`.
        let ours: Vec<&str> =
            names.into_iter().filter(|name| !["PWD", "SHLVL", "OLDPWD", "_"].contains(name)).collect();
        assert_eq!(ours, ["EXTRA", "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER"]);
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed_with_its_children() {
        let mut slow = request("sleep 600 & sleep 600");
        slow.timeout = Duration::from_millis(100);
        let started = Instant::now();
        assert_eq!(run_it(&slow).end, End::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn what_a_command_leaves_behind_is_not_waited_for() {
        let started = Instant::now();
        let ran = run_it(&request("sleep 30 & echo done"));
        assert_eq!(ran.end, End::Exited(0));
        assert_eq!(as_it_is(ran.stdout), b"done\n");
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    fn as_it_is(tail: Tail) -> Vec<u8> {
        tail.shown(|bytes| Ok::<_, std::convert::Infallible>(bytes.to_vec())).unwrap()
    }

    #[test]
    fn only_the_end_of_long_output_is_kept() {
        let ran = run_it(&request("yes 0123456 | head -c 1000000; echo END"));
        assert_eq!(ran.stdout.total, 1_000_004);
        let shown = as_it_is(ran.stdout);
        assert!(shown.ends_with(b"END\n") && shown.len() <= limits::COMMAND_OUTPUT);
    }

    #[test]
    fn the_end_of_long_output_never_begins_within_a_value() {
        let value: Vec<u8> = (0..40_000_u32).map(|number| b'a' + (number % 23) as u8).collect();
        let scrub = |bytes: &[u8]| {
            Ok::<_, vigo_secret::SecretError>(vigo_secret::Scrubber::new([&*value])?.scrub(bytes))
        };
        // Wherever the value stands: where it would be cut by what is kept, by what is shown, or not at all.
        for behind in
            [1, 1_000, limits::COMMAND_OUTPUT - 9_999, limits::COMMAND_OUTPUT, KEPT - 20_000, KEPT - 1]
        {
            let mut tail = Tail::default();
            tail.push(&[b'.'; 3 * KEPT]);
            tail.push(&value);
            tail.push(&vec![b'-'; behind]);
            tail.cut();
            let shown = tail.shown(scrub).unwrap();
            let text = String::from_utf8_lossy(&shown).replace("\u{2039}secret\u{203a}", "");
            assert!(
                text.bytes().all(|byte| byte == b'.' || byte == b'-'),
                "a piece of it with {behind} behind it"
            );
            assert!(shown.len() >= behind.min(limits::COMMAND_OUTPUT));
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let spawner = Spawner::start().unwrap();
        let mut missing = request("");
        missing.line = CommandLine::Arguments(vec![Pieces::literal("no-such-program-here")]);
        let failure = run(&spawner, &missing, &Accounts::in_folder("/etc")).err().unwrap();
        assert!(failure.reason.contains("no-such-program-here"));
        missing.line = CommandLine::Arguments(vec![Pieces::literal("/no/such/program")]);
        let failure = run(&spawner, &missing, &Accounts::in_folder("/etc")).err().unwrap();
        assert!(failure.reason.contains("/no/such/program") && !failure.help.is_empty());
    }
}
