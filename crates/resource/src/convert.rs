//! Rendered values into the types of attributes. Whatever is no such value is a problem that says what would be.

use crate::{AttributeInfo, AttributeProblem, Kind};
use vigo_base::{AbsolutePath, Mode, ModeError, Piece, Pieces, Value};

/// A command as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandValue {
    /// Text for a shell.
    Text(Pieces),
    /// A program and its arguments.
    Arguments(Vec<Pieces>),
}

/// What reads a command's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shell {
    /// That program.
    Program(AbsolutePath),
    /// Nobody: the command is a list of arguments.
    None,
}

type Converted<T> = Result<T, AttributeProblem>;

/// Whether `value` may stand in the attribute.
pub(crate) fn check(info: &AttributeInfo, value: Value) -> Converted<()> {
    if value == Value::Null {
        return Ok(());
    }
    refuse_secrets(info, &value)?;
    match info.kind {
        Kind::Text => pieces(info, value).map(drop),
        Kind::User | Kind::Group => text(info, value).map(drop),
        Kind::Boolean => boolean(info, value).map(drop),
        Kind::Integer { .. } => integer(info, value).map(drop),
        Kind::Integers { .. } => integers(info, value).map(drop),
        Kind::Mode => mode(info, value).map(drop),
        Kind::Umask => umask(info, value).map(drop),
        Kind::Path => path(info, value).map(drop),
        Kind::Choice(_) => choice(info, value).map(drop),
        Kind::Environment => environment(info, value).map(drop),
        Kind::Credentials => credentials(info, value).map(drop),
        Kind::Command => command(info, value).map(drop),
        Kind::Commands => commands(info, value).map(drop),
        Kind::Value => json(info, value).map(drop),
        Kind::Shell => shell(info, value).map(drop),
    }
}

/// Says no to a secret where none may stand.
pub(crate) fn refuse_secrets(info: &AttributeInfo, value: &Value) -> Converted<()> {
    if info.secrets.takes_secret() {
        return Ok(());
    }
    match value.slots().first() {
        None => Ok(()),
        Some(slot) => Err(AttributeProblem::new(
            info.name,
            format!("a secret may not stand here (`secret:{}`)", slot.path),
        )
        .help("secrets may stand in the content of a file, and in `stdin`, `credentials` and `environment` of a command")),
    }
}

pub(crate) fn pieces(info: &AttributeInfo, value: Value) -> Converted<Pieces> {
    match value {
        Value::Text(pieces) => Ok(pieces),
        Value::Boolean(written) => Ok(Pieces::literal(written.to_string())),
        Value::Integer(number) => Ok(Pieces::literal(number.to_string())),
        Value::Number(number) => Ok(Pieces::literal(number.to_string())),
        other => Err(wrong(info, &other)),
    }
}

/// A value in JSON. Slots stand inside of its strings.
pub(crate) fn json(_: &AttributeInfo, value: Value) -> Converted<Pieces> {
    let mut out = Pieces::default();
    push_json(value, &mut out);
    Ok(out)
}

fn push_json(value: Value, out: &mut Pieces) {
    let literal = |text: &str, out: &mut Pieces| {
        let mut escaped = String::new();
        vigo_edit::escape_json(text, &mut escaped);
        out.push_literal(escaped);
    };
    match value {
        Value::Null => out.push_literal("null"),
        Value::Boolean(flag) => out.push_literal(if flag { "true" } else { "false" }),
        Value::Integer(number) => out.push_literal(number.to_string()),
        Value::Number(number) => out.push_literal(format!("{number:?}")),
        Value::Text(pieces) => {
            out.push_literal("\"");
            for piece in pieces.as_slice() {
                match piece {
                    Piece::Literal(text) => literal(text, out),
                    Piece::Slot(slot) => out.push_slot(slot.clone()),
                }
            }
            out.push_literal("\"");
        }
        Value::List(items) => {
            out.push_literal("[");
            for (number, item) in items.into_iter().enumerate() {
                out.push_literal(if number > 0 { ", " } else { "" });
                push_json(item, out);
            }
            out.push_literal("]");
        }
        Value::Map(members) => {
            out.push_literal("{");
            for (number, (name, member)) in members.into_iter().enumerate() {
                out.push_literal(if number > 0 { ", \"" } else { "\"" });
                literal(&name, out);
                out.push_literal("\": ");
                push_json(member, out);
            }
            out.push_literal("}");
        }
    }
}

pub(crate) fn text(info: &AttributeInfo, value: Value) -> Converted<String> {
    let text = plain(info, value)?;
    if text.is_empty() { Err(AttributeProblem::new(info.name, "cannot be empty")) } else { Ok(text) }
}

pub(crate) fn boolean(info: &AttributeInfo, value: Value) -> Converted<bool> {
    match &value {
        Value::Boolean(written) => Ok(*written),
        Value::Text(pieces) => match pieces.as_literal() {
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            _ => Err(wrong(info, &value)),
        },
        _ => Err(wrong(info, &value)),
    }
}

pub(crate) fn integer(info: &AttributeInfo, value: Value) -> Converted<i64> {
    let (Kind::Integer { least, most } | Kind::Integers { least, most }) = info.kind else {
        return Err(wrong(info, &value));
    };
    let number = match &value {
        Value::Integer(number) => Some(*number),
        Value::Text(pieces) => pieces.as_literal().and_then(|text| text.parse().ok()),
        _ => None,
    };
    match number {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        Some(number) => {
            Err(AttributeProblem::new(info.name, format!("`{number}` is not between {least} and {most}")))
        }
        None => Err(wrong(info, &value)),
    }
}

pub(crate) fn integers(info: &AttributeInfo, value: Value) -> Converted<Vec<i64>> {
    match value {
        Value::List(items) => items.into_iter().map(|item| integer(info, item)).collect(),
        one => integer(info, one).map(|number| vec![number]),
    }
}

pub(crate) fn mode(info: &AttributeInfo, value: Value) -> Converted<Mode> {
    octal(info, value)?
        .parse()
        .map_err(|error: ModeError| AttributeProblem::new(info.name, error.to_string()))
}

pub(crate) fn umask(info: &AttributeInfo, value: Value) -> Converted<u32> {
    let mode = mode(info, value)?;
    if mode.bits() > 0o777 {
        return Err(AttributeProblem::new(info.name, "a umask is at most `0777`"));
    }
    Ok(mode.bits())
}

pub(crate) fn path(info: &AttributeInfo, value: Value) -> Converted<AbsolutePath> {
    plain(info, value)?
        .parse()
        .map_err(|error: vigo_base::PathError| AttributeProblem::new(info.name, error.to_string()))
}

pub(crate) fn choice(info: &AttributeInfo, value: Value) -> Converted<&'static str> {
    match info.kind {
        Kind::Choice(words) => word(info.name, words, &value),
        _ => Err(wrong(info, &value)),
    }
}

/// The word of the list that `value` is.
pub(crate) fn word(name: &str, words: &'static [&'static str], value: &Value) -> Converted<&'static str> {
    let written = match value {
        Value::Text(pieces) => pieces.as_literal().map(str::to_owned),
        Value::Boolean(written) => Some(written.to_string()),
        Value::Integer(written) => Some(written.to_string()),
        _ => None,
    };
    written.and_then(|written| words.iter().find(|word| **word == written).copied()).ok_or_else(|| {
        let message = match value {
            Value::Text(pieces) => format!("`{pieces}` is none of its words"),
            other => format!("cannot be {}", other.kind()),
        };
        AttributeProblem::new(name, message).help(match words {
            [] => "this type has none".to_owned(),
            words => format!("write one of {}", words.join(", ")),
        })
    })
}

pub(crate) fn environment(info: &AttributeInfo, value: Value) -> Converted<Vec<(String, Pieces)>> {
    let Value::Map(entries) = value else { return Err(wrong(info, &value)) };
    let mut variables = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        if !is_variable_name(&name) {
            return Err(AttributeProblem::new(info.name, format!("`{name}` is no name of a variable"))
                .help("letters, digits and `_`, not starting with a digit"));
        }
        let value = pieces(info, value)?;
        refuse_nul(info, &value)?;
        variables.push((name, value));
    }
    Ok(variables)
}

pub(crate) fn credentials(info: &AttributeInfo, value: Value) -> Converted<Vec<(String, Pieces)>> {
    let Value::Map(entries) = value else { return Err(wrong(info, &value)) };
    let mut files = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        if !vigo_base::is_credential_name(&name) {
            return Err(AttributeProblem::new(info.name, format!("`{name}` is no name of a credential"))
                .help("letters, digits, `_`, `-` and `.`, 100 of them at most"));
        }
        files.push((name, pieces(info, value)?));
    }
    Ok(files)
}

pub(crate) fn command(info: &AttributeInfo, value: Value) -> Converted<CommandValue> {
    let command = match value {
        Value::List(items) => {
            let arguments: Converted<Vec<Pieces>> =
                items.into_iter().map(|item| pieces(info, item)).collect();
            CommandValue::Arguments(arguments?)
        }
        other => CommandValue::Text(pieces(info, other)?),
    };
    let (parts, first): (&[Pieces], Option<&Pieces>) = match &command {
        CommandValue::Text(text) => (std::slice::from_ref(text), Some(text)),
        CommandValue::Arguments(arguments) => (arguments, arguments.first()),
    };
    if first.is_none_or(|first| first.as_slice().is_empty()) {
        return Err(AttributeProblem::new(info.name, "cannot be empty"));
    }
    parts.iter().try_for_each(|part| refuse_nul(info, part))?;
    Ok(command)
}

pub(crate) fn commands(info: &AttributeInfo, value: Value) -> Converted<Vec<String>> {
    match value {
        Value::List(items) => items.into_iter().map(|item| text(info, item)).collect(),
        one => text(info, one).map(|command| vec![command]),
    }
}

pub(crate) fn shell(info: &AttributeInfo, value: Value) -> Converted<Shell> {
    match &value {
        Value::Boolean(false) => Ok(Shell::None),
        Value::Text(pieces) if pieces.as_literal() == Some("false") => Ok(Shell::None),
        Value::Text(_) => path(info, value).map(Shell::Program),
        _ => Err(wrong(info, &value)),
    }
}

fn plain(info: &AttributeInfo, value: Value) -> Converted<String> {
    let pieces = pieces(info, value)?;
    refuse_nul(info, &pieces)?;
    match pieces.as_literal() {
        Some(text) => Ok(text.to_owned()),
        None => Err(AttributeProblem::new(info.name, "a secret may not stand here")),
    }
}

/// The digits of a mode. YAML reads unquoted digits as a number, which drops zeros in front; they come back here.
fn octal(info: &AttributeInfo, value: Value) -> Converted<String> {
    match value {
        Value::Integer(number @ 0..=7777) => Ok(format!("{number:04}")),
        Value::Text(_) => plain(info, value),
        other => Err(wrong(info, &other)),
    }
}

fn refuse_nul(info: &AttributeInfo, pieces: &Pieces) -> Converted<()> {
    let has = pieces.as_slice().iter().any(|piece| match piece {
        vigo_base::Piece::Literal(text) => text.contains('\0'),
        vigo_base::Piece::Slot(_) => false,
    });
    if has { Err(AttributeProblem::new(info.name, "holds a NUL byte")) } else { Ok(()) }
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn wrong(info: &AttributeInfo, value: &Value) -> AttributeProblem {
    let written = match value {
        Value::Text(pieces) => format!("`{}`", pieces.to_string().chars().take(80).collect::<String>()),
        other => other.kind().to_owned(),
    };
    AttributeProblem::new(info.name, format!("{written} is not {}", info.kind.describe()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretRule;
    use vigo_base::Slot;

    fn secret() -> Value {
        let mut pieces = Pieces::default();
        pieces.push_slot(Slot { path: "web/token".parse().unwrap(), filters: Vec::new() });
        Value::Text(pieces)
    }

    #[test]
    fn numbers_may_be_text_and_booleans_may_be_text() {
        let number = AttributeInfo::new("n", Kind::Integer { least: 0, most: 9 }, "");
        assert_eq!(integer(&number, Value::text("7")), Ok(7));
        assert_eq!(integer(&number, Value::Integer(7)), Ok(7));
        assert!(integer(&number, Value::Integer(10)).is_err());
        let truth = AttributeInfo::new("b", Kind::Boolean, "");
        assert_eq!(boolean(&truth, Value::text("true")), Ok(true));
        assert!(boolean(&truth, Value::text("yes")).is_err());
    }

    #[test]
    fn digits_of_a_mode_are_octal_quoted_or_not() {
        let info = AttributeInfo::new("mode", Kind::Mode, "");
        for value in [Value::Integer(640), Value::text("0640"), Value::text("640")] {
            assert_eq!(mode(&info, value).map(Mode::bits), Ok(0o640));
        }
        assert_eq!(mode(&info, Value::Integer(44)).map(Mode::bits), Ok(0o044));
        for value in [Value::Integer(888), Value::text("0o640"), Value::text("u=rw"), Value::Boolean(true)] {
            assert!(mode(&info, value).is_err());
        }
    }

    #[test]
    fn a_secret_is_refused_where_none_may_stand_and_named_by_its_path_only() {
        let info = AttributeInfo::new("owner", Kind::User, "");
        let problem = check(&info, secret()).unwrap_err();
        assert!(problem.message.contains("secret:web/token"));
        let info = AttributeInfo::new("content", Kind::Text, "").secrets(SecretRule::Unexposed);
        assert_eq!(check(&info, secret()), Ok(()));
    }

    #[test]
    fn a_command_is_text_or_a_list_and_never_empty() {
        let info = AttributeInfo::new("command", Kind::Command, "");
        assert!(matches!(command(&info, Value::text("true")), Ok(CommandValue::Text(_))));
        let list = Value::List(vec![Value::text("/bin/true"), Value::Integer(1)]);
        assert!(
            matches!(command(&info, list), Ok(CommandValue::Arguments(arguments)) if arguments.len() == 2)
        );
        for empty in [Value::text(""), Value::List(Vec::new()), Value::List(vec![Value::text("")])] {
            assert!(command(&info, empty).is_err());
        }
        assert!(command(&info, Value::text("a\0b")).is_err());
    }

    #[test]
    fn environment_names_are_shell_identifiers() {
        let info = AttributeInfo::new("environment", Kind::Environment, "");
        let map = |name: &str| Value::Map(vec![(name.into(), Value::Integer(1))]);
        assert!(environment(&info, map("TOKEN_1")).is_ok());
        for wrong in ["", "1A", "A-B", "A=B", "ä"] {
            assert!(environment(&info, map(wrong)).is_err(), "{wrong}");
        }
    }
}
