//! Accepts connections on one port: TLS, then HTTP, each with its limits. What is served on them is the caller's.

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use vigo_base::EnvoyId;

/// How much one port takes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at a time; the next one waits in the kernel's queue.
    pub connections: usize,
    /// Requests at a time on one connection (HTTP/2 streams).
    pub streams: u32,
    /// How long the TLS handshake may take.
    pub handshake: Duration,
    /// How long the headers of a request may take.
    pub headers: Duration,
    /// How often a silent connection is asked whether it still lives, and how long the answer may take.
    pub keep_alive: Duration,
    /// How long a connection without a client certificate lives; what runs then may end.
    pub age: Duration,
    /// Nothing but HTTP/2.
    pub http2_only: bool,
}

/// How long requests that run may take to end once their connection is to close.
const LAST_REQUESTS: Duration = Duration::from_secs(180);

/// Connections of one envoy at a time: the one in use, and some whose end nobody told us of. A worker that was taken must not have them all.
const EACH: usize = 8;

/// The port for envoys.
pub const ENVOYS: Bounds = Bounds {
    connections: 25_000,
    streams: 16,
    handshake: Duration::from_secs(10),
    headers: Duration::from_secs(10),
    keep_alive: Duration::from_secs(60),
    age: Duration::from_secs(60),
    http2_only: true,
};

/// The port for operators.
pub const OPERATORS: Bounds = Bounds {
    connections: 512,
    streams: 64,
    handshake: Duration::from_secs(10),
    headers: Duration::from_secs(10),
    keep_alive: Duration::from_secs(60),
    age: Duration::from_secs(900),
    http2_only: false,
};

/// The bounds of both ports (envoys, operators) for a process that may have `descriptors` files open: connections must leave some for the
/// store and the hand, or whoever connects could stop both.
#[must_use]
pub fn bounds(descriptors: usize) -> (Bounds, Bounds) {
    /// For the store's connections, the hand, the log, what is opened now and then.
    const RESERVED: usize = 256;
    let room = descriptors.saturating_sub(RESERVED).max(16);
    let operators = OPERATORS.connections.min(room / 4);
    let envoys = ENVOYS.connections.min(room - operators);
    (Bounds { connections: envoys, ..ENVOYS }, Bounds { connections: operators, ..OPERATORS })
}

/// Raises the number of files that this process may have open as far as it may itself, and gives it (getrlimit(2)). Best effort.
#[must_use]
pub fn raise_descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _as_it_was = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(current).unwrap_or(usize::MAX)
}

/// Who is at the other end of a connection; stands among the extensions of every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its transport certificate, if it showed one.
    pub transport: Option<crate::tls::Transport>,
}

/// Serves `listener` until `stop` changes; connections that are open then may finish what they began.
pub async fn serve<S>(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    bounds: Bounds,
    service: S,
    mut stop: watch::Receiver<bool>,
) where
    S: tower::Service<
            http::Request<hyper::body::Incoming>,
            Response = http::Response<Body>,
            Error = Infallible,
        > + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let places = Arc::new(Semaphore::new(bounds.connections));
    let open = Arc::<Open>::default();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let (acceptor, open) = (acceptor.clone(), Arc::clone(&open));
                let connection = Connection { address, acceptor, bounds, open, _place: place };
                tokio::spawn(connection.run(stream, service.clone(), stop.clone()));
            }
            Err(cause) => {
                // accept(2): out of descriptors and the like. Whoever is connected goes on; a pause keeps this from spinning.
                tracing::warn!(%cause, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// The open connections of each envoy, oldest first.
#[derive(Default)]
struct Open(Mutex<HashMap<EnvoyId, VecDeque<Arc<Notify>>>>);

/// One open connection; without a client certificate it is nobody's.
struct Place {
    open: Arc<Open>,
    envoy: Option<EnvoyId>,
    replaced: Arc<Notify>,
}

impl Place {
    /// Notes a connection. The oldest of the same envoy has to go when there are too many: an honest worker uses its newest only.
    fn take(open: Arc<Open>, envoy: Option<EnvoyId>) -> Self {
        let replaced = Arc::new(Notify::new());
        if let Some(envoy) = envoy {
            let mut all = open.0.lock().unwrap_or_else(PoisonError::into_inner);
            let its = all.entry(envoy).or_default();
            its.push_back(Arc::clone(&replaced));
            if its.len() > EACH
                && let Some(oldest) = its.pop_front()
            {
                oldest.notify_one();
            }
        }
        Self { open, envoy, replaced }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(envoy) = self.envoy else { return };
        let mut all = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(its) = all.get_mut(&envoy) {
            its.retain(|one| !Arc::ptr_eq(one, &self.replaced));
            if its.is_empty() {
                all.remove(&envoy);
            }
        }
    }
}

struct Connection {
    address: SocketAddr,
    acceptor: TlsAcceptor,
    bounds: Bounds,
    open: Arc<Open>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn run<S>(self, stream: TcpStream, service: S, mut stop: watch::Receiver<bool>)
    where
        S: tower::Service<
                http::Request<hyper::body::Incoming>,
                Response = http::Response<Body>,
                Error = Infallible,
            > + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        let address = self.address;
        let _no_delay_is_only_slower = stream.set_nodelay(true);
        let handshake = tokio::time::timeout(self.bounds.handshake, self.acceptor.accept(stream)).await;
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(cause)) => return tracing::debug!(%address, %cause, "the TLS handshake failed"),
            Err(_) => return tracing::debug!(%address, "the TLS handshake took too long"),
        };
        let transport = crate::tls::Transport::of(stream.get_ref().1);
        let place = Place::take(Arc::clone(&self.open), transport.map(|transport| transport.envoy));
        let peer = Peer { address, transport };
        let service = tower::util::MapRequest::new(service, move |mut request: http::Request<_>| {
            request.extensions_mut().insert(peer);
            request
        });
        let builder = self.builder();
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return note(address, ended),
            () = place.replaced.notified() => return tracing::debug!(%address, "an envoy has too many connections: its oldest is closed"),
            _ = stop.changed() => {}
            () = tokio::time::sleep(self.bounds.age), if transport.is_none() => {}
        }
        connection.as_mut().graceful_shutdown();
        if let Ok(ended) = tokio::time::timeout(LAST_REQUESTS, connection).await {
            note(address, ended);
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let bounds = self.bounds;
        let mut builder = Builder::new(TokioExecutor::new());
        if bounds.http2_only {
            builder = builder.http2_only();
        }
        builder.http1().timer(TokioTimer::new()).header_read_timeout(bounds.headers).max_buf_size(64 << 10);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(bounds.streams)
            .max_header_list_size(16 << 10)
            .initial_stream_window_size(256 << 10)
            .initial_connection_window_size(1 << 20)
            .keep_alive_interval(bounds.keep_alive)
            .keep_alive_timeout(bounds.keep_alive);
        builder
    }
}

fn note(address: SocketAddr, ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(cause) = ended {
        tracing::debug!(%address, %cause, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_store_and_the_hand() {
        for descriptors in [300, 1024, 4096, 20_000] {
            let (envoys, operators) = bounds(descriptors);
            assert!(envoys.connections + operators.connections + 200 <= descriptors, "{descriptors}");
            assert!(operators.connections >= 4 && envoys.connections >= 12);
        }
        let (envoys, operators) = bounds(524_288);
        assert_eq!((envoys.connections, operators.connections), (25_000, 512));
        assert!(bounds(0).0.connections > 0);
    }

    #[test]
    fn as_many_descriptors_are_taken_as_there_are_to_be_had() {
        use rustix::process::{Resource, getrlimit};
        let raised = raise_descriptors();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(limit.current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap()), raised);
    }
}
