//! The contract between resource types and the machine: attributes, plan, change, outcome, the [`Host`] trait, the registry.
//!
//! A type is one implementation of [`Resource`]; whoever carries types out knows them only through a [`Registry`].
//! It leaves the types to `resources`, their order to `engine`, and the real machine to `host`.
#![forbid(unsafe_code)]

mod attributes;
mod command;
mod context;
mod convert;
mod host;
mod outcome;
mod registry;
mod schema;
mod swap;

pub use attributes::{AttributeProblem, Attributes};
pub use command::{CommandLine, CommandRequest, End, Finished, Output, OutputRule};
pub use context::{
    AllHeld, Context, ManagedPaths, NoValues, NothingManaged, SecretChange, SecretsOnDemand, Values,
};
pub use convert::{CommandValue, Shell};
pub use host::{
    Comparison, Entry, EntryKind, Exposed, Group, Host, Link, Ownership, Placement, Timestamp, User,
    Validation, is_public_table,
};
pub use outcome::{Applied, Change, DiffLine, DiffSign, Failure, FailureKind, Outcome, Plan, Unchanged};
pub use registry::{AnyResource, AnySteps, Registry, Resource, ResourceType, TypeOf};
pub use schema::{AttributeInfo, Example, Kind, Provides, SecretRule, TypeInfo};
pub use swap::{Erase, Storage, StorageContent, SwapArea, SwapModel, SwapState, SwapStep};
