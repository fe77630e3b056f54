//! A policy after checking: what the files say, by name, with the places where they say it.

use crate::glob::Glob;
use std::collections::{BTreeMap, HashMap};
use vigo_base::{SecretPath, Span};
use vigo_resource::{AttributeInfo, TypeInfo};
use vigo_syntax::Style;
use vigo_wire::node::Node;

/// A checked policy. Only [`crate::check`] makes one. Compile it when no error was reported.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Paths of the files, by their number in spans.
    pub(crate) paths: Vec<String>,
    pub(crate) configcrates: Vec<Configcrate>,
    pub(crate) by_name: HashMap<String, usize>,
    pub(crate) roles: BTreeMap<String, Role>,
    /// `common.vgo` files, outer folders first.
    pub(crate) commons: Vec<Common>,
    /// Environments of all `environments.vgo` files, outer folders first.
    pub(crate) environments: Vec<Environment>,
    /// Match blocks in the order in which they are tried.
    pub(crate) blocks: Vec<Block>,
    pub(crate) templates: BTreeMap<String, TemplateFile>,
    /// A file that is applied by itself: all its configcrates, for whoever asks.
    pub(crate) alone: bool,
}

/// A name in a file.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub name: String,
    pub span: Span,
}

/// Where a text stands, so that places in it can be found again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub span: Span,
    pub style: Style,
}

/// A value as it goes into a bundle, and what it refers to.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub node: Node,
    pub leaves: Vec<Leaf>,
    pub span: Span,
}

/// A text in a value that refers to something.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// Keys and indices from the value to the text.
    pub path: Vec<String>,
    pub uses: Uses,
}

/// What a text refers to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses {
    pub written: Option<Written>,
    pub names: Vec<NameUse>,
    pub secrets: Vec<SecretCall>,
    /// Templates: what `source` names, or what a template includes.
    pub templates: Vec<Named>,
}

/// A dotted name in an expression.
#[derive(Clone, Debug)]
pub(crate) struct NameUse {
    /// `vars.port`, step by step.
    pub steps: Vec<String>,
    /// It may be missing: `default` or `is defined` stands behind it.
    pub optional: bool,
    /// Characters that are no white space before it.
    pub solid: usize,
    pub length: usize,
}

/// A reference to a secret.
#[derive(Clone, Debug)]
pub(crate) struct SecretCall {
    pub path: Option<SecretPath>,
    pub expression: String,
    pub solid: usize,
    pub length: usize,
}

/// An expression that stands alone: `when`, `case`, `where`, `foreach`.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    pub source: String,
    /// `changed` stands in it.
    pub changed: bool,
    pub uses: Uses,
    pub span: Span,
}

/// A variable with its value.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub name: Named,
    pub value: Value,
}

/// What a list of configcrates may hold.
#[derive(Clone, Debug)]
pub(crate) enum Mention {
    Role(Named),
    Configcrate(Named),
}

/// A `common.vgo`.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub folder: String,
    pub mentions: Vec<Mention>,
    pub variables: Vec<Variable>,
}

/// One environment of one `environments.vgo`.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub folder: String,
    pub name: Named,
    pub variables: Vec<Variable>,
    pub configcrates: Vec<Named>,
    pub exclude: Vec<Named>,
}

/// A role of `roles.vgo`.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub name: Named,
    pub members: Vec<Member>,
}

/// What a role is made of.
#[derive(Clone, Debug)]
pub(crate) enum Member {
    Configcrate(Named),
    Include(Named),
    Case { case: Expression, branches: Vec<(String, Vec<Named>)> },
}

/// A match block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub folder: String,
    pub span: Span,
    pub matcher: Matcher,
    pub environment: Option<Named>,
    pub mentions: Vec<Mention>,
    pub variables: Vec<Variable>,
    pub exclude: Vec<Named>,
    pub observe: bool,
}

/// Whom a match block is for.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    Names(Vec<(Glob, Span)>),
    Where(Expression),
}

/// A configcrate.
#[derive(Clone, Debug)]
pub(crate) struct Configcrate {
    pub name: Named,
    pub variables: Vec<Variable>,
    pub resources: Vec<Resource>,
    pub depends_on: Vec<Named>,
    pub when: Option<Expression>,
    pub foreach: Option<Foreach>,
}

/// What `foreach` goes over.
#[derive(Clone, Debug)]
pub(crate) enum Foreach {
    /// Written in place.
    Value(Value),
    /// `vars.list` or another expression.
    Expression(Expression),
}

impl Foreach {
    pub const fn span(&self) -> Span {
        match self {
            Self::Value(value) => value.span,
            Self::Expression(expression) => expression.span,
        }
    }
}

/// A resource.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub kind: &'static TypeInfo,
    /// The written name.
    pub name: Option<Named>,
    /// Where it begins.
    pub span: Span,
    /// With the configcrate's defaults.
    pub attributes: Vec<Attribute>,
    pub case: Option<Expression>,
    pub branches: Vec<(String, Vec<Attribute>)>,
    pub when: Option<Expression>,
    pub foreach: Option<Foreach>,
    pub depends_on: Vec<Named>,
    pub before: Vec<Named>,
    pub notify: Vec<Named>,
    pub subscribes: Vec<Named>,
    pub subscribes_secrets: Vec<(SecretPath, Span)>,
    pub timeout_ms: u64,
    pub allow_exposure: Vec<String>,
}

/// An attribute of a resource.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub name: Named,
    /// `None` for `state`.
    pub info: Option<&'static AttributeInfo>,
    pub value: Value,
}

/// A file under `templates/`.
#[derive(Clone, Debug)]
pub(crate) struct TemplateFile {
    pub source: String,
    pub uses: Uses,
}

impl Policy {
    /// `file:line`, as messages of a run show it.
    pub(crate) fn origin(&self, span: Span) -> String {
        let path = usize::try_from(span.file).ok().and_then(|file| self.paths.get(file));
        format!("{}:{}", path.map_or("", String::as_str), span.position.line)
    }
}

impl Resource {
    /// The attribute of that name, outside `match`.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name.name == name)
    }

    /// Every attribute, those of `match` too.
    pub fn all_attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().chain(self.branches.iter().flat_map(|(_, attributes)| attributes))
    }

    /// The state as written, if it is a plain word.
    pub fn state(&self) -> &str {
        match self.attribute("state").and_then(|attribute| attribute.value.node.kind.as_ref()) {
            Some(vigo_wire::node::Kind::Literal(state)) => state,
            Some(_) => "",
            None => self.kind.default_state(),
        }
    }

    /// True if it acts when something notifies it, and not by itself.
    pub fn waits_for_change(&self) -> bool {
        self.when.as_ref().is_some_and(|when| when.changed)
    }
}
