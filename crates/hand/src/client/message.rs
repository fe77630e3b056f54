//! Between the types of callers and the messages of the pipe.

use crate::HandError;
use crate::content::Wanted;
use crate::target::{Durability, Placement};
use crate::types::{
    Binding, Command, Comparison, DiffLine, End, Finished, HandStatus, Heard, Output, Placed, ReadNote,
    SealedItem, VaultRecord,
};
use std::os::fd::OwnedFd;
use std::path::Path;
use vigo_base::{Piece, Pieces, Sealed, SecretPath, SecretVersion, Slot};
use vigo_sys::arena;
use vigo_wire::hand as wire;

/// A path as the pipe takes it.
pub(crate) fn path_text(path: &Path) -> Result<String, HandError> {
    let refuse = || {
        let why = format!("`{}` is not an absolute path in UTF-8", path.display());
        HandError::Request { what: "name a file to the hand", why }
    };
    path.to_str().filter(|_| path.is_absolute()).map(str::to_owned).ok_or_else(refuse)
}

pub(crate) fn slot(slot: &Slot) -> wire::Slot {
    let filters = slot.filters.iter().map(|filter| filter.name().into()).collect();
    wire::Slot { path: slot.path.to_string(), filters }
}

pub(crate) fn edit(edit: &vigo_edit::Edit) -> wire::Edit {
    let (kind, arguments) = edit.to_arguments();
    let arguments =
        arguments.into_pairs().into_iter().map(|(name, value)| wire::EditArgument { name, value });
    wire::Edit { kind: kind.into(), arguments: arguments.collect() }
}

pub(crate) fn text(pieces: &Pieces) -> wire::Text {
    let piece = |piece: &Piece| match piece {
        Piece::Literal(text) => wire::Piece { literal: text.clone(), slot: None },
        Piece::Slot(one) => wire::Piece { literal: String::new(), slot: Some(slot(one)) },
    };
    wire::Text { pieces: pieces.as_slice().iter().map(piece).collect() }
}

pub(super) fn binding(binding: &Binding) -> wire::Binding {
    wire::Binding { party: binding.party.to_vec(), epoch: binding.epoch, request: binding.request.to_vec() }
}

pub(super) fn sealed_item(item: &SealedItem) -> wire::SealedItem {
    wire::SealedItem {
        path: item.path.to_string(),
        version: item.version.0,
        encapsulated: item.sealed.encapsulated.clone(),
        ciphertext: item.sealed.ciphertext.clone(),
    }
}

pub(super) fn sealed(item: wire::SealedItem) -> Sealed {
    Sealed { encapsulated: item.encapsulated, ciphertext: item.ciphertext }
}

pub(super) fn record(record: &VaultRecord) -> wire::Record {
    let VaultRecord { path, version, record } = record;
    wire::Record { path: path.to_string(), version: version.0, record: record.clone() }
}

pub(super) fn versions(versions: wire::Versions) -> Result<Vec<(SecretPath, SecretVersion)>, HandError> {
    let one = |item: wire::Version| {
        let path = item.path.parse().map_err(|_| HandError::Answer { what: "Held" })?;
        Ok((path, SecretVersion(item.version)))
    };
    versions.items.into_iter().map(one).collect()
}

pub(super) fn version_items(versions: &[(SecretPath, SecretVersion)]) -> Vec<wire::Version> {
    let item = |(path, version): &(SecretPath, SecretVersion)| wire::Version {
        path: path.to_string(),
        version: version.0,
    };
    versions.iter().map(item).collect()
}

pub(super) const fn note(entered: &wire::Entered) -> ReadNote {
    ReadNote { dropped_newline: entered.dropped_newline, short: entered.short }
}

pub(super) fn array<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N], HandError> {
    bytes.try_into().map_err(|_| HandError::Answer { what })
}

pub(super) const fn placed(stamp: &wire::Stamp) -> Placed {
    let wire::Stamp { device, inode, size, changed_s, changed_ns } = *stamp;
    Placed { device, inode, size, changed: (changed_s, changed_ns) }
}

pub(super) fn comparison(compared: wire::Compared) -> Result<Comparison, HandError> {
    let what = "Compare";
    let difference =
        wire::Difference::try_from(compared.difference).map_err(|_| HandError::Answer { what })?;
    let found = compared.stamp.as_ref().map(placed);
    let diff = compared.lines.into_iter().map(diff_line).collect();
    Ok(match (difference, found) {
        (wire::Difference::Missing, _) => Comparison::Missing { diff },
        (wire::Difference::Same, Some(placed)) => Comparison::Same { placed },
        (wire::Difference::Different, Some(placed)) => Comparison::Different { diff, placed },
        (_, None) => return Err(HandError::Answer { what }),
    })
}

fn diff_line(line: wire::DiffLine) -> DiffLine {
    match line.kind() {
        wire::DiffKind::Added => DiffLine::Added(line.text),
        wire::DiffKind::AddedSecret => DiffLine::AddedSecret(line.text),
        wire::DiffKind::Removed => DiffLine::Removed(line.text),
        wire::DiffKind::RemovedHidden => DiffLine::RemovedHidden(line.count),
        wire::DiffKind::Omitted => DiffLine::Omitted(line.count),
    }
}

/// The request for a file, and the descriptor of its content.
pub(super) fn write(
    placement: &Placement,
    wanted: Wanted<'_>,
    resource: &str,
) -> Result<(wire::Write, OwnedFd), HandError> {
    let (content, file) = crate::content::send(wanted, resource)?;
    Ok((write_of(placement, content), file))
}

/// The request to put that content in its place.
pub(super) fn write_of(placement: &Placement, content: wire::Content) -> wire::Write {
    wire::Write {
        target: placement.path.to_string(),
        mode: placement.mode.bits(),
        owner: placement.owner,
        group: placement.group,
        in_place: placement.in_place,
        later: placement.durability == Durability::Later,
        content,
    }
}

/// The request for a command; its standard input is added by the caller, who has the descriptor.
pub(super) fn command(command: &Command, stdin: Option<wire::Content>) -> wire::Run {
    let variable =
        |(name, value): &(String, Pieces)| wire::Variable { name: name.clone(), value: text(value) };
    let credentials = command.credentials.as_ref().map(|credentials| wire::Credentials {
        user: credentials.uid,
        group: credentials.gid,
        groups: credentials.groups.clone(),
    });
    wire::Run {
        program: command.program.to_string(),
        arguments: command.arguments.iter().map(text).collect(),
        allow_argv: command.allow_argv,
        environment: command.environment.iter().map(variable).collect(),
        files: command.credential_files.iter().map(variable).collect(),
        stdin,
        folder: command.folder.to_string(),
        credentials,
        home: command.account.home.clone(),
        user: command.account.name.clone(),
        shell: command.account.shell.clone(),
        umask: command.umask,
        timeout_ms: u64::try_from(command.timeout.as_millis()).unwrap_or(u64::MAX),
        keep_output: command.output == Output::Scrub,
        resource: command.resource.clone(),
        required: version_items(&command.required),
    }
}

pub(super) fn finished(finished: wire::Finished) -> Result<Finished, HandError> {
    let end = match (finished.timed_out, finished.code, finished.signal) {
        (true, _, _) => End::TimedOut,
        (false, Some(code), _) => End::Exited(code),
        (false, None, Some(signal)) => End::Signalled(signal),
        (false, None, None) => return Err(HandError::Answer { what: "Run" }),
    };
    let wire::Finished { stdout_bytes, stderr_bytes, stdout, stderr, dropped, .. } = finished;
    Ok(Finished { end, stdout_bytes, stderr_bytes, stdout, stderr, dropped })
}

pub(super) fn heard(heard: wire::Heard) -> Heard {
    let wire::Heard { stdout_bytes, stderr_bytes, stdout, stderr, dropped } = heard;
    Heard { stdout_bytes, stderr_bytes, stdout, stderr, dropped }
}

pub(super) fn status(status: wire::Status) -> Result<HandStatus, HandError> {
    let kind = match status.arena_kind.as_str() {
        "secret" => arena::Kind::Secret,
        "locked" => arena::Kind::Locked,
        "plain" => arena::Kind::Plain,
        _ => return Err(HandError::Answer { what: "Status" }),
    };
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let arena = arena::Status {
        kind,
        size: size(status.arena_size),
        used: size(status.arena_used),
        max: size(status.arena_max),
        reasons: status.arena_reasons,
    };
    Ok(HandStatus {
        process: status.process,
        arena,
        dumpable: status.dumpable,
        core_limit: (status.core_soft, status.core_hard),
        tracer: status.tracer,
        open_arena_descriptors: status.open_arena_descriptors,
        network_denied: status.network_denied,
        warnings: status.warnings,
        values: status.values,
    })
}
