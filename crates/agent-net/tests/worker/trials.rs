//! The trials.

use crate::Trial;
use crate::authority::Authority;
use crate::process::{LONG, USER, Worker, configuration, is_root, pair, soon, spawn, start_parent};
use crate::server::{Does, Server, Silencer, nobody, refusing_first, silent, tls12_only};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tonic::Code;
use vigo_sys::spawn::Status;
use vigo_wire::worker::{Kind, WorkerRequest};
use vigo_wire::{WireError, frame, outer, worker};

macro_rules! trials {
    ($($name:ident)*) => { &[$((stringify!($name), $name as fn())),*] };
}

/// Every trial.
pub const ALL: &[Trial] = trials! {
    frames_go_to_the_server_and_back_over_one_connection
    an_enrolment_goes_to_a_server_that_is_not_known_without_a_certificate
    an_enrolment_is_repeated_until_the_server_is_there
    a_server_of_another_authority_is_not_spoken_to
    a_server_for_another_name_is_not_spoken_to
    a_name_is_looked_up_inside_the_sandbox
    a_server_of_tls_12_is_not_spoken_to
    an_expired_certificate_is_refused_unless_the_servers_last_time_says_otherwise
    a_transport_certificate_that_the_server_does_not_take_is_a_refusal
    nobody_there_is_said_soon
    a_server_that_never_finishes_the_handshake_costs_the_deadline_and_no_more
    a_server_that_never_answers_leaves_an_unknown_outcome_at_the_deadline
    a_connection_that_breaks_after_the_frame_was_sent_is_an_unknown_outcome_and_no_second_try
    a_connection_that_the_server_closed_meanwhile_is_made_anew
    a_connection_that_dies_unnoticed_is_given_up_in_time_and_made_anew
    a_frame_that_the_server_did_not_look_at_is_sent_again
    what_the_server_says_keeps_its_kind
    an_answer_above_the_limit_is_refused_before_it_is_read
    an_answer_for_another_session_is_an_unknown_outcome
    an_exchange_before_a_server_is_configured_is_a_fault
    a_certificate_that_is_none_is_refused_when_it_is_configured
    a_key_and_its_request_fit_together
    a_killed_worker_is_a_closed_pipe_and_another_one_works
    a_worker_ends_with_its_pipe_even_while_it_waits
    a_worker_ends_when_its_parent_is_killed
    a_request_that_is_none_ends_the_worker
    the_worker_has_its_name_its_user_no_rights_and_its_sandbox
};

fn good() -> (Authority, Server) {
    let authority = Authority::new();
    let leaf = authority.server(&["127.0.0.1", "localhost"], (2020, 2120));
    let server = Server::start(&leaf, &authority, |_| Does::Answers);
    (authority, server)
}

fn serving(does: fn(usize) -> Does) -> (Server, Worker) {
    let authority = Authority::new();
    let leaf = authority.server(&["127.0.0.1"], (2020, 2120));
    let server = Server::start(&leaf, &authority, does);
    let worker = Worker::configured(&server.address.to_string(), &authority);
    (server, worker)
}

fn frames_go_to_the_server_and_back_over_one_connection() {
    let (authority, server) = good();
    let worker = Worker::configured(&server.address.to_string(), &authority);
    for payload in [b"one".to_vec(), Vec::new(), vec![7; 5 << 20]] {
        let answer = worker.exchange(&payload, LONG).unwrap();
        assert_eq!(answer, [b"pong ".as_slice(), &payload].concat());
    }
    assert_eq!((server.connections(), server.calls()), (1, 3));
    assert_eq!(server.seen.with_certificate.load(Ordering::SeqCst), 1);
}

fn an_enrolment_goes_to_a_server_that_is_not_known_without_a_certificate() {
    let (_, server) = good();
    let worker = Worker::start();
    let answer = worker.client.enrol(&server.address.to_string(), b"request", LONG).unwrap();
    assert_eq!(answer, b"enrolled request");
    assert_eq!(server.seen.with_certificate.load(Ordering::SeqCst), 0);
}

fn an_enrolment_is_repeated_until_the_server_is_there() {
    let authority = Authority::new();
    let leaf = authority.server(&["127.0.0.1"], (2020, 2120));
    let does = |number| if number == 0 { Does::Breaks } else { Does::Answers };
    let server = Server::start_after(2, &leaf, &authority, does);
    let worker = Worker::start();
    let answer = worker.client.enrol(&server.address.to_string(), b"again", LONG).unwrap();
    assert_eq!(answer, b"enrolled again");
    // Twice closed at once, once broken after the request, once answered.
    assert_eq!((server.connections(), server.calls()), (4, 2));
}

fn a_server_of_another_authority_is_not_spoken_to() {
    let (_, server) = good();
    let worker = Worker::configured(&server.address.to_string(), &Authority::new());
    let failure = worker.exchange(b"secret frame", LONG).unwrap_err();
    assert_eq!(failure.kind, Kind::Tls);
    assert!(failure.text.contains("does not lead to our authority"), "{failure}");
    assert_eq!((server.connections(), server.calls()), (1, 0));
}

fn a_server_for_another_name_is_not_spoken_to() {
    let authority = Authority::new();
    let leaf = authority.server(&["vigo.example.com"], (2020, 2120));
    let server = Server::start(&leaf, &authority, |_| Does::Answers);
    let worker = Worker::configured(&server.address.to_string(), &authority);
    assert_eq!(worker.exchange(b"frame", LONG).unwrap_err().kind, Kind::Tls);
    assert_eq!(server.calls(), 0);
}

fn a_name_is_looked_up_inside_the_sandbox() {
    let (authority, server) = good();
    let worker = Worker::configured(&format!("localhost:{}", server.address.port()), &authority);
    assert_eq!(worker.exchange(b"by name", LONG).unwrap(), b"pong by name");
}

fn a_server_of_tls_12_is_not_spoken_to() {
    let tries = Arc::new(Mutex::new(0));
    let address = tls12_only(Arc::clone(&tries));
    let worker = Worker::configured(&address.to_string(), &Authority::new());
    let failure = worker.exchange(b"frame", LONG).unwrap_err();
    assert_eq!(failure.kind, Kind::Tls, "{failure}");
    assert_eq!(worker.client.enrol(&address.to_string(), b"r", LONG).unwrap_err().to_string(), failure.text);
    assert_eq!(*tries.lock().unwrap(), 2, "a server that speaks no TLS 1.3 is not tried again");
}

fn an_expired_certificate_is_refused_unless_the_servers_last_time_says_otherwise() {
    const IN_2021: u64 = 1_620_000_000;
    let authority = Authority::new();
    let leaf = authority.server(&["127.0.0.1"], (2020, 2022));
    let server = Server::start(&leaf, &authority, |_| Does::Answers);
    let worker = Worker::start();
    for (server_time, is_good) in [(0, false), (IN_2021, true), (1, false)] {
        let mut configuration = configuration(&server.address.to_string(), &authority, &authority.client());
        configuration.server_time = server_time;
        worker.client.configure(configuration).unwrap();
        let result = worker.exchange(b"frame", LONG);
        assert_eq!(result.as_ref().map_err(|failure| failure.kind).err(), (!is_good).then_some(Kind::Tls));
    }
    // And a clock that is behind: the certificate is good from a time on that the server gave.
    let leaf = authority.server(&["127.0.0.1"], (2100, 2120));
    let server = Server::start(&leaf, &authority, |_| Does::Answers);
    let mut later = configuration(&server.address.to_string(), &authority, &authority.client());
    later.server_time = 4_200_000_000;
    worker.client.configure(later).unwrap();
    assert!(worker.exchange(b"frame", LONG).is_ok());
}

fn a_transport_certificate_that_the_server_does_not_take_is_a_refusal() {
    let authority = Authority::new();
    let leaf = authority.server(&["127.0.0.1"], (2020, 2120));
    let server = Server::start(&leaf, &authority, |_| Does::Answers);
    let worker = Worker::start();
    let stranger = Authority::new().client();
    worker.client.configure(configuration(&server.address.to_string(), &authority, &stranger)).unwrap();
    let failure = worker.exchange(b"frame", LONG).unwrap_err();
    assert_eq!(failure.kind, Kind::Refused, "{failure}");
    assert!(failure.text.contains("transport certificate"), "{failure}");
    assert_eq!(server.calls(), 0);
}

fn nobody_there_is_said_soon() {
    let worker = Worker::configured(&nobody().to_string(), &Authority::new());
    let began = Instant::now();
    let failure = worker.exchange(b"frame", LONG).unwrap_err();
    assert_eq!(failure.kind, Kind::Unreachable, "{failure}");
    assert!(began.elapsed() < Duration::from_secs(10), "a node without its server waits for nothing");
}

fn a_server_that_never_finishes_the_handshake_costs_the_deadline_and_no_more() {
    let (_listener, address) = silent();
    let worker = Worker::configured(&address.to_string(), &Authority::new());
    let failure = worker.exchange(b"frame", Duration::from_millis(300)).unwrap_err();
    assert_eq!(failure.kind, Kind::Timeout, "nothing was sent: {failure}");
    let result = worker.client.enrol(&address.to_string(), b"request", Duration::from_millis(300));
    assert!(matches!(result, Err(WireError::Worker(failure)) if failure.kind == Kind::Timeout));
}

fn a_server_that_never_answers_leaves_an_unknown_outcome_at_the_deadline() {
    let (server, worker) = serving(|number| if number == 1 { Does::Hangs } else { Does::Answers });
    assert_eq!(worker.exchange(b"first", LONG).unwrap(), b"pong first");
    let failure = worker.exchange(b"frame", Duration::from_millis(300)).unwrap_err();
    assert_eq!(failure.kind, Kind::UnknownOutcome, "{failure}");
    assert_eq!(worker.exchange(b"next", LONG).unwrap(), b"pong next");
    assert_eq!(server.calls(), 3, "a frame that may have arrived is not sent again");
    assert_eq!(server.connections(), 2, "what hung is not used again");
}

fn a_connection_that_breaks_after_the_frame_was_sent_is_an_unknown_outcome_and_no_second_try() {
    let (server, worker) = serving(|number| if number == 0 { Does::Breaks } else { Does::Answers });
    let failure = worker.exchange(b"frame", LONG).unwrap_err();
    assert_eq!(failure.kind, Kind::UnknownOutcome, "{failure}");
    assert_eq!(server.calls(), 1, "a frame that may have arrived is not sent again");
    assert_eq!(worker.exchange(b"next", LONG).unwrap(), b"pong next");
}

fn a_connection_that_the_server_closed_meanwhile_is_made_anew() {
    let (server, worker) = serving(|_| Does::AnswersAndLeaves);
    for round in 1..4 {
        assert_eq!(worker.exchange(b"frame", LONG).unwrap(), b"pong frame");
        server.wait_until_left();
        assert_eq!((server.connections(), server.calls()), (round, round));
    }
}

fn a_connection_that_dies_unnoticed_is_given_up_in_time_and_made_anew() {
    let authority = Authority::new();
    let leaf = authority.server(&["127.0.0.1"], (2020, 2120));
    let server =
        Server::start(&leaf, &authority, |number| if number == 0 { Does::Hangs } else { Does::Answers });
    let between = Silencer::before(server.address);
    let worker = Worker::start();
    let mut configuration = configuration(&between.address.to_string(), &authority, &authority.client());
    configuration.keep_alive_ms = 300;
    worker.client.configure(configuration).unwrap();
    let began = Instant::now();
    // The server answers whether it lives: as long as it does, the frame is waited for.
    let failure = worker.exchange(b"held", Duration::from_secs(2)).unwrap_err();
    assert!(began.elapsed() >= Duration::from_secs(2), "a server that lives was given up: {failure}");
    assert_eq!(worker.exchange(b"first", LONG).unwrap(), b"pong first");
    between.go_silent();
    let began = Instant::now();
    let failure = worker.exchange(b"second", LONG).unwrap_err();
    assert_eq!(failure.kind, Kind::UnknownOutcome, "it may have arrived: {failure}");
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    assert_eq!(worker.exchange(b"third", LONG).unwrap(), b"pong third");
}

fn a_frame_that_the_server_did_not_look_at_is_sent_again() {
    let authority = Authority::new();
    let leaf = authority.server(&["127.0.0.1"], (2020, 2120));
    let (address, taken) = refusing_first(&leaf, &authority);
    let worker = Worker::configured(&address.to_string(), &authority);
    assert_eq!(worker.exchange(b"frame", LONG).unwrap(), b"frame");
    assert_eq!(taken.load(Ordering::SeqCst), 1);
}

fn what_the_server_says_keeps_its_kind() {
    const CODES: [(Code, Kind); 6] = [
        (Code::FailedPrecondition, Kind::UnknownSession),
        (Code::PermissionDenied, Kind::Refused),
        (Code::Unauthenticated, Kind::Refused),
        (Code::Unavailable, Kind::Busy),
        (Code::ResourceExhausted, Kind::Busy),
        (Code::Internal, Kind::UnknownOutcome),
    ];
    let (server, worker) = serving(|number| Does::Says(CODES[number].0));
    for (code, kind) in CODES {
        let failure = worker.exchange(b"frame", LONG).unwrap_err();
        assert_eq!(failure.kind, kind, "{code:?}: {failure}");
    }
    assert_eq!(server.calls(), CODES.len());
}

fn an_answer_above_the_limit_is_refused_before_it_is_read() {
    let (server, worker) = serving(|number| match number {
        0 => Does::Announces(u32::try_from(outer::FRAME_LIMIT).unwrap() + 1),
        1 => Does::Announces(u32::MAX),
        2 => Does::Announces(u32::try_from(outer::ENROL_LIMIT).unwrap() + 1),
        _ => Does::Answers,
    });
    for _ in 0..2 {
        assert_eq!(worker.exchange(b"frame", LONG).unwrap_err().kind, Kind::TooLarge);
    }
    let result = worker.client.enrol(&server.address.to_string(), b"request", LONG);
    assert!(matches!(result, Err(WireError::Worker(failure)) if failure.kind == Kind::TooLarge));
    assert_eq!(worker.exchange(b"next", LONG).unwrap(), b"pong next");
}

fn an_answer_for_another_session_is_an_unknown_outcome() {
    let (_server, worker) = serving(|_| Does::Confuses);
    assert_eq!(worker.exchange(b"frame", LONG).unwrap_err().kind, Kind::UnknownOutcome);
}

fn an_exchange_before_a_server_is_configured_is_a_fault() {
    let failure = Worker::start().exchange(b"frame", LONG).unwrap_err();
    assert_eq!(failure.kind, Kind::Bug);
}

fn a_certificate_that_is_none_is_refused_when_it_is_configured() {
    let authority = Authority::new();
    let worker = Worker::start();
    for broken in 0..4 {
        let mut configuration = configuration("127.0.0.1:1", &authority, &authority.client());
        match broken {
            0 => configuration.authority = vec![0x30, 0],
            1 => configuration.key = vec![1, 2, 3],
            2 => configuration.chain = Vec::new(),
            _ => configuration.server = "no host".into(),
        }
        assert!(matches!(worker.client.configure(configuration), Err(WireError::Worker(_))), "{broken}");
    }
    worker.client.configure(configuration("127.0.0.1:1", &authority, &authority.client())).unwrap();
}

fn a_key_and_its_request_fit_together() {
    let made = Worker::start().client.make_transport_key().unwrap();
    let request = made.certificate_request.clone().into();
    let request = rcgen::CertificateSigningRequestParams::from_der(&request).unwrap();
    let key = rcgen::KeyPair::try_from(made.key.as_slice()).unwrap();
    assert!(key.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256));
    let public = rcgen::PublicKeyData::subject_public_key_info(&request.public_key);
    assert_eq!(public, rcgen::PublicKeyData::subject_public_key_info(&key));
}

fn a_killed_worker_is_a_closed_pipe_and_another_one_works() {
    let (authority, server) = good();
    let mut worker = Worker::configured(&server.address.to_string(), &authority);
    worker.child.kill_group().unwrap();
    assert_eq!(worker.child.wait().unwrap(), Status::Signalled(9));
    assert!(matches!(worker.client.make_transport_key(), Err(WireError::Closed { .. })));
    let again = Worker::configured(&server.address.to_string(), &authority);
    assert_eq!(again.exchange(b"frame", LONG).unwrap(), b"pong frame");
}

fn a_worker_ends_with_its_pipe_even_while_it_waits() {
    let (listener, address) = silent();
    let authority = Authority::new();
    for waits in [false, true] {
        let (ours, theirs) = pair();
        let mut child = spawn(&theirs);
        drop(theirs);
        let client = worker::Client::new(ours.try_clone().unwrap());
        client.configure(configuration(&address.to_string(), &authority, &authority.client())).unwrap();
        if waits {
            let exchange = worker::Exchange {
                session: vec![1; 16],
                envoy: vec![2; 16],
                payload: Vec::new(),
                deadline_ms: 600_000,
            };
            let request = WorkerRequest { asked: Some(worker::Asked::Exchange(exchange)) };
            let bytes = prost::Message::encode_to_vec(&request);
            frame::write(&ours, &bytes, worker::FRAME_LIMIT, Some(soon())).unwrap();
            // It is at it: it has connected.
            drop(listener.accept().unwrap());
        }
        drop((client, ours));
        assert_eq!(child.wait_until(soon()).unwrap(), Some(Status::Exited(0)), "waits: {waits}");
    }
}

fn a_worker_ends_when_its_parent_is_killed() {
    let (mut parent, told, worker) = start_parent();
    let worker = rustix::process::Pid::from_raw(i32::try_from(worker).unwrap()).unwrap();
    let watched = rustix::process::pidfd_open(worker, rustix::process::PidfdFlags::empty()).unwrap();
    parent.kill_group().unwrap();
    assert_eq!(parent.wait().unwrap(), Status::Signalled(9));
    let mut ended = [rustix::event::PollFd::new(&watched, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec { tv_sec: 30, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut ended, Some(&limit)).unwrap(), 1, "the worker lives on");
    drop(told);
}

fn a_request_that_is_none_ends_the_worker() {
    let garbage: [&[u8]; 4] = [&[3, 0, 0, 0, 0xff, 0xff, 0xff], &[0, 0, 0, 0], &[0xff; 4], &[9, 0, 0, 0, 1]];
    for bytes in garbage {
        let (ours, theirs) = pair();
        let mut child = spawn(&theirs);
        drop(theirs);
        let mut pipe = UnixStream::from(ours);
        pipe.write_all(bytes).unwrap();
        pipe.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(child.wait_until(soon()).unwrap(), Some(Status::Exited(1)), "{bytes:?}");
    }
}

fn the_worker_has_its_name_its_user_no_rights_and_its_sandbox() {
    let authority = Authority::new();
    let worker = Worker::start();
    let configuration = configuration("127.0.0.1:1", &authority, &authority.client());
    let configured = worker.client.configure(configuration).unwrap();
    assert_eq!(configured.missing, Vec::<String>::new(), "of its sandbox");
    let user = if is_root() { USER } else { rustix::process::geteuid().as_raw() };
    assert_eq!(configured.user, user);

    assert_eq!(worker.status("Name"), "vigo-net");
    assert_eq!(worker.status("Uid"), [const { String::new() }; 4].map(|_| user.to_string()).join("\t"));
    assert_eq!(worker.status("NoNewPrivs"), "1");
    assert_eq!(worker.status("Seccomp"), "2", "a filter");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(worker.status(set), "0000000000000000", "{set}");
    }
    // Not dumpable: what /proc has of it belongs to root (proc(5)).
    let owner = rustix::fs::stat(format!("/proc/{}/environ", worker.child.pid())).unwrap();
    assert_eq!(owner.st_uid, 0);
    // Its standard streams and the pipe, and what its runtime opened: no file, no folder.
    if is_root() {
        for entry in std::fs::read_dir(format!("/proc/{}/fd", worker.child.pid())).unwrap() {
            let target = std::fs::read_link(entry.unwrap().path()).unwrap();
            let target = target.to_str().unwrap();
            let is_none =
                target == "/dev/null" || target.starts_with("socket:") || target.starts_with("anon_inode:");
            assert!(is_none, "{target}");
        }
    }
}
