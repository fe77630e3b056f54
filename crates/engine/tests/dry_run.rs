//! Dry runs: nothing changes, earlier planned changes count, what cannot be known is pending.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod world;

use std::fs;
use std::path::PathBuf;
use vigo_engine::Overlay;
use vigo_resource::{Outcome, Plan};
use vigo_testkit::case::{self, Expected, Machine};
use vigo_testkit::fake::{FakeCommand, FakeHost};
use vigo_wire::bundle::Resource;
use world::{World, file, find, outcomes, resource, secret_file};

fn dry(resources: Vec<Resource>) -> World {
    let mut world = World::new(resources);
    world.options.dry_run = true;
    world.options.diff = true;
    world
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_a_run_would() {
    let mut reload = resource("exec", "reload", &[("command", "reload it")]);
    reload.when = "changed".into();
    reload.notified_by = vec![0];
    let mut world = dry(vec![
        file("site", "/srv/site/index.html", "hello\n"),
        resource("directory", "", &[("target_path", "/srv/site")]),
        reload,
    ]);
    let before = world.host.snapshot();
    let report = world.run();
    assert!(report.dry_run);
    assert_eq!(outcomes(&report), ["c:directory//srv/site created", "c:site created", "c:reload updated"]);
    assert_eq!(find(&report, "c:site").diff[0].to_string(), "+hello");
    assert_eq!(world.host.snapshot(), before);
    assert!(world.owed.store.owed.is_empty());
    assert_eq!(world.host.flushes(), 0);
}

#[test]
fn a_bundle_that_observes_is_a_dry_run() {
    let mut world = World::new(vec![file("a", "/etc/a", "x")]);
    world.bundle.observe = true;
    let report = world.run();
    assert!(report.dry_run);
    assert_eq!(outcomes(&report), ["c:a created"]);
    assert!(world.text("/etc/a").is_none());
}

#[test]
fn what_depends_on_a_command_that_has_not_run_is_pending() {
    let mut world = dry(vec![
        resource("exec", "unpack", &[("command", "unpack it"), ("creates", "/opt/tool")]),
        resource("symlink", "link", &[("target_path", "/opt/tool/bin"), ("to", "x")]),
        file("plain", "/etc/plain", "x"),
        resource("file", "refused", &[("target_path", "/etc/refused"), ("mode", "rw")]),
    ]);
    let report = world.run();
    assert_eq!(
        outcomes(&report),
        ["c:unpack updated", "c:link pending", "c:plain created", "c:refused failed"]
    );
    assert!(find(&report, "c:link").reason.contains("`c:unpack`"), "{}", find(&report, "c:link").reason);
    assert_eq!(report.summary().changed, 3);
}

#[test]
fn without_a_command_before_it_a_missing_folder_is_a_failure() {
    let mut world = dry(vec![file("a", "/srv/a", "x")]);
    assert_eq!(outcomes(&world.run()), ["c:a failed"]);
}

#[test]
fn conditions_and_copies_see_what_is_only_planned() {
    let second = Resource { when: "file_exists('/etc/first')".into(), ..file("second", "/etc/second", "x") };
    let copy = resource("file", "copy", &[("target_path", "/etc/copy"), ("copy_from", "/etc/first")]);
    let gone = resource("file", "gone", &[("target_path", "/etc/old"), ("state", "absent")]);
    let third = Resource { when: "file_exists('/etc/old')".into(), ..file("third", "/etc/third", "x") };
    let mut world = dry(vec![file("first", "/etc/first", "x"), second, copy, gone, third]);
    world.write("/etc/old", "x");
    let ran = outcomes(&world.run());
    assert_eq!(
        ran,
        ["c:first created", "c:second created", "c:copy created", "c:gone deleted", "c:third skipped"]
    );
}

#[test]
fn a_secret_that_is_missing_is_no_matter_of_what_has_not_run() {
    let mut world = dry(vec![
        resource("exec", "unpack", &[("command", "unpack it")]),
        secret_file("conf", "/etc/conf", "web/token"),
    ]);
    world.host.add_command("unpack it", FakeCommand::exits(0));
    assert_eq!(outcomes(&world.run()), ["c:unpack updated", "c:conf blocked"]);
}

/// For every case of every type: over the overlay the plan comes to what a real run comes to, nothing real changes, and once applied there the next plan over the overlay is empty.
#[test]
fn every_case_comes_to_the_same_over_the_overlay() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../resources/cases");
    let mut seen = 0;
    for kind in vigo_resources::REGISTRY.iter() {
        let text = fs::read_to_string(folder.join(format!("{}.case", kind.info().name))).unwrap();
        for case in case::read(&text, "").unwrap() {
            let Expected::Outcome(expected) = case.expect else { continue };
            let mut host = FakeHost::new();
            case.before.iter().for_each(|given| host.give(given).unwrap());
            let before = host.snapshot();
            let resource = case.parse(kind).unwrap_or_else(|ended| panic!("{}: {}", case.name, ended.said()));
            let mut overlay = Overlay::new(&host);
            case.with_context(kind, |context| {
                let planned = resource.plan(&overlay, context);
                let outcome = match planned {
                    Ok(Plan::Unchanged(_)) => Outcome::Unchanged,
                    Ok(Plan::Change { outcome, steps, .. }) => {
                        let applied = resource.apply(&mut overlay, context, steps);
                        if applied.is_ok() && !case.repeats && !text_has_exec(kind.info().name) {
                            let again = resource.plan(&overlay, context).unwrap();
                            assert!(
                                matches!(again, Plan::Unchanged(_)),
                                "{}: a second plan is left",
                                case.name
                            );
                        }
                        outcome
                    }
                    Err(failure) => failure.outcome(),
                };
                // A failure that only running would show is no failure of a plan.
                if expected != Outcome::Failed {
                    assert_eq!(outcome, expected, "{}", case.name);
                }
            });
            assert_eq!(host.snapshot(), before, "{}", case.name);
            seen += 1;
        }
    }
    assert!(seen > 60, "{seen}");
}

/// What a command does is not known over an overlay.
fn text_has_exec(kind: &str) -> bool {
    kind == "exec"
}
