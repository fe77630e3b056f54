//! `exec`: a command, with guards that say whether it has to run.

use crate::ownership;
use crate::place;
use std::time::Duration;
use vigo_base::{AbsolutePath, CREDENTIALS_DIRECTORY, Pieces};
use vigo_resource::{
    Applied, AttributeInfo, AttributeProblem, Attributes, Change, CommandLine, CommandRequest, CommandValue,
    Context, End, Example, Failure, Finished, Host, Kind, Outcome, Output, OutputRule, Plan, Provides,
    Resource, SecretChange, SecretRule, Shell, TypeInfo, Unchanged,
};

/// Letters of a command in messages.
const SHOWN_COMMAND: usize = 120;
/// Lines of output in messages, from the end.
const SHOWN_LINES: usize = 20;
const DEFAULT_SHELL: &str = "/bin/sh";
const DEFAULT_UMASK: u32 = 0o022;

static INFO: TypeInfo = TypeInfo {
    name: "exec",
    doc: "A command that runs when its guards say so.",
    attributes: &[
        AttributeInfo::new("command", Kind::Command, "What runs.").identity().secrets(SecretRule::Argv),
        AttributeInfo::new(
            "onlyif",
            Kind::Commands,
            "Runs only if each of these succeeds. They must only look; they run in a dry run, too.",
        ),
        AttributeInfo::new(
            "unless",
            Kind::Commands,
            "Does not run if one of these succeeds. They must only look; they run in a dry run, too.",
        ),
        AttributeInfo::new("creates", Kind::Path, "Does not run if this exists."),
        AttributeInfo::new("cwd", Kind::Path, "Where it runs.").default("/"),
        AttributeInfo::new("user", Kind::User, "Who runs it, by name or number.").default("who runs Vigo"),
        AttributeInfo::new("group", Kind::Group, "With which group, by name or number.")
            .default("the user's own"),
        AttributeInfo::new("environment", Kind::Environment, "Variables, for its guards, too.")
            .secrets(SecretRule::Environment),
        AttributeInfo::new(
            "credentials",
            Kind::Credentials,
            "Files in memory that only the command can see, in the folder that `CREDENTIALS_DIRECTORY` names; they are gone when nobody has them open any more. Not for its guards.",
        )
        .secrets(SecretRule::Unexposed),
        AttributeInfo::new("stdin", Kind::Text, "What it reads on standard input.")
            .secrets(SecretRule::Unexposed),
        AttributeInfo::new(
            "returns",
            Kind::Integers { least: 0, most: 255 },
            "Exit codes that mean success.",
        )
        .default("0"),
        AttributeInfo::new("umask", Kind::Umask, "Permission bits that its files do not get.").default("022"),
        AttributeInfo::new(
            "shell",
            Kind::Shell,
            "What reads the command; `false` when it is a list of arguments.",
        )
        .default(DEFAULT_SHELL),
        AttributeInfo::new(
            "log_output",
            Kind::Choice(&["on_failure", "always", "never"]),
            "When what it says goes into the report.",
        )
        .default("on_failure"),
        AttributeInfo::new(
            "sensitive_output",
            Kind::Boolean,
            "`true` drops what it says; `false` keeps it, scrubbed, though it got a secret. What names a file with a secret in it is dropped always, and so is what may hold a value that cannot be had to be scrubbed.",
        )
        .default("dropped when it got a secret"),
        AttributeInfo::new(
            "rerun_on",
            Kind::Choice(&["secret"]),
            "Run again, against the guards, when a secret it uses has a new version.",
        ),
    ],
    states: &[],
    later: &[],
    exclusive: &[],
    provides: Provides::Nothing,
    timeout: Duration::from_secs(300),
    examples: &[
        Example {
            title: "A database that is made once, with its password on standard input",
            policy: "type: exec\ncommand: /usr/local/bin/make-database shop\nstdin: \"secret:shop/database\"\ncreates: /var/lib/shop/.made\n",
        },
        Example {
            title: "A program that reads its key from a file which only it can see",
            policy: "type: exec\ncommand: \"/usr/local/bin/sign --key \\\"$CREDENTIALS_DIRECTORY/key\\\"\"\ncredentials: {key: \"secret:sign/key\"}\ncreates: /var/lib/sign/.done\n",
        },
        Example {
            title: "A reload after a change",
            policy: "type: exec\nname: reload\ncommand: [\"/usr/sbin/nginx\", \"-s\", \"reload\"]\nshell: false\nwhen: changed\n",
        },
    ],
};

/// A command as the policy wants it.
#[derive(Debug)]
pub struct Exec {
    line: CommandLine,
    onlyif: Vec<String>,
    unless: Vec<String>,
    creates: Option<AbsolutePath>,
    folder: Option<AbsolutePath>,
    user: Option<String>,
    group: Option<String>,
    environment: Vec<(String, Pieces)>,
    credentials: Vec<(String, Pieces)>,
    stdin: Option<Pieces>,
    returns: Vec<i64>,
    umask: u32,
    log: Log,
    output: OutputRule,
    rerun_on_secret: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    OnFailure,
    Always,
    Never,
}

impl Resource for Exec {
    type Steps = CommandRequest;
    const INFO: &'static TypeInfo = &INFO;

    fn parse(mut attributes: Attributes) -> Result<Self, Vec<AttributeProblem>> {
        let command = attributes.command("command");
        let shell = attributes.shell("shell");
        let line = match (command, shell) {
            (Some(command), shell) => {
                line(command, shell).map_err(|problem| attributes.problem(problem)).ok()
            }
            (None, _) => None,
        };
        let log = match attributes.choice("log_output") {
            Some("always") => Log::Always,
            Some("never") => Log::Never,
            _ => Log::OnFailure,
        };
        let output = match attributes.optional_boolean("sensitive_output") {
            None => OutputRule::Automatic,
            Some(true) => OutputRule::Drop,
            Some(false) => OutputRule::Scrub,
        };
        let rest = Self {
            line: CommandLine::Arguments(Vec::new()),
            onlyif: attributes.commands("onlyif"),
            unless: attributes.commands("unless"),
            creates: attributes.path("creates"),
            folder: attributes.path("cwd"),
            user: attributes.text("user"),
            group: attributes.text("group"),
            environment: attributes.environment("environment"),
            credentials: attributes.credentials("credentials"),
            stdin: attributes.pieces("stdin"),
            returns: attributes.integers("returns").unwrap_or_else(|| vec![0]),
            umask: attributes.umask("umask").unwrap_or(DEFAULT_UMASK),
            log,
            output,
            rerun_on_secret: attributes.choice("rerun_on").is_some(),
        };
        if !rest.credentials.is_empty()
            && rest.environment.iter().any(|(name, _)| name == CREDENTIALS_DIRECTORY)
        {
            let problem = format!("cannot set `{CREDENTIALS_DIRECTORY}`, which `credentials` sets");
            attributes.problem(AttributeProblem::new("environment", problem).help("leave one of them out"));
        }
        attributes.finish(line.map(|line| Self { line, ..rest }))
    }

    fn plan(&self, host: &dyn Host, context: &Context<'_>) -> Result<Plan<CommandRequest>, Failure> {
        self.refuse_exposure(context)?;
        let again = self.rerun_on_secret && context.secret_change != SecretChange::Same;
        if let Some(path) = &self.creates
            && !again
            && host.entry(path)?.is_some()
        {
            return Ok(self.done(context, format!("`creates`: `{path}` exists")));
        }
        let request = self.request(host, context)?;
        if !again && let Some(guard) = self.guarded(host, context, &request)? {
            return Ok(self.done(context, guard));
        }
        if request.has_secret() {
            context.require_secrets()?;
        }
        let change = Change::line(format!("run `{}`", self.shown(context)));
        Ok(Plan::Change { outcome: Outcome::Updated, change, steps: request })
    }

    fn apply(
        &self,
        host: &mut dyn Host,
        context: &Context<'_>,
        request: CommandRequest,
    ) -> Result<Applied, Failure> {
        let finished = host.run(&request)?;
        let shown = self.shown(context);
        let reason = match finished.end {
            End::Exited(code) if self.returns.contains(&i64::from(code)) => {
                let lines = if self.log == Log::Always { said(&finished.output) } else { Vec::new() };
                return Ok(Applied { lines });
            }
            End::Exited(code) => format!("`{shown}` ended with exit code {code}"),
            End::Signalled(signal) => format!("`{shown}` was ended by signal {signal}"),
            End::TimedOut => {
                return Err(Failure::failed(format!(
                    "`{shown}` did not end within {} s and was killed",
                    request.timeout.as_secs()
                ))
                .help("write a longer `timeout`, or find out what it waits for"));
            }
        };
        let said = if self.log == Log::Never { Vec::new() } else { said(&finished.output) };
        Err(Failure::failed(if said.is_empty() { reason } else { format!("{reason}: {}", said.join("\n")) })
            .help("run it by hand as that user, or add the code to `returns`"))
    }
}

impl Exec {
    fn refuse_exposure(&self, context: &Context<'_>) -> Result<(), Failure> {
        let exposed = match &self.line {
            CommandLine::Shell { text, .. } => text.has_secret(),
            CommandLine::Arguments(arguments) => arguments.iter().any(Pieces::has_secret),
        };
        if exposed && !context.allows_exposure("argv") {
            return Err(Failure::failed(
                "cannot put a secret into a command: everybody on the machine can read a command line",
            )
            .help("hand it over with `stdin`, or accept it with `allow_exposure: [argv]`"));
        }
        Ok(())
    }

    fn request(&self, host: &dyn Host, context: &Context<'_>) -> Result<CommandRequest, Failure> {
        let user = match &self.user {
            None => None,
            Some(name) => Some(host.user(name)?.ok_or_else(|| ownership::missing_user(name))?),
        };
        let group = match &self.group {
            None => None,
            Some(name) => Some(ownership::group_number(host, name)?),
        };
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => place::root()?,
        };
        Ok(CommandRequest {
            line: self.line.clone(),
            user,
            group,
            folder,
            environment: self.environment.clone(),
            allow_argv: context.allows_exposure("argv"),
            credentials: self.credentials.clone(),
            stdin: self.stdin.clone(),
            umask: self.umask,
            timeout: context.timeout,
            output: if self.log == Log::Never { OutputRule::Drop } else { self.output },
            resource: context.id.to_owned(),
        })
    }

    /// Which guard says that the command need not run.
    fn guarded(
        &self,
        host: &dyn Host,
        context: &Context<'_>,
        request: &CommandRequest,
    ) -> Result<Option<String>, Failure> {
        if self.onlyif.is_empty() && self.unless.is_empty() {
            return Ok(None);
        }
        if request.environment.iter().any(|(_, value)| value.has_secret()) {
            context.require_secrets()?;
        }
        for guard in &self.unless {
            if self.probe(host, guard, request)?.succeeded() {
                return Ok(Some(format!("`unless`: `{}` succeeded", first_line(guard))));
            }
        }
        for guard in &self.onlyif {
            if !self.probe(host, guard, request)?.succeeded() {
                return Ok(Some(format!("`onlyif`: `{}` did not succeed", first_line(guard))));
            }
        }
        Ok(None)
    }

    fn probe(&self, host: &dyn Host, guard: &str, request: &CommandRequest) -> Result<Finished, Failure> {
        let shell = match &self.line {
            CommandLine::Shell { shell, .. } => shell.clone(),
            CommandLine::Arguments(_) => default_shell()?,
        };
        let line = CommandLine::Shell { shell, text: Pieces::literal(guard) };
        // How it ends is all that is asked of it.
        let output = OutputRule::Drop;
        let finished = host.probe(&CommandRequest {
            line,
            stdin: None,
            credentials: Vec::new(),
            output,
            ..request.clone()
        })?;
        match finished.end {
            End::TimedOut => Err(Failure::failed(format!(
                "the guard `{}` did not end within {} s and was killed",
                first_line(guard),
                request.timeout.as_secs()
            ))
            .help("a guard must only look, and end")),
            End::Exited(_) | End::Signalled(_) => Ok(finished),
        }
    }

    fn done(&self, context: &Context<'_>, guard: String) -> Plan<CommandRequest> {
        let rotated =
            context.secret_change == SecretChange::Rotated && !self.rerun_on_secret && self.uses_secret();
        let hint = if rotated {
            "; a secret it uses has another version than at its last run: `rerun_on: secret` would run it again"
        } else {
            ""
        };
        Plan::Unchanged(Unchanged::Guard(format!("{guard}{hint}")))
    }

    fn uses_secret(&self) -> bool {
        self.stdin.as_ref().is_some_and(Pieces::has_secret)
            || self.environment.iter().chain(&self.credentials).any(|(_, value)| value.has_secret())
    }

    fn shown(&self, context: &Context<'_>) -> String {
        match &self.line {
            CommandLine::Shell { text, .. } => first_line(&context.masked(text)),
            CommandLine::Arguments(arguments) => {
                let words: Vec<String> = arguments.iter().map(|argument| context.masked(argument)).collect();
                first_line(&words.join(" "))
            }
        }
    }
}

fn line(command: CommandValue, shell: Option<Shell>) -> Result<CommandLine, AttributeProblem> {
    match (command, shell) {
        (CommandValue::Arguments(arguments), Some(Shell::None)) => Ok(CommandLine::Arguments(arguments)),
        (CommandValue::Arguments(_), _) => {
            Err(AttributeProblem::new("command", "is a list, but a shell reads text")
                .help("write `shell: false` beside it, or one text"))
        }
        (CommandValue::Text(_), Some(Shell::None)) => Err(AttributeProblem::new(
            "command",
            "is text, but without a shell nobody divides it into arguments",
        )
        .help("write a list of arguments, or leave `shell` out")),
        (CommandValue::Text(text), Some(Shell::Program(shell))) => Ok(CommandLine::Shell { shell, text }),
        (CommandValue::Text(text), None) => {
            let shell = default_shell().map_err(|failure| AttributeProblem::new("shell", failure.reason))?;
            Ok(CommandLine::Shell { shell, text })
        }
    }
}

fn default_shell() -> Result<AbsolutePath, Failure> {
    DEFAULT_SHELL.parse().map_err(|error: vigo_base::PathError| Failure::failed(error.to_string()))
}

fn first_line(command: &str) -> String {
    let line = command.lines().next().unwrap_or_default();
    let mut shown: String = line.chars().take(SHOWN_COMMAND).collect();
    if shown.len() < command.trim_end().len() {
        shown.push('…');
    }
    shown
}

/// The last lines of what a command said, standard error last.
fn said(output: &Output) -> Vec<String> {
    match output {
        Output::Kept { stdout, stderr } => {
            let lines: Vec<&str> = stdout.lines().chain(stderr.lines()).collect();
            let skipped = lines.len().saturating_sub(SHOWN_LINES);
            lines.into_iter().skip(skipped).map(str::to_owned).collect()
        }
        Output::Dropped { stdout_bytes: 0, stderr_bytes: 0, .. } => Vec::new(),
        Output::Dropped { stdout_bytes, stderr_bytes, why } if !why.is_empty() => vec![format!(
            "its output is not kept: {why} ({stdout_bytes} bytes on standard output, {stderr_bytes} on standard error)"
        )],
        Output::Dropped { stdout_bytes, stderr_bytes, .. } => vec![format!(
            "its output is not shown, it may hold a secret ({stdout_bytes} bytes on standard output, {stderr_bytes} on standard error)"
        )],
    }
}
