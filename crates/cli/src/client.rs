//! The way to the server: HTTPS with TLS 1.3, trusting `--ca-file` and nothing else, with a bound on every wait and every body.
//!
//! One request at a time over one connection. What the answers mean is left to the commands.

mod address;
mod problem;
mod tls;
mod wire;

pub use address::{Address, encode};
pub use problem::Problem;
pub use tls::Trust;

use crate::error::CliError;
use crate::progress::Progress;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// What an ordinary answer may have: a full page of anything.
const ANSWER: usize = 16 << 20;

/// How long the client waits and how often it tries.
#[derive(Clone, Debug)]
pub struct Patience {
    /// For name, connection and TLS.
    pub connect: Duration,
    /// For the whole answer.
    pub answer: Duration,
    /// What is waited between one try and the next; empty means one try.
    pub pauses: Vec<Duration>,
    /// After that no further try is begun.
    pub tries_end: Duration,
}

impl Patience {
    /// For what a person asks: a second and a half of retries, never beyond ten seconds.
    #[must_use]
    pub fn person() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(60),
            pauses: [200, 400, 800].map(Duration::from_millis).to_vec(),
            tries_end: Duration::from_secs(10),
        }
    }

    /// For `status`, which answers within five seconds whatever happens.
    #[must_use]
    pub fn status() -> Self {
        Self {
            connect: Duration::from_millis(2_000),
            answer: Duration::from_millis(2_500),
            pauses: Vec::new(),
            tries_end: Duration::ZERO,
        }
    }

    /// For what checks, compiles or stores a whole tree.
    #[must_use]
    pub fn publish() -> Self {
        Self { answer: Duration::from_secs(180), ..Self::person() }
    }
}

/// One request.
pub struct Ask {
    method: Method,
    path: String,
    body: Option<Value>,
    /// Asking twice is the same as asking once.
    repeatable: bool,
}

impl Ask {
    /// Looks at `path` (below `/api/v1`, with its query).
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), body: None, repeatable: true }
    }

    /// Does something, with a body.
    #[must_use]
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), repeatable: false, ..Self::get(path) }
    }

    /// Does something that needs no body.
    #[must_use]
    pub fn post_empty(path: impl Into<String>) -> Self {
        Self { method: Method::POST, repeatable: false, ..Self::get(path) }
    }

    /// Sets something.
    #[must_use]
    pub fn put(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::PUT, ..Self::post(path, body) }
    }

    /// Removes something.
    #[must_use]
    pub fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, repeatable: false, ..Self::get(path) }
    }

    /// Says that asking twice is the same as asking once.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }
}

/// A way to one server.
pub struct Client {
    // Taken out on drop only.
    runtime: Option<Runtime>,
    address: Address,
    trust: Trust,
    authorization: Option<HeaderValue>,
    patience: Patience,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client that has not connected yet. `token` is what stands in the token file.
    ///
    /// # Errors
    /// When the token cannot stand in a header, or this machine gives no runtime.
    pub fn new(
        address: Address,
        trust: Trust,
        token: Option<&str>,
        patience: Patience,
    ) -> Result<Self, CliError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| CliError::Machine { doing: "start the network runtime", source })?;
        let authorization = token.map(authorization).transpose()?;
        Ok(Self { runtime: Some(runtime), address, trust, authorization, patience, connection: None })
    }

    /// The anchors that `--ca-file` names.
    #[must_use]
    pub fn anchors(&self) -> &[[u8; 32]] {
        self.trust.anchors()
    }

    /// Replaces how long is waited.
    pub fn patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Asks, and gives the answer's JSON.
    ///
    /// # Errors
    /// Unreachable, untrusted, too slow, refused, or no answer of this interface.
    pub fn ask(&mut self, ask: &Ask) -> Result<Value, CliError> {
        let progress = Progress::start("waiting for the server");
        let began = Instant::now();
        let mut pauses = self.patience.pauses.clone().into_iter();
        loop {
            let failed = match self.try_once(ask, &progress) {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            self.connection = None;
            let pause = pauses.next().filter(|_| failed.worth_another_try(ask.repeatable));
            let pause = pause.filter(|pause| began.elapsed() + *pause < self.patience.tries_end);
            let Some(pause) = pause else { return Err(failed.into()) };
            std::thread::sleep(pause);
        }
    }

    fn try_once(&mut self, ask: &Ask, progress: &Progress) -> Result<Value, Failed> {
        let runtime = self.runtime.take();
        let answer = match &runtime {
            Some(runtime) => runtime.block_on(progress.during(self.exchange(ask))),
            None => Err(Failed::final_(CliError::Bug("the client has no runtime"))),
        };
        self.runtime = runtime;
        answer
    }

    async fn exchange(&mut self, ask: &Ask) -> Result<Value, Failed> {
        let request = self.request(ask).map_err(Failed::final_)?;
        let connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => wire::connect(&self.address, &self.trust, self.patience.connect).await?,
        };
        let (connection, answer) =
            wire::exchange(&self.address, connection, request, self.patience.answer, ANSWER).await?;
        self.connection = Some(connection);
        read(&self.address, &answer)
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>, CliError> {
        let body = ask.body.as_ref().map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("/api/v1{}", ask.path))
            .header(header::HOST, self.address.authority())
            .header(header::USER_AGENT, concat!("vigocli/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT, "application/json, application/problem+json");
        if ask.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(Full::new(body)).map_err(|_| CliError::Bug("the request cannot be written"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A name that is still being looked up would otherwise hold the program.
            runtime.shutdown_background();
        }
    }
}

fn authorization(token: &str) -> Result<HeaderValue, CliError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| CliError::usage("cannot use the token: it has characters that no token has", ""))?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(address: &Address, answer: &wire::Whole) -> Result<Value, Failed> {
    if !answer.status.is_success() {
        let busy = answer.status == StatusCode::SERVICE_UNAVAILABLE;
        let problem = Problem::read(answer.status, &answer.kind, &answer.body);
        let error = CliError::Refused(Box::new(problem));
        return Err(if busy { Failed::unclear(error) } else { Failed::final_(error) });
    }
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    let why = "its body is no JSON";
    serde_json::from_slice(&answer.body)
        .map_err(|_| Failed::final_(CliError::Answer { server: address.to_string(), why: why.into() }))
}

/// A try that failed, and what is known of its effect.
pub(crate) struct Failed {
    error: CliError,
    effect: Effect,
}

enum Effect {
    /// Trying again would come out the same.
    Final,
    /// The request did not leave.
    None,
    /// The request may have been carried out.
    Unclear,
}

impl Failed {
    pub(crate) const fn final_(error: CliError) -> Self {
        Self { error, effect: Effect::Final }
    }

    pub(crate) const fn not_sent(error: CliError) -> Self {
        Self { error, effect: Effect::None }
    }

    pub(crate) const fn unclear(error: CliError) -> Self {
        Self { error, effect: Effect::Unclear }
    }

    const fn worth_another_try(&self, repeatable: bool) -> bool {
        match self.effect {
            Effect::Final => false,
            Effect::None => true,
            Effect::Unclear => repeatable,
        }
    }
}

impl From<Failed> for CliError {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}
