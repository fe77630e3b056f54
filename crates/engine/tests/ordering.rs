//! The order of resources: as written, later only where they must be.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use vigo_engine::{EngineError, Identity, Order, Provided, order};
use vigo_wire::bundle::{Bundle, Configcrate, Resource};

/// A bundle with these configcrates, each with that many resources.
fn bundle(crates: &[(&str, usize)]) -> Bundle {
    let mut bundle = Bundle::default();
    for (index, (name, resources)) in crates.iter().enumerate() {
        bundle.configcrates.push(Configcrate { name: (*name).into(), ..Configcrate::default() });
        let configcrate = u32::try_from(index).unwrap();
        bundle.resources.extend((0..*resources).map(|_| Resource { configcrate, ..Resource::default() }));
    }
    bundle
}

fn identities(bundle: &Bundle) -> Vec<Identity> {
    (0..bundle.resources.len())
        .map(|index| Identity { id: format!("r{index}"), ..Identity::default() })
        .collect()
}

fn at(identity: &mut Identity, path: &str, gives: bool) {
    identity.path = Some(path.parse().unwrap());
    identity.provides = gives.then(|| Provided::Path(path.parse().unwrap()));
}

fn ordered(bundle: &Bundle, identities: &[Identity]) -> Order {
    order(bundle, identities).unwrap()
}

#[test]
fn the_written_order_holds() {
    let bundle = bundle(&[("a", 3), ("b", 2)]);
    assert_eq!(ordered(&bundle, &identities(&bundle)).sequence, [0, 1, 2, 3, 4]);
}

#[test]
fn a_resource_moves_later_only_as_far_as_it_must() {
    let mut bundle = bundle(&[("a", 5)]);
    bundle.resources[0].requires = vec![2];
    bundle.resources[1].notified_by = vec![3];
    assert_eq!(ordered(&bundle, &identities(&bundle)).sequence, [2, 0, 3, 1, 4]);
}

#[test]
fn a_configcrate_that_another_needs_comes_first_as_a_whole() {
    let mut bundle = bundle(&[("a", 2), ("b", 2), ("c", 1)]);
    bundle.configcrates[0].requires = vec![1];
    bundle.resources[2].requires_configcrates = vec![2];
    assert_eq!(ordered(&bundle, &identities(&bundle)).sequence, [3, 4, 2, 0, 1]);
}

#[test]
fn a_configcrate_without_resources_is_no_obstacle() {
    let mut bundle = bundle(&[("a", 1), ("empty", 0), ("c", 1)]);
    bundle.configcrates[0].requires = vec![1];
    bundle.configcrates[1].requires = vec![2];
    assert_eq!(ordered(&bundle, &identities(&bundle)).sequence, [1, 0]);
}

#[test]
fn the_nearest_folder_that_is_managed_comes_first() {
    let bundle = bundle(&[("a", 4)]);
    let mut identities = identities(&bundle);
    at(&mut identities[0], "/srv/site/html/index.html", true);
    at(&mut identities[1], "/srv", true);
    at(&mut identities[2], "/srv/site", true);
    at(&mut identities[3], "/srv/sit", true);
    let order = ordered(&bundle, &identities);
    assert_eq!(order.sequence, [1, 2, 0, 3]);
    assert_eq!(order.implied, [vec![2], vec![], vec![1], vec![1]]);
}

#[test]
fn owner_and_group_come_before_what_belongs_to_them() {
    let bundle = bundle(&[("a", 3)]);
    let mut identities = identities(&bundle);
    identities[0].owner = Some("alice".into());
    identities[0].group = Some("staff".into());
    identities[1].provides = Some(Provided::Group("staff".into()));
    identities[2].provides = Some(Provided::User("alice".into()));
    assert_eq!(ordered(&bundle, &identities).sequence, [1, 2, 0]);
}

#[test]
fn what_removes_a_folder_is_no_folder_for_others() {
    let bundle = bundle(&[("a", 2)]);
    let mut identities = identities(&bundle);
    at(&mut identities[0], "/srv/file", true);
    at(&mut identities[1], "/srv", false);
    assert_eq!(ordered(&bundle, &identities).sequence, [0, 1]);
}

#[test]
fn what_is_only_understood_gives_way_to_what_is_written() {
    let mut bundle = bundle(&[("a", 3)]);
    bundle.resources[1].requires = vec![0];
    let mut identities = identities(&bundle);
    at(&mut identities[0], "/srv/file", true);
    at(&mut identities[1], "/srv", true);
    at(&mut identities[2], "/srv/other", true);
    let order = ordered(&bundle, &identities);
    assert_eq!(order.sequence, [0, 1, 2]);
    assert_eq!(order.implied, [vec![], vec![], vec![1]]);
    assert_eq!(order.warnings.len(), 1);
    assert!(order.warnings[0].contains("`r0` would wait for `r1`"), "{}", order.warnings[0]);
}

#[test]
fn a_circle_that_is_written_is_named() {
    let mut bundle = bundle(&[("a", 4)]);
    bundle.resources[1].requires = vec![3];
    bundle.resources[2].requires = vec![1];
    bundle.resources[3].notified_by = vec![2];
    match order(&bundle, &identities(&bundle)) {
        Err(EngineError::Cycle(circle)) => {
            assert_eq!(circle.len(), 4);
            assert_eq!(circle.first(), circle.last());
            for id in ["r1", "r2", "r3"] {
                assert!(circle.iter().any(|one| one == id), "{circle:?}");
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_circle_of_configcrates_is_named() {
    let mut bundle = bundle(&[("a", 1), ("b", 1)]);
    bundle.configcrates[0].requires = vec![1];
    bundle.configcrates[1].requires = vec![0];
    let text = order(&bundle, &identities(&bundle)).unwrap_err().to_string();
    assert!(text.contains("configcrate:a") && text.contains("configcrate:b"), "{text}");
}

#[test]
fn one_that_is_the_same_as_another_runs_once_and_brings_its_dependencies() {
    let mut bundle = bundle(&[("a", 2), ("b", 2)]);
    bundle.configcrates[1].requires = vec![0];
    bundle.resources[2].requires = vec![1];
    let mut identities = identities(&bundle);
    identities[2].same_as = Some(0);
    assert_eq!(ordered(&bundle, &identities).sequence, [1, 0, 3]);
}

#[test]
fn a_hundred_thousand_resources_in_chains_and_folders_are_ordered() {
    let count = 100_000_u32;
    let mut bundle = bundle(&[("a", 50_000), ("b", 50_000)]);
    bundle.configcrates[1].requires = vec![0];
    let mut identities = identities(&bundle);
    for index in 0..count {
        let path = format!("/srv/{}/{}/f{index}", index % 100, index % 1000);
        at(&mut identities[index as usize], &path, true);
        if index % 2 == 0 && index + 1 < count && index != 49_999 {
            bundle.resources[index as usize].requires = vec![index + 1];
        }
    }
    let order = ordered(&bundle, &identities);
    assert_eq!(order.sequence.len(), count as usize);
    assert_eq!(order.sequence[..4], [1, 0, 3, 2]);
}
