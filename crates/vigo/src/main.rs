//! The agent's binary: names and hardens the process first, then is `vigo`, `vigo-net` or `vigo-hand`, as the name it was started by says.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use vigo_sys::ProcessAllocator;
use vigo_sys::harden::{Hold, harden_process_memory, name_process};

/// In the hand every allocation lies in protected pages; elsewhere this is the system's allocator.
#[global_allocator]
static ALLOCATOR: ProcessAllocator = ProcessAllocator;

fn main() -> ExitCode {
    if let Some(exit) = vigo_hand::enter() {
        return exit;
    }
    if let Some(exit) = vigo_agent_net::enter() {
        return exit;
    }
    if let Some(exit) = vigo_agent::enter_attacker() {
        return exit;
    }
    name_process(c"vigo");
    vigo_agent::main(harden_process_memory(Hold::Agent))
}
