//! `traits.protection`: how well this agent's memory is protected. The agent knows it and gives it in.

use crate::Class::Periodic;
use crate::{Given, Known, Source, TraitError, known, text, texts};
use vigo_wire::node::Node;

pub const KNOWN: [Known; 2] = [
    known("level", Periodic, "`secure`, `weak` or `insecure`, as the agent says of itself"),
    known("reasons", Periodic, "why it is no better"),
];

// The list of collectors wants one signature for all.
#[allow(clippy::unnecessary_wraps)]
pub fn collect(_: &Source, given: &Given) -> Result<Vec<Node>, TraitError> {
    Ok(vec![text(Some(given.level.as_str())), texts(given.reasons.iter().map(String::as_str))])
}
