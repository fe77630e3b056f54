//! A small HTTPS server in the test's own process, and the real `vigocli` as another one.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ED25519};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// What the server was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub authorization: String,
    pub kind: String,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What it answers.
pub enum Answer {
    Json(u16, Value),
    Problem(u16, Value),
    Raw(u16, &'static str, Vec<u8>),
    /// Nothing, for as long as the other side waits.
    Silence,
    /// The connection ends.
    HangUp,
}

pub type Answerer = Box<dyn Fn(&Asked) -> Answer + Send + Sync>;

pub struct Server {
    pub address: SocketAddr,
    pub folder: TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The certificate authority whose key is the anchor.
pub struct Anchor {
    key: KeyPair,
    params: CertificateParams,
    pub pem: String,
}

impl Anchor {
    pub fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { key, params, pem }
    }

    /// The anchor as the hand holds it: the seed in PKCS #8 (RFC 8410) is an OCTET STRING of 32 bytes in another one.
    pub fn signing_key(&self) -> SigningKey {
        let der = self.key.serialize_der();
        let at = der.windows(4).position(|window| window == [0x04, 0x22, 0x04, 0x20]).unwrap() + 4;
        SigningKey::from_bytes(der[at..at + 32].try_into().unwrap())
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Server {
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::with_anchor(Anchor::new(), Box::new(answer))
    }

    pub fn with_anchor(anchor: Anchor, answer: Answerer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), &anchor.pem).unwrap();
        let token = folder.path().join("token");
        fs::write(&token, "vigo-admin-0123\n").unwrap();
        fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = oneshot::channel();
        let (bound, address) = std::sync::mpsc::channel();
        let (acceptor, seen) = (anchor.acceptor(), Arc::clone(&asked));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                bound.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(listener, acceptor, Arc::from(answer), seen) => {}
                    _ = stopped => {}
                }
            });
        });
        let address = address.recv().unwrap();
        Self { address, folder, asked, stop: Some(stop), thread: Some(thread) }
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Runs `vigocli` against it.
    pub fn cli(&self, arguments: &[&str]) -> Ran {
        self.cli_with(arguments, b"")
    }

    pub fn cli_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut all = vec![
            "--server".to_owned(),
            format!("https://{}", self.address),
            "--ca-file".into(),
            self.file("ca.pem"),
            "--token-file".into(),
            self.file("token"),
        ];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        run(&all, input)
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    answer: Arc<dyn Fn(&Asked) -> Answer + Send + Sync>,
    seen: Arc<Mutex<Vec<Asked>>>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, answer, seen) = (acceptor.clone(), Arc::clone(&answer), Arc::clone(&seen));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| respond(request, Arc::clone(&answer), Arc::clone(&seen)));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(
    request: Request<Incoming>,
    answer: Arc<dyn Fn(&Asked) -> Answer + Send + Sync>,
    seen: Arc<Mutex<Vec<Asked>>>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let header = |name: &str| {
        parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        authorization: header("authorization"),
        kind: header("content-type"),
        body: body.collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec(),
    };
    seen.lock().unwrap().push(asked.clone());
    let (status, kind, body) = match answer(&asked) {
        Answer::Json(status, value) => (status, "application/json", value.to_string().into_bytes()),
        Answer::Problem(status, value) => {
            (status, "application/problem+json", value.to_string().into_bytes())
        }
        Answer::Raw(status, kind, body) => (status, kind, body),
        Answer::Silence => return std::future::pending().await,
        Answer::HangUp => return Err(std::io::Error::other("hung up")),
    };
    let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    Ok(response.header("content-type", kind).body(Full::new(Bytes::from(body))).unwrap())
}

/// What a run of `vigocli` came to.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }
}

pub fn run(arguments: &[String], input: &[u8]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vigocli"))
        .args(arguments)
        .env_remove("VIGO_SERVER")
        .env_remove("VIGO_CA_FILE")
        .env_remove("VIGO_TOKEN_FILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever does not read it has closed it.
    let _ = child.stdin.take().unwrap().write_all(input);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Ran {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// A stacks folder with these files.
pub fn stacks(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path: PathBuf = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
