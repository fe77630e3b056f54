//! What the running daemon says of itself to who asks on the control socket: read back at that moment, as far as it can be.

use crate::enrolment::{self, Enrolment};
use crate::link::seconds_now;
use crate::machine::Machine;
use crate::posture::{Facts, Posture};
use crate::traits;
use vigo_hand::HandStatus;
use vigo_host::Hands;
use vigo_sys::arena::Kind;
use vigo_sys::harden;
use vigo_wire::control::{AgentStatus, Answered, Asked, HandFacts, ProcessFacts, Setting, WorkerFacts};

/// A running daemon, for its answers.
pub struct Running<'a> {
    /// Settings, state and what was seen last.
    pub machine: &'a Machine,
    /// Who it is to its server.
    pub enrolment: &'a Enrolment,
    /// The hand that may run.
    pub hands: &'a Hands,
    /// Seconds since 1970.
    pub started_at: u64,
}

impl Running<'_> {
    /// Answers what may be asked.
    #[must_use]
    pub fn answer(&self, asked: &Asked) -> Answered {
        match asked {
            Asked::Status(_) => Answered::Status(Box::new(self.status())),
        }
    }

    fn status(&self) -> AgentStatus {
        let machine = self.machine;
        let seen = machine.seen.borrow();
        let hand = self.hands.status();
        let facts = Facts {
            hand: hand.clone(),
            no_hand: None,
            worker: seen.worker.clone(),
            enrolled: true,
            warnings: machine.warnings.clone(),
            swap: traits::swap_class(),
        };
        let identity = enrolment::identity_path(&machine.state);
        let posture = Posture::assess(&facts, machine.settings.arena, &identity).to_wire();
        AgentStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            process: Some(own(machine)),
            started_at: self.started_at,
            state_dir: machine.settings.state_dir.display().to_string(),
            server: self.enrolment.record.server.clone(),
            level: posture.level,
            reasons: posture.reasons,
            swap: posture.swap,
            hand: hand.map(hand_facts),
            worker: seen.worker.as_ref().map(|worker| WorkerFacts {
                process: seen.worker_process.unwrap_or_default(),
                user: worker.user,
                missing: worker.missing.clone(),
            }),
            settings: settings(machine),
            last_check_in: seen.checked_in_at.unwrap_or_default(),
            last_run: seen.ran_at.unwrap_or_default(),
            last_error: seen.failure.clone().unwrap_or_default(),
        }
    }
}

/// What this process reads back of itself.
#[must_use]
pub fn own(machine: &Machine) -> ProcessFacts {
    let core = harden::core_limit();
    ProcessFacts {
        process: std::process::id(),
        dumpable: harden::is_dumpable(),
        core_soft: core.soft,
        core_hard: core.hard,
        tracer: harden::tracer(),
        warnings: machine.warnings.clone(),
    }
}

/// What a hand reads back of itself.
#[must_use]
pub fn hand_facts(status: HandStatus) -> HandFacts {
    let pages = match status.arena.kind {
        Kind::Secret => "secret",
        Kind::Locked => "locked",
        Kind::Plain => "plain",
    };
    let bytes = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    HandFacts {
        process: Some(ProcessFacts {
            process: status.process,
            dumpable: status.dumpable,
            core_soft: status.core_limit.0,
            core_hard: status.core_limit.1,
            tracer: status.tracer,
            warnings: status.warnings,
        }),
        pages: pages.to_owned(),
        reasons: status.arena.reasons,
        size: bytes(status.arena.size),
        used: bytes(status.arena.used),
        most: bytes(status.arena.max),
        open_descriptors: status.open_arena_descriptors,
        network_denied: status.network_denied,
        values: status.values,
    }
}

/// The settings with where each comes from.
#[must_use]
pub fn settings(machine: &Machine) -> Vec<Setting> {
    let shown = machine.settings.shown().into_iter();
    shown
        .map(|(name, value, origin)| Setting { name: name.to_owned(), value, source: origin.to_string() })
        .collect()
}

/// Remembers how a run ended.
pub fn ran(machine: &Machine, failure: Option<String>) {
    let mut seen = machine.seen.borrow_mut();
    seen.ran_at = Some(seconds_now());
    seen.failure = failure;
}
