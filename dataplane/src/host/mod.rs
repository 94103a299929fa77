//! Our own NVMe/TCP host on the reactor: for load generation and tests, and for nodes that write to one another.

mod authentication;
mod queue;

use std::{net::SocketAddr, rc::Rc, time::Duration};

use nvmeof::{
    Nqn, Status,
    auth::{Credentials, HostFailure},
    host::{Association, BringUp, BringUpError, BringUpStep, sqe},
    tls::{IdentityVersion, RetainedPsk},
    transport::{HostTransfer, ICRequest, TermReq},
    wire::{Cqe, cqe::SQHD_DISABLED},
};
use uuid::Uuid;
use zerocopy::IntoBytes;

pub use self::queue::{Answer, HostQueue, Payload};
use crate::rt::{
    self, Buf,
    net::{
        Stream, TcpStream,
        tls::{self, TlsError},
    },
};

/// Whom to connect to, and as whom.
#[derive(Debug, Clone)]
pub struct HostOptions {
    pub address: SocketAddr,
    pub subsystem: Nqn,
    pub host: Nqn,
    pub host_id: Uuid,
    pub digests: ICRequest,
    /// Keep Alive Timeout in milliseconds; zero is off.
    pub kato_ms: u32,
    /// I/O queues to ask for.
    pub io_queues: u16,
    /// For controllers that ask who we are; with a controller's secret, we ask who they are.
    pub credentials: Option<Credentials>,
    /// The host's key, to connect in TLS.
    pub tls: Option<RetainedPsk>,
}

impl HostOptions {
    /// Opens a connection, in TLS if there is a key for it.
    async fn open(&self) -> Result<Stream, HostError> {
        let tcp = TcpStream::connect(self.address).await?;
        let Some(key) = &self.tls else { return Ok(Stream::Plain(tcp)) };
        let identity = key.identity(IdentityVersion::V1, key.hash(), &self.subsystem);
        let psk = key.tls_psk(&identity).ok_or(TlsError::NoKey)?;
        let tls = tls::connect(tcp, &[(identity.to_string(), psk)]).await?;
        Ok(Stream::Tls(Box::new(tls)))
    }
}

/// A connection or controller failed us.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("the connection failed: {0}")]
    Socket(#[from] std::io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the connection ended")]
    Closed,
    #[error("the controller broke the protocol: {0}")]
    Protocol(TermReq),
    #[error("the controller ended the connection: {0}")]
    Terminated(TermReq),
    #[error(transparent)]
    BringUp(#[from] BringUpError),
    #[error("the controller refused queue {qid} with {status:?}")]
    QueueRefused { qid: u16, status: Status },
    #[error("the controller asks for authentication, and there is no secret for it")]
    NoSecret,
    #[error(transparent)]
    Authentication(#[from] HostFailure),
    #[error("the controller answered authentication with {0:?}")]
    AuthenticationRefused(Status),
}

/// A controller that is ready for I/O queues. Its admin queue lives as long as this.
#[derive(Debug)]
pub struct HostController {
    options: HostOptions,
    admin: Rc<HostQueue>,
    cntlid: u16,
    io_queues: u16,
    queue_entries_max: u32,
}

const ADMIN_ENTRIES: u16 = 32;
/// Between two looks at a controller that is not ready yet.
const READY_POLL: Duration = Duration::from_millis(10);

impl HostController {
    /// Connects an admin queue and enables the controller.
    pub async fn connect(options: HostOptions) -> Result<Self, HostError> {
        let admin = HostQueue::open(options.open().await?, options.digests, ADMIN_ENTRIES).await?;
        let association = Association {
            subsystem: options.subsystem.clone(),
            host: options.host.clone(),
            host_id: options.host_id,
            admin_entries: ADMIN_ENTRIES,
            kato_ms: options.kato_ms,
            io_queues: options.io_queues,
        };
        let (mut machine, mut step) = BringUp::start(association);
        let mut connected = false;
        loop {
            let response = match step {
                BringUpStep::Send { sqe, transfer, payload } => {
                    admin.command(sqe, payload_for(transfer, &payload).await).await?.cqe
                }
                BringUpStep::SendLater { sqe } => {
                    rt::sleep(READY_POLL).await;
                    admin.command(sqe, Payload::None).await?.cqe
                }
                BringUpStep::Ready { cntlid, queue_entries_max, io_queues } => {
                    return Ok(Self { options, admin, cntlid, io_queues, queue_entries_max });
                }
            };
            if !std::mem::replace(&mut connected, true) {
                authentication::after_connect(&admin, &options, &response).await?;
            }
            step = machine.next(&response)?;
        }
    }

    /// Authenticates one of this controller's queues anew, while it goes on.
    pub async fn authenticate(&self, queue: &HostQueue) -> Result<(), HostError> {
        let credentials = self.options.credentials.clone().ok_or(HostError::NoSecret)?;
        authentication::authenticate(queue, &self.options, credentials).await
    }

    pub fn admin(&self) -> &Rc<HostQueue> {
        &self.admin
    }

    pub fn cntlid(&self) -> u16 {
        self.cntlid
    }

    /// I/O queues that the controller granted.
    pub fn io_queues(&self) -> u16 {
        self.io_queues
    }

    /// Entries of the largest I/O queue.
    pub fn queue_entries_max(&self) -> u32 {
        self.queue_entries_max
    }

    /// Connects I/O queue `qid` (from 1) without submission queue flow control. One entry of a queue always stays
    /// free, so that `entries - 1` commands can be in flight.
    pub async fn io_queue(&self, qid: u16, entries: u16) -> Result<Rc<HostQueue>, HostError> {
        let queue = HostQueue::open(self.options.open().await?, self.options.digests, entries).await?;
        let connect = sqe::connect(qid, entries, 0, false);
        let data =
            sqe::connect_data(&self.options.host, self.options.host_id, &self.options.subsystem, self.cntlid);
        let payload = payload_for(HostTransfer::InCapsule(0), data.as_bytes()).await;
        let cqe = queue.command(connect, payload).await?.cqe;
        if !cqe.status().is_success() {
            return Err(HostError::QueueRefused { qid, status: cqe.status() });
        }
        authentication::after_connect(&queue, &self.options, &cqe).await?;
        debug_assert_eq!(cqe.sqhd.get(), SQHD_DISABLED, "flow control was disabled");
        Ok(queue)
    }
}

async fn payload_for(transfer: HostTransfer, bytes: &[u8]) -> Payload {
    match transfer {
        HostTransfer::None => Payload::None,
        HostTransfer::In(len) => Payload::In(len),
        HostTransfer::InCapsule(_) | HostTransfer::Out(_) => {
            let data = Buf::copy_of(bytes).await;
            Payload::Out(data)
        }
    }
}

impl Answer {
    /// The command's own status.
    pub fn status(&self) -> Status {
        let cqe: &Cqe = &self.cqe;
        cqe.status()
    }
}
