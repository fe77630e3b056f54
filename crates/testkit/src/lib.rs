//! For tests only: a machine in memory, case files, the suite that every resource type gets without asking, and the scanner that looks for canaries.
//!
//! It leaves the cases to the crates that own the types, and real machines to whoever implements [`case::Machine`] for one.
#![forbid(unsafe_code)]

pub mod case;
pub mod fake;
pub mod harness;
pub mod memory;
pub mod scan;
pub mod suite;
