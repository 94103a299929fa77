//! Which server a command talks to, and what it shows there.
//!
//! Named by `--url` or `BASALT_URL`: only `--token` or `BASALT_TOKEN` speaks for the caller, because the
//! credentials of a local directory belong to another server. Otherwise everything comes from the data directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args;
use hyper::Uri;

use super::error::CliError;
use crate::DEFAULT_DATA_DIR;

#[derive(Debug, Args)]
#[command(next_help_heading = "To reach a server (all commands but serve)")]
pub(crate) struct ServerOptions {
    /// The server, as https://ADDRESS:30100 [default: the one of the data directory]
    #[arg(long, global = true, env = "BASALT_URL", value_name = "URL")]
    url: Option<String>,
    /// The access token, as in the server's credentials/token
    #[arg(long, global = true, env = "BASALT_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Trust servers of this authority: the ca.pem of the server's credentials directory
    #[arg(long, global = true, env = "BASALT_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust whoever answers
    #[arg(long, global = true, conflicts_with = "ca")]
    insecure: bool,
}

/// A server and the means to talk to it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: ServerAddress,
    pub(crate) token: Option<String>,
    /// PEM file with our certificate and its key.
    pub(crate) client_pem: Option<PathBuf>,
    pub(crate) trust: Trust,
}

#[derive(Debug)]
pub(crate) enum Trust {
    /// PEM file with the authority of one Basalt installation. It signs no server but its own, so the name in
    /// the certificate adds nothing: an address that the certificate does not know is fine.
    Installation(PathBuf),
    /// The machine's public authorities, and the name must be right.
    Public(PathBuf),
    Anybody,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerAddress {
    /// A name or a literal address, IPv6 without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl ServerOptions {
    pub(crate) fn find(self, data_dir: Option<PathBuf>) -> Result<Server, CliError> {
        let data_dir = data_dir.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
        let credentials = data_dir.join("credentials");
        let local_ca = credentials.join("ca.pem");
        let trust = match (self.insecure, self.ca) {
            (true, _) => Trust::Anybody,
            (false, Some(ca)) => Trust::Installation(ca),
            (false, None) if self.url.is_none() || local_ca.exists() => Trust::Installation(local_ca),
            (false, None) => Trust::Public(PathBuf::from(PUBLIC_AUTHORITIES)),
        };
        if let Some(url) = self.url {
            return Ok(Server { address: parse_url(&url)?, token: self.token, client_pem: None, trust });
        }
        if !credentials.is_dir() {
            return Err(CliError::NoServer(credentials));
        }
        let (token, client_pem) = match self.token {
            Some(token) => (Some(token), None),
            None => (Some(read_line(&credentials.join("token"))?), Some(credentials.join("ssdtoolbox.pem"))),
        };
        let url = read_line(&data_dir.join(crate::API_URL_FILE))?;
        Ok(Server { address: parse_url(&url)?, token, client_pem, trust })
    }
}

impl ServerAddress {
    /// For people and error texts.
    pub(crate) fn url(&self) -> String {
        match self.host.contains(':') {
            true => format!("https://[{}]:{}", self.host, self.port),
            false => format!("https://{}:{}", self.host, self.port),
        }
    }
}

pub(crate) fn parse_url(url: &str) -> Result<ServerAddress, CliError> {
    let wrong = |reason: &str| CliError::Usage(format!("--url {url}: {reason}"));
    let uri: Uri = url.parse().map_err(|_| wrong("not a URL such as https://192.0.2.7:30100"))?;
    if uri.scheme_str() != Some("https") {
        return Err(wrong("the API speaks HTTPS only: write https://ADDRESS:PORT"));
    }
    if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
        return Err(wrong("write only https://ADDRESS:PORT, without a path"));
    }
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    Ok(ServerAddress { host: host.to_owned(), port: uri.port_u16().unwrap_or(DEFAULT_PORT) })
}

fn read_line(path: &Path) -> Result<String, CliError> {
    let unreadable = |source| CliError::Credentials { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    match text.trim() {
        line if !line.is_empty() && line.chars().all(|c| c.is_ascii_graphic()) => Ok(line.to_owned()),
        _ => Err(unreadable(io::Error::other("not one line of text"))),
    }
}

const DEFAULT_PORT: u16 = 30100;
/// Where Debian keeps them.
const PUBLIC_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_parse() {
        let address = |host: &str, port| ServerAddress { host: host.to_owned(), port };
        for (url, expected) in [
            ("https://192.0.2.7:30100", address("192.0.2.7", 30100)),
            ("https://node1/", address("node1", 30100)),
            ("https://[2001:db8::7]:8443", address("2001:db8::7", 8443)),
        ] {
            assert_eq!(parse_url(url).expect(url), expected);
        }
        for url in ["http://192.0.2.7", "192.0.2.7:30100", "https://node1/api", "https://", "https://a b"] {
            assert!(matches!(parse_url(url), Err(CliError::Usage(_))), "{url}");
        }
    }

    fn options(url: Option<&str>, token: Option<&str>) -> ServerOptions {
        ServerOptions {
            url: url.map(str::to_owned),
            token: token.map(str::to_owned),
            ca: None,
            insecure: false,
        }
    }

    fn data_dir() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("credentials")).expect("made");
        fs::write(directory.path().join("credentials/token"), "local-token\n").expect("written");
        fs::write(directory.path().join("credentials/ca.pem"), "").expect("written");
        fs::write(directory.path().join("api-url"), "https://127.0.0.1:5\n").expect("written");
        directory
    }

    #[test]
    fn the_data_directory_gives_everything() {
        let directory = data_dir();
        let server = options(None, None).find(Some(directory.path().to_owned())).expect("found");
        assert_eq!(server.address.url(), "https://127.0.0.1:5");
        assert_eq!(server.token.as_deref(), Some("local-token"));
        assert_eq!(server.client_pem, Some(directory.path().join("credentials/ssdtoolbox.pem")));
    }

    #[test]
    fn local_credentials_are_never_shown_to_another_server() {
        let directory = data_dir();
        let named = options(Some("https://192.0.2.7"), None).find(Some(directory.path().to_owned()));
        let named = named.expect("found");
        assert_eq!((named.token, named.client_pem), (None, None));
        let other_caller =
            options(None, Some("mine")).find(Some(directory.path().to_owned())).expect("found");
        assert_eq!((other_caller.token.as_deref(), other_caller.client_pem), (Some("mine"), None));
    }

    #[test]
    fn no_directory_and_no_url_is_no_server() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let found = options(None, None).find(Some(directory.path().to_owned()));
        assert!(matches!(found, Err(CliError::NoServer(_))));
    }
}
