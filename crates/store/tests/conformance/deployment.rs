//! The deployment and the server's keys.

use crate::samples::{deployment, enrol, entry, key, path, put};
use vigo_base::SecretVersion;
use vigo_store::{Deployment, Store, StoreError};

pub fn a_new_store_is_empty_and_is_founded_once(store: &dyn Store) {
    assert!(store.is_empty().unwrap());
    assert_eq!(store.deployment().unwrap(), None);
    store.found(&deployment(), &[key("anchor", 1, 100)], &[entry("founded")]).unwrap();
    assert!(!store.is_empty().unwrap());
    assert_eq!(store.deployment().unwrap(), Some(deployment()));
    let other = Deployment { anchor: [9; 32], ..deployment() };
    assert!(matches!(store.found(&other, &[], &[]), Err(StoreError::NotEmpty)));
    assert_eq!(store.deployment().unwrap(), Some(deployment()));
    assert_eq!(store.keys("anchor").unwrap(), [key("anchor", 1, 100)]);
}

pub fn a_store_that_holds_anything_is_not_founded(store: &dyn Store) {
    enrol(store, "web-1", 1);
    assert!(matches!(store.found(&deployment(), &[], &[]), Err(StoreError::NotEmpty)));
    assert_eq!(store.deployment().unwrap(), None);
}

pub fn the_term_only_rises(store: &dyn Store) {
    assert!(matches!(store.raise_term(0, &[]), Err(StoreError::NotFound { .. })));
    store.found(&deployment(), &[], &[]).unwrap();
    assert_eq!(store.raise_term(0, &[entry("restore")]).unwrap(), 2);
    assert_eq!(store.raise_term(0, &[]).unwrap(), 3);
    assert_eq!(store.deployment().unwrap().unwrap().term, 3);
}

pub fn versions_up_to_the_floor_are_not_given_again(store: &dyn Store) {
    store.found(&deployment(), &[], &[]).unwrap();
    put(store, "a", b"one");
    put(store, "a", b"two");
    assert_eq!(store.highest_secret_version().unwrap(), SecretVersion(2));
    store.raise_term(7, &[]).unwrap();
    assert_eq!(store.highest_secret_version().unwrap(), SecretVersion(7));
    for name in ["a", "never/set"] {
        assert_eq!(store.next_secret_version(&path(name)).unwrap(), SecretVersion(8), "{name}");
    }
    put(store, "a", b"three");
    assert_eq!(store.next_secret_version(&path("a")).unwrap(), SecretVersion(9));
    store.raise_term(3, &[]).unwrap();
    assert_eq!(store.next_secret_version(&path("b")).unwrap(), SecretVersion(8), "a floor never falls");
}

pub fn keys_are_found_by_purpose_newest_first_and_retired_last(store: &dyn Store) {
    for (number, at) in [(1, 10), (2, 20), (3, 30)] {
        store.add_key(&key("bundle", number, at), &[]).unwrap();
    }
    store.add_key(&key("entry", 4, 40), &[]).unwrap();
    store.retire_key("bundle", &[3; 32], 50, &[]).unwrap();
    let found: Vec<u8> = store.keys("bundle").unwrap().iter().map(|key| key.public[0]).collect();
    assert_eq!(found, [2, 1, 3]);
    assert!(store.keys("session").unwrap().is_empty());
}

pub fn a_key_is_retired_once(store: &dyn Store) {
    store.add_key(&key("bundle", 1, 10), &[]).unwrap();
    store.retire_key("bundle", &[1; 32], 50, &[]).unwrap();
    assert!(matches!(store.retire_key("bundle", &[1; 32], 60, &[]), Err(StoreError::NotFound { .. })));
    assert_eq!(store.keys("bundle").unwrap()[0].retired_at, Some(50));
}
