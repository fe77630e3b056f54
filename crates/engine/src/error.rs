//! Why a run cannot begin. What goes wrong with a single resource is in the report instead.

use vigo_base::Blame;

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The bundle points outside of itself.
    #[error("cannot read the bundle: {0}")]
    Bundle(String),
    /// Its templates cannot be taken in.
    #[error("cannot take in the bundle's templates")]
    Templates(#[source] vigo_template::TemplateError),
    /// Resources that each must come before the other.
    #[error("cannot order the resources: they wait for each other in a circle: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// Something that `--only` names and the bundle does not have.
    #[error("cannot find `{0}` among the resources of this envoy")]
    UnknownReference(String),
    /// Something that `--only` names and the bundle has twice.
    #[error("cannot tell which resource `{reference}` is: {}", .candidates.join(" or "))]
    AmbiguousReference {
        /// As written.
        reference: String,
        /// The ids of those that it fits.
        candidates: Vec<String>,
    },
}

impl EngineError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Bundle(_) => Blame::Peer,
            Self::Templates(_) | Self::Cycle(_) => Blame::Author,
            Self::UnknownReference(_) | Self::AmbiguousReference { .. } => Blame::Operator,
        }
    }
}
