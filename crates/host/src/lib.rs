//! The real machine behind the `Host` trait of `vigo-resource`: ordinary files and commands by itself, whatever holds a secret through the hand.
//!
//! It decides nothing about what a resource means. Besides, the state folder's small durable files and the reading of stacks from a disk live here, because both sides of a run need them.
#![forbid(unsafe_code)]

mod accounts;
mod commands;
mod compare;
mod exposures;
mod files;
mod folder;
mod hands;
mod host;
mod identity;
mod ledger;
mod listener;
mod looks;
mod map;
mod stacks;
mod swap;

pub use exposures::SwapProbe;
pub use folder::{Folder, FolderError};
pub use hands::Hands;
pub use host::{Parts, RealHost};
pub use ledger::{Put, Secrets};
pub use stacks::{StacksError, read_folder, read_single};
