//! The pages that come from lists in the source: resource types, traits, diagnostics, exit codes.

use crate::world;
use serde_json::Value;
use std::fmt::Write;
use std::process::{Command, Stdio};
use vigo_base::Exit;
use vigo_resource::{SecretRule, TypeInfo};
use vigo_syntax::Code;
use vigo_traits::{COLLECTORS, Class};

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// `vigo explain --json`, with what the registry says beyond it.
pub fn resources() -> String {
    let mut command = Command::new(world::binary("vigo"));
    let state = tempfile::tempdir().unwrap();
    command.env_clear().arg("--state-dir").arg(state.path()).args(["explain", "--json"]).stdin(Stdio::null());
    let all: Value = serde_json::from_str(&world::run(command, b"").expect(0).out).unwrap();
    let mut out = String::from(
        "The types of this version, as `vigo explain TYPE` prints them. **Identity** tells one resource of a type from another and is \
         its name when none is written. Keys that every resource has are in [the guide](../guide/language.md#keys-of-every-resource).\n\n\
         Secrets: *no exposure* means that nobody sees the value who may not see the target; *environment* and *argv* are counted as \
         exposures, and *argv* needs `allow_exposure: [argv]` besides.\n",
    );
    for item in all["items"].as_array().unwrap() {
        let name = item["type"].as_str().unwrap();
        let info =
            vigo_resources::REGISTRY.get(name).expect("explain has no other types than the registry").info();
        resource(&mut out, item, info);
    }
    out
}

fn resource(out: &mut String, item: &Value, info: &TypeInfo) {
    writeln!(out, "\n## {}\n\n{}\n", info.name, info.doc).unwrap();
    writeln!(out, "| attribute | value | default | secrets | what it is |\n| --- | --- | --- | --- | --- |")
        .unwrap();
    for attribute in item["attributes"].as_array().unwrap() {
        let text = |key: &str| attribute[key].as_str().unwrap();
        let written =
            info.attribute(text("name")).expect("explain has no other attributes than the registry");
        let name = match (written.identity, written.required) {
            (true, _) => format!("`{}` (identity)", written.name),
            (false, true) => format!("`{}` (required)", written.name),
            (false, false) => format!("`{}`", written.name),
        };
        let secrets = match written.secrets {
            SecretRule::Refused => "",
            SecretRule::Unexposed => "no exposure",
            SecretRule::Environment => "environment",
            SecretRule::Argv => "argv",
        };
        let (kind, default, doc) = (cell(text("kind")), cell(text("default")), cell(text("doc")));
        writeln!(out, "| {name} | {kind} | {default} | {secrets} | {doc} |").unwrap();
    }
    if let Some((default, others)) = info.states.split_first() {
        let others: String = others.iter().map(|state| format!(", {state}")).collect();
        writeln!(out, "| `state` | {default}{others} | {default} | | What is to be. |").unwrap();
    }
    let words = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    writeln!(out).unwrap();
    for group in info.exclusive {
        writeln!(out, "At most one of {} is written.", words(group)).unwrap();
    }
    if !info.later.is_empty() {
        writeln!(out, "Not carried out by this version: {}.", words(info.later)).unwrap();
    }
    writeln!(out, "`timeout` when none is written: {} s.", info.timeout.as_secs()).unwrap();
    for example in info.examples {
        let mut lines = example.policy.trim_end().lines();
        let first = lines.next().unwrap_or_default();
        let rest: String = lines
            .map(|line| format!("\n  {line}").trim_end().to_owned())
            .map(|line| match line.as_str() {
                "" => "\n".to_owned(),
                _ => line,
            })
            .collect();
        writeln!(out, "\n{}:\n\n```yaml\n- {first}{rest}\n```", example.title).unwrap();
    }
}

/// The traits that always exist.
pub fn traits() -> String {
    let mut out = String::from(
        "What an agent finds out about its machine by itself; `vigo traits` shows the values. In a policy each is `traits.GROUP.NAME`. \
         These always exist, `null` where they do not apply; a group whose collector fails is missing in that run, and what uses it is \
         blocked and says why.\n\n\
         *Stable* traits change hardly ever, *periodic* ones now and then; *volatile* ones all the time, so they are no reason to tell \
         the server and it does not know them.\n",
    );
    for collector in COLLECTORS {
        writeln!(out, "\n## {}\n\n| trait | changes | what it is |\n| --- | --- | --- |", collector.group)
            .unwrap();
        for known in collector.known {
            let class = match known.class {
                Class::Stable => "stable",
                Class::Periodic => "periodic",
                Class::Volatile => "volatile",
            };
            writeln!(out, "| `{}.{}` | {class} | {} |", collector.group, known.name, cell(known.about))
                .unwrap();
        }
    }
    out
}

/// Every code of a diagnostic.
pub fn diagnostics() -> String {
    let mut out = String::from(
        "What the check of a policy can find. A line of it looks like `file:line:column: error[V021]: ...`, then the line itself, a caret \
         under the place, and `help:`. An error keeps the tree from being published or applied; a warning does not. Numbers are never \
         given to another meaning.\n\n| code | | what is wrong |\n| --- | --- | --- |\n",
    );
    for code in Code::ALL {
        let (number, severity) = (code.number(), code.severity().as_str());
        writeln!(out, "| [{number}](#{}) | {severity} | {} |", number.to_lowercase(), cell(code.title()))
            .unwrap();
    }
    for code in Code::ALL {
        writeln!(
            out,
            "\n## {}\n\n*{}: {}*\n\n{}",
            code.number(),
            code.severity().as_str(),
            code.title(),
            code.explanation()
        )
        .unwrap();
    }
    out
}

const EXITS: [Exit; 7] = [
    Exit::Success,
    Exit::CannotRun,
    Exit::Usage,
    Exit::ChangesPending,
    Exit::NotPermitted,
    Exit::Bad,
    Exit::Changed,
];

/// What a code means: in general, for `vigo`, for `vigocli`, for `vigosrv`.
const fn meaning(exit: Exit) -> [&'static str; 4] {
    match exit {
        Exit::Success => ["done", "converged, changed or not", "done", "ended by a signal, orderly"],
        Exit::CannotRun => [
            "could not run: the machine, the other end or Vigo itself stood in the way",
            "also: the policy has mistakes; with `--online`, the server is away",
            "also: what was named is not there, the answer to a question was no",
            "a folder, port or key cannot be used",
        ],
        Exit::Usage => [
            "the command line is wrong, or what it names cannot be used",
            "also: settings with mistakes, enrolled already",
            "also: an empty value, a token file that others may read",
            "also: settings with mistakes",
        ],
        Exit::ChangesPending => {
            ["changes are pending", "`--dry-run` would change something", "`config plan` found changes", ""]
        }
        Exit::NotPermitted => [
            "not permitted",
            "not enrolled, revoked; a token that is wrong, spent or expired",
            "no token, an unknown one, or one without the permission",
            "",
        ],
        Exit::Bad => [
            "done, and the answer is bad",
            "a resource failed or is blocked; for `traits`, something could not be found out",
            "`config validate`, `plan` and `publish` found mistakes; `audit verify` found a broken chain",
            "",
        ],
        Exit::Changed => ["changed", "only with `--detailed-exit-code`: ran and changed something", "", ""],
    }
}

/// The one table of exit codes.
pub fn exit_codes() -> String {
    let mut out = String::from(
        "One table for the three programs; the numbers are part of the interface. Of a run, the highest that fits of 5, 4, 3 and 6 \
         counts, in this order. What to do about each: [the guide](../guide/errors-and-exit-codes.md).\n\n\
         | code | means | `vigo` | `vigocli` | `vigosrv` |\n| --- | --- | --- | --- | --- |\n",
    );
    for exit in EXITS {
        let [general, agent, operator, server] = meaning(exit);
        writeln!(out, "| {} | {general} | {agent} | {operator} | {server} |", exit.code()).unwrap();
    }
    out.push_str(
        "\nA program that a signal ends has the shell's code for it, 128 and the signal's number.\n",
    );
    out
}
