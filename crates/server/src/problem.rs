//! What the REST side answers when the answer is no: problem+json (RFC 9457) with a code from one list.
//!
//! Codes are part of the interface and never renumbered or renamed. Causes that a stranger must not see go to the log instead.

use crate::ServerError;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use vigo_base::Blame;
use vigo_base::chain;
use vigo_hand::{FailureCode, HandError};
use vigo_store::StoreError;

/// Every reason for which a request can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// No token, or one that is not known here.
    NotLoggedIn,
    /// The token is known and may not do this.
    NotPermitted,
    /// No such route, or nothing of that name.
    NotFound,
    /// The route is there, the method is not.
    Method,
    /// The request cannot be read.
    Malformed,
    /// The body is longer than the route takes.
    TooLarge,
    /// The body is of a kind that the route does not take.
    MediaType,
    /// Someone else was faster, or the thing is in a state that forbids it.
    Conflict,
    /// What was sent can be read and is wrong.
    Invalid,
    /// Sealed to a key that is not the entry key.
    WrongKey,
    /// Too much at once; try again.
    Busy,
    /// It took too long.
    Timeout,
    /// The machine that the server runs on stood in the way.
    Machine,
    /// Vigo is at fault.
    Bug,
}

impl Code {
    /// All of them, in the order of the manual.
    pub const ALL: [Self; 14] = [
        Self::NotLoggedIn,
        Self::NotPermitted,
        Self::NotFound,
        Self::Method,
        Self::Malformed,
        Self::TooLarge,
        Self::MediaType,
        Self::Conflict,
        Self::Invalid,
        Self::WrongKey,
        Self::Busy,
        Self::Timeout,
        Self::Machine,
        Self::Bug,
    ];

    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::NotLoggedIn => ("not-logged-in", StatusCode::UNAUTHORIZED, "not logged in"),
            Self::NotPermitted => ("not-permitted", StatusCode::FORBIDDEN, "not permitted"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "not found"),
            Self::Method => ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
            Self::Malformed => ("malformed", StatusCode::BAD_REQUEST, "the request cannot be read"),
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "the request is too large"),
            Self::MediaType => {
                ("media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "the request is of another kind")
            }
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "conflict"),
            Self::Invalid => ("invalid", StatusCode::UNPROCESSABLE_ENTITY, "what was sent is wrong"),
            Self::WrongKey => ("wrong-key", StatusCode::CONFLICT, "sealed to another key"),
            Self::Busy => ("busy", StatusCode::SERVICE_UNAVAILABLE, "the server is busy"),
            Self::Timeout => ("timeout", StatusCode::GATEWAY_TIMEOUT, "it took too long"),
            Self::Machine => ("machine", StatusCode::INTERNAL_SERVER_ERROR, "the server's machine failed"),
            Self::Bug => ("bug", StatusCode::INTERNAL_SERVER_ERROR, "the server failed"),
        }
    }

    /// The word in `code`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().1
    }
}

/// One refusal.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    help: String,
    diagnostics: Vec<Value>,
}

impl Problem {
    /// A refusal; `detail` says what of this request, lower case, objects in backticks.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), help: String::new(), diagnostics: Vec::new() }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// Adds what is wrong with the tree.
    #[must_use]
    pub fn diagnostics(mut self, diagnostics: Vec<Value>) -> Self {
        self.diagnostics = diagnostics;
        self
    }

    /// Which one.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What of this request.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<ServerError> for Problem {
    /// What the caller did wrong is told; what is wrong with the server is told in general, and logged.
    fn from(error: ServerError) -> Self {
        let text = error.to_string();
        let code = match &error {
            ServerError::Store(error) => of_store(error),
            ServerError::Hand(error) => of_hand(error),
            _ => None,
        };
        if let Some(code) = code {
            return Self::new(code, text);
        }
        if matches!(error, ServerError::Forged { what: "policies of secrets", .. }) {
            tracing::error!("{text}");
            return Self::new(Code::Conflict, "the stored policies of secrets are not this server's: somebody wrote to the database past it")
                .help("restore store.db from a backup, or look at `vigocli secrets policy list` and take them as they are: `vigocli secrets policy accept`");
        }
        tracing::error!(error = chain(&error), "a request failed");
        let (code, detail) = match error.blame() {
            Blame::Bug => (Code::Bug, "the request hit a fault of vigosrv"),
            _ => (Code::Machine, "the server's machine stood in the way"),
        };
        Self::new(code, detail).help("the server's log says what happened")
    }
}

const fn of_store(error: &StoreError) -> Option<Code> {
    match error {
        StoreError::NotFound { .. } => Some(Code::NotFound),
        StoreError::Cursor => Some(Code::Malformed),
        StoreError::TooLarge { .. } => Some(Code::TooLarge),
        StoreError::TooMany { .. } => Some(Code::Invalid),
        StoreError::StaleBase { .. }
        | StoreError::SecretVersion { .. }
        | StoreError::PolicyRevision { .. }
        | StoreError::NotRevoked { .. }
        | StoreError::Revoked { .. } => Some(Code::Conflict),
        _ => None,
    }
}

fn of_hand(error: &HandError) -> Option<Code> {
    match error.code()? {
        FailureCode::Sealed | FailureCode::Input | FailureCode::Author => Some(Code::Invalid),
        FailureCode::Room => Some(Code::Busy),
        _ => None,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (code, status, title) = self.code.row();
        let mut body = json!({
            "type": format!("urn:vigo:problem:{code}"),
            "title": title,
            "status": status.as_u16(),
            "code": code,
            "detail": self.detail,
            "help": self.help,
        });
        if let Some(fields) = body.as_object_mut().filter(|_| !self.diagnostics.is_empty()) {
            fields.insert("diagnostics".into(), Value::Array(self.diagnostics));
        }
        let mut response = (status, body.to_string()).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_word_and_a_status_that_says_no() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| code.status().as_u16() >= 400));
    }
}
