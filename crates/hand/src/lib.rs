//! The hand.
#![forbid(unsafe_code)]

mod client;
mod content;
mod error;
mod process;
pub mod target;
mod types;

pub use client::Hand;
pub use error::HandError;
pub use process::enter;
pub use types::{
    Account, Binding, Command, Comparison, Credentials, DiffLine, End, FailureCode, Finished, HandStatus,
    KeyPurpose, MacLabel, Output, Placed, ReadNote, Role, SealedItem, StartOptions, VaultRecord, WrapLabel,
};
