//! The network worker `vigo-net`: the only part of the agent with TLS, HTTP and async. It relays bytes that it cannot open.
//!
//! A process of its own, started by `vigo` with one end of a socket pair at descriptor 3, under another user id where that is possible. It
//! takes everything away from itself that it does not need before its runtime starts, and ends when its parent does. It holds a transport
//! key, which proves nothing to the protocol inside; what a taken worker can do is delay and deny. What the bytes mean is left to
//! `vigo_wire::session` and `vigo_wire::enrol`, on the other side of the pipe.
#![forbid(unsafe_code)]

mod address;
mod backoff;
mod call;
mod connect;
mod error;
mod key;
mod pipe;
mod relay;
mod sandbox;
mod tls;

pub use error::NetError;

use std::process::ExitCode;

/// First thing in `main`: if this process was started as `vigo-net`, it is the worker until its parent ends, and this gives its exit code.
#[must_use]
pub fn enter() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    if name.as_encoded_bytes() != vigo_wire::worker::NAME.to_bytes() {
        return None;
    }
    Some(match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

/// From hardening to the end of the pipe. Its errors have nowhere to go but the exit code: the other end sees a closed pipe.
fn run() -> Result<(), NetError> {
    let pipe = vigo_sys::peer::take_pipe().map_err(NetError::Pipe)?;
    let missing = sandbox::enter();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(2)
        .thread_keep_alive(std::time::Duration::from_secs(1))
        .build()
        .map_err(NetError::Runtime)?;
    let served = runtime.block_on(pipe::serve(pipe, missing));
    // A name lookup may hang in a thread of its own for longer than anybody waits.
    runtime.shutdown_background();
    served
}
