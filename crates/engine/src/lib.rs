//! Order, plan, apply, report: a bundle against a machine. Pure over [`vigo_resource::Host`]: no network, no files and no clock of its own.
//!
//! [`run`] is the whole way: render, order, ask for secrets once, then each resource in turn. A dry run is the same way over an [`overlay`](Overlay), in which earlier planned changes have happened.
//! It leaves the types to the registry that it is given, the machine to the host, and what outlives a run to the stores.
#![forbid(unsafe_code)]

mod bundle;
mod conditions;
mod digest;
mod error;
mod identity;
mod needs;
mod order;
mod overlay;
mod render;
mod report;
mod run;
mod stores;

pub use error::EngineError;
pub use identity::{Identity, Provided};
pub use order::{Order, order};
pub use overlay::Overlay;
pub use report::{Exposure, ResourceReport, RunReport, Summary};
pub use run::{FailedTrait, RunInput, RunOptions, run};
pub use stores::{AppliedRecord, AppliedStore, MemoryStores, OwedStore, Secrets, Stamp};
