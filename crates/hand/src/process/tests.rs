//! The loop without the process: panics, frames for which there is no room.

use super::*;
use prost::Message as _;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use vigo_wire::hand::{FAILED, Failure, Nothing};

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

fn state() -> State {
    State::new(Spawner::start().unwrap(), Vec::new(), Ok(()))
}

fn panics_at_one(_: &mut State, frame: &[u8], _: Vec<OwnedFd>) -> Result<Vec<u8>, table::Violation> {
    if frame == [1] {
        panic!("a payload with a value in it");
    }
    Ok(vec![0])
}

#[test]
fn a_panic_fails_the_request_and_three_in_a_row_end_the_loop() {
    let (ours, theirs) = pair();
    let loop_thread = std::thread::spawn(move || serve(&theirs, state(), panics_at_one, || ()));
    let ask = |frame: &[u8]| {
        frame::write(&ours, frame, 100, None).unwrap();
        frame::read(&ours, 1000, None).unwrap().unwrap()
    };
    // Two, one that succeeds, and then three: the first two do not count any more.
    for frame in [&[1], &[1], &[2], &[1], &[1], &[1_u8]] {
        let answer = ask(frame);
        if frame == &[2] {
            assert_eq!(answer, [0]);
            continue;
        }
        assert_eq!(answer[0], FAILED);
        let failure = Failure::decode(&answer[1..]).unwrap();
        assert_eq!(failure.code(), FailureCode::Bug);
        assert!(!failure.text.contains("payload"));
    }
    assert_eq!(loop_thread.join().unwrap(), EXIT_PANICS);
}

#[test]
fn the_loop_ends_with_its_parent_and_at_a_frame_that_is_too_large() {
    let (ours, theirs) = pair();
    drop(ours);
    assert_eq!(serve(&theirs, state(), table::answer, || ()), EXIT_PARENT_GONE);
    let (ours, theirs) = pair();
    let size = u32::try_from(LARGEST_FRAME + 1).unwrap().to_le_bytes();
    rustix::io::write(&ours, &size).unwrap();
    assert_eq!(serve(&theirs, state(), table::answer, || ()), EXIT_VIOLATION);
}

#[test]
fn what_is_thrown_away_leaves_the_next_frame_in_step() {
    let (ours, theirs) = pair();
    frame::write(&ours, &[7; 100_000], LARGEST_FRAME, None).unwrap();
    frame::write(&ours, &Nothing {}.encode_to_vec(), LARGEST_FRAME, None).unwrap();
    frame::write(&ours, b"next", LARGEST_FRAME, None).unwrap();
    assert!(discard(&theirs, 100_004));
    assert_eq!(frame::read(&theirs, 10, None).unwrap().unwrap(), b"");
    assert_eq!(frame::read(&theirs, 10, None).unwrap().unwrap(), b"next");
    drop(ours);
    assert!(!discard(&theirs, 1));
}

#[test]
fn arguments_of_the_process_are_a_closed_list() {
    let options = |words: &[&str]| arena_options(&words.iter().map(OsString::from).collect::<Vec<_>>());
    assert_eq!(options(&[]).unwrap().choice, arena::Choice::Auto);
    let small = options(&["--arena", "mlock", "--arena-max", "524288"]).unwrap();
    assert_eq!((small.choice, small.size, small.max), (arena::Choice::Mlock, 524_288, 524_288));
    for wrong in [&["--arena"][..], &["--arena", "best"], &["--arena-max", "much"], &["--verbose", "yes"]] {
        assert!(options(wrong).is_err(), "{wrong:?}");
    }
}
