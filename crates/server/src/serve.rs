//! From settings to a server that serves, told in order, and its orderly end.

use crate::ca::{self, ServerNames};
use crate::folder::{self, Folder};
use crate::keys::{KeyKept, Keys};
use crate::master::Kept;
use crate::protection::Protection;
use crate::relay::Relay;
use crate::settings::Settings;
use crate::state::Server;
use crate::transit::Transit;
use crate::witness::Witness;
use crate::{ServerError, auth, clock, held, listen, rest, terminal, tls};
use rustls::pki_types::CertificateDer;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use vigo_base::chain;
use vigo_hand::{Role, StartOptions};
use vigo_store::{SqliteStore, Store};
use vigo_sys::spawn::Spawner;

/// How often what check-ins said is written.
const FLUSH: Duration = Duration::from_secs(2);
/// How often old tokens are removed and the keys certified again.
const TIDY: Duration = Duration::from_secs(3600);
/// Expired tokens are kept so long for people to look at.
const TOKENS_KEPT_SECONDS: u64 = 7 * 86_400;
/// How long requests that run may take to end once the server was told to.
const LAST_REQUESTS: Duration = Duration::from_secs(5);
/// Threads that may block on the store or the hand.
const BLOCKING_THREADS: usize = 64;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When anything on the way to serving fails.
pub fn run(settings: &Settings, spawner: Spawner) -> Result<(), ServerError> {
    let folder = Folder::take(&settings.data_dir)?;
    // At a terminal its hand may have to read a passphrase there, and leaves the terminal's session when it has.
    let asks = settings.passphrase_file.is_none() && terminal::open().is_some();
    let options = StartOptions {
        arena: settings.arena.into(),
        reads_terminal: asks,
        ..StartOptions::new(Role::Server)
    };
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("store.db"))?);
    let keys_folder = folder.keys()?;
    let transit = Transit::new(settings.transit.clone()).that_waits();
    let mut kept =
        Kept::new(keys_folder.clone(), settings.master_key, settings.passphrase_file.clone(), transit);
    kept.asks = asks;
    let keys = Keys::open(spawner, options, &*store, kept, &keys_folder)?;
    let witness = Witness::new(&keys_folder, &*store)?;
    let authority = authority(&folder, &keys)?;
    let (tokens, admin_token) = auth::Tokens::start()?;
    let server = Arc::new(Server::open(store, keys, witness, authority, tokens)?);
    server.follow()?;
    log_protection(&server)?;
    log_master_key(server.keys.kept());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|cause| ServerError::Process { doing: "start the runtime", cause })?;
    let served = runtime.block_on(serve(settings, &folder, &server, admin_token));
    runtime.shutdown_timeout(LAST_REQUESTS);
    let _gone_already = std::fs::remove_file(folder.admin_token());
    if let Err(error) = server.fleet.flush(&server).and_then(|_| server.flush_secret_uses()) {
        tracing::warn!(error = chain(&error), "cannot write what the last check-ins said");
    }
    if let Err(error) = server.follow() {
        tracing::warn!(error = chain(&error), "cannot write down how far the store has come");
    }
    served
}

/// `ca.pem`: the authority's own certificate. Kept as it is while it is of this anchor, because operators hold copies of it.
fn authority(folder: &Folder, keys: &Keys) -> Result<CertificateDer<'static>, ServerError> {
    use ca::AnchorKey as _;
    let path = folder.ca();
    let kept = std::fs::read_to_string(&path).ok().and_then(|pem| ca::read_authority(&pem, keys.public()));
    if let Some(kept) = kept {
        return Ok(kept);
    }
    let pem = ca::authority(keys, clock::now())?;
    folder::replace(&path, pem.as_bytes(), 0o644)?;
    ca::read_authority(&pem, keys.public())
        .ok_or(ServerError::Bug("the authority's certificate cannot be read back"))
}

fn log_protection(server: &Server) -> Result<(), ServerError> {
    let protection = Protection::of(&server.keys.status()?);
    let reasons = protection.reasons.join("; ");
    tracing::info!(level = protection.level.as_str(), reasons, "the hand's protection");
    if server.store.current_publish()?.is_none() {
        tracing::info!("nothing is published yet: `vigocli config publish DIR`");
    }
    Ok(())
}

/// Says how the master key is kept, and what an operator should do about that.
fn log_master_key(kept: KeyKept) {
    let KeyKept { kept: is, wanted, is_safe } = kept;
    tracing::info!(kept = is.as_str(), "the master key");
    if is != wanted {
        let (is, wanted) = (is.as_str(), wanted.as_str());
        tracing::warn!(
            is,
            wanted,
            "the master key is not kept as the settings say: `vigosrv rekey` changes that"
        );
    }
    if !is_safe {
        tracing::warn!(
            "the master key is no part of the store and was not exported: without it every secret is lost; `vigosrv key export FILE`"
        );
    }
}

async fn serve(
    settings: &Settings,
    folder: &Folder,
    server: &Arc<Server>,
    admin_token: String,
) -> Result<(), ServerError> {
    let stopping = |cause| ServerError::Process { doing: "wait for signals", cause };
    let mut terminate = signal(SignalKind::terminate()).map_err(stopping)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(stopping)?;
    let envoys = bind(settings.grpc_listen).await?;
    let operators = bind(settings.api_listen).await?;
    let (grpc, api) = (address(&envoys, settings.grpc_listen)?, address(&operators, settings.api_listen)?);
    let names = names(settings, &[grpc, api]);
    let leaf = ca::server(&server.keys, clock::now(), &names)?;
    let (stop, stopped) = watch::channel(false);
    let descriptors = listen::raise_descriptors();
    let (for_envoys, for_operators) = listen::bounds(descriptors);
    if for_envoys.connections < listen::ENVOYS.connections {
        let connections = for_envoys.connections;
        tracing::warn!(
            descriptors,
            connections,
            "few open files are allowed, so few envoys can be connected at a time: raise LimitNOFILE"
        );
    }
    let relay = listen::serve(
        envoys,
        tls::for_envoys(&leaf, &server.authority)?,
        listen::Bounds { keep_alive: settings.keep_alive, ..for_envoys },
        Relay::new(Arc::clone(server)),
        stopped.clone(),
    );
    let rest = listen::serve(
        operators,
        tls::for_operators(&leaf)?,
        for_operators,
        rest::service(Arc::clone(server)),
        stopped.clone(),
    );
    let tasks = [
        tokio::spawn(relay),
        tokio::spawn(rest),
        tokio::spawn(held::keep_waking(Arc::clone(server), stopped.clone())),
        tokio::spawn(housekeeping(Arc::clone(server), stopped)),
    ];
    folder::replace(&folder.admin_token(), admin_token.as_bytes(), 0o600)?;
    drop(admin_token);
    if let Some(path) = &settings.ready_file {
        folder::replace(path, format!("grpc={grpc}\napi={api}\n").as_bytes(), 0o644)?;
    }
    tracing::info!(%grpc, %api, data_dir = %folder.path().display(), "serving");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    let _nobody_listens_any_more = stop.send(true);
    for task in tasks {
        let _ended_or_too_late = tokio::time::timeout(LAST_REQUESTS, task).await;
    }
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServerError> {
    TcpListener::bind(address).await.map_err(|cause| ServerError::Listen { address, cause })
}

fn address(listener: &TcpListener, asked: SocketAddr) -> Result<SocketAddr, ServerError> {
    listener.local_addr().map_err(|cause| ServerError::Listen { address: asked, cause })
}

/// localhost, the host's name as it is and in full, the loopback and listen addresses, and what `names:` says.
fn names(settings: &Settings, listening: &[SocketAddr]) -> ServerNames {
    let mut hosts = vec!["localhost".to_owned()];
    let own = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let full = full_name(&own, &std::fs::read_to_string("/etc/hosts").unwrap_or_default());
    hosts.extend([own].into_iter().chain(full).chain(settings.names.iter().cloned()));
    hosts.retain(|name| name.parse::<vigo_base::EnvoyName>().is_ok());
    let mut addresses: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    addresses.extend(listening.iter().map(SocketAddr::ip).filter(|address| !address.is_unspecified()));
    let mut seen = std::collections::BTreeSet::new();
    hosts.retain(|name| seen.insert(name.clone()));
    addresses.sort_unstable();
    addresses.dedup();
    ServerNames { hosts, addresses }
}

/// The first name with a dot on the line of `/etc/hosts` that has `own`, as hosts(5) puts the canonical name first. No resolver is asked:
/// a start must not wait for a network.
fn full_name(own: &str, hosts: &str) -> Option<String> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or(""));
    let mut names = lines.map(|line| line.split_whitespace().skip(1).map(str::to_ascii_lowercase));
    names.find_map(|names| {
        let names: Vec<String> = names.collect();
        let is_own = names.iter().any(|name| name == own);
        names.into_iter().find(|name| is_own && name.contains('.'))
    })
}

/// What has to be done now and then.
async fn housekeeping(server: Arc<Server>, mut stop: watch::Receiver<bool>) {
    let mut flush = tokio::time::interval(FLUSH);
    let mut tidy = tokio::time::interval(TIDY);
    loop {
        let work: fn(&Server) -> Result<(), ServerError> = tokio::select! {
            _ = flush.tick() => |server| {
                server.note_secret_changes()?;
                server.flush_secret_uses()?;
                server.follow()?;
                server.fleet.flush(server).map(drop)
            },
            _ = tidy.tick() => |server| {
                server.keys.certify_again()?;
                let before = clock::now().saturating_sub(TOKENS_KEPT_SECONDS);
                server.change_rights(
                    |rights| rights.prune(before),
                    |store| store.prune_tokens(before).and_then(|_| store.prune_api_tokens(before)).map(drop),
                )
            },
            _ = stop.changed() => return,
        };
        let worker = Arc::clone(&server);
        match tokio::task::spawn_blocking(move || work(&worker)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "cannot tidy up; tried again later"),
            Err(_) => tracing::error!("tidying up hit a fault of vigosrv"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::full_name;

    #[test]
    fn the_full_name_is_the_canonical_one_of_hosts() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.2 wrong.example srv\n10.0.0.1 srv.example SRV # srv\n";
        assert_eq!(full_name("srv", hosts), Some("srv.example".into()));
        assert_eq!(full_name("other", hosts), None);
        assert_eq!(full_name("localhost", hosts), None);
    }
}
