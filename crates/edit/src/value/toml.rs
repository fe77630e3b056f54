//! TOML by `toml_edit`, which keeps what it does not change.

use super::key::Step;
use super::place;
use super::tree::{Tree, VALUES, wrapped};
use crate::EditError;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

/// The value of a file: a map.
pub(super) fn read(text: &str) -> Result<Tree, EditError> {
    let document = parse(text)?;
    let mut values = 0;
    table(document.as_table(), &mut values)
}

/// The text with that value in its place, or without it.
pub(super) fn edit(text: &str, steps: &[Step], wanted: Option<&Tree>) -> Result<String, EditError> {
    let mut document = parse(text)?;
    set(document.as_item_mut(), steps, 0, wanted)?;
    let edited = document.to_string();
    // It ends lines in one way only.
    Ok(if text.contains("\r\n") { edited.replace("\r\n", "\n").replace('\n', "\r\n") } else { edited })
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        // What it says of it repeats what stands there.
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        EditError::Malformed { format: "TOML", line, why: "it is no TOML" }
    })
}

fn table(table: &dyn TableLike, values: &mut usize) -> Result<Tree, EditError> {
    let members = table.iter().map(|(name, found)| Ok((name.to_owned(), item(found, values)?)));
    Ok(Tree::Map(members.collect::<Result<_, EditError>>()?))
}

fn item(found: &Item, values: &mut usize) -> Result<Tree, EditError> {
    *values += 1;
    if *values > VALUES {
        return Err(EditError::TooMany);
    }
    match found {
        Item::None => Ok(Tree::Null),
        Item::Value(found) => value(found, values),
        Item::Table(found) => table(found, values),
        Item::ArrayOfTables(tables) => {
            Ok(Tree::List(tables.iter().map(|found| table(found, values)).collect::<Result<_, EditError>>()?))
        }
    }
}

fn value(found: &Value, values: &mut usize) -> Result<Tree, EditError> {
    *values += 1;
    if *values > VALUES {
        return Err(EditError::TooMany);
    }
    Ok(match found {
        Value::String(text) => Tree::Text(text.value().clone()),
        Value::Integer(number) => Tree::Integer(i128::from(*number.value())),
        Value::Float(number) => Tree::Number(*number.value()),
        Value::Boolean(flag) => Tree::Boolean(*flag.value()),
        Value::Datetime(time) => Tree::Other(time.value().to_string()),
        Value::Array(items) => {
            Tree::List(items.iter().map(|found| value(found, values)).collect::<Result<_, EditError>>()?)
        }
        Value::InlineTable(found) => table(found, values)?,
    })
}

/// Goes to the place and changes it; [`Tree::with`] has seen that there is one.
fn set(at: &mut Item, steps: &[Step], number: usize, wanted: Option<&Tree>) -> Result<(), EditError> {
    let Some(step) = steps.get(number) else { return Ok(()) };
    let rest = steps.get(number + 1..).unwrap_or_default();
    if let Some(tables) = at.as_array_of_tables_mut() {
        let index = step.index().unwrap_or(usize::MAX);
        match (tables.get_mut(index), wanted) {
            (Some(found), _) if rest.is_empty() => *found = as_table(steps, number, wanted)?,
            (Some(found), _) => {
                let mut inner = Item::Table(std::mem::take(found));
                set(&mut inner, steps, number + 1, wanted)?;
                *found = inner.into_table().map_err(|_| UNFORESEEN)?;
            }
            (None, None) => {}
            (None, Some(_)) => tables.push(as_table(steps, number, wanted)?),
        }
        return Ok(());
    }
    if let Some(items) = at.as_array_mut() {
        return set_element(items, steps, number, wanted);
    }
    let is_inline = at.is_inline_table();
    let Some(members) = at.as_table_like_mut() else { return Err(UNFORESEEN) };
    match (members.get_mut(&step.name), wanted) {
        (Some(_), None) if rest.is_empty() => drop(members.remove(&step.name)),
        (Some(found), Some(wanted)) if rest.is_empty() => replace(found, wanted, steps, number)?,
        (Some(found), _) => set(found, steps, number + 1, wanted)?,
        (None, None) => {}
        (None, Some(wanted)) => {
            let made = made(&wrapped(rest, wanted), is_inline, steps, number)?;
            members.insert(&step.name, made);
        }
    }
    Ok(())
}

const UNFORESEEN: EditError = EditError::Unforeseen { format: "TOML" };

/// Another value in the place of one, with the blanks and the comment around it.
fn replace(found: &mut Item, wanted: &Tree, steps: &[Step], number: usize) -> Result<(), EditError> {
    let mut new = made(wanted, found.is_value(), steps, number)?;
    if let (Some(old), Some(new)) = (found.as_value(), new.as_value_mut()) {
        *new.decor_mut() = old.decor().clone();
    }
    *found = new;
    Ok(())
}

fn set_element(
    items: &mut Array,
    steps: &[Step],
    number: usize,
    wanted: Option<&Tree>,
) -> Result<(), EditError> {
    let index = steps.get(number).and_then(Step::index).unwrap_or(usize::MAX);
    let rest = steps.get(number + 1..).unwrap_or_default();
    match (items.get_mut(index), wanted) {
        (Some(found), _) => {
            let decor = found.decor().clone();
            let mut inner = Item::Value(found.clone());
            match wanted {
                Some(wanted) if rest.is_empty() => inner = made(wanted, true, steps, number)?,
                _ => set(&mut inner, steps, number + 1, wanted)?,
            }
            *found = inner.into_value().map_err(|_| UNFORESEEN)?;
            *found.decor_mut() = decor;
        }
        (None, None) => {}
        (None, Some(wanted)) => {
            let mut new =
                made(&wrapped(rest, wanted), true, steps, number)?.into_value().map_err(|_| UNFORESEEN)?;
            // As the one before it is written: on its line, or on one of its own.
            if let Some(last) = items.iter().last() {
                *new.decor_mut() = last.decor().clone();
                items.push_formatted(new);
            } else {
                items.push(new);
            }
        }
    }
    Ok(())
}

fn as_table(steps: &[Step], number: usize, wanted: Option<&Tree>) -> Result<Table, EditError> {
    let rest = steps.get(number + 1..).unwrap_or_default();
    let wanted = wanted.map(|wanted| wrapped(rest, wanted)).ok_or(UNFORESEEN)?;
    let why = "is one of several tables, and only a map can stand there";
    made(&wanted, false, steps, number)?
        .into_table()
        .map_err(|_| EditError::NoPlace { at: place(steps, number), why })
}

/// A value anew; a map is a table with a heading, unless it has to be inline.
fn made(wanted: &Tree, is_inline: bool, steps: &[Step], number: usize) -> Result<Item, EditError> {
    if let (Tree::Map(members), false) = (wanted, is_inline) {
        let mut table = Table::new();
        // A table of tables alone needs no heading of its own.
        table.set_implicit(
            !members.is_empty() && members.iter().all(|(_, value)| matches!(value, Tree::Map(_))),
        );
        for (name, value) in members {
            table.insert(name, made(value, false, steps, number)?);
        }
        return Ok(Item::Table(table));
    }
    inline(wanted).map(Item::Value).ok_or_else(|| EditError::NoPlace {
        at: place(steps, number),
        why: "cannot be written in TOML, which has no null and no integers of more than 64 bits",
    })
}

fn inline(wanted: &Tree) -> Option<Value> {
    Some(match wanted {
        Tree::Null | Tree::Other(_) => return None,
        Tree::Boolean(flag) => Value::from(*flag),
        Tree::Integer(number) => Value::from(i64::try_from(*number).ok()?),
        Tree::Number(number) => Value::from(*number),
        Tree::Text(text) => Value::from(text.as_str()),
        Tree::List(items) => Value::Array(items.iter().map(inline).collect::<Option<Array>>()?),
        Tree::Map(members) => {
            let mut table = InlineTable::new();
            for (name, value) in members {
                table.insert(name, inline(value)?);
            }
            Value::InlineTable(table)
        }
    })
}
