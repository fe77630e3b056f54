//! What a command works with: the server as the command line names it, and where results go.

use crate::arguments::{Global, Part};
use crate::client::{Address, Ask, Client, Patience, Trust, encode};
use crate::error::CliError;
use crate::files;
use crate::output::{self, Column, Output};
use serde_json::Value;

/// The most items that one request asks for.
const PAGE: u32 = 500;

/// The server and the output.
pub struct Session {
    /// The way to the server.
    pub client: Client,
    /// Where results go.
    pub output: Output,
    server: String,
}

impl Session {
    /// A session with the server of the command line; nothing is connected yet.
    ///
    /// # Errors
    /// When a part of it is missing or wrong.
    pub fn open(global: &Global) -> Result<Self, CliError> {
        let missing = |what: &str, option: &str, variable: &str| {
            CliError::usage(
                format!("cannot tell {what}"),
                format!("name it with `{option}` or in the environment variable {variable}"),
            )
        };
        let server = global.server.as_deref();
        let server = server.ok_or_else(|| missing("which server is meant", "--server URL", "VIGO_SERVER"))?;
        let ca_file = global.ca_file.as_deref();
        let ca_file = ca_file.ok_or_else(|| missing("whom to trust", "--ca-file FILE", "VIGO_CA_FILE"))?;
        let token = global.token_file.as_deref().map(files::read_token).transpose()?;
        let client = Client::new(
            Address::parse(server)?,
            Trust::read(ca_file)?,
            token.as_deref(),
            Patience::person(),
        )?;
        Ok(Self { client, output: Output::standard(global.json), server: server.into() })
    }

    /// The server as the command line has it, for messages.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Waits for as long as `patience` says.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience(patience);
        self
    }

    /// The same, from now on.
    pub fn patience(&mut self, patience: Patience) {
        self.client.patience(patience);
    }

    /// Asks.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask(&mut self, ask: &Ask) -> Result<Value, CliError> {
        self.client.ask(ask)
    }

    /// A field of an answer that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn field<'a>(&self, value: &'a Value, name: &str) -> Result<&'a Value, CliError> {
        value.get(name).ok_or_else(|| self.strange(format!("it has no `{name}`")))
    }

    /// A text of an answer that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn text<'a>(&self, value: &'a Value, name: &str) -> Result<&'a str, CliError> {
        self.field(value, name)?.as_str().ok_or_else(|| self.strange(format!("its `{name}` is no text")))
    }

    /// A number of an answer that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn number(&self, value: &Value, name: &str) -> Result<u64, CliError> {
        self.field(value, name)?.as_u64().ok_or_else(|| self.strange(format!("its `{name}` is no number")))
    }

    /// The answer is none of this interface.
    #[must_use]
    pub fn strange(&self, why: impl Into<String>) -> CliError {
        CliError::Answer { server: self.server.clone(), why: why.into() }
    }

    /// Asks for a list, page by page, and prints it.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn list(
        &mut self,
        path: &str,
        filter: &[(&str, &str)],
        part: &Part,
        columns: &[Column],
    ) -> Result<(), CliError> {
        let list = self.gather(path, filter, part)?;
        self.output.list(&list, columns)?;
        if list.get("next").is_some_and(|next| !next.is_null()) && !self.output.is_json() {
            output::note(&format!("there are more than {}: use --limit N", part.limit));
        }
        Ok(())
    }

    fn gather(&mut self, path: &str, filter: &[(&str, &str)], part: &Part) -> Result<Value, CliError> {
        let limit = usize::try_from(part.limit).unwrap_or(usize::MAX);
        let (mut items, mut next) = (Vec::new(), part.cursor.clone());
        loop {
            let wanted = limit.saturating_sub(items.len()).min(PAGE as usize);
            let mut ask = format!("{path}?limit={wanted}");
            for (name, value) in filter.iter().copied().filter(|(_, value)| !value.is_empty()) {
                ask.push_str(&format!("&{name}={}", encode(value)));
            }
            if let Some(cursor) = &next {
                ask.push_str(&format!("&cursor={}", encode(cursor)));
            }
            let page = self.ask(&Ask::get(ask))?;
            let more = page.get("items").and_then(Value::as_array).cloned();
            let more = more.ok_or_else(|| self.strange("it is no list"))?;
            let empty = more.is_empty();
            items.extend(more);
            next = page.get("next").and_then(Value::as_str).map(str::to_owned);
            if next.is_none() || items.len() >= limit || empty {
                return Ok(output::listing(items, next));
            }
        }
    }
}
