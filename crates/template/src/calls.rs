//! Reads the tags of a source for what publish must know: calls of `secret()`, includes, and secrets used as if their value were known.

use crate::problem::{Problem, SECRET_HELP, code};
use crate::recognise::SecretCall;
use crate::scan::{Segment, Tag, Token, TokenKind, part, unquote};
use vigo_base::{Filter, SecretPath};

/// What the tags of a source say.
#[derive(Default)]
pub struct Read {
    pub calls: Vec<SecretCall>,
    pub includes: Vec<(String, usize)>,
    pub problems: Vec<Problem>,
    /// Stretches whose output is caught instead of going into the file.
    captured: Vec<(usize, usize, &'static str)>,
}

impl Read {
    /// Why a reference in plain text at `offset` cannot be, if so.
    pub fn capture_at(&self, offset: usize) -> Option<Problem> {
        let inside = |(start, end, _): &&(usize, usize, &str)| *start <= offset && offset < *end;
        self.captured.iter().find(inside).map(|(_, _, what)| captured_problem(offset, what))
    }
}

fn captured_problem(offset: usize, what: &str) -> Problem {
    Problem::error(
        offset,
        6,
        code::SECRET_USE,
        format!("a secret inside {what}, whose output is text for further use"),
    )
    .help(SECRET_HELP)
}

/// Reads every tag.
pub fn read_tags(source: &str, segments: &[Segment<'_>]) -> Read {
    let mut read = Read::default();
    let mut open: Vec<(&'static str, usize, &'static str)> = Vec::new();
    let tags = || {
        segments.iter().filter_map(|segment| if let Segment::Tag(tag) = segment { Some(tag) } else { None })
    };
    for tag in tags().filter(|tag| tag.block) {
        let word = tag.tokens.first().map_or("", |token| token.text);
        let assigns = tag.tokens.iter().any(|token| token.is_sign("="));
        match word {
            "set" if !assigns => open.push(("endset", tag.end, "a `set` block")),
            "macro" => open.push(("endmacro", tag.end, "a macro")),
            "call" => open.push(("endcall", tag.end, "a `call` block")),
            "filter" => open.push(("endfilter", tag.end, "a `filter` block")),
            _ => {}
        }
        if open.last().is_some_and(|(end, ..)| *end == word)
            && let Some((_, start, what)) = open.pop()
        {
            read.captured.push((start, tag.start, what));
        }
    }
    for tag in tags() {
        read_include(tag, &mut read);
        read_secrets(source, tag, &mut read);
        hint_literals(tag, &mut read);
    }
    read
}

fn read_include(tag: &Tag<'_>, read: &mut Read) {
    let Some(word) = tag.tokens.first().filter(|_| tag.block) else { return };
    if !matches!(word.text, "include" | "import" | "extends" | "from") {
        return;
    }
    let name = tag.tokens.get(1).filter(|token| token.kind == TokenKind::Text);
    let alone = tag.tokens.get(2).is_none_or(|token| token.kind == TokenKind::Name && token.text != "if");
    match name.filter(|_| alone) {
        Some(name) => read.includes.push((unquote(name.text), name.start)),
        None => {
            let message = format!("`{}` takes the literal name of a template", word.text);
            let length = tag.inner_end.saturating_sub(word.start);
            read.problems.push(
                Problem::error(word.start, length, code::INCLUDE, message).help(
                    "write the name of a file under `templates/` in quotes: `{% include \"part.j2\" %}`",
                ),
            );
        }
    }
}

fn hint_literals(tag: &Tag<'_>, read: &mut Read) {
    for token in tag.tokens.iter().filter(|token| token.kind == TokenKind::Text) {
        let inner = part(token.text, 1, token.text.len().saturating_sub(1));
        let Some(path) = inner.strip_prefix("secret:") else { continue };
        let path = path.trim_start_matches('{').trim_end_matches('}');
        if path.parse::<SecretPath>().is_ok() {
            let message = "inside a tag this is text, no secret reference";
            read.problems.push(
                Problem::hint(token.start, token.text.len(), code::NEAR_SECRET, message)
                    .help(format!("inside `{{{{ }}}}` a secret is written `secret(\"{path}\")`")),
            );
        }
    }
}

fn read_secrets(source: &str, tag: &Tag<'_>, read: &mut Read) {
    for (index, token) in tag.tokens.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| tag.tokens.get(index));
        let member =
            before.is_some_and(|before| before.is_sign(".") || before.is_sign("|") || before.is_name("is"));
        if !token.is_name("secret") || member {
            continue;
        }
        let called = tag.tokens.get(index + 1).is_some_and(|next| next.is_sign("("));
        if !called || before.is_some_and(|before| before.is_name("macro")) {
            let message = "`secret` is the name of the function that places a secret, and no other";
            read.problems.push(
                Problem::error(token.start, 6, code::SECRET_USE, message)
                    .help("call it: `secret(\"web/token\")`"),
            );
            continue;
        }
        let Some(close) = closing(&tag.tokens, index + 1) else { continue };
        let inner = tag.tokens.get(index + 2..close).unwrap_or_default();
        match read_argument(source, token.start, inner) {
            Ok(call) => read.calls.push(call),
            Err(problem) => read.problems.push(problem),
        }
        let captured = read.capture_at(token.start);
        if let Some(problem) =
            captured.or_else(|| misuse(tag, before, token, tag.tokens.get(close + 1..).unwrap_or_default()))
        {
            read.problems.push(problem);
        }
    }
}

/// The index of the bracket that closes the one at `open`.
fn closing(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        depth += token.depth_change();
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

fn read_argument(source: &str, offset: usize, tokens: &[Token<'_>]) -> Result<SecretCall, Problem> {
    let wrong = |message: &str| {
        Problem::error(offset, 6, code::COMPUTED, message)
            .help("`secret()` takes one path, made of literals, `~`, `vars`, `envoy` and `item`: it must be known at publish")
    };
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
        return Err(wrong("`secret()` without a path"));
    };
    let expression = part(source, first.start, last.end()).to_owned();
    if let ([only], TokenKind::Text) = (tokens, first.kind) {
        let path = unquote(only.text).parse::<SecretPath>();
        let path = path.map_err(|cause| {
            Problem::error(only.start, only.text.len(), code::COMPUTED, cause.to_string())
        })?;
        return Ok(SecretCall { offset, path: Some(path), expression });
    }
    for (index, token) in tokens.iter().enumerate() {
        let member = index
            .checked_sub(1)
            .and_then(|index| tokens.get(index))
            .is_some_and(|before| before.is_sign("."));
        let fits = match token.kind {
            TokenKind::Text | TokenKind::Number => true,
            TokenKind::Name => member || matches!(token.text, "vars" | "envoy" | "item"),
            TokenKind::Sign => matches!(token.text, "~" | "(" | ")" | "[" | "]" | "."),
        };
        if !fits {
            let message = match token.text {
                "traits" => {
                    "the path of a secret cannot depend on `traits`: the node says those of itself".to_owned()
                }
                other => format!("the path of a secret cannot be computed with `{other}`"),
            };
            return Err(Problem { offset: token.start, length: token.text.len(), ..wrong(&message) });
        }
    }
    Ok(SecretCall { offset, path: None, expression })
}

/// Signs and words beside which a secret would have to have a value.
const OPERATORS: [&str; 23] = [
    "==", "!=", "<", ">", "<=", ">=", "~", "+", "-", "*", "/", "//", "%", "**", "in", "not", "and", "or",
    "&&", "||", "!", "if", "elif",
];

fn misuse(
    tag: &Tag<'_>,
    before: Option<&Token<'_>>,
    token: &Token<'_>,
    after: &[Token<'_>],
) -> Option<Problem> {
    let refuse =
        |what: String| Some(Problem::error(token.start, 6, code::SECRET_USE, what).help(SECRET_HELP));
    if let Some(before) = before.filter(|before| OPERATORS.contains(&before.text)) {
        return refuse(format!("a secret cannot be used with `{}`", before.text));
    }
    let next = after.first()?;
    match next.text {
        "if" | "else" => None,
        "[" | "." | "is" => refuse(format!("a secret cannot be used with `{}`", next.text)),
        "|" => {
            let filter = after.get(1)?;
            let known = Filter::by_name(filter.text).is_some() || matches!(filter.text, "default" | "d");
            if known { None } else { refuse(format!("a secret cannot be passed through `{}`", filter.text)) }
        }
        text if OPERATORS.contains(&text) => refuse(format!("a secret cannot be used with `{text}`")),
        _ if tag.block && tag.tokens.first().is_some_and(|word| matches!(word.text, "if" | "elif")) => {
            refuse("a secret cannot decide what is rendered".to_owned())
        }
        _ => None,
    }
}
