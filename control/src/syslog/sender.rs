//! One syslog server: its bounded queue, and the task that empties it.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::UdpSocket,
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    message::{Logging, Message, Severity},
    url::{SyslogUrl, Transport},
};
use crate::{app::now_ms, limits, outbound::Trust};

/// A server that does not take a message within this is taken to be gone.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Hands messages to a server's task and never waits.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) url: SyslogUrl,
    queue: mpsc::Sender<Message>,
    seen: Arc<Seen>,
}

/// What the task and others know of each other.
#[derive(Default)]
struct Seen {
    connected: AtomicBool,
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Sender {
    /// The task ends with the last clone of the sender.
    pub(crate) fn start(url: SyslogUrl, trust: Trust) -> Self {
        let (queue, messages) = mpsc::channel(limits::SYSLOG_QUEUE);
        let seen = Arc::<Seen>::default();
        let task = Task { url: url.clone(), trust, messages, seen: Arc::clone(&seen), told_dropped: 0 };
        tokio::spawn(task.run());
        Self { url, queue, seen }
    }

    /// Queues it, or drops it if the queue is full.
    pub(crate) fn send(&self, message: Message) {
        if self.queue.try_send(message).is_err() {
            self.seen.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The last attempt to reach it succeeded.
    pub(crate) fn is_connected(&self) -> bool {
        self.seen.connected.load(Ordering::Relaxed)
    }

    /// Since the start: handed over to the network.
    pub(crate) fn sent(&self) -> u64 {
        self.seen.sent.load(Ordering::Relaxed)
    }

    /// Since the start: lost because the server did not keep up or was not there.
    pub(crate) fn dropped(&self) -> u64 {
        self.seen.dropped.load(Ordering::Relaxed)
    }
}

struct Task {
    url: SyslogUrl,
    trust: Trust,
    messages: mpsc::Receiver<Message>,
    seen: Arc<Seen>,
    /// Of the dropped ones, so many were told to the server.
    told_dropped: u64,
}

enum Link {
    Datagrams(UdpSocket),
    Stream(Box<dyn AsyncWrite + Send + Unpin>),
}

#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("it takes nothing")]
    Late,
    #[error("{0}")]
    Tls(String),
}

impl Task {
    async fn run(mut self) {
        let mut wait = FIRST_WAIT;
        // A message that could not be sent goes first on the next connection.
        let mut held: Option<Message> = None;
        while !self.messages.is_closed() {
            match timeout(PATIENCE, self.connect()).await.unwrap_or(Err(LinkError::Late)) {
                Ok(link) => {
                    self.seen.connected.store(true, Ordering::Relaxed);
                    wait = FIRST_WAIT;
                    match self.serve(link, &mut held).await {
                        Ok(()) => return,
                        Err(error) => self.lost(&error),
                    }
                }
                Err(error) => self.lost(&error),
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn lost(&self, error: &LinkError) {
        // Said once, not at each try.
        if self.seen.connected.swap(false, Ordering::Relaxed) {
            tracing::warn!(server = %self.url, %error, "the syslog server is gone");
        } else {
            tracing::debug!(server = %self.url, %error, "the syslog server cannot be reached");
        }
    }

    async fn connect(&self) -> Result<Link, LinkError> {
        let (names, host, port) = (&self.trust.names, self.url.host.as_str(), self.url.port);
        Ok(match self.url.transport {
            Transport::Udp => {
                let address = names.lookup(host, port).await?[0];
                let any: SocketAddr = match address {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(any).await?;
                socket.connect(address).await?;
                Link::Datagrams(socket)
            }
            Transport::Tcp => Link::Stream(Box::new(names.connect(host, port).await?)),
            Transport::Tls => {
                let config = self.trust.client_config().map_err(|e| LinkError::Tls(e.to_string()))?;
                let name = ServerName::try_from(self.url.host.clone());
                let name = name.map_err(|e| LinkError::Tls(e.to_string()))?;
                let socket = names.connect(host, port).await?;
                Link::Stream(Box::new(TlsConnector::from(config).connect(name, socket).await?))
            }
        })
    }

    /// Sends what comes until the link breaks, or nobody sends any more.
    async fn serve(&mut self, mut link: Link, held: &mut Option<Message>) -> Result<(), LinkError> {
        loop {
            let message = match held.take() {
                Some(message) => message,
                None => match self.messages.recv().await {
                    Some(message) => message,
                    None => return Ok(()),
                },
            };
            let dropped = self.seen.dropped.load(Ordering::Relaxed);
            if dropped > self.told_dropped {
                link.send(&gap(&message, dropped - self.told_dropped)).await.inspect_err(|_| {
                    *held = Some(message.clone());
                })?;
                self.told_dropped = dropped;
            }
            if let Err(error) = link.send(&message).await {
                *held = Some(message);
                return Err(error);
            }
            self.seen.sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Said where the gap is.
fn gap(next: &Message, dropped: u64) -> Message {
    Message {
        logging: Logging::Event,
        severity: Severity::Warning,
        time_ms: now_ms(),
        host: next.host.clone(),
        app: "basalt".to_owned(),
        text: format!("{dropped} messages were dropped before this one"),
        parameters: vec![("dropped".to_owned(), dropped.to_string())],
    }
}

impl Link {
    async fn send(&mut self, message: &Message) -> Result<(), LinkError> {
        let text = message.encode();
        let sending = async {
            match self {
                Self::Datagrams(socket) => socket.send(text.as_bytes()).await.map(drop),
                Self::Stream(stream) => {
                    // Octet counting (RFC 6587 §3.4.1), as RFC 5425 has it, too.
                    stream.write_all(format!("{} {text}", text.len()).as_bytes()).await?;
                    stream.flush().await
                }
            }
        };
        Ok(timeout(PATIENCE, sending).await.map_err(|_| LinkError::Late)??)
    }
}
