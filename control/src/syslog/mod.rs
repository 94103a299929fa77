//! Forwarding to syslog servers (RFC 5424; provisioner §4.7, D43): our events, what was asked of this system, and what
//! clients have us forward. It never makes anybody wait: each server has a bounded queue, and what does not fit is
//! counted.

mod message;
mod sender;
mod url;

use std::path::Path;

pub(crate) use message::{Logging, Message, Severity};
pub(crate) use sender::Sender;
pub(crate) use url::Transport;
pub use url::{SyslogUrl, SyslogUrlError};

use crate::outbound::Trust;

/// The configured servers; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Syslog {
    servers: Vec<Sender>,
    /// What this system is called in messages.
    host: String,
    /// The file of authorities that TLS servers are checked with, if it is not the operating system's.
    pub(crate) authorities: Option<String>,
}

impl Syslog {
    pub(crate) fn start(servers: &[SyslogUrl], host: &str, trust: &Trust) -> Self {
        let name = |path: &Path| Some(path.file_name()?.to_string_lossy().into_owned());
        Self {
            servers: servers.iter().map(|url| Sender::start(url.clone(), trust.clone())).collect(),
            host: host.to_owned(),
            authorities: trust.authorities.as_deref().and_then(name),
        }
    }

    pub(crate) fn servers(&self) -> &[Sender] {
        &self.servers
    }

    pub(crate) fn forward(&self, message: &Message) {
        self.servers.iter().for_each(|server| server.send(message.clone()));
    }

    /// Something that happened here, or that was asked of us.
    pub(crate) fn tell(
        &self,
        logging: Logging,
        severity: Severity,
        time_ms: u64,
        text: String,
        parameters: Vec<(String, String)>,
    ) {
        if self.servers.is_empty() {
            return;
        }
        let (host, app) = (self.host.clone(), "basalt".to_owned());
        self.forward(&Message { logging, severity, time_ms, host, app, text, parameters });
    }
}
