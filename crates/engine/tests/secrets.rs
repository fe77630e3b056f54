//! Runs with secrets: asked for once, blocked alone, rotated, subscribed to, offline, never said.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use vigo_resource::{Host, Outcome};
use vigo_testkit::fake::FakeCommand;
use vigo_wire::bundle::Resource;
use vigo_wire::node::{Entry, Kind, Node};
use world::{World, file, find, outcome, outcomes, path, resource, secret_file};

const CANARY: &str = "canary-55d0c1";

#[test]
fn secrets_are_asked_for_once_and_together_and_only_those_that_may_be_needed() {
    let skipped =
        Resource { when: "os_family('redhat')".into(), ..secret_file("skipped", "/etc/s", "not/this") };
    let maybe =
        Resource { when: "file_exists('/nowhere')".into(), ..secret_file("maybe", "/etc/m", "maybe/this") };
    let mut world = World::new(vec![
        secret_file("b", "/etc/b", "web/token"),
        secret_file("a", "/etc/a", "db/password"),
        secret_file("c", "/etc/c", "web/token"),
        skipped,
        maybe,
    ]);
    world.secret("web/token", 1, CANARY);
    world.secret("db/password", 1, CANARY);
    let report = world.run();
    assert_eq!(*world.secrets.asked.borrow(), [["db/password", "maybe/this", "web/token"]]);
    assert_eq!(report.summary().changed, 3);
    assert_eq!(world.host.node(&path("/etc/a")).unwrap().mode.bits(), 0o600);
}

#[test]
fn a_directory_opens_no_file_with_a_secret_below_it_whatever_becomes_of_its_resource() {
    let folder = || {
        let attributes = [("target_path", "/etc"), ("mode", "0755"), ("recurse=", "true"), ("owner", "7")];
        resource("directory", "d", &attributes)
    };
    let mut world = World::new(vec![folder(), secret_file("a", "/etc/a", "web/token")]);
    world.secret("web/token", 1, CANARY);
    world.write("/etc/plain", "x");
    world.run();
    assert_eq!(outcomes(&world.run()), ["c:d unchanged", "c:a unchanged"]);
    let state = |world: &World, name: &str| {
        let node = world.host.node(&path(name)).unwrap();
        (node.mode.bits(), node.owner)
    };
    assert_eq!(state(&world, "/etc/a"), (0o600, 0));
    assert_eq!(state(&world, "/etc/plain"), (0o755 & !0o111, 7), "the control is brought to what is written");
    // The secret cannot be had any more, then nobody manages the file any more.
    world.secrets.versions.clear();
    world.run();
    assert_eq!(state(&world, "/etc/a"), (0o600, 0));
    world.bundle.resources = vec![folder()];
    world.run();
    assert_eq!(state(&world, "/etc/a"), (0o600, 0));
}

#[test]
fn a_missing_secret_blocks_what_needs_it_and_nothing_else() {
    let mut world = World::new(vec![
        secret_file("a", "/etc/a", "web/token"),
        secret_file("b", "/etc/b", "web/missing"),
        file("c", "/etc/c", "x"),
    ]);
    world.secret("web/token", 1, CANARY);
    let report = world.run();
    assert_eq!(outcomes(&report), ["c:a created", "c:b blocked", "c:c created"]);
    assert_eq!(find(&report, "c:b").reason, "cannot get secret `web/missing`: there is no such secret");
}

#[test]
fn no_secret_is_in_a_report_whatever_becomes_of_it() {
    let mut failing =
        resource("exec", "x", &[("command", "leak it"), ("stdin~", "{{ secret('web/token') }}")]);
    failing.requires = vec![0];
    let mut world = World::new(vec![secret_file("a", "/etc/a", "web/token"), failing]);
    world.secret("web/token", 1, CANARY);
    let command =
        FakeCommand { exit: 1, stdout: CANARY.into(), stderr: CANARY.into(), ..FakeCommand::default() };
    world.host.add_command("leak it", command);
    world.options.diff = true;
    for (dry_run, changes) in [(true, true), (false, true), (false, false)] {
        world.options.dry_run = dry_run;
        let said = format!("{:?}", world.run());
        assert!(!said.contains(CANARY), "{said}");
        assert_eq!(said.contains("‹secret web/token v1›"), changes, "{said}");
    }
    world.write("/etc/a", &format!("token {CANARY}-old\n"));
    let said = format!("{:?} {:?}", world.run(), world.applied);
    assert!(!said.contains(CANARY), "{said}");
}

#[test]
fn a_new_version_is_written_and_notifies() {
    let mut reload = resource("exec", "reload", &[("command", "true")]);
    reload.when = "changed".into();
    reload.notified_by = vec![0];
    let mut world = World::new(vec![secret_file("a", "/etc/a", "web/token"), reload]);
    world.secret("web/token", 1, "canary-first");
    world.run();
    assert_eq!(outcomes(&world.run()), ["c:a unchanged", "c:reload skipped"]);
    world.secret("web/token", 2, "canary-second");
    assert_eq!(outcomes(&world.run()), ["c:a updated", "c:reload updated"]);
    assert_eq!(world.text("/etc/a").unwrap(), "token canary-second\n");
    let record = &world.applied.applied["c:a"];
    assert_eq!(record.secrets[0].1.0, 2);
}

#[test]
fn a_subscription_reacts_to_the_version_alone_until_it_succeeded() {
    let mut reload = resource("exec", "reload", &[("command", "reload it")]);
    reload.when = "changed".into();
    reload.subscribes_secrets = vec!["web/token".into()];
    let mut world = World::new(vec![reload]);
    world.secret("web/token", 1, CANARY);
    world.host.add_command("reload it", FakeCommand::exits(0));
    assert_eq!(outcome(&world.run(), "c:reload"), Outcome::Updated, "it was never applied with any version");
    assert_eq!(outcome(&world.run(), "c:reload"), Outcome::Skipped);
    world.secret("web/token", 2, CANARY);
    world.host.add_command("reload it", FakeCommand::exits(1));
    assert_eq!(outcome(&world.run(), "c:reload"), Outcome::Failed);
    world.host.add_command("reload it", FakeCommand::exits(0));
    assert_eq!(outcome(&world.run(), "c:reload"), Outcome::Updated);
    assert_eq!(outcome(&world.run(), "c:reload"), Outcome::Skipped);
    assert!(world.secrets.asked.borrow().is_empty(), "no value is fetched for a subscription");
}

#[test]
fn a_guarded_command_runs_again_for_a_new_version_only_where_that_is_said() {
    let command = |name: &str, rerun: bool| {
        let mut attributes =
            vec![("command", name), ("stdin~", "{{ secret('web/token') }}"), ("creates", "/etc/done")];
        if rerun {
            attributes.push(("rerun_on", "secret"));
        }
        resource("exec", name, &attributes)
    };
    let mut world = World::new(vec![command("plain", false), command("again", true)]);
    for name in ["plain", "again"] {
        world.host.add_command(name, FakeCommand::exits(0));
    }
    world.secret("web/token", 1, CANARY);
    assert_eq!(outcomes(&world.run()), ["c:plain updated", "c:again updated"]);
    world.write("/etc/done", "");
    assert_eq!(outcomes(&world.run()), ["c:plain unchanged", "c:again unchanged"]);
    world.secret("web/token", 2, CANARY);
    let report = world.run();
    assert_eq!(outcomes(&report), ["c:plain unchanged", "c:again updated"]);
    let reason = &find(&report, "c:plain").reason;
    assert!(reason.starts_with("(guard) ") && reason.contains("rerun_on: secret"), "{reason}");
    assert_eq!(outcome(&world.run(), "c:again"), Outcome::Unchanged);
}

#[test]
fn offline_a_file_that_nobody_touched_is_unverified_and_another_is_blocked() {
    let mut world =
        World::new(vec![secret_file("a", "/etc/a", "web/token"), secret_file("b", "/etc/b", "web/token")]);
    world.secret("web/token", 1, CANARY);
    world.run();
    world.host.drop_secret(&"web/token".parse().unwrap());
    world.secrets.away = true;
    let report = world.run();
    assert_eq!(outcomes(&report), ["c:a unchanged", "c:b unchanged"]);
    assert!(find(&report, "c:a").reason.starts_with("(unverified) "));

    world.write("/etc/b", "touched");
    let report = world.run();
    assert_eq!(outcomes(&report), ["c:a unchanged", "c:b blocked"]);
    assert!(find(&report, "c:b").reason.contains("the server is away"));
    assert_eq!(world.text("/etc/b").unwrap(), "touched");
}

#[test]
fn offline_other_attributes_or_another_version_are_no_longer_what_was_applied() {
    let mut world = World::new(vec![secret_file("a", "/etc/a", "web/token")]);
    world.secret("web/token", 1, CANARY);
    world.run();
    world.secrets.away = true;
    world.secrets.versions.insert("web/token".parse().unwrap(), 2);
    assert_eq!(outcome(&world.run(), "c:a"), Outcome::Blocked);
    world.secrets.versions.insert("web/token".parse().unwrap(), 1);
    assert_eq!(outcome(&world.run(), "c:a"), Outcome::Unchanged);
    let mode =
        vigo_wire::node::Entry { name: "mode".into(), value: Some(vigo_wire::node::Node::literal("0640")) };
    world.bundle.resources[0].attributes.push(mode);
    assert_eq!(outcome(&world.run(), "c:a"), Outcome::Blocked);
}

#[test]
fn offline_a_command_that_its_guard_says_is_done_needs_no_secret() {
    let attributes = [("command", "x"), ("stdin~", "{{ secret('web/token') }}"), ("creates", "/etc/done")];
    let mut world = World::new(vec![resource("exec", "x", &attributes)]);
    world.secrets.away = true;
    assert_eq!(outcome(&world.run(), "c:x"), Outcome::Blocked);
    world.write("/etc/done", "");
    assert_eq!(outcome(&world.run(), "c:x"), Outcome::Unchanged);
}

#[test]
fn a_secret_that_was_taken_away_is_no_matter_of_being_offline() {
    let mut world = World::new(vec![secret_file("a", "/etc/a", "web/token")]);
    world.secret("web/token", 1, CANARY);
    world.run();
    world.secrets.versions.clear();
    assert_eq!(outcome(&world.run(), "c:a"), Outcome::Blocked);
}

/// What of a report was handed over, as `resource secret vN way`.
fn exposures(report: &vigo_engine::RunReport) -> Vec<String> {
    let line =
        |one: &vigo_engine::Exposure| format!("{} {} {} {}", one.resource, one.secret, one.version, one.way);
    report.exposures.iter().map(line).collect()
}

#[test]
fn a_report_says_which_secret_was_handed_over_in_which_way() {
    let command = [("command", "start"), ("stdin~", "{{ secret('web/token') }}"), ("unless", "looks")];
    let password = Node::new(Kind::Template("{{ secret('db/password') }}".to_owned()));
    let mut command = resource("exec", "x", &command);
    command.attributes.push(Entry {
        name: "environment".into(),
        value: Some(Node::map([("PASSWORD".to_owned(), password)])),
    });
    let mut world = World::new(vec![secret_file("a", "/etc/a", "web/token"), command]);
    world.secret("web/token", 3, CANARY);
    world.secret("db/password", 1, CANARY);
    world.host.add_command("looks", FakeCommand::exits(1));
    world.host.add_command("start", FakeCommand::exits(1));
    let file = "c:a web/token v3 file";
    let ran = [file, "c:x db/password v1 environment", "c:x web/token v3 stdin"];
    let first = world.run();
    assert_eq!(outcome(&first, "c:x"), Outcome::Failed);
    assert_eq!(exposures(&first), ran, "a command that failed had it all the same");
    assert_eq!(exposures(&world.run()), ran, "the file stands there unchanged");
    // A guard gets the environment too, and nothing runs after it.
    world.host.add_command("looks", FakeCommand::exits(0));
    assert_eq!(exposures(&world.run()), [file, "c:x db/password v1 environment"]);
    world.secrets.away = true;
    assert_eq!(exposures(&world.run())[0], file, "nobody touched it since");
}

#[test]
fn a_value_that_was_left_for_later_is_fetched_only_when_something_needs_it() {
    let again = [("command", "feed"), ("stdin~", "{{ secret('db/password') }}"), ("creates", "/etc/done")];
    let mut world = World::new(vec![secret_file("a", "/etc/a", "web/token"), resource("exec", "x", &again)]);
    world.secret("web/token", 1, CANARY);
    world.secret("db/password", 1, CANARY);
    world.host.add_command("feed", FakeCommand::exits(0));
    world.run();
    world.write("/etc/done", "");
    world.secrets.later = ["web/token", "db/password"].iter().map(|path| path.parse().unwrap()).collect();
    assert_eq!(outcomes(&world.run()), ["c:a unchanged", "c:x unchanged"]);
    assert!(world.secrets.held.borrow().is_empty(), "nothing needed a value");
    world.write("/etc/a", "touched");
    assert_eq!(outcomes(&world.run()), ["c:a updated", "c:x unchanged"]);
    assert_eq!(*world.secrets.held.borrow(), ["web/token"], "and that of the command is not fetched");
    world.host.remove_file(&path("/etc/done")).unwrap();
    world.secrets.held.borrow_mut().clear();
    assert_eq!(outcomes(&world.run()), ["c:a unchanged", "c:x updated"]);
    assert_eq!(*world.secrets.held.borrow(), ["db/password"]);
}
