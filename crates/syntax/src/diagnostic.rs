//! A diagnostic: one mistake in a policy, with the place and the way out.

use crate::{Code, Severity};
use vigo_base::Span;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// Where.
    pub span: Span,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do; may be empty.
    pub help: String,
    /// Other places that belong to it.
    pub related: Vec<Related>,
}

/// Another place that belongs to a diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// Where.
    pub span: Span,
    /// What is there.
    pub message: String,
}

impl Diagnostic {
    /// A diagnostic of that code, with the severity the code has.
    #[must_use]
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        let severity = code.severity();
        Self { code, severity, span, message: message.into(), help: String::new(), related: Vec::new() }
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// With another place.
    #[must_use]
    pub fn related(mut self, span: Span, message: impl Into<String>) -> Self {
        self.related.push(Related { span, message: message.into() });
        self
    }
}

/// True if one of them is an error.
#[must_use]
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// Puts them in the order of files and places, and drops those that are said twice: what many envoys share is checked for each.
pub fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|one, other| {
        let key = |diagnostic: &Diagnostic| (diagnostic.span.file, diagnostic.span.start, diagnostic.code);
        key(one).cmp(&key(other)).then_with(|| one.message.cmp(&other.message))
    });
    diagnostics.dedup_by(|one, other| {
        one.span == other.span && one.code == other.code && one.message == other.message
    });
}
