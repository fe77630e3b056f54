//! Drift of targets, seen without their values.

use crate::Test;
use crate::parts::{absolute, fails_with, hold, pieces, placement, secret, spawner, start};
use std::fs;
use vigo_base::{Pieces, SecretPath, SecretVersion};
use vigo_hand::{Comparison, FailureCode, Hand, Role, StartOptions};

pub const TESTS: &[Test] = &[
    (
        "drift::what_was_put_is_known_again_without_its_values_and_what_was_touched_is_not",
        what_was_put_is_known_again_without_its_values_and_what_was_touched_is_not,
    ),
    (
        "drift::another_version_text_or_place_is_not_what_is_remembered",
        another_version_text_or_place_is_not_what_is_remembered,
    ),
    ("drift::a_hand_that_was_started_anew_knows_nothing", a_hand_that_was_started_anew_knows_nothing),
    ("drift::a_hand_that_was_not_told_to_remembers_nothing", a_hand_that_was_not_told_to_remembers_nothing),
];

fn hand(detect_drift: bool) -> (Hand, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let intents = Some(folder.path().join("intents"));
    let options = StartOptions { intents, detect_drift, ..StartOptions::new(Role::Node) };
    (Hand::start(spawner(), &options).unwrap(), folder)
}

fn versions(version: u64) -> Vec<(SecretPath, SecretVersion)> {
    vec![(secret("a"), SecretVersion(version))]
}

fn text() -> Pieces {
    pieces("token={a}\nagain={a|b64encode}\n")
}

fn what_was_put_is_known_again_without_its_values_and_what_was_touched_is_not() {
    let (mut hand, folder) = hand(true);
    hold(&mut hand, "a", b"a secret value");
    let (written, found) = (folder.path().join("written"), folder.path().join("found"));
    hand.write(&placement(&written), &text(), "r").unwrap();
    fs::copy(&written, &found).unwrap();
    assert!(!hand.verify(&absolute(&found), &text(), &versions(1), "r").unwrap(), "it was never looked at");
    assert!(matches!(hand.compare(&absolute(&found), &text(), "r").unwrap(), Comparison::Same { .. }));
    hand.forget(&[secret("a")]).unwrap();
    assert!(hand.held().unwrap().is_empty());
    assert_eq!(hand.covered().unwrap(), versions(1));
    let content = fs::read(&written).unwrap();
    for target in [&written, &found] {
        let is_same = |hand: &mut Hand| hand.verify(&absolute(target), &text(), &versions(1), "r").unwrap();
        assert!(is_same(&mut hand));
        for other in [b"token=".as_slice(), &[&content[..], b"x"].concat(), b""] {
            fs::write(target, other).unwrap();
            assert!(!is_same(&mut hand), "{} bytes", other.len());
        }
        fs::write(target, &content).unwrap();
        assert!(is_same(&mut hand), "the same bytes are the same again");
        fs::remove_file(target).unwrap();
        assert!(!is_same(&mut hand));
    }
    // Without the value it can say no more than that.
    fails_with(hand.compare(&absolute(&written), &text(), "r"), FailureCode::NotHeld, "`a`");
}

fn another_version_text_or_place_is_not_what_is_remembered() {
    let (mut hand, folder) = hand(true);
    hold(&mut hand, "a", b"a secret value");
    let target = folder.path().join("target");
    hand.write(&placement(&target), &text(), "r").unwrap();
    let target = absolute(&target);
    assert!(hand.verify(&target, &text(), &versions(1), "r").unwrap());
    assert!(!hand.verify(&target, &text(), &versions(2), "r").unwrap(), "it was rotated");
    assert!(!hand.verify(&target, &text(), &[], "r").unwrap(), "its version is not known");
    assert!(!hand.verify(&target, &pieces("token={a}\nagain={a}\n"), &versions(1), "r").unwrap());
    assert!(!hand.verify(&target, &pieces("token={a}\nAgain={a|b64encode}\n"), &versions(1), "r").unwrap());
    // The resource is bound into the salts of filters.
    assert!(!hand.verify(&target, &text(), &versions(1), "other").unwrap());
    // What is rotated is remembered in its new version once it was put.
    hand.forget(&[secret("a")]).unwrap();
    hold(&mut hand, "a", b"another secret value");
    let (place, other) = (placement(target.as_path()), pieces("token={a}\n"));
    hand.write(&place, &other, "r").unwrap();
    assert!(hand.verify(&target, &other, &versions(1), "r").unwrap());
    assert!(!hand.verify(&target, &text(), &versions(1), "r").unwrap(), "one target is one thing");
}

fn a_hand_that_was_started_anew_knows_nothing() {
    let (mut first, folder) = hand(true);
    hold(&mut first, "a", b"a secret value");
    let target = folder.path().join("target");
    first.write(&placement(&target), &text(), "r").unwrap();
    drop(first);
    let options = StartOptions { detect_drift: true, ..StartOptions::new(Role::Node) };
    let mut second = Hand::start(spawner(), &options).unwrap();
    assert!(second.covered().unwrap().is_empty());
    assert!(!second.verify(&absolute(&target), &text(), &versions(1), "r").unwrap());
}

fn a_hand_that_was_not_told_to_remembers_nothing() {
    let (mut hand, folder) = hand(false);
    hold(&mut hand, "a", b"a secret value");
    let target = folder.path().join("target");
    hand.write(&placement(&target), &text(), "r").unwrap();
    assert!(hand.covered().unwrap().is_empty());
    assert!(!hand.verify(&absolute(&target), &text(), &versions(1), "r").unwrap());
    assert!(start(Role::Node).covered().unwrap().is_empty());
}
