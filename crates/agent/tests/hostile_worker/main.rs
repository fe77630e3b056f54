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

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: vigo_sys::ProcessAllocator = vigo_sys::ProcessAllocator;

type Test = (&'static str, fn());

fn main() -> ExitCode {
    if let Some(code) = vigo_hand::enter() {
        return code;
    }
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
    vigo_testkit::harness::run(&tests, |test| test())
}
