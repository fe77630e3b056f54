//! The public face of rendering: nodes of a bundle in, values with slots out.

use crate::condition::{self, Probe};
use crate::engine::Engine;
use crate::error::{At, TemplateError};
use crate::scope::{Root, Scope};
use crate::session;
use crate::value::{rendered_data, text_of, to_rendered};
use std::collections::HashMap;
use std::sync::Arc;
use vigo_base::{SecretPath, Value};
use vigo_wire::bundle::Template;
use vigo_wire::node::{Kind, Node};

/// Renders what a bundle holds. Data passes through at no cost; the engine is built at the first template.
#[derive(Clone, Debug)]
pub struct Renderer(Arc<Engine>);

impl Renderer {
    /// A renderer over the templates of a bundle.
    pub fn new(templates: &[Template]) -> Result<Self, TemplateError> {
        let mut named = HashMap::with_capacity(templates.len());
        for template in templates {
            if named.insert(template.name.clone(), template.source.clone()).is_some() {
                let at = At { subject: format!("templates/{}", template.name), line: 0 };
                return Err(TemplateError::Other {
                    at,
                    message: "the bundle has two templates of this name".into(),
                });
            }
        }
        Ok(Self(Arc::new(Engine::new(named))))
    }

    /// Renders `node`. Secrets in it come out as slots.
    pub fn value(&self, node: &Node, scope: &Scope) -> Result<Value, TemplateError> {
        if let Some(value) = rendered_data(node) {
            return Ok(value);
        }
        let subject = subject_of(node);
        match &node.kind {
            Some(Kind::Template(_)) => self.0.text(node, &self.root(scope), &subject).map(Value::Text),
            Some(Kind::Source(name)) => {
                if !self.0.has_template(name) {
                    return Err(TemplateError::MissingTemplate {
                        at: At { subject, line: 0 },
                        name: name.clone(),
                    });
                }
                self.0.text(node, &self.root(scope), &subject).map(Value::Text)
            }
            Some(Kind::List(list)) => list
                .items
                .iter()
                .map(|item| self.value(item, scope))
                .collect::<Result<_, _>>()
                .map(Value::List),
            Some(Kind::Map(map)) => {
                let null = Node::default();
                let entry = |entry: &vigo_wire::node::Entry| {
                    Ok((entry.name.clone(), self.value(entry.value.as_ref().unwrap_or(&null), scope)?))
                };
                map.entries.iter().map(entry).collect::<Result<_, _>>().map(Value::Map)
            }
            Some(Kind::Expression(source)) => self.expression(source, scope),
            _ => Ok(Value::Null),
        }
    }

    /// Evaluates a bare expression (`case`, `foreach`), which keeps the type of its result.
    pub fn expression(&self, source: &str, scope: &Scope) -> Result<Value, TemplateError> {
        let subject = shorten(source);
        let _guard = session::Guard::enter();
        let value = self.0.expression(source, &self.root(scope), &subject)?;
        to_rendered(&value).map_err(|error| crate::error::translate(&error, &subject, true))
    }

    /// Evaluates a condition; `probe` answers what it asks about the machine.
    pub fn condition(&self, when: &str, scope: &Scope, probe: &dyn Probe) -> Result<bool, TemplateError> {
        let subject = shorten(when);
        condition::settle(probe, &subject, |answers| {
            let _guard = session::Guard::enter();
            let root = Root { answers: Some(answers), ..self.root(scope) };
            let value = self.0.expression(when, &root, &subject)?;
            condition::truth(&value, &subject)
        })
    }

    /// The path that the argument of `secret()` comes out as.
    pub fn secret_path(&self, expression: &str, scope: &Scope) -> Result<SecretPath, TemplateError> {
        let subject = shorten(expression);
        let _guard = session::Guard::enter();
        let value = self.0.expression(expression, &self.root(scope), &subject)?;
        let text = text_of(&value).map_err(|error| crate::error::translate(&error, &subject, true))?;
        let at = At { subject, line: 0 };
        text.parse().map_err(|cause: vigo_base::SecretPathError| TemplateError::Other {
            at,
            message: cause.to_string(),
        })
    }

    fn root(&self, scope: &Scope) -> Root {
        Root { engine: Arc::clone(&self.0), scope: scope.clone(), answers: None }
    }
}

/// What to call a value in messages.
fn subject_of(node: &Node) -> String {
    match &node.kind {
        Some(Kind::Template(text)) => shorten(text),
        Some(Kind::Expression(text)) => shorten(text),
        Some(Kind::Source(name)) => format!("templates/{name}"),
        _ => String::new(),
    }
}

/// The first line of a text, not too long.
fn shorten(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let short: String = line.chars().take(60).collect();
    if short.len() < text.trim().len() { format!("{short}…") } else { short }
}
