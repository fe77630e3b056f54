//! Every type that crosses a process border: bundles, assignments and their signatures, the inner session, enrolment, and the pipes between `vigo`, its worker and its hand.
//!
//! Messages are protobuf (package `vigo.v1`): numbers are never used twice, and each message has a golden file. It leaves transport to others: nothing here opens a socket.
#![forbid(unsafe_code)]

pub mod assignment;
pub mod bundle;
pub mod inner;
pub mod node;
