//! What a run prints: lines for people on standard output, or one JSON object.

use crate::arguments::ConvergeArguments;
use crate::error::AgentError;
use crate::last_run::Exposed;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use vigo_base::{Exit, ExposureWay};
use vigo_engine::{Exposure, ResourceReport, RunReport};
use vigo_resource::Outcome;

/// The format of every JSON output.
pub const FORMAT: u32 = 1;

/// Prints to standard output. A reader that closed it is no error.
///
/// # Errors
/// When it cannot be written for another reason.
pub fn print(text: &str) -> Result<(), AgentError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(AgentError::Print(error)),
        _ => Ok(()),
    }
}

/// Prints to standard error what is no log line: diagnostics with their source. Nothing can be done when it is closed.
pub fn print_error(text: &str) {
    let _closed = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints one JSON object.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &impl Serialize) -> Result<(), AgentError> {
    let mut text = serde_json::to_string(value).map_err(|error| AgentError::Print(error.into()))?;
    text.push('\n');
    print(&text)
}

#[derive(Serialize)]
struct JsonRun<'a> {
    format: u32,
    version: &'a str,
    envoy: &'a str,
    dry_run: bool,
    offline: bool,
    summary: JsonSummary,
    resources: Vec<JsonResource<'a>>,
    warnings: &'a [String],
    problems: &'a [String],
    exposures: Vec<Exposed>,
}

#[derive(Serialize)]
struct JsonSummary {
    unchanged: usize,
    changed: usize,
    failed: usize,
    blocked: usize,
    skipped: usize,
}

#[derive(Serialize)]
struct JsonResource<'a> {
    id: &'a str,
    r#type: &'a str,
    outcome: &'a str,
    changes: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diff: Vec<String>,
    reason: &'a str,
    help: &'a str,
    duration_ms: u64,
}

/// Prints what a run did.
///
/// # Errors
/// As [`print`].
pub fn print_run(
    report: &RunReport,
    envoy: &str,
    offline: bool,
    arguments: &ConvergeArguments,
) -> Result<(), AgentError> {
    if arguments.json { print_json(&json(report, envoy, offline)) } else { print(&text(report, arguments)) }
}

fn json<'a>(report: &'a RunReport, envoy: &'a str, offline: bool) -> JsonRun<'a> {
    let summary = report.summary();
    JsonRun {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION"),
        envoy,
        dry_run: report.dry_run,
        offline,
        summary: JsonSummary {
            unchanged: summary.unchanged,
            changed: summary.changed,
            failed: summary.failed,
            blocked: summary.blocked,
            skipped: summary.skipped,
        },
        resources: report.resources.iter().map(json_resource).collect(),
        warnings: &report.warnings,
        problems: &report.problems,
        exposures: report.exposures.iter().map(Exposed::from).collect(),
    }
}

fn json_resource(resource: &ResourceReport) -> JsonResource<'_> {
    JsonResource {
        id: &resource.id,
        r#type: &resource.kind,
        outcome: resource.outcome.as_str(),
        changes: &resource.changes,
        diff: resource.diff.iter().map(ToString::to_string).collect(),
        reason: &resource.reason,
        help: &resource.help,
        duration_ms: u64::try_from(resource.duration.as_millis()).unwrap_or(u64::MAX),
    }
}

fn text(report: &RunReport, arguments: &ConvergeArguments) -> String {
    let mut out = String::new();
    for resource in &report.resources {
        let quiet = matches!(resource.outcome, Outcome::Unchanged | Outcome::Skipped);
        if arguments.verbose || !quiet || is_unverified(resource) {
            add_resource(&mut out, resource, report.dry_run);
        }
    }
    for warning in &report.warnings {
        line(&mut out, "warning: ", warning);
    }
    for problem in &report.problems {
        line(&mut out, "problem: ", problem);
    }
    for exposure in report.exposures.iter().filter(|exposure| arguments.verbose || exposure.way.is_exposure())
    {
        let Exposure { resource, secret, version, way } = exposure;
        let what = if way.is_exposure() { "exposed " } else { "handed over " };
        line(&mut out, what, &format!("secret {secret} {version} by {way} of {resource}"));
    }
    let summary = report.summary();
    let verb = if report.dry_run { "would change" } else { "changed" };
    out.push_str(&format!(
        "{} unchanged, {} {verb}, {} failed, {} blocked, {} skipped\n",
        summary.unchanged, summary.changed, summary.failed, summary.blocked, summary.skipped
    ));
    if let Some(exposed) = exposed(report.exposures.iter().map(|exposure| exposure.way)) {
        out.push_str(&format!("{exposed}\n"));
    }
    out
}

/// `exposed: 2 by environment, 1 by argv`; `None` when nothing was.
#[must_use]
pub fn exposed(ways: impl Iterator<Item = ExposureWay>) -> Option<String> {
    let mut counts = BTreeMap::<ExposureWay, usize>::new();
    ways.filter(|way| way.is_exposure()).for_each(|way| *counts.entry(way).or_default() += 1);
    let parts: Vec<String> = counts.iter().map(|(way, count)| format!("{count} by {way}")).collect();
    (!parts.is_empty()).then(|| format!("exposed: {}", parts.join(", ")))
}

/// What could not be verified is worth a line although nothing was done.
fn is_unverified(resource: &ResourceReport) -> bool {
    resource.reason.contains("unverified")
}

fn add_resource(out: &mut String, resource: &ResourceReport, dry_run: bool) {
    let word = match (dry_run, resource.outcome) {
        (true, Outcome::Created) => "would create",
        (true, Outcome::Updated) => "would update",
        (true, Outcome::Deleted) => "would delete",
        (_, outcome) => outcome.as_str(),
    };
    line(out, &format!("{word} "), &resource.id);
    for change in &resource.changes {
        line(out, "    ", change);
    }
    for diff in &resource.diff {
        line(out, "    ", &diff.to_string());
    }
    if !resource.reason.is_empty() {
        line(out, "    ", &resource.reason);
    }
    if !resource.help.is_empty() {
        line(out, "    help: ", &resource.help);
    }
}

/// A line for a terminal: control characters of whatever origin become spaces.
fn line(out: &mut String, before: &str, text: &str) {
    for part in text.lines() {
        out.push_str(before);
        out.extend(
            part.chars().map(|letter| if letter.is_control() && letter != '\t' { ' ' } else { letter }),
        );
        out.push('\n');
    }
}

/// How the program ends after a run: the highest that fits of bad, not permitted, changes pending, changed.
#[must_use]
pub fn exit(report: &RunReport, detailed: bool) -> Exit {
    let summary = report.summary();
    if summary.failed + summary.blocked > 0 || !report.problems.is_empty() {
        return Exit::Bad;
    }
    match (report.dry_run, summary.changed > 0) {
        (true, true) => Exit::ChangesPending,
        (false, true) if detailed => Exit::Changed,
        _ => Exit::Success,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn report(outcomes: &[Outcome], dry_run: bool) -> RunReport {
        let resource = |outcome: &Outcome| ResourceReport {
            id: "a:b".to_owned(),
            kind: "file".to_owned(),
            origin: String::new(),
            outcome: *outcome,
            changes: Vec::new(),
            diff: Vec::new(),
            reason: String::new(),
            help: String::new(),
            duration: Duration::ZERO,
        };
        RunReport { dry_run, resources: outcomes.iter().map(resource).collect(), ..RunReport::default() }
    }

    #[test]
    fn the_exit_code_says_the_worst_that_happened() {
        use Outcome::{Blocked, Created, Failed, Pending, Unchanged, Updated};
        assert_eq!(exit(&report(&[Unchanged], false), true), Exit::Success);
        assert_eq!(exit(&report(&[Updated], false), false), Exit::Success);
        assert_eq!(exit(&report(&[Updated], false), true), Exit::Changed);
        assert_eq!(exit(&report(&[Created], true), true), Exit::ChangesPending);
        assert_eq!(exit(&report(&[Pending], true), false), Exit::ChangesPending);
        assert_eq!(exit(&report(&[Updated, Failed], false), true), Exit::Bad);
        assert_eq!(exit(&report(&[Created, Blocked], true), false), Exit::Bad);
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        let mut out = String::new();
        line(&mut out, "", "a\u{1b}[31mb");
        assert_eq!(out, "a [31mb\n");
    }
}
