//! What our programs ask of the kernel, from end to end, read from strace(1): first start of a server, a secret's entry, enrolment, runs, and `apply`
//! with a vault. The checks are functions over a trace; each is also given a faulty one that it must refuse.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::disallowed_types,
    reason = "test code"
)]

#[path = "trace/parse.rs"]
mod parse;
mod world;
use parse::{Call, Image, Trace};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use vigo_sys::arena::{self, Choice, Kind};
use vigo_testkit::memory::processes_below;
use world::{World, canary, run};

/// A policy that creates and replaces files with and without secrets, and starts commands with and without.
const POLICY: &str = r#"configcrate: first
resources:
  - type: file
    target_path: "{{ vars.root }}/token"
    content: "token=secret:app/token\n"
  - type: file
    target_path: "{{ vars.root }}/shared"
    content: "{{ secret('app/token') | b64encode }}\n"
    mode: "0640"
  - type: file
    target_path: "{{ vars.root }}/motd"
    content: "hello\n"
    mode: "0604"
  - name: input
    type: exec
    command: "cat > {{ vars.root }}/seen; cat /proc/self/limits > {{ vars.root }}/input-limits"
    stdin: "secret:app/token"
    creates: "{{ vars.root }}/seen"
  - name: environment
    type: exec
    command: "cat /proc/self/limits > {{ vars.root }}/environment-limits"
    environment: {TOKEN: "secret:app/token"}
    creates: "{{ vars.root }}/environment-limits"
  - name: plain
    type: exec
    command: "cat /proc/self/limits > {{ vars.root }}/plain-limits"
    creates: "{{ vars.root }}/plain-limits"
"#;

/// All traces, by what was traced, and the values that went through.
struct Traces {
    each: Vec<(&'static str, Trace)>,
    /// The folder that everything of ours was in.
    folder: String,
    values: Vec<String>,
    /// The core limits that a command got with a secret on its input, one with a secret in its environment, one without: of a run and of an `apply`.
    limits: Vec<[String; 3]>,
}

/// Made once for all tests; `None` without strace.
fn traces() -> Option<&'static Traces> {
    static TRACES: OnceLock<Option<Traces>> = OnceLock::new();
    let traces = TRACES.get_or_init(|| {
        // Others' strace(1) cannot read what undumpable processes ask for.
        let is_root = rustix::process::geteuid().is_root();
        let has_strace = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok();
        (is_root && has_strace).then(record)
    });
    if traces.is_none() {
        println!("nothing was traced: that takes strace(1), and root");
    }
    traces.as_ref()
}

/// The same command under strace.
fn traced(command: &Command, into: &Path) -> Command {
    let calls = "trace=%file,%process,%network,read,readv,pread64,write,writev,pwrite64,pwritev,sendfile,\
                 copy_file_range,splice,fchmod,fchown,ftruncate,close,prctl,prlimit64,setrlimit,mlockall,memfd_secret";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-v", "-y", "-s", "70000", "-e", "signal=none", "-e", calls, "-o"]).arg(into);
    strace.arg(command.get_program()).args(command.get_args());
    strace.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace
}

/// A server under strace. Ended as init would end it, or with the test.
struct TracedServer(Child);

impl TracedServer {
    fn start(world: &mut World, into: &Path) -> Self {
        let log = fs::File::create(world.path("srv.log")).unwrap();
        let mut command = traced(&world.server_command(), into);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = Self(command.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        let ready = loop {
            let ready = fs::read_to_string(world.path("ready")).unwrap_or_default();
            if !ready.is_empty() {
                break ready;
            }
            let log = || fs::read_to_string(world.path("srv.log")).unwrap();
            assert!(server.0.try_wait().unwrap().is_none(), "the server ended:\n{}", log());
            assert!(Instant::now() < deadline, "the server did not come up:\n{}", log());
            let _ = rustix::thread::nanosleep(&rustix::thread::Timespec { tv_sec: 0, tv_nsec: 10_000_000 });
        };
        let address = |key: &str| ready.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
        (world.grpc, world.api) = (address("grpc="), address("api="));
        server
    }

    fn end(&mut self) {
        // strace ends when all that it traces has ended.
        for process in processes_below(self.0.id()).unwrap_or_default() {
            let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
            let _gone = rustix::process::kill_process(process.unwrap(), rustix::process::Signal::TERM);
        }
        let _reaped = self.0.wait();
    }
}

impl Drop for TracedServer {
    fn drop(&mut self) {
        self.end();
    }
}

fn record() -> Traces {
    let mut world = World::new();
    world.stack("configcrates/first.vgo", POLICY);
    let outputs = tempfile::tempdir().unwrap();
    let into = |name: &str| outputs.path().join(name);
    let mut each: Vec<(&'static str, PathBuf)> = Vec::new();
    let mut traced_run = |name: &'static str, command: &Command, input: &str, code: i32| {
        each.push((name, into(name)));
        run(traced(command, &into(name)), input.as_bytes()).expect(code);
    };
    let values: Vec<String> = (0..4).map(|_| canary()).collect();

    let mut server = TracedServer::start(&mut world, &into("vigosrv"));
    traced_run("vigocli secrets set", &world.cli_command(&["secrets", "set", "app/token"]), &values[0], 0);
    world.publish().expect(0);
    let token = world.token(&[]);
    let enroll = ["enroll", &world.grpc, "--token-file", token.to_str().unwrap(), "--name", "web-1"];
    traced_run("vigo enroll", &world.vigo_command(&enroll), "", 0);
    traced_run("vigo run", &world.vigo_command(&["run"]), "", 0);
    world.cli_with_input(&["secrets", "set", "app/token"], values[1].as_bytes()).expect(0);
    fs::write(world.root().join("motd"), "drift").unwrap();
    traced_run("vigo run that replaces", &world.vigo_command(&["run"]), "", 0);
    server.end();
    let mut limits = vec![core_limits_seen(&world)];

    fs::remove_dir_all(world.root()).unwrap();
    fs::create_dir(world.root()).unwrap();
    let vault = world.path("vault").to_str().unwrap().to_owned();
    let set = ["secrets", "--vault", &vault, "set", "app/token"];
    traced_run("vigocli secrets --vault set", &world.cli_command(&set), &values[2], 0);
    let stacks = world.path("stacks").to_str().unwrap().to_owned();
    let apply = ["apply", &stacks, "--name", "web-9", "--secrets", &vault];
    traced_run("vigo apply", &world.vigo_command(&apply), "", 0);
    limits.push(core_limits_seen(&world));
    world.cli_with_input(&set, values[3].as_bytes()).expect(0);
    fs::write(world.root().join("motd"), "drift").unwrap();
    traced_run("vigo apply that replaces", &world.vigo_command(&apply), "", 0);

    each.push(("vigosrv", into("vigosrv")));
    let read = |(name, path): &(&'static str, PathBuf)| {
        (*name, Trace::parse(&String::from_utf8_lossy(&fs::read(path).unwrap())))
    };
    let each = each.iter().map(read).collect();
    Traces { each, folder: world.folder.path().to_str().unwrap().to_owned(), values, limits }
}

fn core_limits_seen(world: &World) -> [String; 3] {
    ["input-limits", "environment-limits", "plain-limits"].map(|name| core_limits(&world.root().join(name)))
}

/// The soft and the hard one (proc_pid_limits(5)).
fn core_limits(limits: &Path) -> String {
    let text = fs::read_to_string(limits).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    line.split_whitespace().take(2).collect::<Vec<_>>().join(":")
}

/// Every complaint of a check, over all traces.
fn complaints(traces: &Traces, check: impl Fn(&Trace) -> Vec<String>) -> Vec<String> {
    let of = |(name, trace): &(&str, Trace)| {
        check(trace).into_iter().map(|text| format!("{name}: {text}")).collect::<Vec<_>>()
    };
    traces.each.iter().flat_map(of).collect()
}

#[track_caller]
fn refuses(check: impl Fn(&Trace) -> Vec<String>, trace: &str) {
    assert!(!check(&Trace::parse(trace)).is_empty(), "this fault was not seen:\n{trace}");
}

/// The calls that every traced program of ours begins with.
const START: &str = "\
7 execve(\"/b/vigo\", [\"/b/vigo\", \"run\"], [\"A=b\"]) = 0\n\
7 prlimit64(0, RLIMIT_CORE, {rlim_cur=0, rlim_max=1}, NULL) = 0\n\
7 prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE) = 0\n";

/// As which of ours a call may be made.
const OURS: [&str; 5] = ["vigo", "vigo-net", "vigo-hand", "vigosrv", "vigocli"];

fn is_ours(image: &Image) -> bool {
    OURS.contains(&image.program.as_str())
}

#[test]
fn everything_that_was_to_be_traced_was() {
    let Some(traces) = traces() else { return };
    let programs = |name: &str| {
        let (_, trace) = traces.each.iter().find(|(each, _)| *each == name).unwrap();
        trace.images.iter().map(|image| image.program.as_str()).collect::<BTreeSet<_>>()
    };
    let with = |name: &str, wanted: &[&str]| {
        let seen = programs(name);
        assert!(wanted.iter().all(|each| seen.contains(each)), "{name}: {seen:?}");
    };
    with("vigosrv", &["vigosrv", "vigo-hand"]);
    with("vigocli secrets set", &["vigocli", "vigo-hand"]);
    with("vigocli secrets --vault set", &["vigocli", "vigo-hand"]);
    with("vigo enroll", &["vigo", "vigo-net"]);
    with("vigo run", &["vigo", "vigo-net", "vigo-hand", "sh", "cat"]);
    with("vigo run that replaces", &["vigo", "vigo-net", "vigo-hand"]);
    with("vigo apply", &["vigo", "vigo-hand", "sh", "cat"]);
    with("vigo apply that replaces", &["vigo", "vigo-hand"]);
    assert!(!programs("vigo apply").contains("vigo-net"), "`apply` needs no worker");
}

/// Reads of what may be a secret, or is on the way to one: a connection, a file of ours, the pipe to the parent, the input of an operator.
fn is_sensitive(image: &Image, call: &Call, folder: &str) -> bool {
    let opens = ["open", "openat", "openat2", "creat"].contains(&call.name.as_str());
    let reads = ["read", "readv", "recvmsg", "recvfrom"].contains(&call.name.as_str());
    call.name == "connect"
        || opens && (call.arguments.contains(folder) || call.result.contains(folder))
        || reads
            && ["vigo-hand", "vigo-net"].contains(&image.program.as_str())
            && call.arguments.starts_with("3<")
        || reads && image.program == "vigocli" && call.arguments.starts_with("0<")
}

fn hardens_first(trace: &Trace, folder: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for image in trace.images.iter().filter(|image| is_ours(image)) {
        let first = image.calls.iter().find(|call| is_sensitive(image, call, folder));
        let began = first.map_or(usize::MAX, |call| call.began);
        let done = |what: &str, is: &dyn Fn(&Call) -> bool| {
            let at = image.calls.iter().find(|call| is(call) && call.succeeded());
            match at {
                None => Some(format!("{} never {what}", image.program)),
                Some(call) if call.ended > began => {
                    Some(format!("{} {what} after {}", image.program, first?.line()))
                }
                Some(_) => None,
            }
        };
        complaints.extend(done("makes itself undumpable", &|call| {
            call.name == "prctl" && call.arguments.starts_with("PR_SET_DUMPABLE, SUID_DUMP_DISABLE")
        }));
        complaints.extend(done("limits its core", &|call| sets_core_limit(call)));
    }
    complaints
}

fn sets_core_limit(call: &Call) -> bool {
    call.name == "prlimit64"
        && call.arguments.starts_with("0, RLIMIT_CORE, ")
        && call.arguments.ends_with(", NULL")
}

#[test]
fn every_process_hardens_itself_before_it_connects_or_opens_anything() {
    let Some(traces) = traces() else { return };
    assert_eq!(complaints(traces, |trace| hardens_first(trace, &traces.folder)), [""; 0]);
}

#[test]
fn a_process_that_hardens_itself_late_is_seen() {
    let check = |trace: &Trace| hardens_first(trace, "/w/");
    assert_eq!(
        check(&Trace::parse(&format!("{START}7 openat(AT_FDCWD, \"/w/a\", O_RDONLY) = 3</w/a>\n"))),
        [""; 0]
    );
    for early in [
        "7 openat(AT_FDCWD, \"/w/a\", O_RDONLY) = 3</w/a>\n",
        "7 connect(3<socket:[1]>, {sa_family=AF_INET}, 16) = 0\n",
    ] {
        let (begin, rest) = START.split_at(START.find('\n').unwrap() + 1);
        refuses(check, &format!("{begin}{early}{rest}"));
    }
    refuses(check, &START.replace("DISABLE) = 0", "DISABLE) = -1 EPERM (Operation not permitted)"));
    refuses(check, &START.replace("RLIMIT_CORE", "RLIMIT_STACK"));
    refuses(
        check,
        &START
            .replace("vigo", "vigosrv")
            .replace("RLIMIT_CORE, {rlim_cur=0, rlim_max=1}, NULL", "RLIMIT_CORE, NULL, {rlim_cur=0}"),
    );
}

/// Each memfd_secret is only sized and mapped before it is closed; a hand has its first one before anything sensitive.
fn takes_protected_pages(trace: &Trace, folder: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for image in trace.images.iter().filter(|image| is_ours(image)) {
        let sensitive = image.calls.iter().find(|call| is_sensitive(image, call, folder));
        let mut first_close = None;
        for (at, call) in image.calls.iter().enumerate().filter(|(_, call)| call.name == "memfd_secret") {
            let Some(descriptor) = call.succeeded().then(|| call.result.split('<').next().unwrap()) else {
                continue;
            };
            let is_it = |other: &&Call| {
                other.task == call.task && other.arguments.split(['<', ',']).next() == Some(descriptor)
            };
            let next = image.calls[at + 1..]
                .iter()
                .filter(|other| other.task == call.task)
                .find(|other| other.name != "ftruncate");
            match next {
                Some(next) if next.name == "close" && is_it(&next) => {
                    first_close.get_or_insert(next.ended);
                }
                _ => complaints.push(format!("{} does not close {} at once", image.program, call.line())),
            }
        }
        let asked = image.calls.iter().any(|call| call.name == "memfd_secret");
        let began = sensitive.map_or(usize::MAX, |call| call.began);
        if image.program == "vigo-hand" && (!asked || first_close.is_some_and(|at| at > began)) {
            complaints.push("a hand reads something before it has protected pages".to_owned());
        }
    }
    complaints
}

#[test]
fn hands_take_protected_pages_first_and_close_their_descriptors_at_once() {
    let Some(traces) = traces() else { return };
    assert_eq!(complaints(traces, |trace| takes_protected_pages(trace, &traces.folder)), [""; 0]);
}

#[test]
fn a_descriptor_of_protected_pages_that_stays_open_is_seen() {
    let check = |trace: &Trace| takes_protected_pages(trace, "/w/");
    let start = START.replace("/b/vigo\"", "vigo-hand\"");
    let taken =
        "7 memfd_secret(O_CLOEXEC) = 4</secretmem>(deleted)\n7 ftruncate(4</secretmem>(deleted), 4096) = 0\n";
    let (closed, read) = ("7 close(4</secretmem>(deleted)) = 0\n", "7 recvmsg(3<socket:[1]>, {..}, 0) = 4\n");
    assert_eq!(check(&Trace::parse(&format!("{start}{taken}{closed}{read}"))), [""; 0]);
    refuses(check, &format!("{start}{taken}{read}{closed}"));
    refuses(check, &format!("{start}{taken}{read}"));
    refuses(check, &format!("{start}{read}{taken}{closed}"));
    refuses(check, &format!("{start}{read}"));
}

fn locks_all(trace: &Trace) -> Vec<String> {
    let all = trace.images.iter().flat_map(|image| image.prelude.iter().chain(&image.calls));
    all.filter(|call| call.name == "mlockall").map(Call::line).collect()
}

#[test]
fn nobody_locks_all_of_its_memory() {
    let Some(traces) = traces() else { return };
    assert_eq!(complaints(traces, locks_all), [""; 0]);
    refuses(locks_all, &format!("{START}7 mlockall(MCL_CURRENT) = 0\n"));
}

/// `vigo` and every hand: no socket but between processes of this machine, and no connection at all.
fn reaches_the_network(trace: &Trace) -> Vec<String> {
    let without = |image: &&Image| ["vigo", "vigo-hand"].contains(&image.program.as_str());
    let calls = trace.images.iter().filter(without).flat_map(|image| &image.calls);
    calls
        .filter(|call| match call.name.as_str() {
            "socket" => call.succeeded() && !call.arguments.starts_with("AF_UNIX"),
            "connect" | "bind" | "listen" | "accept4" => call.succeeded(),
            _ => false,
        })
        .map(Call::line)
        .collect()
}

#[test]
fn the_agent_and_the_hands_reach_no_network() {
    let Some(traces) = traces() else { return };
    assert_eq!(complaints(traces, reaches_the_network), [""; 0]);
    // The worker does: this is where it would be seen.
    let (_, run) = traces.each.iter().find(|(name, _)| *name == "vigo run").unwrap();
    let worker = run.images.iter().find(|image| image.program == "vigo-net").unwrap();
    assert!(worker.calls.iter().any(|call| call.name == "connect" && call.arguments.contains("AF_INET")));
    refuses(
        reaches_the_network,
        &format!("{START}7 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<socket:[1]>\n"),
    );
    refuses(
        reaches_the_network,
        &format!("{START}7 connect(3<socket:[1]>, {{sa_family=AF_UNIX}}, 16) = 0\n"),
    );
}

/// A file's path as strace shows it with a descriptor, if it is one below `folder`.
fn written_path(call: &Call, folder: &str) -> Option<String> {
    let (_, rest) = call.arguments.split_once('<')?;
    let (path, _) = rest.split_once('>')?;
    path.starts_with(folder).then(|| path.to_owned())
}

/// What changes mode or owner of a file after content was written to it.
fn content_before_mode(trace: &Trace, folder: &str) -> Vec<String> {
    let (mut complaints, mut with_content) = (Vec::new(), BTreeSet::new());
    let mut calls: Vec<&Call> =
        trace.images.iter().filter(|image| is_ours(image)).flat_map(|image| &image.calls).collect();
    calls.sort_by_key(|call| call.ended);
    for call in calls.into_iter().filter(|call| call.succeeded()) {
        let path = written_path(call, folder);
        match (call.name.as_str(), path) {
            (
                "write" | "writev" | "pwrite64" | "pwritev" | "sendfile" | "copy_file_range" | "splice",
                Some(path),
            ) => {
                with_content.insert(path);
            }
            // A name that is taken anew; what was there is another file.
            ("open" | "openat" | "openat2", _)
                if call.result.contains('<') && call.arguments.contains("O_TRUNC") =>
            {
                with_content.remove(call.result.split(['<', '>']).nth(1).unwrap());
            }
            ("rename" | "renameat" | "renameat2" | "unlink" | "unlinkat", _) => {
                let named = |name: &str| {
                    ['/', '"'].iter().any(|begin| call.arguments.contains(&format!("{begin}{name}\"")))
                };
                with_content.retain(|path: &String| !path.rsplit('/').next().is_some_and(named));
            }
            // SQLite run by root gives its files the owner of the database each time it opens them: the one they have.
            ("fchown", Some(path))
                if path.contains("/srv/store.db-") && call.arguments.ends_with(", 0, 0") => {}
            ("fchmod" | "fchown" | "fsetxattr", Some(path)) if with_content.contains(&path) => {
                complaints.push(call.line())
            }
            // By a path, of which a hand's cannot be seen: never in a folder of ours, as it could have content already.
            (
                "chmod" | "fchmodat" | "fchmodat2" | "chown" | "lchown" | "fchownat" | "setxattr"
                | "lsetxattr",
                _,
            ) if call.arguments.contains("0x") || call.arguments.contains(folder) => {
                complaints.push(call.line())
            }
            _ => {}
        }
    }
    complaints
}

#[test]
fn no_file_gets_content_before_its_mode_and_owner() {
    let Some(traces) = traces() else { return };
    assert_eq!(complaints(traces, |trace| content_before_mode(trace, &traces.folder)), [""; 0]);
    // And there is content to be seen, of new files and of replaced ones, written by hands and by `vigo`.
    for (name, program, what) in [
        ("vigo run", "vigo-hand", "/root/#"),
        ("vigo run", "vigo", "/root/#"),
        ("vigo run that replaces", "vigo-hand", "/root/#"),
        ("vigo run that replaces", "vigo", "/root/#"),
        ("vigo apply that replaces", "vigo-hand", "/root/#"),
        ("vigosrv", "vigosrv", "/srv/store.db"),
    ] {
        let (_, trace) = traces.each.iter().find(|(each, _)| *each == name).unwrap();
        let calls =
            trace.images.iter().filter(|image| image.program == program).flat_map(|image| &image.calls);
        let writes = |call: &&Call| ["write", "pwrite64"].contains(&call.name.as_str());
        let mut paths = calls.filter(writes).filter_map(|call| written_path(call, &traces.folder));
        assert!(paths.any(|path| path.contains(what)), "{name}: no {program} writes to {what}");
        let mut calls =
            trace.images.iter().filter(|image| image.program == program).flat_map(|image| &image.calls);
        let renames = calls.any(|call| call.name.starts_with("rename") && call.arguments.contains("/root>"));
        assert_eq!(renames, name.ends_with("replaces"), "{name}: {program}");
    }
}

#[test]
fn a_mode_that_comes_after_the_content_is_seen() {
    let check = |trace: &Trace| content_before_mode(trace, "/w");
    let write = "7 write(4</w/.vigo-1>, \"a\", 1) = 1\n";
    let mode = "7 fchmod(4</w/.vigo-1>, 0600) = 0\n";
    assert_eq!(check(&Trace::parse(&format!("{START}{mode}{write}"))), [""; 0]);
    refuses(check, &format!("{START}{write}{mode}"));
    refuses(check, &format!("{START}{write}{}", mode.replace("fchmod", "fchown")));
    refuses(check, &format!("{START}7 fchmodat(AT_FDCWD</>, \"/w/a\", 0600) = 0\n"));
    refuses(check, &format!("{START}7 fchmodat(4</w>, 0x7ffe, 0600) = 0\n"));
}

/// Calls of ours that show a value to who reads a trace: strace cannot read protected pages, so what it shows stood elsewhere.
fn shows_a_value(trace: &Trace, values: &[String]) -> Vec<String> {
    let mut complaints = Vec::new();
    for image in &trace.images {
        let ours: Vec<&Call> = if is_ours(image) {
            image.prelude.iter().chain(&image.calls).collect()
        } else if OURS.contains(&image.parent.as_str()) {
            // What a child of ours is before it is another program; its execve, which shows arguments and environment.
            image.prelude.iter().collect()
        } else {
            continue;
        };
        complaints.extend(ours.into_iter().filter(|call| call.shows(values)).map(Call::line));
    }
    complaints
}

#[test]
fn no_value_is_seen_in_any_call_of_ours() {
    let Some(traces) = traces() else { return };
    if arena::probe(Choice::Auto).0 != Kind::Secret {
        println!("no memfd_secret pages here: calls of the hands can be read, and were not checked");
        return;
    }
    assert!(
        traces.each.iter().all(|(_, trace)| every_hand_is_protected(trace)),
        "a hand without memfd_secret pages"
    );
    assert_eq!(complaints(traces, |trace| shows_a_value(trace, &traces.values)), [""; 0]);
    // What a command reads and writes is seen: a value of ours would be, too.
    for name in ["vigo run", "vigo apply"] {
        let (_, trace) = traces.each.iter().find(|(each, _)| *each == name).unwrap();
        let cat = trace.images.iter().find(|image| image.program == "cat").unwrap();
        assert!(cat.calls.iter().any(|call| call.shows(&traces.values)), "{name}: no value is ever seen");
    }
    let leak =
        format!("{START}7 write(2</dev/null>, \"x\", 1) = 1\n").replace("\"x\"", "\"a-value-of-ours\"");
    refuses(|trace| shows_a_value(trace, &["a-value-of-ours".to_owned()]), &leak);
    refuses(|trace| shows_a_value(trace, &["A=b".to_owned()]), START);
}

fn every_hand_is_protected(trace: &Trace) -> bool {
    let mut hands = trace.images.iter().filter(|image| image.program == "vigo-hand");
    hands.all(|hand| hand.calls.iter().any(|call| call.name == "memfd_secret" && call.succeeded()))
}

/// Children that a hand starts: core limit 1:1, set between clone and execve, and nothing else.
fn child_may_leave_a_core(trace: &Trace) -> Vec<String> {
    let mut complaints = Vec::new();
    for child in trace.images.iter().filter(|image| image.parent == "vigo-hand") {
        let limits: Vec<&Call> = child.prelude.iter().filter(|call| sets_core_limit(call)).collect();
        // In a hand with protected pages the limit itself cannot be seen; the child says what it got.
        let is_one = |call: &&Call| {
            (call.arguments.contains("{rlim_cur=1, rlim_max=1}") || call.arguments.contains("0x"))
                && call.succeeded()
        };
        if limits.is_empty() || !limits.iter().all(is_one) {
            complaints.push(format!("{} of {}: {limits:?}", child.program, child.parent));
        }
    }
    complaints
}

#[test]
fn every_child_with_a_secret_has_a_core_limit_of_one() {
    let Some(traces) = traces() else { return };
    assert_eq!(complaints(traces, child_may_leave_a_core), [""; 0]);
    // As the children see it themselves; who got no secret has the limits that the agent was started with.
    let own = core_limits(Path::new("/proc/self/limits"));
    for limits in &traces.limits {
        assert_eq!(*limits, ["1:1".to_owned(), "1:1".to_owned(), own.clone()]);
    }
    assert_ne!(own, "1:1", "started like this, nothing was proved");
    let children = |name: &str| {
        let (_, trace) = traces.each.iter().find(|(each, _)| *each == name).unwrap();
        trace.images.iter().filter(|image| image.parent == "vigo-hand").count()
    };
    assert_eq!((children("vigo run"), children("vigo apply")), (2, 2));
    let hand = START.replace("/b/vigo\"", "vigo-hand\"");
    let child = "8 prlimit64(0, RLIMIT_CORE, {rlim_cur=0, rlim_max=1}, NULL) = 0\n8 execve(\"/bin/sh\", [\"/bin/sh\"], []) = 0\n";
    refuses(
        child_may_leave_a_core,
        &format!(
            "{hand}7 clone(flags=CLONE_VM|CLONE_VFORK <unfinished ...>\n{child}7 <... clone resumed>) = 8\n"
        ),
    );
}
