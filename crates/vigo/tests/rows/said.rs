//! What is said of a resource, whatever becomes of it: differences, loops, failures, commands, values that are common words.

use crate::node::{Node, canaries};
use crate::world::run;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use vigo_testkit::scan::{Canary, Kind};

#[test]
fn a_difference_shows_neither_the_new_value_nor_the_one_before_nor_what_stood_there() {
    let mut node = Node::new();
    let [stood, first, second] = canaries(Kind::SixtyFour);
    let [shell, lines] = [Canary::fresh(Kind::Shell).unwrap(), Canary::fresh(Kind::Lines).unwrap()];
    let all = [&stood, &first, &second, &shell, &lines];
    let target = "    type: file\n    target_path: \"{{ vars.root }}/late\"\n";
    let template = "literal line\ntoken = secret:app/token\nencoded = {{ secret(\"app/token\") | b64encode }}\nother = \"secret:app/shell\"\nsecret:app/lines\n";
    node.world.stack("templates/late.j2", template);
    node.policy("", &format!("  - name: late\n{target}    source: late.j2\n    mode: \"0640\"\n"));
    // A value of before Vigo, put there by somebody else, that everybody may read.
    fs::write(node.at("late"), [b"literal line\nold = ".to_vec(), stood.plain(), b"\n".to_vec()].concat())
        .unwrap();
    node.set("app/token", &first.plain());
    node.set("app/shell", &shell.plain());
    node.set("app/lines", &lines.plain());
    node.says_nothing_of(&all, 0);
    assert!(node.target("late").windows(64).any(|part| part == first.plain()), "it was not applied");
    node.set("app/token", &second.plain());
    let shown = node.apply(&["--dry-run", "--diff"]).expect(3);
    assert!(shown.out.contains("‹secret app/token v2›"), "{}", shown.out);
    node.says_nothing_of(&all, 0);
    // What becomes of it when it goes.
    node.policy("", &format!("  - name: late\n{target}    state: absent\n"));
    node.says_nothing_of(&all, 0);
    assert!(!node.at("late").exists());
}

#[test]
fn a_loop_over_maps_with_secrets_in_them_is_told_by_its_keys_and_when_it_fails_too() {
    let mut node = Node::new();
    let [alice, bob, deep] = canaries(Kind::SixtyFour);
    for (path, value) in [("users/alice", &alice), ("users/bob", &bob), ("deep/est", &deep)] {
        node.set(path, &value.plain());
    }
    let vars = ", users: {alice: {login: {password: \"secret:users/alice\", more: [{deep: \"secret:deep/est\"}]}}, bob: {login: {password: \"secret:users/bob\", more: [{deep: \"x\"}]}}}";
    let resources = |folder: &str| {
        format!(
            "  - name: user\n    foreach: vars.users\n    type: file\n    target_path: \"{{{{ vars.root }}}}/{folder}{{{{ item.key }}}}\"\n    \
             content: \"{{{{ item.value.login.password }}}} {{{{ item.value.login.more[0].deep | default('none') }}}}\\n\"\n"
        )
    };
    let all = [&alice, &bob, &deep];
    // First where it fails for want of a folder, then where it does not.
    node.policy(vars, &resources("missing/"));
    node.says_nothing_of(&all, 5);
    node.policy(vars, &resources(""));
    node.says_nothing_of(&all, 0);
    let said = node.apply(&["-v"]).expect(0).out;
    assert!(said.contains("user[alice]") && said.contains("user[bob]"), "{said}");
    assert_eq!(node.target("alice"), [alice.plain(), b" ".to_vec(), deep.plain(), b"\n".to_vec()].concat());
}

#[test]
fn a_command_that_cannot_be_started_says_nothing_of_what_it_was_to_get() {
    let mut node = Node::new();
    let [variable, input] = canaries(Kind::SixtyFour);
    node.set("app/variable", &variable.plain());
    node.set("app/input", &input.plain());
    let denied = node.at("denied");
    fs::write(&denied, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&denied, fs::Permissions::from_mode(0o644)).unwrap();
    let with = "    environment: {TOKEN: \"secret:app/variable\", PLAIN: seen}\n    stdin: \"secret:app/input\"\n    sensitive_output: false\n";
    let one = |name: &str, how: &str| {
        format!("  - name: {name}\n    type: exec\n    creates: /no/such/file\n    {how}\n{with}")
    };
    let resources = [
        one("misspelt", "command: [/bin/ehco, hello]\n    shell: false"),
        one("denied", &format!("command: [\"{}\"]\n    shell: false", denied.display())),
        one("nowhere", "command: \"true\"\n    cwd: /no/such/folder"),
        one("nobody", "command: \"true # as nobody\"\n    user: nosuchuser"),
        one("shell", "command: ehco $TOKEN"),
    ];
    node.policy("", &resources.concat());
    node.says_nothing_of(&[&variable, &input], 5);
    let said = node.apply(&[]).expect(5);
    let said = format!("{}{}", said.out, said.err);
    // The messages are of use all the same.
    for words in ["/bin/ehco", "cannot enter the folder", "nosuchuser"] {
        assert!(said.contains(words), "`{words}` is not said in:\n{said}");
    }
}

#[test]
fn a_command_that_says_its_secrets_is_not_repeated_whatever_its_end() {
    let mut node = Node::new();
    let [variable, input, argument] = canaries(Kind::SixtyFour);
    node.set("app/variable", &variable.plain());
    node.set("app/input", &input.plain());
    node.set("app/argument", &argument.plain());
    let say = "cat; echo \\\"$TOKEN\\\" >&2; echo \\\"$TOKEN\\\" | base64; printf %s \\\"$TOKEN\\\" | od -An -tx1; env";
    let one = |name: &str, end: &str, more: &str| {
        format!(
            "  - name: {name}\n    type: exec\n    creates: /no/such/file\n    command: \"{say}; exit {end}\"\n    environment: {{TOKEN: \"secret:app/variable\"}}\n    \
             stdin: \"secret:app/input\"\n    log_output: always\n{more}"
        )
    };
    let guards = "    onlyif: [\"echo $TOKEN; echo $TOKEN >&2\"]\n    unless: [\"echo $TOKEN; false\"]\n";
    let argv = "  - name: argv\n    type: exec\n    creates: /no/such/file\n    command: \"echo said secret:app/argument; false\"\n    allow_exposure: [argv]\n    log_output: always\n";
    let resources = [
        one("fine", "0", guards),
        one("failed", "3", ""),
        one("refused", "3", "    sensitive_output: true\n"),
        argv.to_owned(),
    ];
    node.policy("", &resources.concat());
    let all = [&variable, &input, &argument];
    node.says_nothing_of(&all, 5);
    // With the operator's word it is shown, and scrubbed: what the command said for itself can be read.
    let shown = "  - name: shown\n    type: exec\n    creates: /no/such/file\n    command: \"echo before $TOKEN after; echo $TOKEN | base64 -w0; exit 3\"\n    \
                 environment: {TOKEN: \"secret:app/variable\"}\n    sensitive_output: false\n    log_output: always\n";
    node.policy("", shown);
    node.says_nothing_of(&all, 5);
    let said = node.apply(&[]).expect(5).out;
    assert!(said.contains("before ") && said.contains(" after"), "{said}");
}

#[test]
fn secrets_that_are_common_words_work_and_reports_stay_readable() {
    let mut node = Node::new();
    let values = ["true", "root", "a", "1", "\n", "file"];
    let mut resources = String::new();
    for (number, value) in values.iter().enumerate() {
        node.set(&format!("word/v{number}"), value.as_bytes());
        resources.push_str(&format!(
            "  - name: true-root-{number}\n    type: file\n    target_path: \"{{{{ vars.root }}}}/a{number}\"\n    content: \"secret:word/v{number}\"\n    owner: root\n"
        ));
    }
    if !rustix::process::geteuid().is_root() {
        resources = resources.replace("    owner: root\n", "");
    }
    resources.push_str(
        "  - name: login\n    type: exec\n    creates: /no/such/file\n    command: \"grep -qx true\"\n    stdin: \"secret:word/v0\"\n  - name: said\n    type: exec\n    creates: /no/such/file\n    \
         command: \"echo a true root file of 1; cat > /dev/null\"\n    stdin: \"secret:word/v2\"\n    log_output: always\n",
    );
    node.policy("", &resources);
    let ended = node.apply(&["-v"]).expect(0);
    for (number, value) in values.iter().enumerate() {
        assert_eq!(node.target(&format!("a{number}")), value.as_bytes());
        // Nothing of the report was taken for the secret.
        let line = format!("create `{}` with mode 0600", node.at(&format!("a{number}")).display());
        assert!(ended.out.contains(&line), "`{line}` is not said in:\n{}", ended.out);
        assert!(ended.out.contains(&format!("first:true-root-{number}")), "{}", ended.out);
    }
    // What it said was dropped, not searched: words this short stand everywhere.
    assert!(!ended.out.contains("a true root file of 1\n"), "{}", ended.out);
    // And it cannot be had to be searched.
    let refused = resources.replace("    log_output: always", "    sensitive_output: false");
    node.policy("", &refused);
    node.apply(&[]).expect(5).says(&["fewer than eight bytes"]);
}

#[test]
fn what_only_looks_says_nothing_of_values_in_the_environment_or_on_the_machine() {
    let mut node = Node::new();
    let [held, variable] = canaries(Kind::SixtyFour);
    node.set("app/token", &held.plain());
    node.policy("", "  - name: token\n    type: file\n    target_path: \"{{ vars.root }}/token\"\n    content: \"secret:app/token\"\n");
    node.apply(&[]).expect(0);
    let value = String::from_utf8(variable.plain()).unwrap();
    let mut shown = 0;
    for words in [
        &["status"] as &[&str],
        &["status", "--json"],
        &["traits"],
        &["traits", "--json"],
        &["explain"],
        &["explain", "file"],
        &["explain", "exec", "--json"],
        &["version"],
        &["--help"],
        &["apply", "--help"],
    ] {
        let mut command = node.world.vigo_command(words);
        // The agent is given values in its environment with `--secrets env`; who only looks has them there, too.
        command.env("VIGO_SECRET_app__token", &value).env("MYSQL_PWD", &value);
        let ended = run(command, b"");
        shown += ended.out.len();
        node.clean(&words.join(" "), &ended, &[&held, &variable]);
    }
    assert!(shown > 5_000, "hardly anything was said");
    let mut command = node.world.cli_command(&["secrets", "list", "--json"]);
    command.args(["--vault", &node.vault()]);
    node.clean("list", &run(command, b"").expect(0), &[&held, &variable]);
}
