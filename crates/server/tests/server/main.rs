//! The server as a process of its own: real TLS on loopback, real SQLite in a temporary folder, a real hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types
)]

mod api_tokens;
mod config;
mod enrolment;
mod envoys;
mod holding;
mod hostile;
mod hostile_relay;
mod leaks;
mod master_key;
mod policies;
mod put_back;
mod rest;
mod secrets;
mod start;
mod support;
mod transit;
mod typed;
