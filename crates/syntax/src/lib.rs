//! Reads `.vgo` files: bytes become a tree of nodes that know where they stand, and diagnostics that say what is wrong, where and what to do.
//!
//! Never fails and does no I/O. What keys and values mean is `vigo-policy`'s business; what stands inside `{{ }}` is `vigo-template`'s.
#![forbid(unsafe_code)]

mod codes;
mod diagnostic;
mod node;
mod place;
mod render;
mod repair;
mod tree;
mod yaml;

pub use codes::{Code, Severity};
pub use diagnostic::{Diagnostic, Related, has_errors, sort};
pub use node::{Entry, Kind, Node, Style, Text};
pub use place::{count_solid, locate, locate_solid};
pub use render::{DiagnosticReport, RelatedReport, Report, render_json, render_text};
pub use tree::{Tree, TreeError, TreeFile};
pub use vigo_base::nearest;
pub use yaml::{Parsed, parse};
