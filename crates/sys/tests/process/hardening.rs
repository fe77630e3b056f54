//! Hardening, read back from inside and from outside.

use crate::running::{
    ORDINARY, Running, become_ordinary, field, output_of, proc_file, root_or_skip, say, wait_for_the_test,
};
use crate::{Named, named};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::os::unix::fs::MetadataExt;
use vigo_sys::harden::{
    Hold, core_limit, core_limit_at_start, harden_process_memory, is_dumpable, name_process, tracer,
};

pub const TESTS: &[Named] = named![
    an_agent_is_undumpable_and_has_a_soft_core_limit_of_0,
    a_hand_is_undumpable_and_has_core_limits_of_1,
    where_the_hard_core_limit_is_0_a_hand_is_warned_and_goes_on,
    the_files_of_a_hardened_process_belong_to_root_and_its_memory_is_closed_to_its_user,
    a_tracer_is_seen,
    a_process_has_the_name_it_gave_itself,
];

pub const CHILDREN: &[Named] = named![agent, hand, no_cores, exposed, hardened, traced, named_process];

/// Child: an agent with an ordinary user's start limits.
fn agent() {
    setrlimit(Resource::Core, Rlimit { current: Some(4096), maximum: Some(1 << 30) }).unwrap();
    assert!(is_dumpable());
    let hardened = harden_process_memory(Hold::Agent);
    assert!(hardened.warnings.is_empty(), "{:?}", hardened.warnings);
    assert_eq!(hardened.core_limit_at_start.soft, Some(4096));
    assert_eq!(hardened.core_limit_at_start, core_limit_at_start());
    assert!(!is_dumpable());
    // A second time, as after a change of user, it is the same.
    assert!(harden_process_memory(Hold::Agent).warnings.is_empty());
    assert_eq!(core_limit_at_start().soft, Some(4096));
    say("ready");
    wait_for_the_test();
}

fn an_agent_is_undumpable_and_has_a_soft_core_limit_of_0() {
    let mut running = Running::start("agent");
    assert_eq!(running.hear(), "ready");
    let limits = field(&running.proc("limits"), "Max core file size");
    let limits: Vec<&str> = limits.split_whitespace().collect();
    let effective = u64::from_str_radix(&field(&running.proc("status"), "CapEff:"), 16).unwrap();
    // With CAP_SYS_RESOURCE (24) the hard limit goes down too, because a child can have it back.
    let hard = if effective >> 24 & 1 == 1 { "1" } else { "1073741824" };
    assert_eq!(limits[..2], ["0", hard]);
    running.tell(b"x");
    running.finish();
}

/// Child.
fn hand() {
    assert_eq!(harden_process_memory(Hold::Hand).warnings, Vec::<String>::new());
    assert!(!is_dumpable());
    assert_eq!((core_limit().soft, core_limit().hard), (Some(1), Some(1)));
    say("ready");
    wait_for_the_test();
}

fn a_hand_is_undumpable_and_has_core_limits_of_1() {
    let mut running = Running::start_with("hand", |command| {
        use std::os::unix::process::CommandExt;
        let open = || {
            // Also where this test was started with cores switched off.
            let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: None });
            Ok(())
        };
        // SAFETY: one system call.
        unsafe { command.pre_exec(open) };
    });
    assert_eq!(running.hear(), "ready");
    let limits = field(&running.proc("limits"), "Max core file size");
    assert_eq!(limits.split_whitespace().take(2).collect::<Vec<_>>(), ["1", "1"]);
    running.tell(b"x");
    running.finish();
}

/// Child.
fn no_cores() {
    become_ordinary();
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).unwrap();
    let agent = harden_process_memory(Hold::Agent).warnings;
    let hand = harden_process_memory(Hold::Hand).warnings;
    say(&format!("{agent:?} {hand:?}"));
    assert_eq!((core_limit().soft, core_limit().hard), (Some(0), Some(0)));
    assert!(!is_dumpable());
}

fn where_the_hard_core_limit_is_0_a_hand_is_warned_and_goes_on() {
    let said = output_of("no_cores");
    assert!(
        said.contains("the hard core limit is 0") && said.contains("cannot set the core limit to 1"),
        "{said}"
    );
}

/// Child: the control.
fn exposed() {
    become_ordinary();
    // A change of user has made it undumpable.
    // SAFETY: prctl(2) with an integer.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }, 0);
    say("ready");
    wait_for_the_test();
}

/// Child.
fn hardened() {
    become_ordinary();
    let _ = harden_process_memory(Hold::Agent);
    say("ready");
    wait_for_the_test();
}

fn the_files_of_a_hardened_process_belong_to_root_and_its_memory_is_closed_to_its_user() {
    let look = |name: &str| {
        let mut running = Running::start(name);
        assert_eq!(running.hear(), "ready");
        let owner = std::fs::metadata(format!("/proc/{}/environ", running.pid())).unwrap().uid();
        let uid: u32 =
            field(&running.proc("status"), "Uid:").split_whitespace().next().unwrap().parse().unwrap();
        (owner, uid)
    };
    let (owner, uid) = look("exposed");
    assert_eq!(owner, uid);
    assert_ne!(uid, 0);
    let (owner, _) = look("hardened");
    assert_eq!(owner, 0);
    if root_or_skip("that another process of the user ORDINARY cannot read the memory of a hardened one") {
        assert_eq!(uid, ORDINARY);
    }
}

/// Child: traced by the process that started it.
fn traced() {
    assert_eq!(tracer(), None);
    // SAFETY: PTRACE_TRACEME uses none of its other arguments (ptrace(2)).
    assert_eq!(unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) }, 0);
    say(&tracer().unwrap().to_string());
}

fn a_tracer_is_seen() {
    assert_eq!(output_of("traced").trim(), std::process::id().to_string());
}

/// Child.
fn named_process() {
    name_process(c"vigo-hand");
    say("ready");
    wait_for_the_test();
}

fn a_process_has_the_name_it_gave_itself() {
    let mut running = Running::start("named_process");
    assert_eq!(running.hear(), "ready");
    assert_eq!(proc_file(running.pid(), "comm"), "vigo-hand\n");
}
