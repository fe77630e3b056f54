//! Takes what a run did, stores it, and says so. The same run again is the same run.

use crate::dispatch::refused;
use crate::fleet::Member;
use crate::rest::exposure;
use crate::state::Server;
use crate::{ServerError, checkin, clock};
use prost::Message as _;
use vigo_base::limits;
use vigo_store::NewRun;
use vigo_wire::inner::{Answer, Report, ReportReply};

/// Answers a report. Blocks.
///
/// # Errors
/// When the store cannot be written.
pub fn answer(server: &Server, member: &Member, report: Report) -> Result<Answer, ServerError> {
    if report.encoded_len() > limits::REPORT || report.resources.len() > limits::RESOURCES {
        return Ok(refused("too-large", format!("a report has {} bytes at most", limits::REPORT)));
    }
    if report.run.len() != 16 {
        return Ok(refused("malformed", "the run's id has not 16 bytes"));
    }
    // What the store can hold; nothing that happened is beyond it.
    let numbers = [report.started_at, report.duration_ms, report.publish, report.generation];
    if numbers.into_iter().any(|number| i64::try_from(number).is_err()) {
        return Ok(refused("malformed", "a number in the report is beyond all bounds"));
    }
    if let Some(posture) = &report.posture {
        member.note_posture(checkin::posture(posture));
        server.fleet.touch(member.id());
    }
    let run = NewRun { envoy: member.id(), received_at: clock::now(), report: &report };
    let is_new = server.store.store_run(&run)?;
    if is_new && !report.dry_run {
        let seen = exposure::of_report(member.id(), run.received_at, &report.exposures);
        server.store.record_exposures(&seen)?;
    }
    Ok(Answer::Report(ReportReply {}))
}
