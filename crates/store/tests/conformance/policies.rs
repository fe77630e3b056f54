//! Policies of secrets.

use crate::samples::{enrol, entry, id, path, put};
use std::collections::BTreeMap;
use vigo_base::ProtectionLevel;
use vigo_store::{POLICIES_MOST, SecretPolicies, SecretPolicy, Store, StoreError};

fn policy(scope: &str) -> SecretPolicy {
    SecretPolicy {
        scope: scope.parse().unwrap(),
        require: Some(ProtectionLevel::Weak),
        require_swap_closed: true,
        environments: vec!["production".into()],
        envoys: vec!["web-*".into()],
        labels: BTreeMap::from([("tier".to_owned(), "front".to_owned())]),
        by: "admin".into(),
        at: 9,
    }
}

fn set(revision: u64, policies: Vec<SecretPolicy>) -> SecretPolicies {
    SecretPolicies { revision, policies, mac: vec![5; 32] }
}

pub fn policies_are_replaced_as_a_set_and_come_back_as_they_were(store: &dyn Store) {
    assert_eq!(store.secret_policies().unwrap(), SecretPolicies::default());
    let plain = SecretPolicy {
        require: None,
        require_swap_closed: false,
        environments: Vec::new(),
        envoys: Vec::new(),
        labels: BTreeMap::new(),
        ..policy("db/")
    };
    let first = set(1, vec![plain, policy("web/token")]);
    store.set_secret_policies(&first, &[entry("set")]).unwrap();
    assert_eq!(store.secret_policies().unwrap(), first);
    let second = set(2, vec![policy("/")]);
    store.set_secret_policies(&second, &[]).unwrap();
    assert_eq!(store.secret_policies().unwrap(), second);
    store.set_secret_policies(&set(3, Vec::new()), &[]).unwrap();
    assert_eq!(store.secret_policies().unwrap(), set(3, Vec::new()));
    assert_eq!(store.audit_head().unwrap().sequence, 1);
}

pub fn only_the_next_revision_is_taken(store: &dyn Store) {
    store.set_secret_policies(&set(1, vec![policy("a")]), &[]).unwrap();
    for wrong in [0, 1, 3] {
        let refused = store.set_secret_policies(&set(wrong, Vec::new()), &[entry("set")]);
        assert!(matches!(refused, Err(StoreError::PolicyRevision { next: 2, .. })), "{wrong}");
    }
    assert_eq!(store.secret_policies().unwrap().policies.len(), 1);
    assert_eq!(store.audit_head().unwrap().sequence, 0);
}

pub fn a_policy_that_changes_is_a_change_of_the_secrets_it_covers(store: &dyn Store) {
    for name in ["web/a", "web/b", "db/a"] {
        put(store, name, b"x");
    }
    let since = store.last_secret_change().unwrap();
    let changed = |since| -> Vec<String> {
        store.secret_changes(since, 9).unwrap().iter().map(|one| one.path.to_string()).collect()
    };
    store.set_secret_policies(&set(1, vec![policy("web/")]), &[]).unwrap();
    assert_eq!(changed(since), ["web/a", "web/b"]);
    let since = store.last_secret_change().unwrap();
    store.set_secret_policies(&set(2, vec![policy("db/a"), policy("web/")]), &[]).unwrap();
    assert_eq!(changed(since), ["db/a"], "what stays as it is changes nothing");
    let since = store.last_secret_change().unwrap();
    store.set_secret_policies(&set(3, vec![policy("db/a")]), &[]).unwrap();
    assert_eq!(changed(since), ["web/a", "web/b"], "nor does what goes stay unnoticed");
}

pub fn policies_are_read_in_the_moment_that_resolves(store: &dyn Store) {
    enrol(store, "web-1", 1);
    let policies = set(1, vec![policy("web/")]);
    store.set_secret_policies(&policies, &[]).unwrap();
    let entitled = store.entitled(&id(1), &[path("web/token")]).unwrap().unwrap();
    assert_eq!(entitled.policies, policies);
}

pub fn more_policies_than_a_server_reads_are_refused(store: &dyn Store) {
    let many = (0..=POLICIES_MOST).map(|number| policy(&format!("p{number}"))).collect();
    let refused = store.set_secret_policies(&set(1, many), &[]);
    assert!(matches!(refused, Err(StoreError::TooMany { .. })));
}
