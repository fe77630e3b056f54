//! A stacks folder on its way to the server.

use crate::harness::{Answer, Asked, Server, run, stacks, text};
use serde_json::json;

fn wrong() -> serde_json::Value {
    json!([{"code": "V010", "severity": "error", "file": "envoys.vgo", "line": 1, "column": 1,
        "message": "the key `a` stands twice", "help": "remove one", "related": []}])
}

#[test]
fn a_folder_is_sent_as_its_files_and_errors_end_with_five() {
    let server = Server::start(|_| Answer::Json(200, json!({"format": 1, "diagnostics": wrong()})));
    let folder = stacks(&[("envoys.vgo", "a: 1\n"), ("templates/x", "t"), ("README", "no")]);
    let ran = server.cli(&["config", "validate", text(folder.path())]);
    assert_eq!(ran.code, 5);
    assert_eq!(
        ran.err,
        "envoys.vgo:1:1: error[V010]: the key `a` stands twice\n 1 | a: 1\n   | ^\nhelp: remove one\n"
    );
    assert_eq!(ran.out, "2 files: 1 error, 0 warnings\n");
    assert_eq!(
        server.asked()[0].json(),
        json!({"files": [{"path": "envoys.vgo", "content": "a: 1\n"}, {"path": "templates/x", "content": "t"}]})
    );
    let ran = server.cli(&["config", "validate", text(folder.path()), "--json"]);
    assert_eq!((ran.code, &ran.json()["diagnostics"]), (5, &wrong()));
}

#[test]
fn a_right_folder_ends_with_nought() {
    let server = Server::start(|_| Answer::Json(200, json!({"format": 1, "diagnostics": []})));
    let folder = stacks(&[("envoys.vgo", "a: 1\n")]);
    let ran = server.cli(&["config", "validate", text(folder.path())]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "1 file: 0 errors, 0 warnings\n"));
}

fn planned(asked: &Asked) -> Answer {
    match asked.path.as_str() {
        "/api/v1/config/plan" => Answer::Json(
            200,
            json!({"format": 1, "base": 7, "diagnostics": [], "new_secret_readers": [],
                "changes": [{"envoys": ["web-1"], "added": ["motd:file//etc/motd"], "removed": [], "changed": []}]}),
        ),
        "/api/v1/config/publish" => Answer::Json(
            200,
            json!({"format": 1, "version": 8, "digest": "ff", "envoys_affected": 1, "diagnostics": []}),
        ),
        _ => Answer::Json(200, json!({"format": 1, "version": 9})),
    }
}

#[test]
fn a_plan_with_changes_ends_with_three() {
    let server = Server::start(planned);
    let folder = stacks(&[("envoys.vgo", "a: 1\n")]);
    let ran = server.cli(&["config", "plan", text(folder.path())]);
    assert_eq!((ran.code, ran.out.as_str()), (3, "web-1\n  + motd:file//etc/motd\n"));
    let none = json!({"format": 1, "base": 7, "changes": [], "new_secret_readers": []});
    let server = Server::start(move |_| Answer::Json(200, none.clone()));
    let ran = server.cli(&["config", "plan", text(folder.path())]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "no envoy changes\n"));
}

#[test]
fn a_publish_shows_the_change_and_goes_on_where_nobody_can_be_asked() {
    let server = Server::start(planned);
    let folder = stacks(&[("envoys.vgo", "a: 1\n")]);
    let ran = server.cli(&["config", "publish", text(folder.path()), "-m", "first"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "published version 8, 1 envoy affected\n"), "{}", ran.err);
    assert!(ran.err.contains("+ motd:file//etc/motd"), "{}", ran.err);
    let body = server.asked()[1].json();
    assert_eq!((&body["message"], &body["base"]), (&json!("first"), &json!(7)), "built on what was shown");
    assert_eq!(body["git"], json!(null));
    assert_eq!(body["tree"]["files"][0]["path"], "envoys.vgo");
    let ran = server.cli(&["config", "publish", text(folder.path()), "--base", "3", "--json"]);
    assert_eq!((ran.code, &ran.json()["version"]), (0, &json!(8)));
    assert_eq!(server.asked()[3].json()["base"], 3);
}

#[test]
fn a_publish_of_a_wrong_tree_shows_its_lines_and_sends_nothing_more() {
    let server = Server::start(|_| {
        Answer::Json(200, json!({"format": 1, "base": 7, "changes": [], "diagnostics": wrong()}))
    });
    let folder = stacks(&[("envoys.vgo", "a: 1\n")]);
    let ran = server.cli(&["config", "publish", text(folder.path()), "--yes"]);
    assert_eq!((ran.code, server.asked().len()), (5, 1), "{}", ran.err);
    assert!(ran.err.contains(" 1 | a: 1"), "{}", ran.err);

    let server = Server::start(|asked| match asked.path.as_str() {
        "/api/v1/config/plan" => planned(asked),
        _ => Answer::Problem(422, json!({"detail": "the tree has errors", "diagnostics": wrong()})),
    });
    let ran = server.cli(&["config", "publish", text(folder.path())]);
    assert_eq!(ran.code, 5);
    assert!(ran.err.contains(" 1 | a: 1") && ran.err.contains("error: the tree has errors"), "{}", ran.err);
}

#[test]
fn a_base_that_is_not_current_and_a_rollback() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/api/v1/config/publish" => {
            Answer::Problem(409, json!({"detail": "base 7 is not current", "help": "plan again"}))
        }
        _ => planned(asked),
    });
    let folder = stacks(&[("envoys.vgo", "a: 1\n")]);
    let ran = server.cli(&["config", "publish", text(folder.path())]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.ends_with("error: base 7 is not current\nhelp: plan again\n"), "{}", ran.err);
    let ran = server.cli(&["config", "rollback", "2", "-m", "back"]);
    assert_eq!(ran.out, "published version 2 again, as version 9\n");
    assert_eq!(server.asked().last().unwrap().json(), json!({"version": 2, "message": "back"}));
}

#[test]
fn a_first_configuration_is_made_and_is_right_without_a_server() {
    let place = tempfile::tempdir().unwrap();
    let dir = text(&place.path().join("stacks")).to_owned();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let ran = run(&words(&["config", "init", &dir]), b"");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let ran = run(&words(&["config", "validate", "--stacks", &dir]), b"");
    assert_eq!((ran.code, ran.out.as_str()), (0, "3 files: 0 errors, 0 warnings\n"), "{}", ran.err);
    let ran = run(&words(&["config", "init", &dir]), b"");
    assert_eq!(ran.code, 2, "never over what is there: {}", ran.err);
    std::fs::write(
        place.path().join("stacks/envoys.vgo"),
        "envoys:\n  - match: x\n    configcrates: [nope]\n",
    )
    .unwrap();
    let ran = run(&words(&["config", "validate", "--stacks", &dir, "--json"]), b"");
    assert_eq!(ran.code, 5);
    assert!(!ran.json()["diagnostics"].as_array().unwrap().is_empty());
    std::fs::write(
        place.path().join("stacks/envoys.vgo"),
        "envoys:\n  - match: x\n    configcrates: [own]\n",
    )
    .unwrap();
    std::fs::write(
        place.path().join("stacks/configcrates/own.vgo"),
        "configcrate: own\nresources:\n  - {type: file, target_path: /etc/vigo/agent.yaml, content: x}\n",
    )
    .unwrap();
    let ran = run(&words(&["config", "validate", "--stacks", &dir]), b"");
    assert_eq!(ran.code, 5);
    assert!(ran.err.contains("error[V085]: `/etc/vigo/agent.yaml` belongs to Vigo itself"), "{}", ran.err);
}
