//! Why something cannot be rendered, in words for whoever wrote it.

use minijinja::ErrorKind;
use std::fmt;
use vigo_base::Blame;

/// Why something cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A name that is not defined.
    #[error("cannot render {at}: {message}")]
    Undefined {
        /// Where.
        at: At,
        /// What is not defined, with a near match.
        message: String,
    },
    /// A secret used as if its value were known.
    #[error("cannot render {at}: {message}; {help}")]
    Secret {
        /// Where.
        at: At,
        /// What was tried.
        message: String,
        /// What can be done with a secret.
        help: String,
    },
    /// Variables that refer to each other in a circle.
    #[error("cannot render {at}: variables refer to each other in a circle: {circle}")]
    Cycle {
        /// Where.
        at: At,
        /// The circle, as `a -> b -> a`.
        circle: String,
    },
    /// More work, text or depth than allowed.
    #[error("cannot render {at}: {message}")]
    Limit {
        /// Where.
        at: At,
        /// Which limit.
        message: String,
    },
    /// The text depends on traits or on the node's seed, and there are none here (at publish).
    #[error("cannot render {at}: it depends on what only the envoy knows")]
    NeedsTraits {
        /// Where.
        at: At,
    },
    /// A template that is not in the bundle.
    #[error("cannot render {at}: there is no template `{name}`")]
    MissingTemplate {
        /// Where.
        at: At,
        /// Its name.
        name: String,
    },
    /// It cannot be parsed, or an operation does not fit its operands.
    #[error("cannot render {at}: {message}")]
    Other {
        /// Where.
        at: At,
        /// What is wrong.
        message: String,
    },
}

impl TemplateError {
    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        Blame::Author
    }

    /// The diagnostic code that fits, for what is rendered at publish.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Undefined { .. } => "V021",
            Self::Secret { .. } => "V025",
            Self::Cycle { .. } => "V028",
            Self::MissingTemplate { .. } => "V026",
            Self::Limit { .. } | Self::NeedsTraits { .. } | Self::Other { .. } => "V020",
        }
    }
}

/// Where in the policy's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// The template's name, or the beginning of the value.
    pub subject: String,
    /// Line, from 1; 0 when not known.
    pub line: usize,
}

impl fmt::Display for At {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}`", self.subject)?;
        if self.line > 1 { write!(out, " line {}", self.line) } else { Ok(()) }
    }
}

/// What we ourselves refuse in a hook of the engine; travels as the source of the engine's error.
#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: FaultKind,
    pub message: String,
    pub help: String,
}

/// Which error it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    Undefined,
    Secret,
    Cycle,
    Limit,
    NeedsTraits,
    Other,
}

impl Fault {
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: String::new() }
    }

    pub fn secret(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Secret, message)
    }

    pub fn help(mut self, help: &str) -> Self {
        self.help = help.into();
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for minijinja::Error {
    fn from(fault: Fault) -> Self {
        Self::new(ErrorKind::InvalidOperation, fault.message.clone()).with_source(fault)
    }
}

/// Makes our error of the engine's. `secrets` says that values with secrets were about.
pub fn translate(error: &minijinja::Error, subject: &str, secrets: bool) -> TemplateError {
    let mut deepest = error;
    let mut fault = None;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(this) = cause {
        if let Some(inner) = this.downcast_ref::<TemplateError>() {
            return inner.clone();
        }
        if let Some(inner) = this.downcast_ref::<Fault>() {
            fault = Some(inner);
        }
        if let Some(inner) = this.downcast_ref::<minijinja::Error>() {
            deepest = inner;
        }
        cause = this.source();
    }
    let name = deepest.name().filter(|name| !name.starts_with('<'));
    let at = At {
        subject: name.map_or_else(|| subject.to_owned(), |name| format!("templates/{name}")),
        line: deepest.line().unwrap_or(0),
    };
    if let Some(fault) = fault {
        return from_fault(fault, at);
    }
    let detail = deepest.detail().map_or_else(|| deepest.kind().to_string(), str::to_owned);
    from_engine(deepest.kind(), detail, at, secrets)
}

fn from_fault(fault: &Fault, at: At) -> TemplateError {
    let message = fault.message.clone();
    match fault.kind {
        FaultKind::Undefined => TemplateError::Undefined { at, message },
        FaultKind::Secret => TemplateError::Secret { at, message, help: fault.help.clone() },
        FaultKind::Cycle => TemplateError::Cycle { at, circle: message },
        FaultKind::Limit => TemplateError::Limit { at, message },
        FaultKind::NeedsTraits => TemplateError::NeedsTraits { at },
        FaultKind::Other => TemplateError::Other { at, message },
    }
}

fn from_engine(kind: ErrorKind, detail: String, at: At, secrets: bool) -> TemplateError {
    // The engine's word for an object that is nothing else; the only such values about are secrets.
    if secrets && detail.contains("plain object") {
        let message = detail.replace("plain object", "secret");
        return TemplateError::Secret { at, message, help: crate::problem::SECRET_HELP.into() };
    }
    match kind {
        // What it says of an operand that is neither number nor text.
        ErrorKind::InvalidOperation if secrets && detail == kind.to_string() => TemplateError::Secret {
            at,
            message: "a secret cannot be calculated with".into(),
            help: crate::problem::SECRET_HELP.into(),
        },
        ErrorKind::UndefinedError => TemplateError::Undefined { at, message: detail },
        ErrorKind::OutOfFuel => {
            TemplateError::Limit { at, message: "it takes more steps than a template may".into() }
        }
        ErrorKind::TemplateNotFound => {
            let name = detail.split('"').nth(1).unwrap_or(&detail).to_owned();
            TemplateError::MissingTemplate { at, name }
        }
        _ => TemplateError::Other { at, message: detail },
    }
}
