//! `vigocli secrets --vault DIR`: the same commands on a folder, without a server.

use super::import;
use super::passphrase::{self, Known};
use super::secrets::{HISTORY, SECRETS, now, prompt, say_note};
use crate::arguments::{Global, Keeping, Part, Secret, Secrets};
use crate::error::CliError;
use crate::hand;
use crate::output::{self, Column, Output};
use serde_json::{Value, json};
use std::os::fd::AsFd as _;
use std::path::Path;
use vigo_base::{Exit, SecretPath, SecretVersion};
use vigo_hand::Hand;
use vigo_vault::{Origin, Vault, VersionState, WritableVault};

const EVENTS: &[Column] = &[("at", "/at"), ("by", "/by"), ("what", "/what")];

pub fn run(global: &Global, folder: &Path, secrets: &Secrets, warnings: &[String]) -> Result<Exit, CliError> {
    let output = Output::standard(global.json);
    let by = user();
    let origin = Origin { at: now(), by: &by };
    let known = Known::new(secrets.passphrase_file.as_deref());
    if let Secret::Import(what) = &secrets.command {
        import::to_vault(output, folder, what, &known, warnings, origin)?;
        return Ok(Exit::Success);
    }
    let mut hand = hand::start(warnings)?;
    let place = Place { folder, known: &known };
    match &secrets.command {
        Secret::Set { path, exact } => {
            let mut vault = WritableVault::open_or_create(folder, &mut hand, &|| known.ask())?;
            known.done();
            let (version, note) = {
                let silence = prompt(path);
                let stdin = std::io::stdin();
                vault.set(&mut hand, path, stdin.as_fd(), *exact, origin).inspect_err(|_| silence.settle())?
            };
            say_note(note);
            say(output, "set", path, Some(version))?;
        }
        Secret::Rotate { path, length, alphabet } => {
            let version =
                place.write(&mut hand)?.rotate(&mut hand, path, *length, alphabet.as_deref(), origin)?;
            say(output, "rotated", path, Some(version))?;
        }
        Secret::Rm { path, .. } => {
            place.write(&mut hand)?.remove(&mut hand, path, origin)?;
            say(output, "removed", path, None)?;
        }
        Secret::Get { path, stdout, version: None } => show(&place, path, *stdout, &mut hand)?,
        Secret::List { prefix, part } => {
            let items = place.read(&mut hand)?.list(prefix).iter().map(secret).collect();
            print(output, items, part, SECRETS)?;
        }
        Secret::History { path, part } => {
            let items = place.read(&mut hand)?.history(path)?.iter().map(version).collect();
            print(output, items, part, HISTORY)?;
        }
        Secret::Log { part } => {
            let items = place.read(&mut hand)?.events().iter().rev().map(event).collect();
            print(output, items, part, EVENTS)?;
        }
        Secret::Rekey { to, new_passphrase_file } => {
            rekey(&place, *to, new_passphrase_file.as_deref(), origin, &mut hand)?;
            output.object(&json!({"format": 1, "rekeyed": true}), |_| {
                "everything is under a new master key".into()
            })?;
        }
        Secret::AcceptRollback => {
            WritableVault::accept_rollback(folder, &mut hand, &|| known.ask(), origin)?;
            output.object(&json!({"format": 1, "accepted": true}), |_| {
                "this copy counts from here on; set again what the lost one had and this one lacks".into()
            })?;
        }
        Secret::Import(_) => return Err(CliError::Bug("an import got past its beginning")),
        Secret::Get { .. } | Secret::Who { .. } | Secret::Exposure { .. } | Secret::Policy { .. } => {
            return Err(CliError::usage(
                "cannot do this with `--vault`: only a server knows older values, who gets a secret, where it is, and policies",
                "leave `--vault` out, or ask for `history`",
            ));
        }
    }
    Ok(Exit::Success)
}

/// A vault by its folder, and where its passphrase comes from.
struct Place<'a> {
    folder: &'a Path,
    known: &'a Known<'a>,
}

impl Place<'_> {
    fn read(&self, hand: &mut Hand) -> Result<Vault, CliError> {
        let opened = Vault::open(self.folder, hand, &|| self.known.ask());
        self.known.done();
        Ok(opened?)
    }

    fn write(&self, hand: &mut Hand) -> Result<WritableVault, CliError> {
        let opened = WritableVault::open(self.folder, hand, &|| self.known.ask());
        self.known.done();
        Ok(opened?)
    }
}

fn rekey(
    place: &Place<'_>,
    to: Option<Keeping>,
    new: Option<&Path>,
    origin: Origin<'_>,
    hand: &mut Hand,
) -> Result<(), CliError> {
    let mut vault = place.write(hand)?;
    let as_before = if vault.vault().is_under_passphrase() { Keeping::Passphrase } else { Keeping::File };
    match to.unwrap_or(as_before) {
        Keeping::File if new.is_some() => Err(CliError::usage(
            "cannot keep the key in a file and under a passphrase",
            "leave `--new-passphrase-file` out, or say `--to passphrase`",
        )),
        Keeping::File => Ok(vault.rekey(hand, None, origin)?),
        Keeping::Passphrase => passphrase::with_new(new, |new| Ok(vault.rekey(hand, Some(new), origin)?)),
    }
}

fn event(event: &vigo_vault::Event) -> Value {
    json!({"at": time(event.at), "by": event.by, "what": event.what})
}

fn show(place: &Place<'_>, path: &SecretPath, stdout: bool, hand: &mut Hand) -> Result<(), CliError> {
    let record = place.read(hand)?.record(path)?;
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
