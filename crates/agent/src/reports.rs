//! Reports: made of what a run did, sent to the server, kept in the queue while it is away. Never a secret, nor anything from which one could be computed.

use crate::enrolment::Enrolment;
use crate::error::AgentError;
use crate::link::Link;
use crate::posture::Posture;
use prost::Message;
use vigo_base::{Blame, limits};
use vigo_engine::RunReport;
use vigo_host::Folder;
use vigo_wire::inner::{Ask, Report};

/// So many reports wait; then the oldest is dropped, and the next one says so.
const QUEUE: usize = 100;

/// What goes around the outcomes.
pub struct Frame {
    /// The machine's clock at the start, seconds since 1970.
    pub started_at: u64,
    /// How long the run took.
    pub duration_ms: u64,
    /// Term and generation of what was applied.
    pub standing: (u64, u64),
    /// The publish that it comes from.
    pub publish: u64,
    /// The server was not reached.
    pub offline: bool,
}

/// Makes the report.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn make(run: &RunReport, frame: &Frame, posture: &Posture) -> Result<Report, AgentError> {
    Ok(Report {
        run: vigo_wire::random::array::<16>()?.to_vec(),
        started_at: frame.started_at,
        duration_ms: frame.duration_ms,
        dry_run: run.dry_run,
        term: frame.standing.0,
        generation: frame.standing.1,
        publish: frame.publish,
        resources: run.resources.iter().map(vigo_engine::ResourceReport::to_wire).collect(),
        posture: Some(posture.to_wire()),
        offline: frame.offline,
        problems: run.problems.clone(),
        exposures: run.exposures.iter().map(vigo_engine::Exposure::to_wire).collect(),
    })
}

/// Puts a report into the queue, durably: from now on it reaches the server or is named as dropped.
///
/// # Errors
/// When the queue cannot be written.
pub fn queue(folder: &Folder, report: &Report) -> Result<(), AgentError> {
    let waiting = folder.names()?;
    let too_many = (waiting.len() + 1).saturating_sub(QUEUE);
    for oldest in waiting.iter().take(too_many) {
        tracing::warn!(report = oldest, "too many reports wait for the server: the oldest is dropped");
        folder.remove(oldest)?;
    }
    let mut report = report.clone();
    if too_many > 0 {
        report
            .problems
            .push(format!("{too_many} older reports were dropped: the server was away for too long"));
    }
    let name = format!("{:020}-{}", report.started_at, vigo_base::encode_hex(&report.run));
    let mut bytes = report.encode_to_vec();
    if bytes.len() > limits::REPORT {
        let short = Report {
            resources: Vec::new(),
            exposures: Vec::new(),
            problems: vec!["the report was too long to be sent".to_owned()],
            ..report
        };
        bytes = short.encode_to_vec();
    }
    Ok(folder.write(&name, &bytes)?)
}

/// Sends what waits, oldest first. Returns how many still wait because the server is away.
///
/// # Errors
/// When the queue cannot be read.
pub fn flush(folder: &Folder, link: &mut Link, enrolment: &Enrolment) -> Result<usize, AgentError> {
    let waiting = folder.names()?;
    for (sent, name) in waiting.iter().enumerate() {
        let Some(bytes) = folder.read(name, limits::REPORT)? else { continue };
        if let Ok(report) = Report::decode(bytes.as_slice()) {
            match link.ask(enrolment, Ask::Report(report)) {
                Ok(_) => {}
                Err(error) if error.blame() == Blame::Peer => {
                    tracing::warn!("the report waits for the server: {}", vigo_base::chain(&error));
                    return Ok(waiting.len() - sent);
                }
                Err(error) => tracing::warn!(%error, "the server does not take a report: it is dropped"),
            }
        }
        folder.remove(name)?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_keeps_the_newest() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(&place.path().join("queue")).unwrap();
        for second in 0..QUEUE + 5 {
            let report = Report { started_at: second as u64, run: vec![0; 16], ..Report::default() };
            queue(&folder, &report).unwrap();
        }
        let names = folder.names().unwrap();
        assert_eq!(names.len(), QUEUE);
        assert!(names[0].starts_with("00000000000000000005-"));
        let read =
            |name: &str| Report::decode(folder.read(name, 1 << 20).unwrap().unwrap().as_slice()).unwrap();
        assert!(read(&names[QUEUE - 6]).problems.is_empty());
        assert!(read(&names[QUEUE - 1]).problems[0].starts_with("1 older reports were dropped"));
    }
}
