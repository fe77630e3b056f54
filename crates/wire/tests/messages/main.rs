//! Every message from outside the crate: what it always was, and what a liar makes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod golden;
mod hand;
mod hostile;
mod samples;
