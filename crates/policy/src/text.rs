//! Texts and expressions on their way from a file into the policy: references recognised, templates parsed, names listed, each with its place.

use crate::model::{Expression, NameUse, SecretCall, Uses, Written};
use crate::plaintext;
use crate::reader::Reader;
use crate::simple;
use vigo_base::Span;
use vigo_syntax::{Code, Diagnostic, Kind, Node, Severity, Style, count_solid, locate_solid, nearest};
use vigo_template::{Names, Place, Problem};
use vigo_wire::node;

/// What every expression knows.
const ROOTS: [&str; 4] = ["vars", "traits", "envoy", "item"];
/// What `envoy` has.
const ENVOY: [&str; 3] = ["name", "id", "environment"];

/// Counts the characters that are no white space up to growing offsets of one text, in one pass.
struct Counter<'a> {
    text: &'a str,
    at: usize,
    solid: usize,
}

impl Counter<'_> {
    fn to(&mut self, offset: usize) -> usize {
        if offset < self.at {
            self.at = 0;
            self.solid = 0;
        }
        self.solid += count_solid(self.text.get(self.at..offset).unwrap_or_default());
        self.at = offset;
        self.solid
    }
}

/// The place of something in a text.
pub(crate) fn place(
    source: &str,
    written: Option<Written>,
    solid: usize,
    length: usize,
    otherwise: Span,
) -> Span {
    written.map_or(otherwise, |written| locate_solid(source, written.span, written.style, solid, length))
}

/// A text: what goes into the bundle, and what it refers to. `name` is the key that it is the value of.
pub(crate) fn read_text(
    reader: &mut Reader<'_>,
    text: &str,
    written: Written,
    at: Place,
    name: &str,
) -> (node::Kind, Uses) {
    let mut counter = Counter { text, at: 0, solid: 0 };
    let mut uses = Uses { written: Some(written), ..Uses::default() };
    if let Some(tags) = simple::tags(text).filter(|_| at == Place::Attribute) {
        let kind = simple::node(text, &tags);
        plaintext::look(reader, if tags.is_empty() { name } else { "" }, text, written);
        for tag in tags {
            take_name(reader, tag.path, false, counter.to(tag.name), written, &mut uses, false);
        }
        return (kind, uses);
    }
    let recognised = vigo_template::recognise(text, at);
    for problem in &recognised.problems {
        report(reader, written, &mut counter, problem, problem.offset);
    }
    for call in &recognised.calls {
        let rest = text.get(call.offset..).unwrap_or_default();
        let length = match &call.path {
            Some(path) if rest.starts_with("secret:") => 7 + path.as_str().len(),
            _ => 6,
        };
        uses.secrets.push(SecretCall {
            path: call.path.clone(),
            expression: call.expression.clone(),
            solid: counter.to(call.offset),
            length,
        });
    }
    for (name, offset) in &recognised.includes {
        let span = locate_solid(reader.source, written.span, written.style, counter.to(*offset), name.len());
        uses.templates.push(crate::model::Named { name: name.clone(), span });
    }
    let broken = recognised.problems.iter().any(|problem| problem.error);
    let checked = match &recognised.kind {
        node::Kind::Template(source) if !broken => vigo_template::check(source, at),
        node::Kind::Expression(source) if !broken => vigo_template::check_expression(source),
        _ => Ok(Names::default()),
    };
    let key = if matches!(recognised.kind, node::Kind::Literal(_)) { name } else { "" };
    plaintext::look(reader, key, text, written);
    let original = |offset| recognised.original(offset);
    take_names(reader, checked, &mut counter, written, &original, &mut uses, false);
    (recognised.kind, uses)
}

fn take_names(
    reader: &mut Reader<'_>,
    checked: Result<Names, Problem>,
    counter: &mut Counter<'_>,
    written: Written,
    original: &dyn Fn(usize) -> usize,
    uses: &mut Uses,
    condition: bool,
) {
    let names = match checked {
        Ok(names) => names,
        Err(problem) => return report(reader, written, counter, &problem, original(problem.offset)),
    };
    for problem in &names.problems {
        report(reader, written, counter, problem, original(problem.offset));
    }
    for name in names.names {
        let solid = counter.to(original(name.offset));
        take_name(reader, &name.path, name.optional, solid, written, uses, condition);
    }
}

fn take_name(
    reader: &mut Reader<'_>,
    path: &str,
    optional: bool,
    solid: usize,
    written: Written,
    uses: &mut Uses,
    condition: bool,
) {
    let steps: Vec<String> = path.split('.').map(str::to_owned).collect();
    let used = NameUse { steps, optional, solid, length: path.len() };
    let span = || locate_solid(reader.source, written.span, written.style, solid, used.length);
    if let Some(mistake) = unknown_root(&used, condition, reader.user, span) {
        reader.out.push(mistake);
    } else if used.steps.first().is_some_and(|step| step != "changed") {
        uses.names.push(used);
    }
}

fn unknown_root(used: &NameUse, condition: bool, user: bool, span: impl Fn() -> Span) -> Option<Diagnostic> {
    let root = used.steps.first().map_or("", String::as_str);
    let undefined =
        |message: String, help: String| Some(Diagnostic::new(Code::UnknownName, span(), message).help(help));
    match root {
        "envoy" => {
            let field = used.steps.get(1)?;
            if used.optional || ENVOY.contains(&field.as_str()) {
                return None;
            }
            undefined(format!("`envoy.{field}` is not defined"), format!("`envoy` has {}", ENVOY.join(", ")))
        }
        "changed" if condition => None,
        "changed" => undefined("`changed` is known in `when` only".into(), String::new()),
        "user" if user => None,
        _ if ROOTS.contains(&root) || used.optional => None,
        _ => {
            let help = match nearest(root, ROOTS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("a variable is written `vars.{root}`; known are {}", ROOTS.join(", ")),
            };
            undefined(format!("`{root}` is not defined"), help)
        }
    }
}

fn report(
    reader: &mut Reader<'_>,
    written: Written,
    counter: &mut Counter<'_>,
    problem: &Problem,
    offset: usize,
) {
    let code = Code::from_number(problem.code).unwrap_or(Code::TemplateSyntax);
    let span = locate_solid(reader.source, written.span, written.style, counter.to(offset), problem.length);
    let mut diagnostic = Diagnostic::new(code, span, problem.message.clone()).help(problem.help.clone());
    diagnostic.severity = if problem.error { Severity::Error } else { Severity::Warning };
    reader.out.push(diagnostic);
}

/// An expression that stands alone. `what` is its key, with backticks.
pub(crate) fn read_expression(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Expression> {
    let condition = what == "`when`";
    let (source, style) = match &node.kind {
        Kind::Text(text) => (text.value.clone(), text.style),
        Kind::Boolean(value) if condition => (value.to_string(), Style::Plain),
        Kind::Integer(_) | Kind::Number(_) if !condition => (reader.raw(node.span).to_owned(), Style::Plain),
        _ => {
            reader.wrong_kind(node, what, "an expression");
            return None;
        }
    };
    let written = Written { span: node.span, style };
    if source.contains("{{") || source.contains("{%") {
        let message = format!("{what} is an expression already");
        let help = "write it without `{{ }}`";
        reader.report(Code::TemplateSyntax, node.span, message, help);
        return None;
    }
    if let Some(call) = vigo_template::recognise(&format!("{{{{{source}}}}}"), Place::Attribute).calls.first()
    {
        let counted = count_solid(source.get(..call.offset.saturating_sub(2)).unwrap_or_default());
        let span = locate_solid(reader.source, node.span, style, counted, 6);
        let message = format!("a secret stands in {what}");
        let help = "a condition can be guessed from what is done; secrets can only be placed";
        reader.report(Code::SecretNotAllowed, span, message, help);
        return None;
    }
    let mut uses = Uses { written: Some(written), ..Uses::default() };
    let checked = vigo_template::check_expression(&source);
    let changed = condition
        && checked.as_ref().is_ok_and(|names| names.names.iter().any(|name| name.path == "changed"));
    let before = reader.out.len();
    let mut counter = Counter { text: &source, at: 0, solid: 0 };
    take_names(reader, checked, &mut counter, written, &|offset| offset, &mut uses, condition);
    if !condition {
        refuse_questions(reader, &source, what, node.span);
    }
    let usable = !reader.out.iter().skip(before).any(|one| one.severity == Severity::Error);
    usable.then_some(Expression { source, changed, uses, span: node.span })
}

/// Functions that look at the machine exist in `when` only.
fn refuse_questions(reader: &mut Reader<'_>, source: &str, what: &str, span: Span) {
    let asked = |name: &&&str| source.contains(&format!("{name}("));
    if let Some(name) = vigo_template::PROBING.iter().find(asked) {
        let message = format!("`{name}` looks at the machine; {what} cannot");
        reader.report(Code::UnknownFunction, span, message, "such functions are known in `when` only");
    }
}
