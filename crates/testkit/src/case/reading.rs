//! From the text of a case file to cases.

use super::{Case, Expected, Fact, Given, writes};
use crate::fake::{FakeCommand, Node, NodeKind};
use vigo_base::{AbsolutePath, Filter, Mode, Pieces, SecretPath, Slot, SwapClass, Value};
use vigo_resource::{Outcome, Storage, StorageContent};

const OUTCOMES: [Outcome; 7] = [
    Outcome::Unchanged,
    Outcome::Created,
    Outcome::Updated,
    Outcome::Deleted,
    Outcome::Skipped,
    Outcome::Blocked,
    Outcome::Failed,
];

#[derive(Clone, Copy)]
enum Block {
    None,
    Before,
    Resource,
    After,
}

pub(super) fn read(text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    let mut block = Block::None;
    for (number, line) in text.lines().enumerate() {
        let at = |problem: String| format!("line {}: {problem}: {line}", number + 1);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("case: ") {
            cases.push(empty(name));
            block = Block::None;
            continue;
        }
        let case = cases.last_mut().ok_or_else(|| at("before the first case".into()))?;
        let done = match line.strip_prefix("  ") {
            Some(item) => take_item(case, block, item),
            None => take_key(case, line).map(|next| block = next),
        };
        done.map_err(at)?;
    }
    Ok(cases)
}

fn empty(name: &str) -> Case {
    Case {
        name: name.into(),
        before: Vec::new(),
        attributes: Vec::new(),
        allow_exposure: Vec::new(),
        expect: Expected::Outcome(Outcome::Unchanged),
        lines: Vec::new(),
        diff: Vec::new(),
        reasons: Vec::new(),
        after: Vec::new(),
        repeats: false,
    }
}

fn take_key(case: &mut Case, line: &str) -> Result<Block, String> {
    let (key, text) = line.split_once(':').ok_or("no key")?;
    let text = text.trim();
    match key {
        "before" => return Ok(Block::Before),
        "resource" => return Ok(Block::Resource),
        "after" => return Ok(Block::After),
        "expect" => case.expect = expected(text)?,
        "line" => case.lines.push(text.into()),
        "diff" => case.diff.push(text.into()),
        "reason" => case.reasons.push(text.into()),
        "allow_exposure" => case.allow_exposure.push(text.into()),
        "repeats" => case.repeats = true,
        _ => return Err("no such key".into()),
    }
    Ok(Block::None)
}

fn expected(text: &str) -> Result<Expected, String> {
    if text == "refused" {
        return Ok(Expected::Refused);
    }
    let outcome = OUTCOMES.into_iter().find(|outcome| outcome.as_str() == text);
    outcome.map(Expected::Outcome).ok_or_else(|| "no such outcome".into())
}

fn take_item(case: &mut Case, block: Block, item: &str) -> Result<(), String> {
    match block {
        Block::None => Err("this key has no items".into()),
        Block::Before => given(item).map(|given| case.before.push(given)),
        Block::After => fact(item).map(|fact| case.after.push(fact)),
        Block::Resource => {
            let (name, written) = item.split_once(':').ok_or("no attribute")?;
            let value = value(written.trim())?;
            case.attributes.push((name.trim().into(), value));
            Ok(())
        }
    }
}

fn given(item: &str) -> Result<Given, String> {
    let mut words = item.splitn(2, ' ');
    let (what, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    Ok(match what {
        "file" | "folder" | "link" => {
            let Fact::Node { path, kind, mode, owner } = node(what, rest)? else {
                return Err("no such thing".into());
            };
            let (owner, group) = owner.unwrap_or((0, 0));
            let default = if kind == NodeKind::Folder { Mode::DIRECTORY } else { Mode::FILE };
            Given::Node(path, Node { kind, mode: mode.unwrap_or(default), owner, group })
        }
        "name" => {
            let (name, of) = rest.split_once(' ').ok_or("name PATH OF")?;
            Given::Name(path(name)?, path(of)?)
        }
        "user" | "group" => {
            let (name, id) = rest.split_once(' ').ok_or("user NAME ID")?;
            let id = id.parse().map_err(|_| "no number")?;
            if what == "user" { Given::User(name.into(), id) } else { Given::Group(name.into(), id) }
        }
        "secret" => {
            let (name, value) = rest.split_once(' ').ok_or("secret PATH VALUE")?;
            Given::Secret(secret(name)?, value.into())
        }
        "rotated" => Given::Rotated(secret(rest)?),
        "withheld" => Given::Withheld(secret(rest)?),
        "served" => Given::Served(secret(rest)?),
        "storage" => Given::Storage(storage(rest)?),
        "swap" => area(rest)?,
        "memory" | "refused" | "read_only" | "zram" | "crypt" => Given::Machine(what.into(), rest.into()),
        "guarded" => Given::Guarded(path(rest)?),
        "command" => command(rest)?,
        _ => return Err("no such thing".into()),
    })
}

/// `PATH USED_MIB PRIORITY`
fn area(rest: &str) -> Result<Given, String> {
    let words = words(rest)?;
    let word = |at: usize| words.get(at).map(Word::text).ok_or("swap PATH USED PRIORITY");
    let used: u64 = word(1)?.parse().map_err(|_| "no number")?;
    Ok(Given::Swap(word(0)?.into(), used << 20, word(2)?.parse().map_err(|_| "no number")?))
}

/// `PATH CLASS MIB [also NAME]... [holds swap|nothing|other] [discards] [file] [mapping NAME]`
fn storage(rest: &str) -> Result<Storage, String> {
    let words = words(rest)?;
    let mut words = words.iter().map(Word::text);
    let mut next = || words.next().ok_or("a word is missing");
    let (path, class, mib) = (next()?.to_owned(), class(next()?)?, next()?);
    let size = mib.parse::<u64>().map_err(|_| "no number")? << 20;
    let content = StorageContent::Swap;
    let (aliases, is_file, discards, mapping) = (Vec::new(), false, false, None);
    let mut storage = Storage { path, aliases, is_file, size, class, content, discards, mapping };
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or("a word is missing");
        match word {
            "also" => storage.aliases.push(next()?.into()),
            "holds" => storage.content = content_of(next()?)?,
            "mapping" => storage.mapping = Some(next()?.into()),
            "discards" => storage.discards = true,
            "file" => storage.is_file = true,
            _ => return Err("no such word".into()),
        }
    }
    Ok(storage)
}

fn class(word: &str) -> Result<SwapClass, String> {
    use SwapClass::{EncryptedEphemeral, EncryptedPersistent, None, Plain, Zram};
    let all = [None, Zram, EncryptedEphemeral, EncryptedPersistent, Plain];
    all.into_iter().find(|class| class.as_str() == word).ok_or_else(|| "no such class".into())
}

fn content_of(word: &str) -> Result<StorageContent, String> {
    match word {
        "swap" => Ok(StorageContent::Swap),
        "nothing" => Ok(StorageContent::Nothing),
        "other" => Ok(StorageContent::Other),
        _ => Err("no such content".into()),
    }
}

/// `"TEXT" exits N [says "TEXT"] [writes PATH "TEXT"] [hangs]`
fn command(rest: &str) -> Result<Given, String> {
    let words = words(rest)?;
    let mut words = words.iter().map(Word::text);
    let text = words.next().ok_or("no command")?.to_owned();
    let mut command = FakeCommand::default();
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or("a word is missing");
        match word {
            "exits" => command.exit = next()?.parse().map_err(|_| "no number")?,
            "says" => command.stdout = next()?.into(),
            "complains" => command.stderr = next()?.into(),
            "hangs" => command.hangs = true,
            "writes" => {
                let target = path(next()?)?;
                command.effects.push(writes(target, next()?.into()));
            }
            _ => return Err("no such word".into()),
        }
    }
    Ok(Given::Command(text, command))
}

fn fact(item: &str) -> Result<Fact, String> {
    let (what, rest) = item.split_once(' ').ok_or("a word is missing")?;
    match what {
        "file" | "folder" | "link" => node(what, rest),
        "missing" => Ok(Fact::Missing(path(rest)?)),
        "ran" => Ok(Fact::Ran(rest.into())),
        "swaps" => {
            let all = rest.split(',').map(str::trim).filter(|area| *area != "none");
            Ok(Fact::Swaps(all.map(str::to_owned).collect()))
        }
        "holds" => {
            let (path, content) = rest.split_once(' ').ok_or("holds PATH CONTENT")?;
            Ok(Fact::Holds(path.into(), content_of(content)?))
        }
        _ => Err("no such fact".into()),
    }
}

/// `PATH [MODE] [OWNER:GROUP] ["TEXT" | -> TEXT]`
fn node(what: &str, rest: &str) -> Result<Fact, String> {
    let words = words(rest)?;
    let mut words = words.iter();
    let target = path(words.next().ok_or("no path")?.text())?;
    let (mut mode, mut owner, mut text) = (None, None, String::new());
    for word in words {
        match word {
            Word::Quoted(word) => text.clone_from(word),
            Word::Plain(word) if word == "->" => {}
            Word::Plain(word) if what == "link" && !word.contains(':') => text.clone_from(word),
            Word::Plain(word) => match word.split_once(':') {
                Some((user, group)) => {
                    let number = |text: &str| text.parse().map_err(|_| "no number");
                    owner = Some((number(user)?, number(group)?));
                }
                None => mode = Some(word.parse().map_err(|error| format!("{error}"))?),
            },
        }
    }
    let kind = match what {
        "file" => NodeKind::File(text),
        "folder" => NodeKind::Folder,
        _ => NodeKind::Symlink(text),
    };
    Ok(Fact::Node { path: target, kind, mode, owner })
}

enum Word {
    Plain(String),
    Quoted(String),
}

impl Word {
    fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Quoted(text) => text,
        }
    }
}

/// Words divided by blanks; one that begins with `"` is a JSON string.
fn words(text: &str) -> Result<Vec<Word>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if rest.starts_with('"') {
            let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<String>();
            let word = stream.next().ok_or("no text")?.map_err(|error| error.to_string())?;
            found.push(Word::Quoted(word));
            rest = rest.get(stream.byte_offset()..).unwrap_or_default();
        } else {
            let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
            found.push(Word::Plain(word.into()));
            rest = after;
        }
        rest = rest.trim_start();
    }
    Ok(found)
}

fn path(text: &str) -> Result<AbsolutePath, String> {
    text.parse().map_err(|error: vigo_base::PathError| error.to_string())
}

fn secret(text: &str) -> Result<SecretPath, String> {
    text.parse().map_err(|error: vigo_base::SecretPathError| error.to_string())
}

/// JSON, or else text as it stands. `secret:PATH` and `secret:{PATH|FILTER}` in text are slots.
fn value(written: &str) -> Result<Value, String> {
    match serde_json::from_str::<serde_json::Value>(written) {
        Ok(json) => from_json(json),
        Err(_) if written.starts_with(['"', '[', '{']) => Err("no JSON".into()),
        Err(_) => text(written),
    }
}

fn from_json(json: serde_json::Value) -> Result<Value, String> {
    Ok(match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(truth) => Value::Boolean(truth),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Number(number.as_f64().unwrap_or_default()),
        },
        serde_json::Value::String(written) => text(&written)?,
        serde_json::Value::Array(items) => {
            Value::List(items.into_iter().map(from_json).collect::<Result<_, _>>()?)
        }
        serde_json::Value::Object(entries) => {
            let entries: Result<_, String> =
                entries.into_iter().map(|(name, value)| Ok((name, from_json(value)?))).collect();
            Value::Map(entries?)
        }
    })
}

fn text(written: &str) -> Result<Value, String> {
    let mut pieces = Pieces::default();
    let mut parts = written.split("secret:");
    pieces.push_literal(parts.next().unwrap_or_default());
    for part in parts {
        let (inside, rest) = match part.strip_prefix('{') {
            Some(part) => part.split_once('}').ok_or("no `}`")?,
            None => {
                let inner = |letter: char| letter.is_ascii_alphanumeric() || "/_-".contains(letter);
                let end = part.find(|letter| !inner(letter)).unwrap_or(part.len());
                part.split_at_checked(end).ok_or("no path")?
            }
        };
        let (name, filter) =
            inside.split_once('|').map_or((inside, None), |(name, filter)| (name, Some(filter)));
        let filters = match filter {
            Some(filter) => vec![Filter::by_name(filter).ok_or("no such filter")?],
            None => Vec::new(),
        };
        pieces.push_slot(Slot { path: secret(name)?, filters });
        pieces.push_literal(rest);
    }
    Ok(Value::Text(pieces))
}
