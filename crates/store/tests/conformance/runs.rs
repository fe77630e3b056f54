//! Runs.

use crate::samples::{enrol, id, report};
use vigo_store::{NewRun, Page, RUNS_KEPT, Store, StoreError, Summary};
use vigo_wire::inner::Report;

fn store_run(store: &dyn Store, envoy: u8, report: &Report) -> bool {
    store.store_run(&NewRun { envoy: id(envoy), received_at: 70, report }).unwrap()
}

pub fn a_report_is_stored_once(store: &dyn Store) {
    enrol(store, "web-1", 1);
    let sent = report(1, &["created", "unchanged", "failed", "blocked", "skipped", "updated"]);
    assert!(store_run(store, 1, &sent));
    assert!(!store_run(store, 1, &sent), "sent again, it is the same run");
    assert_eq!(store.runs(None, Page::first(9)).unwrap().items.len(), 1);
    let (run, stored) = store.run(&[1; 16]).unwrap().unwrap();
    assert_eq!(stored, sent);
    assert_eq!((run.name.as_str(), run.received_at, run.started_at), ("web-1", 70, 61));
    let summary = Summary { unchanged: 1, changed: 2, failed: 1, blocked: 1, skipped: 1 };
    assert_eq!(run.summary, summary);
    assert_eq!(store.run(&[2; 16]).unwrap(), None);
}

pub fn the_last_real_run_stands_on_the_envoy(store: &dyn Store) {
    enrol(store, "web-1", 1);
    assert_eq!(store.envoy(&id(1)).unwrap().unwrap().last_run, None);
    store_run(store, 1, &report(2, &["created"]));
    store_run(store, 1, &Report { dry_run: true, ..report(3, &["updated", "updated"]) });
    store_run(store, 1, &report(1, &["failed"]));
    let last = store.envoy(&id(1)).unwrap().unwrap().last_run.unwrap();
    assert_eq!((last.at, last.summary.changed, last.summary.failed), (62, 1, 0), "an older one came late");
    store_run(store, 1, &Report { started_at: 4_000_000_000, ..report(4, &["created"]) });
    store.store_run(&NewRun { envoy: id(1), received_at: 80, report: &report(75, &["failed"]) }).unwrap();
    let last = store.envoy(&id(1)).unwrap().unwrap().last_run.unwrap();
    assert_eq!((last.at, last.summary.failed), (80, 1), "a clock that ran ahead hides no later run");
}

pub fn only_the_last_runs_of_an_envoy_are_kept(store: &dyn Store) {
    enrol(store, "web-1", 1);
    enrol(store, "web-2", 2);
    store_run(store, 2, &report(255, &[]));
    for run in 0..RUNS_KEPT + 5 {
        store_run(store, 1, &report(u8::try_from(run).unwrap(), &["unchanged"]));
    }
    let kept = store.runs(Some(&id(1)), Page::first(1000)).unwrap().items;
    assert_eq!(kept.len(), RUNS_KEPT);
    assert_eq!(kept.last().unwrap().run, [5; 16]);
    assert_eq!(store.run(&[4; 16]).unwrap(), None);
    assert_eq!(store.runs(Some(&id(2)), Page::first(9)).unwrap().items.len(), 1);
}

pub fn runs_are_paged_newest_first(store: &dyn Store) {
    enrol(store, "web-1", 1);
    enrol(store, "web-2", 2);
    for run in 1..=5 {
        store_run(store, 1 + run % 2, &report(run, &[]));
    }
    let all = store.runs(None, Page::first(3)).unwrap();
    let seen: Vec<u8> = all.items.iter().map(|run| run.run[0]).collect();
    assert_eq!(seen, [5, 4, 3]);
    let rest = store.runs(None, Page::after(&all.next.unwrap(), 3)).unwrap();
    assert_eq!((rest.items.len(), rest.next), (2, None));
    assert_eq!(store.runs(Some(&id(1)), Page::first(9)).unwrap().items.len(), 2);
}

pub fn an_unknown_outcome_counts_as_failed(store: &dyn Store) {
    enrol(store, "web-1", 1);
    store_run(store, 1, &report(1, &["exploded"]));
    assert_eq!(store.run(&[1; 16]).unwrap().unwrap().0.summary.failed, 1);
}

pub fn a_run_of_nobody_is_refused(store: &dyn Store) {
    let sent = report(1, &[]);
    let refused = store.store_run(&NewRun { envoy: id(9), received_at: 1, report: &sent });
    assert!(matches!(refused, Err(StoreError::NotFound { .. })));
    enrol(store, "web-1", 1);
    let short = Report { run: vec![1; 15], ..sent };
    let refused = store.store_run(&NewRun { envoy: id(1), received_at: 1, report: &short });
    assert!(matches!(refused, Err(StoreError::Malformed { .. })));
}
