//! Expressions and templates with opaque secret slots; bounded, without access to files, environment, network or clock.
//!
//! At publish: [`recognise`] finds secret references in the policy's own text, [`check()`] parses it and lists the names it uses. On the envoy: [`Renderer`] renders nodes of a bundle in a [`Scope`]; where a secret is to stand, the result has a slot. Values of secrets never come here.
#![forbid(unsafe_code)]

mod calls;
mod check;
mod condition;
mod edit;
mod engine;
mod error;
mod filters;
mod prepare;
mod problem;
mod recognise;
mod render;
mod scan;
mod scope;
mod session;
mod slot;
mod value;

#[cfg(test)]
mod tests;

pub use check::{Name, Names, check, check_expression};
pub use condition::{FUNCTIONS, PROBING, Probe, WallClock};
pub use edit::Origins;
pub use error::{At, TemplateError};
pub use problem::{Problem, code};
pub use recognise::{Recognised, SecretCall, recognise};
pub use render::Renderer;
pub use scope::{EnvoyFacts, Scope};

/// Where a text stands in the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A string attribute or variable of a `.vgo` file: `{#` is text.
    Attribute,
    /// A file under `templates/`: `{# #}` is a comment.
    TemplateFile,
}
