//! The part of the matrix with a server: each way to show a run, over an enrolled envoy, with everything at its most talkative; then all that server,
//! envoy and operator wrote and printed is searched.

use crate::axes::{Operation, SPEECHES};
use crate::recipes::{recipes, template};
use crate::world::{Ended, World};
use std::fs::File;
use std::io::Write as _;
use std::time::SystemTime;
use vigo_testkit::scan::{Canary, Kind, Scanner, Sink};

/// Commands of `vigocli` that show something, with words for a server that has one envoy and one run.
const SHOWS: &[&[&str]] = &[
    &["status"],
    &["secrets", "list"],
    &["secrets", "history", "app/v0"],
    &["secrets", "who", "app/v0"],
    &["config", "history"],
    &["token", "list"],
    &["api-token", "list"],
    &["secrets", "policy", "list"],
    &["secrets", "exposure"],
    &["envoys", "list"],
    &["envoys", "show", "web-1"],
    &["runs", "list"],
    &["audit", "list"],
    &["audit", "verify"],
];

#[test]
fn no_value_is_in_what_server_envoy_and_operator_write_or_print_however_a_run_is_shown() {
    let begun = SystemTime::now();
    let mut world = World::new();
    world.environment = [("VIGO_LOG_LEVEL", "trace"), ("RUST_LOG", "trace")]
        .map(|(name, text)| (name, text.to_owned()))
        .into();
    // A value of each kind for each attribute that takes one, in turn; two versions of all.
    let of_kind = |number: usize| Kind::ALL[number % Kind::ALL.len()];
    let count = recipes().len().max(Kind::ALL.len());
    let kinds = || (0..).map(of_kind).filter(|kind| *kind != Kind::Longest).take(count);
    let generations: [Vec<Canary>; 2] =
        [0, 1].map(|_| kinds().map(|kind| Canary::fresh(kind).unwrap()).collect());
    let scanner = Scanner::of(generations.iter().flatten());
    let control = Canary::fresh(Kind::Plain).unwrap();
    let mut log = File::create(world.path("printed.log")).unwrap();
    writeln!(log, "{}", String::from_utf8(control.plain()).unwrap()).unwrap();
    let mut keep = |ended: Ended| writeln!(log, "{}\n{}\n{}", ended.code, ended.out, ended.err).unwrap();

    world.start_server();
    let secret = |number: usize| format!("app/v{number}");
    let set = |world: &World, generation: usize| -> Vec<Ended> {
        let each = generations[generation].iter().enumerate();
        each.map(|(number, canary)| {
            world.cli_with_input(&["secrets", "set", "--exact", &secret(number)], &canary.plain())
        })
        .collect()
    };
    set(&world, 0).into_iter().for_each(|ended| keep(ended.expect(0)));
    world.stack("templates/made.j2", &template(&secret(0)));
    let mut body = String::from("configcrate: first\nresources:\n");
    for (number, recipe) in recipes().into_iter().enumerate() {
        // Each type has its own files.
        let policy = (recipe.policy)(&secret(number), Operation::Create, false);
        body.push_str(&policy.replace("{{ vars.root }}", &format!("{{{{ vars.root }}}}/{number}")));
        std::fs::create_dir(world.root().join(number.to_string())).unwrap();
    }
    world.stack("configcrates/first.vgo", &body);
    keep(world.publish().expect(0));
    keep(world.enroll("web-1").expect(0));
    for (number, speech) in SPEECHES.into_iter().enumerate() {
        if number == SPEECHES.len() / 2 {
            set(&world, 1).into_iter().for_each(|ended| keep(ended.expect(0)));
        }
        let mut words = vec!["run"];
        words.extend(speech.options().iter().filter(|word| **word != "--detailed-exit-code"));
        keep(crate::world::run(world.vigo_command(&words), b"").expect(0));
    }
    for words in SHOWS {
        keep(world.cli(words).expect(0));
        keep(world.cli(&[*words, &["--json"]].concat()).expect(0));
    }
    keep(crate::world::run(world.vigo_command(&["status", "--json"]), b"").expect(0));
    world.kill_server();

    scanner
        .file(Sink::Output, &world.path("printed.log"), &control)
        .unwrap()
        .expect_nothing("what was printed");
    let scanned = scanner.folder(world.folder.path(), begun).unwrap();
    let root = world.root();
    let (in_targets, elsewhere): (Vec<_>, Vec<_>) =
        scanned.hits.iter().partition(|hit| std::path::Path::new(&hit.place).starts_with(&root));
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
    assert!(!in_targets.is_empty(), "no value arrived anywhere: nothing was tested");
}
