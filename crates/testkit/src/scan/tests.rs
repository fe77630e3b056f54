//! A scan without its control has no result, and one with it finds what is there.

use super::*;

#[test]
fn a_scan_that_does_not_find_its_control_has_no_result() {
    let (canary, control) = (Canary::fresh(Kind::Plain).unwrap(), Canary::fresh(Kind::Plain).unwrap());
    let scanner = Scanner::of([&canary]);
    let blind = scanner.bytes(Sink::Output, "a log", b"nothing at all", &control).unwrap_err();
    assert_eq!(
        blind.to_string(),
        "the planted canary was not found in output `a log`, of which 14 bytes were read"
    );
    let with = [b"text ".as_slice(), &control.plain(), b" text"].concat();
    scanner.bytes(Sink::Output, "a log", &with, &control).unwrap().expect_nothing("a log");
    let leaked = [with, canary.plain()].concat();
    let scanned = scanner.bytes(Sink::Output, "a log", &leaked, &control).unwrap();
    assert_eq!((scanned.hits.len(), scanned.hits[0].form, scanned.hits[0].length), (1, "raw", 32));
}

#[test]
fn half_a_control_is_none() {
    let (canary, control) = (Canary::fresh(Kind::Plain).unwrap(), Canary::fresh(Kind::Plain).unwrap());
    let half = &control.plain()[..16];
    assert!(Scanner::of([&canary]).bytes(Sink::Output, "", half, &control).is_err());
}

#[test]
fn what_stands_on_the_border_of_two_blocks_of_a_file_is_found() {
    let (canary, control) = (Canary::fresh(Kind::SixtyFour).unwrap(), Canary::fresh(Kind::Plain).unwrap());
    let scanner = Scanner::of([&canary]);
    for shift in [1, 11, 12, 32, 63, 64, 65] {
        let mut bytes = vec![b'#'; 3 * BLOCK];
        let from = 2 * BLOCK - shift;
        bytes[from..from + 64].copy_from_slice(&canary.plain());
        bytes[BLOCK - 48..BLOCK - 16].copy_from_slice(&control.plain());
        let scanned = scanner
            .scan(Sink::Files, "bytes", &control, |look| look.reader("bytes", io::Cursor::new(&bytes)))
            .unwrap();
        assert!(!scanned.hits.is_empty(), "{shift}");
        assert_eq!(scanned.read, bytes.len() as u64);
    }
}

#[test]
fn no_two_sinks_have_one_name() {
    let names: std::collections::BTreeSet<&str> = Sink::ALL.iter().map(|sink| sink.name()).collect();
    assert_eq!(names.len(), Sink::ALL.len());
}
