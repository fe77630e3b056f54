//! How well the server's secrets are protected, in one word with its reasons: what the hand says of itself, read back.

use vigo_base::ProtectionLevel;
use vigo_hand::HandStatus;
use vigo_sys::arena::Kind;

/// The level, and why it is no better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// The level.
    pub level: ProtectionLevel,
    /// Empty at `secure`.
    pub reasons: Vec<String>,
}

impl Protection {
    /// What the status amounts to.
    #[must_use]
    pub fn of(hand: &HandStatus) -> Self {
        let mut level = ProtectionLevel::Secure;
        let mut reasons = Vec::new();
        let mut lower = |to: ProtectionLevel, why: String| {
            level = level.min(to);
            reasons.push(why);
        };
        match hand.arena.kind {
            Kind::Secret => {}
            Kind::Locked => {
                lower(ProtectionLevel::Weak, "values are in locked pages, not in secret ones".into())
            }
            Kind::Plain => lower(ProtectionLevel::Insecure, "values are in ordinary pages".into()),
        }
        if hand.dumpable {
            lower(ProtectionLevel::Insecure, "the hand is dumpable".into());
        }
        if let Some(tracer) = hand.tracer {
            lower(ProtectionLevel::Insecure, format!("process {tracer} traces the hand"));
        }
        if hand.open_arena_descriptors > 0 {
            lower(ProtectionLevel::Weak, "a descriptor of the protected pages is open".into());
        }
        if !hand.network_denied {
            lower(ProtectionLevel::Weak, "the hand is not kept from the network".into());
        }
        reasons.extend(hand.arena.reasons.iter().cloned());
        reasons.extend(hand.warnings.iter().cloned());
        Self { level, reasons }
    }
}
