//! Parses sources at publish, and lists the names they use.

use crate::Place;
use crate::engine::bare_environment;
use crate::filters::{filter_names, function_names, test_names};
use crate::prepare::{Prepared, prepare, prepare_expression};
use crate::problem::{Problem, code};
use crate::scan::{Segment, Token, TokenKind, scan, scan_expression};
use minijinja::Environment;
use std::collections::HashSet;
use std::sync::OnceLock;
use vigo_base::nearest;

/// What a source uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Every name that comes from outside, in order.
    pub names: Vec<Name>,
    /// Filters, tests and functions that do not exist.
    pub problems: Vec<Problem>,
}

/// A name that comes from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Dotted, as far as it is literal: `vars.port`, `traits.os.family`, `item`.
    pub path: String,
    /// First byte in the source.
    pub offset: usize,
    /// True where it may be missing: `default` or `is defined` follows.
    pub optional: bool,
}

impl Name {
    /// The steps of the path.
    pub fn steps(&self) -> impl Iterator<Item = &str> {
        self.path.split('.')
    }
}

fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(bare_environment)
}

/// Checks a template: the text of an attribute or of a file, as [`crate::recognise`] left it.
pub fn check(source: &str, _place: Place) -> Result<Names, Problem> {
    let segments = scan(source, Place::TemplateFile)?;
    let prepared = prepare(source)?;
    let parsed = environment().template_from_named_str("<value>", &prepared.text);
    let template = parsed.map_err(|error| problem(&error, &prepared))?;
    let outside = template.undeclared_variables(false);
    let mut names = Names::default();
    for segment in &segments {
        if let Segment::Tag(tag) = segment {
            collect(&tag.tokens, tag.block, &outside, &mut names);
        }
    }
    Ok(names)
}

/// Checks an expression: `when`, `case`, `foreach`, or what stood alone in one `{{ }}`.
pub fn check_expression(source: &str) -> Result<Names, Problem> {
    let tokens = scan_expression(source)?;
    if tokens.is_empty() {
        return Err(Problem::error(0, source.len(), code::SYNTAX, "the expression is empty"));
    }
    let prepared = prepare_expression(source)?;
    let parsed = environment().compile_expression(&prepared.text);
    let expression = parsed.map_err(|error| problem(&error, &prepared))?;
    let mut names = Names::default();
    collect(&tokens, false, &expression.undeclared_variables(false), &mut names);
    Ok(names)
}

fn problem(error: &minijinja::Error, prepared: &Prepared) -> Problem {
    let range = error.range().unwrap_or_default();
    let (start, end) = (prepared.origins.of(range.start), prepared.origins.of(range.end));
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Problem::error(start, end.saturating_sub(start).max(1), code::SYNTAX, message)
}

fn collect(tokens: &[Token<'_>], block: bool, outside: &HashSet<String>, names: &mut Names) {
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| tokens.get(index));
        let next = tokens.get(index + 1);
        if token.kind != TokenKind::Name || before.is_some_and(|before| before.is_sign(".")) {
            continue;
        }
        let filter_block = block && index == 1 && before.is_some_and(|before| before.is_name("filter"));
        if before.is_some_and(|before| before.is_sign("|")) || filter_block {
            know(token, "filter", &filter_names(), names);
            continue;
        }
        let negated = before.is_some_and(|before| before.is_name("not"))
            && index >= 2
            && tokens.get(index - 2).is_some_and(|token| token.is_name("is"));
        if before.is_some_and(|before| before.is_name("is")) && !token.is_name("not") || negated {
            know(token, "test", &test_names(), names);
            continue;
        }
        let keyword = next.is_some_and(|next| next.is_sign("="))
            && before.is_some_and(|before| before.is_sign("(") || before.is_sign(","));
        if keyword || !outside.contains(token.text) || (block && index == 0) {
            continue;
        }
        if next.is_some_and(|next| next.is_sign("(")) {
            know(token, "function", &function_names(), names);
            continue;
        }
        if function_names().contains(&token.text) {
            let message = format!("`{}` is a function", token.text);
            names.problems.push(
                Problem::error(token.start, token.text.len(), code::FUNCTION, message)
                    .help(format!("call it: `{}(..)`", token.text)),
            );
            continue;
        }
        names.names.push(name_at(tokens, index));
    }
}

/// Notes a problem if there is no such filter, test or function.
fn know(token: &Token<'_>, what: &str, known: &[&'static str], names: &mut Names) {
    if known.contains(&token.text) {
        return;
    }
    let mut problem = Problem::error(
        token.start,
        token.text.len(),
        code::FUNCTION,
        format!("there is no {what} `{}`", token.text),
    );
    if let Some(near) = nearest(token.text, known.iter().copied()) {
        problem = problem.help(format!("did you mean `{near}`?"));
    }
    names.problems.push(problem);
}

fn name_at(tokens: &[Token<'_>], index: usize) -> Name {
    let offset = tokens.get(index).map_or(0, |token| token.start);
    let mut path = tokens.get(index).map_or_else(String::new, |token| token.text.to_owned());
    let mut at = index + 1;
    let mut whole = true;
    while let (Some(dot), Some(step)) = (tokens.get(at), tokens.get(at + 1)) {
        // A method's name is no step; neither is what follows a subscript.
        let method = tokens.get(at + 2).is_some_and(|next| next.is_sign("("));
        if dot.is_sign(".") && !method && whole {
            path.push('.');
            path.push_str(step.text);
            at += 2;
        } else if dot.is_sign("[") || (dot.is_sign(".") && !method) {
            whole = false;
            let mut depth = dot.depth_change();
            at += if depth == 0 { 2 } else { 1 };
            while depth > 0 {
                let Some(token) = tokens.get(at) else { break };
                depth += token.depth_change();
                at += 1;
            }
        } else {
            break;
        }
    }
    let follows =
        |step: usize, words: &[&str]| tokens.get(at + step).is_some_and(|token| words.contains(&token.text));
    let optional = (follows(0, &["|"]) && follows(1, &["default", "d"]))
        || (follows(0, &["is"])
            && (follows(1, &["defined", "undefined"])
                || (follows(1, &["not"]) && follows(2, &["defined", "undefined"]))));
    Name { path, offset, optional }
}
