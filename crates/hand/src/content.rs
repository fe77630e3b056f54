//! A long text with secrets in it, on its way from a caller to the hand: literals in an anonymous file, slots by index.
//!
//! The caller writes it with [`send`]; the hand reads it through a window with [`Cursor`], as often as it needs, and never as a whole.
//! The form is told at [`wire::Content`].

use crate::HandError;
use crate::client::message;
use rustix::fs::{MemfdFlags, memfd_create};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use vigo_base::{Piece, Pieces, Slot, limits};
use vigo_wire::hand as wire;

/// Set in a length: it is the index of a slot.
const SLOT: u32 = 1 << 31;
/// Bytes of a length.
const HEAD: u64 = 4;

/// What a target is to hold: these pieces, or what an edit that puts them in makes of what it holds.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The text of the policy.
    pub pieces: &'a Pieces,
    /// How it is put into what is there; `None`: it takes its place.
    pub edit: Option<&'a vigo_edit::Edit>,
}

impl<'a> From<&'a Pieces> for Wanted<'a> {
    fn from(pieces: &'a Pieces) -> Self {
        Self { pieces, edit: None }
    }
}

/// Writes pieces into an anonymous file for the hand. They hold no value, so ordinary memory will do.
pub(crate) fn send(wanted: Wanted<'_>, resource: &str) -> Result<(wire::Content, OwnedFd), HandError> {
    let pieces = wanted.pieces;
    let what = "give a content to the hand";
    let prepare = |source| HandError::Prepare { what: "make an anonymous file", source };
    if pieces.literal_len() > limits::RENDERED {
        let why = format!("it has {} bytes, {} are the limit", pieces.literal_len(), limits::RENDERED);
        return Err(HandError::Request { what, why });
    }
    let file = memfd_create(c"vigo-content", MemfdFlags::CLOEXEC).map_err(|errno| prepare(errno.into()))?;
    let mut out = io::BufWriter::new(std::fs::File::from(file));
    let (mut slots, mut size): (Vec<&Slot>, u64) = (Vec::new(), 0);
    for piece in pieces.as_slice() {
        let (head, text) = match piece {
            Piece::Literal(text) => (u32::try_from(text.len()).unwrap_or(SLOT - 1), text.as_str()),
            Piece::Slot(slot) => (SLOT | index_of(&mut slots, slot), ""),
        };
        out.write_all(&head.to_le_bytes()).and_then(|()| out.write_all(text.as_bytes())).map_err(prepare)?;
        size += HEAD + text.len() as u64;
    }
    let file = out.into_inner().map_err(|error| prepare(error.into_error()))?;
    let slots = slots.into_iter().map(message::slot).collect();
    let edit = wanted.edit.map(message::edit);
    Ok((wire::Content { slots, size, resource: resource.into(), copy: false, edit }, file.into()))
}

/// Describes a file of `size` bytes that the hand is to copy: the caller opened it and read nothing of it.
pub(crate) fn copy_of(size: u64, resource: &str) -> wire::Content {
    wire::Content { slots: Vec::new(), size, resource: resource.into(), copy: true, edit: None }
}

fn index_of<'a>(slots: &mut Vec<&'a Slot>, slot: &'a Slot) -> u32 {
    let index = slots.iter().position(|known| *known == slot).unwrap_or_else(|| {
        slots.push(slot);
        slots.len() - 1
    });
    u32::try_from(index).unwrap_or(0)
}

/// What comes next of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// So many bytes of a literal were put into the window; they stand in the file at this offset.
    Literal { length: usize, offset: u64 },
    /// The slot of that index stands here.
    Slot(usize),
    /// Nothing: it is over.
    End,
}

/// Reads a content piece by piece.
pub(crate) struct Cursor<'a, F> {
    file: &'a F,
    size: u64,
    at: u64,
    literal_left: u64,
}

impl<'a, F: AsFd> Cursor<'a, F> {
    pub(crate) const fn new(file: &'a F, size: u64) -> Self {
        Self { file, size, at: 0, literal_left: 0 }
    }

    /// Over a file that is one literal from its first byte to its last.
    pub(crate) const fn over_all(file: &'a F, size: u64) -> Self {
        Self { file, size, at: 0, literal_left: size }
    }

    /// The next bytes of a literal into `window`, or the next slot.
    pub(crate) fn next(&mut self, window: &mut [u8]) -> io::Result<Next> {
        while self.literal_left == 0 {
            if self.at >= self.size {
                return Ok(Next::End);
            }
            let mut head = [0; HEAD as usize];
            read_exact_at(self.file, &mut head, self.at)?;
            self.at += HEAD;
            let head = u32::from_le_bytes(head);
            if head & SLOT != 0 {
                return Ok(Next::Slot((head & !SLOT) as usize));
            }
            self.literal_left = u64::from(head);
        }
        let wanted = usize::try_from(self.literal_left).unwrap_or(usize::MAX).min(window.len());
        let window = window.get_mut(..wanted).unwrap_or_default();
        read_exact_at(self.file, window, self.at)?;
        let offset = self.at;
        self.at += wanted as u64;
        self.literal_left -= wanted as u64;
        Ok(Next::Literal { length: wanted, offset })
    }
}

/// Fills `bytes` from `offset` on.
pub(crate) fn read_exact_at(file: &impl AsFd, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pread(file, &mut *bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                bytes = bytes.get_mut(read..).unwrap_or_default();
                offset += read as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vigo_base::Filter;

    #[test]
    fn pieces_come_back_in_order_through_any_window_and_a_slot_is_named_once() {
        let slot = |path: &str| Slot { path: path.parse().unwrap(), filters: vec![Filter::Base64] };
        let mut pieces = Pieces::literal("0123456789");
        for path in ["a", "b", "a"] {
            pieces.push_slot(slot(path));
            pieces.push_literal("xyz");
        }
        let (content, file) = send((&pieces).into(), "r").unwrap();
        assert_eq!(content.slots.iter().map(|slot| slot.path.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        for size in [1, 3, 4096] {
            let (mut cursor, mut window, mut text) =
                (Cursor::new(&file, content.size), vec![0; size], String::new());
            loop {
                match cursor.next(&mut window).unwrap() {
                    Next::Literal { length, offset } => {
                        text.push_str(std::str::from_utf8(&window[..length]).unwrap());
                        let mut again = vec![0; length];
                        read_exact_at(&file, &mut again, offset).unwrap();
                        assert_eq!(again, window[..length]);
                    }
                    Next::Slot(index) => text.push_str(["<a>", "<b>"][index]),
                    Next::End => break,
                }
            }
            assert_eq!(text, "0123456789<a>xyz<b>xyz<a>xyz");
        }
    }

    #[test]
    fn a_content_that_is_cut_off_is_an_error() {
        let (content, file) = send((&Pieces::literal("hello")).into(), "r").unwrap();
        let mut cursor = Cursor::new(&file, content.size + 1);
        assert_eq!(cursor.next(&mut [0; 9]).unwrap(), Next::Literal { length: 5, offset: 4 });
        assert!(cursor.next(&mut [0; 9]).is_err());
    }
}
