//! Rows of `docs/reference/leak-catalogue.md` that no other test shows: ways in which secrets got out of other programs, tried on the real binaries.
//! Everything is said at the loudest level there is, and looked at as text and as JSON, of dry runs and of runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "test code"
)]

mod disk;
mod node;
mod said;
mod start;
mod strangers;
mod unheld;
#[path = "../world/mod.rs"]
mod world;
