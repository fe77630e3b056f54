//! What a worker may do on its pipe: say nothing, leave, say too much, say what makes no sense, lie about the server and about itself.

use crate::Test;
use crate::origin::{Stage, refused};
use crate::worker::{Attacker, Deed, Way, framed, honest, said};
use crate::world::{World, stopped_at, text, twisted_at};
use prost::Message as _;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use vigo_agent::over::Agent;
use vigo_base::{Blame, Exit};
use vigo_sys::spawn::Spawner;
use vigo_wire::inner::{Answer, Ask, Refused};
use vigo_wire::worker::{Answered, Asked, Configured, FRAME_LIMIT, Kind, TransportKey, WorkerAnswer};

pub const TESTS: &[Test] = &[
    ("a_worker_that_leaves_is_a_server_that_is_away", a_worker_that_leaves),
    ("a_worker_that_says_nothing_is_left_after_a_time", a_worker_that_says_nothing),
    ("what_is_no_answer_of_a_worker_is_not_taken", what_is_no_answer_of_a_worker),
    ("an_answer_too_many_puts_nothing_in_the_place_of_another", an_answer_too_many),
    ("a_refusal_that_the_worker_invents_stops_nobody", a_refusal_that_the_worker_invents),
    ("a_worker_that_loses_every_session_is_believed_three_times", a_worker_that_loses_every_session),
    ("a_worker_that_takes_no_orders_is_a_server_that_is_away", a_worker_that_takes_no_orders),
    ("what_the_worker_says_of_itself_is_cut_and_cleaned", what_the_worker_says_of_itself),
    ("a_server_that_is_busy_is_away_and_one_that_revokes_is_obeyed", a_server_that_is_busy),
    (
        "a_worker_that_delays_every_answer_delays_a_run_no_longer_than_its_patience",
        a_worker_that_delays_every_answer,
    ),
    ("a_server_that_cannot_give_secrets_now_is_taken_for_away", a_server_that_cannot_give_secrets_now),
];

/// Does something instead of answering at one stage.
fn instead(stage: Stage, deed: impl Fn(Result<Vec<u8>, Kind>, &Way) -> Deed + Send + 'static) -> Attacker {
    Box::new(move |asked, way| match asked {
        Asked::Exchange(frame) => match way.exchange(frame) {
            (Some(found), answer) if found == stage => deed(answer, way),
            (_, answer) => said(answer),
        },
        _ => way.honestly(asked),
    })
}

fn a_worker_that_leaves() {
    for stage in Stage::RUN {
        stopped_at(stage, || vec![instead(stage, |_, _| Deed::Leave)]);
    }
}

/// At the check-in and at the secrets; elsewhere nothing else is waited for.
fn a_worker_that_says_nothing() {
    for stage in [Stage::CheckIn, Stage::Secrets] {
        let mut world = World::enrolled();
        world.publish(1);
        world.patience = Some(Duration::from_secs(2));
        let asked: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&asked);
        let mute = instead(stage, move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            Deed::Silence
        });
        let ran = world.run(mute);
        world.assert_stopped_fresh(stage, ran);
        assert_eq!(asked.load(Ordering::Relaxed), 1, "a pipe that is out of step is not used again");
        assert_eq!(world.waiting(), usize::from(stage == Stage::Secrets), "the report waits");
        world.assert_recovers(1);
    }
}

fn answer(answered: Option<Answered>) -> Vec<u8> {
    framed(&WorkerAnswer { answered }.encode_to_vec())
}

fn what_is_no_answer_of_a_worker() {
    let too_large = u32::try_from(FRAME_LIMIT + 1).unwrap().to_le_bytes().to_vec();
    let key = TransportKey { key: vec![1], certificate_request: vec![1] };
    let nonsense: [Vec<u8>; 7] = [
        vec![0xff; 64],
        too_large,
        framed(b"garbage, and not one message"),
        framed(&[0xff; 4096]),
        answer(None),
        answer(Some(Answered::Configured(Configured::default()))),
        answer(Some(Answered::TransportKey(key))),
    ];
    for stage in Stage::RUN {
        stopped_at(stage, || {
            let attacker = |bytes: &Vec<u8>| {
                let bytes = bytes.clone();
                instead(stage, move |_, _| Deed::Raw(bytes.clone()))
            };
            nonsense.iter().map(attacker).collect()
        });
    }
}

/// Two answers at once: from then on each answer stands where the next one belongs.
fn an_answer_too_many() {
    let doubled = |answer: Result<Vec<u8>, Kind>, _: &Way| {
        let Deed::Say(answered) = said(answer) else { unreachable!() };
        let one = framed(&WorkerAnswer { answered: Some(answered) }.encode_to_vec());
        Deed::Raw(one.repeat(2))
    };
    let steps = [
        (Stage::Handshake, Stage::CheckIn),
        (Stage::CheckIn, Stage::Bundle),
        (Stage::Bundle, Stage::Secrets),
        (Stage::Secrets, Stage::Report),
    ];
    for (stage, after) in steps {
        let mut world = World::settled();
        let kept = world.kept();
        let ran = world.run(instead(stage, doubled));
        world.assert_stopped_settled(after, ran, &kept);
        world.assert_recovers(2);
    }
}

const KINDS: [Kind; 9] = [
    Kind::Bug,
    Kind::Unreachable,
    Kind::Refused,
    Kind::Timeout,
    Kind::UnknownSession,
    Kind::Tls,
    Kind::UnknownOutcome,
    Kind::TooLarge,
    Kind::Busy,
];

fn a_refusal_that_the_worker_invents() {
    for stage in Stage::RUN {
        stopped_at(stage, || {
            let attacker = |kind: &Kind| {
                let kind = *kind;
                instead(stage, move |_, _| Deed::error(kind, "this envoy is revoked"))
            };
            KINDS.iter().map(attacker).collect()
        });
    }
    let mut world = World::enrolled();
    world.publish(1);
    let ran = world.run(instead(Stage::CheckIn, |_, _| Deed::error(Kind::Refused, "a\u{1b}[2Jb\nc")));
    let said = world.assert_denied(ran);
    assert!(said.contains("a [2Jb c"), "{said}");
}

fn a_worker_that_loses_every_session() {
    let mut world = World::settled();
    let kept = world.kept();
    let frames: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&frames);
    let forgetful: Attacker = Box::new(move |asked, way| match asked {
        Asked::Exchange(frame) => {
            count.fetch_add(1, Ordering::Relaxed);
            match way.exchange(frame) {
                (Some(Stage::Handshake), answer) => said(answer),
                _ => Deed::error(Kind::UnknownSession, ""),
            }
        }
        _ => way.honestly(asked),
    });
    let ran = world.run(forgetful);
    world.assert_went_on(ran, &kept);
    assert_eq!(frames.load(Ordering::Relaxed), 6, "three handshakes with one request each");
}

fn a_worker_that_takes_no_orders() {
    type Answer = fn() -> Deed;
    const ANSWERS: [Answer; 4] = [
        || Deed::Leave,
        || Deed::error(Kind::Bug, "no"),
        || Deed::error(Kind::Refused, "no"),
        || Deed::Raw(vec![0xff; 8]),
    ];
    stopped_at(Stage::Handshake, || {
        let attacker = |answer: &Answer| -> Attacker {
            let answer = *answer;
            Box::new(move |asked, way| match asked {
                Asked::Configure(_) => answer(),
                // It never was told where the server is.
                Asked::Exchange(_) => Deed::error(Kind::Bug, "not configured"),
                _ => way.honestly(asked),
            })
        };
        ANSWERS.iter().map(attacker).collect()
    });
}

/// It stands in the posture, in reports and on terminals.
fn what_the_worker_says_of_itself() {
    let mut world = World::enrolled();
    world.publish(1);
    let liar: Attacker = Box::new(|asked, way| match asked {
        Asked::Configure(_) => {
            let line = format!("\u{1b}]0;owned\u{7}{}", "x".repeat(5000));
            Deed::Say(Answered::Configured(Configured { user: 0, missing: vec![line; 10_000] }))
        }
        _ => way.honestly(asked),
    });
    assert_eq!(world.run(liar).unwrap(), Exit::Success);
    let reasons = world.reports()[0].posture.clone().unwrap().reasons;
    let of_worker: Vec<&String> = reasons.iter().filter(|reason| reason.starts_with("worker: ")).collect();
    assert_eq!(of_worker.len(), 20);
    for reason in of_worker {
        assert!(reason.contains("owned") && reason.len() <= 220 && !reason.chars().any(char::is_control));
    }
}

fn a_server_that_is_busy() {
    for code in ["busy", "expired", "stale-bundle"] {
        let mut world = World::settled();
        let kept = world.kept();
        world.origin().twist = Some(Box::new(move |_, _, _| refused(code)));
        let ran = world.run(honest());
        world.assert_went_on(ran, &kept);
        world.assert_recovers(2);
    }
    twisted_at(Stage::Report, || {
        vec![Box::new(|ask, answer, _| if matches!(ask, Ask::Report(_)) { refused("busy") } else { answer })]
    });
    for (code, blame) in
        [("revoked", Blame::Permission), ("unknown-envoy", Blame::Permission), ("malformed", Blame::Bug)]
    {
        let mut world = World::settled();
        let kept = world.kept();
        world.origin().twist = Some(Box::new(move |_, _, _| refused(code)));
        let error = world.run(honest()).expect_err(code);
        assert_eq!(error.blame(), blame);
        assert!(text(&error).contains("says the server"));
        assert_eq!(world.kept(), kept);
        assert_eq!(world.content("motd").unwrap(), "drift", "nothing is applied against a refusal");
    }
}

/// Each answer comes within its own time; all of them together take longer than a run waits.
fn a_worker_that_delays_every_answer() {
    let mut world = World::settled();
    let asked: Arc<Mutex<usize>> = Arc::default();
    let count = Arc::clone(&asked);
    let delaying: Attacker = Box::new(move |asked, way| {
        if matches!(asked, Asked::Exchange(_)) {
            *count.lock().unwrap() += 1;
            std::thread::sleep(Duration::from_millis(150));
        }
        way.honestly(asked)
    });
    world.agent.patience = Some(Duration::from_millis(400));
    let _went_on_or_is_blocked = world.run(delaying);
    // A run on new secrets asks for five things and more.
    let asked = *asked.lock().unwrap();
    assert!((1..=3).contains(&asked), "{asked} answers were waited for");
    assert!(world.waiting() > 0, "the report is gone");
    world.agent.patience = None;
    world.assert_recovers(2);
}

/// What was applied and not touched since stays, as when the server is away; a refusal for good would block it.
fn a_server_that_cannot_give_secrets_now() {
    for (code, exit) in [("busy", Exit::Success), ("too-many", Exit::Success), ("quarantined", Exit::Bad)] {
        let mut world = World::enrolled();
        world.publish(1);
        assert_eq!(world.run(honest()).unwrap(), Exit::Success);
        world.assert_applied(1);
        // Another agent on the same state folder: its hand holds nothing.
        world.agent = Agent::open(&world.state(""), Rc::new(Spawner::start().unwrap())).unwrap();
        let refused = Refused { code: code.to_owned(), message: "not now".to_owned() };
        world.origin().twist = Some(Box::new(move |ask, answer, _| match ask {
            Ask::Secrets(_) => Answer::Refused(refused.clone()),
            _ => answer,
        }));
        assert_eq!(world.run(honest()).unwrap(), exit, "{code}");
        assert_eq!(world.content("token").unwrap(), world.token_file(1));
        world.assert_in_hand(0);
        // Asked again by itself: nothing has to be published for it.
        world.origin().twist = None;
        assert_eq!(world.run(honest()).unwrap(), Exit::Success);
        world.assert_in_hand(1);
    }
}
