//! What a run did, one entry a resource, in the order they ran.

use std::time::Duration;
use vigo_base::{ExposureWay, SecretPath, SecretVersion};
use vigo_resource::{DiffLine, Outcome};
use vigo_wire::inner;

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// Nothing was changed: a plan, not a convergence.
    pub dry_run: bool,
    /// One per resource, in the order they ran.
    pub resources: Vec<ResourceReport>,
    /// What the author should know though nothing failed.
    pub warnings: Vec<String>,
    /// What went wrong with the run as a whole.
    pub problems: Vec<String>,
    /// Which secrets were handed over in which way: to commands that ran, and in files that were found as written or put.
    pub exposures: Vec<Exposure>,
}

/// One secret that left the hand in one way, for one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The id of the resource.
    pub resource: String,
    /// The secret.
    pub secret: SecretPath,
    /// Its version.
    pub version: SecretVersion,
    /// How.
    pub way: ExposureWay,
}

impl Exposure {
    /// The entry as it goes to the server.
    #[must_use]
    pub fn to_wire(&self) -> inner::Exposure {
        inner::Exposure {
            resource: self.resource.clone(),
            path: self.secret.to_string(),
            version: self.version.0,
            way: self.way.to_string(),
        }
    }
}

/// What became of one resource.
#[derive(Clone, Debug)]
pub struct ResourceReport {
    /// `configcrate:name` or `configcrate:type/identity`.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Where it is written.
    pub origin: String,
    /// What became of it.
    pub outcome: Outcome,
    /// What changed, a line each.
    pub changes: Vec<String>,
    /// What changed inside, if that was asked for. It stays on this machine.
    pub diff: Vec<DiffLine>,
    /// Why it failed, is blocked, was skipped, is pending or is unverified.
    pub reason: String,
    /// What to do about it.
    pub help: String,
    /// How long it took.
    pub duration: Duration,
}

/// How many resources came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Already as written.
    pub unchanged: usize,
    /// Created, updated, deleted, or pending in a dry run.
    pub changed: usize,
    /// Failed.
    pub failed: usize,
    /// Blocked.
    pub blocked: usize,
    /// Skipped.
    pub skipped: usize,
}

impl RunReport {
    /// How many resources came to what.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for resource in &self.resources {
            let count = match resource.outcome {
                Outcome::Unchanged => &mut summary.unchanged,
                Outcome::Created | Outcome::Updated | Outcome::Deleted | Outcome::Pending => {
                    &mut summary.changed
                }
                Outcome::Failed => &mut summary.failed,
                Outcome::Blocked => &mut summary.blocked,
                Outcome::Skipped => &mut summary.skipped,
            };
            *count += 1;
        }
        summary
    }
}

impl ResourceReport {
    /// The entry as it goes to the server: without the diff.
    #[must_use]
    pub fn to_wire(&self) -> inner::ResourceReport {
        let reason = match (self.reason.is_empty(), self.help.is_empty()) {
            (_, true) => self.reason.clone(),
            (true, false) => self.help.clone(),
            (false, false) => format!("{}; {}", self.reason, self.help),
        };
        inner::ResourceReport {
            id: self.id.clone(),
            r#type: self.kind.clone(),
            outcome: self.outcome.as_str().to_owned(),
            changes: self.changes.clone(),
            reason,
            duration_ms: u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
        }
    }
}
