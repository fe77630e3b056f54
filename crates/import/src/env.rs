//! `.env`: lines of `NAME=value`, as shells, Docker and the dotenv libraries agree on. Nothing is expanded: `$` and backquotes are themselves.

use crate::leaf::{Leaf, Sort, Step};
use crate::{ImportError, VALUES};
use std::collections::HashSet;
use zeroize::Zeroizing;

/// A name is no longer than that: what is longer is no variable.
const NAME: usize = 128;

/// Reads all of it.
///
/// # Errors
/// When a line is no assignment, a quote does not end, or a name stands there twice.
pub(crate) fn read(text: &str) -> Result<Vec<Leaf>, ImportError> {
    let (mut rest, mut line) = (text, 1);
    let (mut leaves, mut seen) = (Vec::new(), HashSet::new());
    while !rest.is_empty() {
        let wrong = |why| ImportError::Malformed { format: ".env", line, why };
        let begin = rest.trim_start_matches([' ', '\t']);
        let whole = begin.split('\n').next().unwrap_or_default();
        let end = if whole.trim_end().is_empty() || whole.starts_with('#') {
            whole.len()
        } else {
            let assignment = begin.strip_prefix("export ").unwrap_or(begin).trim_start_matches([' ', '\t']);
            let (name, value) = assignment.split_once('=').ok_or(wrong("no `NAME=value`"))?;
            let name = name.trim_end_matches([' ', '\t']);
            if !is_name(name) {
                return Err(wrong("no `NAME=value`"));
            }
            let (value, after) = value_of(value).map_err(wrong)?;
            if !seen.insert(name.to_owned()) {
                return Err(ImportError::Duplicate { key: name.into() });
            }
            if leaves.len() >= VALUES {
                return Err(ImportError::Limit { what: "values", most: VALUES });
            }
            leaves.push(Leaf { at: vec![Step::Name(name.into())], sort: Sort::Text, text: value });
            begin.len() - after.len()
        };
        let (done, after) = begin.split_at_checked(end).unwrap_or((begin, ""));
        line += done.matches('\n').count() + 1;
        rest = after.strip_prefix('\n').unwrap_or_default();
    }
    // `c2VjcmV0=` is no assignment but a value that ends like one: its beginning would be told as a name.
    if leaves.iter().all(|leaf| matches!(leaf.text.as_slice(), b"" | b"=")) {
        return Err(ImportError::Malformed { format: ".env", line: 0, why: "no name has a value" });
    }
    Ok(leaves)
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= NAME
        && bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// The value, and what is behind it, from the end of its last line on.
fn value_of(text: &str) -> Result<(Zeroizing<Vec<u8>>, &str), &'static str> {
    let text = text.trim_start_matches([' ', '\t']);
    if let Some(quoted) = text.strip_prefix('\'') {
        let (value, after) = quoted.split_once('\'').ok_or("a quote that does not end")?;
        return Ok((Zeroizing::new(value.as_bytes().to_vec()), behind(after)?));
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, after) = unescaped(quoted)?;
        return Ok((value, behind(after)?));
    }
    let line = text.split('\n').next().unwrap_or_default();
    let after = text.get(line.len()..).unwrap_or_default();
    // A `#` begins a comment where a space stands before it.
    let comment = line
        .char_indices()
        .zip(line.chars().skip(1))
        .find(|((_, one), next)| matches!(one, ' ' | '\t') && *next == '#');
    let value = match comment {
        _ if line.starts_with('#') => "",
        Some(((place, _), _)) => line.get(..place).unwrap_or_default(),
        None => line,
    };
    Ok((Zeroizing::new(value.trim_end().as_bytes().to_vec()), after))
}

/// Between double quotes: `\n`, `\r`, `\t`, and a backslash before `\`, `"` and `$`; before anything else it is itself.
fn unescaped(text: &str) -> Result<(Zeroizing<Vec<u8>>, &str), &'static str> {
    let mut value = Zeroizing::new(Vec::with_capacity(text.len().min(crate::FILE)));
    let mut bytes = text.bytes().enumerate();
    while let Some((place, byte)) = bytes.next() {
        match byte {
            b'"' => return Ok((value, text.get(place + 1..).unwrap_or_default())),
            b'\\' => match bytes.next().ok_or("a quote that does not end")?.1 {
                b'n' => value.push(b'\n'),
                b'r' => value.push(b'\r'),
                b't' => value.push(b'\t'),
                escaped @ (b'\\' | b'"' | b'$') => value.push(escaped),
                other => value.extend([b'\\', other]),
            },
            other => value.push(other),
        }
    }
    Err("a quote that does not end")
}

/// What is behind a closing quote: a comment at most.
fn behind(after: &str) -> Result<&str, &'static str> {
    let line = after.split('\n').next().unwrap_or_default();
    let trimmed = line.trim_start();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        Ok(after.get(line.len()..).unwrap_or_default())
    } else {
        Err("something behind the closing quote")
    }
}
