//! The scrubber: replaces every form of every value in a stream, whatever its chunks are. It is the second net: the first is that output of
//! what got a secret is dropped.

use crate::forms::{Form, emit};
use crate::{SecretBuf, SecretError};
use std::collections::BTreeMap;
use std::ops::ControlFlow::{Break, Continue};

/// Values shorter than this are not scrubbed: too much that is no secret would be replaced.
pub const SHORTEST_SCRUBBED: usize = 8;
/// What stands where a value stood, unless a value itself looks like it.
pub const MASK: &str = "‹secret›";

/// Bytes of a form by which it is looked up; no form of a value that is scrubbed is shorter.
const KEY: usize = 8;

/// Scrubs one stream. Holds back what could be the start of a value; [`Scrubber::finish`] gives the rest.
///
/// Whatever the chunks: at each place the longest form is replaced that starts there, else one byte is passed on. So the output does not
/// depend on the chunks, and no form of a value stands in it.
pub struct Scrubber<'a> {
    values: Vec<&'a [u8]>,
    index: BTreeMap<[u8; KEY], Vec<(usize, Form)>>,
    starts: [bool; 256],
    mask: Vec<u8>,
    pending: SecretBuf,
}

enum Found {
    Nothing,
    Form { length: usize },
    TooEarly,
}

impl<'a> Scrubber<'a> {
    /// A scrubber against these values. Those shorter than [`SHORTEST_SCRUBBED`] are left out.
    ///
    /// # Errors
    /// When the values are such that no mask is free of them.
    pub fn new(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, SecretError> {
        let values: Vec<&[u8]> =
            values.into_iter().filter(|value| value.len() >= SHORTEST_SCRUBBED).collect();
        let mut index: BTreeMap<[u8; KEY], Vec<(usize, Form)>> = BTreeMap::new();
        let mut starts = [false; 256];
        for (number, value) in values.iter().enumerate() {
            for form in forms_of(value) {
                let key = key_of(form, value);
                if let Some(start) = starts.get_mut(usize::from(key[0])) {
                    *start = true;
                }
                index.entry(key).or_default().push((number, form));
            }
        }
        let mask = choose_mask(&values).ok_or(SecretError::NoMask)?;
        Ok(Self { values, index, starts, mask, pending: SecretBuf::with_capacity(0) })
    }

    /// Takes a chunk and appends to `out` what is sure.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        self.pending.append(chunk);
        self.scan(false, out);
    }

    /// The stream is over: appends the rest.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.scan(true, out);
    }

    /// Scrubs bytes that are all there.
    pub fn scrub(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        self.feed(bytes, &mut out);
        self.finish(&mut out);
        out
    }

    fn scan(&mut self, last: bool, out: &mut Vec<u8>) {
        let pending = std::mem::replace(&mut self.pending, SecretBuf::with_capacity(0));
        let mut rest = pending.expose();
        while let Some((first, behind)) = rest.split_first() {
            match self.look(*first, rest, last) {
                Found::Nothing => {
                    out.push(*first);
                    rest = behind;
                }
                Found::Form { length } => {
                    out.extend_from_slice(&self.mask);
                    rest = rest.get(length..).unwrap_or_default();
                }
                Found::TooEarly => break,
            }
        }
        self.pending = SecretBuf::copy_of(rest);
    }

    /// What starts at the start of `text`.
    fn look(&self, first: u8, text: &[u8], last: bool) -> Found {
        if !self.starts.get(usize::from(first)).copied().unwrap_or(false) {
            return Found::Nothing;
        }
        let Some(key) = text.first_chunk::<KEY>() else {
            return if last { Found::Nothing } else { Found::TooEarly };
        };
        let mut longest = 0;
        for (number, form) in self.index.get(key).into_iter().flatten() {
            let value = self.values.get(*number).copied().unwrap_or_default();
            match compare(*form, value, text) {
                Found::Form { length } => longest = longest.max(length),
                Found::TooEarly if !last => return Found::TooEarly,
                Found::TooEarly | Found::Nothing => {}
            }
        }
        if longest > 0 { Found::Form { length: longest } } else { Found::Nothing }
    }
}

/// The forms of a value, without those that say the same.
fn forms_of(value: &[u8]) -> impl Iterator<Item = Form> {
    let plain = value.iter().all(u8::is_ascii_alphanumeric);
    Form::ALL.into_iter().filter(move |form| !(plain && form.keeps_letters_and_digits()))
}

/// The first bytes of a form.
fn key_of(form: Form, value: &[u8]) -> [u8; KEY] {
    let mut key = [0; KEY];
    let mut places = key.iter_mut();
    let _ = emit(form, value, &mut |byte| match places.next() {
        Some(place) => {
            *place = byte;
            Continue(())
        }
        None => Break(()),
    });
    key
}

/// Whether `text` starts with that form. Line breaks inside a form that programs wrap are passed over.
fn compare(form: Form, value: &[u8], text: &[u8]) -> Found {
    let mut at = 0;
    let result = emit(form, value, &mut |expected| {
        if form.may_be_wrapped() && at > 0 {
            while matches!(text.get(at), Some(b'\n' | b'\r')) {
                at += 1;
            }
        }
        match text.get(at) {
            None => Break(Found::TooEarly),
            Some(byte) if *byte == expected => {
                at += 1;
                Continue(())
            }
            Some(_) => Break(Found::Nothing),
        }
    });
    match result {
        Continue(()) => Found::Form { length: at },
        Break(found) => found,
    }
}

/// A mask that neither holds a form, nor stands in one, nor can make one up together with the text around it.
fn choose_mask(values: &[&[u8]]) -> Option<Vec<u8>> {
    // The usual mask starts, ends and is filled with bytes that no text has; forms other than the value itself add ASCII only.
    let edges = [0xe2, 0xb9, 0xba];
    if !values.iter().any(|value| value.iter().any(|byte| edges.contains(byte))) {
        return Some(MASK.as_bytes().to_vec());
    }
    const OTHERS: &[u8] = b"*#@~^!%&=+|$";
    let others = OTHERS.iter().flat_map(|first| OTHERS.iter().map(|last| vec![*first, b'.', b'.', *last]));
    std::iter::once(MASK.as_bytes().to_vec())
        .chain(others)
        .find(|mask| values.iter().all(|value| is_apart(mask, value)))
}

fn is_apart(mask: &[u8], value: &[u8]) -> bool {
    forms_of(value).all(|form| {
        let mut text = SecretBuf::with_capacity(value.len());
        let _ = emit::<()>(form, value, &mut |byte| {
            text.append(&[byte]);
            Continue(())
        });
        let text = text.expose();
        let overlaps = |left: &[u8], right: &[u8]| {
            (1..=left.len().min(right.len())).any(|length| {
                left.len().checked_sub(length).and_then(|start| left.get(start..)) == right.get(..length)
            })
        };
        let holds =
            |long: &[u8], short: &[u8]| long.windows(short.len().max(1)).any(|window| window == short);
        !overlaps(text, mask) && !overlaps(mask, text) && !holds(text, mask) && !holds(mask, text)
    })
}

#[cfg(test)]
#[path = "scrub_tests.rs"]
mod tests;
