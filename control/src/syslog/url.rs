//! Where a syslog server listens, and how it is spoken to.

use std::{fmt::Display, str::FromStr};

use serde::Deserialize;

/// A syslog server: `udp://HOST[:PORT]`, `tcp://…` (octet counting) or `tls://…`; ports 514, 601 and 6514 by default.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SyslogUrl {
    pub(crate) transport: Transport,
    /// A name or an address; an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Of RFC 5426, RFC 6587 §3.4.1 and RFC 5425.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// Why a text names no syslog server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyslogUrlError {
    #[error("it begins with udp://, tcp:// or tls://")]
    Scheme,
    #[error("it names a host and maybe a port, and nothing behind them")]
    Host,
}

impl FromStr for SyslogUrl {
    type Err = SyslogUrlError;

    fn from_str(text: &str) -> Result<Self, SyslogUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(SyslogUrlError::Scheme)?;
        let (transport, port) = match scheme {
            "udp" => (Transport::Udp, 514),
            "tcp" => (Transport::Tcp, 601),
            "tls" => (Transport::Tls, 6514),
            _ => return Err(SyslogUrlError::Scheme),
        };
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, "")) => (address, port),
            Some((address, rest)) => (address, port_of(rest.strip_prefix(':'))?),
            None => match rest.split_once(':') {
                None => (rest, port),
                Some((host, given)) => (host, port_of(Some(given))?),
            },
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
        if host.is_empty() || !host.chars().all(plain) {
            return Err(SyslogUrlError::Host);
        }
        Ok(Self { transport, host: host.to_owned(), port })
    }
}

impl TryFrom<String> for SyslogUrl {
    type Error = SyslogUrlError;

    fn try_from(text: String) -> Result<Self, SyslogUrlError> {
        text.parse()
    }
}

fn port_of(text: Option<&str>) -> Result<u16, SyslogUrlError> {
    let port = text.and_then(|text| text.parse().ok());
    port.filter(|port| *port > 0).ok_or(SyslogUrlError::Host)
}

impl Display for SyslogUrl {
    /// As the contract writes it: TLS is tcp there, and said in a field of its own.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.transport == Transport::Udp { "udp" } else { "tcp" };
        let bracketed = |host: &str| if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        write!(f, "{scheme}://{}:{}", bracketed(&self.host), self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_and_wrong_ones() {
        for (text, shown) in [
            ("udp://a", "udp://a:514"),
            ("tcp://a.example:1514", "tcp://a.example:1514"),
            ("tls://192.0.2.1", "tcp://192.0.2.1:6514"),
            ("tls://[2001:db8::1]:7", "tcp://[2001:db8::1]:7"),
            ("udp://[::1]", "udp://[::1]:514"),
        ] {
            assert_eq!(text.parse::<SyslogUrl>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "a:514",
            "http://a",
            "udp://",
            "udp://a:0",
            "udp://a:65536",
            "tcp://a/b",
            "tcp://a b",
            "tcp://[::1]x",
        ] {
            assert!(text.parse::<SyslogUrl>().is_err(), "{text}");
        }
    }
}
