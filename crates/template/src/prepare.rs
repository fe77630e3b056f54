//! Rewrites a source a little before the engine parses it, so that our rules hold where the engine has no hook.
//!
//! - `&&`, `||` and `!` become `and`, `or` and `not`.
//! - A path before `default` or `is defined` may be missing at any step: `vars.a.b | default(1)` becomes `(vars|_at("a")|_at("b")) | default(1)`.
//! - What is compared, or looked up in `[ ]`, passes through `_plain`, what is joined by `~` through `_text`: the first refuses secrets (the engine would silently say "not equal"), the second also writes booleans as we do.
//!
//! All of it works on tokens, inside tags, and adds no line, so lines in messages stay true.

use crate::Place;
use crate::edit::{Edited, Origins};
use crate::problem::Problem;
use crate::scan::{Segment, Tag, Token, TokenKind, part, scan, scan_expression};

/// The filter that refuses secrets.
pub const PLAIN: &str = "_plain";
/// The filter that refuses what is no text.
pub const TEXT: &str = "_text";
/// The filter that takes one step of a path that may be missing.
pub const AT: &str = "_at";

/// A source as the engine gets it.
pub struct Prepared {
    /// The text.
    pub text: String,
    /// Where its bytes came from.
    pub origins: Origins,
}

/// Prepares a template.
pub fn prepare(source: &str) -> Result<Prepared, Problem> {
    let segments = scan(source, Place::TemplateFile)?;
    let mut changes = Vec::new();
    for segment in &segments {
        if let Segment::Tag(Tag { tokens, .. }) = segment {
            change_tokens(tokens, &mut changes);
        }
    }
    Ok(apply(source, changes))
}

/// Prepares an expression.
pub fn prepare_expression(source: &str) -> Result<Prepared, Problem> {
    let tokens = scan_expression(source)?;
    let mut changes = Vec::new();
    change_tokens(&tokens, &mut changes);
    Ok(apply(source, changes))
}

/// Bytes `start..end` of the source become `text`.
struct Change {
    start: usize,
    end: usize,
    text: String,
}

fn apply(source: &str, mut changes: Vec<Change>) -> Prepared {
    // Stable: insertions at one place stay in the order they were made.
    changes.sort_by_key(|change| (change.start, change.end));
    let mut out = Edited::default();
    let mut at = 0;
    for change in changes {
        out.copy(part(source, at, change.start), at);
        out.insert(&change.text, change.start);
        at = change.end;
    }
    out.copy(part(source, at, source.len()), at);
    let (text, origins) = out.finish();
    Prepared { text, origins }
}

fn change_tokens(tokens: &[Token<'_>], changes: &mut Vec<Change>) {
    let mut loop_word = tokens.first().is_some_and(|token| token.is_name("for"));
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate() {
        depth += token.depth_change();
        if let Some(word) = written_out(token) {
            changes.push(Change { start: token.start, end: token.end(), text: format!(" {word} ") });
        }
        if loop_word && depth == 0 && token.is_name("in") {
            loop_word = false;
        } else if let Some(guard) = guard(tokens, index) {
            guard_operands(tokens, index, guard, changes);
        }
        if token.is_sign("[") && before(tokens, index).is_some_and(is_operand_end) {
            guard_key(tokens, index, changes);
        }
        if let Some(start) = lenient(tokens, index) {
            loosen(tokens, start, index, changes);
        }
    }
}

fn written_out(token: &Token<'_>) -> Option<&'static str> {
    match (token.kind, token.text) {
        (TokenKind::Sign, "&&") => Some("and"),
        (TokenKind::Sign, "||") => Some("or"),
        (TokenKind::Sign, "!") => Some("not"),
        _ => None,
    }
}

fn before<'a>(tokens: &'a [Token<'a>], index: usize) -> Option<&'a Token<'a>> {
    index.checked_sub(1).and_then(|index| tokens.get(index))
}

fn is_comparison(token: &Token<'_>) -> bool {
    token.is_name("in")
        || (token.kind == TokenKind::Sign && matches!(token.text, "==" | "!=" | "<" | ">" | "<=" | ">="))
}

/// Which filter the operands of the operator at `index` have to pass, if it is one.
fn guard(tokens: &[Token<'_>], index: usize) -> Option<&'static str> {
    let token = tokens.get(index)?;
    let previous = before(tokens, index);
    let member = previous.is_some_and(|previous| previous.is_sign(".") || previous.is_sign("|"));
    // `is in`, `is not in`: the name of a test, which refuses secrets itself.
    let test = previous.is_some_and(|previous| {
        previous.is_name("is")
            || (previous.is_name("not")
                && index >= 2
                && tokens.get(index - 2).is_some_and(|token| token.is_name("is")))
    });
    if token.is_sign("~") {
        Some(TEXT)
    } else if is_comparison(token) && !member && !test {
        Some(PLAIN)
    } else {
        None
    }
}

fn guard_operands(tokens: &[Token<'_>], index: usize, guard: &str, changes: &mut Vec<Change>) {
    let insert = |at: usize| Change { start: at, end: at, text: format!("|{guard}") };
    // The left operand ends before the operator, or before the `not` of `not in`.
    let left = match before(tokens, index) {
        Some(token) if token.is_name("not") => index.checked_sub(2).and_then(|index| tokens.get(index)),
        other => other,
    };
    let Some(left) = left else { return };
    changes.push(insert(left.end()));
    let mut depth = 0;
    let mut last = None;
    let mut asks = false;
    for token in tokens.iter().skip(index + 1) {
        let ends = token.is_sign(",")
            || token.is_sign(":")
            || token.is_sign("~")
            || token.is_sign("&&")
            || token.is_sign("||")
            || is_comparison(token)
            || (token.kind == TokenKind::Name
                && matches!(token.text, "and" | "or" | "not" | "if" | "else" | "recursive"));
        // `is in`, `is not in`, `.if`: here the word is a name.
        let named = last.is_some_and(|last: &Token<'_>| last.is_sign(".") || last.is_sign("|"));
        depth += token.depth_change();
        if depth < 0 || (depth == 0 && ends && !named && !asks) {
            break;
        }
        asks = token.is_name("is") || (asks && token.is_name("not"));
        last = Some(token);
    }
    if let Some(last) = last {
        changes.push(insert(last.end()));
    }
}

/// True if a `[` after that token looks something up instead of opening a list.
fn is_operand_end(token: &Token<'_>) -> bool {
    match token.kind {
        TokenKind::Name => !matches!(token.text, "and" | "or" | "not" | "in" | "is" | "if" | "else" | "elif"),
        TokenKind::Text => true,
        TokenKind::Number => false,
        TokenKind::Sign => matches!(token.text, ")" | "]" | "}"),
    }
}

/// What stands in the `[ ]` that opens at `index` is looked up, so it must be no secret. A slice takes numbers only.
fn guard_key(tokens: &[Token<'_>], index: usize, changes: &mut Vec<Change>) {
    let Some(open) = tokens.get(index) else { return };
    let mut depth = 0;
    for token in tokens.iter().skip(index) {
        depth += token.depth_change();
        if depth == 1 && token.is_sign(":") {
            return;
        }
        if depth == 0 {
            changes.push(Change { start: open.end(), end: open.end(), text: "(".into() });
            changes.push(Change { start: token.start, end: token.start, text: format!(")|{PLAIN}") });
            return;
        }
    }
}

/// If `default` or a test for being defined begins at `index`: where the path before it begins.
fn lenient(tokens: &[Token<'_>], index: usize) -> Option<usize> {
    let token = tokens.get(index)?;
    let next = |step: usize| tokens.get(index + step);
    let named = |token: Option<&Token<'_>>, names: [&str; 2]| {
        token.is_some_and(|token| token.kind == TokenKind::Name && names.contains(&token.text))
    };
    let asks = (token.is_sign("|") && named(next(1), ["default", "d"]))
        || (token.is_name("is")
            && (named(next(1), ["defined", "undefined"])
                || (named(next(1), ["not", "not"]) && named(next(2), ["defined", "undefined"]))));
    if !asks { None } else { path_start(tokens, index) }
}

/// Where the path that ends before `end` begins, if it is one of at least one step: a name, then `.name` and `[..]`.
fn path_start(tokens: &[Token<'_>], end: usize) -> Option<usize> {
    let mut at = end.checked_sub(1)?;
    let mut steps = 0;
    loop {
        let token = tokens.get(at)?;
        if token.is_sign("]") {
            let mut depth = 0;
            loop {
                let token = tokens.get(at)?;
                depth -= token.depth_change();
                if depth == 0 {
                    break;
                }
                // A slice is no step.
                if depth == 1 && token.is_sign(":") {
                    return None;
                }
                at = at.checked_sub(1)?;
            }
            steps += 1;
        } else if matches!(token.kind, TokenKind::Name | TokenKind::Number) {
            if before(tokens, at).is_none_or(|dot| !dot.is_sign(".")) {
                return (token.kind == TokenKind::Name
                    && steps > 0
                    && before(tokens, at).is_none_or(|token| !token.is_sign("|") && !token.is_name("is")))
                .then_some(at);
            }
            at = at.checked_sub(1)?;
            steps += 1;
        } else {
            return None;
        }
        at = at.checked_sub(1)?;
    }
}

fn loosen(tokens: &[Token<'_>], start: usize, end: usize, changes: &mut Vec<Change>) {
    let Some(root) = tokens.get(start) else { return };
    changes.push(Change { start: root.start, end: root.start, text: "(".into() });
    let mut at = start + 1;
    while at < end {
        let Some(token) = tokens.get(at) else { return };
        if token.is_sign(".") {
            let Some(name) = tokens.get(at + 1) else { return };
            let text = if name.kind == TokenKind::Number {
                format!("|{AT}({})", name.text)
            } else {
                format!("|{AT}(\"{}\")", name.text)
            };
            changes.push(Change { start: token.start, end: name.end(), text });
            at += 2;
        } else {
            let mut depth = 0;
            changes.push(Change { start: token.start, end: token.end(), text: format!("|{AT}(") });
            while let Some(token) = tokens.get(at) {
                depth += token.depth_change();
                at += 1;
                if depth == 0 {
                    changes.push(Change { start: token.start, end: token.end(), text: ")".into() });
                    break;
                }
            }
        }
    }
    if let Some(last) = before(tokens, end) {
        changes.push(Change { start: last.end(), end: last.end(), text: ")".into() });
    }
}
