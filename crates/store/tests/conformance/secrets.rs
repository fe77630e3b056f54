//! Secrets.

use crate::samples::{assignment, enrol, entry, id, path, put};
use vigo_base::{SecretVersion, limits};
use vigo_store::{NewSecret, Page, Store, StoreError, VersionState};

pub fn versions_count_up_one_by_one(store: &dyn Store) {
    let path = path("web/token");
    let secret = |version| NewSecret {
        path: &path,
        version: SecretVersion(version),
        record: b"sealed",
        at: 1,
        by: "admin",
    };
    assert_eq!(store.next_secret_version(&path).unwrap(), SecretVersion(1));
    for wrong in [0, 2] {
        let refused = store.put_secret(&secret(wrong), &[entry("set")]);
        assert!(matches!(refused, Err(StoreError::SecretVersion { next: 1, .. })));
    }
    store.put_secret(&secret(1), &[entry("set")]).unwrap();
    assert!(matches!(store.put_secret(&secret(1), &[]), Err(StoreError::SecretVersion { next: 2, .. })));
    store.put_secret(&secret(2), &[]).unwrap();
    let stored = store.secret(&path).unwrap().unwrap();
    assert_eq!((stored.version, stored.versions), (SecretVersion(2), 2));
    assert_eq!(store.audit_head().unwrap().sequence, 1);
}

pub fn the_record_that_was_stored_comes_back(store: &dyn Store) {
    put(store, "web/token", b"first");
    put(store, "web/token", b"second");
    put(store, "web/tokens", b"another");
    let path = path("web/token");
    assert_eq!(store.secret_record(&path, None).unwrap().unwrap().record, b"second");
    let first = store.secret_record(&path, Some(SecretVersion(1))).unwrap().unwrap();
    assert_eq!((first.version, first.record.as_slice()), (SecretVersion(1), &b"first"[..]));
    assert_eq!(store.secret_record(&path, Some(SecretVersion(3))).unwrap(), None);
    assert_eq!(store.secret_record(&path, Some(SecretVersion(u64::MAX))).unwrap(), None);
}

pub fn a_removed_secret_is_gone_and_its_numbers_are_not_used_again(store: &dyn Store) {
    let path = path("web/token");
    assert!(matches!(store.remove_secret(&path, 1, "admin", &[]), Err(StoreError::NotFound { .. })));
    put(store, "web/token", b"first");
    put(store, "web/token", b"second");
    store.remove_secret(&path, 70, "eve", &[entry("rm")]).unwrap();
    assert_eq!(store.secret(&path).unwrap(), None);
    assert_eq!(store.secret_record(&path, None).unwrap(), None);
    assert_eq!(store.secret_record(&path, Some(SecretVersion(1))).unwrap(), None);
    assert!(store.secrets("", Page::first(9)).unwrap().items.is_empty());
    let history = store.secret_history(&path, Page::first(9)).unwrap().items;
    assert!(history.iter().all(|version| version.state == VersionState::Removed));
    assert_eq!((history[0].at, history[0].by.as_str()), (70, "eve"));
    assert_eq!(store.next_secret_version(&path).unwrap(), SecretVersion(3));
    put(store, "web/token", b"third");
    assert_eq!(store.secret(&path).unwrap().unwrap().versions, 1);
}

pub fn changes_are_one_sequence_over_all_secrets(store: &dyn Store) {
    assert_eq!(store.last_secret_change().unwrap(), 0);
    assert_eq!(put(store, "a", b"x"), 1);
    assert_eq!(put(store, "b", b"x"), 2);
    assert_eq!(put(store, "a", b"x"), 3);
    assert_eq!(store.remove_secret(&path("b"), 1, "admin", &[]).unwrap(), 4);
    assert_eq!(store.last_secret_change().unwrap(), 4);
    let changes = store.secret_changes(1, 10).unwrap();
    let seen: Vec<_> = changes.iter().map(|c| (c.change, c.path.as_str(), c.version)).collect();
    assert_eq!(seen, [(2, "b", Some(SecretVersion(1))), (3, "a", Some(SecretVersion(2))), (4, "b", None)]);
    assert_eq!(store.secret_changes(0, 1).unwrap().len(), 1);
}

pub fn secrets_are_listed_by_prefix_and_page(store: &dyn Store) {
    for name in ["web/b", "web/a", "db/a", "web/c", "webb"] {
        put(store, name, b"x");
    }
    let mut seen = Vec::new();
    let mut page = store.secrets("web/", Page::first(2)).unwrap();
    loop {
        seen.extend(page.items.iter().map(|secret| secret.path.to_string()));
        let Some(next) = page.next else { break };
        page = store.secrets("web/", Page::after(&next, 2)).unwrap();
    }
    assert_eq!(seen, ["web/a", "web/b", "web/c"]);
    assert_eq!(store.secrets("", Page::first(9)).unwrap().items.len(), 5);
}

pub fn history_is_paged_newest_first(store: &dyn Store) {
    for _ in 0..3 {
        put(store, "a", b"x");
    }
    let first = store.secret_history(&path("a"), Page::first(2)).unwrap();
    let states: Vec<_> = first.items.iter().map(|v| (v.version.0, v.state)).collect();
    assert_eq!(states, [(3, VersionState::Current), (2, VersionState::Kept)]);
    let rest = store.secret_history(&path("a"), Page::after(&first.next.unwrap(), 2)).unwrap();
    assert_eq!((rest.items[0].version.0, rest.next), (1, None));
    assert!(store.secret_history(&path("b"), Page::first(2)).unwrap().items.is_empty());
}

pub fn entitlement_is_read_in_one_moment(store: &dyn Store) {
    assert_eq!(store.entitled(&id(1), &[]).unwrap(), None);
    enrol(store, "web-1", 1);
    store.set_assignments(&[assignment(id(1), 1, 1), assignment(id(1), 1, 2)]).unwrap();
    put(store, "a", b"sealed a");
    let entitled = store.entitled(&id(1), &[path("b"), path("a")]).unwrap().unwrap();
    assert_eq!(entitled.envoy.identity.id, id(1));
    assert_eq!(entitled.assignments.len(), 2);
    assert_eq!(entitled.records[0], None);
    assert_eq!(entitled.records[1].as_ref().unwrap().record, b"sealed a");
    let many = vec![path("a"); limits::SECRET_BATCH + 1];
    assert!(matches!(store.entitled(&id(1), &many), Err(StoreError::TooLarge { .. })));
}

pub fn a_record_that_is_too_large_is_refused(store: &dyn Store) {
    let path = path("a");
    let record = vec![0; limits::SECRET_VALUE + 4097];
    let secret = NewSecret { path: &path, version: SecretVersion(1), record: &record, at: 1, by: "admin" };
    assert!(matches!(store.put_secret(&secret, &[]), Err(StoreError::TooLarge { .. })));
    assert_eq!(store.secret(&path).unwrap(), None);
}
