//! Whole runs on a machine in memory: outcomes, dependencies, conditions, notifications.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use vigo_engine::FailedTrait;
use vigo_resource::Outcome;
use vigo_testkit::fake::{Effect, FakeCommand, Fault};
use vigo_wire::bundle::{Branch, Configcrate, Resource};
use vigo_wire::node::{Entry, Kind, Node};
use world::{World, file, find, outcome, outcomes, path, resource};

fn exec(name: &str, command: &str, when: &str) -> Resource {
    Resource { when: when.into(), ..resource("exec", name, &[("command", command)]) }
}

/// A file and a command that runs when it changed.
fn notifying() -> World {
    let mut reload = exec("reload", "reload it", "changed");
    reload.notified_by = vec![0];
    let mut world = World::new(vec![file("conf", "/etc/conf", "one"), reload]);
    world.host.add_command("reload it", FakeCommand::exits(0));
    world
}

#[test]
fn a_run_makes_what_is_written_and_the_next_one_finds_nothing_to_do() {
    let mut world = World::new(vec![
        file("", "/srv/site/index.html", "hello"),
        resource("directory", "", &[("target_path", "/srv/site")]),
    ]);
    let first = world.run();
    assert_eq!(outcomes(&first), ["c:directory//srv/site created", "c:file//srv/site/index.html created"]);
    assert_eq!(world.host.flushes(), 1);
    let second = world.run();
    assert_eq!(second.summary().unchanged, 2);
    assert_eq!(world.host.flushes(), 1, "nothing was written, so nothing is to be flushed");
    assert!(world.secrets.asked.borrow().is_empty(), "nothing needs a secret");
}

#[test]
fn variables_traits_and_the_envoy_are_rendered_and_typed_attributes_keep_their_types() {
    let mut world = World::new(vec![resource(
        "file",
        "",
        &[
            ("target_path~", "/etc/{{ vars.name }}"),
            ("content~", "{{ envoy.name }} {{ traits.os.family }}\n"),
            ("mode=", "vars.mode"),
        ],
    )]);
    let literal = |text: &str| Some(Node::literal(text));
    world.bundle.variables = vec![Entry { name: "name".into(), value: literal("motd") }];
    world.bundle.configcrates[0].variables = vec![
        Entry { name: "name".into(), value: literal("hidden by the one above") },
        Entry { name: "mode".into(), value: Some(Node::new(Kind::Integer(640))) },
    ];
    assert_eq!(outcomes(&world.run()), ["c:file//etc/motd created"]);
    assert_eq!(world.text("/etc/motd").unwrap(), "web-1 debian\n");
    assert_eq!(world.host.node(&path("/etc/motd")).unwrap().mode.bits(), 0o640);
}

#[test]
fn one_that_fails_stops_what_depends_on_it_and_nothing_else() {
    let mut dependant = file("second", "/etc/second", "x");
    dependant.requires = vec![0];
    let mut far = file("third", "/etc/third", "x");
    far.requires = vec![1];
    let mut world =
        World::new(vec![exec("first", "false", ""), dependant, far, file("other", "/etc/other", "x")]);
    let report = world.run();
    assert_eq!(
        outcomes(&report),
        ["c:first failed", "c:second blocked", "c:third blocked", "c:other created"]
    );
    assert_eq!(find(&report, "c:second").reason, "it depends on `c:first`, which is failed");
    assert_eq!(report.summary().blocked, 2);
}

#[test]
fn what_stands_below_a_folder_that_failed_is_blocked() {
    let mut world = World::new(vec![
        resource("directory", "", &[("target_path", "/srv"), ("owner", "nobody-here")]),
        file("", "/srv/file", "x"),
    ]);
    let report = world.run();
    assert_eq!(outcomes(&report), ["c:directory//srv blocked", "c:file//srv/file blocked"]);
}

#[test]
fn a_configcrate_waits_for_all_of_the_one_it_needs() {
    let mut world =
        World::new(vec![file("a", "/etc/a", "x"), exec("b", "false", ""), file("c", "/etc/c", "x")]);
    world.bundle.resources[0].configcrate = 1;
    world.bundle.configcrates.push(Configcrate {
        name: "first".into(),
        requires: vec![0],
        ..Configcrate::default()
    });
    let report = world.run();
    assert_eq!(outcomes(&report), ["c:b failed", "c:c created", "first:a blocked"]);
    assert_eq!(find(&report, "first:a").reason, "it depends on the configcrate of `c:b`, which is failed");
}

#[test]
fn a_condition_that_is_false_skips_and_what_depends_on_it_goes_on() {
    let mut dependant = file("second", "/etc/second", "x");
    dependant.requires = vec![0];
    let first = Resource { when: "os_family('redhat')".into(), ..file("first", "/etc/first", "x") };
    let mut world = World::new(vec![first, dependant]);
    assert_eq!(outcomes(&world.run()), ["c:first skipped", "c:second created"]);
}

#[test]
fn what_is_skipped_for_good_need_not_even_be_rendered() {
    let first = Resource {
        when: "false".into(),
        ..resource("file", "first", &[("target_path~", "/etc/{{ vars.nowhere }}")])
    };
    assert_eq!(outcomes(&World::new(vec![first]).run()), ["c:first skipped"]);
}

#[test]
fn conditions_see_the_machine_as_earlier_resources_left_it() {
    let second = Resource { when: "file_exists('/etc/first')".into(), ..file("second", "/etc/second", "x") };
    let third = Resource { when: "!file_exists('/etc/first')".into(), ..file("third", "/etc/third", "x") };
    let mut world = World::new(vec![file("first", "/etc/first", "x"), second, third]);
    assert_eq!(outcomes(&world.run()), ["c:first created", "c:second created", "c:third skipped"]);
}

#[test]
fn the_condition_of_a_configcrate_holds_for_all_in_it() {
    let mut world = World::new(vec![file("a", "/etc/a", "x"), file("b", "/etc/b", "x")]);
    world.bundle.configcrates[0].when = "dir_exists('/nowhere')".into();
    assert_eq!(outcomes(&world.run()), ["c:a skipped", "c:b skipped"]);
}

#[test]
fn a_question_that_has_no_answer_fails_the_resource() {
    let mut world =
        World::new(vec![Resource { when: "file_exists('etc')".into(), ..file("a", "/etc/a", "x") }]);
    let report = world.run();
    assert_eq!(outcome(&report, "c:a"), Outcome::Failed);
    assert!(find(&report, "c:a").reason.contains("is not absolute"));
}

#[test]
fn a_change_notifies_once_and_only_a_change_does() {
    let mut world = notifying();
    assert_eq!(outcomes(&world.run()), ["c:conf created", "c:reload updated"]);
    assert_eq!(outcomes(&world.run()), ["c:conf unchanged", "c:reload skipped"]);
    world.write("/etc/conf", "drift");
    assert_eq!(outcomes(&world.run()), ["c:conf updated", "c:reload updated"]);
    assert!(world.owed.store.owed.is_empty());
}

#[test]
fn a_notification_is_owed_until_the_target_succeeded() {
    let mut world = notifying();
    world.host.add_command("reload it", FakeCommand::exits(1));
    assert_eq!(outcomes(&world.run()), ["c:conf created", "c:reload failed"]);
    assert_eq!(outcomes(&world.run()), ["c:conf unchanged", "c:reload failed"]);
    world.host.add_command("reload it", FakeCommand::exits(0));
    assert_eq!(outcomes(&world.run()), ["c:conf unchanged", "c:reload updated"]);
    assert_eq!(outcomes(&world.run()), ["c:conf unchanged", "c:reload skipped"]);
}

#[test]
fn a_source_is_left_as_it_is_when_its_debt_cannot_be_written() {
    let mut world = notifying();
    world.owed.refuses = true;
    let report = world.run();
    assert_eq!(outcomes(&report), ["c:conf failed", "c:reload blocked"]);
    assert!(world.text("/etc/conf").is_none());
    world.owed.refuses = false;
    assert_eq!(outcomes(&world.run()), ["c:conf created", "c:reload updated"]);
}

#[test]
fn a_target_of_a_notifier_that_failed_is_blocked_and_the_debt_stays() {
    let mut world = notifying();
    let mut second = exec("second", "false", "");
    second.configcrate = 0;
    world.bundle.resources.push(second);
    world.bundle.resources[1].notified_by = vec![0, 2];
    let report = world.run();
    assert_eq!(outcomes(&report), ["c:conf created", "c:second failed", "c:reload blocked"]);
    assert!(world.owed.store.owed.contains("c:reload"));
    world.host.add_command("false", FakeCommand::exits(0));
    world.bundle.resources[2].when = "false".into();
    assert_eq!(outcomes(&world.run()), ["c:conf unchanged", "c:second skipped", "c:reload updated"]);
}

#[test]
fn a_target_that_waits_for_its_hour_is_owed_until_then() {
    let mut world = notifying();
    world.bundle.resources[1].when = "changed && file_exists('/etc/window')".into();
    assert_eq!(outcomes(&world.run()), ["c:conf created", "c:reload skipped"]);
    world.write("/etc/window", "");
    assert_eq!(outcomes(&world.run()), ["c:conf unchanged", "c:reload updated"]);
}

#[test]
fn whatever_call_fails_the_next_runs_reach_the_goal_and_the_notification_is_not_lost() {
    let calls = {
        let mut world = notifying();
        world.run();
        world.host.calls()
    };
    assert!(calls > 4);
    for number in 1..=calls {
        for fault in [Fault::Before(number), Fault::After(number)] {
            let mut world = notifying();
            world.host.set_fault(Some(fault));
            world.run();
            world.host.set_fault(None);
            world.run();
            assert_eq!(world.text("/etc/conf").as_deref(), Some("one"), "{fault:?}");
            assert!(world.host.ran().iter().any(|command| command == "reload it"), "{fault:?}");
            assert_eq!(outcomes(&world.run()), ["c:conf unchanged", "c:reload skipped"], "{fault:?}");
        }
    }
}

#[test]
fn the_same_resource_twice_is_one_and_its_dependencies_are_united() {
    let mut twin = resource("file", "", &[("content", "x"), ("target_path", "//etc/./a")]);
    twin.requires = vec![0];
    twin.configcrate = 1;
    let mut world = World::new(vec![file("first", "/etc/first", "x"), file("", "/etc/a", "x"), twin]);
    world.bundle.configcrates.push(Configcrate { name: "d".into(), ..Configcrate::default() });
    world.bundle.resources[0].configcrate = 1;
    assert_eq!(outcomes(&world.run()), ["d:first created", "c:file//etc/a created"]);
}

#[test]
fn the_same_identity_with_other_attributes_fails_with_both_places() {
    let twin = Resource { origin: "y.vgo:7".into(), ..file("b", "/etc/a", "y") };
    let mut world = World::new(vec![file("a", "/etc/a", "x"), twin, file("c", "/etc/c", "x")]);
    let report = world.run();
    assert_eq!(outcomes(&report), ["c:a failed", "c:b failed", "c:c created"]);
    let reason = &find(&report, "c:b").reason;
    assert!(reason.contains("x.vgo:1") && reason.contains("y.vgo:7"), "{reason}");
    assert!(world.text("/etc/a").is_none());
}

#[test]
fn two_different_ones_of_what_a_machine_has_one_of_fail_with_both_places_and_nothing_is_done() {
    let policy = |name: &str, wanted: &str| resource("swap_policy", name, &[("swap_policy", wanted)]);
    let other = Resource { origin: "y.vgo:7".into(), ..policy("b", "zram") };
    let mut world = World::new(vec![policy("a", "off"), other, file("c", "/etc/c", "x")]);
    let report = world.run();
    assert_eq!(outcomes(&report), ["c:a failed", "c:b failed", "c:c created"]);
    let reason = &find(&report, "c:b").reason;
    assert!(reason.contains("a machine has one `swap_policy`") && reason.contains("y.vgo:7"), "{reason}");
    // Two that say the same are one.
    let mut world = World::new(vec![policy("", "off"), Resource { configcrate: 1, ..policy("", "off") }]);
    world.bundle.configcrates.push(Configcrate { name: "d".into(), ..Configcrate::default() });
    assert_eq!(world.run().resources.len(), 1);
}

#[test]
fn the_same_path_by_two_types_fails_with_both_places() {
    let link = resource("symlink", "link", &[("target_path", "/etc/a"), ("to", "/x")]);
    let mut world = World::new(vec![file("a", "/etc/a", "x"), link]);
    let report = world.run();
    assert_eq!(outcomes(&report), ["c:a failed", "c:link failed"]);
    assert!(find(&report, "c:a").reason.contains("as `file` and as `symlink`"));
}

#[test]
fn the_same_identity_is_no_contradiction_when_only_one_of_them_can_be() {
    let debian = Resource { when: "os_family('debian')".into(), ..file("a", "/etc/a", "debian") };
    let redhat = Resource { when: "os_family('redhat')".into(), ..file("b", "/etc/a", "redhat") };
    let mut world = World::new(vec![debian, redhat]);
    assert_eq!(outcomes(&world.run()), ["c:a created", "c:b skipped"]);
    assert_eq!(world.text("/etc/a").unwrap(), "debian");
}

#[test]
fn a_case_lays_its_branch_over_the_rest() {
    let mut one = file("a", "/etc/a", "base");
    one.case = "traits.os.family".into();
    let branch = |value: &str, content: &str| Branch {
        value: value.into(),
        attributes: vec![
            Entry { name: "content".into(), value: Some(Node::literal(content)) },
            Entry { name: "mode".into(), value: Some(Node::literal("0600")) },
        ],
    };
    one.branches = vec![branch("redhat", "r"), branch("debian", "d")];
    let mut world = World::new(vec![one]);
    world.run();
    assert_eq!(world.text("/etc/a").unwrap(), "d");
    world.bundle.resources[0].branches.truncate(1);
    world.bundle.resources[0]
        .attributes
        .push(Entry { name: "mode".into(), value: Some(Node::literal("0644")) });
    world.run();
    assert_eq!(world.text("/etc/a").unwrap(), "base");
}

#[test]
fn a_stamped_resource_sees_its_item() {
    let one = |key: &str| {
        let attributes = [("target_path~", "/etc/{{ item }}"), ("content~", "{{ item }}")];
        Resource { item: Some(Node::literal(key)), ..resource("file", &format!("f[{key}]"), &attributes) }
    };
    let mut world = World::new(vec![one("a"), one("b")]);
    assert_eq!(outcomes(&world.run()), ["c:f[a] created", "c:f[b] created"]);
    assert_eq!(world.text("/etc/b").unwrap(), "b");
}

#[test]
fn only_runs_what_is_named_and_what_that_depends_on() {
    let mut third = file("third", "/srv/third", "x");
    third.requires = vec![1];
    let mut world = World::new(vec![
        file("first", "/etc/first", "x"),
        file("second", "/etc/second", "x"),
        third,
        resource("directory", "", &[("target_path", "/srv")]),
    ]);
    for reference in ["third", "c:third", "file//srv/third"] {
        world.options.only = vec![reference.into()];
        world.options.dry_run = true;
        let ran = outcomes(&world.run());
        assert_eq!(ran, ["c:second created", "c:directory//srv created", "c:third created"], "{reference}");
    }
    world.options.only = vec!["nobody".into()];
    assert!(world.try_run().unwrap_err().to_string().contains("cannot find `nobody`"));
    world.options.only = vec!["c".into()];
    assert_eq!(world.run().resources.len(), 4);
}

#[test]
fn what_cannot_be_rendered_or_parsed_fails_alone_and_says_where() {
    let mut world = World::new(vec![
        resource("file", "a", &[("target_path", "/etc/a"), ("content~", "{{ vars.nowhere }}")]),
        resource("file", "b", &[("target_path", "/etc/b"), ("contents", "x"), ("mode", "rw")]),
        resource("wormhole", "c", &[]),
        file("d", "/etc/d", "x"),
    ]);
    let report = world.run();
    assert_eq!(outcomes(&report), ["c:a failed", "c:b failed", "c:c failed", "c:d created"]);
    assert!(find(&report, "c:a").reason.starts_with("attribute `content`: "));
    let reason = &find(&report, "c:b").reason;
    assert!(reason.contains("`contents`") && reason.contains("`mode`"), "{reason}");
    assert!(find(&report, "c:b").help.contains("did you mean `content`?"));
    assert!(find(&report, "c:c").reason.contains("does not know the type"));
}

#[test]
fn a_collector_that_failed_blocks_what_uses_its_trait() {
    let mut world = World::new(vec![
        resource("file", "a", &[("target_path", "/etc/a"), ("content~", "{{ traits.network.fqdn }}")]),
        file("b", "/etc/b", "x"),
    ]);
    world.failed_traits = vec![FailedTrait { name: "network".into(), reason: "no /proc".into() }];
    let report = world.run();
    assert_eq!(outcomes(&report), ["c:a blocked", "c:b created"]);
    assert!(find(&report, "c:a").reason.contains("`network` could not be found out: no /proc"));
}

#[test]
fn a_purge_leaves_what_other_resources_manage() {
    let mut world = World::new(vec![
        resource("directory", "d", &[("target_path", "/etc/conf.d"), ("purge", "true"), ("recurse", "true")]),
        file("mine", "/etc/conf.d/mine", "x"),
        file("deep", "/etc/conf.d/sub/deep", "x"),
        resource("directory", "", &[("target_path", "/etc/conf.d/sub")]),
    ]);
    world.write("/etc/conf.d/stray", "x");
    world.write("/etc/conf.d/mine", "x");
    world.write("/etc/conf.d/sub/deep", "x");
    world.write("/etc/conf.d/sub/stray", "x");
    let report = world.run();
    assert_eq!(report.summary().changed, 1, "{report:?}");
    assert!(world.text("/etc/conf.d/stray").is_none() && world.text("/etc/conf.d/sub/stray").is_none());
    assert!(world.text("/etc/conf.d/mine").is_some() && world.text("/etc/conf.d/sub/deep").is_some());
}

#[test]
fn a_bundle_that_points_outside_of_itself_is_refused() {
    let mut world = notifying();
    world.bundle.resources[1].notified_by = vec![9];
    assert!(world.try_run().unwrap_err().to_string().contains("points outside of it"));
    assert!(world.text("/etc/conf").is_none());
}

#[test]
fn a_command_that_does_things_is_not_asked_twice() {
    let mut world = World::new(vec![exec("make", "make it", "changed || file_exists('/etc/go')")]);
    let effects = vec![Effect::Remove(path("/etc/go"))];
    world.host.add_command("make it", FakeCommand { effects, ..FakeCommand::default() });
    assert_eq!(outcomes(&world.run()), ["c:make skipped"]);
    world.write("/etc/go", "");
    assert_eq!(outcomes(&world.run()), ["c:make updated"]);
    assert_eq!(outcomes(&world.run()), ["c:make skipped"]);
}
