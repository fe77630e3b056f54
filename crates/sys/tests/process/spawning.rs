//! Children: what they get, what they do not get, and what starting them leaves behind in the parent.

use crate::running::{
    ORDINARY, Running, become_ordinary, field, is_root, output_of, refuse_call, root_or_skip, say,
    wait_for_the_test,
};
use crate::{Named, named};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};
use vigo_sys::arena::{self, Options};
use vigo_sys::harden::{Hold, harden_process_memory, is_dumpable};
use vigo_sys::sandbox;
use vigo_sys::spawn::{Core, Credentials, Program, Spawner, Spec, Status};
use vigo_sys::thread::{park, run_protected};

pub const TESTS: &[Named] = named![
    a_child_gets_exactly_what_was_said,
    a_child_that_gets_a_secret_has_core_limits_of_1,
    descriptors_that_overlap_arrive_where_they_were_sent,
    without_close_range_nothing_else_stays_open_either,
    a_child_of_a_sandboxed_parent_is_in_no_sandbox,
    a_child_with_another_user_has_its_groups_and_no_capabilities,
    a_child_that_changes_its_user_leaves_the_parent_as_dumpable_as_it_was,
    what_cannot_be_started_says_why,
    a_child_dies_with_its_parent_however_that_ends,
    the_spawner_may_go_and_its_children_stay,
    a_whole_group_is_killed,
    a_deadline_passes_and_the_child_goes_on,
    a_child_can_be_waited_for_where_its_end_was_ignored,
    the_running_binary_starts_again_after_it_was_deleted,
    a_program_starts_straight_from_the_arena_on_a_protected_thread,
];

pub const CHILDREN: &[Named] = named![
    report,
    cat_three,
    wait_for_ever,
    asks_for_report,
    asks_for_secret_report,
    crossing,
    no_close_range,
    sandboxed,
    another_user,
    dumpable,
    hopeless,
    parent_to_be_killed,
    spawner_gone,
    group,
    deadline,
    ignoring,
    again,
    from_arena,
];

/// Child of a child: tells what it has.
fn report() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    for key in [
        "Uid:",
        "Gid:",
        "Groups:",
        "CapInh:",
        "CapPrm:",
        "CapEff:",
        "CapAmb:",
        "NoNewPrivs:",
        "Seccomp:",
        "SigBlk:",
        "SigIgn:",
        "SigCgt:",
        "Umask:",
    ] {
        say(&format!("{key} {}", field(&status, key)));
    }
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let core = field(&limits, "Max core file size");
    say(&format!("core: {}", core.split_whitespace().take(2).collect::<Vec<_>>().join(" ")));
    say(&format!("folder: {}", std::env::current_dir().unwrap().display()));
    let mut variables: Vec<String> =
        std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    variables.sort();
    say(&format!("environment: {}", variables.join(" ")));
    say(&format!("arguments: {}", std::env::args().collect::<Vec<_>>().join(" ")));
    say(&format!("open: {}", open_descriptors()));
    // SAFETY: getpgrp(2) takes nothing and cannot fail; 0 is a group that began outside this pid namespace.
    let own = unsafe { libc::getpgrp() } == rustix::process::getpid().as_raw_nonzero().get();
    say(&format!("own group: {own}"));
    // By the C function: it answers 0 for a session that began outside this pid namespace, which rustix has no value
    // for.
    // SAFETY: getsid(2) of the caller itself takes no pointer and cannot fail.
    let session = unsafe { libc::getsid(0) } == rustix::process::getpid().as_raw_nonzero().get();
    say(&format!("own session: {session}"));
}

fn open_descriptors() -> String {
    let folder = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut numbers: Vec<i32> =
        folder.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    // The folder itself is open while it is read.
    numbers.retain(|number| std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok());
    numbers.sort_unstable();
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

const REPORT: &[&CStr] = &[c"vigo-report", c"child", c"report"];

/// Starts `report` as a child, its output into our own.
fn report_with<'a>(spawner: &Spawner, change: impl FnOnce(&mut Spec<'a>)) -> Status {
    let mut spec: Spec<'a> = Spec { arguments: REPORT, ..Spec::default() };
    change(&mut spec);
    let descriptors = [(rustix::stdio::stdout(), 1)];
    spawner.spawn(&Spec { descriptors: &descriptors, ..spec }).unwrap().wait().unwrap()
}

/// Child: a parent with open files, a blocked and an ignored signal, a mask, limits and an environment of its own.
fn asks_for_report() {
    setrlimit(Resource::Core, Rlimit { current: Some(8192), maximum: Some(1 << 20) }).unwrap();
    assert!(harden_process_memory(Hold::Agent).warnings.is_empty());
    let _open = (File::open("/dev/null").unwrap(), rustix::pipe::pipe().unwrap());
    // SAFETY: no handler is installed; the descriptor is duplicated without close-on-exec, which is the point.
    unsafe {
        libc::signal(libc::SIGUSR1, libc::SIG_IGN);
        assert_eq!(libc::dup2(1, 77), 77);
    }
    let spawner = Spawner::start().unwrap();
    let environment = [c"A=1", c"B=two words"];
    let status = report_with(&spawner, |spec| {
        spec.environment = &environment;
        spec.folder = c"/usr";
        spec.umask = 0o077;
    });
    assert_eq!(status, Status::Exited(0));
    assert!(!is_dumpable());
}

fn a_child_gets_exactly_what_was_said() {
    let said = output_of("asks_for_report");
    for (key, value) in [
        ("core:", "8192 1048576"),
        ("folder:", "/usr"),
        ("environment:", "A=1 B=two words"),
        ("arguments:", "vigo-report child report"),
        ("open:", "0 1 2"),
        ("own group:", "true"),
        ("own session:", "true"),
        ("Umask:", "0077"),
        ("SigBlk:", "0000000000000000"),
        ("NoNewPrivs:", "0"),
        ("Seccomp:", "0"),
    ] {
        assert_eq!(field(&said, key), value, "{key} in {said}");
    }
    // SIGPIPE (13) is ignored by the runtime of every Rust program, SIGUSR1 (10) was by the parent.
    let ignored = u64::from_str_radix(&field(&said, "SigIgn:"), 16).unwrap();
    assert_eq!(ignored, 1 << 12);
}

/// Child.
fn asks_for_secret_report() {
    setrlimit(Resource::Core, Rlimit { current: Some(8192), maximum: Some(1 << 20) }).unwrap();
    let _ = harden_process_memory(Hold::Hand);
    let spawner = Spawner::start().unwrap();
    report_with(&spawner, |spec| {
        spec.core = Core::One;
        spec.no_new_privileges = true;
        spec.own_group = false;
    });
}

fn a_child_that_gets_a_secret_has_core_limits_of_1() {
    let said = output_of("asks_for_secret_report");
    assert_eq!(field(&said, "core:"), "1 1");
    assert_eq!(field(&said, "NoNewPrivs:"), "1");
    assert_eq!(field(&said, "own group:"), "false");
    assert_eq!(field(&said, "own session:"), "false");
}

/// Child of a child: copies 3, 4 and 5 to its output, in that order.
fn cat_three() {
    for number in 3..6 {
        say(&std::fs::read_to_string(format!("/proc/self/fd/{number}")).unwrap());
    }
    say(&open_descriptors());
}

fn pipe_with(text: &str) -> OwnedFd {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    File::from(writer).write_all(text.as_bytes()).unwrap();
    reader
}

/// Puts a descriptor at exactly this number.
fn at(number: i32, file: OwnedFd) -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: the numbers used here are free: this child opens nothing else before. The result is owned once.
    unsafe {
        assert_eq!(libc::dup2(file.as_raw_fd(), number), number);
        OwnedFd::from_raw_fd(number)
    }
}

fn crossed(spawner: &Spawner) {
    let (a, b, c) = (at(43, pipe_with("a")), at(44, pipe_with("b")), at(45, pipe_with("c")));
    // Each is sent to where another one stands in the parent, and one of them twice.
    let (a, b, c) = (at(4, a), at(5, b), at(3, c));
    let output = rustix::stdio::stdout();
    let descriptors = [(a.as_fd(), 3), (b.as_fd(), 4), (c.as_fd(), 5), (output, 1), (output, 2)];
    let spec =
        Spec { arguments: &[c"x", c"child", c"cat_three"], descriptors: &descriptors, ..Spec::default() };
    assert!(spawner.spawn(&spec).unwrap().wait().unwrap().success());
    let twice = [(a.as_fd(), 3), (b.as_fd(), 3)];
    assert!(spawner.spawn(&Spec { descriptors: &twice, ..spec }).is_err());
    assert!(spawner.spawn(&Spec { descriptors: &[(a.as_fd(), -1)], ..spec }).is_err());
    assert!(spawner.spawn(&Spec { descriptors: &[(a.as_fd(), 5000)], ..spec }).is_err());
}

/// Child.
fn crossing() {
    // Out of the way of the numbers under test.
    let _low: Vec<File> = (0..6).map(|_| File::open("/dev/null").unwrap()).collect();
    let spawner = Spawner::start().unwrap();
    drop(_low);
    crossed(&spawner);
}

fn descriptors_that_overlap_arrive_where_they_were_sent() {
    assert_eq!(output_of("crossing"), "a\nb\nc\n0 1 2 3 4 5\n");
}

/// Child: as on a kernel before 5.11.
fn no_close_range() {
    refuse_call(libc::SYS_close_range, libc::ENOSYS);
    crossing();
}

fn without_close_range_nothing_else_stays_open_either() {
    assert_eq!(output_of("no_close_range"), "a\nb\nc\n0 1 2 3 4 5\n");
}

/// Child.
fn sandboxed() {
    let spawner = Spawner::start().unwrap();
    sandbox::deny_network().unwrap();
    sandbox::no_new_privileges().unwrap();
    let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    assert_eq!((field(&own, "Seccomp:"), field(&own, "NoNewPrivs:")), ("2".to_owned(), "1".to_owned()));
    report_with(&spawner, |_| {});
}

fn a_child_of_a_sandboxed_parent_is_in_no_sandbox() {
    let said = output_of("sandboxed");
    assert_eq!((field(&said, "Seccomp:"), field(&said, "NoNewPrivs:")), ("0".to_owned(), "0".to_owned()));
}

/// Child, as root with an inheritable capability, which a mere change of user would leave.
fn another_user() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let mut sets = capabilities(None).unwrap();
    sets.inheritable |= CapabilitySet::NET_BIND_SERVICE;
    set_capabilities(None, sets).unwrap();
    let _ = harden_process_memory(Hold::Agent);
    let spawner = Spawner::start().unwrap();
    let status = report_with(&spawner, |spec| {
        spec.credentials = Some(Credentials { uid: ORDINARY, gid: 12_345, groups: &[7, 9] });
    });
    assert!(status.success());
    assert!(!is_dumpable());
}

fn a_child_with_another_user_has_its_groups_and_no_capabilities() {
    if !root_or_skip("a child with another user") {
        return;
    }
    let said = output_of("another_user");
    let four = |id: u32| [id; 4].map(|id| id.to_string()).join("\t");
    assert_eq!(field(&said, "Uid:"), four(ORDINARY));
    assert_eq!(field(&said, "Gid:"), four(12_345));
    assert_eq!(field(&said, "Groups:"), "7 9");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(&said, set), "0000000000000000", "{set}");
    }
}

/// Child: first as it is started, then hardened.
fn dumpable() {
    let spawner = Spawner::start().unwrap();
    let mut flags = Vec::new();
    for harden in [false, true] {
        if harden {
            let _ = harden_process_memory(Hold::Agent);
        }
        let before = is_dumpable();
        let credentials = is_root().then_some(Credentials { uid: ORDINARY, gid: ORDINARY, groups: &[] });
        let spec = Spec {
            program: Program::Path(c"/bin/true"),
            arguments: &[c"true"],
            credentials,
            ..Spec::default()
        };
        assert!(spawner.spawn(&spec).unwrap().wait().unwrap().success());
        flags.push((before, is_dumpable()));
        // Also when the child gets no further than its change of user.
        let spec = Spec { program: Program::Path(c"/nowhere/at all"), ..spec };
        assert!(spawner.spawn(&spec).is_err());
        flags.push((before, is_dumpable()));
    }
    say(&format!("{flags:?}"));
}

fn a_child_that_changes_its_user_leaves_the_parent_as_dumpable_as_it_was() {
    root_or_skip("that the child changes its user");
    assert_eq!(output_of("dumpable"), "[(true, true), (true, true), (false, false), (false, false)]\n");
}

/// Child.
fn hopeless() {
    let spawner = Spawner::start().unwrap();
    let arguments = [c"x"];
    let spec = Spec { program: Program::Path(c"/nowhere/at all"), arguments: &arguments, ..Spec::default() };
    assert_eq!(spawner.spawn(&spec).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    let spec = Spec { program: Program::Path(c"/dev/null"), ..spec };
    assert_eq!(spawner.spawn(&spec).unwrap_err().raw_os_error(), Some(libc::EACCES));
    let spec = Spec { program: Program::Path(c"/bin/true"), folder: c"/nowhere", ..spec };
    say(&spawner.spawn(&spec).unwrap_err().to_string());
    // Nothing of them is left.
    let left = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
    assert_eq!(left.unwrap_err(), rustix::io::Errno::CHILD);
    become_ordinary();
    let spec = Spec { credentials: Some(Credentials { uid: 0, gid: 0, groups: &[] }), folder: c"/", ..spec };
    say(&spawner.spawn(&spec).unwrap_err().to_string());
    let ok = Spec { credentials: None, ..spec };
    assert!(spawner.spawn(&ok).unwrap().wait().unwrap().success());
}

fn what_cannot_be_started_says_why() {
    let said = output_of("hopeless");
    assert!(said.starts_with("cannot enter the folder of the child: No such file"), "{said}");
    assert!(said.contains("\ncannot change user and groups of the child: Operation not permitted"), "{said}");
}

/// Child of a child: holds its output open until it is killed.
fn wait_for_ever() {
    say("up");
    park();
}

const FOR_EVER: &[&CStr] = &[c"x", c"child", c"wait_for_ever"];

/// Child: starts one that dies with it, also with another user, and waits to be killed.
fn parent_to_be_killed() {
    let spawner = Spawner::start().unwrap();
    let descriptors = [(rustix::stdio::stdout(), 1)];
    let credentials = is_root().then_some(Credentials { uid: ORDINARY, gid: ORDINARY, groups: &[] });
    let spec = Spec { arguments: FOR_EVER, descriptors: &descriptors, credentials, ..Spec::default() };
    let _child = spawner.spawn(&spec).unwrap();
    park();
}

fn a_child_dies_with_its_parent_however_that_ends() {
    let mut running = Running::start("parent_to_be_killed");
    assert_eq!(running.hear(), "up");
    running.process.kill().unwrap();
    // The end of its output comes only when the grandchild, which holds it too, has ended.
    assert!(running.falls_silent(), "the child is alive");
}

/// Child.
fn spawner_gone() {
    let spawner = Spawner::start().unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let descriptors = [(writer.as_fd(), 1)];
    let spec = Spec { arguments: FOR_EVER, descriptors: &descriptors, ..Spec::default() };
    let mut child = spawner.spawn(&spec).unwrap();
    drop(writer);
    drop(spawner);
    let mut answer = [0_u8; 3];
    File::from(reader).read_exact(&mut answer).unwrap();
    assert_eq!(child.wait_until(Instant::now() + Duration::from_millis(50)).unwrap(), None);
    child.kill_group().unwrap();
    assert_eq!(child.wait().unwrap(), Status::Signalled(libc::SIGKILL));
    child.kill_group().unwrap();
    say("done");
}

fn the_spawner_may_go_and_its_children_stay() {
    assert_eq!(output_of("spawner_gone"), "done\n");
}

/// Child.
fn group() {
    let spawner = Spawner::start().unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let descriptors = [(writer.as_fd(), 1)];
    let script = c"(echo one; exec sleep 1000) & echo two; exec sleep 1000";
    let spec = Spec {
        program: Program::Path(c"/bin/sh"),
        arguments: &[c"sh", c"-c", script],
        environment: &[c"PATH=/usr/bin:/bin"],
        descriptors: &descriptors,
        ..Spec::default()
    };
    let mut child = spawner.spawn(&spec).unwrap();
    drop(writer);
    let mut reader = File::from(reader);
    let mut answer = [0_u8; 8];
    reader.read_exact(&mut answer).unwrap();
    child.kill_group().unwrap();
    assert_eq!(reader.read(&mut answer).unwrap(), 0);
    assert_eq!(child.wait().unwrap(), Status::Signalled(libc::SIGKILL));
    assert!(child.pid() > 1 && child.pidfd().is_some());
    say("done");
}

fn a_whole_group_is_killed() {
    assert_eq!(output_of("group"), "done\n");
}

/// Child.
fn deadline() {
    let spawner = Spawner::start().unwrap();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let descriptors = [(reader.as_fd(), 0)];
    let arguments = [c"sh", c"-c", c"read x; exit 7"];
    let program = Program::Path(c"/bin/sh");
    let spec = Spec { program, arguments: &arguments, descriptors: &descriptors, ..Spec::default() };
    let mut child = spawner.spawn(&spec).unwrap();
    let begin = Instant::now();
    assert_eq!(child.wait_until(begin + Duration::from_millis(30)).unwrap(), None);
    assert!(begin.elapsed() >= Duration::from_millis(30));
    rustix::io::write(&writer, b"go\n").unwrap();
    let end = child.wait_until(Instant::now() + Duration::from_secs(60)).unwrap();
    assert_eq!(end, Some(Status::Exited(7)));
    assert_eq!(child.wait().unwrap(), Status::Exited(7));
    say("done");
}

fn a_deadline_passes_and_the_child_goes_on() {
    assert_eq!(output_of("deadline"), "done\n");
}

/// Child: started by someone who ignores SIGCHLD, which survives execve(2).
fn ignoring() {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let spawner = Spawner::start().unwrap();
    let spec = Spec { program: Program::Path(c"/bin/true"), arguments: &[c"true"], ..Spec::default() };
    assert!(spawner.spawn(&spec).unwrap().wait().unwrap().success());
    say("done");
}

fn a_child_can_be_waited_for_where_its_end_was_ignored() {
    assert_eq!(output_of("ignoring"), "done\n");
}

/// Child: runs from a copy that the test has deleted.
fn again() {
    let spawner = Spawner::start().unwrap();
    say("ready");
    wait_for_the_test();
    report_with(&spawner, |_| {});
}

fn the_running_binary_starts_again_after_it_was_deleted() {
    let copy = std::env::temp_dir().join(format!("vigo-sys-again-{}", std::process::id()));
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut running = Running::start_program(&copy, "again", |_| {});
    assert_eq!(running.hear(), "ready");
    std::fs::remove_file(&copy).unwrap();
    running.tell(b"x");
    let said = running.finish();
    assert_eq!(field(&said, "arguments:"), "vigo-report child report");
}

/// Child: everything that the kernel reads lies in secret pages.
fn from_arena() {
    let _ = harden_process_memory(Hold::Hand);
    arena::activate(Options::default()).unwrap();
    let spawner = Spawner::start().unwrap();
    sandbox::deny_network().unwrap();
    run_protected(
        256 << 10,
        Box::new(move || {
            let variables: Vec<CString> =
                (0..200).map(|number| CString::new(format!("V{number}=value")).unwrap()).collect();
            let variables: Vec<&CStr> = variables.iter().map(CString::as_c_str).collect();
            assert!(arena::contains(variables[7].to_bytes()));
            let on_the_stack = [1_u8; 16];
            assert!(is_locked(std::hint::black_box(&on_the_stack).as_ptr().addr()));
            for _ in 0..20 {
                let status = report_with(&spawner, |spec| {
                    spec.environment = &variables;
                    spec.core = Core::One;
                });
                assert!(status.success());
                assert!(!is_dumpable());
            }
            std::process::exit(0);
        }),
    )
    .unwrap();
    park();
}

/// Whether an address lies in a locked mapping (proc_pid_smaps(5)), as the pages of memfd_secret are too; no ordinary stack does.
fn is_locked(address: usize) -> bool {
    let mut is_inside = false;
    for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).ok();
        if let Some((Some(start), Some(end))) = range.map(|(start, end)| (number(start), number(end))) {
            is_inside = (start..end).contains(&address);
        } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_inside) {
            return flags.split_whitespace().any(|flag| flag == "lo");
        }
    }
    false
}

fn a_program_starts_straight_from_the_arena_on_a_protected_thread() {
    assert!(!is_locked(std::ptr::from_ref(&0_u8).addr()), "the control");
    let said = output_of("from_arena");
    assert_eq!(said.matches("V199=value").count(), 20);
    assert_eq!(field(&said, "core:"), "1 1");
    assert_eq!(field(&said, "Seccomp:"), "0");
    assert_eq!(field(&said, "open:"), "0 1 2");
}
