//! How the last run ended, for `vigo status`.

use crate::error::AgentError;
use crate::posture::Posture;
use crate::reports::Frame;
use serde::{Deserialize, Serialize};
use vigo_engine::{Exposure, RunReport};
use vigo_host::Folder;

const FORMAT: u32 = 1;
const NAME: &str = "last-run";
/// A record of this size names some 100,000 exposures.
const LIMIT: usize = 16 << 20;
/// Resources that are named, when something is wrong with them.
const NAMED: usize = 50;

/// What is remembered of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastRun {
    /// The format of this record.
    pub format: u32,
    /// Seconds since 1970.
    pub started_at: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// Nothing was changed.
    pub dry_run: bool,
    /// The server was not reached.
    pub offline: bool,
    /// The publish that was applied; 0 without a server.
    pub publish: u64,
    /// How many resources came to what.
    pub unchanged: usize,
    /// Likewise.
    pub changed: usize,
    /// Likewise.
    pub failed: usize,
    /// Likewise.
    pub blocked: usize,
    /// Likewise.
    pub skipped: usize,
    /// What failed or is blocked, and why.
    pub bad: Vec<(String, String)>,
    /// Which secrets were handed over in which way.
    #[serde(default)]
    pub exposures: Vec<Exposed>,
    /// The protection while it ran.
    pub level: String,
    /// Why it was no better.
    pub reasons: Vec<String>,
}

/// One secret that was handed over in one way, for one resource.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exposed {
    /// The resource's id.
    pub resource: String,
    /// The secret's path.
    pub path: String,
    /// Its version.
    pub version: u64,
    /// A word of [`vigo_base::ExposureWay`].
    pub way: String,
}

impl From<&Exposure> for Exposed {
    fn from(exposure: &Exposure) -> Self {
        Self {
            resource: exposure.resource.clone(),
            path: exposure.secret.to_string(),
            version: exposure.version.0,
            way: exposure.way.to_string(),
        }
    }
}

/// Remembers a run.
///
/// # Errors
/// When it cannot be written.
pub fn store(
    folder: &Folder,
    report: &RunReport,
    frame: &Frame,
    posture: &Posture,
) -> Result<(), AgentError> {
    let summary = report.summary();
    let bad = report.resources.iter().filter(|resource| !resource.outcome.satisfies());
    let last = LastRun {
        format: FORMAT,
        started_at: frame.started_at,
        duration_ms: frame.duration_ms,
        dry_run: report.dry_run,
        offline: frame.offline,
        publish: frame.publish,
        unchanged: summary.unchanged,
        changed: summary.changed,
        failed: summary.failed,
        blocked: summary.blocked,
        skipped: summary.skipped,
        bad: bad.take(NAMED).map(|resource| (resource.id.clone(), resource.reason.clone())).collect(),
        exposures: report.exposures.iter().map(Exposed::from).collect(),
        level: posture.level.to_string(),
        reasons: posture.reasons.clone(),
    };
    let bytes = serde_json::to_vec(&last).map_err(|error| AgentError::Run(error.to_string()))?;
    Ok(folder.write(NAME, &bytes)?)
}

/// The last run; `None` before the first.
///
/// # Errors
/// When it cannot be read.
pub fn load(folder: &Folder) -> Result<Option<LastRun>, AgentError> {
    let Some(bytes) = folder.read(NAME, LIMIT)? else { return Ok(None) };
    let wrong = |error: serde_json::Error| AgentError::Stored {
        path: folder.path().join(NAME),
        why: error.to_string(),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(wrong)
}
