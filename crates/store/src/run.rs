//! Reports of runs.

use vigo_base::{EnvoyId, EnvoyName};
use vigo_wire::inner::{Report, ResourceReport};

/// How many runs of one envoy are kept; older ones go.
pub const RUNS_KEPT: usize = 100;

/// How many resources came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Were as they should be.
    pub unchanged: u64,
    /// Were changed (created, updated, deleted).
    pub changed: u64,
    /// Failed.
    pub failed: u64,
    /// Could not be tried.
    pub blocked: u64,
    /// Were not wanted here.
    pub skipped: u64,
}

impl Summary {
    /// Counts outcomes. A word that this build does not know counts as failed: nothing bad is hidden.
    #[must_use]
    pub fn of(resources: &[ResourceReport]) -> Self {
        let mut summary = Self::default();
        for resource in resources {
            let count = match resource.outcome.as_str() {
                "unchanged" => &mut summary.unchanged,
                "created" | "updated" | "deleted" | "changed" => &mut summary.changed,
                "blocked" => &mut summary.blocked,
                "skipped" => &mut summary.skipped,
                _ => &mut summary.failed,
            };
            *count = count.saturating_add(1);
        }
        summary
    }
}

/// A report to be stored.
#[derive(Clone, Copy)]
pub struct NewRun<'a> {
    /// Whose.
    pub envoy: EnvoyId,
    /// When it came.
    pub received_at: u64,
    /// What it says; `run` in it has 16 bytes.
    pub report: &'a Report,
}

/// A stored run, without its resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// 16 random bytes.
    pub run: [u8; 16],
    /// Whose.
    pub envoy: EnvoyId,
    /// The envoy's name when it came.
    pub name: EnvoyName,
    /// When it came.
    pub received_at: u64,
    /// Its start by the machine's clock.
    pub started_at: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// Nothing was changed.
    pub dry_run: bool,
    /// The server was not reached.
    pub offline: bool,
    /// The publish that was applied.
    pub publish: u64,
    /// The generation that was applied.
    pub generation: u64,
    /// What it did.
    pub summary: Summary,
}
