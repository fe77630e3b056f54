//! Nothing leaks: canaries are planted as secrets, and looked for everywhere that a secret has ever come out of a program like this.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "test code"
)]

mod alone;
mod axes;
mod bed;
mod cell;
#[path = "../host/mod.rs"]
mod host;
mod matrix;
mod recipes;
mod served;
mod sinks;
#[path = "../world/mod.rs"]
mod world;
