//! Every type that crosses a process border: bundles, assignments and their signatures, the inner session, enrolment, and the pipes between `vigo`, its worker and its hand.
//!
//! Messages are protobuf (package `vigo.v1`): numbers are never used twice, and each message has a golden file. It leaves transport to others: nothing here opens a socket.
#![forbid(unsafe_code)]

pub mod assignment;
pub mod bundle;
pub mod control;
pub mod enrol;
mod error;
pub mod frame;
pub mod generation;
pub mod hand;
pub mod identity;
pub mod inner;
pub mod measure;
pub mod node;
pub mod outer;
pub mod random;
pub mod session;
pub mod sign;
pub mod verify;
pub mod worker;

pub use error::WireError;
pub use verify::{VerifiedAssignment, check_bundle, encode_bundle, verify_assignment};
