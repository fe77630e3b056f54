//! What the server's hand says to OpenBao or Vault, so that its transit engine wraps and unwraps the master key.
//!
//! The connection is made by `vigosrv`, which has a network; the hand has none and gets the connected descriptor. TLS, HTTP and JSON are
//! spoken here, inside the hand, so that the key, and the token that opens the service, are nowhere else. Only `vigosrv` brings this crate to
//! its hand: the hands of `vigo` and `vigocli` have no TLS in them. When to try again is left to the server.
#![forbid(unsafe_code)]

mod answer;
mod connection;
mod http;
mod tls;

pub use answer::{Answer, read_answer};
pub use http::{BODY, HEAD, Response, read_response};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use connection::Connection;
use std::time::{Duration, Instant};
use vigo_hand::{FailureCode, KeyService, ServiceCall, ServiceError};
use vigo_secret::SecretBuf;
pub use vigo_secret::{is_mount, is_name};

/// How long one call may take, the handshake and a login included.
const WITHIN: Duration = Duration::from_secs(20);
/// A master key's text; what comes back is no longer.
const PLAIN: usize = 1024;

/// The transit engine of OpenBao and Vault.
pub struct Transit;

impl KeyService for Transit {
    fn wrap(&self, call: ServiceCall, plain: &[u8], bound: &[u8]) -> Result<String, ServiceError> {
        let body = json(&[("plaintext", plain), ("associated_data", bound)]);
        let answer = exchange(call, "encrypt", &body)?;
        let wrapped = answer.ciphertext.ok_or_else(|| unexpected("it has no ciphertext"))?;
        Ok(wrapped)
    }

    fn unwrap(&self, call: ServiceCall, wrapped: &str, bound: &[u8]) -> Result<SecretBuf, ServiceError> {
        let mut body = json(&[("associated_data", bound)]);
        body.truncate(body.len().saturating_sub(1));
        // Only letters, digits and signs that JSON does not know: `WrappedKey` took no others.
        body.append(format!(",\"ciphertext\":\"{wrapped}\"}}").as_bytes());
        let plain = exchange(call, "decrypt", &body)?.plaintext;
        let plain = plain.ok_or_else(|| unexpected("it has no plaintext"))?;
        let mut decoded = SecretBuf::zeroed(PLAIN);
        let written = STANDARD.decode_slice(plain.expose(), decoded.expose_mut());
        decoded.truncate(written.map_err(|_| unexpected("its plaintext is no base64, or too long"))?);
        Ok(decoded)
    }
}

/// An object of these names, each with its bytes in base64.
fn json(fields: &[(&str, &[u8])]) -> SecretBuf {
    let mut text =
        SecretBuf::with_capacity(64 + fields.iter().map(|(_, bytes)| 32 + 2 * bytes.len()).sum::<usize>());
    let mut sign: &[u8] = b"{";
    for (name, bytes) in fields {
        text.append(sign);
        text.append(format!("\"{name}\":\"").as_bytes());
        let mut encoded = SecretBuf::zeroed(bytes.len().div_ceil(3) * 4);
        // It has exactly the room that base64 takes (RFC 4648, 4).
        let _fits = STANDARD.encode_slice(bytes, encoded.expose_mut());
        text.append(encoded.expose());
        text.append(b"\"");
        sign = b",";
    }
    text.append(b"}");
    text
}

/// One call of the transit engine, behind a login where there is a role.
fn exchange(call: ServiceCall, verb: &str, body: &SecretBuf) -> Result<Answer, ServiceError> {
    let ServiceCall { connection, service, credential } = call;
    let mut connection = Connection::open(connection, &service, Instant::now() + WITHIN)?;
    check_credential(&credential)?;
    let path = format!("/v1/{}/{verb}/{}", service.mount, service.key);
    let ask = |connection: &mut Connection, path: &str, token, body: &SecretBuf, last| {
        let request = http::request(&service.authority, path, token, body, last);
        let response = connection.ask(&request)?;
        answer::understand(&response, path, &service.key)
    };
    if service.role.is_empty() {
        return ask(&mut connection, &path, Some(&credential), body, true);
    }
    let mut login = SecretBuf::with_capacity(256 + credential.len());
    login.append(format!("{{\"role_id\":\"{}\",\"secret_id\":\"", service.role).as_bytes());
    login.append(credential.expose());
    login.append(b"\"}");
    let answer = ask(&mut connection, "/v1/auth/approle/login", None, &login, false)?;
    let token = answer.token.ok_or_else(|| unexpected("it has no token"))?;
    check_credential(&token)?;
    ask(&mut connection, &path, Some(&token), body, true)
}

/// It goes into a header or a JSON text as it is.
fn check_credential(credential: &SecretBuf) -> Result<(), ServiceError> {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if !credential.is_empty() && credential.expose().iter().all(is_plain) {
        return Ok(());
    }
    let text = "cannot speak to the key service: the token or secret id is empty, or holds more than letters, digits and signs";
    Err(ServiceError::new(FailureCode::KeyFile, text))
}

fn unexpected(what: &str) -> ServiceError {
    let text =
        format!("cannot understand the answer of the key service: {what}; is it an OpenBao or a Vault?");
    ServiceError::new(FailureCode::KeyFile, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_with_base64_in_it() {
        let body = json(&[("plaintext", b"any"), ("associated_data", b"\xff\xfe")]);
        assert_eq!(body.expose(), br#"{"plaintext":"YW55","associated_data":"//4="}"#);
        let parsed: serde_json::Value = serde_json::from_slice(body.expose()).unwrap();
        assert_eq!(parsed["plaintext"], "YW55");
    }

    #[test]
    fn a_token_that_would_end_its_header_is_refused() {
        for wrong in ["", "a b", "a\r\nX: y", "a\"b", "a\\b", "ä"] {
            assert!(check_credential(&SecretBuf::copy_of(wrong.as_bytes())).is_err(), "{wrong:?}");
        }
        check_credential(&SecretBuf::copy_of(b"s.AbC-123_x.y=")).map_err(|error| error.text).unwrap();
    }
}
