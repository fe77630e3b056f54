//! `vigosrv`: the server's program. What it does is in the library beside it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: vigo_sys::ProcessAllocator = vigo_sys::ProcessAllocator;

fn main() -> ExitCode {
    if let Some(code) = vigo_hand::enter_with(&vigo_transit::Transit) {
        return code;
    }
    vigo_server::main()
}
