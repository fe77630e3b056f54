//! Everything in Vigo that needs `unsafe`: protected pages and the allocator over them, threads whose stack lies there,
//! process hardening, spawn straight from protected memory, the sandbox, peer credentials.
//!
//! Layer 1, a safe API and no logic: what to do with a secret, when to start a process and what to do if a sandbox does
//! not hold is decided above. Calls that are safe already are made with `rustix` by those who need them.
//! Linux is the real thing; other Unixes get what they have, and what they lack is named in warnings and reasons.

mod allocator;
pub mod arena;
pub mod arguments;
mod error;
pub mod harden;
#[cfg(target_os = "linux")]
pub mod intrude;
#[cfg_attr(not(target_os = "linux"), path = "launch_portable.rs")]
mod launch;
mod lock;
mod pages;
pub mod peer;
pub mod sandbox;
pub mod signal;
pub mod spawn;
pub mod swap;
pub mod thread;
pub mod usage;
pub mod walk;

pub use allocator::ProcessAllocator;
pub use error::SysError;
