//! `vigocli`: re-executed as `vigo-hand` it is a hand; else the operator's tool.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: vigo_sys::ProcessAllocator = vigo_sys::ProcessAllocator;

fn main() -> ExitCode {
    if let Some(code) = vigo_hand::enter() {
        return code;
    }
    vigo_cli::run()
}
