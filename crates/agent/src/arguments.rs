//! The command line of `vigo`. What an option does is written here once; `--help` and the completions come from it.

use crate::settings::SecretCache;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use vigo_base::{EnvoyName, parse_duration};

/// Keeps this machine in the state that is written down for it.
#[derive(Debug, Parser)]
#[command(name = "vigo", version, disable_help_subcommand = true)]
pub struct Arguments {
    /// Folder of identity, bundle, queue and locks [default: /var/lib/vigo as root, else the XDG state folder]
    #[arg(long, global = true, env = "VIGO_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Settings file; it must exist when named [default: /etc/vigo/agent.yaml as root, where it exists]
    #[arg(long, global = true, env = "VIGO_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How much is logged on standard error [default: warn]
    #[arg(long, global = true, env = "VIGO_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// How log lines look [default: text]
    #[arg(long, global = true, env = "VIGO_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// How long the daemon's hand keeps values of secrets: while their epoch lasts, or until the end of a run [default: epoch]
    #[arg(long, global = true, env = "VIGO_SECRET_CACHE", value_name = "WHEN")]
    pub secret_cache: Option<SecretCache>,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What gets into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What stopped a command
    Error,
    /// And what an operator should know
    Warn,
    /// And what was done
    Info,
    /// And why
    Debug,
    /// And every step; never a value of a secret
    Trace,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Apply a file or a folder of stacks, without a server
    Apply(ApplyArguments),
    /// Make this machine an envoy of a server
    Enroll(EnrollArguments),
    /// Ask the server, apply, report; without the server, apply what is held
    Run(RunArguments),
    /// Run again and again, and at once when the server has news, until stopped by SIGTERM or SIGINT
    Daemon(DaemonArguments),
    /// Show who this envoy is, what it holds and how its last run ended
    Status(OutputArguments),
    /// Check from outside how well the running agent is protected: exit code 5 when something is bad
    Doctor(DoctorArguments),
    /// Show what this machine found out about itself
    Traits(OutputArguments),
    /// Explain the resource types, or one of them
    Explain(ExplainArguments),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version(OutputArguments),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Args)]
pub struct OutputArguments {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `run` and `apply` share.
#[derive(Clone, Debug, Args)]
pub struct ConvergeArguments {
    /// Change nothing: say what would be changed (exit code 3 if anything)
    #[arg(long)]
    pub dry_run: bool,
    /// Show changed lines; secret parts stay hidden
    #[arg(long)]
    pub diff: bool,
    /// Only these resources and what they depend on: an id, a name or type/identity
    #[arg(long, value_name = "REF", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Show unchanged resources too
    #[arg(short, long)]
    pub verbose: bool,
    /// Exit with 6 when something was changed
    #[arg(long)]
    pub detailed_exit_code: bool,
    /// Wait this long for another run to end, e.g. 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "0s")]
    pub wait: Duration,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `vigo apply`.
#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// A `.vgo` file, or a folder of stacks as a server would publish it
    #[arg(value_name = "FILE-OR-STACKS")]
    pub path: PathBuf,
    /// Be the envoy of this name [default: the name of this host]
    #[arg(long, value_name = "ENVOY")]
    pub name: Option<EnvoyName>,
    /// Set a variable, above every other
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub variables: Vec<(String, String)>,
    /// Where secrets come from: a vault folder, `env` (VIGO_SECRET_..), or `systemd` ($CREDENTIALS_DIRECTORY)
    #[arg(long, value_name = "VAULT-DIR|env|systemd")]
    pub secrets: Option<String>,
    /// With a vault folder under a passphrase: the file to read it from, such as `/dev/fd/3`
    #[arg(long, requires = "secrets", value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// How
    #[command(flatten)]
    pub converge: ConvergeArguments,
}

/// `vigo enroll`.
#[derive(Debug, Args)]
pub struct EnrollArguments {
    /// The server, as HOST or HOST:PORT [port: 1530]
    #[arg(value_name = "HOST[:PORT]")]
    pub server: String,
    /// File that holds the token; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "token", required_unless_present = "token")]
    pub token_file: Option<PathBuf>,
    /// The token itself: only one that is good for a single use and an hour at most, because every user can read it while this runs
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Name of this envoy [default: the full host name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<EnvoyName>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `vigo run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Fail with 1 when the server cannot be reached, instead of applying what is held
    #[arg(long)]
    pub online: bool,
    /// How
    #[command(flatten)]
    pub converge: ConvergeArguments,
}

/// When the daemon hears of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// With the next run; between two runs there is no connection and no network process
    Poll,
    /// Within seconds: the server holds a check-in until there is something new
    Stream,
}

/// `vigo daemon`.
#[derive(Debug, Args)]
pub struct DaemonArguments {
    /// How news of the server are learnt: a publish, a new version of a secret [default: stream]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<Mode>,
    /// Time between two runs, e.g. 30s or 5m; each is moved by up to a tenth at random [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub interval: Option<Duration>,
}

/// `vigo doctor`.
#[derive(Clone, Copy, Debug, Args)]
pub struct DoctorArguments {
    /// Try what an attacker of the same user would, on the running agent without harm and on processes of its own
    #[arg(long)]
    pub attack: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `vigo explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// A resource type; without it all are listed
    #[arg(value_name = "TYPE")]
    pub r#type: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn enrolment_takes_a_token_or_a_file_and_never_both() {
        let parse = |words: &[&str]| Arguments::try_parse_from(words);
        assert!(parse(&["vigo", "enroll", "srv:1530"]).is_err());
        assert!(parse(&["vigo", "enroll", "srv", "--token-file", "f"]).is_ok());
        assert!(parse(&["vigo", "enroll", "srv", "--token-file", "f", "--token", "t"]).is_err());
    }

    #[test]
    fn a_variable_needs_a_name() {
        assert_eq!(parse_variable("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(parse_variable("=b").is_err());
        assert!(parse_variable("ab").is_err());
    }
}
