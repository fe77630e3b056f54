//! Published versions.

use crate::samples::{bundle, entry, publish};
use vigo_base::{Digest, limits};
use vigo_store::{Git, NewBundle, NewPublish, Page, Store, StoreError};

pub fn versions_count_up_and_the_last_is_current(store: &dyn Store) {
    assert_eq!(store.current_publish().unwrap(), None);
    assert_eq!(store.publish(&publish("one", b"a", &[]), &[]).unwrap(), 1);
    let git = Git { commit: "abc".into(), dirty: true };
    assert_eq!(store.publish(&NewPublish { git: Some(&git), ..publish("two", b"b", &[]) }, &[]).unwrap(), 2);
    let current = store.current_publish().unwrap().unwrap();
    assert_eq!((current.version, current.message.as_str()), (2, "two"));
    assert_eq!(current.git, Some(git));
    assert_eq!(current.tree, Digest::of(b"b"));
    assert_eq!(store.publish_of(1).unwrap().unwrap().git, None);
    assert_eq!(store.publish_of(3).unwrap(), None);
}

pub fn a_stale_base_is_refused_and_changes_nothing(store: &dyn Store) {
    let on = |base, message| NewPublish { base: Some(base), ..publish(message, b"a", &[]) };
    assert_eq!(store.publish(&on(0, "first"), &[]).unwrap(), 1);
    let refused = store.publish(&on(0, "late"), &[entry("late")]);
    assert!(matches!(refused, Err(StoreError::StaleBase { base: 0, current: 1 })));
    assert_eq!(store.current_publish().unwrap().unwrap().message, "first");
    assert_eq!(store.audit_head().unwrap().sequence, 0);
    assert_eq!(store.publish(&on(1, "second"), &[]).unwrap(), 2);
}

pub fn a_tree_and_its_bundles_come_back_as_they_were(store: &dyn Store) {
    let (one, two) = (bundle(b"bundle one"), bundle(b"bundle two"));
    store.publish(&publish("m", b"tree", &[one, two, one]), &[]).unwrap();
    store.publish(&publish("again", b"tree", &[two]), &[]).unwrap();
    assert_eq!(store.tree(1).unwrap().unwrap(), b"tree");
    assert_eq!(store.tree(2).unwrap().unwrap(), b"tree");
    assert_eq!(store.index(2).unwrap().unwrap(), b"index");
    assert_eq!(store.tree(3).unwrap(), None);
    assert_eq!(store.tree(u64::MAX).unwrap(), None, "no row can have it");
    assert_eq!(store.index(u64::MAX).unwrap(), None);
    assert_eq!(store.publish_of(u64::MAX).unwrap(), None);
    assert_eq!(store.bundle(&one.digest).unwrap().unwrap(), b"bundle one");
    let mut digests = [one.digest, two.digest];
    digests.sort();
    assert_eq!(store.bundles_of(1).unwrap(), digests);
    assert_eq!(store.bundles_of(2).unwrap(), [two.digest]);
}

pub fn a_bundle_that_no_version_has_is_not_given(store: &dyn Store) {
    store.publish(&publish("m", b"tree", &[]), &[]).unwrap();
    assert_eq!(store.bundle(&Digest::of(b"other")).unwrap(), None);
    assert_eq!(store.bundle(&Digest::of(b"tree")).unwrap(), None, "a tree is no bundle");
}

pub fn a_bundle_with_another_digest_is_refused(store: &dyn Store) {
    let wrong = NewBundle { digest: Digest::of(b"x"), bytes: b"y" };
    assert!(matches!(store.publish(&publish("m", b"t", &[wrong]), &[]), Err(StoreError::Malformed { .. })));
    assert_eq!(store.current_publish().unwrap(), None);
}

pub fn what_is_too_large_is_refused(store: &dyn Store) {
    let message = "m".repeat(5_000);
    let refused = store.publish(&publish(&message, b"t", &[]), &[]);
    assert!(matches!(refused, Err(StoreError::TooLarge { what: "message", .. })));
    let huge = vec![0; limits::BUNDLE + 1];
    let refused = store.publish(&publish("m", b"t", &[bundle(&huge)]), &[]);
    assert!(matches!(refused, Err(StoreError::TooLarge { what: "bundle", .. })));
    assert_eq!(store.current_publish().unwrap(), None);
}

pub fn history_is_paged_newest_first(store: &dyn Store) {
    for _ in 0..5 {
        store.publish(&publish("m", b"t", &[]), &[]).unwrap();
    }
    let mut seen = Vec::new();
    let mut page = store.publishes(Page::first(2)).unwrap();
    loop {
        assert!(page.items.len() <= 2);
        seen.extend(page.items.iter().map(|publish| publish.version));
        let Some(next) = page.next else { break };
        page = store.publishes(Page::after(&next, 2)).unwrap();
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
}
