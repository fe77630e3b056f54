//! From an address to an HTTP/2 connection: look up, connect, TLS, HTTP/2, each bounded. Nothing of a request is sent here.

use crate::address::Address;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncBufReadExt as _;
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

/// The server's first frame (RFC 9113, 3.4) is waited for so long. One that first waits for ours is spoken to all the same.
const FIRST_FRAME: Duration = Duration::from_secs(2);

/// A connection on which requests can be sent.
pub type Connection = SendRequest<Body>;

/// How long is waited for a server.
#[derive(Clone, Copy)]
pub struct Times {
    /// To connect and to agree on keys.
    pub connect: Duration,
    /// While an answer is waited for, a connection on which so long nothing came is asked whether it still lives (RFC 9113, 6.7), and given up after as
    /// long again.
    pub keep_alive: Duration,
}

/// Connects, in time.
pub async fn connect(
    address: &Address,
    config: &Arc<ClientConfig>,
    times: Times,
) -> Result<Connection, Failure> {
    match timeout(times.connect, establish(address, config, times)).await {
        Ok(connected) => connected,
        Err(_) => {
            let limit = times.connect.as_secs_f32();
            Err(unreachable(address, &format_args!("no connection within {limit} s")))
        }
    }
}

async fn establish(
    address: &Address,
    config: &Arc<ClientConfig>,
    times: Times,
) -> Result<Connection, Failure> {
    let tcp = dial(address, times.connect).await?;
    let name = address.name().ok_or_else(|| unreachable(address, &"it is no host name"))?;
    let mut tls = TlsConnector::from(Arc::clone(config))
        .connect(name, tcp)
        .await
        .map_err(|error| handshake_failure(address, &error))?;
    if tls.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(Failure {
            kind: Kind::Tls,
            text: format!("cannot talk to `{}`: it is no port for agents", address.authority()),
        });
    }
    wait_until_welcome(address, &mut tls).await?;
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADERS)
        .timer(TokioTimer::new())
        .keep_alive_interval(times.keep_alive)
        .keep_alive_timeout(times.keep_alive)
        .handshake(TokioIo::new(tls))
        .await
        .map_err(|error| unreachable(address, &error))?;
    // Its errors come out of the requests on it.
    tokio::spawn(connection);
    Ok(sender)
}

/// In TLS 1.3 the server looks at our certificate after our side of the handshake is done (RFC 8446, 4.4.2.4). Its first frame says that it took it;
/// what was sent before could be lost with the connection, and nobody would know whether it arrived.
async fn wait_until_welcome(address: &Address, tls: &mut TlsStream<TcpStream>) -> Result<(), Failure> {
    match timeout(FIRST_FRAME, tls.fill_buf()).await {
        Ok(Ok([])) => Err(unreachable(address, &"it closed the connection")),
        Ok(Ok(_)) | Err(_) => Ok(()),
        Ok(Err(error)) => match tls_error(&error) {
            Some(rustls::Error::AlertReceived(alert)) => Err(Failure {
                kind: Kind::Refused,
                text: format!(
                    "cannot talk to `{}`: it does not take the transport certificate of this machine ({alert:?})",
                    address.authority()
                ),
            }),
            _ => Err(handshake_failure(address, &error)),
        },
    }
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
    match tls_error(error) {
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

fn tls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

fn unreachable(address: &Address, why: &dyn std::fmt::Display) -> Failure {
    Failure { kind: Kind::Unreachable, text: format!("cannot reach `{}`: {why}", address.authority()) }
}
