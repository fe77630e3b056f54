//! Servers on loopback: a real one over rustls and tonic that does what a trial wants, and some that are none.

use crate::authority::{Authority, Leaf};
use bytes::Bytes as Chunk;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;
use vigo_wire::outer::{Bytes, ENROL, EXCHANGE, Frame};

/// What the server does with a call.
#[derive(Clone, Copy)]
pub enum Does {
    /// Gives the payload back, `pong ` before it.
    Answers,
    /// Gives this status.
    Says(Code),
    /// Nothing, for ever.
    Hangs,
    /// Drops the connection.
    Breaks,
    /// Answers, then drops the connection.
    AnswersAndLeaves,
    /// Announces an answer of so many bytes.
    Announces(u32),
    /// Answers for another session.
    Confuses,
}

/// What a trial can see of its server.
#[derive(Default)]
pub struct Seen {
    pub connections: AtomicUsize,
    pub calls: AtomicUsize,
    pub with_certificate: AtomicUsize,
    left: Notify,
}

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}

/// Stands between, and can make every connection there is silent: what either side sends goes nowhere, and neither is told. Later ones work.
pub struct Silencer {
    pub address: SocketAddr,
    silent: tokio::sync::watch::Sender<u32>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Silencer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Silencer {
    pub fn before(server: SocketAddr) -> Self {
        let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (silent, silenced) = tokio::sync::watch::channel(0);
        let task = runtime().spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut silenced = silenced.clone();
                silenced.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        // Both stay open: nobody is told.
                        _ = silenced.changed() => std::future::pending::<()>().await,
                    }
                });
            }
        });
        Self { address, silent, task }
    }

    pub fn go_silent(&self) {
        self.silent.send_modify(|times| *times += 1);
    }
}

impl Server {
    /// A server with that certificate, which asks for one of `clients` (and takes none, too). `does` is told the number of the call, from 0.
    pub fn start(leaf: &Leaf, clients: &Authority, does: fn(usize) -> Does) -> Self {
        Self::start_after(0, leaf, clients, does)
    }

    /// The same, and the first `refused` connections are closed at once.
    pub fn start_after(refused: usize, leaf: &Leaf, clients: &Authority, does: fn(usize) -> Does) -> Self {
        let acceptor = TlsAcceptor::from(config(leaf, clients));
        let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let task = runtime().spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                if shared.connections.fetch_add(1, Ordering::SeqCst) >= refused {
                    tokio::spawn(serve(tcp, acceptor.clone(), Arc::clone(&shared), does));
                }
            }
        });
        Self { address, seen, task }
    }

    /// Waits until the server has dropped a connection on purpose.
    pub fn wait_until_left(&self) {
        runtime().block_on(self.seen.left.notified());
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::SeqCst)
    }
}

fn config(leaf: &Leaf, clients: &Authority) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(clients.certificate.clone())).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from(leaf.certificate.clone())],
            PrivateKeyDer::Pkcs8(leaf.key.clone().into()),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor, seen: Arc<Seen>, does: fn(usize) -> Does) {
    let Ok(tls) = acceptor.accept(tcp).await else { return };
    if tls.get_ref().1.peer_certificates().is_some() {
        seen.with_certificate.fetch_add(1, Ordering::SeqCst);
    }
    let leave = Arc::new(Notify::new());
    let (shared, leaving) = (Arc::clone(&seen), Arc::clone(&leave));
    let service = hyper::service::service_fn(move |request| {
        let number = shared.calls.fetch_add(1, Ordering::SeqCst);
        call(does(number), Arc::clone(&leaving), request)
    });
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(tls), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = leave.notified() => {}
    }
    connection.as_mut().graceful_shutdown();
    // What was answered goes out; what was not never will.
    let _ = tokio::time::timeout(std::time::Duration::from_millis(200), connection).await;
    seen.left.notify_one();
}

async fn call(
    does: Does,
    leave: Arc<Notify>,
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<Body>, Infallible> {
    match does {
        Does::Hangs => std::future::pending::<()>().await,
        Does::Breaks => {
            leave.notify_one();
            std::future::pending::<()>().await;
        }
        Does::AnswersAndLeaves => leave.notify_one(),
        Does::Says(code) => return Ok(Status::new(code, "as the trial wants").into_http()),
        Does::Announces(size) => {
            // The gRPC prefix of a message: not compressed, its length, and then nothing of it.
            let prefix = [&[0][..], &size.to_be_bytes()].concat();
            let body = Body::new(Full::new(Chunk::from(prefix)));
            return Ok(http::Response::builder()
                .header("content-type", "application/grpc")
                .body(body)
                .unwrap());
        }
        Does::Answers | Does::Confuses => {}
    }
    let confused = matches!(does, Does::Confuses);
    Ok(match request.uri().path() {
        ENROL => {
            let service = tower::service_fn(|request: Request<Bytes>| async move {
                let data = [b"enrolled ", request.get_ref().data.as_slice()].concat();
                Ok::<_, Status>(Response::new(Bytes { data }))
            });
            Grpc::new(ProstCodec::<Bytes, Bytes>::default()).unary(service, request).await
        }
        EXCHANGE => {
            let service = tower::service_fn(move |request: Request<Frame>| async move {
                let mut frame = request.into_inner();
                frame.payload = [b"pong ", frame.payload.as_slice()].concat();
                if confused {
                    frame.session = vec![9; 16];
                }
                Ok::<_, Status>(Response::new(frame))
            });
            let codec = ProstCodec::<Frame, Frame>::default();
            Grpc::new(codec).max_decoding_message_size(8 << 20).unary(service, request).await
        }
        other => panic!("called {other}"),
    })
}

/// A server that refuses the first stream of its first connection without looking at it, and answers all others. Counts what it looked at.
pub fn refusing_first(leaf: &Leaf, clients: &Authority) -> (SocketAddr, Arc<AtomicUsize>) {
    let acceptor = TlsAcceptor::from(config(leaf, clients));
    let listener = runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    runtime().spawn(async move {
        let mut streams = 0;
        loop {
            let tls = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
            let mut connection = h2::server::handshake(tls).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                streams += 1;
                if streams == 1 {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                    connection.graceful_shutdown();
                } else {
                    counted.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(echo(request.into_body(), respond));
                }
            }
        }
    });
    (address, taken)
}

/// gRPC by hand: the message of the request is the one of the answer.
async fn echo(mut body: h2::RecvStream, mut respond: h2::server::SendResponse<Chunk>) {
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        message.extend_from_slice(&data.unwrap());
    }
    let headers = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = respond.send_response(headers, false).unwrap();
    stream.send_data(Chunk::from(message), false).unwrap();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    stream.send_trailers(trailers).unwrap();
}

/// Accepts connections and says nothing.
pub fn silent() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A port where nobody listens.
pub fn nobody() -> SocketAddr {
    silent().1
}

/// Answers the first greeting as a server does that speaks TLS 1.2 and nothing later (RFC 5246, 7.4.1.3): no `supported_versions`.
pub fn tls12_only(tries: Arc<Mutex<usize>>) -> SocketAddr {
    let (listener, address) = silent();
    std::thread::spawn(move || {
        while let Ok((mut tcp, _)) = listener.accept() {
            *tries.lock().unwrap() += 1;
            let mut greeting = [0; 5];
            tcp.read_exact(&mut greeting).unwrap();
            let mut hello = vec![0; usize::from(u16::from_be_bytes([greeting[3], greeting[4]]))];
            tcp.read_exact(&mut hello).unwrap();
            let mut body = vec![3, 3];
            body.extend([0x55; 32]);
            // No session id, ECDHE-ECDSA with AES-128-GCM, no compression, no extensions.
            body.extend([0, 0xc0, 0x2b, 0]);
            let handshake = [&[2, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat();
            let record = [&[0x16, 3, 3, 0, u8::try_from(handshake.len()).unwrap()][..], &handshake].concat();
            tcp.write_all(&record).unwrap();
            let mut alert = Vec::new();
            let _ = tcp.read_to_end(&mut alert);
        }
    });
    address
}
