//! A key service over TLS that answers what the test says, or nothing yet; and remembers what it was asked.

use super::openbao::certificate;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

/// A service whose answers are given one by one.
pub struct KeyService {
    /// Where it is.
    pub address: SocketAddr,
    /// Who vouches for it.
    pub ca_file: String,
    asked: Receiver<String>,
    answers: Sender<String>,
}

impl KeyService {
    /// Listens on loopback; its thread ends with the test's process.
    pub fn start(home: &Path) -> Self {
        let (pem, key) = certificate();
        let ca_file = home.join("service.pem");
        std::fs::write(&ca_file, &pem).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let ((asking, asked), (answers, answering)) = (channel(), channel());
        let answering = Mutex::new(answering);
        std::thread::spawn(move || {
            for stream in listener.incoming().map(Result::unwrap) {
                let session = ServerConnection::new(Arc::new(config.clone())).unwrap();
                if serve(StreamOwned::new(session, stream), &asking, &answering.lock().unwrap()).is_none() {
                    return;
                }
            }
        });
        Self { address, ca_file: ca_file.to_str().unwrap().into(), asked, answers }
    }

    /// Waits for a request, and gives it, head and body. The other side waits on for its answer.
    pub fn asked(&self) -> String {
        self.asked.recv_timeout(std::time::Duration::from_secs(60)).expect("nothing was asked")
    }

    /// Answers it, or the next one.
    pub fn answer(&self, bytes: &str) {
        self.answers.send(bytes.into()).unwrap();
    }

    /// Answers it with 200 and that body.
    pub fn answer_json(&self, body: &str) {
        self.answer(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }
}

fn serve(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    asking: &Sender<String>,
    answers: &Receiver<String>,
) -> Option<()> {
    let mut request = String::new();
    let length = |head: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        line.parse::<usize>().unwrap()
    };
    let mut byte = [0; 1];
    while request.split_once("\r\n\r\n").is_none_or(|(head, body)| body.len() < length(head)) {
        // Who trusts no such service ends before it asks.
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return Some(());
        }
        request.push(char::from(byte[0]));
    }
    asking.send(request).ok()?;
    let answer = answers.recv().ok()?;
    // It may be more than the other side wants to read.
    let _too_long = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
    stream.conn.send_close_notify();
    let _closed_already = stream.flush();
    Some(())
}
