//! The audit chain.

use crate::samples::{entry, key, put};
use std::collections::BTreeSet;
use vigo_store::{AuditHead, NewAudit, Page, Store, StoreError};

pub fn records_form_a_chain_that_verifies(store: &dyn Store) {
    assert_eq!(store.audit_head().unwrap(), AuditHead::empty());
    let first = store.append_audit(&[entry("a"), entry("b")]).unwrap();
    let second = store.append_audit(&[entry("c")]).unwrap();
    assert_eq!((first.sequence, second.sequence), (2, 3));
    assert_eq!(store.append_audit(&[]).unwrap(), second);
    assert_eq!(store.audit_head().unwrap(), second);
    let verdict = store.verify_audit().unwrap();
    assert_eq!((verdict.records, verdict.head, verdict.broken), (3, second, None));
    let records = store.audit(Page::first(9)).unwrap().items;
    assert_eq!(records[0].previous, first.digest);
    assert_eq!(records[2].previous, AuditHead::empty().digest);
    assert_eq!(records[1].entry, entry("b"));
}

pub fn records_of_a_change_stand_and_fall_with_it(store: &dyn Store) {
    put(store, "a", b"x");
    store.add_key(&key("entry", 1, 1), &[entry("key")]).unwrap();
    assert!(store.add_key(&key("entry", 1, 1), &[entry("key again")]).is_err());
    let objects: Vec<String> =
        store.audit(Page::first(9)).unwrap().items.into_iter().map(|record| record.entry.object).collect();
    assert_eq!(objects, ["key"]);
}

pub fn many_appends_at_once_lose_nothing_and_keep_the_chain(store: &dyn Store) {
    let (threads, each) = (8, 10);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for number in 0..each {
                    let head = store.append_audit(&[entry(&format!("{thread}/{number}"))]).unwrap();
                    assert!(head.sequence >= 1);
                }
            });
        }
    });
    let records = store.audit(Page::first(1000)).unwrap().items;
    let objects: BTreeSet<&str> = records.iter().map(|record| record.entry.object.as_str()).collect();
    assert_eq!(objects.len(), threads * each);
    let verdict = store.verify_audit().unwrap();
    assert_eq!((verdict.records, verdict.broken), (80, None));
}

pub fn an_overlong_field_is_refused_and_nothing_is_appended(store: &dyn Store) {
    let long = NewAudit { detail: "d".repeat(4097), ..entry("a") };
    assert!(matches!(store.append_audit(&[entry("b"), long]), Err(StoreError::TooLarge { .. })));
    assert_eq!(store.audit_head().unwrap().sequence, 0);
}

pub fn records_are_paged_newest_first(store: &dyn Store) {
    store.append_audit(&[entry("1"), entry("2"), entry("3")]).unwrap();
    let page = store.audit(Page::first(2)).unwrap();
    let seen: Vec<u64> = page.items.iter().map(|record| record.sequence).collect();
    assert_eq!(seen, [3, 2]);
    let rest = store.audit(Page::after(&page.next.unwrap(), 2)).unwrap();
    assert_eq!((rest.items[0].sequence, rest.next), (1, None));
}

pub fn foreign_cursors_are_refused(store: &dyn Store) {
    for cursor in ["x", "", "-1", "1 2", "99999999999999999999"] {
        assert!(matches!(store.audit(Page::after(cursor, 2)), Err(StoreError::Cursor)), "{cursor}");
        assert!(matches!(store.runs(None, Page::after(cursor, 2)), Err(StoreError::Cursor)), "{cursor}");
        assert!(matches!(store.envoys("", Page::after(cursor, 2)), Err(StoreError::Cursor)), "{cursor}");
        assert!(matches!(store.publishes(Page::after(cursor, 2)), Err(StoreError::Cursor)), "{cursor}");
    }
}
