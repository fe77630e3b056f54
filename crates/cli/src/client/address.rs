//! `--server`: where the server is.

use crate::error::CliError;
use rustls::pki_types::ServerName;
use std::fmt;

/// The port for operators.
const PORT: u16 = 8443;

/// A server's address: HTTPS, a host, a port, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    name: ServerName<'static>,
}

impl Address {
    /// Reads `https://HOST[:PORT]`.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, CliError> {
        let wrong = |why: &str| {
            CliError::usage(
                format!("cannot use `{text}` as a server: {why}"),
                format!(
                    "write `https://HOST:PORT`; the port for operators is {PORT} unless the server was told another"
                ),
            )
        };
        let rest = text.strip_prefix("https://").ok_or_else(|| wrong("it does not begin with `https://`"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(wrong("it has more than a host and a port"));
        }
        let (host, port) = split(rest).ok_or_else(|| wrong("its port is no number from 1 to 65535"))?;
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| wrong("its host is no name and no address"))?;
        Ok(Self { host: host.to_owned(), port, name })
    }

    /// Where to connect.
    #[must_use]
    pub fn socket(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Whose certificate it must be.
    #[must_use]
    pub const fn name(&self) -> &ServerName<'static> {
        &self.name
    }

    /// The value of `Host`.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Host and port; an IPv6 address stands in brackets (RFC 3986).
fn split(text: &str) -> Option<(&str, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, rest)| (host, rest.strip_prefix(':')))?,
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        None => PORT,
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
    };
    Some((host, port))
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "https://{}", self.authority())
    }
}

/// `text` as one part of a path or a query (RFC 3986: all but unreserved characters by their bytes).
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&vigo_base::encode_hex(&[byte]).to_ascii_uppercase());
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_a_host_and_a_port() {
        for (text, shown) in [
            ("https://127.0.0.1:8443", "https://127.0.0.1:8443"),
            ("https://vigo.example.com", "https://vigo.example.com:8443"),
            ("https://vigo.example.com:99/", "https://vigo.example.com:99"),
            ("https://[::1]:1", "https://[::1]:1"),
            ("https://[::1]", "https://[::1]:8443"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for text in [
            "",
            "vigo.example.com",
            "http://vigo.example.com",
            "https://",
            "https://host:port",
            "https://host:0",
            "https://host:70000",
            "https://user@host",
            "https://host/api",
            "https://host?x",
            "https://[::1",
            "https://a b",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.help().unwrap().contains("https://HOST:PORT"), "{text}");
        }
    }

    #[test]
    fn a_path_is_encoded_so_that_it_stays_one_part() {
        assert_eq!(encode("web/upstream-token"), "web%2Fupstream-token");
        assert_eq!(encode("a b?ä"), "a%20b%3F%C3%A4");
    }
}
