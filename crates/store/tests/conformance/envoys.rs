//! Envoys.

use crate::samples::{assignment, enrol, entry, id};
use vigo_base::Digest;
use vigo_store::{EnvoyState, Page, Posture, Sighting, Store, StoreError, StoredTraits};

fn sighting(envoy: u8, at: u64) -> Sighting {
    let posture = Posture { level: "weak".into(), reasons: vec!["mlock".into()], swap: "zram".into() };
    Sighting { envoy: id(envoy), at, agent_version: "0.1.0".into(), posture }
}

pub fn check_ins_are_written_in_batches_and_time_does_not_go_back(store: &dyn Store) {
    enrol(store, "web-1", 1);
    enrol(store, "web-2", 2);
    store.record_sightings(&[sighting(1, 50), sighting(77, 51), sighting(2, 52), sighting(1, 40)]).unwrap();
    let one = store.envoy(&id(1)).unwrap().unwrap();
    assert_eq!(one.last_seen, Some(50));
    assert_eq!((one.agent_version.as_str(), one.posture), ("0.1.0", sighting(1, 0).posture));
    assert_eq!(store.envoy(&id(2)).unwrap().unwrap().last_seen, Some(52));
    assert_eq!(store.envoy(&id(77)).unwrap(), None);
}

pub fn traits_are_kept_whole(store: &dyn Store) {
    enrol(store, "web-1", 1);
    assert_eq!(store.traits(&id(1)).unwrap(), None);
    for bytes in [vec![1, 2], vec![3]] {
        let traits = StoredTraits { digest: Digest::of(&bytes), bytes };
        store.set_traits(&id(1), &traits).unwrap();
        assert_eq!(store.envoy(&id(1)).unwrap().unwrap().traits_digest, Some(traits.digest));
        assert_eq!(store.traits(&id(1)).unwrap(), Some(traits));
    }
}

pub fn an_assignment_is_only_followed_by_a_newer_one(store: &dyn Store) {
    enrol(store, "web-1", 1);
    store.set_assignments(&[assignment(id(1), 2, 5)]).unwrap();
    for (term, generation) in [(2, 5), (2, 4), (1, 9)] {
        let refused = store.set_assignments(&[assignment(id(1), term, generation)]);
        assert!(matches!(refused, Err(StoreError::Generation { .. })), "{term}.{generation}");
    }
    store.set_assignments(&[assignment(id(1), 3, 1)]).unwrap();
    assert_eq!(store.assignments(&id(1)).unwrap()[0].term, 3);
}

pub fn two_assignments_are_kept(store: &dyn Store) {
    enrol(store, "web-1", 1);
    enrol(store, "web-2", 2);
    let batch: Vec<_> =
        (1..=4).flat_map(|generation| [1, 2].map(|n| assignment(id(n), 1, generation))).collect();
    store.set_assignments(&batch).unwrap();
    for number in [1, 2] {
        let kept: Vec<u64> = store.assignments(&id(number)).unwrap().iter().map(|a| a.generation).collect();
        assert_eq!(kept, [4, 3]);
    }
}

pub fn a_continuity_value_and_the_one_before_are_kept(store: &dyn Store) {
    enrol(store, "web-1", 1);
    for value in [b"one", b"two", b"six"] {
        store.set_continuity(&id(1), value).unwrap();
    }
    let envoy = store.envoy(&id(1)).unwrap().unwrap();
    assert_eq!((envoy.continuity.as_slice(), envoy.continuity_before.as_slice()), (&b"six"[..], &b"two"[..]));
    assert!(matches!(store.set_continuity(&id(1), &[0; 65]), Err(StoreError::TooLarge { .. })));
}

pub fn a_revoked_envoy_stays_revoked_and_only_it_can_be_removed(store: &dyn Store) {
    enrol(store, "web-1", 1);
    store.set_assignments(&[assignment(id(1), 1, 1)]).unwrap();
    let refused = store.remove_envoy(&id(1), &[entry("rm")]).unwrap_err();
    assert!(matches!(refused, StoreError::NotRevoked { .. }));
    store.set_envoy_state(&id(1), EnvoyState::Revoked, &[entry("revoke")]).unwrap();
    store.set_envoy_state(&id(1), EnvoyState::Revoked, &[]).unwrap();
    let back = store.set_envoy_state(&id(1), EnvoyState::Active, &[]);
    assert!(matches!(back, Err(StoreError::Revoked { .. })));
    store.remove_envoy(&id(1), &[entry("rm")]).unwrap();
    assert_eq!(store.envoy(&id(1)).unwrap(), None);
    assert!(store.assignments(&id(1)).unwrap().is_empty());
    assert_eq!(store.audit_head().unwrap().sequence, 2);
}

pub fn a_quarantined_envoy_can_be_approved(store: &dyn Store) {
    enrol(store, "web-1", 1);
    for state in [EnvoyState::Quarantined, EnvoyState::Active] {
        store.set_envoy_state(&id(1), state, &[]).unwrap();
        assert_eq!(store.envoy(&id(1)).unwrap().unwrap().state, state);
    }
}

pub fn envoys_are_listed_by_prefix_and_page(store: &dyn Store) {
    for (number, name) in [(1, "web-2"), (2, "web-1"), (3, "db-1"), (4, "web-10"), (5, "wec")] {
        enrol(store, name, number);
    }
    let mut names = Vec::new();
    let mut page = store.envoys("web-", Page::first(2)).unwrap();
    loop {
        names.extend(page.items.iter().map(|envoy| envoy.identity.name.to_string()));
        let Some(next) = page.next else { break };
        page = store.envoys("web-", Page::after(&next, 2)).unwrap();
    }
    assert_eq!(names, ["web-1", "web-10", "web-2"]);
    assert_eq!(store.envoys("", Page::first(0)).unwrap().items.len(), 1, "a page is never empty by its size");
    assert_eq!(store.envoys("", Page::first(usize::MAX)).unwrap().items.len(), 5);
    assert!(store.envoys("nobody", Page::first(2)).unwrap().items.is_empty());
}

pub fn a_name_finds_the_living_envoy_before_the_revoked(store: &dyn Store) {
    enrol(store, "web-1", 1);
    store.set_envoy_state(&id(1), EnvoyState::Revoked, &[]).unwrap();
    assert_eq!(store.envoy_named("web-1").unwrap().unwrap().identity.id, id(1));
    enrol(store, "web-1", 2);
    assert_eq!(store.envoy_named("web-1").unwrap().unwrap().identity.id, id(2));
    assert_eq!(store.envoy_named("web-9").unwrap(), None);
    assert_eq!(store.envoys("web-1", Page::first(10)).unwrap().items.len(), 2);
}

pub fn what_is_not_there_is_an_error_that_names_it(store: &dyn Store) {
    let traits = StoredTraits { digest: Digest::of(b""), bytes: Vec::new() };
    let errors = [
        store.set_traits(&id(9), &traits).unwrap_err(),
        store.set_assignments(&[assignment(id(9), 1, 1)]).unwrap_err(),
        store.set_continuity(&id(9), b"c").unwrap_err(),
        store.set_envoy_state(&id(9), EnvoyState::Revoked, &[]).unwrap_err(),
        store.remove_envoy(&id(9), &[]).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains(&id(9).to_string()), "{error}");
    }
}
