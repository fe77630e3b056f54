//! Files with secrets: compared, written, shown as a diff.

use crate::Test;
use crate::parts::{absolute, fails_with, hold, node, pieces, placement, secret, spawner, start};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use vigo_hand::DiffLine::{Added, AddedSecret, Omitted, Removed, RemovedHidden};
use vigo_hand::target::Placement;
use vigo_hand::{Comparison, FailureCode, Hand, Role, StartOptions, Wanted};

pub const TESTS: &[Test] = &[
    ("files::a_file_is_written_and_then_the_same", written),
    ("files::all_filters_work_in_files", filters),
    ("files::salts_are_stable_and_differ_between_resources", salts),
    ("files::a_diff_shows_policy_text_only", diff),
    ("files::a_diff_of_lines_that_moved_shows_them_and_a_secret_of_many_lines_is_one", diff_details),
    ("files::a_diff_is_bounded", bounded),
    ("files::large_contents_go_through_a_small_arena", large),
    ("files::every_single_byte_that_differs_is_seen", every_byte),
    ("files::a_missing_value_and_a_value_that_a_filter_refuses_are_said", missing),
    ("files::a_candidate_can_be_looked_at_before_it_takes_its_place", staged),
    ("files::a_part_of_a_file_is_edited_and_nothing_of_the_rest_is_shown", edited),
    ("files::odd_targets_are_refused", odd),
    (
        "files::what_the_hand_writes_with_a_secret_has_no_access_list",
        what_the_hand_writes_with_a_secret_has_no_access_list,
    ),
    ("files::a_hand_without_intents_writes_nothing", without_intents),
];

fn written() {
    let (mut hand, folder) = node();
    hold(&mut hand, "web/token", b"s3cret value");
    let path = folder.path().join("conf");
    let content = pieces("token \"{web/token}\";\nauth {web/token|b64encode};\n");
    let missing = hand.compare(&absolute(&path), &content, "r").unwrap();
    let lines = vec![
        AddedSecret("token \"‹secret web/token v1›\";".into()),
        AddedSecret("auth ‹secret web/token v1›;".into()),
    ];
    assert_eq!(missing, Comparison::Missing { diff: lines });
    let placed = hand.write(&placement(&path), &content, "r").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "token \"s3cret value\";\nauth czNjcmV0IHZhbHVl;\n");
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(
        (placed.inode, placed.size, metadata.mode() & 0o7777),
        (metadata.ino(), metadata.len(), 0o600)
    );
    assert_eq!(hand.compare(&absolute(&path), &content, "r").unwrap(), Comparison::Same { placed });
    // In a folder that is not there yet the file is missing as well.
    let below = absolute(&folder.path().join("no/such/file"));
    assert!(matches!(hand.compare(&below, &content, "r").unwrap(), Comparison::Missing { .. }));
}

fn filters() {
    let (mut hand, folder) = node();
    hold(&mut hand, "a", b" it's \"so\" ");
    let path = folder.path().join("conf");
    let content = pieces(
        "{a|trim|shell_quote} {a|json} {a|urlencode} {a|trim|hex} {a|trim|b64encode|json} {a|sha512_crypt} {a|bcrypt}",
    );
    hand.write(&placement(&path), &content, "r").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let start = "'it'\\''s \"so\"' \" it's \\\"so\\\" \" %20it%27s%20%22so%22%20 69742773202273 6f22 "
        .replace("73 6f", "736f");
    assert!(text.starts_with(&start), "{text}");
    assert!(text[start.len()..].starts_with("\"aXQncyAic28i\" $6$"), "{text}");
    assert!(text.contains(" $2b$12$"), "{text}");
    assert!(matches!(hand.compare(&absolute(&path), &content, "r").unwrap(), Comparison::Same { .. }));
}

fn salts() {
    let (mut hand, folder) = node();
    hold(&mut hand, "a", b"password");
    let mut hash = |resource: &str| {
        let path = folder.path().join("conf");
        hand.write(&placement(&path), &pieces("{a|sha512_crypt}"), resource).unwrap();
        fs::read_to_string(&path).unwrap()
    };
    let one = hash("site:one");
    assert_eq!(hash("site:one"), one);
    assert_ne!(hash("site:two"), one);
    // Without a seed there is no salt, and so no such filter.
    let mut without = start(Role::Node);
    hold(&mut without, "a", b"password");
    let target = absolute(&folder.path().join("conf"));
    fails_with(without.compare(&target, &pieces("{a|bcrypt}"), "r"), FailureCode::Author, "salt");
}

fn diff() {
    let (mut hand, folder) = node();
    hold(&mut hand, "old", b"old secret value");
    hold(&mut hand, "new", b"new secret value");
    let path = folder.path().join("conf");
    let target = absolute(&path);
    fs::write(&path, "kept\nold = old secret value\ndrift nobody planned\nlast\n").unwrap();
    let content = pieces("kept\nnew = {new}\nadded\nlast\n");
    let Comparison::Different { diff, .. } = hand.compare(&target, &content, "r").unwrap() else { panic!() };
    let expected = [RemovedHidden(2), AddedSecret("new = ‹secret new v1›".into()), Added("added".into())];
    assert_eq!(diff, expected);
    // What reads back as an unchanged secret line is no line of the diff.
    fs::write(&path, "kept\nnew = new secret value\nlast\n").unwrap();
    let Comparison::Different { diff, .. } = hand.compare(&target, &content, "r").unwrap() else { panic!() };
    assert_eq!(diff, [Added("added".into())]);
}

fn diff_details() {
    let (mut hand, folder) = node();
    hold(&mut hand, "key", b"-----BEGIN-----\nAAAA\nBBBB\n-----END-----\n");
    let path = folder.path().join("conf");
    let target = absolute(&path);
    let content = pieces("one\ntwo\n{key}three");
    fs::write(&path, "two\none\nthree\n").unwrap();
    let Comparison::Different { diff, .. } = hand.compare(&target, &content, "r").unwrap() else { panic!() };
    let name = || AddedSecret("‹secret key v1›".into());
    let three = || Added("three (no newline at the end)".into());
    // Which of the two lines is called moved is the algorithm's choice.
    let one_way = vec![Added("one".into()), Removed("one".into()), RemovedHidden(1), name(), three()];
    let moved: Vec<_> = diff.iter().filter(|line| matches!(line, Removed(_))).collect();
    assert_eq!(moved.len(), 1, "{diff:?} is not like {one_way:?}");
    assert_eq!(diff.iter().filter(|line| **line == name()).count(), 1, "{diff:?}");
    assert!(diff.contains(&three()) && diff.contains(&RemovedHidden(1)), "{diff:?}");
    // Only the third line of the secret differs: still nothing but its name.
    fs::write(&path, "one\ntwo\n-----BEGIN-----\nAAAA\nCCCC\n-----END-----\nthree").unwrap();
    let Comparison::Different { diff, .. } = hand.compare(&target, &content, "r").unwrap() else { panic!() };
    assert_eq!(diff, [RemovedHidden(1), name()]);
}

fn edited() {
    let (mut hand, folder) = node();
    hold(&mut hand, "web/token", b"s3cret value");
    hold(&mut hand, "key", b"several\nlines\n");
    hold(&mut hand, "bytes", b"\xff\xfe");
    let path = folder.path().join("conf");
    let target = absolute(&path);
    fs::write(&path, "other = another value\ntoken = old value\n").unwrap();
    let pattern = Some(vigo_edit::Pattern::new("^token").unwrap());
    let edit = vigo_edit::Edit::Line(vigo_edit::LineEdit { pattern, ..Default::default() });
    let text = pieces("token = {web/token}");
    let wanted = Wanted { pieces: &text, edit: Some(&edit) };
    let Comparison::Different { diff, .. } = hand.compare(&target, wanted, "r").unwrap() else { panic!() };
    assert_eq!(diff, [RemovedHidden(1), AddedSecret("token = ‹secret web/token v1›".into())]);
    let placed = hand.write(&placement(&path), wanted, "r").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "other = another value\ntoken = s3cret value\n");
    assert_eq!(hand.compare(&target, wanted, "r").unwrap(), Comparison::Same { placed });
    for (secret, why) in [("{key}", "one line"), ("{bytes}", "not text")] {
        let text = pieces(secret);
        let wanted = Wanted { pieces: &text, edit: Some(&edit) };
        fails_with(hand.compare(&target, wanted, "r"), FailureCode::Author, why);
    }
    let missing = absolute(&folder.path().join("none"));
    assert!(matches!(hand.compare(&missing, wanted, "r").unwrap(), Comparison::Missing { .. }));
    fs::write(&path, vec![b'x'; vigo_edit::LARGEST + 1]).unwrap();
    fails_with(hand.compare(&target, wanted, "r"), FailureCode::Author, "more than");
}

fn bounded() {
    let (mut hand, folder) = node();
    let path = folder.path().join("conf");
    let lines: String = (0..3000).map(|n| format!("line {n}\n")).collect();
    let Comparison::Missing { diff } = hand.compare(&absolute(&path), &pieces(&lines), "r").unwrap() else {
        panic!()
    };
    assert_eq!((diff.len(), diff.last()), (1001, Some(&Omitted(2000))));
    let many: String = (0..30_000).map(|n| format!("{n}\n")).collect();
    fs::write(&path, "x\ny\n").unwrap();
    let Comparison::Different { diff, .. } = hand.compare(&absolute(&path), &pieces(&many), "r").unwrap()
    else {
        panic!()
    };
    assert_eq!(diff, [RemovedHidden(2), Omitted(30_000)]);
    let wide = format!("{}\n", "ä".repeat(5000));
    let Comparison::Different { diff, .. } = hand.compare(&absolute(&path), &pieces(&wide), "r").unwrap()
    else {
        panic!()
    };
    let Some(Added(text)) = diff.last() else { panic!("{diff:?}") };
    assert!(text.len() < 600 && text.ends_with("ä…"), "{text}");
}

fn large() {
    let folder = tempfile::tempdir().unwrap();
    let intents = Some(folder.path().join("intents"));
    let options = StartOptions { arena_max: 2 << 20, intents, ..StartOptions::new(Role::Node) };
    let mut hand = Hand::start(spawner(), &options).unwrap();
    hold(&mut hand, "a", &[b'v'; 40_000]);
    // 15 MiB of text and a few hundred times the value: more than six times what the hand may have.
    let part = format!("{}{{a}}", "some text of a policy\n".repeat(2000));
    let content = pieces(&part.repeat(340));
    let path = folder.path().join("large");
    assert!(matches!(hand.compare(&absolute(&path), &content, "r").unwrap(), Comparison::Missing { .. }));
    let placed = hand.write(&placement(&path), &content, "r").unwrap();
    assert_eq!(placed.size, 340 * (22 * 2000 + 40_000));
    assert_eq!(hand.compare(&absolute(&path), &content, "r").unwrap(), Comparison::Same { placed });
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(hand.compare(&absolute(&path), &content, "r").unwrap(), Comparison::Different { .. }));
    assert!(hand.status().unwrap().arena.size <= 2 << 20);
}

fn every_byte() {
    let (mut hand, folder) = node();
    hold(&mut hand, "a", b"value");
    let (path, content) = (folder.path().join("conf"), pieces("x{a}y{a}"));
    hand.write(&placement(&path), &content, "r").unwrap();
    let right = fs::read(&path).unwrap();
    let mut compare = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        hand.compare(&absolute(&path), &content, "r").unwrap()
    };
    for position in 0..right.len() {
        let mut wrong = right.clone();
        wrong[position] ^= 1;
        assert!(matches!(compare(&wrong), Comparison::Different { .. }), "{position}");
        assert!(matches!(compare(&right[..position]), Comparison::Different { .. }), "{position}");
    }
    assert!(matches!(compare(&[&right[..], b"z"].concat()), Comparison::Different { .. }));
    assert!(matches!(compare(&right), Comparison::Same { .. }));
}

fn missing() {
    let (mut hand, folder) = node();
    let target = absolute(&folder.path().join("conf"));
    hold(&mut hand, "bytes", b"\xff\xfe");
    fails_with(hand.compare(&target, &pieces("{web/none}"), "r"), FailureCode::NotHeld, "`web/none`");
    let placement = placement(&folder.path().join("conf"));
    fails_with(hand.write(&placement, &pieces("{web/none}"), "r"), FailureCode::NotHeld, "`web/none`");
    fails_with(hand.compare(&target, &pieces("{bytes|json}"), "r"), FailureCode::Author, "(`bytes`)");
    hand.forget(&[secret("bytes")]).unwrap();
    fails_with(hand.compare(&target, &pieces("{bytes|json}"), "r"), FailureCode::NotHeld, "`bytes`");
    assert!(!folder.path().join("conf").exists());
}

fn staged() {
    let (mut hand, folder) = node();
    hold(&mut hand, "a", b"value");
    let path = folder.path().join("conf");
    fs::write(&path, "old").unwrap();
    let candidate = hand.stage(&placement(&path), &pieces("new {a}"), "r").unwrap();
    assert_eq!(candidate.parent(), path.parent());
    assert_eq!(fs::read_to_string(&candidate).unwrap(), "new value");
    assert_eq!(fs::metadata(&candidate).unwrap().mode() & 0o7777, 0o600);
    fails_with(hand.stage(&placement(&path), &pieces("x"), "r"), FailureCode::Bug, "second candidate");
    hand.discard().unwrap();
    fails_with(hand.commit(), FailureCode::Bug, "there is not");
    assert_eq!((candidate.exists(), fs::read_to_string(&path).unwrap().as_str()), (false, "old"));
    hand.stage(&placement(&path), &pieces("new {a}"), "r").unwrap();
    hand.commit().unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new value");
    // A hand that is gone leaves its candidate to the next start.
    hand.stage(&placement(&path), &pieces("never {a}"), "r").unwrap();
    drop(hand);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    let intents = vigo_hand::target::Intents::open(&folder.path().join("intents")).unwrap();
    assert_eq!(intents.recover().unwrap().removed.len(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// acl(5) as xattr(7) holds it: version 2; user rw-, user 12345 r--, group r--, mask r--, other ---.
fn what_the_hand_writes_with_a_secret_has_no_access_list() {
    use rustix::fs::{XattrFlags, getxattr, setxattr};
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in
        [(1_u16, 6_u16, u32::MAX), (2, 4, 12_345), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
    {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    let (mut hand, folder) = node();
    hold(&mut hand, "a", b"value");
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    fs::write(&old, "old").unwrap();
    setxattr(&old, "system.posix_acl_access", &list, XattrFlags::empty()).unwrap();
    setxattr(folder.path(), "system.posix_acl_default", &list, XattrFlags::empty()).unwrap();
    let listed = |path| getxattr(path, "system.posix_acl_access", vec![0; 64 << 10].as_mut_slice()).is_ok();
    fs::write(&new, "the control").unwrap();
    assert!(listed(&old) && listed(&new));
    fs::remove_file(&new).unwrap();
    for path in [&old, &new] {
        hand.write(&placement(path), &pieces("{a}"), "r").unwrap();
        assert!(!listed(path), "{}", path.display());
    }
}

fn odd() {
    let (mut hand, folder) = node();
    hold(&mut hand, "a", b"value");
    let (real, link, two) =
        (folder.path().join("real"), folder.path().join("link"), folder.path().join("two"));
    fs::write(&real, "old").unwrap();
    symlink("real", &link).unwrap();
    let content = pieces("{a}");
    fails_with(hand.compare(&absolute(&link), &content, "r"), FailureCode::Author, "symbolic link");
    fails_with(hand.write(&placement(&link), &content, "r"), FailureCode::Author, "symbolic link");
    fails_with(hand.compare(&absolute(folder.path()), &content, "r"), FailureCode::Author, "not a file");
    fs::hard_link(&real, &two).unwrap();
    fails_with(hand.write(&placement(&two), &content, "r"), FailureCode::Author, "in_place: true");
    let in_place = Placement { in_place: true, ..placement(&two) };
    fs::set_permissions(&real, fs::Permissions::from_mode(0o604)).unwrap();
    fails_with(hand.write(&in_place, &content, "r"), FailureCode::Author, "others could read it");
    assert_eq!(fs::read_to_string(&real).unwrap(), "old");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
    hand.write(&in_place, &content, "r").unwrap();
    assert_eq!(fs::read_to_string(&real).unwrap(), "value");
    // A named pipe, on which a careless reader would wait for ever.
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    fails_with(hand.compare(&absolute(&fifo), &content, "r"), FailureCode::Author, "not a file");
}

fn without_intents() {
    let mut hand = start(Role::Node);
    hold(&mut hand, "a", b"value");
    let folder = tempfile::tempdir().unwrap();
    fails_with(
        hand.write(&placement(&folder.path().join("x")), &pieces("{a}"), "r"),
        FailureCode::Bug,
        "intents",
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
