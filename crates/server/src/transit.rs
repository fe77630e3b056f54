//! The OpenBao or Vault that wraps the master key: where it is, the connection to it, and when it is asked again. What is said over the
//! connection is the hand's: neither the key nor the token is ever here.

use crate::ServerError;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vigo_base::chain;
use vigo_hand::{FailureCode, Hand, HandError, TransitService};

/// The port of OpenBao and Vault.
const PORT: u16 = 8200;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// The first pause before another attempt, doubled with each, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest file of certificates: those of a system have a quarter of that.
const ROOTS: u64 = 768 << 10;
/// Where systems keep the certificates that they trust.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The token as systemd gives it.
const CREDENTIAL: &str = "vigo-transit-token";

/// Where a key service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Without TLS.
    plain: bool,
    /// A host's name or an address.
    host: String,
    port: u16,
}

impl Address {
    /// `https://HOST[:PORT]`, or `http://` for this machine itself.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (plain, rest) = match text.strip_prefix("https://") {
            Some(rest) => (false, rest),
            None => (true, text.strip_prefix("http://")?),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some("8200"))?)
            }
            None => rest.split_once(':').unwrap_or((rest, "8200")),
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':');
        let is_name = (1..=253).contains(&host.len()) && host.bytes().all(is_host);
        let port = if port.is_empty() { PORT } else { port.parse().ok().filter(|port| *port != 0)? };
        is_name.then(|| Self { plain, host: host.into(), port })
    }

    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// What the settings say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransitSettings {
    /// Where it is.
    pub address: Option<Address>,
    /// Under which of its keys the next master key comes; `vigo` if nothing is said.
    pub key: Option<String>,
    /// Where its engine is; `transit` if nothing is said.
    pub mount: Option<String>,
    /// Who vouches for it; the system's if nothing is said.
    pub ca_file: Option<PathBuf>,
    /// Holds the token, or with a role the secret id.
    pub token_file: Option<PathBuf>,
    /// The AppRole as which it is spoken to.
    pub role_id: Option<String>,
}

/// When it is asked again.
#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
    length: Duration,
}

/// The key service.
#[derive(Clone, Debug, Default)]
pub struct Transit {
    settings: TransitSettings,
    waits: bool,
    pause: Arc<Mutex<Pause>>,
}

impl Transit {
    /// As the settings say.
    #[must_use]
    pub fn new(settings: TransitSettings) -> Self {
        Self { settings, waits: false, pause: Arc::default() }
    }

    /// Tries until the service can be had: what starts at boot must not depend on what starts first.
    #[must_use]
    pub fn that_waits(self) -> Self {
        Self { waits: true, ..self }
    }

    /// Tries once, because somebody waits for the answer.
    #[must_use]
    pub fn that_does_not_wait(&self) -> Self {
        Self { waits: false, ..self.clone() }
    }

    /// Refuses what would only fail again, until its pause is over.
    ///
    /// # Errors
    /// When the service could not be had a moment ago.
    pub fn may_try(&self) -> Result<(), ServerError> {
        let pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let left = pause.until.map(|until| until.saturating_duration_since(Instant::now()));
        match left.filter(|left| !left.is_zero()) {
            Some(left) => Err(ServerError::KeyServiceLater(left.as_secs().saturating_add(1))),
            None => Ok(()),
        }
    }

    /// Has a key of the hand wrapped into a new file.
    ///
    /// # Errors
    /// When the service refuses, or cannot be had and this does not wait.
    pub fn wrap(&self, hand: &mut Hand, file: &Path, next: bool) -> Result<[u8; 16], ServerError> {
        self.call(|connection, service| hand.wrap_master_key(connection.as_fd(), service, file, next))
    }

    /// Has the key in a file unwrapped; with `check` only looks whether that works.
    ///
    /// # Errors
    /// As [`Transit::wrap`].
    pub fn unwrap(&self, hand: &mut Hand, file: &Path, check: bool) -> Result<[u8; 16], ServerError> {
        self.call(|connection, service| hand.unwrap_master_key(connection.as_fd(), service, file, check))
    }

    fn call<T>(
        &self,
        mut ask: impl FnMut(&TcpStream, &TransitService) -> Result<T, HandError>,
    ) -> Result<T, ServerError> {
        let service = self.service()?;
        loop {
            let answer = self.connect().and_then(|connection| Ok(ask(&connection, &service)?));
            let error = match answer {
                Err(error) if may_pass(&error) => error,
                answer => {
                    *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = Pause::default();
                    return answer;
                }
            };
            let pause = self.longer_pause();
            if !self.waits {
                return Err(error);
            }
            let in_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(
                error = chain(&error),
                in_ms,
                "the server waits for the key service; it is asked again"
            );
            std::thread::sleep(pause);
        }
    }

    /// Doubles the pause up to the longest, gives between half and all of it, and notes until when it is.
    fn longer_pause(&self) -> Duration {
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        pause.length = (pause.length * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        // Without random bytes all servers of a fleet would ask at once; that is no reason not to ask.
        let part = vigo_wire::random::array::<1>().map_or(0, |[byte]| u32::from(byte));
        let length = pause.length / 2 + pause.length * part / 512;
        pause.until = Some(Instant::now() + length);
        length
    }

    fn address(&self) -> Result<&Address, ServerError> {
        self.settings.address.as_ref().ok_or(ServerError::NoTransit { missing: "transit_address" })
    }

    /// What the hand has to know.
    fn service(&self) -> Result<TransitService, ServerError> {
        let address = self.address()?;
        let TransitSettings { key, mount, token_file, role_id, .. } = &self.settings;
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let given = folder.filter(|folder| folder.is_absolute()).map(|folder| folder.join(CREDENTIAL));
        let credential = token_file.clone().or_else(|| given.filter(|path| path.exists()));
        let credential = credential.ok_or(ServerError::NoTransit { missing: "transit_token_file" })?;
        let credential = std::path::absolute(&credential)
            .map_err(|cause| ServerError::Read { path: credential.clone(), cause })?;
        let not_text = io::Error::from(io::ErrorKind::InvalidFilename);
        let credential_text = credential.to_str().map(str::to_owned);
        Ok(TransitService {
            name: address.host.clone(),
            authority: address.authority(),
            plain: address.plain,
            roots: if address.plain { Vec::new() } else { self.roots()? },
            mount: mount.clone().unwrap_or_else(|| "transit".into()),
            key: key.clone().unwrap_or_else(|| "vigo".into()),
            credential: credential_text.ok_or(ServerError::Read { path: credential, cause: not_text })?,
            role: role_id.clone().unwrap_or_default(),
        })
    }

    fn roots(&self) -> Result<Vec<u8>, ServerError> {
        use std::io::Read as _;
        let system = || SYSTEM_ROOTS.iter().map(PathBuf::from).find(|path| path.exists());
        let path = self.settings.ca_file.clone().or_else(system);
        let path = path.ok_or(ServerError::NoTransit { missing: "transit_ca_file" })?;
        let mut roots = Vec::new();
        let read = std::fs::File::open(&path).and_then(|file| file.take(ROOTS + 1).read_to_end(&mut roots));
        let read = read.and_then(|read| match u64::try_from(read) {
            Ok(read) if read <= ROOTS => Ok(()),
            _ => Err(io::Error::other("it has more than 768 KiB")),
        });
        read.map_err(|cause| ServerError::Read { path, cause })?;
        Ok(roots)
    }

    fn connect(&self) -> Result<TcpStream, ServerError> {
        let address = self.address()?;
        let failed = |cause| ServerError::KeyService { address: address.authority(), cause };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for one in (address.host.as_str(), address.port).to_socket_addrs().map_err(failed)? {
            if address.plain && !one.ip().is_loopback() {
                let why = "without TLS only this machine itself is spoken to: take `https://`";
                last = io::Error::new(io::ErrorKind::PermissionDenied, why);
                continue;
            }
            match TcpStream::connect_timeout(&one, CONNECT).and_then(|stream| {
                stream.set_nonblocking(true)?;
                Ok(stream)
            }) {
                Ok(stream) => {
                    if address.plain {
                        tracing::warn!(address = %one, "the master key goes to the key service without TLS");
                    }
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }
}

/// True for what may be gone without anybody mending the settings.
fn may_pass(error: &ServerError) -> bool {
    match error {
        ServerError::KeyService { cause, .. } => cause.kind() != io::ErrorKind::PermissionDenied,
        ServerError::Hand(error) => error.code() == Some(FailureCode::NotNow),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_perhaps_a_port() {
        let parsed = |text: &str| Address::parse(text).map(|one| (one.plain, one.authority()));
        assert_eq!(parsed("https://vault.example"), Some((false, "vault.example:8200".into())));
        assert_eq!(parsed("https://vault.example:443/"), Some((false, "vault.example:443".into())));
        assert_eq!(parsed("http://127.0.0.1:1"), Some((true, "127.0.0.1:1".into())));
        assert_eq!(parsed("https://[::1]:9"), Some((false, "[::1]:9".into())));
        assert_eq!(parsed("https://[::1]"), Some((false, "[::1]:8200".into())));
        for wrong in [
            "",
            "vault",
            "ftp://v",
            "https://",
            "https://v:0",
            "https://v:x",
            "https://v:99999",
            "https://v/x",
            "https://u@v",
            "https://v v",
            "https://[::1",
            "https://[v]:1",
            "https://v\r\n",
            "https://v?x",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn each_pause_is_longer_up_to_the_longest_and_nothing_is_tried_in_one() {
        let transit = Transit::default();
        transit.may_try().unwrap();
        for doublings in 0..12 {
            let whole = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
            let pause = transit.longer_pause();
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
            assert!(matches!(transit.may_try(), Err(ServerError::KeyServiceLater(_))));
        }
    }
}
