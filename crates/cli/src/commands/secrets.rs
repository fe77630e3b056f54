//! `vigocli secrets` with a server. A value goes from standard input into the hand and leaves it sealed; this process never has it.

use super::import;
use crate::arguments::{Part, Secret};
use crate::client::{Ask, encode};
use crate::error::CliError;
use crate::output::{self, Column};
use crate::session::Session;
use crate::{hand, terminal};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::os::fd::AsFd as _;
use std::time::{SystemTime, UNIX_EPOCH};
use vigo_base::{Exit, Sealed, SecretPath, SecretVersion, decode_hex, encode_hex};
use vigo_hand::{Binding, ReadNote, SealedItem};
use vigo_wire::assignment::KeyCertificate;
use vigo_wire::sign::{CertifiedPurpose, verify_certificate};

pub(super) const SECRETS: &[Column] = &[
    ("path", "/path"),
    ("version", "/version"),
    ("versions", "/versions"),
    ("updated", "/updated_at"),
    ("by", "/updated_by"),
    ("last given", "/used_at"),
    ("policies", "/policies"),
];
pub(super) const HISTORY: &[Column] =
    &[("version", "/version"), ("state", "/state"), ("at", "/at"), ("by", "/by")];
const WHO: &[Column] = &[
    ("envoy", "/name"),
    ("may", "/may"),
    ("why", "/why"),
    ("resources", "/resources"),
    ("ways", "/ways"),
    ("exposure", "/exposure"),
];
const EXPOSURE: &[Column] = &[
    ("envoy", "/name"),
    ("secret", "/path"),
    ("version", "/version"),
    ("way", "/way"),
    ("resource", "/resource"),
    ("target", "/target"),
    ("planned", "/planned"),
    ("reported", "/reported_at"),
    ("given", "/given_at"),
    ("level", "/level"),
    ("swap", "/swap"),
];

pub fn run(session: &mut Session, command: &Secret, warnings: &[String]) -> Result<Exit, CliError> {
    match command {
        Secret::Set { path, exact } => set(session, path, *exact, warnings)?,
        Secret::Import(import) => import::to_server(session, import, warnings)?,
        Secret::Get { path, stdout, version } => get(session, path, *stdout, *version, warnings)?,
        Secret::List { prefix, part } => session.list("/secrets", &[("prefix", prefix)], part, SECRETS)?,
        Secret::History { path, part } => about(session, path, "history", part, HISTORY)?,
        Secret::Who { path, part } => about(session, path, "who", part, WHO)?,
        Secret::Rotate { path, length, alphabet } => {
            let mut body = json!({ "length": length });
            if let (Some(fields), Some(alphabet)) = (body.as_object_mut(), alphabet) {
                fields.insert("alphabet".into(), json!(alphabet));
            }
            let answer =
                session.ask(&Ask::post(format!("/secrets/{}/rotate", encode(path.as_str())), body))?;
            say_version(session, &answer, "rotated", path)?;
        }
        Secret::Rekey { .. } | Secret::AcceptRollback | Secret::Log { .. } => {
            return Err(CliError::usage(
                "cannot do this without `--vault DIR`",
                "for a server there are, on its machine, `vigosrv rekey` and `vigosrv accept-rollback`, and here `vigocli audit list`",
            ));
        }
        Secret::Exposure { envoy, path, part } => {
            let envoy = envoy.as_deref().unwrap_or_default();
            let path = path.as_ref().map(SecretPath::as_str).unwrap_or_default();
            session.list("/exposure", &[("envoy", envoy), ("path", path)], part, EXPOSURE)?;
        }
        Secret::Policy { command } => return super::policy::run(session, command),
        Secret::Rm { path, force } => {
            let force = if *force { "?force=true" } else { "" };
            let answer = session.ask(&Ask::delete(format!("/secrets/{}{force}", encode(path.as_str()))))?;
            session.output.object(&answer, |_| format!("removed {path}"))?;
        }
    }
    Ok(Exit::Success)
}

fn about(
    session: &mut Session,
    path: &SecretPath,
    what: &str,
    part: &Part,
    columns: &[Column],
) -> Result<(), CliError> {
    session.list(&format!("/secrets/{}/{what}", encode(path.as_str())), &[], part, columns)
}

fn set(session: &mut Session, path: &SecretPath, exact: bool, warnings: &[String]) -> Result<(), CliError> {
    // First the server, then the value: who may not set it does not type it for nothing.
    let entry = entry_key(session)?;
    let mut hand = hand::start(warnings)?;
    let input = std::io::stdin();
    let (sealed, note) = {
        let silence = prompt(path);
        hand.read_and_seal(input.as_fd(), exact, &entry.key, path).inspect_err(|_| silence.settle())?
    };
    say_note(note);
    let answer =
        session.ask(&Ask::put(format!("/secrets/{}", encode(path.as_str())), entry.body(&sealed)))?;
    say_version(session, &answer, "set", path)
}

/// Silences the terminal and says what to type, if somebody types it.
pub(super) fn prompt(path: &SecretPath) -> terminal::Silence {
    let silence = terminal::Silence::standard_input();
    if silence.is_terminal() {
        output::note(&format!("value of {path} (not shown; end with Enter and Ctrl-D):"));
    }
    silence
}

pub(super) fn say_note(note: ReadNote) {
    if note.dropped_newline {
        output::note("the final newline was dropped; --exact keeps it");
    }
    if note.short {
        output::note(
            "the value has fewer than 8 bytes: too short to be kept out of command output by scrubbing",
        );
    }
}

fn say_version(session: &Session, answer: &Value, done: &str, path: &SecretPath) -> Result<(), CliError> {
    let version = SecretVersion(session.number(answer, "version")?);
    session.output.object(answer, |_| format!("{done} {path} {version}"))
}

/// The key to which values are sealed on their way in. Holding one proves that the anchor of `--ca-file` certified it.
pub(super) struct EntryKey {
    pub(super) id: String,
    pub(super) key: [u8; 32],
}

impl EntryKey {
    /// The body that gives the server what was sealed to it.
    pub(super) fn body(&self, sealed: &Sealed) -> Value {
        json!({
            "format": 1,
            "key_id": self.id,
            "encapsulated": STANDARD.encode(&sealed.encapsulated),
            "ciphertext": STANDARD.encode(&sealed.ciphertext),
        })
    }
}

pub(super) fn entry_key(session: &mut Session) -> Result<EntryKey, CliError> {
    let answer = session.ask(&Ask::get("/entry-key"))?;
    let id = session.text(&answer, "key_id")?.to_owned();
    let certificate = session.field(&answer, "certificate")?;
    let hex = |name: &str| {
        let bytes = certificate.get(name).and_then(Value::as_str).and_then(decode_hex);
        bytes.ok_or_else(|| session.strange(format!("its certificate has no `{name}`")))
    };
    let number = |name: &str| {
        let number = certificate.get(name).and_then(Value::as_u64);
        number.ok_or_else(|| session.strange(format!("its certificate has no `{name}`")))
    };
    let certificate = KeyCertificate {
        key: hex("key")?,
        purpose: session.text(certificate, "purpose")?.to_owned(),
        not_before: number("not_before")?,
        not_after: number("not_after")?,
        signature: hex("signature")?,
    };
    let refused = |why: String| CliError::EntryKey { server: session.server().to_owned(), why };
    let mut why = "no anchor in the CA file".to_owned();
    for anchor in session.client.anchors() {
        match verify_certificate(&certificate, anchor, CertifiedPurpose::Entry, now()) {
            Ok(certified) => return Ok(EntryKey { id, key: *certified.key() }),
            Err(error) => why = error.to_string(),
        }
    }
    Err(refused(why))
}

fn get(
    session: &mut Session,
    path: &SecretPath,
    stdout: bool,
    version: Option<u64>,
    warnings: &[String],
) -> Result<(), CliError> {
    let mut hand = hand::start(warnings)?;
    let request: [u8; 16] =
        vigo_wire::random::array().map_err(|_| CliError::Bug("the kernel gives no random bytes"))?;
    let mut body = json!({ "key": encode_hex(&hand.one_time_key()?), "request": encode_hex(&request) });
    if let (Some(fields), Some(version)) = (body.as_object_mut(), version) {
        fields.insert("version".into(), json!(version));
    }
    let answer = session.ask(&Ask::post(format!("/secrets/{}/get", encode(path.as_str())), body))?;
    let bytes = |name: &str| {
        let bytes = STANDARD.decode(session.text(&answer, name)?).ok();
        bytes.ok_or_else(|| session.strange(format!("its `{name}` is no base64")))
    };
    let sealed = Sealed { encapsulated: bytes("encapsulated")?, ciphertext: bytes("ciphertext")? };
    // The path asked for, not the one answered: another one does not open.
    let version = SecretVersion(session.number(&answer, "version")?);
    let item = SealedItem { path: path.clone(), version, sealed };
    let binding = Binding { party: Binding::OPERATOR, epoch: session.number(&answer, "epoch")?, request };
    if stdout {
        return Ok(hand.show(std::io::stdout().as_fd(), &binding, &item)?);
    }
    let terminal = terminal_output()?;
    hand.show(terminal.as_fd(), &binding, &item)?;
    output::note("");
    Ok(())
}

/// The terminal itself: a redirected output does not get a value by accident.
pub(super) fn terminal_output() -> Result<std::fs::File, CliError> {
    OpenOptions::new().write(true).open("/dev/tty").map_err(|_| {
        CliError::usage(
            "cannot show the value: there is no terminal",
            "with `--stdout` it goes to standard output, as it is",
        )
    })
}

/// Seconds since 1970 by this machine's clock.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
