//! What the hand answers, to whom, and within which bounds: one table, as in OpenSSH's monitor.c. Whatever is not in it ends the process.

use super::refused::Refused;
use super::state::State;
use super::{drift, entry, files, import, master, output, run, server, transit, values, vault};
use prost::Message;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use vigo_base::limits::{FRAME, SECRET_VALUE};
use vigo_wire::hand::{Ask, DONE, Role};

use crate::client::LARGEST_FRAME;

/// Roles that may ask.
type Roles = u8;
const NODE: Roles = 1;
const OPERATOR: Roles = 2;
const SERVER: Roles = 4;
const ALL: Roles = NODE | OPERATOR | SERVER;

/// A request with paths, keys and flags only.
const SMALL: usize = 8 << 10;
/// A request with one sealed value or record: the value and what sealing adds to it.
const VALUE: usize = SECRET_VALUE + SMALL;

/// One line of the table.
struct Row {
    ask: Ask,
    roles: Roles,
    largest: usize,
    descriptors: RangeInclusive<usize>,
    handler: Handler,
}

/// Decodes a request, does it, encodes the answer.
type Handler = fn(&mut State, &[u8], Vec<OwnedFd>) -> Result<Vec<u8>, Violation>;

/// What ends the process: who sends such a frame is not the program that started it, or is out of step.
pub(crate) struct Violation(pub(crate) &'static str);

macro_rules! row {
    ($ask:ident, $roles:expr, $largest:expr, $descriptors:expr, $handler:path) => {
        Row {
            ask: Ask::$ask,
            roles: $roles,
            largest: $largest,
            descriptors: $descriptors,
            handler: |state, body, descriptors| call(state, body, descriptors, $handler),
        }
    };
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    //   request          who may ask         bytes at most  descriptors  answered by
    row!(Hello,           ALL,                SMALL,         0..=0,       values::hello), // the first frame, and only the first
    row!(Status,          ALL,                0,             0..=0,       values::status),
    row!(OneTimeKey,      NODE | OPERATOR,    0,             0..=0,       values::one_time_key),
    row!(Open,            NODE,               LARGEST_FRAME, 0..=0,       values::open),
    row!(OpenRecord,      NODE,               VALUE,         0..=0,       values::open_record),
    row!(Take,            NODE,               SMALL,         0..=1,       values::take),
    row!(Forget,          NODE,               FRAME,         0..=0,       values::forget),
    row!(Held,            NODE,               0,             0..=0,       values::held),
    row!(NewRun,          NODE,               0,             0..=0,       values::new_run),
    row!(Compare,         NODE,               FRAME,         1..=1,       files::compare),
    row!(Write,           NODE,               FRAME,         1..=1,       files::write),
    row!(Stage,           NODE,               FRAME,         1..=1,       files::stage),
    row!(Commit,          NODE,               0,             0..=0,       files::commit),
    row!(Discard,         NODE,               0,             0..=0,       files::discard),
    row!(Run,             NODE,               FRAME,         0..=1,       run::run),
    row!(Scrub,           NODE,               FRAME,         0..=0,       values::scrub),
    row!(Missing,         NODE,               FRAME,         0..=0,       output::missing),
    row!(Listen,          NODE,               FRAME,         3..=3,       output::listen),
    row!(Verify,          NODE,               FRAME,         1..=1,       drift::verify),
    row!(Covered,         NODE,               0,             0..=0,       drift::covered),
    row!(Uses,            NODE,               FRAME,         0..=0,       values::uses),
    row!(ReadAndSeal,     OPERATOR,           SMALL,         1..=1,       entry::read_and_seal),
    row!(ReadIntoRecord,  OPERATOR,           SMALL,         1..=1,       entry::read_into_record),
    row!(ReadImport,      OPERATOR,           SMALL,         1..=1,       import::read),
    row!(OpenImport,      OPERATOR,           FRAME,         0..=1,       import::open),
    row!(SealImport,      OPERATOR,           SMALL,         0..=0,       import::seal_one),
    row!(RecordImport,    OPERATOR,           SMALL,         0..=0,       import::record_one),
    row!(Show,            OPERATOR,           VALUE,         1..=1,       entry::show),
    row!(ShowRecord,      OPERATOR,           VALUE,         1..=1,       entry::show_record),
    row!(CreateMasterKey, OPERATOR | SERVER,  SMALL,         0..=0,       master::create),
    row!(UnlockVault,     ALL,                SMALL,         0..=1,       master::unlock),
    row!(LookAtKey,       ALL,                SMALL,         0..=0,       master::look),
    row!(PrepareMasterKey, OPERATOR | SERVER, SMALL,         0..=1,       master::prepare),
    row!(StoreMasterKey,  OPERATOR | SERVER,  SMALL,         0..=1,       master::store),
    row!(Rekey,           OPERATOR | SERVER,  LARGEST_FRAME, 0..=0,       master::rekey),
    row!(AdoptMasterKey,  OPERATOR | SERVER,  0,             0..=0,       master::adopt),
    row!(WrapMasterKey,   OPERATOR | SERVER,  FRAME,         1..=1,       transit::wrap),
    row!(UnwrapMasterKey, OPERATOR | SERVER,  FRAME,         1..=1,       transit::unwrap),
    row!(ShowNewMasterKey, OPERATOR,          0,             1..=1,       master::show_new),
    row!(Generate,        OPERATOR | SERVER,  SMALL,         0..=0,       vault::generate),
    row!(Mac,             ALL,                FRAME,         0..=0,       vault::mac),
    row!(NewKey,          SERVER,             SMALL,         0..=0,       server::new_key),
    row!(LoadKey,         SERVER,             SMALL,         0..=0,       server::load_key),
    row!(Sign,            SERVER,             FRAME,         0..=0,       server::sign),
    row!(Put,             SERVER,             VALUE,         0..=0,       server::put),
    row!(Reseal,          SERVER,             LARGEST_FRAME, 0..=0,       server::reseal),
    row!(Wrap,            SERVER,             SMALL,         0..=0,       server::wrap),
    row!(Unwrap,          SERVER,             SMALL,         0..=0,       server::unwrap),
];

/// Answers one frame.
pub(crate) fn answer(
    state: &mut State,
    frame: &[u8],
    descriptors: Vec<OwnedFd>,
) -> Result<Vec<u8>, Violation> {
    let (number, body) = frame.split_first().ok_or(Violation("an empty frame"))?;
    let ask = Ask::from_number(*number).ok_or(Violation("a request that there is not"))?;
    let row = TABLE.iter().find(|row| row.ask == ask).ok_or(Violation("a request that is not answered"))?;
    let role = match state.role {
        None if ask == Ask::Hello => ALL,
        None => return Err(Violation("a request before the first frame")),
        Some(_) if ask == Ask::Hello => return Err(Violation("a second first frame")),
        Some(Role::Node) => NODE,
        Some(Role::Operator) => OPERATOR,
        Some(Role::Server) => SERVER,
        Some(Role::Unknown) => 0,
    };
    if row.roles & role == 0 {
        return Err(Violation("a request that this role may not ask"));
    }
    if body.len() > row.largest {
        return Err(Violation("a request that is too large"));
    }
    if !row.descriptors.contains(&descriptors.len()) {
        return Err(Violation("a request with too many or too few descriptors"));
    }
    (row.handler)(state, body, descriptors)
}

/// Decodes, hands over, encodes.
fn call<Q: Message + Default, A: Message>(
    state: &mut State,
    body: &[u8],
    descriptors: Vec<OwnedFd>,
    handler: fn(&mut State, Q, Vec<OwnedFd>) -> Result<A, Refused>,
) -> Result<Vec<u8>, Violation> {
    let request = Q::decode(body).map_err(|_| Violation("a request that does not decode"))?;
    Ok(match handler(state, request, descriptors) {
        Ok(answer) => {
            let mut bytes = Vec::with_capacity(answer.encoded_len() + 1);
            bytes.push(DONE);
            // Encoding into a vector cannot fail: it grows.
            let _ = answer.encode(&mut bytes);
            bytes
        }
        Err(refused) => refused.answer(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_exactly_one_row() {
        for ask in Ask::ALL {
            assert_eq!(TABLE.iter().filter(|row| row.ask == *ask).count(), 1, "{ask:?}");
        }
        assert_eq!(TABLE.len(), Ask::ALL.len());
    }

    #[test]
    fn the_table_in_the_documentation_is_this_one() {
        let documented: Vec<(String, Roles)> = include_str!("../lib.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `"))
            .filter_map(|line| {
                let (name, rest) = line.split_once('`')?;
                let roles = rest.split('|').nth(1)?;
                let role = |word, role| if roles.contains(word) { role } else { 0 };
                Some((
                    name.to_owned(),
                    role("node", NODE) | role("operator", OPERATOR) | role("server", SERVER),
                ))
            })
            .collect();
        let mut real: Vec<(String, Roles)> =
            TABLE.iter().map(|row| (row.ask.name().to_owned(), row.roles)).collect();
        real.sort();
        let mut sorted = documented;
        sorted.sort();
        assert_eq!(sorted, real);
    }
}
