//! Every type of the registry against its case file and the suite that no type can leave out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::PathBuf;

#[test]
fn every_type_stands_the_suite_with_its_cases() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cases");
    let complaints = vigo_testkit::suite::check(&vigo_resources::REGISTRY, |kind| {
        fs::read_to_string(folder.join(format!("{kind}.case"))).ok()
    });
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_case_file_belongs_to_a_type() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cases");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let kind = name.strip_suffix(".case").expect(&name);
        assert!(vigo_resources::REGISTRY.get(kind).is_some(), "{name}");
    }
}
