//! What the server was told: command line over `VIGO_..` over `server.yaml` over the default.
//!
//! [`FILE_KEYS`] is the one list of what `server.yaml` may say; the file's schema is closed.

use crate::ServerError;
use crate::log::{Format, Level};
use crate::master::Keeping;
use crate::transit::{Address, TransitSettings};
use clap::{Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vigo_syntax::{Code, Diagnostic, Kind, Node, Tree, has_errors, parse, render_text};
use vigo_sys::arena;

const FILE: &str = "/etc/vigo/server.yaml";
const DATA_DIR: &str = "/var/lib/vigosrv";
const GRPC_LISTEN: &str = "0.0.0.0:1530";
const API_LISTEN: &str = "0.0.0.0:8443";

/// The command line of `vigosrv`.
#[derive(Debug, Parser)]
#[command(
    name = "vigosrv",
    about = "Vigo's server: holds the desired state, the secrets and the reports of a fleet.",
    version,
    after_help = "Exit codes: 0 ended by a signal, 1 cannot run, 2 usage."
)]
pub struct Arguments {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Folder of everything the server keeps (default /var/lib/vigosrv)
    #[arg(long, env = "VIGO_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where envoys connect (default 0.0.0.0:1530); port 0 takes a free one
    #[arg(long, env = "VIGO_GRPC_LISTEN", value_name = "ADDRESS:PORT")]
    grpc_listen: Option<SocketAddr>,
    /// Where operators connect (default 0.0.0.0:8443); port 0 takes a free one
    #[arg(long, env = "VIGO_API_LISTEN", value_name = "ADDRESS:PORT")]
    api_listen: Option<SocketAddr>,
    /// Write the bound addresses here once the server serves
    #[arg(long, env = "VIGO_READY_FILE", value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Settings file (default /etc/vigo/server.yaml, if it is there)
    #[arg(long, env = "VIGO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// From which level on events are logged (default info)
    #[arg(long, env = "VIGO_LOG_LEVEL", value_name = "LEVEL")]
    log_level: Option<Level>,
    /// How a line of the log looks (default text)
    #[arg(long, env = "VIGO_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<Format>,
    /// What keeps the hand's memory from swap and dumps (default auto)
    #[arg(long, env = "VIGO_ARENA", value_name = "KIND")]
    arena: Option<ArenaChoice>,
    /// How the master key is kept (default file)
    #[arg(long, env = "VIGO_MASTER_KEY", value_name = "file|passphrase|credential|transit", value_parser = keeping)]
    master_key: Option<Keeping>,
    /// Read the master key's passphrase from this file, such as `/dev/fd/3`
    #[arg(long, env = "VIGO_PASSPHRASE_FILE", global = true, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    transit: TransitArguments,
}

/// What says by which OpenBao or Vault the master key is wrapped.
#[derive(Debug, Default, clap::Args)]
struct TransitArguments {
    /// Where the OpenBao or Vault is that wraps the master key, like `https://vault.example:8200`
    #[arg(long, env = "VIGO_TRANSIT_ADDRESS", global = true, value_name = "URL", value_parser = address)]
    transit_address: Option<Address>,
    /// Which of its transit keys (default vigo)
    #[arg(long, env = "VIGO_TRANSIT_KEY", global = true, value_name = "NAME", value_parser = name)]
    transit_key: Option<String>,
    /// Where its transit engine is mounted (default transit)
    #[arg(long, env = "VIGO_TRANSIT_MOUNT", global = true, value_name = "PATH", value_parser = mount)]
    transit_mount: Option<String>,
    /// Certificates that vouch for it (default: those of the system)
    #[arg(long, env = "VIGO_TRANSIT_CA_FILE", global = true, value_name = "FILE")]
    transit_ca_file: Option<PathBuf>,
    /// Its token, or with `--transit-role-id` the secret id, is in this file of mode 0600 (default: the credential `vigo-transit-token`)
    #[arg(long, env = "VIGO_TRANSIT_TOKEN_FILE", global = true, value_name = "FILE")]
    transit_token_file: Option<PathBuf>,
    /// Log in as this AppRole first
    #[arg(long, env = "VIGO_TRANSIT_ROLE_ID", global = true, value_name = "ID", value_parser = name)]
    transit_role_id: Option<String>,
}

const ADDRESS: &str = "an address like `https://vault.example:8200`";
const NAME: &str = "a name of letters, digits, `-`, `_` and `.`";
const MOUNT: &str = "a path like `transit` or `team/transit`";

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).ok_or_else(|| format!("it takes {ADDRESS}"))
}

fn name(text: &str) -> Result<String, String> {
    vigo_transit::is_name(text).then(|| text.to_owned()).ok_or_else(|| format!("it takes {NAME}"))
}

fn mount(text: &str) -> Result<String, String> {
    vigo_transit::is_mount(text).then(|| text.to_owned()).ok_or_else(|| format!("it takes {MOUNT}"))
}

impl TransitArguments {
    /// Over what the file says.
    fn over(self, file: TransitSettings) -> TransitSettings {
        TransitSettings {
            address: self.transit_address.or(file.address),
            key: self.transit_key.or(file.key),
            mount: self.transit_mount.or(file.mount),
            ca_file: self.transit_ca_file.or(file.ca_file),
            token_file: self.transit_token_file.or(file.token_file),
            role_id: self.transit_role_id.or(file.role_id),
        }
    }
}

fn keeping(word: &str) -> Result<Keeping, String> {
    Keeping::parse(word)
        .ok_or_else(|| format!("`{word}` is none of `file`, `passphrase`, `credential`, `transit`"))
}

/// What else `vigosrv` does.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Print the version
    Version,
    /// Put everything under a new master key, kept as the settings say; the server must not run meanwhile
    Rekey {
        /// Read the passphrase of the new key from this file [default: that of `--passphrase-file`]
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Take a store that was put back for the one that counts; the server must not run meanwhile
    AcceptRollback,
    /// Export, import or make a master key
    Key {
        /// What to do.
        #[command(subcommand)]
        command: KeyCommand,
    },
}

/// What to do with a master key.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum KeyCommand {
    /// Write the master key into a new file, under a passphrase, to be kept where the store's backups are not
    Export {
        /// The file to make
        file: PathBuf,
        /// Read the passphrase of the export from this file, such as `/dev/tty`
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: PathBuf,
    },
    /// Put an exported master key back where the server keeps it
    Import {
        /// What `vigosrv key export` wrote
        file: PathBuf,
        /// Read the passphrase of the export from this file, such as `/dev/tty`
        #[arg(long, value_name = "FILE")]
        export_passphrase_file: PathBuf,
    },
    /// Write a new master key to standard output, for systemd-creds; never to a terminal
    New,
}

/// Which pages the hand's memory is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ArenaChoice {
    /// The best that there is.
    #[default]
    Auto,
    /// Locked pages; for machines that hibernate.
    Mlock,
    /// Ordinary pages: no protection.
    Plain,
}

impl From<ArenaChoice> for arena::Choice {
    fn from(choice: ArenaChoice) -> Self {
        match choice {
            ArenaChoice::Auto => Self::Auto,
            ArenaChoice::Mlock => Self::Mlock,
            ArenaChoice::Plain => Self::Plain,
        }
    }
}

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder of everything the server keeps.
    pub data_dir: PathBuf,
    /// Where envoys connect.
    pub grpc_listen: SocketAddr,
    /// Where operators connect.
    pub api_listen: SocketAddr,
    /// Gets the bound addresses once the server serves.
    pub ready_file: Option<PathBuf>,
    /// After so long a connection of an envoy on which nothing came is asked whether it still lives, and closed after as long again.
    pub keep_alive: Duration,
    /// More names of the server, for its certificate.
    pub names: Vec<String>,
    /// From which level on events are logged.
    pub log_level: Level,
    /// How a line of the log looks.
    pub log_format: Format,
    /// What the hand's memory is made of.
    pub arena: ArenaChoice,
    /// How the master key is kept.
    pub master_key: Keeping,
    /// Where its passphrase is read from.
    pub passphrase_file: Option<PathBuf>,
    /// What wraps it.
    pub transit: TransitSettings,
}

impl Settings {
    /// Lays the sources over one another.
    ///
    /// # Errors
    /// When the file cannot be read or says something wrong.
    pub fn read(arguments: Arguments) -> Result<Self, ServerError> {
        let file = match &arguments.config {
            Some(path) => FileSettings::read(path)?,
            None if Path::new(FILE).exists() => FileSettings::read(Path::new(FILE))?,
            None => FileSettings::default(),
        };
        let address = |text: &str| text.parse().map_err(|_| ServerError::Bug("a default address is none"));
        Ok(Self {
            data_dir: arguments.data_dir.or(file.data_dir).unwrap_or_else(|| DATA_DIR.into()),
            grpc_listen: arguments
                .grpc_listen
                .or(file.grpc_listen)
                .map_or_else(|| address(GRPC_LISTEN), Ok)?,
            api_listen: arguments.api_listen.or(file.api_listen).map_or_else(|| address(API_LISTEN), Ok)?,
            ready_file: arguments.ready_file,
            keep_alive: file.keep_alive.unwrap_or(crate::listen::ENVOYS.keep_alive),
            names: file.names,
            log_level: arguments.log_level.or(file.log_level).unwrap_or_default(),
            log_format: arguments.log_format.or(file.log_format).unwrap_or_default(),
            arena: arguments.arena.or(file.arena).unwrap_or_default(),
            master_key: arguments.master_key.or(file.master_key).unwrap_or_default(),
            passphrase_file: arguments.passphrase_file.or(file.passphrase_file),
            transit: arguments.transit.over(file.transit),
        })
    }
}

/// What `server.yaml` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct FileSettings {
    data_dir: Option<PathBuf>,
    grpc_listen: Option<SocketAddr>,
    api_listen: Option<SocketAddr>,
    keep_alive: Option<Duration>,
    names: Vec<String>,
    log_level: Option<Level>,
    log_format: Option<Format>,
    arena: Option<ArenaChoice>,
    master_key: Option<Keeping>,
    passphrase_file: Option<PathBuf>,
    transit: TransitSettings,
}

/// What a key of `server.yaml` takes, and where it goes. The text says what it takes when it is wrong.
type Take = fn(&mut FileSettings, &Node) -> Result<(), &'static str>;

/// Every key of `server.yaml`.
const FILE_KEYS: &[(&str, Take)] = &[
    ("data_dir", |file, node| {
        let path = node.as_text().map(PathBuf::from).filter(|path| path.is_absolute());
        file.data_dir = Some(path.ok_or("an absolute path")?);
        Ok(())
    }),
    ("grpc_listen", |file, node| {
        file.grpc_listen =
            Some(one(node, "an address with its port, like `0.0.0.0:1530`", |text| text.parse().ok())?);
        Ok(())
    }),
    ("api_listen", |file, node| {
        file.api_listen =
            Some(one(node, "an address with its port, like `0.0.0.0:8443`", |text| text.parse().ok())?);
        Ok(())
    }),
    ("keep_alive", |file, node| {
        let wanted = "a time from `1s` to `10m`";
        let time = one(node, wanted, |text| vigo_base::parse_duration(text).ok())?;
        let is_good = (Duration::from_secs(1)..=Duration::from_secs(600)).contains(&time);
        file.keep_alive = Some(is_good.then_some(time).ok_or(wanted)?);
        Ok(())
    }),
    ("names", |file, node| {
        let wanted = "a list of host names";
        let Kind::List(items) = &node.kind else { return Err(wanted) };
        let names: Option<Vec<String>> = items.iter().map(|item| item.as_text().map(str::to_owned)).collect();
        let is_name = |name: &String| name.parse::<vigo_base::EnvoyName>().is_ok();
        file.names = names.filter(|names| names.iter().all(is_name)).ok_or(wanted)?;
        Ok(())
    }),
    ("log_level", |file, node| {
        let wanted = "one of `error`, `warn`, `info`, `debug`, `trace`";
        file.log_level = Some(one(node, wanted, |text| Level::from_str(text, false).ok())?);
        Ok(())
    }),
    ("log_format", |file, node| {
        file.log_format =
            Some(one(node, "one of `text`, `json`", |text| Format::from_str(text, false).ok())?);
        Ok(())
    }),
    ("arena", |file, node| {
        let wanted = "one of `auto`, `mlock`, `plain`";
        file.arena = Some(one(node, wanted, |text| ArenaChoice::from_str(text, false).ok())?);
        Ok(())
    }),
    ("master_key", |file, node| {
        file.master_key =
            Some(one(node, "one of `file`, `passphrase`, `credential`, `transit`", Keeping::parse)?);
        Ok(())
    }),
    ("passphrase_file", |file, node| {
        let path = node.as_text().map(PathBuf::from).filter(|path| path.is_absolute());
        file.passphrase_file = Some(path.ok_or("an absolute path")?);
        Ok(())
    }),
    ("transit_address", |file, node| {
        file.transit.address = Some(one(node, ADDRESS, Address::parse)?);
        Ok(())
    }),
    ("transit_key", |file, node| {
        file.transit.key = Some(one(node, NAME, |text| name(text).ok())?);
        Ok(())
    }),
    ("transit_mount", |file, node| {
        file.transit.mount = Some(one(node, MOUNT, |text| mount(text).ok())?);
        Ok(())
    }),
    ("transit_ca_file", |file, node| {
        let path = node.as_text().map(PathBuf::from).filter(|path| path.is_absolute());
        file.transit.ca_file = Some(path.ok_or("an absolute path")?);
        Ok(())
    }),
    ("transit_token_file", |file, node| {
        let path = node.as_text().map(PathBuf::from).filter(|path| path.is_absolute());
        file.transit.token_file = Some(path.ok_or("an absolute path")?);
        Ok(())
    }),
    ("transit_role_id", |file, node| {
        file.transit.role_id = Some(one(node, NAME, |text| name(text).ok())?);
        Ok(())
    }),
];

fn one<T>(node: &Node, wanted: &'static str, read: impl Fn(&str) -> Option<T>) -> Result<T, &'static str> {
    node.as_text().and_then(read).ok_or(wanted)
}

impl FileSettings {
    fn read(path: &Path) -> Result<Self, ServerError> {
        let bytes = std::fs::read(path).map_err(|cause| ServerError::Read { path: path.into(), cause })?;
        Self::parse(&bytes).map_err(|diagnostics| ServerError::Settings { path: path.into(), diagnostics })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let parsed = parse(0, bytes);
        let mut diagnostics = parsed.diagnostics;
        let mut file = Self::default();
        match &parsed.root.kind {
            Kind::Null | Kind::Invalid => {}
            Kind::Map(entries) => {
                for entry in entries {
                    let known = FILE_KEYS.iter().find(|(key, _)| *key == entry.key);
                    let wrong = match known.map(|(_, take)| take(&mut file, &entry.value)) {
                        Some(Ok(())) => continue,
                        Some(Err(wanted)) => {
                            let text = format!("`{}` takes {wanted}", entry.key);
                            Diagnostic::new(Code::InvalidValue, entry.value.span, text)
                        }
                        None => {
                            let keys: Vec<_> = FILE_KEYS.iter().map(|(key, _)| format!("`{key}`")).collect();
                            Diagnostic::new(
                                Code::UnknownKey,
                                entry.key_span,
                                format!("unknown key `{}`", entry.key),
                            )
                            .help(format!("the keys are {}", keys.join(", ")))
                        }
                    };
                    diagnostics.push(wrong);
                }
            }
            _ => diagnostics.push(Diagnostic::new(
                Code::WrongKind,
                parsed.root.span,
                "the file is no map of settings",
            )),
        }
        if !has_errors(&diagnostics) {
            return Ok(file);
        }
        let mut tree = Tree::default();
        let _too_large_to_show = tree.insert("server.yaml", bytes);
        Err(render_text(&diagnostics, &tree))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_the_file_over_the_default() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("server.yaml");
        std::fs::write(
            &path,
            "grpc_listen: \"127.0.0.1:1\"\napi_listen: \"127.0.0.1:2\"\nnames: [srv.example]\n",
        )
        .unwrap();
        let path = path.to_str().unwrap();
        let arguments = ["vigosrv", "--config", path, "--grpc-listen", "127.0.0.1:3", "--arena", "mlock"];
        let settings = Settings::read(Arguments::try_parse_from(arguments).unwrap()).unwrap();
        assert_eq!(settings.grpc_listen.to_string(), "127.0.0.1:3");
        assert_eq!(settings.api_listen.to_string(), "127.0.0.1:2");
        assert_eq!(settings.names, ["srv.example"]);
        assert_eq!(settings.arena, ArenaChoice::Mlock);
        assert_eq!(settings.data_dir, Path::new(DATA_DIR));
    }

    #[test]
    fn every_mistake_in_the_file_is_shown_with_its_place() {
        let text = FileSettings::parse(b"grpc_lsiten: x\nlog_level: loud\nnames: one\n").unwrap_err();
        for part in ["server.yaml:1:1", "unknown key `grpc_lsiten`", "server.yaml:2:12", "server.yaml:3:8"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(FileSettings::parse(b"[1]").is_err());
        assert!(
            FileSettings::parse(b"keep_alive: 0s").is_err()
                && FileSettings::parse(b"keep_alive: 1h").is_err()
        );
        assert_eq!(FileSettings::parse(b"keep_alive: 1m").unwrap().keep_alive, Some(Duration::from_secs(60)));
        assert_eq!(FileSettings::parse(b"").unwrap(), FileSettings::default());
    }
}
