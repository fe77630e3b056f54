//! `vigocli config`: a stacks folder on its way to the server.

use super::first;
use crate::arguments::{Config, Global};
use crate::client::{Ask, Patience};
use crate::error::CliError;
use crate::output::{self, Column, Output, printable};
use crate::session::Session;
use crate::{diagnostics, git, terminal, tree};
use serde_json::{Value, json};
use std::path::Path;
use vigo_base::Exit;
use vigo_syntax::{DiagnosticReport, Tree};

const PUBLISHES: &[Column] = &[
    ("version", "/version"),
    ("at", "/at"),
    ("by", "/by"),
    ("message", "/message"),
    ("commit", "/git/commit"),
    ("dirty", "/git/dirty"),
];

pub fn run(global: &Global, command: &Config, warnings: &[String]) -> Result<Exit, CliError> {
    match command {
        Config::Init { dir } => first::make(Output::standard(global.json), dir),
        Config::Validate { dir: Some(dir), .. } => validate(global, dir),
        Config::Validate { stacks, vault, .. } => {
            let stacks = stacks.as_deref().ok_or(CliError::Bug("the command line has no folder"))?;
            super::offline::validate(Output::standard(global.json), stacks, vault.as_deref(), warnings)
        }
        Config::Plan { dir } => plan(global, dir),
        Config::Publish { dir, message, base, yes } => {
            let mut session = open(global)?;
            publish(&mut session, dir, message, *base, *yes)
        }
        Config::History { part } => {
            Session::open(global)?.list("/config/history", &[], part, PUBLISHES)?;
            Ok(Exit::Success)
        }
        Config::Rollback { version, message } => {
            let mut session = open(global)?;
            let body = json!({"version": version, "message": message});
            let answer = session.ask(&Ask::post("/config/rollback", body))?;
            let new = session.number(&answer, "version")?;
            session
                .output
                .object(&answer, |_| format!("published version {version} again, as version {new}"))?;
            Ok(Exit::Success)
        }
    }
}

fn open(global: &Global) -> Result<Session, CliError> {
    Ok(Session::open(global)?.with_patience(Patience::publish()))
}

fn validate(global: &Global, dir: &Path) -> Result<Exit, CliError> {
    let tree = tree::read(dir)?;
    let mut session = open(global)?;
    let report = session.ask(&Ask::post("/config/validate", tree::archive(&tree)?).repeatable())?;
    let found = found(&session, &report)?;
    verdict(session.output, &report, &found, &tree)
}

/// Says what was found: diagnostics on standard error, the count on standard output; errors end with 5.
pub(super) fn verdict(
    output: Output,
    report: &Value,
    found: &[DiagnosticReport],
    tree: &Tree,
) -> Result<Exit, CliError> {
    let errors = diagnostics::errors(found);
    if !output.is_json() && !found.is_empty() {
        output::note(diagnostics::render(found, tree).trim_end());
    }
    output.object(report, |_| {
        let rest = found.len().saturating_sub(errors);
        format!("{}: {}, {}", count(tree.len(), "file"), count(errors, "error"), count(rest, "warning"))
    })?;
    Ok(if errors == 0 { Exit::Success } else { Exit::Bad })
}

fn plan(global: &Global, dir: &Path) -> Result<Exit, CliError> {
    let tree = tree::read(dir)?;
    let mut session = open(global)?;
    let (plan, found) = match asked_plan(&mut session, &tree) {
        Ok(planned) => planned,
        Err(error) => return broken(error, &tree),
    };
    if diagnostics::errors(&found) > 0 {
        return verdict(session.output, &plan, &found, &tree);
    }
    if !session.output.is_json() && !found.is_empty() {
        output::note(diagnostics::render(&found, &tree).trim_end());
    }
    session.output.object(&plan, show_plan)?;
    Ok(if changes(&plan).is_empty() { Exit::Success } else { Exit::ChangesPending })
}

fn publish(
    session: &mut Session,
    dir: &Path,
    message: &str,
    base: Option<u64>,
    yes: bool,
) -> Result<Exit, CliError> {
    let tree = tree::read(dir)?;
    let (plan, found) = match asked_plan(session, &tree) {
        Ok(planned) => planned,
        Err(error) => return broken(error, &tree),
    };
    if diagnostics::errors(&found) > 0 {
        return verdict(session.output, &plan, &found, &tree);
    }
    if !found.is_empty() {
        output::note(diagnostics::render(&found, &tree).trim_end());
    }
    output::note(show_plan(&plan).trim_end());
    if !yes && terminal::somebody_is_there() && !terminal::confirm("Publish this?")? {
        return Err(CliError::Declined);
    }
    // What was shown is what is published: on another base it would be another change.
    let base = base.or_else(|| plan.get("base").and_then(Value::as_u64));
    let body = json!({
        "message": message,
        "base": base,
        "git": git::state(dir).map(|git| json!({"commit": git.commit, "dirty": git.dirty})),
        "tree": tree::archive(&tree)?,
    });
    let answer = match session.ask(&Ask::post("/config/publish", body)) {
        Ok(answer) => answer,
        Err(error) => return broken(error, &tree),
    };
    let version = session.number(&answer, "version")?;
    let affected = answer.get("envoys_affected").and_then(Value::as_u64);
    let affected =
        affected.map(|envoys| format!(", {} affected", count_u64(envoys, "envoy"))).unwrap_or_default();
    session.output.object(&answer, |_| format!("published version {version}{affected}"))?;
    Ok(Exit::Success)
}

fn asked_plan(session: &mut Session, tree: &Tree) -> Result<(Value, Vec<DiagnosticReport>), CliError> {
    let plan = session.ask(&Ask::post("/config/plan", tree::archive(tree)?).repeatable())?;
    let found = found(session, &plan)?;
    Ok((plan, found))
}

/// A refusal that names places in the tree is shown with their lines.
fn broken(error: CliError, tree: &Tree) -> Result<Exit, CliError> {
    if let CliError::Refused(problem) = &error
        && !problem.diagnostics.is_empty()
    {
        output::note(diagnostics::render(&problem.diagnostics, tree).trim_end());
    }
    Err(error)
}

fn found(session: &Session, answer: &Value) -> Result<Vec<DiagnosticReport>, CliError> {
    match answer.get("diagnostics") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(list) => serde_json::from_value(list.clone())
            .map_err(|_| session.strange("its diagnostics are of another kind")),
    }
}

fn changes(plan: &Value) -> &[Value] {
    plan.get("changes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The plan as lines: which envoys, what is added, changed, removed; and who can read which secret from then on.
fn show_plan(plan: &Value) -> String {
    /// Names that one line shows.
    const NAMES: usize = 12;
    let texts = |value: Option<&Value>| -> Vec<String> {
        let items = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_str).map(|text| printable(text, 300)).collect()
    };
    let mut out = String::new();
    for change in changes(plan) {
        let envoys = texts(change.get("envoys"));
        let more = envoys.len().saturating_sub(NAMES);
        let names: Vec<_> = envoys.into_iter().take(NAMES).collect();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        out.push_str(&format!("{}{more}\n", names.join(", ")));
        let unmatched = |when: &str| change.get(when).and_then(Value::as_bool).unwrap_or(false);
        match (unmatched("unmatched_before"), unmatched("unmatched_after")) {
            (false, true) => out.push_str("  ! no match block fits any more\n"),
            (true, false) => out.push_str("  ! a match block fits now\n"),
            _ => {}
        }
        for (sign, kind) in [("+", "added"), ("~", "changed"), ("-", "removed")] {
            for id in texts(change.get(kind)) {
                out.push_str(&format!("  {sign} {id}\n"));
            }
        }
    }
    if changes(plan).is_empty() {
        out.push_str("no envoy changes\n");
    }
    let readers =
        plan.get("new_secret_readers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if !readers.is_empty() {
        out.push_str("newly able to read a secret:\n");
    }
    for reader in readers {
        let text = |name: &str| printable(reader.get(name).and_then(Value::as_str).unwrap_or("?"), 300);
        out.push_str(&format!("  {} reads {}\n", text("envoy"), text("secret")));
    }
    out
}

fn count(number: usize, what: &str) -> String {
    count_u64(u64::try_from(number).unwrap_or(u64::MAX), what)
}

fn count_u64(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_shows_what_changes_for_whom_and_who_can_read_which_secret() {
        let plan = json!({
            "format": 1, "base": 3,
            "changes": [{"envoys": ["web-1", "web-2"], "added": ["site:mark"], "removed": ["site:old"], "changed": ["site:conf"]}],
            "new_secret_readers": [{"envoy": "web-1", "secret": "web/token"}],
        });
        assert_eq!(
            show_plan(&plan),
            "web-1, web-2\n  + site:mark\n  ~ site:conf\n  - site:old\nnewly able to read a secret:\n  web-1 reads web/token\n"
        );
        assert_eq!(show_plan(&json!({"changes": []})), "no envoy changes\n");
    }

    #[test]
    fn who_loses_or_gets_a_match_block_is_marked() {
        let change = |before, after| {
            show_plan(
                &json!({"changes": [{"envoys": ["a"], "unmatched_before": before, "unmatched_after": after}]}),
            )
        };
        assert_eq!(change(false, true), "a\n  ! no match block fits any more\n");
        assert_eq!(change(true, false), "a\n  ! a match block fits now\n");
        assert_eq!(change(false, false), "a\n");
    }

    #[test]
    fn many_envoys_are_counted() {
        let envoys: Vec<_> = (0..50).map(|number| format!("web-{number}")).collect();
        let text = show_plan(&json!({"changes": [{"envoys": envoys}]}));
        assert!(text.ends_with("web-11 and 38 more\n"), "{text}");
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!((count(1, "error"), count(0, "error")), ("1 error".into(), "0 errors".into()));
    }
}
