//! What this machine found out about itself, with what it says of its own protection.

use crate::posture::Posture;
use vigo_base::SwapClass;
use vigo_engine::FailedTrait;
use vigo_traits::{Given, Source};
use vigo_wire::node::Node;

/// The traits of one run.
pub struct Traits {
    /// All of them, for expressions.
    pub all: Node,
    /// Those that do not change all the time: what the server is told.
    pub lasting: Node,
    /// What could not be found out.
    pub failed: Vec<FailedTrait>,
}

/// Finds out everything.
#[must_use]
pub fn collect(posture: &Posture) -> Traits {
    let given = Given { level: posture.level, reasons: posture.reasons.clone() };
    let collected = vigo_traits::collect(&Source::default(), &given);
    let failed = collected.failures.into_iter();
    Traits {
        lasting: vigo_traits::without_volatile(&collected.traits),
        all: collected.traits,
        failed: failed.map(|(name, reason)| FailedTrait { name: name.to_owned(), reason }).collect(),
    }
}

/// The class of this machine's swap; `None` when it cannot be found out.
#[must_use]
pub fn swap_class() -> Option<SwapClass> {
    vigo_traits::swap_posture(&Source::default()).ok().map(|posture| posture.class)
}
