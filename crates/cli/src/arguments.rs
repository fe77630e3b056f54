//! The command line. No option takes a secret's value: values come by standard input, from a terminal, or out of the server's hand.

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;
use vigo_base::{SecretPath, SecretScope, limits};

/// The exit codes, for the end of `--help`.
const EXITS: &str = "Exit codes: 0 done, 1 could not run, 2 wrong command line, 3 `config plan` found changes, \
4 not logged in or not permitted, 5 done and the answer is bad (validate, audit verify, secrets policy list).";

/// The operator's tool.
#[derive(Debug, Parser)]
#[command(name = "vigocli", version, about = "Works with a Vigo server: secrets, configuration, envoys, audit", after_help = EXITS)]
pub struct Arguments {
    /// How to reach the server, and how to print.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The server, `https://HOST:PORT`
    #[arg(long, global = true, env = "VIGO_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// The only certificates to trust: the server's `ca.pem`
    #[arg(long, global = true, env = "VIGO_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The file with the token that says who you are
    #[arg(long, global = true, env = "VIGO_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show whether the server is there and what it has
    Status,
    /// Set, rotate, list and remove secrets
    Secrets(Secrets),
    /// Check, plan, publish and roll back the configuration
    Config {
        /// What to do.
        #[command(subcommand)]
        command: Config,
    },
    /// Make and list enrolment tokens
    Token {
        /// What to do.
        #[command(subcommand)]
        command: Token,
    },
    /// Make, list and remove API tokens: for people and programs that talk to the server
    ApiToken {
        /// What to do.
        #[command(subcommand)]
        command: ApiToken,
    },
    /// List, show, revoke and remove envoys
    Envoys {
        /// What to do.
        #[command(subcommand)]
        command: Envoys,
    },
    /// List and show what runs did
    Runs {
        /// What to do.
        #[command(subcommand)]
        command: Runs,
    },
    /// Read and verify the audit log
    Audit {
        /// What to do.
        #[command(subcommand)]
        command: Audit,
    },
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// How much of a list.
#[derive(Clone, Debug, Args)]
pub struct Part {
    /// How many at most
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Go on where an earlier list ended (its `next`)
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
}

/// Secrets.
#[derive(Debug, Args)]
pub struct Secrets {
    /// Work on a vault in this folder, without a server
    #[arg(long, global = true, value_name = "DIR")]
    pub vault: Option<PathBuf>,
    /// With `--vault`: read the vault's passphrase from this file, such as `/dev/fd/3`; without it, it is asked for at the terminal
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Secret,
}

/// How the master key of a vault is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Keeping {
    /// In a file that only its owner may read.
    File,
    /// In a file under a passphrase.
    Passphrase,
}

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Set a secret to what comes on standard input (or is typed, unseen)
    Set {
        /// Its path, such as `web/upstream-token`
        path: SecretPath,
        /// Keep a final newline
        #[arg(long)]
        exact: bool,
    },
    /// Show a secret's value on the terminal; needs the permission `secrets.get`
    Get {
        /// Its path
        path: SecretPath,
        /// Write it to standard output instead, as it is
        #[arg(long)]
        stdout: bool,
        /// An older version
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        version: Option<u64>,
    },
    /// Set secrets to what stands in a file of age, sops or Ansible Vault, or in a `.env`
    Import(Import),
    /// List secrets, never their values
    List {
        /// Only those whose path begins so
        #[arg(default_value = "")]
        prefix: String,
        /// How much.
        #[command(flatten)]
        part: Part,
    },
    /// Show the versions of a secret
    History {
        /// Its path
        path: SecretPath,
        /// How much.
        #[command(flatten)]
        part: Part,
    },
    /// Replace a secret by a random value that nobody sees
    Rotate {
        /// Its path
        path: SecretPath,
        /// How many characters
        #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=(limits::SECRET_VALUE as i64)))]
        length: u32,
        /// Of which characters; letters and digits if not said
        #[arg(long, value_name = "CHARACTERS")]
        alphabet: Option<String>,
    },
    /// Remove a secret with all its versions
    Rm {
        /// Its path
        path: SecretPath,
        /// Also when what is published refers to it
        #[arg(long)]
        force: bool,
    },
    /// With `--vault`: put everything under a new master key (a server: `vigosrv rekey`)
    Rekey {
        /// How the new key is kept; as the old one if not said
        #[arg(long, value_name = "KIND")]
        to: Option<Keeping>,
        /// Read the passphrase of the new key from this file
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// With `--vault`: take an older copy that was put back for the one that counts
    AcceptRollback,
    /// With `--vault`: show what was done to the vault as a whole
    Log {
        /// How much.
        #[command(flatten)]
        part: Part,
    },
    /// Show which envoys get a secret, where, and why or why not
    Who {
        /// Its path
        path: SecretPath,
        /// How much.
        #[command(flatten)]
        part: Part,
    },
    /// Show which secret can be seen where, by the bundles and by the machines' reports
    Exposure {
        /// Only on this envoy (name or id)
        #[arg(long, value_name = "ENVOY")]
        envoy: Option<String>,
        /// Only this secret
        #[arg(long, value_name = "PATH")]
        path: Option<SecretPath>,
        /// How much.
        #[command(flatten)]
        part: Part,
    },
    /// Say who may have secrets, and how well a machine has to be protected for them
    Policy {
        /// What to do.
        #[command(subcommand)]
        command: Policy,
    },
}

/// What is imported, and what of it becomes which secret.
#[derive(Debug, Args)]
pub struct Import {
    /// The file, or `/dev/stdin`
    pub file: PathBuf,
    /// What it is; found out if not said
    #[arg(long, value_name = "FORMAT", value_parser = ["age", "sops", "ansible", "env"])]
    pub format: Option<String>,
    /// A file that is encrypted as a whole holds several secrets, in this form
    #[arg(long, value_name = "FORM", value_parser = ["yaml", "json", "env"], conflicts_with = "path")]
    pub content: Option<String>,
    /// It is one secret, and this is its path
    #[arg(long, value_name = "PATH", conflicts_with_all = ["prefix", "renames"])]
    pub path: Option<SecretPath>,
    /// What the paths begin with; the names in the file follow, divided by `/`
    #[arg(long, value_name = "PATH")]
    pub prefix: Option<String>,
    /// This name in the file becomes that secret; `--prefix` is not put before it
    #[arg(long = "rename", value_name = "NAME=PATH", action = ArgAction::Append, value_parser = rename)]
    pub renames: Vec<(String, SecretPath)>,
    /// Only this name in the file, or all in it
    #[arg(long, value_name = "NAME", action = ArgAction::Append)]
    pub only: Vec<String>,
    /// The age identities to open it with
    #[arg(long, value_name = "FILE")]
    pub identity_file: Option<PathBuf>,
    /// Read the passphrase of the file from this one, such as `/dev/fd/3`; without it, it is asked for at the terminal
    #[arg(long, value_name = "FILE")]
    pub source_passphrase_file: Option<PathBuf>,
    /// With `--path`: keep a final newline
    #[arg(long, requires = "path")]
    pub exact: bool,
    /// Make a new version of secrets that are there already
    #[arg(long)]
    pub replace: bool,
    /// Open the file and say what would be set; set nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What to do with the policies of secrets.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Set the policy of a secret (`web/token`), of all below a path (`web/`), or of all (`/`), in place of what it was
    Set {
        /// Which secrets
        scope: SecretScope,
        /// The least protection level of a machine that gets them
        #[arg(long, value_name = "LEVEL", value_parser = ["secure", "weak"])]
        require: Option<String>,
        /// `closed`: only machines whose swap is none, zram or encrypted
        #[arg(long, value_name = "SWAP", value_parser = ["closed"])]
        require_swap: Option<String>,
        /// Only in these environments
        #[arg(long = "allow-environment", value_name = "NAME", num_args = 1.., action = ArgAction::Append)]
        environments: Vec<String>,
        /// Only for envoys whose name fits one of these
        #[arg(long = "allow-envoy", value_name = "GLOB", num_args = 1.., action = ArgAction::Append)]
        envoys: Vec<String>,
        /// Only for envoys with all of these labels, as they were bound at enrolment
        #[arg(long = "allow-label", value_name = "NAME=VALUE", num_args = 1.., action = ArgAction::Append, value_parser = label)]
        labels: Vec<(String, String)>,
    },
    /// Show every policy that holds for a secret or for all below a path: all of them must be met
    Show {
        /// Which secrets
        scope: SecretScope,
    },
    /// List all policies
    List,
    /// Remove a policy
    Rm {
        /// Which secrets it is of, exactly as it was set
        scope: SecretScope,
    },
    /// Take the stored policies as they are, after somebody changed them past the server
    Accept,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Make a folder with a first small configuration
    Init {
        /// The folder to make
        dir: PathBuf,
    },
    /// Check a stacks folder; errors end with 5
    Validate {
        /// The folder; the server checks it
        #[arg(required_unless_present = "stacks", conflicts_with = "stacks", value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Check this folder here, without a server
        #[arg(long, value_name = "DIR")]
        stacks: Option<PathBuf>,
        /// With `--stacks`: take the names of secrets from this vault, and say which are missing
        #[arg(long, requires = "stacks", conflicts_with = "dir", value_name = "DIR")]
        vault: Option<PathBuf>,
    },
    /// Show what publishing a folder would change; changes end with 3
    Plan {
        /// The stacks folder
        dir: PathBuf,
    },
    /// Publish a stacks folder
    Publish {
        /// The stacks folder
        dir: PathBuf,
        /// Why, for the history
        #[arg(short, long, default_value = "", value_name = "TEXT")]
        message: String,
        /// Only if this version is still the current one
        #[arg(long, value_name = "N")]
        base: Option<u64>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// List what was published
    History {
        /// How much.
        #[command(flatten)]
        part: Part,
    },
    /// Publish an earlier version again
    Rollback {
        /// Its number
        version: u64,
        /// Why, for the history
        #[arg(short, long, default_value = "", value_name = "TEXT")]
        message: String,
    },
}

/// What to do with enrolment tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token and print it, this once
    Create {
        /// Which names may enrol with it, such as `web-*`; `*` must be written too
        #[arg(long = "match", required = true, value_name = "GLOB", action = ArgAction::Append)]
        globs: Vec<String>,
        /// For how long: `30m`, `1h`, `7d`
        #[arg(long, default_value = "1h", value_name = "TIME", value_parser = seconds)]
        ttl: u64,
        /// How many may enrol with it
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        uses: u32,
        /// Bind a label to who enrols with it
        #[arg(long = "label", value_name = "NAME=VALUE", action = ArgAction::Append, value_parser = label)]
        labels: Vec<(String, String)>,
        /// It may take a name from a living envoy, which is revoked then
        #[arg(long)]
        replace: bool,
    },
    /// List tokens, never their secrets
    List {
        /// How much.
        #[command(flatten)]
        part: Part,
    },
    /// Remove a token
    Rm {
        /// Its id
        id: String,
    },
}

/// What to do with API tokens.
#[derive(Debug, Subcommand)]
pub enum ApiToken {
    /// Make a token and print it, this once
    Create {
        /// Whose it is, for the audit log
        #[arg(long, value_name = "NAME")]
        user: String,
        /// What it may, such as `secrets.get`; several with commas or by repeating
        #[arg(long = "permission", required = true, value_name = "PERMISSION", value_delimiter = ',', action = ArgAction::Append)]
        permissions: Vec<String>,
        /// Only for this secret or all below this path (`web/`)
        #[arg(long = "paths", value_name = "PATH", value_delimiter = ',', action = ArgAction::Append)]
        paths: Vec<SecretScope>,
        /// For how long: `30m`, `1h`, `7d`
        #[arg(long, default_value = "30d", value_name = "TIME", value_parser = seconds)]
        ttl: u64,
    },
    /// List tokens, never the tokens themselves
    List {
        /// How much.
        #[command(flatten)]
        part: Part,
    },
    /// Remove a token: it is not known any more from then on
    Rm {
        /// Its id
        id: String,
    },
}

/// What to do with envoys.
#[derive(Debug, Subcommand)]
pub enum Envoys {
    /// List envoys
    List {
        /// Only those whose name begins so
        #[arg(default_value = "")]
        name: String,
        /// Only those of this protection level
        #[arg(long, value_name = "LEVEL", value_parser = ["secure", "weak", "insecure"])]
        level: Option<String>,
        /// Only those whose swap is of this class
        #[arg(long, value_name = "CLASS", value_parser = ["none", "zram", "encrypted-ephemeral", "encrypted-persistent", "plain"])]
        swap: Option<String>,
        /// Only those in this state
        #[arg(long, value_name = "STATE", value_parser = ["active", "quarantined", "revoked"])]
        state: Option<String>,
        /// How much.
        #[command(flatten)]
        part: Part,
    },
    /// Show one envoy with its traits
    Show {
        /// Its name or id
        envoy: String,
    },
    /// Revoke an envoy: it never gets anything again
    Revoke {
        /// Its name or id
        envoy: String,
    },
    /// Remove a revoked envoy
    Rm {
        /// Its name or id
        envoy: String,
    },
}

/// What to do with runs.
#[derive(Debug, Subcommand)]
pub enum Runs {
    /// List runs, the newest first
    List {
        /// Only those of this envoy (name or id)
        #[arg(long, value_name = "ENVOY")]
        envoy: Option<String>,
        /// How much.
        #[command(flatten)]
        part: Part,
    },
    /// Show one run with its resources
    Show {
        /// Its id
        run: String,
    },
}

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// List records, the newest first
    List {
        /// How much.
        #[command(flatten)]
        part: Part,
    },
    /// Check that no record was changed or taken out; a broken chain ends with 5
    Verify,
}

/// A name in a file and the secret that it becomes.
fn rename(text: &str) -> Result<(String, SecretPath), String> {
    let (name, path) =
        text.rsplit_once('=').ok_or_else(|| format!("`{text}` is not of the form `NAME=PATH`"))?;
    if name.is_empty() {
        return Err(format!("`{text}` is not of the form `NAME=PATH`"));
    }
    Ok((name.into(), path.parse().map_err(|error| format!("{error}"))?))
}

/// A time as `90s`, `30m`, `1h`, `7d`, in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no time; write a number and `s`, `m`, `h` or `d`, such as `1h`");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number: u64 = text.strip_suffix(unit).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).filter(|seconds| *seconds > 0).ok_or_else(wrong)
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| format!("`{text}` is no label; write `NAME=VALUE`"))?;
    Ok((name.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("vigocli").chain(line.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_well_made() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_and_after_the_command() {
        for line in ["--server https://a --json status", "status --json --server https://a"] {
            let global = parse(line).unwrap().global;
            assert_eq!((global.server.as_deref(), global.json), (Some("https://a"), true));
        }
    }

    #[test]
    fn a_vault_is_named_before_or_after_what_to_do() {
        for line in ["secrets --vault V set web/a", "secrets set web/a --vault V"] {
            let Command::Secrets(secrets) = parse(line).unwrap().command else { panic!("{line}") };
            assert_eq!(secrets.vault, Some("V".into()));
        }
    }

    #[test]
    fn every_command_of_the_quickstart_is_understood() {
        for line in [
            "status",
            "secrets set web/upstream-token",
            "config validate stacks",
            "config publish stacks -m first",
            "token create --match web-*",
            "envoys list --json",
            "runs list --json",
            "secrets --vault vault set web/upstream-token",
            "secrets policy set web/ --require secure --require-swap closed --allow-environment a b --allow-envoy web-* --allow-label tier=front",
            "secrets policy show web/token",
            "secrets policy list",
            "secrets policy rm /",
            "secrets exposure --envoy web-1 --path web/token",
            "api-token create --user alice --permission secrets.get,secrets.list --paths web/ --ttl 1h",
            "envoys list --level insecure --swap plain --state active",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn no_option_takes_a_value_of_a_secret() {
        fn walk(command: &clap::Command, names: &mut Vec<String>) {
            names.extend(command.get_arguments().map(|argument| argument.get_id().to_string()));
            command.get_subcommands().for_each(|command| walk(command, names));
        }
        let mut names = Vec::new();
        walk(&Arguments::command(), &mut names);
        for wrong in ["value", "secret", "password", "token", "plaintext"] {
            assert!(!names.iter().any(|name| name == wrong), "{wrong}");
        }
        assert!(parse("secrets set web/a value").is_err());
    }

    #[test]
    fn which_names_may_enrol_must_be_written() {
        assert!(parse("token create").is_err());
        let line = "token create --match * --match web-* --ttl 2d --uses 3 --label tier=front --label zone=";
        let Command::Token { command: Token::Create { globs, ttl, uses, labels, replace } } =
            parse(line).unwrap().command
        else {
            panic!("{line}")
        };
        assert_eq!((globs.len(), ttl, uses, replace), (2, 172_800, 3, false));
        assert_eq!(labels, [("tier".into(), "front".into()), ("zone".into(), String::new())]);
    }

    #[test]
    fn what_is_no_time_no_label_and_no_path_is_refused() {
        for line in [
            "token create --match * --ttl 0s",
            "token create --match * --ttl 5",
            "token create --match * --ttl h",
            "token create --match * --ttl 1y",
            "token create --match * --ttl 99999999999999999999d",
            "token create --match * --label tier",
            "token create --match * --label =front",
            "secrets set ../token",
            "secrets policy set ../x --require weak",
            "secrets policy set web/ --require insecure",
            "secrets policy set web/ --require-swap open",
            "secrets policy set web/ --allow-label tier",
            "secrets exposure --path ../x",
            "api-token create --user alice",
            "api-token create --permission secrets.get",
            "envoys list --level good",
            "secrets rotate a --length 0",
            "secrets rotate a --length 65537",
            "envoys list --limit 0",
            "config validate",
            "config validate a --stacks b",
            "config validate a --vault v",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
