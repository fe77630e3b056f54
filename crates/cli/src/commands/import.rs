//! `vigocli secrets import`: a file of another tool becomes secrets of a server or of a vault.
//!
//! The file, the identities and the passphrase go to the hand as descriptors, and what comes back are names and what is sealed. Which name becomes
//! which secret is decided here. Whatever stands in the way is found before the first secret is written.

use super::passphrase::Known;
use super::secrets::{EntryKey, entry_key};
use crate::arguments::Import;
use crate::client::{Ask, encode};
use crate::error::CliError;
use crate::hand;
use crate::output::{self, Column, Output};
use crate::session::Session;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use vigo_base::{Sealed, SecretPath, SecretVersion};
use vigo_hand::{Hand, ImportKey, ImportKind, ImportName, Imported};
use vigo_vault::{Origin, Vault, VaultError, WritableVault};

const COLUMNS: &[Column] =
    &[("name", "/name"), ("path", "/path"), ("version", "/version"), ("was there", "/replaced")];
/// As many problems as are told at once.
const TOLD: usize = 10;

/// Values of an opened file, and what each becomes.
struct Plan {
    kind: ImportKind,
    /// By their number in the file.
    items: Vec<(String, SecretPath)>,
    left_out: Vec<ImportName>,
}

impl Plan {
    /// What of it is there already; refused unless that is wanted.
    fn check(&self, there: &BTreeSet<SecretPath>, import: &Import) -> Result<(), CliError> {
        if import.replace || there.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = there.iter().take(TOLD).map(|path| format!("`{path}`")).collect();
        let more = there.len().saturating_sub(TOLD);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Err(CliError::usage(
            format!("cannot import: {}{more} are there already, and nothing was set", names.join(", ")),
            "`--replace` makes a new version of each; `--only`, `--prefix` and `--rename` take others",
        ))
    }

    /// Says what was done, or would be.
    fn say(
        &self,
        output: Output,
        import: &Import,
        versions: &[SecretVersion],
        there: &BTreeSet<SecretPath>,
    ) -> Result<(), CliError> {
        let item = |(number, (name, path)): (usize, &(String, SecretPath))| {
            let version = versions.get(number).map(|version| version.0);
            json!({"name": name, "path": path.as_str(), "version": version, "replaced": there.contains(path)})
        };
        let items: Vec<Value> = self.items.iter().enumerate().map(item).collect();
        let left_out: Vec<Value> = self
            .left_out
            .iter()
            .map(|name| json!({"name": shown(&name.key), "why": name.left_out}))
            .collect();
        for name in &self.left_out {
            output::note(&format!("left out: {} ({})", shown(&name.key), name.left_out));
        }
        if self.kind.key == ImportKey::None && !import.dry_run {
            output::note(&format!(
                "`{}` still holds the values in the clear: remove it when nothing reads it any more, and rotate what others could read",
                import.file.display()
            ));
        }
        let list = json!({
            "format": 1,
            "kind": self.kind.name,
            "dry_run": import.dry_run,
            "items": items,
            "left_out": left_out,
        });
        output.list(&list, COLUMNS)?;
        if import.dry_run && !output.is_json() {
            output::note("nothing was set: that is what `--dry-run` is for");
        }
        Ok(())
    }
}

/// `secrets import` with a server.
pub fn to_server(session: &mut Session, import: &Import, warnings: &[String]) -> Result<(), CliError> {
    // First the server: who may not set secrets does not type a passphrase for nothing.
    let entry = entry_key(session)?;
    let mut hand = hand::start_roomy(warnings)?;
    let plan = plan(import, &mut hand)?;
    let mut there = BTreeSet::new();
    for (_, path) in &plan.items {
        let found = session.ask(&Ask::get(format!("/secrets?limit=1&prefix={}", encode(path.as_str()))))?;
        if found.pointer("/items/0/path").and_then(Value::as_str) == Some(path.as_str()) {
            there.insert(path.clone());
        }
    }
    plan.check(&there, import)?;
    let mut versions = Vec::new();
    if !import.dry_run {
        let mut sealed = Vec::with_capacity(plan.items.len());
        for (number, (_, path)) in (0..).zip(&plan.items) {
            sealed.push((path, hand.seal_import(number, &entry.key, path)?, there.contains(path)));
        }
        for (path, value, was_there) in &sealed {
            let answer = put(session, &entry, path, value, *was_there);
            versions.push(answer.inspect_err(|_| say_how_far(versions.len(), &plan))?);
        }
    }
    plan.say(session.output, import, &versions, &there)
}

fn put(
    session: &mut Session,
    entry: &EntryKey,
    path: &SecretPath,
    sealed: &Sealed,
    was_there: bool,
) -> Result<SecretVersion, CliError> {
    // What was not there when this began is not replaced if it has come since.
    let new = if was_there { "" } else { "?new=true" };
    let answer =
        session.ask(&Ask::put(format!("/secrets/{}{new}", encode(path.as_str())), entry.body(sealed)))?;
    Ok(SecretVersion(session.number(&answer, "version")?))
}

/// The way to the server broke off: what it has by then.
fn say_how_far(done: usize, plan: &Plan) {
    let set: Vec<&str> = plan.items.iter().take(done).map(|(_, path)| path.as_str()).collect();
    let set = if set.is_empty() { "none".into() } else { set.join(", ") };
    output::note(&format!(
        "{done} of {} secrets were set: {set}; run it again with `--replace`, or with `--only` for the others",
        plan.items.len()
    ));
}

/// `secrets import --vault DIR`: all of it in one step.
pub fn to_vault(
    output: Output,
    folder: &Path,
    import: &Import,
    known: &Known<'_>,
    warnings: &[String],
    origin: Origin<'_>,
) -> Result<(), CliError> {
    let mut hand = hand::start_roomy(warnings)?;
    let plan = plan(import, &mut hand)?;
    let taken = |vault: &Vault| -> BTreeSet<SecretPath> {
        let all: BTreeSet<SecretPath> = vault.list("").into_iter().map(|secret| secret.path).collect();
        plan.items.iter().map(|(_, path)| path).filter(|path| all.contains(*path)).cloned().collect()
    };
    if import.dry_run {
        let opened = Vault::open(folder, &mut hand, &|| known.ask());
        known.done();
        let there = match opened {
            Ok(vault) => taken(&vault),
            Err(VaultError::Missing { .. }) => BTreeSet::new(),
            Err(error) => return Err(error.into()),
        };
        plan.check(&there, import)?;
        return plan.say(output, import, &[], &there);
    }
    let opened = WritableVault::open_or_create(folder, &mut hand, &|| known.ask());
    known.done();
    let mut vault = opened?;
    let there = taken(vault.vault());
    plan.check(&there, import)?;
    let values: Vec<(u32, SecretPath)> =
        (0..).zip(&plan.items).map(|(number, (_, path))| (number, path.clone())).collect();
    let versions = vault.import(&mut hand, &values, origin)?;
    plan.say(output, import, &versions, &there)
}

/// Has the hand open the file, and decides what becomes of what is in it.
fn plan(import: &Import, hand: &mut Hand) -> Result<Plan, CliError> {
    let file = open(&import.file)?;
    let format =
        ["age", "sops", "ansible", "env"].into_iter().find(|name| Some(*name) == import.format.as_deref());
    let kind = hand.read_import(file.as_fd(), format)?;
    drop(file);
    let content = content(import, &kind)?;
    let opened = open_in(hand, import, &kind, content)?;
    let items = places(&opened.values, import)?;
    if opened.dropped_newline {
        output::note("the final newline was dropped; --exact keeps it");
    }
    for (name, (_, path)) in opened.values.iter().zip(&items).filter(|(name, _)| name.is_short) {
        let _ = name;
        output::note(&format!(
            "{path} has fewer than 8 bytes: too short to be kept out of command output by scrubbing"
        ));
    }
    Ok(Plan { kind, items, left_out: opened.left_out })
}

fn open(path: &Path) -> Result<OwnedFd, CliError> {
    let opened = File::open(path);
    opened.map(OwnedFd::from).map_err(|source| CliError::File { doing: "read", path: path.into(), source })
}

/// What stands in the file.
fn content(import: &Import, kind: &ImportKind) -> Result<&'static str, CliError> {
    let said = ["yaml", "json", "env"].into_iter().find(|name| Some(*name) == import.content.as_deref());
    match (said, kind.is_whole, &import.path) {
        (Some(_), false, _) => Err(CliError::usage(
            format!("cannot use `--content`: the names of a file of {} are known", kind.name),
            "leave `--content` out",
        )),
        (Some(content), true, _) => Ok(content),
        (None, true, None) => Err(CliError::usage(
            format!("cannot tell what stands in this {} file: it is encrypted as a whole", kind.name),
            "name the secret that it is with `--path PATH`, or say with `--content yaml|json|env` that several stand in it",
        )),
        (None, ..) => Ok("whole"),
    }
}

/// Gives the hand what opens the file.
fn open_in(
    hand: &mut Hand,
    import: &Import,
    kind: &ImportKind,
    content: &'static str,
) -> Result<Imported, CliError> {
    let asked = Known::of(import.source_passphrase_file.as_deref(), "passphrase of the file");
    let key = match kind.key {
        ImportKey::None => None,
        ImportKey::Identity => Some(match &import.identity_file {
            Some(file) => open(file)?,
            None => {
                return Err(CliError::usage(
                    format!("cannot open this {} file without an age identity", kind.name),
                    "name the file that holds it with `--identity-file FILE`",
                ));
            }
        }),
        ImportKey::Passphrase => {
            let failed = |source| CliError::Machine { doing: "read the passphrase of the file", source };
            Some(asked.ask().map_err(failed)?)
        }
    };
    let opened = hand.open_import(key.as_ref().map(|key| key.as_fd()), content, import.exact, &import.only);
    asked.done();
    Ok(opened?)
}

/// Which secret each value becomes.
fn places(values: &[ImportName], import: &Import) -> Result<Vec<(String, SecretPath)>, CliError> {
    if let Some(path) = &import.path {
        return match values {
            [name] => Ok(vec![(shown(&name.key), path.clone())]),
            values => Err(CliError::usage(
                format!("cannot make one secret of {} values", values.len()),
                "leave `--path` out, or name one of them with `--only`",
            )),
        };
    }
    let mut renames: BTreeMap<&str, &SecretPath> =
        import.renames.iter().map(|(name, path)| (name.as_str(), path)).collect();
    let (mut items, mut problems, mut seen) = (Vec::new(), Vec::new(), BTreeMap::new());
    for value in values {
        let name = value.key.join("/");
        let found = match renames.remove(name.as_str()) {
            Some(path) => Ok(path.clone()),
            None => place(import.prefix.as_deref(), &value.key),
        };
        match found {
            Err(text) => {
                problems.push(format!("`{}` would be `{text}`, which is no secret path", shown(&value.key)))
            }
            Ok(path) => {
                if let Some(other) = seen.insert(path.clone(), shown(&value.key)) {
                    problems.push(format!("`{other}` and `{}` would both be `{path}`", shown(&value.key)));
                }
                items.push((shown(&value.key), path));
            }
        }
    }
    if let Some(name) = renames.keys().next() {
        return Err(CliError::usage(
            format!("cannot rename `{name}`: no value of the file has that name"),
            "",
        ));
    }
    if problems.is_empty() {
        return Ok(items);
    }
    problems.truncate(TOLD);
    Err(CliError::usage(
        format!("cannot import, and nothing was set: {}", problems.join("; ")),
        "say what it becomes with `--rename NAME=PATH`, or name what is wanted with `--only NAME`; a path has segments of letters, digits, `_`, `.`, `-`",
    ))
}

/// The path of a name, or what it would have been.
fn place(prefix: Option<&str>, key: &[String]) -> Result<SecretPath, String> {
    let prefix = prefix.map(|prefix| prefix.trim_end_matches('/')).filter(|prefix| !prefix.is_empty());
    // A `/` inside a name would look like a division.
    let divided = key.iter().any(|part| part.contains('/'));
    let parts: Vec<&str> = prefix.into_iter().chain(key.iter().map(String::as_str)).collect();
    let text = parts.join("/");
    text.parse().ok().filter(|_| !divided).ok_or_else(|| output::printable(&text, 200))
}

/// A name for people.
fn shown(key: &[String]) -> String {
    output::printable(&key.join("/"), 200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command, Secret};
    use clap::Parser as _;

    fn import(line: &str) -> Import {
        let words = ["vigocli", "secrets", "import", "FILE"].into_iter().chain(line.split_whitespace());
        let Command::Secrets(secrets) = Arguments::try_parse_from(words).unwrap().command else { panic!() };
        let Secret::Import(import) = secrets.command else { panic!() };
        import
    }

    fn paths(keys: &[&[&str]], line: &str) -> Result<Vec<String>, String> {
        let name = |key: &&[&str]| ImportName {
            key: key.iter().map(|part| (*part).to_owned()).collect(),
            left_out: String::new(),
            is_short: false,
        };
        let values: Vec<ImportName> = keys.iter().map(name).collect();
        let places = places(&values, &import(line)).map_err(|error| error.to_string())?;
        Ok(places.into_iter().map(|(_, path)| path.to_string()).collect())
    }

    #[test]
    fn names_become_paths_below_the_prefix_unless_they_are_renamed() {
        let keys: &[&[&str]] = &[&["db", "password"], &["list", "0"], &["A_B"]];
        assert_eq!(paths(keys, "").unwrap(), ["db/password", "list/0", "A_B"]);
        for prefix in ["web/app", "web/app/"] {
            let all = paths(keys, &format!("--prefix {prefix} --rename A_B=other/x")).unwrap();
            assert_eq!(all, ["web/app/db/password", "web/app/list/0", "other/x"]);
        }
        assert_eq!(paths(&[&[]], "--path web/key").unwrap(), ["web/key"]);
    }

    #[test]
    fn a_name_that_is_no_path_is_refused_with_what_it_would_be() {
        for (keys, line, why) in [
            (&[&["db pass"][..]][..], "", "`db pass` would be `db pass`"),
            (&[&["a/b"]], "", "`a/b` would be `a/b`"),
            (&[&["x", "ä"]], "--prefix web", "would be `web/x/ä`"),
            (&[&["a"], &["b"]], "--rename a=b", "would both be `b`"),
            (&[&["a"]], "--rename c=b", "no value of the file has that name"),
            (&[&["a"], &["b"]], "--path x", "one secret of 2 values"),
        ] {
            let error = paths(keys, line).unwrap_err();
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}
