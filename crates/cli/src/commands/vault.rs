//! `vigocli secrets --vault DIR`: the same commands on a folder, without a server.

use super::secrets::{HISTORY, SECRETS, now, prompt, say_note};
use crate::arguments::{Global, Part, Secret};
use crate::error::CliError;
use crate::hand;
use crate::output::{self, Column, Output};
use serde_json::{Value, json};
use std::os::fd::AsFd as _;
use std::path::Path;
use vigo_base::{Exit, SecretPath, SecretVersion};
use vigo_hand::Hand;
use vigo_vault::{Origin, Vault, VersionState, WritableVault};

pub fn run(global: &Global, folder: &Path, command: &Secret, warnings: &[String]) -> Result<Exit, CliError> {
    let output = Output::standard(global.json);
    let by = user();
    let origin = Origin { at: now(), by: &by };
    match command {
        Secret::Set { path, exact } => {
            let mut hand = hand::start(warnings)?;
            let mut vault = WritableVault::open_or_create(folder, &mut hand)?;
            let (version, note) = {
                let silence = prompt(path);
                let stdin = std::io::stdin();
                vault.set(&mut hand, path, stdin.as_fd(), *exact, origin).inspect_err(|_| silence.settle())?
            };
            say_note(note);
            say(output, "set", path, Some(version))?;
        }
        Secret::Rotate { path, length, alphabet } => {
            let mut hand = hand::start(warnings)?;
            let mut vault = WritableVault::open(folder, &mut hand)?;
            let version = vault.rotate(&mut hand, path, *length, alphabet.as_deref(), origin)?;
            say(output, "rotated", path, Some(version))?;
        }
        Secret::Rm { path, .. } => {
            let mut hand = hand::start(warnings)?;
            WritableVault::open(folder, &mut hand)?.remove(&mut hand, path, origin)?;
            say(output, "removed", path, None)?;
        }
        Secret::Get { path, stdout, version: None } => {
            show(folder, path, *stdout, &mut hand::start(warnings)?)?
        }
        Secret::List { prefix, part } => {
            let vault = Vault::open(folder, &mut hand::start(warnings)?)?;
            print(output, vault.list(prefix).iter().map(secret).collect(), part, SECRETS)?;
        }
        Secret::History { path, part } => {
            let vault = Vault::open(folder, &mut hand::start(warnings)?)?;
            print(output, vault.history(path)?.iter().map(version).collect(), part, HISTORY)?;
        }
        Secret::Get { .. } | Secret::Who { .. } | Secret::Exposure { .. } | Secret::Policy { .. } => {
            return Err(CliError::usage(
                "cannot do this with `--vault`: only a server knows older values, who gets a secret, where it is, and policies",
                "leave `--vault` out, or ask for `history`",
            ));
        }
    }
    Ok(Exit::Success)
}

fn show(folder: &Path, path: &SecretPath, stdout: bool, hand: &mut Hand) -> Result<(), CliError> {
    let record = Vault::open(folder, hand)?.record(path)?;
    if stdout {
        return Ok(hand.show_record(std::io::stdout().as_fd(), &record)?);
    }
    hand.show_record(super::secrets::terminal_output()?.as_fd(), &record)?;
    output::note("");
    Ok(())
}

fn say(
    output: Output,
    done: &str,
    path: &SecretPath,
    version: Option<SecretVersion>,
) -> Result<(), CliError> {
    let number = version.map(|version| version.0);
    let answer = json!({"format": 1, "path": path.as_str(), "version": number});
    let version = version.map(|version| format!(" {version}")).unwrap_or_default();
    output.object(&answer, |_| format!("{done} {path}{version}"))
}

/// A list as a server would give it: from the cursor on, so many at most.
fn print(output: Output, items: Vec<Value>, part: &Part, columns: &[Column]) -> Result<(), CliError> {
    let wrong = || CliError::usage("cannot list: the cursor is none that a list gave", "");
    let start: usize = part.cursor.as_deref().map_or(Some(0), |text| text.parse().ok()).ok_or_else(wrong)?;
    let end = start.saturating_add(usize::try_from(part.limit).unwrap_or(usize::MAX));
    let next = (end < items.len()).then(|| end.to_string());
    let items = items.into_iter().skip(start).take(end - start).collect();
    output.list(&output::listing(items, next), columns)
}

fn secret(secret: &vigo_vault::Secret) -> Value {
    json!({
        "path": secret.path.as_str(),
        "version": secret.version.0,
        "versions": secret.versions,
        "updated_at": time(secret.updated_at),
        "updated_by": secret.updated_by,
    })
}

fn version(version: &vigo_vault::History) -> Value {
    let state = match version.state {
        VersionState::Current => "current",
        VersionState::Kept => "kept",
        VersionState::Removed => "removed",
    };
    json!({"version": version.version.0, "at": time(version.at), "by": version.by, "state": state})
}

fn time(seconds: u64) -> Option<String> {
    i64::try_from(seconds).ok().and_then(output::time)
}

/// Who this is, for the history. The name is what the environment says; the number is what counts.
fn user() -> String {
    let uid = rustix::process::getuid().as_raw();
    let name = std::env::var("LOGNAME").or_else(|_| std::env::var("USER")).unwrap_or_default();
    let name = output::printable(&name, 64);
    if name.is_empty() { format!("uid {uid}") } else { format!("{name} (uid {uid})") }
}
