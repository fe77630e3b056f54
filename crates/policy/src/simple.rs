//! Texts in which only dotted names stand between `{{ }}`: what most values of a policy are. They are read and rendered here without the engine, with the same result.
//!
//! Whatever is not that simple is left to `vigo-template`; a test compares the two.

use crate::model::Value;
use crate::uses::Sight;
use vigo_wire::node::{Kind, Node};

/// How deep variables may refer to each other here; what goes deeper is left to the engine.
const DEPTH: usize = 8;
/// Words that mean something else than a name.
const WORDS: [&str; 14] =
    ["true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else", "loop"];

/// A dotted name between `{{ }}`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tag<'a> {
    /// First byte of the `{{`.
    pub start: usize,
    /// One past the `}}`.
    pub end: usize,
    /// First byte of the name.
    pub name: usize,
    pub path: &'a str,
}

/// The tags of a text, if it has nothing in it but simple ones.
pub(crate) fn tags(text: &str) -> Option<Vec<Tag<'_>>> {
    if text.contains("ecret") || text.contains("{%") || text.contains("{#") {
        return None;
    }
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(found) = text.get(at..)?.find("{{") {
        let start = at + found;
        let inside = text.get(start + 2..)?;
        let lead = inside.bytes().take_while(|byte| *byte == b' ').count();
        let rest = inside.get(lead..)?;
        let length =
            rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(byte)).count();
        let path = rest.get(..length)?;
        let after = rest.get(length..)?;
        let closing = after.trim_start_matches(' ');
        // `}}}` is left to the engine.
        if !is_path(path) || !closing.starts_with("}}") || closing.starts_with("}}}") {
            return None;
        }
        let end = text.len() - closing.len() + 2;
        tags.push(Tag { start, end, name: start + 2 + lead, path });
        at = end;
    }
    Some(tags)
}

fn is_path(path: &str) -> bool {
    let step = |step: &str| {
        let first = step.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        first && !WORDS.contains(&step)
    };
    let root = path.split('.').next().unwrap_or_default();
    ["vars", "traits", "envoy", "item"].contains(&root) && path.split('.').all(step)
}

/// The node that such a text is, from its tags.
pub(crate) fn node(text: &str, tags: &[Tag<'_>]) -> Kind {
    match tags {
        [] => Kind::Literal(text.to_owned()),
        [only] if only.start == 0 && only.end == text.len() => Kind::Expression(only.path.to_owned()),
        _ => Kind::Template(text.to_owned()),
    }
}

/// A text as the envoy would render it, if only variables and items with plain values stand in it.
pub(crate) fn render(node: &Node, sight: &Sight<'_>) -> Option<String> {
    text_of(node, sight, 0)
}

fn text_of(node: &Node, sight: &Sight<'_>, depth: usize) -> Option<String> {
    match node.kind.as_ref()? {
        Kind::Literal(text) => Some(text.clone()),
        Kind::Boolean(value) => Some(value.to_string()),
        Kind::Integer(value) => Some(value.to_string()),
        Kind::Template(source) if depth < DEPTH => {
            let mut out = String::with_capacity(source.len() + 32);
            let mut at = 0;
            for tag in tags(source)? {
                out.push_str(source.get(at..tag.start)?);
                out.push_str(&named(tag.path, sight, depth)?);
                at = tag.end;
            }
            out.push_str(source.get(at..)?);
            Some(out)
        }
        Kind::Expression(path) if depth < DEPTH && is_path(path) => named(path, sight, depth),
        _ => None,
    }
}

fn named(path: &str, sight: &Sight<'_>, depth: usize) -> Option<String> {
    let mut steps = path.split('.');
    let value: &Value = match steps.next()? {
        "vars" => &sight.variable(steps.next()?)?.value,
        "item" => sight.item?,
        _ => return None,
    };
    let mut node = &value.node;
    for step in steps {
        node = node.get(step)?;
    }
    text_of(node, sight, depth + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vigo_template::{Place, check, check_expression, recognise};

    fn agrees(text: &str) {
        let Some(tags) = tags(text) else { return };
        let recognised = recognise(text, Place::Attribute);
        assert_eq!(recognised.problems, [], "{text}");
        assert_eq!(recognised.kind, node(text, &tags), "{text}");
        let names = match &recognised.kind {
            Kind::Expression(source) => check_expression(source),
            Kind::Template(source) => check(source, Place::Attribute),
            _ => Ok(vigo_template::Names::default()),
        };
        let names = names.unwrap_or_else(|problem| panic!("{text}: {problem:?}"));
        assert_eq!(names.problems, [], "{text}");
        let found: Vec<(String, usize, bool)> = names
            .names
            .into_iter()
            .map(|name| (name.path, recognised.original(name.offset), name.optional))
            .collect();
        let own: Vec<(String, usize, bool)> =
            tags.iter().map(|tag| (tag.path.to_owned(), tag.name, false)).collect();
        assert_eq!(found, own, "{text}");
    }

    #[test]
    fn the_engine_reads_simple_texts_the_same() {
        for text in [
            "plain",
            "{{ vars.a }}",
            "{{vars.a.b}}/x",
            "a {{ item }}{{ envoy.name }} }} b",
            "{{  traits.os.family  }}\n",
            "{{ vars.a }} ",
        ] {
            assert!(tags(text).is_some(), "{text}");
            agrees(text);
        }
        for text in [
            "{{ x }}",
            "{{ vars.a | upper }}",
            "{{- vars.a }}",
            "{{ vars.true }}",
            "{% raw %}",
            "{{ vars.a }}}",
            "secret:x",
            "{{ vars.1 }}",
            "{{ vars. }}",
            "{{",
            "{{\nvars.a }}",
        ] {
            assert_eq!(tags(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_engine_reads_any_simple_text_the_same(text in "(\\{\\{ ?(vars|item|traits|envoy)(\\.[a-c_]{1,2})* ?\\}\\}|[a-z{}#% .$]{0,3}){0,4}") {
            agrees(&text);
        }
    }
}
