//! What it does when it does not get what it asked for.

use crate::harness::{Anchor, Answer, Server, run, text};
use serde_json::json;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn status() -> Answer {
    Answer::Json(200, json!({"format": 1, "version": "0.1.0", "envoys": 2, "publish": null}))
}

#[test]
fn the_token_goes_to_the_server_that_the_ca_file_certifies() {
    let server = Server::start(|_| status());
    let ran = server.cli(&["status"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("version") && ran.out.contains("0.1.0"), "{}", ran.out);
    let asked = server.asked();
    assert_eq!((asked[0].path.as_str(), asked.len()), ("/api/v1/status", 1));
    assert_eq!(asked[0].authorization, "Bearer vigo-admin-0123");
}

#[test]
fn a_server_of_another_authority_gets_nothing() {
    let server = Server::start(|_| status());
    fs::write(server.folder.path().join("ca.pem"), Anchor::new().pem).unwrap();
    let ran = server.cli(&["status"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("cannot trust") && ran.err.contains("ca.pem"), "{}", ran.err);
    assert!(server.asked().is_empty());
}

#[test]
fn a_server_with_another_name_gets_nothing() {
    let server = Server::start(|_| status());
    let url = format!("https://127.0.0.2:{}", server.address.port());
    let ran = server.cli(&["status", "--server", &url]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("cannot"), "{}", ran.err);
    assert!(server.asked().is_empty());
}

#[test]
fn who_is_not_known_or_may_not_ends_with_four_and_learns_what_to_do() {
    for status in [401, 403] {
        let problem = json!({"title": "not permitted", "status": status, "code": "not-permitted",
            "detail": "`admin.token` lacks the permission `secrets.get`", "help": "ask who may"});
        let server = Server::start(move |_| Answer::Problem(status, problem.clone()));
        let ran = server.cli(&["envoys", "list"]);
        assert_eq!(ran.code, 4);
        assert_eq!(ran.err, "error: `admin.token` lacks the permission `secrets.get`\nhelp: ask who may\n");
    }
}

#[test]
fn a_server_that_is_silent_is_left_within_five_seconds() {
    let server = Server::start(|_| Answer::Silence);
    let began = Instant::now();
    let ran = server.cli(&["status"]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("no answer in 2.5 seconds"), "{}", ran.err);
}

#[test]
fn where_nobody_listens_the_message_says_so() {
    let server = Server::start(|_| status());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = server.cli(&["status", "--server", &format!("https://{free}")]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("cannot reach") && ran.err.contains("help: is vigosrv running"), "{}", ran.err);
}

#[test]
fn what_may_be_repeated_is_tried_again_and_nothing_else() {
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |_| match tries.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::HangUp,
        1 => Answer::Problem(503, json!({"detail": "busy"})),
        _ => Answer::Json(200, json!({"format": 1, "items": [], "next": null})),
    });
    let ran = server.cli(&["envoys", "list"]);
    assert_eq!((ran.code, server.asked().len()), (0, 3), "{}", ran.err);

    let server = Server::start(|_| Answer::HangUp);
    let ran = server.cli(&["secrets", "rotate", "web/token"]);
    assert_eq!((ran.code, server.asked().len()), (1, 1), "{}", ran.err);
    assert!(ran.err.contains("cannot finish the exchange"), "{}", ran.err);
}

#[test]
fn an_answer_that_is_too_long_or_none_of_this_interface_is_refused() {
    let server = Server::start(|_| Answer::Raw(200, "application/json", vec![b' '; (16 << 20) + 1]));
    let ran = server.cli(&["status"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("longer than"), "{}", ran.err);
    for body in ["<html>", "[]", "{}", "null"] {
        let server = Server::start(move |_| Answer::Raw(200, "application/json", body.into()));
        let ran = server.cli(&["status"]);
        assert_eq!(ran.code, 1, "{body}");
        assert!(ran.err.contains("cannot read the answer"), "{}", ran.err);
    }
    let server = Server::start(|_| Answer::Raw(502, "text/html", b"<h1>\x1b[2J</h1>".to_vec()));
    let ran = server.cli(&["status"]);
    assert!(ran.err.contains("502 Bad Gateway") && !ran.err.contains('\u{1b}'), "{}", ran.err);
}

#[test]
fn a_wrong_command_line_ends_with_two_before_anything_is_sent() {
    let server = Server::start(|_| status());
    let port = server.address.port();
    for arguments in [
        vec!["status".to_owned(), "--server".into(), format!("http://127.0.0.1:{port}")],
        vec!["secrets".into(), "set".into(), "../x".into()],
        vec!["token".into(), "create".into()],
        vec!["nonsense".into()],
        vec!["status".into(), "--ca-file".into(), text(&server.folder.path().join("token")).into()],
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ran = server.cli(&arguments);
        assert_eq!(ran.code, 2, "{arguments:?} {}", ran.err);
        assert!(!ran.err.is_empty() && ran.out.is_empty());
    }
    let ran = run(&["status".into()], b"");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("--server URL") && ran.err.contains("VIGO_SERVER"), "{}", ran.err);
    assert!(server.asked().is_empty());
}

#[test]
fn help_version_and_completions_need_no_server() {
    for arguments in
        [&["--help"][..], &["--version"], &["completions", "bash"], &["secrets", "set", "--help"]]
    {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let ran = run(&arguments, b"");
        assert_eq!(ran.code, 0, "{arguments:?} {}", ran.err);
        assert!(!ran.out.is_empty() && ran.err.is_empty());
    }
}
