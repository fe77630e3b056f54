//! Searches bytes for every form of many canaries at once, whole or in fragments, so fast that gigabytes are no matter.
//!
//! Every run of eight bytes of every form is put into a table. A fragment of [`SHORTEST`] bytes holds such a run at one of any five consecutive
//! places, so that only every fifth place of what is searched is looked up, and a filter of bits refuses nearly all of those at once.

use super::canary::{Canary, Kind, MASK};
use super::forms::forms;

/// The shortest fragment that counts. Less is found by chance, or is a word of the policy.
pub const SHORTEST: usize = 12;
const RUN: usize = 8;
/// Every run of [`SHORTEST`] holds a run of eight that begins at a multiple of this.
const STRIDE: usize = SHORTEST - RUN + 1;
/// How many bytes consecutive blocks have to share, so that no fragment hides on a border.
pub const OVERLAP: usize = 64;

struct Form {
    canary: usize,
    name: &'static str,
    masked: Vec<u8>,
    /// The shortest fragment that counts in this form.
    least: usize,
}

/// The shortest fragment that counts in that form: where a byte is written as four letters, twelve of them say three bytes, and those are anywhere.
fn least(name: &str) -> usize {
    match name {
        "escaped hexadecimal" => 32,
        "list of numbers" => 40,
        // Six characters of one long value stand in another by chance.
        "hexadecimal" | "UTF-16, little end first" | "UTF-16, big end first" => 16,
        // One character that is not ASCII can take twelve letters here.
        "JSON in ASCII" | "URL" | "path of a URL" | "URL as encodeURIComponent" | "form" => 16,
        _ => SHORTEST,
    }
}

/// A copy, whole or a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which canary, in the order in which they were given.
    pub canary: usize,
    /// In which form.
    pub form: &'static str,
    /// Where it begins.
    pub at: usize,
    /// How many bytes of the form.
    pub length: usize,
    /// All of the form.
    pub whole: bool,
}

/// Every form of some canaries, ready to be searched for.
pub struct Needles {
    forms: Vec<Form>,
    /// Masked runs in order, and where each stands: form and place.
    runs: Vec<(u64, u32, u32)>,
    bits: Vec<u64>,
    shift: u32,
    /// Those shorter than what counts as a fragment.
    short: Vec<usize>,
}

impl Needles {
    /// All forms of these.
    #[must_use]
    pub fn of<'a>(canaries: impl IntoIterator<Item = &'a Canary>) -> Self {
        let mut all: Vec<Form> = Vec::new();
        for (canary, value) in canaries.into_iter().enumerate() {
            let mut forms = forms(&value.plain());
            if value.kind() == Kind::Three {
                // Four letters of base64 stand in every key and digest by chance: such a canary is looked for as it is.
                forms.truncate(1);
            }
            all.extend(forms.into_iter().map(|(name, mut form)| {
                form.iter_mut().for_each(|byte| *byte ^= MASK);
                Form { canary, name, masked: form, least: least(name) }
            }));
        }
        Self::from_forms(all)
    }

    fn from_forms(forms: Vec<Form>) -> Self {
        let mut runs = Vec::new();
        let mut short = Vec::new();
        for (number, form) in forms.iter().enumerate() {
            if form.masked.len() < SHORTEST {
                short.push(number);
                continue;
            }
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            runs.extend(form.masked.windows(RUN).zip(0_u32..).map(|(run, at)| (word(run), number, at)));
        }
        runs.sort_unstable();
        // Sixteen bits for each run: one place in sixteen passes by chance.
        let width = (runs.len() * 16).next_power_of_two().max(1 << 16).trailing_zeros();
        let mut needles = Self { forms, runs, bits: vec![0; 1 << (width - 6)], shift: 64 - width, short };
        for index in 0..needles.runs.len() {
            let Some(&(key, _, _)) = needles.runs.get(index) else { break };
            let (at, bit) = needles.bit(key);
            if let Some(word) = needles.bits.get_mut(at) {
                *word |= bit;
            }
        }
        needles
    }

    fn bit(&self, key: u64) -> (usize, u64) {
        let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift;
        (usize::try_from(hash >> 6).unwrap_or(0), 1 << (hash & 63))
    }

    /// Copies and fragments of at least [`SHORTEST`] bytes; each place once, by the longest form that stands there.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(run) = bytes.get(at..at + RUN) {
            let key = word(run) ^ u64::from_ne_bytes([MASK; RUN]);
            let (index, bit) = self.bit(key);
            if self.bits.get(index).is_some_and(|word| word & bit != 0)
                && let Some(hit) = self.longest(bytes, at, key)
            {
                at = hit.at + hit.length;
                found.push(hit);
            } else {
                at += STRIDE;
            }
        }
        found
    }

    /// The same and those that are shorter, whole. Only for small texts: three bytes are found by chance in what is large or binary.
    #[must_use]
    pub fn find_in_text(&self, bytes: &[u8]) -> Vec<Found> {
        let mut found = self.find(bytes);
        for form in self.short.iter().filter_map(|number| self.forms.get(*number)) {
            let masked =
                |part: &[u8]| part.iter().zip(&form.masked).all(|(byte, canary)| byte ^ MASK == *canary);
            let hits = bytes.windows(form.masked.len()).enumerate().filter(|(_, part)| masked(part));
            found.extend(hits.map(|(at, part)| Found {
                canary: form.canary,
                form: form.name,
                at,
                length: part.len(),
                whole: true,
            }));
        }
        found
    }

    /// The longest fragment around a run that stands in the table.
    fn longest(&self, bytes: &[u8], at: usize, key: u64) -> Option<Found> {
        let from = self.runs.partition_point(|(each, _, _)| *each < key);
        let places = self.runs.get(from..)?.iter().take_while(|(each, _, _)| *each == key);
        let around = places.filter_map(|(_, number, place)| {
            let form = self.forms.get(usize::try_from(*number).ok()?)?;
            let place = usize::try_from(*place).ok()?;
            let same = |one: usize, other: usize| match (bytes.get(one), form.masked.get(other)) {
                (Some(byte), Some(canary)) => byte ^ MASK == *canary,
                _ => false,
            };
            let before = (1..=place.min(at)).take_while(|back| same(at - back, place - back)).count();
            let after = (0..).take_while(|on| same(at + on, place + on)).count();
            let length = before + after;
            let whole = length == form.masked.len();
            (length >= form.least || whole).then_some(Found {
                canary: form.canary,
                form: form.name,
                at: at - before,
                length,
                whole,
            })
        });
        // As long as another: the one that is whole. Part of an escaped form is as long as a value that begins with what is escaped.
        // The first of those that are alike: the value as it is comes before its other forms.
        around.reduce(
            |best, each| if (each.length, each.whole) > (best.length, best.whole) { each } else { best },
        )
    }
}

fn word(run: &[u8]) -> u64 {
    run.try_into().map_or(0, u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_every_kind_is_found_whole_wherever_it_begins() {
        for kind in Kind::ALL {
            let canary = Canary::fresh(kind).unwrap();
            let needles = Needles::of([&canary]);
            for (name, form) in forms(&canary.plain()) {
                for shift in 0..7 {
                    let text = [&b"#######"[..shift], &form, b"####"].concat();
                    let found = needles.find_in_text(&text);
                    let hit =
                        found.iter().any(|hit| hit.length == form.len() && hit.at == shift && hit.whole);
                    let expected = kind != Kind::Three || name == "raw";
                    assert_eq!(hit, expected, "{kind:?} {name} {shift} {found:?}");
                }
            }
        }
    }

    #[test]
    fn a_value_that_begins_with_what_some_form_escapes_is_found_whole() {
        for begin in ["-", "~", "#", " ", "\"", "^"] {
            let value = format!("{begin}kE93nXq0aZ7LmPw2RtYbVc8");
            let found = Needles::of([&Canary::of(Kind::Plain, value.as_bytes())]).find(value.as_bytes());
            assert!(found.len() == 1 && found[0].whole, "{begin}: {found:?}");
        }
    }

    #[test]
    fn a_fragment_counts_from_twelve_bytes_wherever_it_stands() {
        let canary = Canary::fresh(Kind::SixtyFour).unwrap();
        let needles = Needles::of([&canary]);
        let value = canary.plain();
        for from in 0..=value.len() - SHORTEST {
            for shift in 0..STRIDE {
                let mut text = vec![b'#'; 64];
                text[shift..shift + SHORTEST].copy_from_slice(&value[from..from + SHORTEST]);
                let found = needles.find(&text);
                assert_eq!(found.len(), 1, "{from} {shift}");
                assert_eq!((found[0].at, found[0].length, found[0].form), (shift, SHORTEST, "raw"));
                assert_eq!(needles.find(&text[..shift + SHORTEST - 1]), [], "{from} {shift}");
            }
        }
    }

    #[test]
    fn a_value_is_found_whole_though_another_form_ends_as_it_does() {
        // As a regular expression it begins with a backslash more.
        let canary = Canary::of(Kind::Plain, b"-Hn2kqv81mZrT5-x");
        assert!(Needles::of([&canary]).find(&canary.plain())[0].whole);
    }

    #[test]
    fn each_line_of_a_canary_is_found_alone() {
        let canary = Canary::fresh(Kind::Lines).unwrap();
        let needles = Needles::of([&canary]);
        let text = String::from_utf8(canary.plain()).unwrap();
        for line in text.lines() {
            assert_eq!(needles.find(format!("    {line}\n").as_bytes()).len(), 1);
        }
    }

    #[test]
    fn the_canary_of_three_bytes_is_found_in_text_and_not_elsewhere() {
        let canary = Canary::fresh(Kind::Three).unwrap();
        let needles = Needles::of([&canary]);
        let text = [b"value=".as_slice(), &canary.plain(), b"\n"].concat();
        assert_eq!(needles.find_in_text(&text).len(), 1);
        assert_eq!(needles.find(&text), []);
    }

    #[test]
    fn another_value_is_not_found() {
        let ours = Canary::one_of_each().unwrap();
        let needles = Needles::of(&ours);
        for other in Canary::one_of_each().unwrap().iter().filter(|other| other.kind() != Kind::Three) {
            for (name, form) in forms(&other.plain()) {
                assert_eq!(needles.find(&form), [], "{:?} {name}", other.kind());
            }
        }
    }

    #[test]
    fn sixty_four_megabytes_take_well_under_five_seconds() {
        let ours = Canary::one_of_each().unwrap();
        let needles = Needles::of(&ours);
        let mut state = 7_u64;
        let random = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        });
        let block: Vec<u8> = random.take(64 << 20).collect();
        let started = std::time::Instant::now();
        assert_eq!(needles.find(&block), []);
        // It takes a tenth of a second; the bound is loose because the machine may be busy.
        assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    }
}
