//! What the service answered. Its own words are never handed on: a service that means ill could put a key or a token into them.

use crate::http::Response;
use crate::unexpected;
use serde::Deserialize;
use vigo_hand::{FailureCode, ServiceError};
use vigo_secret::SecretBuf;

/// What is used of an answer. Nothing of it is shown: it has no `Debug`.
#[derive(Default)]
pub struct Answer {
    /// `data.ciphertext`.
    pub ciphertext: Option<String>,
    /// `data.plaintext`: base64 of a key.
    pub plaintext: Option<SecretBuf>,
    /// `auth.client_token`.
    pub token: Option<SecretBuf>,
    /// What the texts under `errors` are about, as far as it is known.
    pub trouble: Trouble,
}

/// What a service has against a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// It does not say, or nothing that is known.
    #[default]
    Unknown,
    /// The storage is not opened yet.
    Sealed,
    /// There is no such key.
    NoKey,
    /// There is no such engine.
    NoMount,
    /// The bytes are not its own, or not these.
    NotItsOwn,
}

/// What of the JSON is read; the rest is passed over.
#[derive(Deserialize)]
struct Body {
    data: Option<Data>,
    auth: Option<Auth>,
    errors: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Data {
    ciphertext: Option<String>,
    plaintext: Option<String>,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Option<String>,
}

/// Reads a body, of at most [`crate::BODY`] bytes and 127 levels.
///
/// # Errors
/// When it is no JSON of that form.
pub fn read_answer(body: &[u8]) -> Result<Answer, &'static str> {
    if body.len() > crate::BODY {
        return Err("its body has more than 64 KiB");
    }
    // The texts are taken over, not copied; the allocator of the hand wipes what is freed.
    let secret = |text: String| SecretBuf::from_vec(text.into_bytes());
    let body: Body =
        serde_json::from_slice(body).map_err(|_| "it is no JSON of the form that it should have")?;
    let (ciphertext, plaintext) = body.data.map_or((None, None), |data| (data.ciphertext, data.plaintext));
    Ok(Answer {
        ciphertext,
        plaintext: plaintext.map(secret),
        token: body.auth.and_then(|auth| auth.client_token).map(secret),
        trouble: body.errors.map_or(Trouble::Unknown, |errors| trouble(&errors)),
    })
}

/// The texts that OpenBao and Vault have (`vault/`, `builtin/logical/transit/` of their sources).
fn trouble(errors: &[String]) -> Trouble {
    let says = |words: &str| errors.iter().any(|error| error.to_ascii_lowercase().contains(words));
    match () {
        () if says("sealed") => Trouble::Sealed,
        () if says("key not found") => Trouble::NoKey,
        () if says("no handler for route") || says("unsupported path") => Trouble::NoMount,
        () if says("message authentication failed") || says("invalid ciphertext") => Trouble::NotItsOwn,
        () => Trouble::Unknown,
    }
}

/// What an answer means.
pub(crate) fn understand(response: &Response, path: &str, key: &str) -> Result<Answer, ServiceError> {
    let status = response.status;
    if (200..300).contains(&status) {
        return read_answer(response.body.expose()).map_err(unexpected);
    }
    let trouble = read_answer(response.body.expose()).map(|answer| answer.trouble).unwrap_or_default();
    let refused = |why: &str| {
        let text = format!(
            "cannot have the master key wrapped or unwrapped: the key service {why} (status {status}, `{path}`)"
        );
        Err(ServiceError::new(FailureCode::KeyFile, text))
    };
    let not_now = |why: &str| {
        let text = format!(
            "cannot have the master key wrapped or unwrapped now: the key service {why} (status {status})"
        );
        Err(ServiceError::new(FailureCode::NotNow, text))
    };
    let aead = "is it of a type with associated data (aes256-gcm96, chacha20-poly1305, xchacha20-poly1305), and not a derived one?";
    match (status, trouble) {
        (_, Trouble::Sealed) => not_now("is sealed: unseal it"),
        (429 | 472 | 473 | 500..=599, _) => not_now("cannot answer"),
        (_, Trouble::NoKey) => refused(&format!("has no key `{key}` there")),
        (_, Trouble::NoMount) => refused("has no such engine there: `transit_mount` says which"),
        (_, Trouble::NotItsOwn) => {
            refused(&format!("says that it is not under its key `{key}`, or of another store"))
        }
        (401 | 403, _) => refused(
            "refuses the token: it may be wrong or expired, or its policy lacks `update` on this path",
        ),
        (400, _) if path.starts_with("/v1/auth/") => refused("refuses the role id or the secret id"),
        (400, _) => refused(&format!("refuses the request: it may have no key `{key}`; {aead}")),
        (300..=399, _) => {
            refused("sends elsewhere: name the active node, or what stands before it, as `transit_address`")
        }
        _ => refused("refuses the request"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(status: u16, body: &str) -> Result<Answer, ServiceError> {
        understand(
            &Response { status, body: SecretBuf::copy_of(body.as_bytes()) },
            "/v1/transit/encrypt/vigo",
            "vigo",
        )
    }

    #[test]
    fn what_is_used_is_read_and_the_rest_passed_over() {
        let body =
            r#"{"request_id":"x","data":{"ciphertext":"vault:v1:AA==","key_version":1},"warnings":null}"#;
        assert_eq!(read_answer(body.as_bytes()).ok().unwrap().ciphertext.unwrap(), "vault:v1:AA==");
        let body = r#"{"auth":{"client_token":"t","policies":["a"]},"data":null}"#;
        assert_eq!(read_answer(body.as_bytes()).ok().unwrap().token.unwrap().expose(), b"t");
        for wrong in [
            "",
            "[]",
            "{",
            r#"{"data":1}"#,
            r#"{"data":{"plaintext":1}}"#,
            r#"{"data":{"plaintext":"a","plaintext":"b"}}"#,
        ] {
            assert!(read_answer(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let deep = "[".repeat(60_000);
        assert!(read_answer(format!(r#"{{"x":{deep}"#).as_bytes()).is_err());
    }

    #[test]
    fn what_may_pass_is_told_from_what_must_be_mended() {
        for (status, body, code, word) in [
            (503, r#"{"errors":["Vault is sealed"]}"#, FailureCode::NotNow, "unseal"),
            (503, "busy", FailureCode::NotNow, "cannot answer"),
            (429, "", FailureCode::NotNow, "cannot answer"),
            (403, r#"{"errors":["permission denied"]}"#, FailureCode::KeyFile, "token"),
            (400, r#"{"errors":["encryption key not found"]}"#, FailureCode::KeyFile, "no key `vigo`"),
            (404, r#"{"errors":["no handler for route"]}"#, FailureCode::KeyFile, "transit_mount"),
            (307, "", FailureCode::KeyFile, "active node"),
            (418, "", FailureCode::KeyFile, "418"),
        ] {
            let error = understood(status, body).err().unwrap();
            assert_eq!(error.code, code, "{status} {body}");
            assert!(error.text.contains(word), "{status} {body}: {}", error.text);
        }
    }

    #[test]
    fn the_services_own_words_are_not_handed_on() {
        let error = understood(400, r#"{"errors":["bad token s.SECRETTOKEN"]}"#).err().unwrap();
        assert!(!error.text.contains("SECRETTOKEN"), "{}", error.text);
    }
}
