//! Settings of the agent: flag over environment over file over default. The file has a closed schema.

use crate::arguments::{Arguments, LogFormat, LogLevel};
use crate::duration::parse_duration;
use crate::error::AgentError;
use clap::ValueEnum;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vigo_base::limits;
use vigo_syntax::{Code, Diagnostic, Entry, Kind, Node, Tree, has_errors, render_text};
use vigo_sys::arena::Choice;

/// Where the file is looked for when none is named, by root.
const FILE: &str = "/etc/vigo/agent.yaml";
/// The largest arena that may be asked for, in bytes.
const ARENA_MOST: u64 = 256 << 20;

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
    /// Which pages the hand takes.
    pub arena: Choice,
    /// How large the hand's arena may grow, in bytes.
    pub arena_max: usize,
    /// Go on with plain pages where no protected ones can be had.
    pub allow_insecure_arena: bool,
}

#[derive(Debug, Default)]
struct File {
    state_dir: Option<PathBuf>,
    log_level: Option<LogLevel>,
    log_format: Option<LogFormat>,
    interval: Option<Duration>,
    arena: Option<Choice>,
    arena_max: Option<usize>,
    allow_insecure_arena: Option<bool>,
}

const KEYS: [&str; 7] =
    ["state_dir", "log_level", "log_format", "interval", "arena", "arena_max", "allow_insecure_arena"];

impl Settings {
    /// Lays the command line (which already took in the environment) over the file over the defaults.
    ///
    /// # Errors
    /// When a file that was named cannot be read, or has mistakes: they are in the message.
    pub fn load(arguments: &Arguments) -> Result<Self, AgentError> {
        let named = arguments.config.as_deref();
        let usual =
            rustix::process::geteuid().is_root().then(|| Path::new(FILE)).filter(|path| path.exists());
        let file = match named.or(usual) {
            Some(path) => read(path)?,
            None => File::default(),
        };
        let state_dir = match arguments.state_dir.clone().or(file.state_dir) {
            Some(path) => path,
            None => crate::state::State::default_path()?,
        };
        let defaults = vigo_sys::arena::Options::default();
        Ok(Self {
            state_dir: std::path::absolute(&state_dir)
                .map_err(|source| AgentError::Read { path: state_dir, source })?,
            log_level: arguments.log_level.or(file.log_level).unwrap_or(LogLevel::Warn),
            log_format: arguments.log_format.or(file.log_format).unwrap_or(LogFormat::Text),
            interval: file.interval.unwrap_or(Duration::from_secs(300)),
            arena: file.arena.unwrap_or_default(),
            arena_max: file.arena_max.unwrap_or(defaults.max),
            allow_insecure_arena: file.allow_insecure_arena.unwrap_or(false),
        })
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
            "arena" => {
                self.arena = Some(match text(value)? {
                    "auto" => Choice::Auto,
                    "mlock" => Choice::Mlock,
                    _ => return Err(wrong(value, "`arena` is `auto` or `mlock`")),
                });
            }
            "arena_max" => self.arena_max = Some(size(value)?),
            "allow_insecure_arena" => match value.kind {
                Kind::Boolean(allowed) => self.allow_insecure_arena = Some(allowed),
                _ => return Err(wrong(value, "`allow_insecure_arena` is `true` or `false`")),
            },
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
        .filter(|bytes| (256 << 10..=ARENA_MOST).contains(bytes))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| wrong(value, "`arena_max` is a number of bytes from 262144 to 268435456"))
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
    fn mistakes_say_where_and_what_was_meant() {
        let error = parse("agent.yaml", b"intervall: 5m\narena: big\n").unwrap_err().to_string();
        for said in ["agent.yaml:1:1", "did you mean `interval`?", "agent.yaml:2:8"] {
            assert!(error.contains(said), "{said} is not in:\n{error}");
        }
        assert!(parse("agent.yaml", b"arena_max: 5\n").is_err());
        assert!(parse("agent.yaml", b"- a\n").is_err());
    }
}
