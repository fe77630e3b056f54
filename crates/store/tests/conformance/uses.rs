//! Who got which secret, and where it can be seen.

use crate::samples::{enrol, id, path, put};
use vigo_base::SecretVersion;
use vigo_store::{EnvoyState, SecretUse, SeenExposure, Store};

fn used(name: &str, actor: &str, version: u64, at: u64) -> SecretUse {
    SecretUse { path: path(name), actor: actor.into(), version: SecretVersion(version), at }
}

pub fn the_last_use_of_each_is_kept(store: &dyn Store) {
    put(store, "web/a", b"x");
    assert_eq!(store.secret(&path("web/a")).unwrap().unwrap().used_at, None);
    store.record_secret_uses(&[used("web/a", "envoy:1", 1, 50), used("web/b", "envoy:1", 1, 51)]).unwrap();
    store.record_secret_uses(&[used("web/a", "envoy:1", 2, 60), used("web/a", "alice", 2, 55)]).unwrap();
    let uses = store.secret_uses(&path("web/a")).unwrap();
    assert_eq!(uses, [used("web/a", "envoy:1", 2, 60), used("web/a", "alice", 2, 55)]);
    assert_eq!(store.secret_uses_of("envoy:1").unwrap().len(), 2);
    assert_eq!(store.secret(&path("web/a")).unwrap().unwrap().used_at, Some(60));
    assert!(store.secret_uses(&path("no/such")).unwrap().is_empty());
}

pub fn where_a_secret_can_be_seen_goes_with_its_envoy(store: &dyn Store) {
    enrol(store, "web-1", 1);
    let seen = |envoy: u8, way: &str, at| SeenExposure {
        envoy: id(envoy),
        resource: "site:conf".into(),
        path: path("web/a"),
        way: way.into(),
        version: SecretVersion(1),
        at,
    };
    store.record_exposures(&[seen(1, "file", 5), seen(1, "environment", 5), seen(9, "file", 5)]).unwrap();
    store.record_exposures(&[seen(1, "file", 8)]).unwrap();
    let ways: Vec<_> = store.exposures(&id(1)).unwrap().into_iter().map(|one| (one.way, one.at)).collect();
    assert_eq!(ways, [("environment".to_owned(), 5), ("file".to_owned(), 8)]);
    assert!(store.exposures(&id(9)).unwrap().is_empty());
    store.set_envoy_state(&id(1), EnvoyState::Revoked, &[]).unwrap();
    store.remove_envoy(&id(1), &[]).unwrap();
    assert!(store.exposures(&id(1)).unwrap().is_empty());
}
