//! One request as a handler sees it, and what a handler gives back.

use crate::auth::{Permission, Principal};
use crate::clock;
use crate::problem::{Code, Problem};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vigo_store::{AUDIT_FIELD, Listing, NewAudit, Page};

/// The format number in every answer.
pub const FORMAT: u32 = 1;
/// Items of a page when the caller does not say.
const PAGE: usize = 200;

/// One request: who asks, for what. Authenticated, permitted, its body whole and of the right kind.
pub struct Call {
    /// Who asks.
    pub principal: Principal,
    /// What stands in the path in place of `{..}`.
    pub parameters: BTreeMap<String, String>,
    /// What stands behind the `?`.
    pub query: BTreeMap<String, String>,
    /// The body; empty where the route takes none.
    pub body: Bytes,
}

impl Call {
    /// The part of the path that stands in place of `{name}`.
    ///
    /// # Errors
    /// When the route has none of that name.
    pub fn parameter(&self, name: &str) -> Result<&str, Problem> {
        let missing = || Problem::new(Code::Bug, format!("the route has no `{name}`"));
        self.parameters.get(name).map(String::as_str).ok_or_else(missing)
    }

    /// The value of `?name=`; empty when it is not there.
    #[must_use]
    pub fn asked(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// Which part of a list is wanted.
    #[must_use]
    pub fn page(&self) -> Page<'_> {
        let limit = self.asked("limit").parse().unwrap_or(PAGE);
        let cursor = Some(self.asked("cursor")).filter(|cursor| !cursor.is_empty());
        Page { cursor, limit }
    }

    /// The body as JSON of that shape.
    ///
    /// # Errors
    /// When it is not.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // The text of serde may quote the body: only where and of what kind is said.
            let kind = match error.classify() {
                serde_json::error::Category::Data => {
                    "it lacks a field, has an unknown one, or one of another type"
                }
                _ => "it is no JSON",
            };
            let (line, column) = (error.line(), error.column());
            Problem::new(Code::Malformed, format!("the body cannot be read at {line}:{column}: {kind}"))
        })
    }

    /// A record of this call for the audit log.
    #[must_use]
    pub fn audit(&self, action: Permission, object: &str, outcome: &str, detail: &str) -> NewAudit {
        record(self.principal.name(), action.as_str(), object, outcome, detail)
    }
}

/// The beginning of `text`: at most `limit` bytes, whole characters.
#[must_use]
pub fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or("")
}

/// A record for the audit log, as of now. What is longer than a field takes is cut: a long name must not keep a record out of the log.
#[must_use]
pub fn record(actor: &str, action: &str, object: &str, outcome: &str, detail: &str) -> NewAudit {
    NewAudit {
        at_ms: clock::now().saturating_mul(1000),
        actor: cut(actor, AUDIT_FIELD).into(),
        action: action.into(),
        object: cut(object, AUDIT_FIELD).into(),
        outcome: outcome.into(),
        detail: cut(detail, AUDIT_FIELD).into(),
    }
}

/// What a handler gives back.
#[derive(Debug)]
pub enum Answer {
    /// A JSON object.
    Json(Value),
    /// Text of that media type.
    Text(&'static str, String),
}

impl Answer {
    /// An object with the format number first.
    #[must_use]
    pub fn object(fields: Value) -> Self {
        let mut object = json!({ "format": FORMAT });
        if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
            object.extend(fields);
        }
        Self::Json(object)
    }

    /// A page of a list.
    pub fn list<T>(page: Listing<T>, show: impl FnMut(T) -> Value) -> Self {
        let items: Vec<Value> = page.items.into_iter().map(show).collect();
        Self::object(json!({ "items": items, "next": page.next }))
    }

    /// A list that is whole.
    #[must_use]
    pub fn items(items: Vec<Value>) -> Self {
        Self::object(json!({ "items": items, "next": null }))
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let (kind, text) = match self {
            Self::Json(value) => ("application/json", value.to_string()),
            Self::Text(kind, text) => (kind, text),
        };
        let mut response = text.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("short", 200), "short");
        assert_eq!(cut(&"é".repeat(150), 200).len(), 200);
        assert_eq!(cut(&format!("a{}", "é".repeat(150)), 200).len(), 199);
    }

    #[test]
    fn however_long_a_name_is_the_record_fits_into_the_log() {
        let long = "ä".repeat(AUDIT_FIELD);
        let record = record(&long, "tokens.create", &long, "allowed", &long);
        for field in [&record.actor, &record.object, &record.detail] {
            assert!(field.len() <= AUDIT_FIELD && field.len() > AUDIT_FIELD - 2);
        }
    }
}
