//! How well this machine protects a value, with the reasons: what stands in the log, in `vigo status`, in reports and in the trait `protection`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use vigo_base::{ProtectionLevel, SwapClass};
use vigo_hand::HandStatus;
use vigo_sys::arena::{self, Choice, Kind};
use vigo_sys::harden;
use vigo_wire::inner;
use vigo_wire::worker::Configured;

/// The largest soft core limit that never gives a core: less than a page (core(5)).
const HARMLESS_CORE: u64 = 1;

/// What was read back of this machine's protection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posture {
    /// The level.
    pub level: ProtectionLevel,
    /// Why it is no better; empty at `secure`.
    pub reasons: Vec<String>,
    /// What swap there is; `None` when that could not be found out.
    pub swap: Option<SwapClass>,
}

/// What is known when the level is to be said.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What the running hand reads back of itself; without one its pages are tried out.
    pub hand: Option<HandStatus>,
    /// Why none could be started, where that was tried.
    pub no_hand: Option<String>,
    /// What the worker says of its sandbox; `None` when there is no server and so no worker.
    pub worker: Option<Configured>,
    /// True if there is a server, so that there has to be a worker.
    pub enrolled: bool,
    /// What could not be hardened in this process.
    pub warnings: Vec<String>,
    /// What swap there is.
    pub swap: Option<SwapClass>,
}

impl Posture {
    /// The level that follows from the facts.
    #[must_use]
    pub fn assess(facts: &Facts, arena: Choice, identity: &Path) -> Self {
        let mut insecure = Vec::new();
        let mut weak = Vec::new();
        process(&mut insecure, &mut weak, facts);
        pages(&mut insecure, &mut weak, facts, arena);
        worker(&mut weak, facts, identity);
        let level = match (insecure.is_empty(), weak.is_empty()) {
            (false, _) => ProtectionLevel::Insecure,
            (true, false) => ProtectionLevel::Weak,
            (true, true) => ProtectionLevel::Secure,
        };
        Self { level, reasons: insecure.into_iter().chain(weak).collect(), swap: facts.swap }
    }

    /// Says it in the log, once a run: a level that is no good is a warning.
    pub fn log(&self) {
        let swap = self.swap.map_or("unknown", SwapClass::as_str);
        let reasons = self.reasons.join("; ");
        match self.level {
            ProtectionLevel::Insecure => tracing::warn!(level = %self.level, swap, reasons, "protection"),
            ProtectionLevel::Weak | ProtectionLevel::Secure => {
                tracing::info!(level = %self.level, swap, reasons, "protection");
            }
        }
    }

    /// As it goes to the server.
    #[must_use]
    pub fn to_wire(&self) -> inner::Posture {
        inner::Posture {
            level: self.level.as_str().to_owned(),
            reasons: self.reasons.clone(),
            swap: self.swap.map(|class| class.as_str().to_owned()).unwrap_or_default(),
        }
    }
}

/// This process and the hand's: not dumpable, no core, not traced.
fn process(insecure: &mut Vec<String>, weak: &mut Vec<String>, facts: &Facts) {
    if harden::is_dumpable() {
        insecure.push("the agent is dumpable".to_owned());
    }
    if let Some(tracer) = harden::tracer() {
        insecure.push(format!("the agent is traced by process {tracer}"));
    }
    if harden::core_limit().soft.is_none_or(|limit| limit > HARMLESS_CORE) {
        weak.push("the core limit of the agent could not be lowered".to_owned());
    }
    weak.extend(facts.warnings.iter().cloned());
    insecure.extend(facts.no_hand.iter().map(|why| format!("secrets cannot be used: {why}")));
    let Some(hand) = &facts.hand else { return };
    if hand.dumpable {
        insecure.push("the hand is dumpable".to_owned());
    }
    if let Some(tracer) = hand.tracer {
        insecure.push(format!("the hand is traced by process {tracer}"));
    }
    if hand.open_arena_descriptors > 0 {
        insecure.push("a descriptor of the hand's protected pages is open".to_owned());
    }
    if hand.core_limit.0.is_none_or(|limit| limit > HARMLESS_CORE) {
        weak.push("the core limit of the hand could not be set".to_owned());
    }
    if !hand.network_denied {
        weak.push("the network could not be denied to the hand".to_owned());
    }
    weak.extend(hand.warnings.iter().map(|warning| format!("hand: {warning}")));
}

/// The hand's pages.
fn pages(insecure: &mut Vec<String>, weak: &mut Vec<String>, facts: &Facts, choice: Choice) {
    let (kind, reasons) = match &facts.hand {
        Some(hand) => (hand.arena.kind, hand.arena.reasons.clone()),
        None => arena::probe(choice),
    };
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    match kind {
        Kind::Secret => {}
        Kind::Locked if choice == Choice::Mlock => {
            weak.push("locked pages instead of memfd_secret, as the settings say".to_owned())
        }
        Kind::Locked => weak.push(format!("locked pages instead of memfd_secret{why}")),
        Kind::Plain => insecure.push(format!("no protected pages{why}")),
    }
}

/// The worker's cage, and that it cannot read the key that this node is.
fn worker(weak: &mut Vec<String>, facts: &Facts, identity: &Path) {
    if !facts.enrolled {
        return;
    }
    let Some(worker) = &facts.worker else {
        weak.push("the worker did not say how it is confined".to_owned());
        return;
    };
    if worker.user == rustix::process::geteuid().as_raw() {
        weak.push("the worker runs as the same user as the agent".to_owned());
    }
    weak.extend(worker.missing.iter().map(|missing| format!("worker: {missing}")));
    let readable =
        std::fs::metadata(identity).is_ok_and(|meta| meta.uid() == worker.user || meta.mode() & 0o077 != 0);
    if readable {
        weak.push("the worker's user could read the identity key".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hand() -> HandStatus {
        HandStatus {
            process: 1,
            arena: arena::Status { kind: Kind::Secret, size: 1, used: 0, max: 1, reasons: Vec::new() },
            dumpable: false,
            core_limit: (Some(1), Some(1)),
            tracer: None,
            open_arena_descriptors: 0,
            network_denied: true,
            warnings: Vec::new(),
            values: 0,
        }
    }

    fn reasons(change: impl FnOnce(&mut HandStatus)) -> Vec<String> {
        let mut status = hand();
        change(&mut status);
        let facts = Facts { hand: Some(status), ..Facts::default() };
        Posture::assess(&facts, Choice::Auto, Path::new("/nonexistent")).reasons
    }

    #[test]
    fn everything_that_is_missing_has_a_reason() {
        let base = reasons(|_| {});
        let more = |reasons: Vec<String>, word: &str| {
            assert!(
                reasons.len() == base.len() + 1 && reasons.iter().any(|reason| reason.contains(word)),
                "{reasons:?}"
            );
        };
        more(reasons(|hand| hand.dumpable = true), "hand is dumpable");
        more(reasons(|hand| hand.tracer = Some(7)), "process 7");
        more(reasons(|hand| hand.open_arena_descriptors = 1), "descriptor");
        more(reasons(|hand| hand.core_limit = (None, None)), "core limit of the hand");
        more(reasons(|hand| hand.network_denied = false), "network");
        more(reasons(|hand| hand.arena.kind = Kind::Locked), "locked pages");
        more(reasons(|hand| hand.arena.kind = Kind::Plain), "no protected pages");
    }

    #[test]
    fn a_machine_on_which_no_hand_starts_is_insecure_and_says_why() {
        let facts = Facts { no_hand: Some("it ended".to_owned()), ..Facts::default() };
        let posture = Posture::assess(&facts, Choice::Auto, Path::new("/nonexistent"));
        assert_eq!(posture.level, ProtectionLevel::Insecure);
        assert!(posture.reasons.iter().any(|reason| reason.ends_with("it ended")), "{:?}", posture.reasons);
        // The test's own process is insecure for other reasons, too.
        let (mut insecure, mut weak) = (Vec::new(), Vec::new());
        process(&mut insecure, &mut weak, &facts);
        assert!(insecure.iter().any(|reason| reason.ends_with("it ended")), "{insecure:?}; {weak:?}");
    }

    #[test]
    fn a_worker_of_the_same_user_makes_the_level_weak_at_best() {
        let me = rustix::process::geteuid().as_raw();
        let worker = Some(Configured { user: me, missing: vec!["landlock".to_owned()] });
        let facts = Facts { hand: Some(hand()), worker, enrolled: true, ..Facts::default() };
        let posture = Posture::assess(&facts, Choice::Auto, Path::new("/nonexistent"));
        assert!(posture.level <= ProtectionLevel::Weak);
        assert!(posture.reasons.iter().any(|reason| reason.contains("same user")));
        assert!(posture.reasons.iter().any(|reason| reason.contains("landlock")));
    }
}
