//! Commands that get no secret: started and watched. Who listens to them is `listener`'s; commands that get a secret are the hand's.

use crate::accounts::Accounts;
use crate::listener::{Ear, Listener};
use crate::map;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::{CString, NulError};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use vigo_base::Pieces;
use vigo_hand::{Environment, PATH, VariableProblem};
use vigo_resource::{CommandLine, CommandRequest, End, Failure, Output, User};
use vigo_sys::spawn::{Child, Core, Credentials, Program, Spawner, Spec, Status};

/// A longer wait is cut into several, so that no clock is trusted for long.
const LONGEST_POLL: Duration = Duration::from_secs(60);

/// How a command ended, and what it said.
pub struct Ran {
    /// How.
    pub end: End,
    /// What.
    pub output: Output,
    /// The hand that was to listen has ended.
    pub is_hand_lost: bool,
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

/// Runs a command to its end or its timeout. What it says is for `ear`.
pub fn run(
    spawner: &Spawner,
    request: &CommandRequest,
    accounts: &Accounts,
    ear: Ear<'_>,
) -> Result<Ran, Failure> {
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
    let mut listener = Listener::new(ear, [&stdout, &stderr]).map_err(cannot)?;
    let child = spawner
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
        .map_err(|error| start_failure(&resolved.program, request, &error));
    drop((stdout_child, stderr_child, stdin));
    let end =
        child.and_then(|mut child| watch(&mut child, [&stdout, &stderr], &mut listener, request.timeout));
    // Whatever became of it: a hand that listens is to stop.
    let (output, is_hand_lost) = listener.end();
    Ok(Ran { end: end?, output, is_hand_lost })
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

/// Attends to a command until it ended or its time is over. A child that it left behind may hold the pipes open: they are not waited for.
fn watch(
    child: &mut Child,
    streams: [&OwnedFd; 2],
    listener: &mut Listener<'_>,
    timeout: Duration,
) -> Result<End, Failure> {
    let deadline = Instant::now() + timeout;
    let failed = |error: std::io::Error| Failure::failed(format!("cannot wait for a command: {error}"));
    let mut open = [true, true];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill_group().map_err(failed)?;
            child.wait().map_err(failed)?;
            return Ok(End::TimedOut);
        }
        wait_for_news(child, streams, open, listener, left).map_err(|errno| failed(errno.into()))?;
        listener.take(streams, &mut open).map_err(|errno| failed(errno.into()))?;
        if let Some(status) = child.wait_until(Instant::now()).map_err(failed)? {
            listener.take(streams, &mut open).map_err(|errno| failed(errno.into()))?;
            return Ok(match status {
                Status::Exited(code) => End::Exited(code),
                Status::Signalled(signal) => End::Signalled(signal),
            });
        }
    }
}

/// Sleeps until there is output to be taken here, the command ended, its listener did, or the time is over.
fn wait_for_news(
    child: &Child,
    streams: [&OwnedFd; 2],
    open: [bool; 2],
    listener: &Listener<'_>,
    left: Duration,
) -> Result<(), Errno> {
    let ended = child.pidfd();
    // Without a descriptor for the process its end is asked for every now and then.
    let most = if ended.is_some() { LONGEST_POLL } else { Duration::from_millis(20) };
    let left = left.min(most);
    let watched = match listener.hand_pipe() {
        Some(pipe) => [Some(pipe), None],
        None => [0, 1].map(|index: usize| {
            let is_open = open.get(index).copied().unwrap_or(false);
            streams.get(index).filter(|_| is_open).map(|stream| stream.as_fd())
        }),
    };
    let mut fds: Vec<PollFd<'_>> = watched
        .into_iter()
        .flatten()
        .chain(ended)
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    let time =
        Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(60), tv_nsec: left.subsec_nanos().into() };
    match poll(&mut fds, Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
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
        run(&spawner, request, &Accounts::in_folder("/etc"), Ear::Own).unwrap()
    }

    #[test]
    fn a_command_says_what_it_says_and_ends_as_it_ends() {
        let ran = run_it(&request("echo out; echo err >&2; exit 3"));
        assert_eq!(ran.end, End::Exited(3));
        assert_eq!(said(ran.output), ("out\n".to_owned(), "err\n".to_owned()));
        assert_eq!(run_it(&request("kill -9 $$")).end, End::Signalled(9));
    }

    #[test]
    fn a_command_gets_its_input_and_the_environment_of_the_policy_only() {
        let mut with_input = request("cat; env | sort");
        with_input.stdin = Some(Pieces::literal("given\n"));
        with_input.environment = vec![("EXTRA".to_owned(), Pieces::literal("x y"))];
        let ran = run_it(&with_input);
        let (text, _) = said(ran.output);
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
        assert_eq!(said(ran.output).0, "done\n");
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    fn said(output: Output) -> (String, String) {
        let Output::Kept { stdout, stderr } = output else { panic!("{output:?}") };
        (stdout, stderr)
    }

    #[test]
    fn only_the_end_of_long_output_is_kept() {
        let ran = run_it(&request("yes 0123456 | head -c 1000000; echo END"));
        let (shown, _) = said(ran.output);
        assert!(shown.ends_with("END\n") && shown.len() <= vigo_base::limits::COMMAND_OUTPUT);
    }

    #[test]
    fn what_nobody_listens_to_is_counted_and_holds_no_command_up() {
        let spawner = Spawner::start().unwrap();
        let request = request("yes 0123456 | head -c 1000000; echo err >&2; exit 7");
        let ear = Ear::Nobody("because".to_owned());
        let ran = run(&spawner, &request, &Accounts::in_folder("/etc"), ear).unwrap();
        assert_eq!(ran.end, End::Exited(7));
        let dropped = Output::Dropped { stdout_bytes: 1_000_000, stderr_bytes: 4, why: "because".to_owned() };
        assert_eq!(ran.output, dropped);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let spawner = Spawner::start().unwrap();
        let mut missing = request("");
        missing.line = CommandLine::Arguments(vec![Pieces::literal("no-such-program-here")]);
        let failure = run(&spawner, &missing, &Accounts::in_folder("/etc"), Ear::Own).err().unwrap();
        assert!(failure.reason.contains("no-such-program-here"));
        missing.line = CommandLine::Arguments(vec![Pieces::literal("/no/such/program")]);
        let failure = run(&spawner, &missing, &Accounts::in_folder("/etc"), Ear::Own).err().unwrap();
        assert!(failure.reason.contains("/no/such/program") && !failure.help.is_empty());
    }
}
