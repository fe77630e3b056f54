//! From an address to an HTTP/2 connection: look up, connect, TLS, HTTP/2, each bounded. Nothing of a request is sent here.

use crate::address::Address;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{AlertDescription, ClientConfig};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::body::Body;
use vigo_wire::outer::ALPN;
use vigo_wire::worker::{Failure, Kind};

/// So many addresses of one name are tried.
const ADDRESSES: usize = 8;
/// Flow control windows (RFC 9113, 5.2): enough for a bundle, small enough for an agent that nobody notices.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;
/// Headers of an answer have at most so many bytes.
const HEADERS: u32 = 16 << 10;

/// A connection on which requests can be sent.
pub struct Connection {
    /// Sends.
    pub sender: SendRequest<Body>,
    /// What the server said when it refused our certificate. In TLS 1.3 it comes after our side of the handshake is done (RFC 8446, 4.4.2.4).
    pub alert: Arc<OnceLock<AlertDescription>>,
}

/// Connects, within `limit`.
pub async fn connect(
    address: &Address,
    config: &Arc<ClientConfig>,
    limit: Duration,
) -> Result<Connection, Failure> {
    match timeout(limit, establish(address, config, limit)).await {
        Ok(connected) => connected,
        Err(_) => Err(unreachable(address, &format_args!("no connection within {} s", limit.as_secs_f32()))),
    }
}

async fn establish(
    address: &Address,
    config: &Arc<ClientConfig>,
    limit: Duration,
) -> Result<Connection, Failure> {
    let tcp = dial(address, limit).await?;
    let name = address.name().ok_or_else(|| unreachable(address, &"it is no host name"))?;
    let tls = TlsConnector::from(Arc::clone(config))
        .connect(name, tcp)
        .await
        .map_err(|error| handshake_failure(address, &error))?;
    if tls.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(Failure {
            kind: Kind::Tls,
            text: format!("cannot talk to `{}`: it is no port for agents", address.authority()),
        });
    }
    let alert = Arc::new(OnceLock::new());
    let watched = Watched { tls, alert: Arc::clone(&alert) };
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADERS)
        .handshake(TokioIo::new(watched))
        .await
        .map_err(|error| unreachable(address, &error))?;
    // Its errors come out of the requests on it.
    tokio::spawn(connection);
    Ok(Connection { sender, alert })
}

/// Tries one address after the other; each gets its share of the time.
async fn dial(address: &Address, limit: Duration) -> Result<TcpStream, Failure> {
    let addresses = look_up(address).await?;
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut failure = unreachable(address, &"the name has no address");
    for one in addresses {
        failure = match timeout(share, TcpStream::connect(one)).await {
            Ok(Ok(tcp)) => {
                // Small frames go at once; a socket that cannot do that works, too.
                let _ = tcp.set_nodelay(true);
                return Ok(tcp);
            }
            Ok(Err(error)) => unreachable(address, &error),
            Err(_) => unreachable(address, &format_args!("{one} does not answer")),
        };
    }
    Err(failure)
}

async fn look_up(address: &Address) -> Result<Vec<SocketAddr>, Failure> {
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, address.port)]);
    }
    let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
    Ok(found.map_err(|error| unreachable(address, &error))?.take(ADDRESSES).collect())
}

fn handshake_failure(address: &Address, error: &std::io::Error) -> Failure {
    let server = address.authority();
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => Failure {
            kind: Kind::Tls,
            text: format!(
                "cannot trust `{server}`: its certificate does not lead to our authority for this name ({why})"
            ),
        },
        Some(inner) => {
            Failure { kind: Kind::Tls, text: format!("cannot agree on TLS 1.3 with `{server}`: {inner}") }
        }
        None => unreachable(address, error),
    }
}

fn unreachable(address: &Address, why: &dyn std::fmt::Display) -> Failure {
    Failure { kind: Kind::Unreachable, text: format!("cannot reach `{}`: {why}", address.authority()) }
}

/// The TLS stream, which notes the alert that ends it: HTTP/2 would only say that the connection broke.
struct Watched {
    tls: TlsStream<TcpStream>,
    alert: Arc<OnceLock<AlertDescription>>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.tls).poll_read(context, buffer);
        if let Poll::Ready(Err(error)) = &polled
            && let Some(rustls::Error::AlertReceived(alert)) =
                error.get_ref().and_then(|inner| inner.downcast_ref())
        {
            let _ = self.alert.set(*alert);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(context)
    }
}
