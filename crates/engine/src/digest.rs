//! The digest of a resource's attributes: what the policy says, secrets by their names. Nothing of a value goes into it.

use vigo_base::{Digest, Piece, Pieces, Value};

/// The digest of rendered attributes, whatever order they are written in.
pub(crate) fn of(attributes: &[(String, Value)]) -> Digest {
    let mut sorted: Vec<&(String, Value)> = attributes.iter().collect();
    sorted.sort_unstable_by(|left, right| left.0.cmp(&right.0));
    let mut bytes = Vec::new();
    for (name, value) in sorted {
        push_text(&mut bytes, name);
        push(&mut bytes, value);
    }
    Digest::of(&bytes)
}

/// Every part carries its kind and its length, so that no two values have the same bytes.
fn push(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(b'0'),
        Value::Boolean(truth) => bytes.extend([b'b', u8::from(*truth)]),
        Value::Integer(number) => {
            bytes.push(b'i');
            bytes.extend(number.to_le_bytes());
        }
        Value::Number(number) => {
            bytes.push(b'n');
            bytes.extend(number.to_le_bytes());
        }
        Value::Text(pieces) => push_pieces(bytes, pieces),
        Value::List(items) => {
            bytes.push(b'l');
            push_length(bytes, items.len());
            items.iter().for_each(|item| push(bytes, item));
        }
        Value::Map(entries) => {
            bytes.push(b'm');
            push_length(bytes, entries.len());
            for (name, value) in entries {
                push_text(bytes, name);
                push(bytes, value);
            }
        }
    }
}

fn push_pieces(bytes: &mut Vec<u8>, pieces: &Pieces) {
    bytes.push(b't');
    push_length(bytes, pieces.as_slice().len());
    for piece in pieces.as_slice() {
        match piece {
            Piece::Literal(text) => {
                bytes.push(b'=');
                push_text(bytes, text);
            }
            Piece::Slot(slot) => {
                bytes.push(b'$');
                push_text(bytes, slot.path.as_str());
                push_length(bytes, slot.filters.len());
                slot.filters.iter().for_each(|filter| push_text(bytes, filter.name()));
            }
        }
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    push_length(bytes, text.len());
    bytes.extend(text.as_bytes());
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend((length as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use vigo_base::Slot;

    #[test]
    fn the_order_of_attributes_does_not_count_and_everything_else_does() {
        let one = ("mode".to_owned(), Value::text("0640"));
        let two = ("owner".to_owned(), Value::text("root"));
        assert_eq!(of(&[one.clone(), two.clone()]), of(&[two.clone(), one.clone()]));
        assert_ne!(of(std::slice::from_ref(&one)), of(&[one, two]));
    }

    #[test]
    fn a_literal_that_looks_like_a_secret_is_not_one() {
        let slot = Slot { path: "a".parse().unwrap(), filters: Vec::new() };
        let mut pieces = Pieces::default();
        pieces.push_slot(slot.clone());
        let secret = ("content".to_owned(), Value::Text(pieces));
        let literal = ("content".to_owned(), Value::text(slot.to_string()));
        assert_ne!(of(&[secret]), of(&[literal]));
    }
}
