//! `vigocli` against a server: whom it trusts, how it fails, what it sends and what it prints.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_types,
    missing_docs
)]

mod access;
mod config;
mod harness;
mod import;
mod lists;
mod refusals;
mod secrets;
