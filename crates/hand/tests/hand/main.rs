//! The hand as a real process: every role's requests, what ends it, and where in memory a value is found.
//!
//! Without the usual harness: this program is also the hand, its parent, and the scanner of memory, by its arguments.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::disallowed_types
)]

mod credentials;
mod drift;
mod files;
mod memory;
mod parts;
mod process;
mod run;
mod values;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: vigo_sys::ProcessAllocator = vigo_sys::ProcessAllocator;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    if let Some(code) = vigo_hand::enter() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("be-a-parent") => return process::be_a_parent(),
        Some("limited") => return process::limited(&arguments[1]),
        Some("without-mount") => return credentials::without_mount(),
        Some("scan") => return memory::scan(&arguments[1..]),
        Some("write-values") => return memory::write_values(&arguments[1..]),
        _ => {}
    }
    let tests: Vec<Test> = [
        process::TESTS,
        values::TESTS,
        files::TESTS,
        run::TESTS,
        credentials::TESTS,
        drift::TESTS,
        memory::TESTS,
    ]
    .concat();
    vigo_testkit::harness::run(&tests, |test| test())
}
