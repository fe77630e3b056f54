//! Real processes, looked at from outside: this binary runs itself again as the process under test.
//!
//! `process [FILTER]` runs the tests, as root or as an ordinary user; `process child NAME` is one process under test.
//! What needs root is said where it is left out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    clippy::string_slice,
    missing_docs
)]

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod arena;
#[cfg(target_os = "linux")]
mod hardening;
#[cfg(target_os = "linux")]
#[allow(dead_code, unused_imports)]
#[path = "../../../testkit/src/memory.rs"]
mod memory;
#[cfg(target_os = "linux")]
mod running;
#[cfg(target_os = "linux")]
mod sandboxes;
#[cfg(target_os = "linux")]
mod spawning;

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: vigo_sys::ProcessAllocator = vigo_sys::ProcessAllocator;

/// A test, or what a child does, by its name.
#[cfg(target_os = "linux")]
type Named = (&'static str, fn());

/// Names functions by themselves.
#[macro_export]
macro_rules! named {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name as fn())),*] };
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, name, ..] = arguments.as_slice()
        && role == "child"
    {
        let children = [arena::CHILDREN, hardening::CHILDREN, spawning::CHILDREN, sandboxes::CHILDREN];
        let found = children.into_iter().flatten().find(|(each, _)| each == name);
        found.expect("no such child").1();
        return std::process::ExitCode::SUCCESS;
    }
    let tests: Vec<&Named> =
        [arena::TESTS, hardening::TESTS, spawning::TESTS, sandboxes::TESTS].into_iter().flatten().collect();
    if arguments.iter().any(|each| each == "--list") {
        // An ignored-only listing is asked for separately by test runners, and there is none.
        let ignored = arguments.iter().any(|each| each == "--ignored");
        tests.iter().filter(|_| !ignored).for_each(|(name, _)| println!("{name}: test"));
        return std::process::ExitCode::SUCCESS;
    }
    run(&tests, &arguments)
}

#[cfg(target_os = "linux")]
fn run(tests: &[&Named], arguments: &[String]) -> std::process::ExitCode {
    let exact = arguments.iter().any(|each| each == "--exact");
    let filters: Vec<&String> = arguments.iter().filter(|each| !each.starts_with('-')).collect();
    let wanted = |name: &str| {
        let fits = |filter: &&String| if exact { name == **filter } else { name.contains(filter.as_str()) };
        filters.is_empty() || filters.iter().any(fits)
    };
    let mut failed = Vec::new();
    let mut passed = 0;
    for (name, test) in tests.iter().filter(|(name, _)| wanted(name)) {
        match std::panic::catch_unwind(test) {
            Ok(()) => {
                passed += 1;
                println!("test {name} ... ok");
            }
            Err(_) => {
                println!("test {name} ... FAILED");
                failed.push(*name);
            }
        }
    }
    println!("\n{passed} passed; {} failed {failed:?}", failed.len());
    if failed.is_empty() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
