//! The pipe and its frames against another end that is slow, wrong or gone.

use super::*;
use crate::frame::{DESCRIPTORS, read, read_with, write, write_with};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

fn soon() -> Option<Instant> {
    Instant::now().checked_add(Duration::from_millis(30))
}

fn later() -> Option<Instant> {
    Instant::now().checked_add(Duration::from_secs(20))
}

#[test]
fn frames_arrive_in_order_whatever_their_length() {
    let (near, far) = pair();
    let lengths = [0, 1, 100_000, 3, 2_000_000];
    let writer = std::thread::spawn(move || {
        for length in lengths {
            write(&near, &vec![9; length], 4 << 20, later()).unwrap();
        }
    });
    for length in lengths {
        assert_eq!(read(&far, 4 << 20, later()).unwrap().unwrap(), vec![9; length]);
    }
    writer.join().unwrap();
    assert!(read(&far, 10, later()).unwrap().is_none());
}

#[test]
fn a_frame_that_ends_early_is_no_end_of_the_pipe() {
    for bytes in [&[1][..], &[4, 0, 0, 0], &[4, 0, 0, 0, 1, 2, 3]] {
        let (near, far) = pair();
        std::fs::File::from(near).write_all(bytes).unwrap();
        assert!(matches!(read(&far, 10, later()), Err(WireError::Closed { .. })), "{bytes:?}");
    }
}

#[test]
fn a_frame_above_the_limit_is_refused_by_both_ends() {
    let (near, far) = pair();
    assert!(matches!(write(&near, &[0; 11], 10, later()), Err(WireError::TooLarge { .. })));
    std::fs::File::from(near).write_all(&u32::MAX.to_le_bytes()).unwrap();
    assert!(matches!(read(&far, 10, later()), Err(WireError::TooLarge { size: 0xffff_ffff, .. })));
}

#[test]
fn a_silent_or_full_other_end_is_left_at_the_deadline() {
    let (near, far) = pair();
    assert!(matches!(read(&near, 10, soon()), Err(WireError::Timeout { .. })));
    assert!(matches!(write(&near, &vec![0; 8 << 20], 8 << 20, soon()), Err(WireError::Timeout { .. })));
    drop(far);
}

#[test]
fn writing_to_an_end_that_is_gone_is_an_error_and_no_signal() {
    let (near, far) = pair();
    drop(far);
    assert!(matches!(write(&near, &[1], 10, later()), Err(WireError::Closed { .. })));
    assert!(read(&near, 10, later()).unwrap().is_none());
}

#[test]
fn descriptors_travel_with_their_frame_and_are_closed_on_exec() {
    let (near, far) = pair();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"content").unwrap();
    file.rewind().unwrap();
    write_with(&near, b"with", &[file.as_fd()], 10, later()).unwrap();
    write(&near, b"none", 10, later()).unwrap();
    let mut received = read_with(&far, 10, later()).unwrap().unwrap();
    assert_eq!(received.bytes, b"with");
    let descriptor = received.descriptors.pop().unwrap();
    assert!(rustix::io::fcntl_getfd(&descriptor).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    let mut text = String::new();
    std::fs::File::from(descriptor).read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
    assert!(read_with(&far, 10, later()).unwrap().unwrap().descriptors.is_empty());
    let too_many = [file.as_fd(); DESCRIPTORS + 1];
    assert!(matches!(write_with(&near, b"", &too_many, 10, later()), Err(WireError::TooLarge { .. })));
}

/// Answers one request as a worker would, and gives back what was asked.
fn worker(socket: OwnedFd, answered: Option<Answered>) -> std::thread::JoinHandle<Asked> {
    std::thread::spawn(move || {
        let request = read(&socket, FRAME_LIMIT, later()).unwrap().unwrap();
        let answer = WorkerAnswer { answered }.encode_to_vec();
        write(&socket, &answer, FRAME_LIMIT, later()).unwrap();
        WorkerRequest::decode(request.as_slice()).unwrap().asked.unwrap()
    })
}

#[test]
fn the_client_asks_and_takes_the_answer_to_what_it_asked() {
    let (near, far) = pair();
    let client = Client::new(near);
    let relayed = Answered::Relayed(Relayed { bytes: b"answer".to_vec() });
    let there = worker(far, Some(relayed));
    let envoy = EnvoyId::from_bytes(&[1; 16]).unwrap();
    let answer = client.exchange(&[2; 16], &envoy, b"frame".to_vec(), Duration::from_secs(9)).unwrap();
    assert_eq!(answer, b"answer");
    let Asked::Exchange(asked) = there.join().unwrap() else { panic!("another request") };
    assert_eq!((asked.session, asked.envoy), (vec![2; 16], vec![1; 16]));
    assert_eq!((asked.payload, asked.deadline_ms), (b"frame".to_vec(), 9000));
    assert!(matches!(client.make_transport_key(), Err(WireError::Closed { .. })));
}

#[test]
fn an_answer_to_another_request_is_refused() {
    for answered in [None, Some(Answered::Configured(Configured::default()))] {
        let (near, far) = pair();
        let there = worker(far, answered);
        let result = Client::new(near).make_transport_key();
        assert!(matches!(result, Err(WireError::Malformed { .. })));
        there.join().unwrap();
    }
}

#[test]
fn the_workers_error_keeps_its_kind_and_loses_its_control_characters() {
    let (near, far) = pair();
    let error = Error { kind: Kind::UnknownOutcome.into(), text: "no\u{7}answer".into() };
    let there = worker(far, Some(Answered::Error(error)));
    match Client::new(near).enrol("server", b"request", Duration::from_secs(9)) {
        Err(WireError::Worker(Failure { kind: Kind::UnknownOutcome, text })) => assert_eq!(text, "no answer"),
        other => panic!("{other:?}"),
    }
    there.join().unwrap();
    let unknown = Failure::from(Error { kind: 99, text: String::new() });
    assert_eq!((unknown.kind, unknown.blame()), (Kind::Bug, Blame::Bug));
}

#[test]
fn keys_do_not_show_in_debug_output() {
    let key = TransportKey { key: vec![0xab; 4], certificate_request: vec![1] };
    let answer = WorkerAnswer { answered: Some(Answered::TransportKey(key)) };
    assert!(!format!("{answer:?}").contains("171"));
}
