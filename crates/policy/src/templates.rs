//! Files under `templates/`: references recognised, parsed, with what they include.

use crate::model::{Named, Policy, TemplateFile, Written};
use crate::reader::Reader;
use crate::text;
use std::collections::BTreeSet;
use vigo_base::{Position, Span, limits};
use vigo_syntax::{Code, Diagnostic, Style, TreeFile, nearest};
use vigo_template::Place;
use vigo_wire::node::Kind;

/// Reads one template. False when it is none, so that nobody complains that it is missing.
pub(crate) fn read(file: TreeFile<'_>, policy: &mut Policy, out: &mut Vec<Diagnostic>) -> bool {
    let start = Span { file: file.number, start: 0, end: 0, position: Position { line: 1, column: 1 } };
    let Some((_, name)) = file.path.split_once('/') else { return true };
    if file.bytes.len() > limits::TEMPLATE_FILE {
        let message =
            format!("the template has {} bytes; it may have {}", file.bytes.len(), limits::TEMPLATE_FILE);
        out.push(Diagnostic::new(Code::TooLarge, start, message).help("split it, and include the parts"));
        return false;
    }
    let Ok(source) = std::str::from_utf8(file.bytes) else {
        let help = "templates are UTF-8 text; binary files cannot be templates";
        out.push(Diagnostic::new(Code::NotText, start, "the template is not UTF-8 text").help(help));
        return false;
    };
    let mut reader = Reader { path: file.path, source, user: true, out };
    let written = Written { span: start, style: Style::Plain };
    let (kind, uses) = text::read_text(&mut reader, source, written, Place::TemplateFile, "");
    let source = match kind {
        Kind::Template(source) => source,
        // The whole file is one `{{ }}`: as a template it is text all the same.
        Kind::Expression(expression) => format!("{{{{ {expression} }}}}"),
        Kind::Literal(literal) => literal_source(&literal),
        _ => String::new(),
    };
    policy.templates.insert(name.to_owned(), TemplateFile { source, uses });
    true
}

/// A text that comes out of the engine as it is.
pub(crate) fn literal_source(text: &str) -> String {
    if ["{{", "{%", "{#"].iter().any(|tag| text.contains(tag)) {
        format!("{{% raw %}}{text}{{% endraw %}}")
    } else {
        text.to_owned()
    }
}

/// Says which includes lead nowhere or in a circle.
pub(crate) fn check_includes(policy: &Policy, complete: bool, out: &mut Vec<Diagnostic>) {
    for (name, template) in &policy.templates {
        for include in &template.uses.templates {
            if policy.templates.contains_key(&include.name) {
                let mut path = vec![name.as_str()];
                if leads_to(policy, &include.name, name, &mut path, &mut BTreeSet::new()) {
                    path.push(name);
                    let message = format!("templates include each other in a circle: {}", path.join(" -> "));
                    out.push(Diagnostic::new(Code::InvalidInclude, include.span, message));
                }
            } else if complete {
                out.push(unknown(policy, include));
            }
        }
    }
}

fn leads_to<'p>(
    policy: &'p Policy,
    from: &'p str,
    to: &str,
    path: &mut Vec<&'p str>,
    seen: &mut BTreeSet<&'p str>,
) -> bool {
    if from == to {
        return true;
    }
    // Deeper than any sane set of templates; the renderer has its own limit.
    if path.len() > 64 || !seen.insert(from) {
        return false;
    }
    path.push(from);
    let includes = policy.templates.get(from).map(|template| template.uses.templates.as_slice());
    for include in includes.unwrap_or_default() {
        if leads_to(policy, &include.name, to, path, seen) {
            return true;
        }
    }
    path.pop();
    false
}

/// The diagnostic for a template that is not there.
pub(crate) fn unknown(policy: &Policy, named: &Named) -> Diagnostic {
    let message = format!("there is no template `{}`", named.name);
    let help = match nearest(&named.name, policy.templates.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "the path is taken below `templates/`".to_owned(),
    };
    Diagnostic::new(Code::UnknownTemplate, named.span, message).help(help)
}
