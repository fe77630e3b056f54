//! "A taken worker can delay and deny, nothing else": the agent's own code, its hand as a process of its own, and a real inner server, with a
//! worker between them that does what it likes.
//!
//! Without the usual harness: this program is also the hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    reason = "test code"
)]

mod answers;
mod assignments;
mod enrolment;
mod origin;
mod pipe;
mod requests;
mod secrets;
mod transport;
mod worker;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: vigo_sys::ProcessAllocator = vigo_sys::ProcessAllocator;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    if let Some(code) = vigo_hand::enter() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let tests: Vec<Test> = [
        answers::TESTS,
        requests::TESTS,
        pipe::TESTS,
        assignments::TESTS,
        secrets::TESTS,
        transport::TESTS,
        enrolment::TESTS,
    ]
    .concat();
    // The flags of the usual harness that cargo and nextest give.
    if arguments.iter().any(|word| word == "--list") {
        if !arguments.iter().any(|word| word == "--ignored") {
            tests.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let exact = arguments.iter().any(|word| word == "--exact");
    let wanted: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| {
        wanted.is_empty()
            || wanted.iter().any(|word| if exact { name == **word } else { name.contains(*word) })
    };
    let mut failed = 0;
    for (name, test) in tests.iter().filter(|(name, _)| is_wanted(name)) {
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += u32::from(!passed);
    }
    println!("{failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
