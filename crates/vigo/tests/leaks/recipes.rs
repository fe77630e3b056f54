//! A policy for each attribute that takes a secret. The list of attributes comes from the registry of types: one that is new and stands here nowhere
//! fails the test below, so that no type is left out of the matrix.

use crate::axes::{Operation, Step};
use vigo_resource::SecretRule;
use vigo_resources::REGISTRY;

/// How a value is asked for in one attribute of one type.
#[derive(Clone, Copy)]
pub struct Recipe {
    /// The type and the attribute.
    pub of: (&'static str, &'static str),
    /// Who else may see the value.
    pub rule: SecretRule,
    /// A command is given the value: what that does with it is its own affair, swap included.
    pub handed: bool,
    /// The resources, for the secret of that path; without commands that look at the target, if asked.
    pub policy: Policy,
}

/// Every one, in a fixed order.
pub fn recipes() -> Vec<Recipe> {
    let rule = |of: (&str, &str)| REGISTRY.get(of.0).unwrap().info().attribute(of.1).unwrap().secrets;
    LIST.iter()
        .map(|(of, handed, policy)| Recipe { of: *of, rule: rule(*of), handed: *handed, policy: *policy })
        .collect()
}

type Policy = fn(&str, Operation, bool) -> String;
const LIST: &[((&str, &str), bool, Policy)] = &[
    (("file", "content"), false, content),
    (("file", "source"), false, source),
    (("file_line", "line"), false, line),
    (("blockinfile", "block_content"), false, block),
    (("replace", "replacement"), false, replacement),
    (("ini", "value"), false, ini),
    (("json_file", "value"), false, json_file),
    (("yaml_file", "value"), false, yaml_file),
    (("toml_file", "value"), false, toml_file),
    (("exec", "command"), true, command),
    (("exec", "environment"), true, environment),
    (("exec", "stdin"), true, stdin),
    (("exec", "credentials"), true, credentials),
];

#[test]
fn every_attribute_that_takes_a_secret_is_in_the_matrix() {
    let mut missing = Vec::new();
    for kind in REGISTRY.iter() {
        let info = kind.info();
        for attribute in info.attributes.iter().filter(|attribute| attribute.secrets.takes_secret()) {
            if !LIST.iter().any(|(of, _, _)| *of == (info.name, attribute.name)) {
                missing.push(format!("{}.{}", info.name, attribute.name));
            }
        }
    }
    assert!(missing.is_empty(), "these take a secret and have no recipe in the leak matrix: {missing:?}");
    for ((kind, attribute), _, _) in LIST {
        let info = REGISTRY.get(kind).unwrap_or_else(|| panic!("there is no type `{kind}`")).info();
        assert!(
            info.attribute(attribute).is_some_and(|one| one.secrets.takes_secret()),
            "{kind}.{attribute}"
        );
    }
}

/// The template that `source` recipes name.
pub fn template(secret: &str) -> String {
    format!("# made\nraw = secret:{{{secret}}}\nbase64 = {{{{ secret(\"{secret}\") | b64encode }}}}\nend\n")
}

/// The target, and two that look at it: what a command prints of it is dropped, and its copy is as closed as it is.
fn around(target: &str, operation: Operation, alone: bool) -> String {
    let mut text = String::from("  - type: file\n");
    let path = match operation {
        Operation::Fails(Step::NoFolder) => "{{ vars.root }}/missing/target",
        Operation::Fails(Step::OtherKind) => "{{ vars.root }}/folder",
        _ => "{{ vars.root }}/target",
    };
    text.push_str(&format!("    target_path: \"{path}\"\n"));
    if operation == Operation::Delete {
        text.push_str("    state: absent\n");
        return text;
    }
    text.push_str(target);
    match operation {
        Operation::Fails(Step::Check) if alone => text.push_str("    validate: \"test ! -e %\"\n"),
        Operation::Fails(Step::Check) => text.push_str("    validate: \"cat % >&2; cat %; exit 1\"\n"),
        Operation::Fails(Step::NoOwner) => text.push_str("    owner: no-such-user-here\n"),
        _ => {}
    }
    if alone {
        return text;
    }
    text.push_str(
        r#"  - type: exec
    command: "cat {{ vars.root }}/target; cat {{ vars.root }}/target >&2"
    onlyif: "cat {{ vars.root }}/target"
    log_output: always
  - type: file
    target_path: "{{ vars.root }}/copy"
    copy_from: "{{ vars.root }}/target"
"#,
    );
    text
}

fn content(secret: &str, operation: Operation, alone: bool) -> String {
    let target = format!(
        "    content: |\n      # made\n      raw = secret:{{{secret}}}\n      base64 = {{{{ secret(\"{secret}\") | b64encode }}}}\n      end\n"
    );
    around(&target, operation, alone)
}

fn source(_: &str, operation: Operation, alone: bool) -> String {
    around("    source: made.j2\n", operation, alone)
}

/// A part of a file: the type's own attributes, and the file made where it is missing. `unfit` makes the edit itself fail.
fn part(kind: &str, own: &str, unfit: &str, operation: Operation) -> String {
    let path = match operation {
        Operation::Fails(Step::NoFolder) => "{{ vars.root }}/missing/target",
        Operation::Fails(Step::OtherKind) => "{{ vars.root }}/folder",
        _ => "{{ vars.root }}/target",
    };
    let how = match operation {
        Operation::Delete => "    state: absent\n",
        Operation::Fails(Step::Check) => "    validate: \"cat % >&2; cat %; exit 1\"\n",
        Operation::Fails(Step::NoOwner) => unfit,
        _ => "",
    };
    format!("  - type: {kind}\n    target_path: \"{path}\"\n    create: true\n{own}{how}")
}

fn line(secret: &str, operation: Operation, _: bool) -> String {
    let own = format!(
        "    line: \"token = {{{{ secret('{secret}') | b64encode }}}}\"\n    match_pattern: ^token\n"
    );
    part("file_line", &own, "    region_start: no such line\n", operation)
}

fn block(secret: &str, operation: Operation, _: bool) -> String {
    let own = format!("    block_content: |\n      # made\n      raw = secret:{{{secret}}}\n      end\n");
    part("blockinfile", &own, "    marker_begin: made\n    marker_end: end\n", operation)
}

/// There has to be something that is replaced, and `replace` makes no file.
fn replacement(secret: &str, operation: Operation, _: bool) -> String {
    let pattern = "    match_pattern: \"(?s)^token = .*$\"\n";
    let own = match operation {
        Operation::Delete => pattern.to_owned(),
        _ => format!("{pattern}    replacement: \"token = secret:{{{secret}}}\"\n"),
    };
    let edit = part("replace", &own, "    region_start: no such line\n", operation);
    let edit = edit.replace("    create: true\n", "").replace("    state: absent\n", "");
    let command = "test -e {{ vars.root }}/target || echo token = > {{ vars.root }}/target";
    format!("  - type: exec\n    command: \"{command}\"\n    creates: \"{{{{ vars.root }}}}/target\"\n{edit}")
}

fn ini(secret: &str, operation: Operation, _: bool) -> String {
    let value = format!("    value: \"{{{{ secret('{secret}') | b64encode }}}}\"\n");
    let own = format!("    section: made\n    key: token\n{value}");

    let unfit = "    validate: \"cat %; exit 1\"\n";
    part("ini", &own, unfit, operation)
}

fn json_file(secret: &str, operation: Operation, _: bool) -> String {
    part("json_file", &structured(secret), "    validate: \"cat %; exit 1\"\n", operation)
}

fn yaml_file(secret: &str, operation: Operation, _: bool) -> String {
    part("yaml_file", &structured(secret), "    validate: \"cat %; exit 1\"\n", operation)
}

fn toml_file(secret: &str, operation: Operation, _: bool) -> String {
    part("toml_file", &structured(secret), "    validate: \"cat %; exit 1\"\n", operation)
}

/// A value inside of others, in a text that has more than that.
fn structured(secret: &str) -> String {
    format!("    key: made.here\n    value: {{token: \"raw secret:{{{secret}}}\", list: [1, true]}}\n")
}

/// What every command has beside what is said of its value.
fn run(own: &str, operation: Operation) -> String {
    if operation == Operation::Delete {
        return "  - {type: file, target_path: \"{{ vars.root }}/none\", state: absent}\n".to_owned();
    }
    let how = match operation {
        Operation::Fails(Step::NoFolder) => "    cwd: \"{{ vars.root }}/missing\"\n",
        Operation::Fails(Step::NoOwner) => "    user: no-such-user-here\n",
        Operation::Fails(Step::Check) => "    returns: 77\n",
        _ => "",
    };
    format!("  - type: exec\n    creates: \"{{{{ vars.root }}}}/never\"\n    log_output: always\n{own}{how}")
}

fn command(secret: &str, operation: Operation, _: bool) -> String {
    let own = format!(
        "    command: [\"/bin/echo\", \"secret:{{{secret}}}\"]\n    shell: false\n    allow_exposure: [argv]\n"
    );
    run(&own, operation)
}

fn environment(secret: &str, operation: Operation, _: bool) -> String {
    run(
        &format!(
            "    command: \"env; env >&2\"\n{}    environment: {{TOKEN: \"secret:{{{secret}}}\"}}\n",
            shell(operation)
        ),
        operation,
    )
}

fn stdin(secret: &str, operation: Operation, _: bool) -> String {
    run(
        &format!(
            "    command: \"cat | tee /dev/stderr\"\n{}    stdin: \"secret:{{{secret}}}\"\n",
            shell(operation)
        ),
        operation,
    )
}

fn credentials(secret: &str, operation: Operation, _: bool) -> String {
    let command = "cat $CREDENTIALS_DIRECTORY/key | tee /dev/stderr; ls -l $CREDENTIALS_DIRECTORY";
    let own = format!(
        "    command: \"{command}\"\n{}    credentials: {{key: \"secret:{{{secret}}}\"}}\n",
        shell(operation)
    );
    run(&own, operation)
}

fn shell(operation: Operation) -> &'static str {
    if operation == Operation::Fails(Step::OtherKind) { "    shell: /etc\n" } else { "" }
}
