//! Nothing leaks: canaries are planted as secrets, and looked for everywhere that a secret has ever come out of a program like this.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_types,
    reason = "test code"
)]

mod alone;
mod axes;
mod bed;
mod cell;
#[path = "../host/mod.rs"]
mod host;
mod matrix;
mod recipes;
mod served;
mod sinks;
#[path = "../world/mod.rs"]
mod world;

/// The control of what says that nothing was left running.
#[test]
fn what_a_test_left_running_is_found_and_ended() {
    let descendants = host::descendants::Descendants::adopt();
    let ended = std::process::Command::new("sh")
        .args(["-c", "sleep 1000 >/dev/null 2>&1 & echo $!"])
        .output()
        .unwrap();
    let orphan: u32 = String::from_utf8(ended.stdout).unwrap().trim().parse().unwrap();
    let is_left = || descendants.left().iter().any(|(process, _)| *process == orphan);
    assert!(is_left(), "who lost its parent is found");
    host::descendants::end_with_all_below(orphan);
    host::wait("the end of what was left", || (!is_left()).then_some(()));
}
