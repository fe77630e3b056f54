//! Commands that get secrets.

use crate::Test;
use crate::parts::{fails_with, hold, node, pieces};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};
use vigo_base::SecretVersion;
use vigo_hand::{Account, Command, Credentials, End, FailureCode, Finished, Hand, Output};

pub const TESTS: &[Test] = &[
    ("run::standard_input_reaches_the_command_and_output_is_dropped_but_counted", stdin),
    ("run::output_that_is_kept_is_scrubbed", scrubbed),
    ("run::what_somebody_elses_command_says_is_heard_scrubbed_and_only_its_end_is_given", listening),
    ("run::what_is_not_held_in_that_version_is_missing_and_nothing_is_kept_then", missing),
    ("run::who_asks_before_it_took_what_was_heard_has_lost_the_hand", out_of_step),
    ("run::a_child_gets_exactly_the_environment_that_is_said", environment),
    ("run::a_child_has_no_core_no_descriptor_and_the_said_umask_and_folder", surroundings),
    ("run::a_secret_in_an_argument_needs_leave", a_secret_in_an_argument_needs_leave),
    ("run::a_command_that_takes_too_long_is_killed_with_what_it_started", timeout),
    ("run::a_service_left_in_the_background_does_not_hold_the_run_up", background),
    ("run::long_input_and_output_do_not_block_one_another", long),
    ("run::commands_run_as_who_is_said", credentials),
    ("run::what_does_not_start_says_why", does_not_start),
];

fn command(program: &str, arguments: &[&str]) -> Command {
    Command {
        program: program.parse().unwrap(),
        arguments: arguments.iter().map(|text| pieces(text)).collect(),
        allow_argv: false,
        environment: Vec::new(),
        credential_files: Vec::new(),
        stdin: None,
        folder: "/".parse().unwrap(),
        credentials: None,
        account: Account { home: "/home/x".into(), name: "x".into(), shell: "/bin/sh".into() },
        umask: 0o022,
        timeout: Duration::from_secs(30),
        output: Output::Scrub,
        required: Vec::new(),
        resource: "r".into(),
    }
}

pub fn shell(script: &str) -> Command {
    let mut shell = command("/bin/sh", &["-c"]);
    shell.arguments.push(vigo_base::Pieces::literal(script));
    shell
}

fn hand() -> (Hand, tempfile::TempDir) {
    let (mut hand, folder) = node();
    hold(&mut hand, "a", b"a secret value");
    hold(&mut hand, "short", b"short");
    (hand, folder)
}

pub fn text(finished: &Finished) -> &str {
    assert_eq!(finished.end, End::Exited(0), "{}", String::from_utf8_lossy(&finished.stderr));
    std::str::from_utf8(&finished.stdout).unwrap()
}

fn stdin() {
    let (mut hand, folder) = hand();
    let path = folder.path().join("seen");
    let mut cat = shell(&format!("cat > {0}; echo some output; echo and more >&2; exit 3", path.display()));
    cat.stdin = Some(pieces("user:{a|b64encode}\n{a}"));
    cat.output = Output::Drop;
    let finished = hand.run(&cat).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "user:YSBzZWNyZXQgdmFsdWU=\na secret value");
    let expected = Finished {
        end: End::Exited(3),
        stdout_bytes: 12,
        stderr_bytes: 9,
        stdout: vec![],
        stderr: vec![],
        dropped: String::new(),
    };
    assert_eq!(finished, expected);
}

fn scrubbed() {
    let (mut hand, _folder) = hand();
    let mut echo = shell("read -r line; echo \"[$line]\"; echo \"$TOKEN\" | base64 >&2; kill -TERM $$");
    echo.stdin = Some(pieces("{a}\n"));
    echo.environment = vec![("TOKEN".into(), pieces("{a}"))];
    let finished = hand.run(&echo).unwrap();
    assert_eq!(finished.end, End::Signalled(15));
    assert_eq!(String::from_utf8(finished.stdout).unwrap(), "[‹secret›]\n");
    let stderr = String::from_utf8(finished.stderr).unwrap();
    assert!(stderr.starts_with("‹secret›") && !stderr.contains("YSBz"), "{stderr}");
    assert_eq!(finished.stdout_bytes, 17);
    // What several filters made of it, which is in no form of the value.
    let mut twice = shell("echo \"$TOKEN\"");
    twice.environment = vec![("TOKEN".into(), pieces("{a|b64encode|hex}"))];
    assert_eq!(text(&hand.run(&twice).unwrap()), "‹secret›\n");
    // A value that is too short to be scrubbed cannot be shown.
    echo.stdin = Some(pieces("{short}"));
    fails_with(hand.run(&echo), FailureCode::Author, "fewer than eight bytes");
    echo.output = Output::Drop;
    assert_eq!(hand.run(&echo).unwrap().end, End::Signalled(15));
}

/// Two streams and the pipe that tells that the command has ended: ends for the hand, and ends for the command.
struct Streams {
    hand: [OwnedFd; 3],
    command: [OwnedFd; 3],
}

impl Streams {
    fn new() -> Self {
        let pipes = [0; 3].map(|_| pipe_with(PipeFlags::CLOEXEC).unwrap());
        let [(stdout, a), (stderr, b), (ended, c)] = pipes;
        for stream in [&stdout, &stderr] {
            rustix::io::ioctl_fionbio(stream, true).unwrap();
        }
        Self { hand: [stdout, stderr, ended], command: [a, b, c] }
    }

    fn listen(&self, hand: &mut Hand, required: &[(vigo_base::SecretPath, SecretVersion)]) {
        hand.listen(required, [0, 1, 2].map(|index: usize| self.hand[index].as_fd())).unwrap();
    }
}

fn version(path: &str, version: u64) -> (vigo_base::SecretPath, SecretVersion) {
    (path.parse().unwrap(), SecretVersion(version))
}

fn listening() {
    let (mut hand, _folder) = hand();
    let streams = Streams::new();
    streams.listen(&mut hand, &[version("a", 1)]);
    let [stdout, stderr, _] = &streams.command;
    let say =
        |to: &OwnedFd, text: &str| std::fs::File::from(to.try_clone().unwrap()).write_all(text.as_bytes());
    // More than fits into the pipe, and more than is kept; a value is divided by whatever window it is read through.
    for _ in 0..10_000 {
        say(stdout, "a line, then a secret value.\n").unwrap();
    }
    say(stdout, "a sec").unwrap();
    say(stderr, "YSBzZWNyZXQg\ndmFsdWU=").unwrap();
    say(stdout, "ret value").unwrap();
    drop(streams);
    let heard = hand.heard().unwrap();
    assert_eq!((heard.stdout_bytes, heard.stderr_bytes, heard.dropped.as_str()), (290_014, 21, ""));
    let text = String::from_utf8_lossy(&heard.stdout).into_owned();
    assert!(text.ends_with("a line, then ‹secret›.\n‹secret›"), "{text}");
    assert!(!text.contains("secret value") && heard.stdout.len() <= vigo_base::limits::COMMAND_OUTPUT);
    assert!(heard.stdout.len() > 60_000, "{} bytes", heard.stdout.len());
    assert_eq!(String::from_utf8(heard.stderr).unwrap(), "‹secret›=");
    assert_eq!(hand.held().unwrap().len(), 2, "it answers as before");
}

fn missing() {
    let (mut hand, _folder) = hand();
    let wanted = [version("a", 2), version("a", 1), version("b", 1)];
    assert_eq!(hand.missing(&wanted).unwrap(), [version("a", 2), version("b", 1)]);
    let streams = Streams::new();
    streams.listen(&mut hand, &[version("a", 2)]);
    std::fs::File::from(streams.command[0].try_clone().unwrap()).write_all(b"a secret value").unwrap();
    drop(streams);
    let heard = hand.heard().unwrap();
    let dropped = "the value of `a` v2 is not here, so it cannot be scrubbed".to_owned();
    assert_eq!(heard, vigo_hand::Heard { stdout_bytes: 14, dropped, ..vigo_hand::Heard::default() });
    // The same for a command that the hand starts.
    let mut echo = shell("echo said");
    echo.required = vec![version("b", 1)];
    let finished = hand.run(&echo).unwrap();
    assert_eq!((finished.stdout_bytes, finished.stdout.len()), (5, 0));
    assert!(finished.dropped.contains("`b` v1"), "{}", finished.dropped);
}

fn out_of_step() {
    let (mut hand, _folder) = hand();
    let streams = Streams::new();
    streams.listen(&mut hand, &[]);
    assert!(hand.held().unwrap_err().is_gone());
    assert!(hand.heard().unwrap_err().is_gone());
}

fn environment() {
    let (mut hand, _folder) = hand();
    let mut env = command("/usr/bin/env", &[]);
    env.environment = vec![("MINE".into(), pieces("x={a}")), ("LANG".into(), pieces("de_DE.UTF-8"))];
    let finished = hand.run(&env).unwrap();
    let mut lines: Vec<&str> = text(&finished).lines().collect();
    lines.sort_unstable();
    let expected = [
        "HOME=/home/x",
        "LANG=de_DE.UTF-8",
        "LOGNAME=x",
        "MINE=x=‹secret›",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SHELL=/bin/sh",
        "USER=x",
    ];
    assert_eq!(lines, expected);
    env.environment = vec![("A=B".into(), pieces("x"))];
    fails_with(hand.run(&env), FailureCode::Author, "`A=B`");
}

fn surroundings() {
    let (mut hand, folder) = hand();
    let mut look =
        shell("umask; pwd; ulimit -Sc; ulimit -Hc; ls /proc/self/fd | wc -l; grep -c ^ < /dev/stdin");
    look.umask = 0o077;
    look.folder = folder.path().to_str().unwrap().parse().unwrap();
    let finished = hand.run(&look).unwrap_or_else(|error| panic!("{error}"));
    // 0, 1, 2, and the folder that `ls` reads. A limit of one byte is shown as 0 or 1 blocks; standard input is empty.
    let lines: Vec<&str> = std::str::from_utf8(&finished.stdout).unwrap().lines().collect();
    assert_eq!(lines[..2], ["0077", folder.path().to_str().unwrap()]);
    assert!(lines[2..4].iter().all(|limit| ["0", "1"].contains(limit)), "{lines:?}");
    assert_eq!(lines[4..], ["4", "0"]);
    let limits = hand.run(&command("/bin/cat", &["/proc/self/limits"])).unwrap();
    let core = text(&limits).lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["1", "1"], "{core}");
}

fn a_secret_in_an_argument_needs_leave() {
    let (mut hand, _folder) = hand();
    let mut echo = command("/bin/echo", &["-n", "{a}"]);
    fails_with(hand.run(&echo), FailureCode::Author, "allow_exposure: [argv]");
    echo.allow_argv = true;
    assert_eq!(text(&hand.run(&echo).unwrap()), "‹secret›");
}

fn timeout() {
    let (mut hand, folder) = hand();
    let mark = folder.path().join("mark");
    let script = format!("(read -r x < /dev/tty; sleep 100; touch {}) & sleep 100", mark.display());
    let mut sleep = shell(&script);
    sleep.timeout = Duration::from_millis(200);
    let start = Instant::now();
    assert_eq!(hand.run(&sleep).unwrap().end, End::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(!mark.exists());
}

fn background() {
    let (mut hand, _folder) = hand();
    let start = Instant::now();
    let finished = hand.run(&shell("echo started; sleep 20 &")).unwrap();
    assert_eq!(text(&finished), "started\n");
    assert!(start.elapsed() < Duration::from_secs(15));
}

fn long() {
    let (mut hand, _folder) = hand();
    let mut cat = command("/bin/cat", &[]);
    cat.stdin = Some(pieces(&"a line of text and {a}\n".repeat(50_000)));
    let finished = hand.run(&cat).unwrap();
    assert_eq!(finished.end, End::Exited(0));
    assert_eq!(finished.stdout_bytes, 50_000 * (19 + 14 + 1));
    assert_eq!(finished.stdout.len(), vigo_base::limits::COMMAND_OUTPUT);
    assert!(!finished.stdout.windows(14).any(|window| window == b"a secret value"));
    // A command that reads nothing of it.
    cat.program = "/bin/true".parse().unwrap();
    assert_eq!(hand.run(&cat).unwrap().end, End::Exited(0));
}

fn credentials() {
    let (mut hand, _folder) = hand();
    let mut id = shell("id -u; id -g; id -G; grep NoNewPrivs /proc/self/status");
    if !rustix::process::geteuid().is_root() {
        // Who is not root becomes nobody else.
        id.credentials = Some(Credentials { uid: 1, gid: 1, groups: vec![] });
        fails_with(hand.run(&id), FailureCode::Machine, "cannot start");
        return;
    }
    id.credentials = Some(Credentials { uid: 65_534, gid: 65_533, groups: vec![65_533, 12_345] });
    let finished = hand.run(&id).unwrap();
    let words: Vec<&str> = text(&finished).split_whitespace().collect();
    assert_eq!(words, ["65534", "65533", "65533", "12345", "NoNewPrivs:", "0"]);
}

fn does_not_start() {
    let (mut hand, _folder) = hand();
    fails_with(hand.run(&command("/no/such/program", &[])), FailureCode::Machine, "No such file");
    let mut away = command("/bin/true", &[]);
    away.folder = "/no/such/folder".parse().unwrap();
    fails_with(hand.run(&away), FailureCode::Machine, "/bin/true");
    let mut missing = command("/bin/true", &[]);
    missing.stdin = Some(pieces("{none}"));
    fails_with(hand.run(&missing), FailureCode::NotHeld, "`none`");
}
