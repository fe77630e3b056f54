//! Where the server is: `HOST[:PORT]` as an operator writes it.

use rustls::pki_types::ServerName;
use vigo_wire::outer::PORT;
use vigo_wire::worker::{Failure, Kind};

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Reads `HOST[:PORT]`: a name, an IPv4 address, an IPv6 address (in brackets where a port follows).
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || Failure {
            kind: Kind::Unreachable,
            text: format!("cannot connect to `{text}`: it is no HOST[:PORT]"),
        };
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
                (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(wrong)?) })
            }
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(PORT), str::parse).map_err(|_| wrong())?;
        let address = Self { host: host.to_owned(), port };
        if port == 0 || address.name().is_none() { Err(wrong()) } else { Ok(address) }
    }

    /// The name that the server's certificate must be for.
    pub fn name(&self) -> Option<ServerName<'static>> {
        ServerName::try_from(self.host.clone()).ok()
    }

    /// `HOST:PORT` as it stands in a URI and in messages.
    pub fn authority(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_name_or_an_address_with_or_without_a_port() {
        for (text, host, port) in [
            ("vigo.example.com", "vigo.example.com", 1530),
            ("vigo.example.com:99", "vigo.example.com", 99),
            ("127.0.0.1:40001", "127.0.0.1", 40_001),
            ("::1", "::1", 1530),
            ("[::1]", "::1", 1530),
            ("[fe80::1]:65535", "fe80::1", 65_535),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port), "{text}");
            assert_eq!(Address::parse(&address.authority()).unwrap(), address);
        }
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in
            ["", ":1530", "a b", "a:0", "a:65536", "a:", "[::1", "[::1]1530", "https://a", "a/b:1", "[a]:1:2"]
        {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
