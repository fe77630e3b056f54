//! What a key service answers, and the key file that its answers become.

use crate::Target;
use vigo_secret::WrappedKey;
use vigo_transit::{BODY, read_answer, read_response};

pub const TARGETS: &[Target] = &[
    Target { name: "key_service_http", run: http, seeds: http_seeds },
    Target { name: "key_service_json", run: json, seeds: json_seeds },
    Target { name: "wrapped_key_file", run: key_file, seeds: key_file_seeds },
];

fn http(bytes: &[u8]) {
    let come = read_response(bytes, false);
    let ended = read_response(bytes, true);
    if let Ok(Some(response)) = &ended {
        assert!(response.body.len() <= BODY, "a body that is too long");
        assert!((200..600).contains(&response.status), "a status that is none");
    }
    assert!(!matches!(ended, Ok(None)), "it waits for what does not come");
    if let Ok(Some(response)) = come {
        let whole = ended.ok().flatten().map(|ended| (ended.status, ended.body.expose().to_vec()));
        assert_eq!(whole, Some((response.status, response.body.expose().to_vec())));
    }
}

fn http_seeds() -> Vec<Vec<u8>> {
    let texts = [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: application/json\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
        "HTTP/1.0 503 Service Unavailable\r\nX: y\r\n\r\n{\"errors\":[\"Vault is sealed\"]}",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn json(bytes: &[u8]) {
    let Ok(answer) = read_answer(bytes) else { return };
    let longest = answer.ciphertext.map_or(0, |text| text.len());
    assert!(longest <= bytes.len(), "a text that is longer than all of it");
}

fn json_seeds() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"request_id":"x","data":{"ciphertext":"vault:v1:AAEC","key_version":1},"warnings":null}"#,
        r#"{"data":{"plaintext":"YW55"},"auth":null}"#,
        r#"{"auth":{"client_token":"s.x","policies":["a"]},"data":null}"#,
        r#"{"errors":["encryption key not found"]}"#,
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn key_file(bytes: &[u8]) {
    let Ok(key) = WrappedKey::parse(bytes) else { return };
    let text = key.write();
    assert!(text.len() <= WrappedKey::TEXT && !text.contains('"'), "a text that no file holds");
    assert_eq!(WrappedKey::parse(text.as_bytes()).ok(), Some(key), "it does not read back");
}

fn key_file_seeds() -> Vec<Vec<u8>> {
    let key = WrappedKey::new([7; 16], "team/transit", "vigo-1", "vault:v12:AAEC+/==");
    key.into_iter().map(|key| key.write().into_bytes()).collect()
}
