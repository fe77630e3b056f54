//! One connection, one exchange: every wait and every body has a bound.

use super::{Address, Failed, Trust};
use crate::error::CliError;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer that is all there.
pub(super) struct Whole {
    pub(super) status: StatusCode,
    /// The media type without its parameters.
    pub(super) kind: String,
    pub(super) body: Bytes,
}

pub(super) async fn connect(
    address: &Address,
    trust: &Trust,
    patience: Duration,
) -> Result<SendRequest<Full<Bytes>>, Failed> {
    let late = |_| Failed::not_sent(CliError::Silent { server: address.to_string(), waited: patience });
    timeout(patience, handshake(address, trust)).await.map_err(late)?
}

async fn handshake(address: &Address, trust: &Trust) -> Result<SendRequest<Full<Bytes>>, Failed> {
    let server = address.to_string();
    let stream = TcpStream::connect(address.socket())
        .await
        .map_err(|source| Failed::not_sent(CliError::Unreachable { server: server.clone(), source }))?;
    // Requests are one write each: waiting to join small ones only costs time.
    let _ = stream.set_nodelay(true);
    let secure = trust
        .connector()
        .connect(address.name().clone(), stream)
        .await
        .map_err(|source| tls_failed(server.clone(), source))?;
    let (sender, connection) = http1::handshake(TokioIo::new(secure))
        .await
        .map_err(|source| Failed::not_sent(CliError::Broken { server, source }))?;
    // Its error also comes out of the exchange that it broke.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

/// A certificate that is not to be trusted is no better the second time.
fn tls_failed(server: String, source: io::Error) -> Failed {
    let certificate = source
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)));
    if certificate {
        Failed::final_(CliError::Untrusted { server, source })
    } else {
        Failed::not_sent(CliError::Tls { server, source })
    }
}

pub(super) async fn exchange(
    address: &Address,
    mut connection: SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    patience: Duration,
    limit: usize,
) -> Result<(SendRequest<Full<Bytes>>, Whole), Failed> {
    let late = |_| Failed::final_(CliError::Silent { server: address.to_string(), waited: patience });
    let exchanged = async {
        let broken = |source| Failed::unclear(CliError::Broken { server: address.to_string(), source });
        connection.ready().await.map_err(broken)?;
        let response = connection.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim().to_owned();
        let body = Limited::new(response.into_body(), limit).collect().await;
        let body = body.map_err(|error| body_failed(address, error, limit))?.to_bytes();
        Ok(Whole { status, kind, body })
    };
    let whole = timeout(patience, exchanged).await.map_err(late)??;
    Ok((connection, whole))
}

fn body_failed(address: &Address, error: Box<dyn std::error::Error + Send + Sync>, limit: usize) -> Failed {
    let server = address.to_string();
    match error.downcast::<hyper::Error>() {
        Ok(source) => Failed::unclear(CliError::Broken { server, source: *source }),
        Err(error) if error.is::<LengthLimitError>() => {
            let why = format!("it is longer than {limit} bytes");
            Failed::final_(CliError::Answer { server, why })
        }
        Err(_) => Failed::unclear(CliError::Answer { server, why: "its body broke off".into() }),
    }
}
