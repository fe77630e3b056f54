//! Relays requests to the server: one connection that is kept, tries that are repeated only where that does no harm, deadlines that hold.

use crate::address::Address;
use crate::backoff::Backoff;
use crate::call::{Fault, unary};
use crate::connect::{Connection, Times, connect};
use crate::tls;
use rustls::ClientConfig;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use vigo_wire::outer::{self, Bytes, Frame};
use vigo_wire::worker::{Configure, Enrol, Exchange, Failure, Kind};

/// Where none is configured.
const CONNECT: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(600);
/// Less than the patience of the gateways that forget silent connections, most of which have a minute and more.
const KEEP_ALIVE: Duration = Duration::from_secs(25);
/// No request waits longer, whatever was asked.
const DEADLINE: Duration = Duration::from_secs(600);
/// A server that cannot be reached is tried again for so long, the deadline allowing: it may be restarting. Longer waits are the caller's: a person
/// waits for some, and a node goes on with what it holds.
const PERSIST_EXCHANGE: Duration = Duration::from_secs(3);
const PERSIST_ENROL: Duration = Duration::from_secs(8);

/// The configured server, and the connection to it.
#[derive(Default)]
pub struct Relay {
    server: Option<Server>,
}

struct Server {
    address: Address,
    tls: Arc<ClientConfig>,
    times: Times,
    idle: Duration,
    connection: Option<(Connection, Instant)>,
}

impl Relay {
    /// Takes where to connect, and what to trust. What was connected before is dropped.
    pub fn configure(&mut self, configure: &Configure) -> Result<(), Failure> {
        self.server = None;
        let or = |milliseconds: u64, default: Duration| match milliseconds {
            0 => default,
            given => Duration::from_millis(given),
        };
        self.server = Some(Server {
            address: Address::parse(&configure.server)?,
            tls: tls::enrolled(configure)?,
            times: Times {
                connect: or(configure.connect_timeout_ms, CONNECT),
                keep_alive: or(configure.keep_alive_ms, KEEP_ALIVE),
            },
            idle: or(configure.idle_timeout_ms, IDLE),
            connection: None,
        });
        Ok(())
    }

    /// Relays an enrolment. Repeated also when it may have arrived: the same request gets the same answer.
    pub async fn enrol(&self, enrol: &Enrol) -> Result<Vec<u8>, Failure> {
        let address = Address::parse(&enrol.server)?;
        let tls = tls::enrolling()?;
        let began = Instant::now();
        let mut last = None;
        let tries = async {
            let mut backoff = Backoff::default();
            loop {
                match enrol_once(&address, &tls, &enrol.bytes).await {
                    Ok(answer) => return Ok(answer),
                    Err(failure) if is_final(failure.kind) || began.elapsed() >= PERSIST_ENROL => {
                        return Err(failure);
                    }
                    Err(failure) => last = Some(failure),
                }
                sleep(backoff.next()).await;
            }
        };
        let tried = timeout_at(began + deadline(enrol.deadline_ms), tries).await;
        tried.unwrap_or_else(|_| Err(last.unwrap_or_else(|| late(&address, Kind::Timeout))))
    }

    /// Relays a frame of the inner session. Never sent twice: frames are counted, and one that arrived twice ends the session.
    pub async fn exchange(&mut self, exchange: Exchange) -> Result<Vec<u8>, Failure> {
        let Some(server) = &mut self.server else {
            let text = "cannot exchange a frame: no server was configured".to_owned();
            return Err(Failure { kind: Kind::Bug, text });
        };
        let sent = Cell::new(false);
        let deadline = Instant::now() + deadline(exchange.deadline_ms);
        let answered = timeout_at(deadline, server.exchange(exchange, &sent)).await;
        answered.unwrap_or_else(|_| {
            // Whatever hangs there, the next request gets a connection of its own.
            server.connection = None;
            Err(late(&server.address, if sent.get() { Kind::UnknownOutcome } else { Kind::Timeout }))
        })
    }
}

impl Server {
    async fn exchange(&mut self, exchange: Exchange, sent: &Cell<bool>) -> Result<Vec<u8>, Failure> {
        let began = Instant::now();
        let mut backoff = Backoff::default();
        let Exchange { session, envoy, payload, .. } = exchange;
        let frame = Frame { session, envoy, payload };
        loop {
            let failure = match self.try_exchange(&frame, sent).await {
                Ok(answer) if answer.session == frame.session && answer.envoy == frame.envoy => {
                    return Ok(answer.payload);
                }
                Ok(_) => {
                    let text = format!("`{}` answered for another session", self.address.authority());
                    Fault::Uncertain(Failure { kind: Kind::UnknownOutcome, text })
                }
                Err(fault) => fault,
            };
            match failure {
                Fault::Said(failure) => {
                    if failure.kind == Kind::Refused {
                        self.connection = None;
                    }
                    return Err(failure);
                }
                Fault::Uncertain(failure) => {
                    self.connection = None;
                    return Err(failure);
                }
                Fault::NotSent(failure) => {
                    sent.set(false);
                    self.connection = None;
                    if is_final(failure.kind) || began.elapsed() >= PERSIST_EXCHANGE {
                        return Err(failure);
                    }
                }
            }
            sleep(backoff.next()).await;
        }
    }

    async fn try_exchange(&mut self, frame: &Frame, sent: &Cell<bool>) -> Result<Frame, Fault> {
        let connection = match self.connection.take() {
            Some((kept, used)) if used.elapsed() < self.idle && !kept.is_closed() => kept,
            _ => connect(&self.address, &self.tls, self.times).await.map_err(Fault::NotSent)?,
        };
        let (kept, _) = self.connection.insert((connection, Instant::now()));
        let frame = frame.clone();
        unary(kept, &self.address, outer::EXCHANGE, frame, outer::FRAME_LIMIT, sent).await
    }
}

async fn enrol_once(address: &Address, tls: &Arc<ClientConfig>, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let connection = connect(address, tls, Times { connect: CONNECT, keep_alive: KEEP_ALIVE }).await?;
    let message = Bytes { data: bytes.to_vec() };
    let sent = Cell::new(false);
    match unary(&connection, address, outer::ENROL, message, outer::ENROL_LIMIT, &sent).await {
        Ok(answer) => Ok(answer.data),
        Err(Fault::NotSent(failure) | Fault::Said(failure)) => Err(failure),
        // Sent again it gets the same answer.
        Err(Fault::Uncertain(failure)) => Err(Failure { kind: Kind::Unreachable, ..failure }),
    }
}

/// True if trying again at once cannot help.
const fn is_final(kind: Kind) -> bool {
    match kind {
        Kind::Unreachable | Kind::Timeout | Kind::Busy => false,
        Kind::Bug
        | Kind::Refused
        | Kind::UnknownSession
        | Kind::Tls
        | Kind::UnknownOutcome
        | Kind::TooLarge => true,
    }
}

fn deadline(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds).min(DEADLINE)
}

fn late(address: &Address, kind: Kind) -> Failure {
    Failure {
        kind,
        text: format!("cannot wait longer for `{}`: the time for this is over", address.authority()),
    }
}
