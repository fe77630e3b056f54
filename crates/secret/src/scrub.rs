//! The scrubber: replaces every form of every value in a stream, whatever its chunks are. It is the second net: the first is that output of
//! what got a secret is dropped.

use crate::filter::trimmed;
use crate::forms::{Form, emit};
use crate::{SecretBuf, SecretError};
use std::collections::BTreeMap;
use std::ops::ControlFlow::{Break, Continue};

/// Values shorter than this are not scrubbed: too much that is no secret would be replaced.
pub const SHORTEST_SCRUBBED: usize = 8;
/// Lines of a value of several lines that are shorter than this are not scrubbed by themselves: too many are words of a configuration.
pub const SHORTEST_LINE: usize = 16;
/// What stands where a value stood, unless a value itself looks like it.
pub const MASK: &str = "‹secret›";

/// Bytes of a form by which it is looked up; no form of a value that is scrubbed is shorter.
const KEY: usize = 8;

/// Comparisons of bytes that one byte of a stream may cost, on the whole.
const WORK_PER_BYTE: u64 = 64;
/// And what may be spent beyond that.
const WORK: u64 = 16 << 20;

/// Scrubs one stream. Holds back what could be the start of a value; [`Scrubber::finish`] gives the rest.
///
/// Whatever the chunks: at each place the longest form is replaced that starts there, else one byte is passed on. So the output does not
/// depend on the chunks, and no form of a value stands in it. Nor does a line of a value of several lines, if it has [`SHORTEST_LINE`]
/// bytes or more: programs print them one by one, with something before each; nor a value without the white space at its ends, which a
/// shell strips. Hashes of passwords as crypt(3) writes them (`$6$`, `$2b$`) are replaced whoever made them: whose they are is not told by
/// looking.
///
/// The work is bounded by the length of the stream: one that costs more, which takes values and text that repeat themselves, is masked from
/// there to its end.
pub struct Scrubber<'a> {
    sought: Vec<Sought<'a>>,
    index: BTreeMap<[u8; KEY], Vec<(usize, Form)>>,
    starts: [bool; 256],
    mask: Vec<u8>,
    pending: SecretBuf,
    /// Less than this is not looked at again: what was too early a moment ago would be too early still.
    wait_for: usize,
    /// Bytes that were dealt with, and comparisons that this took.
    done: u64,
    work: u64,
    /// It was too much work: nothing is passed on any more.
    is_closed: bool,
}

/// Something that may not stand in the output.
struct Sought<'a> {
    text: &'a [u8],
    /// A value, whole or trimmed, which may turn up in any form; else a line of one, as it is.
    is_value: bool,
}

impl Sought<'_> {
    fn forms(&self) -> impl Iterator<Item = Form> {
        let is_value = self.is_value;
        forms_of(self.text).filter(move |form| is_value || *form == Form::Raw)
    }
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
        let sought: Vec<Sought<'_>> = values.into_iter().flat_map(sought_for).collect();
        let mut index: BTreeMap<[u8; KEY], Vec<(usize, Form)>> = BTreeMap::new();
        let mut starts = [false; 256];
        for (number, one) in sought.iter().enumerate() {
            for form in one.forms() {
                let key = key_of(form, one.text);
                if let Some(start) = starts.get_mut(usize::from(key[0])) {
                    *start = true;
                }
                index.entry(key).or_default().push((number, form));
            }
        }
        if let (Some(start), false) = (starts.get_mut(usize::from(b'$')), sought.is_empty()) {
            *start = true;
        }
        let mask = choose_mask(&sought).ok_or(SecretError::NoMask)?;
        let pending = SecretBuf::with_capacity(0);
        Ok(Self { sought, index, starts, mask, pending, wait_for: 0, done: 0, work: 0, is_closed: false })
    }

    /// How many bytes a scrubber against these values takes, about, beside what it holds back.
    pub fn room(values: impl IntoIterator<Item = &'a [u8]>) -> usize {
        let entries = |one: Sought<'_>| if one.is_value { Form::ALL.len() } else { 1 };
        values.into_iter().flat_map(sought_for).map(|one| entries(one) * ENTRY).sum()
    }

    /// Takes a chunk and appends to `out` what is sure.
    pub fn feed(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.is_closed {
            return;
        }
        self.pending.append(chunk);
        if self.pending.len() >= self.wait_for {
            self.scan(false, out);
        }
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
        self.wait_for = 0;
        while let Some((first, behind)) = rest.split_first() {
            let mut work = 0;
            let (length, found) = match self.look(*first, rest, last, &mut work) {
                Found::Nothing => (1, false),
                Found::Form { length } => (length, true),
                Found::TooEarly => {
                    // Each further look at this place costs as much as there is by then: the next one is when there is twice as much.
                    self.wait_for = rest.len() * 2;
                    break;
                }
            };
            // Only what decided counts, so that the same is closed whatever the chunks.
            self.work = self.work.saturating_add(work);
            if self.work > WORK.saturating_add(self.done.saturating_mul(WORK_PER_BYTE)) {
                self.is_closed = true;
                out.extend_from_slice(&self.mask);
                return;
            }
            self.done = self.done.saturating_add(length as u64);
            if found {
                out.extend_from_slice(&self.mask);
                rest = rest.get(length..).unwrap_or_default();
            } else {
                out.push(*first);
                rest = behind;
            }
        }
        self.pending = SecretBuf::copy_of(rest);
    }

    /// What starts at the start of `text`. Adds the comparisons that it took to `work`.
    fn look(&self, first: u8, text: &[u8], last: bool, work: &mut u64) -> Found {
        if !self.starts.get(usize::from(first)).copied().unwrap_or(false) {
            return Found::Nothing;
        }
        let Some(key) = text.first_chunk::<KEY>() else {
            return if last { Found::Nothing } else { Found::TooEarly };
        };
        let unbroken = match unbroken_key(text) {
            Ok(key) => key,
            Err(()) if last => None,
            Err(()) => return Found::TooEarly,
        };
        let mut longest = 0;
        let keys = std::iter::once(key).chain(unbroken.as_ref());
        for (number, form) in keys.filter_map(|key| self.index.get(key)).flatten() {
            let sought = self.sought.get(*number).map(|sought| sought.text).unwrap_or_default();
            match compare(*form, sought, text, work) {
                Found::Form { length } => longest = longest.max(length),
                Found::TooEarly if !last => return Found::TooEarly,
                Found::TooEarly | Found::Nothing => {}
            }
        }
        match hash_at(text, work) {
            Found::Form { length } => longest = longest.max(length),
            Found::TooEarly if !last => return Found::TooEarly,
            Found::TooEarly | Found::Nothing => {}
        }
        if longest > 0 { Found::Form { length: longest } } else { Found::Nothing }
    }
}

/// The key of what starts there in a form that a program broke into lines or groups; `None` where it is the first bytes as they are, `Err`
/// where the text ends before that is sure.
fn unbroken_key(text: &[u8]) -> Result<Option<[u8; KEY]>, ()> {
    let mut key = [0; KEY];
    let mut at = 0;
    for (number, place) in key.iter_mut().enumerate() {
        if number > 0 {
            at += break_at(text, at);
            at += space_at(text, at);
        }
        *place = *text.get(at).ok_or(())?;
        at += 1;
    }
    Ok((at > KEY).then_some(key))
}

/// How long the line break is that stands there: at most one, of one byte or two, so that what is held back meanwhile has an end.
fn break_at(text: &[u8], at: usize) -> usize {
    let carriage = usize::from(text.get(at) == Some(&b'\r'));
    carriage + usize::from(text.get(at + carriage) == Some(&b'\n'))
}

/// 1 if a blank or a colon stands there.
fn space_at(text: &[u8], at: usize) -> usize {
    usize::from(matches!(text.get(at), Some(b' ' | b':')))
}

/// A password's hash as crypt(5) writes it: `$6$salt$` and 86 digits, or `$2b$`, its cost, `$` and 53.
fn hash_at(text: &[u8], work: &mut u64) -> Found {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    let (start, salt, digits) = if text.starts_with(b"$6$") {
        (3, 1..=CRYPT_SALT, 86)
    } else if [b"$2a$", b"$2b$", b"$2y$"].iter().any(|kind| text.starts_with(*kind)) {
        (4, 2..=2, 53)
    } else {
        return Found::Nothing;
    };
    let rest = text.get(start..).unwrap_or_default();
    let length = rest.iter().take(salt.end() + 1).take_while(|byte| is_digit(byte)).count();
    match rest.get(length) {
        None if length <= *salt.end() => return Found::TooEarly,
        Some(b'$') if salt.contains(&length) => {}
        _ => return Found::Nothing,
    }
    let hash = rest.get(length + 1..).unwrap_or_default();
    let found = hash.iter().take(digits).take_while(|byte| is_digit(byte)).count();
    *work = work.saturating_add((length + found) as u64);
    match hash.get(found) {
        _ if found == digits => Found::Form { length: start + length + 1 + digits },
        None => Found::TooEarly,
        Some(_) => Found::Nothing,
    }
}

/// The longest salt of crypt(5)'s sha512crypt.
const CRYPT_SALT: usize = 16;

/// Bytes of an entry in the index, with what the tree around it takes.
const ENTRY: usize = 96;

/// What is sought because of a value: it, it without the white space at its ends, and its long lines.
fn sought_for(value: &[u8]) -> impl Iterator<Item = Sought<'_>> {
    let bare = trimmed(value);
    let whole = [value, bare].into_iter().take(if bare.len() < value.len() { 2 } else { 1 });
    let whole = whole.filter(|text| text.len() >= SHORTEST_SCRUBBED);
    let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines = lines.filter(move |line| line.len() >= SHORTEST_LINE && line.len() < bare.len());
    let whole = whole.map(|text| Sought { text, is_value: true });
    whole.chain(lines.map(|text| Sought { text, is_value: false }))
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

/// Whether `text` starts with that form. Line breaks inside a form that programs wrap, and blanks in hexadecimal, are passed over.
fn compare(form: Form, value: &[u8], text: &[u8], work: &mut u64) -> Found {
    let (mut at, mut number) = (0, 0);
    let result = emit(form, value, &mut |expected| {
        *work = work.saturating_add(1);
        if form.may_be_wrapped_before(number) {
            at += break_at(text, at);
        }
        if form.may_be_spaced_before(number) {
            at += space_at(text, at);
        }
        number += 1;
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
fn choose_mask(sought: &[Sought<'_>]) -> Option<Vec<u8>> {
    // The usual mask starts, ends and is filled with bytes that no text has; forms other than the value itself add ASCII only.
    let edges = [0xe2, 0xb9, 0xba];
    if !sought.iter().any(|one| one.text.iter().any(|byte| edges.contains(byte))) {
        return Some(MASK.as_bytes().to_vec());
    }
    const OTHERS: &[u8] = b"*#@~^!%&=+|$";
    let others = OTHERS.iter().flat_map(|first| OTHERS.iter().map(|last| vec![*first, b'.', b'.', *last]));
    std::iter::once(MASK.as_bytes().to_vec())
        .chain(others)
        .find(|mask| sought.iter().all(|one| is_apart(mask, one)))
}

fn is_apart(mask: &[u8], sought: &Sought<'_>) -> bool {
    sought.forms().all(|form| {
        let mut text = SecretBuf::with_capacity(sought.text.len());
        let _ = emit::<()>(form, sought.text, &mut |byte| {
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
