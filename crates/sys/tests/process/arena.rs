//! The arena and the allocator: what can be seen from outside, what each fall-back gives, what full means.

use crate::memory::{Canary, Hit, look};
use crate::running::{
    Running, become_ordinary, output_of, read_exactly, refuse_call, say, wait_for_the_test,
};
use crate::{Named, named};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::AsFd;
use vigo_sys::arena::{self, Choice, Kind, Options};
use vigo_sys::spawn::{Program, Spawner, Spec};
use vigo_sys::thread::{park, run_protected};

pub const TESTS: &[Named] = named![
    a_value_in_secret_pages_is_found_by_nobody_not_even_root,
    the_control_finds_the_value_in_plain_pages_until_it_is_freed,
    locked_pages_are_locked_and_in_no_core,
    secret_pages_are_locked_and_their_descriptor_is_closed,
    a_forked_child_gets_neither_secret_nor_locked_pages,
    a_kernel_that_forbids_memfd_secret_gives_locked_pages_and_the_reason,
    a_kernel_without_memfd_secret_gives_locked_pages_and_the_reason,
    without_locked_memory_the_pages_are_plain_and_the_reasons_say_why,
    a_small_limit_on_locked_memory_gives_a_smaller_arena_and_a_stack_in_it,
    each_choice_is_what_was_asked_for,
    the_arena_grows_to_its_cap_and_not_a_byte_further,
    values_from_before_the_arena_move_into_it_when_they_grow,
    many_threads_share_the_arena_without_mixing_their_values,
    zeroed_memory_is_zero_where_a_value_was,
    unusable_sizes_and_a_second_arena_are_errors,
    a_panic_that_leaves_a_protected_thread_ends_the_process,
];

pub const CHILDREN: &[Named] = named![
    hold, fork, forbidden, unknown, unlocked, little, chosen, grow, move_in, share, zeroed, misuse,
    panicking,
];

const CANARY: usize = 64;

/// 64 hexadecimal characters that no process but this and the one that gets them can know.
fn fresh_canary() -> String {
    let mut bytes = [0_u8; CANARY / 2];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn choice_in_environment() -> Choice {
    match std::env::var("CHOICE").as_deref() {
        Ok("plain") => Choice::Plain,
        Ok("mlock") => Choice::Mlock,
        _ => Choice::Auto,
    }
}

/// Child: gets a value on a protected thread, works with it as libraries would, gives it to a child, drops it.
fn hold() {
    let status = arena::activate(Options { choice: choice_in_environment(), ..Options::default() }).unwrap();
    say(&format!("{:?}", status.kind));
    let spawner = Spawner::start().unwrap();
    run_protected(
        256 << 10,
        Box::new(move || {
            let mut value = vec![0_u8; CANARY];
            read_exactly(&mut value);
            let text = String::from_utf8(value.clone()).unwrap();
            let many: BTreeMap<String, Vec<u8>> =
                (0..50).map(|number| (format!("{number}-{text}"), text.repeat(3).into_bytes())).collect();
            let joined = many.keys().cloned().collect::<Vec<_>>().join(",");
            let on_stack: [u8; CANARY] = value.as_slice().try_into().unwrap();
            let variable = CString::new(format!("TOKEN={text}")).unwrap();
            let (reader, writer) = rustix::pipe::pipe().unwrap();
            let script = [c"sh", c"-c", c"echo ${#TOKEN}"];
            let spec = Spec {
                program: Program::Path(c"/bin/sh"),
                arguments: &script,
                environment: &[&variable],
                descriptors: &[(writer.as_fd(), 1)],
                ..Spec::default()
            };
            let mut child = spawner.spawn(&spec).unwrap();
            drop(writer);
            let mut answer = [0_u8; 8];
            let count = rustix::io::read(&reader, &mut answer).unwrap();
            assert_eq!(&answer[..count], format!("{CANARY}\n").as_bytes());
            assert!(child.wait().unwrap().success());
            assert!(arena::contains(value.as_slice()) && arena::contains(text.as_str()));
            say("held");
            wait_for_the_test();
            std::hint::black_box((&on_stack, &joined));
            drop((value, text, many, joined, variable));
            say("dropped");
            wait_for_the_test();
            std::process::exit(0);
        }),
    )
    .unwrap();
    park();
}

/// The copies in the process after each stage.
fn hold_and_look(choice: &str) -> (String, Vec<Hit>, Vec<Hit>) {
    let canary = fresh_canary();
    let mut running = Running::start_with("hold", |command| {
        command.env("CHOICE", choice);
    });
    let kind = running.hear();
    running.tell(canary.as_bytes());
    assert_eq!(running.hear(), "held");
    let masked = Canary::new(canary.as_bytes());
    let held = look(running.pid(), &masked).unwrap();
    assert!(held.read > 1 << 20, "the scan saw next to nothing: {held:?}");
    running.tell(b"x");
    assert_eq!(running.hear(), "dropped");
    let dropped = look(running.pid(), &masked).unwrap().hits;
    running.tell(b"x");
    running.finish();
    (kind, held.hits, dropped)
}

fn a_value_in_secret_pages_is_found_by_nobody_not_even_root() {
    let (kind, held, dropped) = hold_and_look("auto");
    assert_eq!(kind, "Secret");
    assert_eq!(held, []);
    assert_eq!(dropped, []);
}

fn the_control_finds_the_value_in_plain_pages_until_it_is_freed() {
    let (kind, held, dropped) = hold_and_look("plain");
    assert_eq!(kind, "Plain");
    assert!(held.iter().filter(|hit| hit.length == CANARY).count() > 100, "{held:?}");
    // Frames of the stack stay until they are overwritten; in the heap nothing may.
    let in_heap: Vec<_> =
        dropped.iter().filter(|hit| heap_of(&held).contains(&hit.mapping.as_str())).collect();
    assert!(in_heap.is_empty(), "{in_heap:?}");
}

/// The mappings with most of the copies: the heap of the arena.
fn heap_of(hits: &[Hit]) -> Vec<&str> {
    let count = |mapping: &str| hits.iter().filter(|hit| hit.mapping == mapping).count();
    let most = hits.iter().map(|hit| count(&hit.mapping)).max().unwrap();
    hits.iter().map(|hit| hit.mapping.as_str()).filter(|mapping| count(mapping) == most).collect()
}

/// The flags of each mapping of at least `least` KiB that has all of `flags` (proc_pid_smaps(5)).
fn mappings_with(smaps: &str, flags: &[&str]) -> Vec<u64> {
    let mut sizes = Vec::new();
    let mut size = 0;
    for line in smaps.lines() {
        if let Some(value) = line.strip_prefix("Size:") {
            size = value.trim().trim_end_matches(" kB").parse().unwrap();
        } else if let Some(found) = line.strip_prefix("VmFlags:") {
            let found: Vec<&str> = found.split_whitespace().collect();
            if flags.iter().all(|flag| found.contains(flag)) {
                sizes.push(size);
            }
        }
    }
    sizes
}

fn held_by(choice: &str) -> Running {
    let mut running = Running::start_with("hold", |command| {
        command.env("CHOICE", choice);
    });
    running.hear();
    running.tell(fresh_canary().as_bytes());
    assert_eq!(running.hear(), "held");
    running
}

fn locked_pages_are_locked_and_in_no_core() {
    let running = held_by("mlock");
    // The heap, the thread's stack, the spawner's stack, the stack of its children.
    assert_eq!(sorted(mappings_with(&running.proc("smaps"), &["lo", "dd", "wf"])), [64, 128, 256, 2048]);
    let control = held_by("plain");
    assert!(mappings_with(&control.proc("smaps"), &["lo"]).is_empty());
}

fn secret_pages_are_locked_and_their_descriptor_is_closed() {
    let running = held_by("auto");
    assert_eq!(sorted(mappings_with(&running.proc("smaps"), &["lo", "dd", "dc"])), [64, 128, 256, 2048]);
    assert_eq!(running.proc("maps").matches("rw-s").count(), 4);
    let open = std::fs::read_dir(format!("/proc/{}/fd", running.pid())).unwrap();
    let open: Vec<_> = open.map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap()).collect();
    assert!(!open.is_empty());
    assert!(!open.iter().any(|file| file.to_string_lossy().contains("secretmem")), "{open:?}");
}

fn sorted(mut sizes: Vec<u64>) -> Vec<u64> {
    sizes.sort_unstable();
    sizes
}

/// Child: forks; the forked one reads a value of the arena and reports what it sees by its end.
fn fork() {
    arena::activate(Options { choice: choice_in_environment(), ..Options::default() }).unwrap();
    let value = Box::new(0x5A_u8);
    // SAFETY: the forked child reads one byte through raw pointers and ends.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: the address is of a live box; where the page is gone the child ends by SIGSEGV, which is the test.
        let seen = unsafe { std::ptr::read_volatile(&raw const *value) };
        // SAFETY: ends the forked child at once.
        unsafe { libc::_exit(i32::from(seen)) }
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    say(&format!("{} {}", libc::WEXITSTATUS(status), libc::WIFSIGNALED(status)));
}

fn a_forked_child_gets_neither_secret_nor_locked_pages() {
    let fork = |choice: &str| {
        Running::start_with("fork", |command| {
            command.env("CHOICE", choice);
        })
        .finish()
    };
    assert_eq!(fork("auto"), "0 true\n");
    assert_eq!(fork("mlock"), "0 false\n");
    assert_eq!(fork("plain"), format!("{} false\n", 0x5A));
}

fn activate_and_report(options: Options) {
    let status = arena::activate(options).unwrap();
    say(&format!("{:?} {} KiB", status.kind, status.size / 1024));
    status.reasons.iter().for_each(|reason| say(reason));
    let value = Box::new([7_u8; 100]);
    assert!(arena::contains(&*value));
}

/// Child.
fn forbidden() {
    refuse_call(libc::SYS_memfd_secret, libc::EPERM);
    activate_and_report(Options::default());
}

/// Child.
fn unknown() {
    refuse_call(libc::SYS_memfd_secret, libc::ENOSYS);
    activate_and_report(Options::default());
}

fn a_kernel_that_forbids_memfd_secret_gives_locked_pages_and_the_reason() {
    let said = output_of("forbidden");
    assert!(said.starts_with("Locked 2048 KiB\nmemfd_secret for "), "{said}");
    assert!(said.contains("not permitted"), "{said}");
}

fn a_kernel_without_memfd_secret_gives_locked_pages_and_the_reason() {
    let said = output_of("unknown");
    assert!(said.starts_with("Locked 2048 KiB\nmemfd_secret for "), "{said}");
    assert!(said.contains("not implemented"), "{said}");
}

fn limit_locked_memory(bytes: u64) {
    setrlimit(Resource::Memlock, Rlimit { current: Some(bytes), maximum: Some(bytes) }).unwrap();
}

/// Child.
fn unlocked() {
    become_ordinary();
    limit_locked_memory(0);
    activate_and_report(Options::default());
    run_protected(64 << 10, Box::new(|| std::process::exit(0))).unwrap();
    park();
}

fn without_locked_memory_the_pages_are_plain_and_the_reasons_say_why() {
    let said = output_of("unlocked");
    assert!(said.starts_with("Plain 2048 KiB\nmmap of memfd_secret for "), "{said}");
    assert!(said.contains("\nmlock2 for 2048 KiB refused: "), "{said}");
}

/// Child: the heap takes 512 of 640 KiB, so that a stack of 256 has to come out of it.
fn little() {
    become_ordinary();
    limit_locked_memory(700 << 10);
    activate_and_report(Options::default());
    run_protected(
        256 << 10,
        Box::new(|| {
            let frame = [1_u8; 1000];
            assert!(arena::contains(std::hint::black_box(&frame)));
            let status = arena::status().unwrap();
            say(&format!("used {} of {}", status.used > 256 << 10, status.size / 1024));
            let mut big: Vec<u8> = Vec::new();
            assert!(big.try_reserve(640 << 10).is_err());
            say(&arena::status().unwrap().reasons.pop().unwrap());
            assert!(arena::room() < 384 << 10);
            std::process::exit(0);
        }),
    )
    .unwrap();
    park();
}

fn a_small_limit_on_locked_memory_gives_a_smaller_arena_and_a_stack_in_it() {
    let said = output_of("little");
    assert!(said.starts_with("Secret 640 KiB\nmmap of memfd_secret for 2056 KiB refused: "), "{said}");
    assert!(said.contains("\nused true of 640\nthe arena cannot grow: "), "{said}");
}

/// Child.
fn chosen() {
    activate_and_report(Options { choice: choice_in_environment(), ..Options::default() });
}

fn each_choice_is_what_was_asked_for() {
    for (choice, expected) in [("auto", "Secret"), ("mlock", "Locked"), ("plain", "Plain")] {
        let said = Running::start_with("chosen", |command| {
            command.env("CHOICE", choice);
        });
        assert_eq!(said.finish(), format!("{expected} 2048 KiB\n"));
    }
}

/// Child: fills a small arena.
fn grow() {
    let options = Options { choice: Choice::Auto, size: 256 << 10, max: 1 << 20 };
    let status = arena::activate(options).unwrap();
    assert_eq!((status.size, status.max), (256 << 10, 1 << 20));
    assert!(arena::room() > 1_000_000);
    let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(64);
    loop {
        let mut block: Vec<u8> = Vec::new();
        if block.try_reserve_exact(60 << 10).is_err() {
            break;
        }
        assert!(arena::contains(block.spare_capacity_mut()));
        block.resize(60 << 10, 0xEE);
        blocks.push(block);
    }
    let full = arena::status().unwrap();
    assert!((13..=17).contains(&blocks.len()), "{}", blocks.len());
    assert_eq!((full.size, arena::regions().len()), (1 << 20, 4));
    assert!(arena::room() < 200 << 10);
    assert!(blocks.iter().flatten().all(|byte| *byte == 0xEE));
    blocks.truncate(4);
    let freed = arena::status().unwrap().used;
    assert!(freed < 260 << 10, "{freed}");
    let mut again: Vec<u8> = Vec::new();
    again.try_reserve_exact(200 << 10).unwrap();
    assert!(Vec::<u8>::new().try_reserve_exact(2 << 20).is_err());
    say("done");
}

fn the_arena_grows_to_its_cap_and_not_a_byte_further() {
    assert_eq!(output_of("grow"), "done\n");
}

/// Child: also a block greater than a step.
fn move_in() {
    let mut early: Vec<u32> = (0..1000).collect();
    let dropped = early.clone();
    arena::activate(Options { choice: Choice::Plain, size: 256 << 10, max: 4 << 20 }).unwrap();
    assert!(!arena::contains(early.as_slice()));
    early.extend(1000..100_000);
    assert!(arena::contains(early.as_slice()));
    assert!(early.iter().copied().eq(0..100_000));
    early.truncate(10);
    early.shrink_to_fit();
    assert!(arena::contains(early.as_slice()));
    assert_eq!(early, (0..10).collect::<Vec<_>>());
    drop(dropped);
    say("done");
}

fn values_from_before_the_arena_move_into_it_when_they_grow() {
    assert_eq!(output_of("move_in"), "done\n");
}

/// Child: threads that each keep and check values of their own.
fn share() {
    arena::activate(Options { choice: Choice::Plain, ..Options::default() }).unwrap();
    let worker = |seed: u64| {
        let mut random = seed;
        let mut kept: Vec<Vec<u8>> = Vec::new();
        for round in 0..2000_usize {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed);
            let length = usize::try_from(random >> 52).unwrap() + 1;
            let mark = u8::try_from(length % 251).unwrap();
            let mut fresh = vec![mark; length];
            fresh.extend(std::iter::repeat_n(mark, round % 97));
            kept.push(fresh);
            if kept.len() > 40 {
                let old = kept.swap_remove(round % 40);
                assert!(old.iter().all(|byte| *byte == old[0]));
            }
        }
        assert!(kept.iter().all(|each| each.iter().all(|byte| *byte == each[0])));
    };
    std::thread::scope(|scope| {
        (1..5).for_each(|seed| {
            scope.spawn(move || worker(seed));
        });
    });
    say("done");
}

fn many_threads_share_the_arena_without_mixing_their_values() {
    assert_eq!(output_of("share"), "done\n");
}

/// Child.
fn zeroed() {
    arena::activate(Options { choice: Choice::Plain, ..Options::default() }).unwrap();
    for size in [16_usize, 100, 4096, 100_000] {
        let dirty: Vec<Vec<u8>> = (0..8).map(|_| vec![0xFF; size]).collect();
        drop(dirty);
        let clean: Vec<Vec<u8>> = (0..8).map(|_| vec![0; size]).collect();
        assert!(clean.iter().flatten().all(|byte| *byte == 0));
    }
    say("done");
}

fn zeroed_memory_is_zero_where_a_value_was() {
    assert_eq!(output_of("zeroed"), "done\n");
}

/// Child.
fn misuse() {
    let options = |size, max| Options { choice: Choice::Plain, size, max };
    for (size, max) in [(0, 0), (4096, 1 << 20), (1 << 20, 512 << 10), (1 << 20, usize::MAX)] {
        say(&arena::activate(options(size, max)).unwrap_err().to_string());
    }
    assert!(arena::status().is_none());
    assert_eq!(arena::room(), usize::MAX);
    assert!(run_protected(0, Box::new(|| ())).is_err());
    assert_eq!(arena::activate(options(1 << 20, 1 << 20)).unwrap().kind, Kind::Plain);
    say(&arena::activate(options(1 << 20, 1 << 20)).unwrap_err().to_string());
}

fn unusable_sizes_and_a_second_arena_are_errors() {
    let said = output_of("misuse");
    assert_eq!(
        said.lines().filter(|line| line.starts_with("cannot activate an arena of ")).count(),
        4,
        "{said}"
    );
    assert!(said.ends_with("cannot activate the arena: it is active already\n"), "{said}");
}

/// Child.
fn panicking() {
    arena::activate(Options { choice: Choice::Plain, ..Options::default() }).unwrap();
    std::panic::set_hook(Box::new(|_| ()));
    run_protected(0, Box::new(|| panic!("on purpose"))).unwrap();
    park();
}

fn a_panic_that_leaves_a_protected_thread_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;
    let (_, status) = Running::start("panicking").end();
    assert_eq!(status.signal(), Some(libc::SIGABRT));
}
