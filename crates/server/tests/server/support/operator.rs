//! An operator: HTTPS with a token, nothing else.

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vigo_secret::{SealBinding, SealPurpose, seal};

/// Who asks.
pub struct Operator {
    api: SocketAddr,
    tls: TlsConnector,
    token: Option<String>,
}

/// What was answered.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub kind: String,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn code(&self) -> String {
        assert_eq!(self.kind, "application/problem+json", "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status);
        json["code"].as_str().unwrap().to_owned()
    }

    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }
}

impl Operator {
    pub fn new(api: SocketAddr, authority: CertificateDer<'static>, token: Option<String>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { api, tls: TlsConnector::from(Arc::new(config)), token }
    }

    pub async fn send(&self, method: &str, path: &str, kind: &str, body: impl Into<Bytes>) -> Reply {
        let stream = TcpStream::connect(self.api).await.unwrap();
        let stream = self.tls.connect(ServerName::from(self.api.ip()), stream).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = hyper::Request::builder().method(method).uri(path).header("host", "localhost");
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let kind =
            response.headers().get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Reply { status, kind, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, "application/json", body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, "", "").await
    }

    /// Seals a value to the entry key as `vigocli secrets set` does, and sets it.
    pub async fn set_secret(&self, path: &str, value: &[u8]) -> Reply {
        let entry = self.get("/api/v1/entry-key").await.ok();
        let key: [u8; 32] =
            vigo_base::decode_hex(entry["key"].as_str().unwrap()).unwrap().try_into().unwrap();
        let binding = SealBinding {
            purpose: SealPurpose::Entry,
            party: &[0; 16],
            path: &path.parse().unwrap(),
            version: vigo_base::SecretVersion(0),
            epoch: 0,
            request: &[0; 16],
        };
        let sealed = seal(&key, &binding, value).unwrap();
        let body = json!({
            "format": 1,
            "key_id": entry["key_id"],
            "encapsulated": base64(&sealed.encapsulated),
            "ciphertext": base64(&sealed.ciphertext),
        });
        self.send("PUT", &format!("/api/v1/secrets/{path}"), "application/json", body.to_string()).await
    }

    /// Publishes a tree; it must be taken.
    pub async fn publish(&self, tree: Value) -> Value {
        self.post("/api/v1/config/publish", &json!({ "message": "test", "tree": tree })).await.ok()
    }

    /// Makes a token; gives its line.
    pub async fn token(&self, wanted: Value) -> String {
        let made = self.post("/api/v1/tokens", &wanted).await.ok();
        made["token"].as_str().unwrap().to_owned()
    }

    /// Every record of the audit log, oldest first, as `actor action object outcome`.
    pub async fn audit(&self) -> Vec<String> {
        let list = self.get("/api/v1/audit?limit=1000").await.ok();
        let line = |record: &Value| {
            let field = |name: &str| record[name].as_str().unwrap().to_owned();
            format!("{} {} {} {}", field("actor"), field("action"), field("object"), field("outcome"))
        };
        list["items"].as_array().unwrap().iter().rev().map(line).collect()
    }
}

pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
