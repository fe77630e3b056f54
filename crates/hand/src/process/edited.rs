//! Targets of which only a part is managed: what is there is read, edited and compared here, so that neither it nor a value leaves.

use super::diff::Line;
use super::files::Target;
use super::filled::{Chunk, Filled, Stream};
use super::refused::Refused;
use super::state::State;
use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use vigo_edit::{Arguments, Edit, LARGEST, Operand, Part};
use vigo_secret::SecretBuf;
use vigo_wire::hand::{self as wire, FailureCode};

/// After this the search for the shortest diff ends and takes what it has.
const PATIENCE: Duration = Duration::from_secs(1);
/// Lines of the operand that are shown.
const SHOWN: usize = 200;

/// What a target is to hold after an edit.
pub(super) struct Edited {
    /// `None`: what it holds.
    pub(super) text: Option<SecretBuf>,
    /// What differs: how many lines go, and of the new ones the policy's own text.
    pub(super) lines: Vec<Line>,
}

/// What an edit makes of a target; of one that is missing, of an empty text.
pub(super) fn of(
    state: &mut State,
    content: &wire::Content,
    edit: &wire::Edit,
    file: &OwnedFd,
    filled: &Filled,
    target: Option<&Target>,
) -> Result<Edited, Refused> {
    let edit = decoded(edit)?;
    let size = target.map_or(0, Target::size);
    if size.max(content.size) > LARGEST as u64 {
        let text = format!("cannot edit a file of more than {LARGEST} bytes");
        return Err(Refused::new(FailureCode::Author, text));
    }
    state.make_room(edit.room(usize::try_from(size + content.size).unwrap_or(usize::MAX)))?;
    let there = match target {
        Some(target) => target.read().map_err(|error| target.unreadable(&error))?,
        None => SecretBuf::with_capacity(0),
    };
    let pieces = read_pieces(Stream::of(file, content, filled))?;
    let parts: Vec<Part<'_>> = pieces.iter().map(Piece::part).collect::<Result<_, Refused>>()?;
    let there = text_of(&there, "what is there")?;
    let edited = edit.apply(there, &Operand::new(&parts)).map_err(|error| refused(&error))?;
    let Some(edited) = edited.map(String::into_bytes).map(SecretBuf::from_vec) else {
        return Ok(Edited { text: None, lines: Vec::new() });
    };
    let lines = lines(there, text_of(&edited, "the result")?, &pieces, filled);
    Ok(Edited { text: Some(edited), lines })
}

fn decoded(edit: &wire::Edit) -> Result<Edit, Refused> {
    let arguments = edit.arguments.iter().map(|one| (one.name.clone(), one.value.clone())).collect();
    Edit::from_arguments(&edit.kind, Arguments::new(arguments))
        .map_err(|_| Refused::bug("cannot carry out an edit that there is not"))
}

fn refused(error: &vigo_edit::EditError) -> Refused {
    let help = error.help();
    let text = if help.is_empty() { error.to_string() } else { format!("{error}; {help}") };
    Refused::new(FailureCode::Author, text)
}

fn text_of<'a>(bytes: &'a SecretBuf, what: &str) -> Result<&'a str, Refused> {
    std::str::from_utf8(bytes.expose())
        .map_err(|_| Refused::new(FailureCode::Author, format!("cannot edit: {what} is not text in UTF-8")))
}

/// One piece of the operand.
struct Piece {
    bytes: SecretBuf,
    /// The slot that it stands in.
    slot: Option<usize>,
}

impl Piece {
    fn part(&self) -> Result<Part<'_>, Refused> {
        let what = if self.slot.is_some() { "the secret" } else { "the text" };
        let text = text_of(&self.bytes, what)?;
        Ok(if self.slot.is_some() { Part::Value(text) } else { Part::Literal(text) })
    }
}

fn read_pieces(mut stream: Stream<'_>) -> Result<Vec<Piece>, Refused> {
    let failed = |error: std::io::Error| Refused::machine("cannot read what is to be put in", &error);
    let mut window = SecretBuf::zeroed(super::files::WINDOW);
    let mut pieces: Vec<Piece> = Vec::new();
    loop {
        let (slot, first, length) = match stream.next(window.expose_mut()).map_err(failed)? {
            Chunk::Literal { length, .. } => (None, false, length),
            Chunk::Secret { length, index, first } => (Some(index), first, length),
            Chunk::End => return Ok(pieces),
        };
        let bytes = window.expose().get(..length).unwrap_or_default();
        match pieces.last_mut() {
            Some(last) if last.slot == slot && !first => last.bytes.append(bytes),
            _ => pieces.push(Piece { bytes: SecretBuf::copy_of(bytes), slot }),
        }
    }
}

/// What is shown of the difference: nothing of what is there, and of what is put in the policy's own text.
fn lines(there: &str, edited: &str, pieces: &[Piece], filled: &Filled) -> Vec<Line> {
    let (old, new): (Vec<&str>, Vec<&str>) =
        (there.split_inclusive('\n').collect(), edited.split_inclusive('\n').collect());
    let deadline = Some(Instant::now() + PATIENCE);
    let (mut removed, mut added) = (0, 0);
    for step in capture_diff_slices_deadline(Algorithm::Myers, &old, &new, deadline) {
        let (less, more) = match step {
            DiffOp::Equal { .. } => (0, 0),
            DiffOp::Delete { old_len, .. } => (old_len, 0),
            DiffOp::Insert { new_len, .. } => (0, new_len),
            DiffOp::Replace { old_len, new_len, .. } => (old_len, new_len),
        };
        removed += less as u64;
        added += more as u64;
    }
    let mut lines = Vec::new();
    lines.extend((removed > 0).then_some(Line::RemovedHidden(removed)));
    if added > 0 {
        lines.extend(shown(pieces, filled));
    }
    lines
}

/// The operand as the policy has it, with names where secrets stand.
fn shown(pieces: &[Piece], filled: &Filled) -> Vec<Line> {
    let mut text = String::new();
    for piece in pieces {
        match piece.slot {
            Some(index) => text.push_str(filled.label(index)),
            None => text.push_str(&String::from_utf8_lossy(piece.bytes.expose())),
        }
    }
    let secret = pieces.iter().any(|piece| piece.slot.is_some());
    let line = |line: &str| {
        let line = line.chars().take(super::diff::WIDTH).collect();
        if secret { Line::AddedSecret(line) } else { Line::Added(line) }
    };
    text.lines().take(SHOWN).map(line).collect()
}
