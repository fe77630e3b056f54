//! Runs a command several times and says what it cost.

use std::process::{Command, Stdio};
use std::time::Instant;

/// What one run of a command cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// User and system time of the command and all its children.
    pub cpu_ms: f64,
    /// Wall time.
    pub wall_ms: f64,
    /// Peak resident memory of its largest process.
    pub peak_mb: f64,
}

/// Runs `command` and says what it cost. Its output is dropped; an exit code other than 0 is an error.
pub fn once(command: &mut Command) -> Result<Cost, String> {
    let before = vigo_sys::usage::children();
    let started = Instant::now();
    let status =
        command.stdin(Stdio::null()).stdout(Stdio::null()).status().map_err(|error| error.to_string())?;
    let wall_ms = started.elapsed().as_secs_f64() * 1e3;
    let after = vigo_sys::usage::children();
    if !status.success() {
        return Err(format!("{command:?} ended with {status}"));
    }
    // The peak of children is the largest ever reaped, so callers measure their smallest command first.
    let peak_mb = after.peak_kib as f64 / 1024.0;
    Ok(Cost { cpu_ms: (after.cpu - before.cpu).as_secs_f64() * 1e3, wall_ms, peak_mb })
}

/// The median cost of `runs` runs, after one that is not counted.
pub fn median(runs: usize, mut command: impl FnMut() -> Result<Command, String>) -> Result<Cost, String> {
    once(&mut command()?)?;
    let mut costs = Vec::with_capacity(runs);
    for _ in 0..runs {
        costs.push(once(&mut command()?)?);
    }
    let middle = |pick: fn(&Cost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Ok(Cost {
        cpu_ms: middle(|cost| cost.cpu_ms),
        wall_ms: middle(|cost| cost.wall_ms),
        peak_mb: middle(|cost| cost.peak_mb),
    })
}
