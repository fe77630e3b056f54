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
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

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
        for value in values.iter().filter(|value| value.len() >= SHORTEST_SCRUBBED) {
            for kind in Form::ALL {
                prop_assert!(!holds(&whole, &form(kind, value)), "{kind:?} of {value:?} in {whole:?}");
            }
        }
    }

    #[test]
    fn text_without_a_value_is_passed_on_byte_for_byte(text in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(scrub(&[b"a value that is nowhere in it"], &text), text);
    }
}
