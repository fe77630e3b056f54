//! The template engine with our rules: strict names, bounded work, no access to anything, secrets as slots.

use crate::error::{At, Fault, TemplateError, translate};
use crate::filters;
use crate::prepare::{prepare, prepare_expression};
use crate::problem::{Problem, SECRET_HELP};
use crate::scope::Root;
use crate::session;
use crate::slot::{Tainted, tainted};
use crate::value::text_of;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};
use vigo_base::{Pieces, limits};
use vigo_wire::node::{Kind, Node};

/// Steps that one rendering may take; a byte of output is the 64th part of one.
const FUEL: u64 = 4_000_000;
/// How deep includes (10 each), macros (4 each) and blocks may nest.
const RECURSION: usize = 200;

/// The engine over the templates of one bundle. The real one is built when first needed.
#[derive(Debug)]
pub struct Engine {
    templates: Arc<HashMap<String, String>>,
    environment: OnceLock<Environment<'static>>,
}

/// An environment with our rules and no templates.
pub fn bare_environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    // Building it fails for ambiguous delimiters only, and these are the default ones.
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_debug(true);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.set_formatter(write_value);
    filters::install(&mut environment);
    environment
}

impl Engine {
    pub fn new(templates: HashMap<String, String>) -> Self {
        Self { templates: Arc::new(templates), environment: OnceLock::new() }
    }

    fn environment(&self) -> &Environment<'static> {
        self.environment.get_or_init(|| {
            let mut environment = bare_environment();
            let templates = Arc::clone(&self.templates);
            environment.set_loader(move |name| match templates.get(name) {
                None => Ok(None),
                Some(source) => prepare(source).map(|prepared| Some(prepared.text)).map_err(syntax_error),
            });
            environment
        })
    }

    pub fn has_template(&self, name: &str) -> bool {
        self.templates.contains_key(name)
    }

    /// Renders `node` to a value of the engine. `subject` says what it is when its text does not.
    pub fn evaluate(&self, node: &Node, root: &Root, subject: &str) -> Result<Value, TemplateError> {
        match &node.kind {
            Some(Kind::Template(_) | Kind::Source(_)) => {
                let pieces = self.text(node, root, subject)?;
                Ok(match pieces.as_literal() {
                    Some(text) => Value::from(text),
                    None => tainted(pieces),
                })
            }
            Some(Kind::Expression(source)) => self.expression(source, root, subject),
            Some(Kind::List(list)) => list
                .items
                .iter()
                .map(|item| self.evaluate(item, root, subject))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::from),
            Some(Kind::Map(map)) => {
                let null = Node::default();
                let pairs = map.entries.iter().map(|entry| {
                    let value = self.evaluate(entry.value.as_ref().unwrap_or(&null), root, subject)?;
                    Ok((Value::from(entry.name.as_str()), value))
                });
                Ok(Value::from_pairs(pairs.collect::<Result<Vec<_>, TemplateError>>()?))
            }
            _ => Ok(crate::value::from_data(node)),
        }
    }

    /// Evaluates an expression; a name that is not defined is an error.
    pub fn expression(&self, source: &str, root: &Root, subject: &str) -> Result<Value, TemplateError> {
        let _guard = session::Guard::enter();
        let fail = |error: &Error| suggest(translate(error, subject, session::is_tainted()), root);
        let prepared = prepare_expression(source).map_err(|problem| unparsed(&problem, subject))?;
        let environment = self.environment();
        let compiled = environment.compile_expression_owned(prepared.text).map_err(|error| fail(&error))?;
        let value = compiled.eval(Value::from_object(root.clone())).map_err(|error| fail(&error))?;
        refused(subject)?;
        if value.is_undefined() {
            let at = At { subject: subject.to_owned(), line: 0 };
            let message = format!("`{}` is undefined", source.trim());
            return Err(suggest(TemplateError::Undefined { at, message }, root));
        }
        Ok(value)
    }

    /// Renders a template or a source to text.
    pub fn text(&self, node: &Node, root: &Root, subject: &str) -> Result<Pieces, TemplateError> {
        let _guard = session::Guard::enter();
        let mut sink = Sink { pieces: Pieces::default(), room: limits::RENDERED, full: false };
        let context = Value::from_object(root.clone());
        let environment = self.environment();
        let outcome = match &node.kind {
            Some(Kind::Source(name)) => environment
                .get_template(name)
                .and_then(|template| template.render_captured_to(context, &mut sink).map(drop)),
            Some(Kind::Template(source)) => {
                let prepared = prepare(source).map_err(|problem| unparsed(&problem, subject))?;
                environment
                    .template_from_named_str("<value>", &prepared.text)
                    .and_then(|template| template.render_captured_to(context, &mut sink).map(drop))
            }
            _ => Ok(()),
        };
        if sink.full {
            let at = At { subject: subject.to_owned(), line: 0 };
            let message = format!("it renders to more than {} MiB", limits::RENDERED >> 20);
            return Err(TemplateError::Limit { at, message });
        }
        outcome.map_err(|error| suggest(translate(&error, subject, session::is_tainted()), root))?;
        refused(subject)?;
        Ok(sink.pieces)
    }
}

/// Fails if something was done to a secret that must not be.
fn refused(subject: &str) -> Result<(), TemplateError> {
    match session::refused() {
        None => Ok(()),
        Some(what) => Err(TemplateError::Secret {
            at: At { subject: subject.to_owned(), line: 0 },
            message: format!("a secret cannot be {what}"),
            help: SECRET_HELP.into(),
        }),
    }
}

fn unparsed(problem: &Problem, subject: &str) -> TemplateError {
    TemplateError::Other { at: At { subject: subject.to_owned(), line: 0 }, message: problem.message.clone() }
}

fn syntax_error(problem: Problem) -> Error {
    Error::new(ErrorKind::SyntaxError, problem.message)
}

/// Adds what was probably meant to an error about a name.
fn suggest(error: TemplateError, root: &Root) -> TemplateError {
    let TemplateError::Undefined { at, message } = error else { return error };
    let path = message.split('`').nth(1).unwrap_or_default().to_owned();
    let message = message.replace("is undefined", "is not defined");
    let message = match root.scope.suggest(&path) {
        Some(near) if near != path => format!("{message}; did you mean `{near}`?"),
        _ => message,
    };
    TemplateError::Undefined { at, message }
}

/// Writes the value of a `{{ }}`. A secret goes past the text, straight into the sink.
fn write_value(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if let Some(Tainted(pieces)) = value.downcast_object_ref::<Tainted>() {
        session::announce(pieces.clone());
        out.write_str("\u{fffc}")?;
        // The sink took it, unless the output goes elsewhere: then nothing but the placeholder went there.
        return match session::take_announced() {
            None => Ok(()),
            Some(_) => Err(Fault::secret(
                "a secret stands in a macro or a block whose output is text for further use",
            )
            .help(SECRET_HELP)
            .into()),
        };
    }
    if let Some(text) = value.as_str() {
        return Ok(out.write_str(text)?);
    }
    // The missing `else` of `{{ a if b }}` is nothing; other undefined names do not come here.
    if value.is_undefined() {
        return Ok(());
    }
    Ok(out.write_str(&text_of(value)?)?)
}

/// Where rendered text goes.
struct Sink {
    pieces: Pieces,
    room: usize,
    full: bool,
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(pieces) = session::take_announced() {
            for piece in pieces.as_slice() {
                match piece {
                    vigo_base::Piece::Literal(text) => self.pieces.push_literal(text.as_str()),
                    vigo_base::Piece::Slot(slot) => self.pieces.push_slot(slot.clone()),
                }
            }
            return Ok(bytes.len());
        }
        let room = self.room.checked_sub(bytes.len());
        let (Some(room), Ok(text)) = (room, std::str::from_utf8(bytes)) else {
            self.full = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        };
        self.room = room;
        self.pieces.push_literal(text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
