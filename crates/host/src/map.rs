//! Between the words of the contract and the words of the hand.

use crate::commands::Resolved;
use crate::folder::FolderError;
use vigo_base::{AbsolutePath, SecretPath, SecretVersion};
use vigo_hand::target::{self, Durability, TargetError};
use vigo_resource::{
    CommandRequest, Comparison, DiffLine, DiffSign, End, Failure, Finished, Output, Placement, User,
};

/// A comparison of the hand.
pub fn comparison(compared: vigo_hand::Comparison) -> Comparison {
    match compared {
        vigo_hand::Comparison::Missing { .. } => Comparison::Missing,
        vigo_hand::Comparison::Same { .. } => Comparison::Same,
        vigo_hand::Comparison::Different { diff, .. } => {
            Comparison::Different { diff: diff.into_iter().map(diff_line).collect() }
        }
    }
}

fn diff_line(line: vigo_hand::DiffLine) -> DiffLine {
    match line {
        vigo_hand::DiffLine::Added(text) | vigo_hand::DiffLine::AddedSecret(text) => {
            DiffLine::new(DiffSign::Added, text)
        }
        vigo_hand::DiffLine::Removed(text) => DiffLine::new(DiffSign::Removed, text),
        vigo_hand::DiffLine::RemovedHidden(1) => DiffLine::new(DiffSign::Note, "1 line removed"),
        vigo_hand::DiffLine::RemovedHidden(count) => {
            DiffLine::new(DiffSign::Note, format!("{count} lines removed"))
        }
        vigo_hand::DiffLine::Omitted(count) => DiffLine::new(DiffSign::Note, format!("{count} more lines")),
    }
}

/// Where a file is to stand, for who places it.
pub fn placement(placement: &Placement, durability: Durability) -> target::Placement {
    target::Placement {
        path: placement.path.clone(),
        mode: placement.mode,
        owner: placement.ownership.owner,
        group: placement.ownership.group,
        in_place: placement.in_place,
        // The hand says so by itself of what holds a secret.
        closed: false,
        durability,
    }
}

/// What an error of placing means for a report.
pub fn target_failure(error: &TargetError) -> Failure {
    let failure = Failure::failed(error.full_text());
    match error {
        TargetError::Folder { source, path } if source.kind() == std::io::ErrorKind::NotFound => {
            let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
            failure.help(format!("add `- {{type: directory, target_path: \"{folder}\"}}` before it"))
        }
        _ => failure,
    }
}

/// What an error of the state folder means for a report.
pub fn folder_failure(error: &FolderError) -> Failure {
    Failure::failed(vigo_base::chain(error))
}

/// Why output is dropped that may hold that value.
pub fn not_here(path: &SecretPath, version: SecretVersion) -> String {
    format!("the value of `{path}` {version} is not here, so it cannot be scrubbed")
}

/// A command that gets a secret.
/// Its output is kept, if at all, only where these values are held.
pub fn command(
    request: &CommandRequest,
    resolved: Resolved,
    keep: Option<Vec<(SecretPath, SecretVersion)>>,
) -> Result<vigo_hand::Command, Failure> {
    let program = resolved
        .program
        .parse()
        .map_err(|error| Failure::failed(format!("cannot run a command: {error}")))?;
    Ok(vigo_hand::Command {
        program,
        allow_argv: request.allow_argv,
        arguments: resolved.arguments,
        environment: request.environment.clone(),
        credential_files: request.credentials.clone(),
        stdin: request.stdin.clone(),
        folder: request.folder.clone(),
        credentials: resolved.credentials.map(|(uid, gid, groups)| vigo_hand::Credentials {
            uid,
            gid,
            groups,
        }),
        account: account(&resolved.account),
        umask: request.umask,
        timeout: request.timeout,
        output: if keep.is_some() { vigo_hand::Output::Scrub } else { vigo_hand::Output::Drop },
        required: keep.unwrap_or_default(),
        resource: request.resource.clone(),
    })
}

/// What a command is told of its user.
pub fn account(user: &User) -> vigo_hand::Account {
    vigo_hand::Account { home: user.home.clone(), name: user.name.clone(), shell: user.shell.clone() }
}

/// How a command that got a secret ended. `dropped` is why its output is not kept though somebody wants it.
pub fn finished(finished: vigo_hand::Finished, kept: bool, dropped: String) -> Finished {
    let end = match finished.end {
        vigo_hand::End::Exited(code) => End::Exited(code),
        vigo_hand::End::Signalled(signal) => End::Signalled(signal),
        vigo_hand::End::TimedOut => End::TimedOut,
    };
    let vigo_hand::Finished { stdout_bytes, stderr_bytes, stdout, stderr, dropped: missing, .. } = finished;
    let why = if dropped.is_empty() { missing } else { dropped };
    let output = if kept && why.is_empty() {
        Output::Kept { stdout: text(&stdout), stderr: text(&stderr) }
    } else {
        Output::Dropped { stdout_bytes, stderr_bytes, why }
    };
    Finished { end, output }
}

/// What a command said to the hand.
pub fn heard(heard: vigo_hand::Heard) -> Output {
    let vigo_hand::Heard { stdout_bytes, stderr_bytes, stdout, stderr, dropped } = heard;
    if dropped.is_empty() {
        Output::Kept { stdout: text(&stdout), stderr: text(&stderr) }
    } else {
        Output::Dropped { stdout_bytes, stderr_bytes, why: dropped }
    }
}

/// The end of a stream, which may begin within a character.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The shell of validations.
pub fn shell() -> Result<AbsolutePath, Failure> {
    "/bin/sh".parse().map_err(|error| Failure::failed(format!("{error}")))
}

/// The folder of validations.
pub fn root() -> Result<AbsolutePath, Failure> {
    "/".parse().map_err(|error| Failure::failed(format!("{error}")))
}

/// What the command said against the candidate.
pub fn validation_failure(command: &str, finished: &Finished) -> Failure {
    let said = match &finished.output {
        Output::Kept { stdout, stderr } => {
            let text = if stderr.trim().is_empty() { stdout } else { stderr };
            let last: Vec<&str> = text.trim().lines().rev().take(5).collect();
            last.into_iter().rev().collect::<Vec<_>>().join(" | ")
        }
        Output::Dropped { why, .. } if !why.is_empty() => format!("its output is not kept: {why}"),
        Output::Dropped { .. } => "its output was dropped".to_owned(),
    };
    Failure::failed(format!("`{command}` refuses the new content: {said}"))
        .help("the file was left as it was")
}
