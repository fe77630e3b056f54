//! Taint on the real machine, with a real hand: what counts as a file with a secret, and what becomes of output that may be one.
//!
//! Without the usual harness, because this program is also the hand.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types
)]

mod place;

use place::{Place, Test, VALUE, command, context, secret};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;
use std::rc::Rc;
use vigo_base::{Pieces, Slot};
use vigo_resource::{Comparison, Host, Link, Output, Ownership};
use vigo_sys::spawn::Spawner;

#[global_allocator]
static ALLOCATOR: vigo_sys::ProcessAllocator = vigo_sys::ProcessAllocator;

const TESTS: &[(&str, Test)] = &[
    (
        "a_file_that_got_a_secret_is_tainted_and_its_copy_too",
        a_file_that_got_a_secret_is_tainted_and_its_copy_too,
    ),
    (
        "what_a_command_says_that_names_a_file_which_others_may_not_read_is_dropped",
        what_a_command_says_that_names_a_file_which_others_may_not_read_is_dropped,
    ),
    (
        "what_a_command_says_that_names_a_tainted_file_is_dropped_though_it_gets_a_secret_and_whatever_link_leads_there",
        what_a_command_says_that_names_a_tainted_file_is_dropped_though_it_gets_a_secret_and_whatever_link_leads_there,
    ),
    ("what_a_command_costs_whose_output_the_hand_reads", what_a_command_costs_whose_output_the_hand_reads),
    ("a_hand_that_ends_while_it_listens_holds_nothing_up", a_hand_that_ends_while_it_listens_holds_nothing_up),
    ("a_file_that_was_found_to_hold_a_secret_is_tainted", a_file_that_was_found_to_hold_a_secret_is_tainted),
    ("another_name_of_a_tainted_file_is_tainted", another_name_of_a_tainted_file_is_tainted),
    ("a_copy_of_a_secret_counts_as_the_secret_does", a_copy_of_a_secret_counts_as_the_secret_does),
    (
        "a_tainted_file_is_no_other_through_a_link_to_its_folder_or_after_a_rename",
        a_tainted_file_is_no_other_through_a_link_to_its_folder_or_after_a_rename,
    ),
    (
        "a_file_is_no_longer_tainted_when_it_was_replaced_by_plain_text",
        a_file_is_no_longer_tainted_when_it_was_replaced_by_plain_text,
    ),
    ("what_no_hand_can_scrub_is_dropped", what_no_hand_can_scrub_is_dropped),
    (
        "what_was_handed_over_is_noted_and_what_was_refused_is_not",
        what_was_handed_over_is_noted_and_what_was_refused_is_not,
    ),
];

fn a_file_that_got_a_secret_is_tainted_and_its_copy_too(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let (token, copy) = (place.path("token"), place.path("copy"));
    // Everybody may read both: nothing but the ledger tells what they are.
    assert!(place.host.is_tainted(&token).unwrap());
    let placement = vigo_resource::Placement {
        path: copy.clone(),
        mode: "0644".parse().unwrap(),
        ownership: Ownership::default(),
        in_place: false,
        validation: None,
    };
    place.host.copy_file(&placement, &token, &context()).unwrap();
    assert_eq!(fs::read_to_string(copy.as_path()).unwrap(), VALUE);
    assert!(place.host.is_tainted(&copy).unwrap());
}

fn a_file_that_was_found_to_hold_a_secret_is_tainted(spawner: &Rc<Spawner>) {
    let place = Place::new(spawner);
    let copy = place.path("copy");
    fs::write(copy.as_path(), VALUE).unwrap();
    fs::set_permissions(copy.as_path(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!place.host.is_tainted(&copy).unwrap());
    assert_eq!(place.host.compare_text(&copy, &secret(), &context()).unwrap(), Comparison::Same);
    assert!(place.host.is_tainted(&copy).unwrap());
    let second = place.path("second");
    fs::write(second.as_path(), VALUE).unwrap();
    fs::set_permissions(second.as_path(), fs::Permissions::from_mode(0o644)).unwrap();
    let found = place.host.compare_copy(&second, &copy, &context()).unwrap();
    assert_eq!((found, place.host.is_tainted(&second).unwrap()), (Comparison::Same, true));
    // So that a diff against it shows nothing of it.
    let found = place.host.compare_text(&copy, &Pieces::literal("none\n"), &context()).unwrap();
    assert!(matches!(&found, Comparison::Different { .. }));
    assert!(!format!("{found:?}").contains(VALUE), "{found:?}");
}

fn what_was_handed_over_is_noted_and_what_was_refused_is_not(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let noted = |place: &Place| -> Vec<String> {
        let exposed = place.host.take_exposures();
        exposed.iter().map(|exposed| format!("{} {}", exposed.secret, exposed.way)).collect()
    };
    assert_eq!(noted(&place), ["web/token file"], "the file that was written");
    assert!(noted(&place).is_empty(), "it was asked for before");
    place.host.compare_text(&place.path("token"), &secret(), &context()).unwrap();
    assert_eq!(noted(&place), ["web/token file"], "the file that was found as written");
    place.host.compare_text(&place.path("given-not"), &secret(), &context()).unwrap();
    assert!(noted(&place).is_empty(), "no such file");
    let mut request = command(&["/bin/false"]);
    request.environment = vec![("TOKEN".to_owned(), secret())];
    request.stdin = Some(secret());
    place.host.run(&request).unwrap();
    assert_eq!(noted(&place), ["web/token stdin", "web/token environment"]);
    let slot = Slot { path: "web/absent".parse().unwrap(), filters: Vec::new() };
    let mut absent = Pieces::default();
    absent.push_slot(slot);
    request.stdin = Some(absent);
    place.host.run(&request).unwrap_err();
    assert!(noted(&place).is_empty(), "it was not started");
}

fn a_copy_of_a_secret_counts_as_the_secret_does(spawner: &Rc<Spawner>) {
    // On tmpfs, with open swap: there it counts as an exposure.
    let place = Place::in_memory_with_open_swap(spawner);
    let Some(mut place) = place else { return println!("left out: there is no `/dev/shm` to write to") };
    let noted = |place: &Place| -> Vec<String> {
        let exposed = place.host.take_exposures();
        exposed.iter().map(|exposed| format!("{} {}", exposed.secret, exposed.way)).collect()
    };
    let is_counted = ["web/token file_on_swap"];
    assert_eq!(noted(&place), is_counted, "the file itself");
    let placement = |place: &Place, name: &str| vigo_resource::Placement {
        path: place.path(name),
        mode: "0600".parse().unwrap(),
        ownership: Ownership::default(),
        in_place: false,
        validation: None,
    };
    let (token, copy, again) = (place.path("token"), place.path("copy"), place.path("again"));
    let wanted = placement(&place, "copy");
    place.host.copy_file(&wanted, &token, &context()).unwrap();
    assert_eq!(noted(&place), is_counted, "a copy");
    assert_eq!(place.host.compare_copy(&copy, &token, &context()).unwrap(), Comparison::Same);
    assert_eq!(noted(&place), is_counted, "a copy that is there already");
    let wanted = placement(&place, "again");
    place.host.copy_file(&wanted, &copy, &context()).unwrap();
    assert_eq!(noted(&place), is_counted, "a copy of a copy");
    place.host.make_link(&place.path("linked"), &Link::Hard(again), Ownership::default()).unwrap();
    assert_eq!(noted(&place), is_counted, "another name");
    // The control: a copy of what holds none.
    let plain = place.path("plain");
    fs::write(plain.as_path(), "x").unwrap();
    fs::set_permissions(plain.as_path(), fs::Permissions::from_mode(0o644)).unwrap();
    let wanted = placement(&place, "plain-copy");
    place.host.copy_file(&wanted, &plain, &context()).unwrap();
    assert!(noted(&place).is_empty());
}

fn what_a_command_says_that_names_a_file_which_others_may_not_read_is_dropped(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let (private, program) = (place.path("private.key"), place.path("program"));
    fs::write(private.as_path(), "somebody's key").unwrap();
    fs::write(program.as_path(), "#!/bin/sh\necho said\n").unwrap();
    let set_mode = |path: &vigo_base::AbsolutePath, mode| {
        fs::set_permissions(path.as_path(), fs::Permissions::from_mode(mode)).unwrap()
    };
    set_mode(&private, 0o640);
    set_mode(&program, 0o700);
    let mut is_kept = |words: &[&str], folder: Option<&str>| {
        let mut request = command(words);
        request.folder = folder.unwrap_or("/").parse().unwrap();
        request.output = vigo_resource::OutputRule::Automatic;
        matches!(place.host.run(&request).unwrap().output, Output::Kept { .. })
    };
    assert!(!is_kept(&["cat", private.as_str()], None));
    assert!(!is_kept(&["/bin/sh", "-c", &format!("cat <'{private}'|wc")], None));
    assert!(!is_kept(&["cat", "private.key"], Some(private.parent().unwrap().as_str())));
    assert!(is_kept(&[program.as_str()], None), "a program is no data");
    set_mode(&private, 0o644);
    assert!(is_kept(&["cat", private.as_str()], None), "everybody may read it");
}

fn what_a_command_says_that_names_a_tainted_file_is_dropped_though_it_gets_a_secret_and_whatever_link_leads_there(
    spawner: &Rc<Spawner>,
) {
    let mut place = Place::new(spawner);
    let (token, private) = (place.path("token"), place.path("private.key"));
    fs::write(private.as_path(), "somebody's key").unwrap();
    fs::set_permissions(private.as_path(), fs::Permissions::from_mode(0o600)).unwrap();
    let links = [("link", &private), ("second", &place.path("link")), ("to-token", &token)];
    for (name, target) in links {
        std::os::unix::fs::symlink(target.as_path(), place.path(name).as_path()).unwrap();
    }
    for path in [token, place.path("link"), place.path("second"), place.path("to-token")] {
        for gets_secret in [false, true] {
            // The same command without that name is shown: the control.
            for (word, is_kept) in [(path.as_str(), false), ("/etc/passwd", true)] {
                let mut request = command(&["/bin/sh", "-c", &format!("cat {word}; echo said")]);
                request.stdin = gets_secret.then(secret);
                let output = place.host.run(&request).unwrap().output;
                assert_eq!(
                    matches!(output, Output::Kept { .. }),
                    is_kept,
                    "{word} {gets_secret}: {output:?}"
                );
            }
        }
    }
}

fn what_a_command_costs_whose_output_the_hand_reads(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let mut best = |output| {
        let mut request = command(&["/bin/echo", "said"]);
        request.output = output;
        let mut once = || {
            let started = std::time::Instant::now();
            place.host.run(&request).unwrap();
            started.elapsed()
        };
        (0..30).map(|_| once()).min().unwrap()
    };
    let (nobody, hand) = (best(vigo_resource::OutputRule::Drop), best(vigo_resource::OutputRule::Automatic));
    println!("a command whose output nobody reads: {nobody:?}; the hand reads it: {hand:?}");
    // A bound that a busy machine keeps; how much it is stands above.
    assert!(hand < nobody + std::time::Duration::from_millis(50), "{nobody:?} {hand:?}");
}

fn a_hand_that_ends_while_it_listens_holds_nothing_up(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let process = place.hands.status().unwrap().process;
    let script = format!(
        "kill -9 {process}; i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done; exit 7"
    );
    let finished = place.host.run(&command(&["/bin/sh", "-c", &script])).unwrap();
    assert_eq!(finished.end, vigo_resource::End::Exited(7), "it went on, and its pipe did not break");
    let Output::Dropped { why, .. } = &finished.output else { panic!("{finished:?}") };
    assert!(why.contains("nobody could scrub it"), "{why}");
    assert!(!place.hands.is_running());
}

fn another_name_of_a_tainted_file_is_tainted(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let (token, other) = (place.path("token"), place.path("other"));
    place.host.make_link(&other, &Link::Hard(token), Ownership::default()).unwrap();
    assert!(place.host.is_tainted(&other).unwrap());
    let plain = place.path("plain");
    fs::write(plain.as_path(), "x").unwrap();
    fs::set_permissions(plain.as_path(), fs::Permissions::from_mode(0o644)).unwrap();
    let third = place.path("third");
    place.host.make_link(&third, &Link::Hard(plain), Ownership::default()).unwrap();
    assert!(!place.host.is_tainted(&third).unwrap());
}

fn a_tainted_file_is_no_other_through_a_link_to_its_folder_or_after_a_rename(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    std::os::unix::fs::symlink(&place.root, place.root.join("link")).unwrap();
    let diff_of = |place: &Place, name: &str| {
        let found = place.host.compare_text(&place.path(name), &Pieces::literal("plain\n"), &context());
        format!("{:?}", found.unwrap())
    };
    fs::write(place.root.join("control"), VALUE).unwrap();
    fs::set_permissions(place.root.join("control"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(diff_of(&place, "link/control").contains(VALUE), "the control is shown");
    fs::hard_link(place.root.join("token"), place.root.join("name")).unwrap();
    for name in ["link/token", "name"] {
        assert!(!diff_of(&place, name).contains(VALUE), "{name}");
        assert!(place.host.is_tainted(&place.path(name)).unwrap(), "so there is no backup of {name}");
    }
    fs::rename(place.root.join("token"), place.root.join("moved")).unwrap();
    assert!(!diff_of(&place, "moved").contains(VALUE));
    // A copy is one by the hand, and as tainted.
    let mut placement = Place::placement(place.path("copy"));
    place.host.copy_file(&placement, &place.path("link/moved"), &context()).unwrap();
    assert!(!diff_of(&place, "link/copy").contains(VALUE));
    placement.path = place.path("link/control-copy");
    place.host.copy_file(&placement, &place.path("control"), &context()).unwrap();
    assert!(!place.host.is_tainted(&place.path("control-copy")).unwrap());
    let put = place.host.secrets_put();
    let put: Vec<String> = put.secrets.iter().map(|(path, version)| format!("{path} {version}")).collect();
    assert_eq!((put, place.host.secrets_put().is_whole), (vec!["web/token v1".to_owned()], true));
}

fn a_file_is_no_longer_tainted_when_it_was_replaced_by_plain_text(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let placement = Place::placement(place.path("token"));
    place.host.write_text(&placement, &Pieces::literal("plain\n"), &context()).unwrap();
    assert!(!place.host.is_tainted(&placement.path).unwrap());
    assert!(place.host.secrets_put().secrets.is_empty());
    let found = place.host.compare_text(&placement.path, &Pieces::literal("other\n"), &context()).unwrap();
    assert!(format!("{found:?}").contains("plain"), "{found:?}");
}

fn what_no_hand_can_scrub_is_dropped(spawner: &Rc<Spawner>) {
    let mut place = Place::new(spawner);
    let token = place.path("token");
    let request = command(&["cat", token.as_str()]);
    // A hand may hold another version than the file: what it does not know it cannot scrub.
    let dropped = Output::Dropped { stdout_bytes: VALUE.len() as u64, stderr_bytes: 0, why: String::new() };
    assert_eq!(place.host.run(&request).unwrap().output, dropped);
    place.hands.end();
    assert_eq!(place.host.run(&request).unwrap().output, dropped);
}

fn main() -> ExitCode {
    place::run(TESTS)
}
