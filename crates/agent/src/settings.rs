//! Settings of the agent: flag over environment over file over default. The file has a closed schema.

use crate::arguments::{Arguments, DaemonArguments, LogFormat, LogLevel, Mode};
use crate::error::AgentError;
use clap::parser::ValueSource;
use clap::{ArgMatches, ValueEnum};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vigo_base::{limits, parse_duration};
use vigo_syntax::{Code, Diagnostic, Entry, Kind, Node, Tree, has_errors, render_text};
use vigo_sys::arena::{self, Choice};

/// Where the file is looked for when none is named, by root.
const FILE: &str = "/etc/vigo/agent.yaml";
/// The largest arena that may be asked for, in bytes.
const ARENA_MOST: u64 = 256 << 20;
/// A silent connection is asked whether it lives after so long, and after so long at most.
const KEEP_ALIVE: Duration = Duration::from_secs(25);
const KEEP_ALIVE_MOST: Duration = Duration::from_secs(600);

/// What holds for this process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The state folder.
    pub state_dir: PathBuf,
    /// What gets into the log.
    pub log_level: LogLevel,
    /// How a log line looks.
    pub log_format: LogFormat,
    /// Time between two runs of the daemon.
    pub interval: Duration,
    /// How the daemon hears of news.
    pub mode: Mode,
    /// While the server is waited for, a connection on which so long nothing came is asked whether it still lives, and given up after as long again.
    pub keep_alive: Duration,
    /// Which pages the hand takes.
    pub arena: Choice,
    /// How large the hand's arena may grow, in bytes.
    pub arena_max: usize,
    /// Go on with plain pages where no protected ones can be had.
    pub allow_insecure_arena: bool,
    /// How long the values of secrets are kept.
    pub secret_cache: SecretCache,
    /// Where each of these comes from, by the names of the file.
    pub origins: Vec<(&'static str, Origin)>,
}

/// How long the hand of the daemon keeps the values of secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SecretCache {
    /// As long as their epoch lasts: an envoy without its server goes on converging.
    #[default]
    Epoch,
    /// Until the end of the run. Drift of targets is seen by a keyed MAC; a value is fetched when it is needed.
    Apply,
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An option of the command line.
    Flag,
    /// A variable `VIGO_..` of the environment.
    Environment,
    /// The settings file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => out.write_str("flag"),
            Self::Environment => out.write_str("environment"),
            Self::File(path) => write!(out, "file {}", path.display()),
            Self::Default => out.write_str("default"),
        }
    }
}

#[derive(Debug, Default)]
struct File {
    state_dir: Option<PathBuf>,
    log_level: Option<LogLevel>,
    log_format: Option<LogFormat>,
    interval: Option<Duration>,
    mode: Option<Mode>,
    keep_alive: Option<Duration>,
    arena: Option<Choice>,
    arena_max: Option<usize>,
    allow_insecure_arena: Option<bool>,
    secret_cache: Option<SecretCache>,
}

const KEYS: [&str; 10] = [
    "state_dir",
    "log_level",
    "log_format",
    "interval",
    "mode",
    "keep_alive",
    "arena",
    "arena_max",
    "allow_insecure_arena",
    "secret_cache",
];

impl Settings {
    /// Lays the command line over the environment over the file over the defaults. `matches` says which of the first two an option is from.
    ///
    /// # Errors
    /// When a file that was named cannot be read, or has mistakes: they are in the message.
    pub fn load(arguments: &Arguments, matches: &ArgMatches) -> Result<Self, AgentError> {
        let named = arguments.config.as_deref();
        let usual =
            rustix::process::geteuid().is_root().then(|| Path::new(FILE)).filter(|path| path.exists());
        let path = named.or(usual);
        let file = path.map_or_else(|| Ok(File::default()), read)?;
        let mut layers = Layers { matches, path, origins: Vec::new() };
        let state_dir = match layers.take("state_dir", arguments.state_dir.clone(), file.state_dir) {
            Some(path) => path,
            None => crate::state::State::default_path()?,
        };
        let defaults = vigo_sys::arena::Options::default();
        let interval = layers.take("interval", None, file.interval);
        let mode = layers.take("mode", None, file.mode).unwrap_or(Mode::Stream);
        Ok(Self {
            state_dir: std::path::absolute(&state_dir)
                .map_err(|source| AgentError::Read { path: state_dir, source })?,
            log_level: layers
                .take("log_level", arguments.log_level, file.log_level)
                .unwrap_or(LogLevel::Warn),
            log_format: layers
                .take("log_format", arguments.log_format, file.log_format)
                .unwrap_or(LogFormat::Text),
            interval: interval.unwrap_or(Duration::from_secs(300)),
            mode,
            keep_alive: layers.take("keep_alive", None, file.keep_alive).unwrap_or(KEEP_ALIVE),
            arena: layers.take("arena", None, file.arena).unwrap_or_default(),
            arena_max: layers.take("arena_max", None, file.arena_max).unwrap_or(defaults.max),
            allow_insecure_arena: layers
                .take("allow_insecure_arena", None, file.allow_insecure_arena)
                .unwrap_or(false),
            secret_cache: layers
                .take("secret_cache", arguments.secret_cache, file.secret_cache)
                .unwrap_or_default(),
            origins: layers.origins,
        })
    }

    /// Each setting by its name in the file, as it would be written there, with where it comes from.
    #[must_use]
    pub fn shown(&self) -> Vec<(&'static str, String, Origin)> {
        let word = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        let arena = match self.arena {
            Choice::Auto => "auto",
            Choice::Mlock => "mlock",
            Choice::Plain => "plain",
        };
        let values = [
            ("state_dir", self.state_dir.display().to_string()),
            ("log_level", word(self.log_level.to_possible_value())),
            ("log_format", word(self.log_format.to_possible_value())),
            ("interval", format!("{}s", self.interval.as_secs())),
            ("mode", word(self.mode.to_possible_value())),
            ("keep_alive", format!("{}s", self.keep_alive.as_secs())),
            ("arena", arena.to_owned()),
            ("arena_max", self.arena_max.to_string()),
            ("allow_insecure_arena", self.allow_insecure_arena.to_string()),
            ("secret_cache", word(self.secret_cache.to_possible_value())),
        ];
        let origin = |name| {
            let known = self.origins.iter().find(|(known, _)| *known == name);
            known.map_or(Origin::Default, |(_, origin)| origin.clone())
        };
        values.into_iter().map(|(name, value)| (name, value, origin(name))).collect()
    }

    /// What the command line of the daemon says stands above the file.
    pub fn take_daemon(&mut self, arguments: &DaemonArguments) {
        if let Some(interval) = arguments.interval {
            self.interval = interval;
            self.say_by_flag("interval");
        }
        if let Some(mode) = arguments.mode {
            self.mode = mode;
            self.say_by_flag("mode");
        }
    }

    /// An option of a command stands above what the file says.
    fn say_by_flag(&mut self, name: &'static str) {
        self.origins.retain(|(known, _)| *known != name);
        self.origins.push((name, Origin::Flag));
    }
}

/// The layers of settings, and which of them each one came from.
struct Layers<'a> {
    matches: &'a ArgMatches,
    path: Option<&'a Path>,
    origins: Vec<(&'static str, Origin)>,
}

impl Layers<'_> {
    /// The uppermost value. `name` is that of the file, and of the option where there is one.
    fn take<T>(&mut self, name: &'static str, said: Option<T>, file: Option<T>) -> Option<T> {
        let origin = match (&said, &file, self.path) {
            (Some(_), _, _) if self.matches.value_source(name) == Some(ValueSource::EnvVariable) => {
                Origin::Environment
            }
            (Some(_), _, _) => Origin::Flag,
            (None, Some(_), Some(path)) => Origin::File(path.to_owned()),
            _ => Origin::Default,
        };
        self.origins.push((name, origin));
        said.or(file)
    }
}

fn read(path: &Path) -> Result<File, AgentError> {
    let bytes = std::fs::read(path).map_err(|source| AgentError::Read { path: path.to_owned(), source })?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("agent.yaml");
    parse(name, &bytes)
}

fn parse(name: &str, bytes: &[u8]) -> Result<File, AgentError> {
    let cut = bytes.get(..=limits::POLICY_FILE).unwrap_or(bytes);
    let mut tree = Tree::default();
    tree.insert(name, cut).map_err(|error| AgentError::Operator(error.to_string()))?;
    let parsed = vigo_syntax::parse(0, cut);
    let mut diagnostics = parsed.diagnostics;
    let mut file = File::default();
    match &parsed.root.kind {
        Kind::Map(entries) => {
            for entry in entries {
                if let Err(diagnostic) = file.take(entry) {
                    diagnostics.push(diagnostic);
                }
            }
        }
        Kind::Null | Kind::Invalid => {}
        _ => diagnostics.push(Diagnostic::new(
            Code::WrongKind,
            parsed.root.span,
            "settings are a map of names and values",
        )),
    }
    if has_errors(&diagnostics) {
        vigo_syntax::sort(&mut diagnostics);
        return Err(AgentError::Operator(format!(
            "cannot use the settings:\n{}",
            render_text(&diagnostics, &tree).trim_end()
        )));
    }
    Ok(file)
}

impl File {
    fn take(&mut self, entry: &Entry) -> Result<(), Diagnostic> {
        let value = &entry.value;
        match entry.key.as_str() {
            "state_dir" => self.state_dir = Some(PathBuf::from(text(value)?)),
            "log_level" => self.log_level = Some(word(value)?),
            "log_format" => self.log_format = Some(word(value)?),
            "interval" => {
                self.interval = Some(parse_duration(text(value)?).map_err(|why| wrong(value, &why))?)
            }
            "mode" => self.mode = Some(word(value)?),
            "keep_alive" => {
                let time = parse_duration(text(value)?).map_err(|why| wrong(value, &why))?;
                if time.is_zero() || time > KEEP_ALIVE_MOST {
                    return Err(wrong(value, "`keep_alive` is a time from `1s` to `10m`"));
                }
                self.keep_alive = Some(time);
            }
            "arena" => {
                self.arena = Some(match text(value)? {
                    "auto" => Choice::Auto,
                    "mlock" => Choice::Mlock,
                    "plain" => Choice::Plain,
                    _ => return Err(wrong(value, "`arena` is `auto`, `mlock` or `plain`")),
                });
            }
            "arena_max" => self.arena_max = Some(size(value)?),
            "allow_insecure_arena" => match value.kind {
                Kind::Boolean(allowed) => self.allow_insecure_arena = Some(allowed),
                _ => return Err(wrong(value, "`allow_insecure_arena` is `true` or `false`")),
            },
            "secret_cache" => self.secret_cache = Some(word(value)?),
            other => {
                let near = vigo_syntax::nearest(other, KEYS).map_or_else(
                    || format!("the settings are: {}", KEYS.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                return Err(Diagnostic::new(
                    Code::UnknownKey,
                    entry.key_span,
                    format!("unknown setting `{other}`"),
                )
                .help(near));
            }
        }
        Ok(())
    }
}

fn wrong(value: &Node, why: &str) -> Diagnostic {
    Diagnostic::new(Code::WrongKind, value.span, why)
}

fn text(value: &Node) -> Result<&str, Diagnostic> {
    value.as_text().ok_or_else(|| wrong(value, "text is expected here"))
}

fn word<T: ValueEnum>(value: &Node) -> Result<T, Diagnostic> {
    T::from_str(text(value)?, false).map_err(|why| wrong(value, &why))
}

fn size(value: &Node) -> Result<usize, Diagnostic> {
    let bytes = match value.kind {
        Kind::Integer(bytes) => u64::try_from(bytes).ok(),
        _ => None,
    };
    bytes
        .filter(|bytes| (arena::LEAST as u64..=ARENA_MOST).contains(bytes))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| wrong(value, "`arena_max` is a number of bytes from 655360 to 268435456"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_sets_what_it_says() {
        let file =
            parse("agent.yaml", b"interval: 90s\narena: mlock\narena_max: 1048576\nlog_level: debug\n")
                .unwrap();
        assert_eq!(file.interval, Some(Duration::from_secs(90)));
        assert_eq!(file.arena, Some(Choice::Mlock));
        assert_eq!(file.arena_max, Some(1 << 20));
        assert_eq!(file.log_level, Some(LogLevel::Debug));
        assert!(parse("agent.yaml", b"").is_ok());
    }

    #[test]
    fn every_setting_is_shown_with_where_it_comes_from() {
        use clap::{CommandFactory as _, FromArgMatches as _};
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("agent.yaml");
        std::fs::write(&path, "interval: 90s\nlog_level: info\n").unwrap();
        let words = [
            "vigo",
            "status",
            "--state-dir",
            "/s",
            "--log-level",
            "debug",
            "--config",
            path.to_str().unwrap(),
        ];
        let matches = Arguments::command().try_get_matches_from(words).unwrap();
        let settings = Settings::load(&Arguments::from_arg_matches(&matches).unwrap(), &matches).unwrap();
        let shown = settings.shown();
        assert_eq!(shown.iter().map(|(name, _, _)| *name).collect::<Vec<_>>(), KEYS, "one of each");
        let of = |name| {
            let (_, value, origin) = shown.iter().find(|(known, _, _)| *known == name).unwrap();
            (value.as_str(), origin.to_string())
        };
        assert_eq!(of("state_dir"), ("/s", "flag".to_owned()));
        assert_eq!(of("log_level"), ("debug", "flag".to_owned()), "above the file");
        assert_eq!(of("interval"), ("90s", format!("file {}", path.display())));
        assert_eq!(of("arena"), ("auto", "default".to_owned()));
    }

    #[test]
    fn mistakes_say_where_and_what_was_meant() {
        let error = parse("agent.yaml", b"intervall: 5m\narena: big\n").unwrap_err().to_string();
        for said in ["agent.yaml:1:1", "did you mean `interval`?", "agent.yaml:2:8"] {
            assert!(error.contains(said), "{said} is not in:\n{error}");
        }
        assert!(parse("agent.yaml", b"arena_max: 5\n").is_err());
        assert!(parse("agent.yaml", b"keep_alive: 0s\n").is_err());
        assert!(parse("agent.yaml", b"keep_alive: 1h\n").is_err());
        assert!(parse("agent.yaml", b"- a\n").is_err());
    }
}
