//! The scrubber against the usual programs' forms, and by property: any chunking, same output, no form left.

use super::*;
use proptest::prelude::*;

fn scrub(values: &[&[u8]], text: &[u8]) -> Vec<u8> {
    Scrubber::new(values.iter().copied()).unwrap().scrub(text)
}

fn form(form: Form, value: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let _ = emit::<()>(form, value, &mut |byte| {
        text.push(byte);
        Continue(())
    });
    text
}

fn holds(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn every_form_is_replaced_and_the_text_around_it_stays() {
    let value = "s3cr'et \"välue\"\n<\\$>".as_bytes();
    for kind in Form::ALL {
        let mut text = b"before [".to_vec();
        text.extend(form(kind, value));
        text.extend(b"] after");
        let scrubbed = String::from_utf8(scrub(&[value], &text)).unwrap();
        assert!(scrubbed.starts_with("before [‹secret›"), "{kind:?}: {scrubbed}");
        assert!(scrubbed.ends_with("] after"), "{kind:?}: {scrubbed}");
    }
}

#[test]
fn base64_that_a_program_broke_into_lines_is_replaced() {
    let value: Vec<u8> = (0..=255).collect();
    let text = form(Form::Base64 { url: false }, &value);
    let lines: Vec<&[u8]> = text.chunks(76).collect();
    assert_eq!(scrub(&[&value], &lines.join(b"\r\n".as_slice())), MASK.as_bytes());
}

#[test]
fn base64_and_hexadecimal_are_replaced_wherever_a_line_breaks_in_them_and_with_blanks_between() {
    let value = b"s3cret \xc3\xa4";
    let wrapped = [
        (Form::Base64 { url: false }, 1),
        (Form::Base64Inside { before: 0, url: true }, 1),
        (Form::Hex { upper: false }, 2),
        (Form::Hex { upper: true }, 2),
    ];
    for (kind, step) in wrapped {
        let form = form(kind, value);
        for at in (step..form.len()).step_by(step) {
            let (left, right) = form.split_at(at);
            let text = [b"[", left, b"\r\n", right, b"]"].concat();
            let said = String::from_utf8(scrub(&[value], &text)).unwrap();
            assert_eq!(said, "[‹secret›]", "{kind:?} broken at {at}");
            if at < 10 {
                every_chunking(&[value], &text);
            }
        }
    }
    // As `od -An -tx1 -w6`, `openssl` and `xxd` write it.
    let od = b" 73 33 63 72 65 74\n 20 c3 a4\n";
    assert_eq!(String::from_utf8(scrub(&[value], od)).unwrap(), " ‹secret›\n");
    assert_eq!(scrub(&[value], b"73:33:63:72:65:74:20:c3:a4"), MASK.as_bytes());
    assert_eq!(scrub(&[value], b"7333 6372 6574 20c3 a4"), MASK.as_bytes());
    every_chunking(&[value], od);
}

#[test]
fn a_value_without_the_white_space_at_its_ends_is_replaced_in_every_form() {
    let value = b"\t pa'ss word \n";
    for kind in Form::ALL {
        let text = [b"a [", form(kind, b"pa'ss word").as_slice(), b"] b"].concat();
        let said = String::from_utf8(scrub(&[value], &text)).unwrap();
        assert_eq!(said, "a [‹secret›] b", "{kind:?}");
        every_chunking(&[value], &text);
    }
    assert_eq!(scrub(&[value], value), MASK.as_bytes(), "the whole of it is one");
    assert_eq!(scrub(&[b"1234567\n"], b"1234567"), b"1234567", "too short without it");
}

#[test]
fn a_hash_of_a_password_is_replaced_whoever_made_it() {
    let salt = crate::filter::Salt::from_bytes([7; 16]);
    let hash = |filter, value: &[u8]| crate::filter::apply(filter, value, Some(&salt)).unwrap();
    let value = b"a value of a secret".as_slice();
    for filter in [vigo_base::Filter::Sha512Crypt, vigo_base::Filter::Bcrypt] {
        let hash = hash(filter, b"of something else");
        let text = [b"root:", hash.expose(), b":19000:"].concat();
        assert_eq!(String::from_utf8(scrub(&[value], &text)).unwrap(), "root:‹secret›:19000:");
        assert_eq!(scrub(&[], &text), text, "without a value there is nothing to hide");
        let cut = &text[..text.len() - 12];
        assert_eq!(scrub(&[value], cut), cut, "a piece of one is none");
        for at in 0..text.len() {
            let (one, two) = text.split_at(at);
            assert_eq!(in_chunks(&[value], &[one, two]), scrub(&[value], &text), "{at}");
        }
    }
    let text = b"costs $6$ or $2b$12$, $6$ab$cd and $2";
    assert_eq!(scrub(&[value], text), text);
    every_chunking(&[value], text);
}

#[test]
fn short_values_are_left_alone_and_the_longest_form_wins() {
    assert_eq!(scrub(&[b"true", b"1234567"], b"true 1234567"), b"true 1234567");
    let (short, long) = (b"abcdefgh".as_slice(), b"abcdefghij".as_slice());
    assert_eq!(scrub(&[short, long], b"xabcdefghijx"), "x‹secret›x".as_bytes());
    assert_eq!(scrub(&[short, long], b"xabcdefghix"), "x‹secret›ix".as_bytes());
    assert_eq!(scrub(&[], b"anything"), b"anything");
}

#[test]
fn what_only_starts_like_a_value_is_passed_on_at_the_end() {
    assert_eq!(scrub(&[b"abcdefghij"], b"abcdefghi"), b"abcdefghi");
    assert_eq!(scrub(&[b"abcdefghij"], b"abc"), b"abc");
}

#[test]
fn a_value_that_looks_like_the_mask_gets_another_mask() {
    let value = "‹secret›".as_bytes();
    let scrubbed = scrub(&[value], &[b"x".as_slice(), value, b"y"].concat());
    assert!(!holds(&scrubbed, value));
    // The text before ends as a form starts, which goes on as the mask does: without care they would make one.
    let value = [b"abcdefg".as_slice(), &MASK.as_bytes()[..1]].concat();
    let scrubbed = scrub(&[&value], &[b"abcdefg".as_slice(), &value].concat());
    assert!(!holds(&scrubbed, &value));
}

/// What comes out when the text is given in these parts.
fn in_chunks(values: &[&[u8]], chunks: &[&[u8]]) -> Vec<u8> {
    let mut scrubber = Scrubber::new(values.iter().copied()).unwrap();
    let mut out = Vec::new();
    chunks.iter().for_each(|chunk| scrubber.feed(chunk, &mut out));
    scrubber.finish(&mut out);
    out
}

/// Every way to give a text in one, two and three parts, and byte by byte.
fn every_chunking(values: &[&[u8]], text: &[u8]) {
    let whole = scrub(values, text);
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(in_chunks(values, &bytes), whole, "byte by byte");
    for first in 0..=text.len() {
        let (one, rest) = text.split_at(first);
        for second in 0..=rest.len() {
            let (two, three) = rest.split_at(second);
            assert_eq!(
                in_chunks(values, &[one, two, three]),
                whole,
                "{first} and {second} bytes of {text:?}"
            );
        }
    }
}

#[test]
fn every_form_is_found_at_every_place_where_two_or_three_chunks_can_be_divided() {
    let value = "p'a \"\u{e4}$\n<\\".as_bytes();
    for kind in Form::ALL {
        let text = [b"a ", form(kind, value).as_slice(), b" b"].concat();
        let expected = ["a ", MASK, " b"].concat();
        // A character of base64 that is shared with what stands before is no part of the form.
        assert_eq!(String::from_utf8(scrub(&[value], &text)).unwrap(), expected, "{kind:?}");
        every_chunking(&[value], &text);
    }
}

#[test]
fn values_side_by_side_over_one_another_and_inside_one_another_are_found_in_every_chunking() {
    let (one, two): (&[u8], &[u8]) = (b"abcdefgh", b"efghijkl");
    let mask = MASK.as_bytes();
    type Case<'a> = (&'a [&'a [u8]], &'a [u8], Vec<u8>);
    let cases: [Case<'_>; 6] = [
        (&[one, two], b"abcdefghefghijkl", [mask, mask].concat()),
        (&[one, one], b"abcdefghabcdefgh", [mask, mask].concat()),
        // The first one wins, and what is left of the other is no value.
        (&[one, two], b"abcdefghijkl", [mask, b"ijkl"].concat()),
        (&[one, b"abcdefghijklmnop"], b"abcdefghijklmno", [mask, b"ijklmno"].concat()),
        (&[one, b"abcdefghijklmnop"], b"xabcdefghijklmnop", [b"x", mask].concat()),
        (&[b"bcdefghi", b"abcdefghij"], b"abcdefghij bcdefghi", [mask, b" ", mask].concat()),
    ];
    for (values, text, expected) in cases {
        assert_eq!(scrub(values, text), expected, "{text:?}");
        every_chunking(values, text);
    }
}

#[test]
fn values_under_eight_bytes_and_common_words_do_not_destroy_the_text() {
    let text = b"no root true password 0 1 the end of it, admin: yes";
    assert_eq!(scrub(&[b"root", b"true", b"0", b"", b"admin", b"the", b"yes", b"passwor"], text), text);
    every_chunking(&[b"root", b"0", b"the"], b"root 0 the end");
    // A value that is a common word is replaced where it stands, and nothing else is.
    assert_eq!(
        scrub(&[b"password"], b"pass word password passwords"),
        "pass word ‹secret› ‹secret›s".as_bytes()
    );
}

#[test]
fn long_lines_of_a_value_of_several_are_replaced_one_by_one() {
    let value = b"-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\r\nAQEF\n  [default]\n-----END KEY-----\n";
    let said = b"1: -----BEGIN KEY-----\n2: MIIEvQIBADANBgkqhkiG9w0B\n3: AQEF\n4: [default]\n";
    let expected = "1: ‹secret›\n2: ‹secret›\n3: AQEF\n4: [default]\n";
    assert_eq!(String::from_utf8(scrub(&[value], said)).unwrap(), expected);
    assert_eq!(scrub(&[value], value), MASK.as_bytes(), "the whole of it is one");
    every_chunking(&[b"0123456789abcdef\nghijklmn"], b"1 0123456789abcdef\n2 ghijklmn");
}

#[test]
fn what_looks_like_a_value_again_and_again_takes_no_more_work_than_its_length_allows() {
    let value = [vec![b'a'; 20_000], b"b".to_vec()].concat();
    let text = vec![b'a'; 100_000];
    let mut scrubber = Scrubber::new([value.as_slice()]).unwrap();
    let mut whole = Vec::new();
    scrubber.feed(&text, &mut whole);
    scrubber.finish(&mut whole);
    let most = WORK + WORK_PER_BYTE * text.len() as u64 + (value.len() * Form::ALL.len()) as u64;
    assert!(scrubber.work <= most, "{} comparisons for {} bytes", scrubber.work, text.len());
    assert!(whole.ends_with(MASK.as_bytes()), "it is closed");
    // Byte by byte it is the same, and not a comparison more is counted.
    let mut bytes = Scrubber::new([value.as_slice()]).unwrap();
    let mut out = Vec::new();
    text.iter().for_each(|byte| bytes.feed(&[*byte], &mut out));
    bytes.finish(&mut out);
    assert_eq!((bytes.work, out.len(), out == whole), (scrubber.work, whole.len(), true));
    assert!(bytes.pending.is_empty());
    // Ordinary text is far below: a kilobyte of output for each of a hundred keys that begin alike, and no mark of a closed stream.
    let key = |number: u32| {
        let body = format!("{number:04}x").repeat(180);
        format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n").into_bytes()
    };
    let keys: Vec<Vec<u8>> = (0..100).map(key).collect();
    let mut scrubber = Scrubber::new(keys.iter().map(Vec::as_slice)).unwrap();
    assert_eq!(scrubber.scrub(&keys.concat()), MASK.repeat(100).into_bytes());
    assert!(!scrubber.is_closed);
}

#[test]
fn what_is_held_back_is_no_more_than_twice_the_longest_form() {
    let value = [b"0123456789".repeat(20), b"x".to_vec()].concat();
    let mut scrubber = Scrubber::new([value.as_slice()]).unwrap();
    let mut out = Vec::new();
    let base64 = form(Form::Base64 { url: false }, &value);
    let hostile = [b"0123456789".repeat(500), base64[..20].to_vec(), b"\n".repeat(5000)].concat();
    for byte in &hostile {
        scrubber.feed(&[*byte], &mut out);
        assert!(scrubber.pending.len() <= 2 * 6 * value.len(), "{} bytes", scrubber.pending.len());
    }
    scrubber.finish(&mut out);
    assert_eq!(out, hostile);
}

/// Values and texts over few letters, so that forms overlap, repeat and begin inside one another.
fn values() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let letters = prop::sample::select(b"ab'\"\\ \n%\xe2\x80\xb9\xff".to_vec());
    prop::collection::vec(prop::collection::vec(letters, 0..24), 1..4)
}

fn text(values: &[Vec<u8>], parts: &[(usize, usize, usize)]) -> Vec<u8> {
    let mut text = Vec::new();
    for (value, kind, cut) in parts {
        let form = form(Form::ALL[kind % Form::ALL.len()], &values[value % values.len()]);
        // Every second part is whole, the others are cut somewhere.
        let end = if cut % 2 == 0 { form.len() } else { cut % (form.len() + 1) };
        text.extend_from_slice(&form[..end]);
        text.extend_from_slice(&b"a '"[..cut % 3]);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(512),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_chunking_gives_the_same_output_and_leaves_no_form(
        values in values(),
        parts in prop::collection::vec((0..4_usize, 0..32_usize, 0..97_usize), 0..8),
        cuts in prop::collection::vec(1..9_usize, 1..6),
    ) {
        let text = text(&values, &parts);
        let refs: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let Ok(mut scrubber) = Scrubber::new(refs.iter().copied()) else { return Ok(()) };
        let whole = scrubber.scrub(&text);
        let (mut chunked, mut rest, mut turn) = (Vec::new(), text.as_slice(), 0);
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(cuts[turn % cuts.len()].min(rest.len()));
            scrubber.feed(chunk, &mut chunked);
            (rest, turn) = (behind, turn + 1);
        }
        scrubber.finish(&mut chunked);
        prop_assert_eq!(&whole, &chunked);
        let bare = values.iter().map(|value| crate::filter::trimmed(value).to_vec());
        for value in values.iter().cloned().chain(bare).filter(|value| value.len() >= SHORTEST_SCRUBBED) {
            for kind in Form::ALL {
                prop_assert!(!holds(&whole, &form(kind, &value)), "{kind:?} of {value:?} in {whole:?}");
            }
        }
    }

    #[test]
    fn text_without_a_value_is_passed_on_byte_for_byte(text in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(scrub(&[b"a value that is nowhere in it"], &text), text);
    }
}
