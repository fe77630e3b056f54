//! Looks at an encoded request before it is decoded: an empty item of a list takes two bytes on the way and a hundred in memory, so its size
//! alone says little of what decoding it costs. What the request says is left to [`crate::inner`].

use crate::WireError;
use crate::error::check_size;
use prost::encoding::{WireType, decode_key, decode_varint};
use vigo_base::limits;

const WHAT: &str = "a request of an envoy";
/// Field of [`crate::inner::Request`] that holds a report.
const REPORT: u32 = 4;
/// Fields of a report that hold one resource, and the posture.
const RESOURCE: u32 = 8;
const POSTURE: u32 = 9;
/// What anything but a report may have: traits, and what stands around them.
const REQUEST: usize = limits::TRAITS + 4096;
/// Fields of a report, of its resources and of its posture together.
const FIELDS: usize = limits::RESOURCES * 8;

/// Refuses a request that would take far more memory decoded than it has bytes. What it lets through may still be no request.
///
/// # Errors
/// When a part of it is too large, has too many items, or cannot be read.
pub fn check_request(bytes: &[u8]) -> Result<(), WireError> {
    let (mut resources, mut all) = (0, 0);
    for field in Fields(bytes) {
        let (number, content) = field?;
        if number != REPORT {
            check_size(WHAT, content.len(), REQUEST)?;
            continue;
        }
        for field in Fields(content) {
            let (number, content) = field?;
            resources += usize::from(number == RESOURCE);
            all += 1;
            if number == RESOURCE || number == POSTURE {
                all += Fields(content).count();
            }
            check_size("the resources of a report", resources, limits::RESOURCES)?;
            check_size("the items of a report", all, FIELDS)?;
        }
    }
    Ok(())
}

/// The fields of a message: number and content; what is not delimited by a length has no content here.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u32, &'a [u8]), WireError> {
        let malformed = |_| WireError::Malformed { what: WHAT, why: "it is no message" };
        let (number, kind) = decode_key(&mut self.0).map_err(malformed)?;
        let length = match kind {
            WireType::Varint => {
                decode_varint(&mut self.0).map_err(malformed)?;
                0
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => decode_varint(&mut self.0).map_err(malformed)?,
            WireType::StartGroup | WireType::EndGroup => {
                return Err(WireError::Malformed { what: WHAT, why: "it has a group" });
            }
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let short = WireError::Malformed { what: WHAT, why: "it ends early" };
        let (content, rest) = self.0.split_at_checked(length).ok_or(short)?;
        self.0 = rest;
        Ok((number, content))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, &'a [u8]), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inner::{
        Ask, CheckIn, Exposure, Posture, Renew, Report, Request, ResourceReport, SecretRequest,
    };
    use prost::Message as _;

    fn check(ask: Ask) -> Result<(), WireError> {
        check_request(&Request { ask: Some(ask) }.encode_to_vec())
    }

    fn is_too_large(outcome: &Result<(), WireError>) -> bool {
        matches!(outcome, Err(WireError::TooLarge { .. }))
    }

    #[test]
    fn what_a_node_may_send_passes() {
        let changes = vec!["a line".to_owned(); 3];
        let resource = ResourceReport { id: "a:b".into(), changes, ..ResourceReport::default() };
        let report =
            Report { run: vec![1; 16], started_at: 5, resources: vec![resource; 1000], ..Report::default() };
        check(Ask::Report(report)).unwrap();
        check(Ask::CheckIn(CheckIn { term: 1, traits_digest: vec![0; 32], ..CheckIn::default() })).unwrap();
        check(Ask::Renew(Renew { request: vec![0; 500] })).unwrap();
        check_request(&[]).unwrap();
    }

    #[test]
    fn a_small_message_that_would_unfold_in_memory_is_refused() {
        let resources = vec![ResourceReport::default(); limits::RESOURCES + 1];
        assert!(is_too_large(&check(Ask::Report(Report { resources, ..Report::default() }))));
        let problems = vec![String::new(); FIELDS + 1];
        assert!(is_too_large(&check(Ask::Report(Report { problems, ..Report::default() }))));
        let exposures = vec![Exposure::default(); FIELDS + 1];
        assert!(is_too_large(&check(Ask::Report(Report { exposures, ..Report::default() }))));
        let changes = vec![String::new(); FIELDS + 1];
        let resources = vec![ResourceReport { changes: changes.clone(), ..ResourceReport::default() }];
        assert!(is_too_large(&check(Ask::Report(Report { resources, ..Report::default() }))));
        let posture = Some(Posture { reasons: changes, ..Posture::default() });
        assert!(is_too_large(&check(Ask::Report(Report { posture, ..Report::default() }))));
        let paths = vec![String::new(); limits::TRAITS];
        assert!(is_too_large(&check(Ask::Secrets(SecretRequest { paths, ..SecretRequest::default() }))));
    }

    #[test]
    fn what_is_no_message_is_said_to_be_none() {
        for bytes in [&[0x22, 5, 1][..], &[0xff; 11], &[0x0b], &[0x22, 1, 0x42]] {
            assert!(matches!(check_request(bytes), Err(WireError::Malformed { .. })), "{bytes:?}");
        }
    }
}
