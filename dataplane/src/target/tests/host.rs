//! A host for tests: one command at a time on a queue.

use std::net::SocketAddr;

use nvmeof::{
    Nqn, Status,
    host::{Association, BringUp, BringUpStep, sqe},
    transport::{Crc32c, HostConnection, HostEvent, HostTransfer, ICRequest, Slot},
    wire::{Cqe, Sqe},
};
use uuid::Uuid;
use zerocopy::IntoBytes;

use crate::rt::{
    Buf,
    net::{SendBatch, TcpStream},
};

/// One queue pair.
pub(super) struct HostQueue {
    stream: TcpStream,
    connection: HostConnection,
    buf: Option<Buf>,
    /// Received and not yet understood: `[at, end)` of `buf`.
    at: usize,
    end: usize,
    next_slot: u16,
    /// Responses of commands other than the one being waited for.
    pub(super) others: Vec<(Slot, Cqe)>,
    /// Data that the controller asks for is not sent before [`give`](Self::give).
    pub(super) withholds: bool,
    asked: Option<Asked>,
}

/// What an R2T asked for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    slot: Slot,
    ttag: u16,
    offset: u32,
    len: u32,
}

pub(super) const ENTRIES: u16 = 64;

/// A queue that the controller ended.
#[derive(Debug)]
pub(super) struct Ended;

impl HostQueue {
    pub(super) async fn open(address: SocketAddr, request: ICRequest) -> Result<Self, Ended> {
        let stream = TcpStream::connect(address).await.map_err(|_| Ended)?;
        let mut queue = Self {
            stream,
            connection: HostConnection::new(ENTRIES, request),
            buf: Some(Buf::alloc(65536).await),
            at: 0,
            end: 0,
            next_slot: 0,
            others: Vec::new(),
            withholds: false,
            asked: None,
        };
        let mut out = Vec::new();
        queue.connection.encode_ic_req(&mut out);
        queue.send(&out).await?;
        while queue.connection.negotiated().is_none() {
            queue.event(&mut [], &[]).await?;
        }
        Ok(queue)
    }

    /// Sends these bytes over a connection of their own, and closes it.
    pub(super) async fn raw(address: SocketAddr, bytes: &[u8]) {
        let mut batch = Box::new(SendBatch::new());
        batch.push_inline(bytes);
        let stream = TcpStream::connect(address).await.unwrap();
        stream.send_all(batch).await.1.unwrap();
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        for piece in bytes.chunks(16384) {
            let mut batch = Box::new(SendBatch::new());
            batch.push_inline(piece);
            self.stream.send_all(batch).await.1.map_err(|_| Ended)?;
        }
        Ok(())
    }

    /// Sends a command without waiting for it.
    pub(super) async fn begin(
        &mut self,
        sqe: Sqe,
        transfer: HostTransfer,
        payload: &[u8],
    ) -> Result<Slot, Ended> {
        let slot = Slot(self.next_slot);
        self.next_slot = (self.next_slot + 1) % ENTRIES;
        let mut out = Vec::new();
        self.connection.encode_command(slot, sqe, transfer, &mut out);
        if let HostTransfer::InCapsule(_) = transfer {
            self.append_payload(payload, &mut out);
        }
        self.send(&out).await?;
        Ok(slot)
    }

    fn append_payload(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(payload);
        if self.connection.negotiated().unwrap().data_digest {
            out.extend_from_slice(&Crc32c::of(payload).to_le_bytes());
        }
    }

    /// A command from its capsule to its response.
    pub(super) async fn command(
        &mut self,
        sqe: Sqe,
        transfer: HostTransfer,
        payload: &[u8],
    ) -> Result<(Cqe, Vec<u8>), Ended> {
        let mut data = match transfer {
            HostTransfer::In(len) => vec![0; len as usize],
            _ => Vec::new(),
        };
        let slot = self.begin(sqe, transfer, payload).await?;
        loop {
            match self.event(&mut data, payload).await? {
                Some((answered, cqe)) if answered == slot => return Ok((cqe, data)),
                Some(other) => self.others.push(other),
                None => {}
            }
        }
    }

    /// As [`command`](Self::command), for its status alone.
    pub(super) async fn status(&mut self, sqe: Sqe, transfer: HostTransfer, payload: &[u8]) -> Status {
        self.command(sqe, transfer, payload).await.unwrap().0.status()
    }

    /// Waits until a response comes that nobody asked for in this moment.
    pub(super) async fn other(&mut self) -> Result<(Slot, Cqe), Ended> {
        loop {
            if let Some(other) = self.others.pop() {
                return Ok(other);
            }
            if let Some(other) = self.event(&mut [], &[]).await? {
                return Ok(other);
            }
        }
    }

    /// Waits for the next response; what the commands read goes to `data`, one over the other.
    pub(super) async fn answer_and_data(&mut self, data: &mut [u8]) -> (Slot, Cqe) {
        loop {
            if let Some(answer) = self.event(data, &[]).await.unwrap() {
                return answer;
            }
        }
    }

    /// Handles one event; a response is given back.
    async fn event(&mut self, data: &mut [u8], payload: &[u8]) -> Result<Option<(Slot, Cqe)>, Ended> {
        loop {
            let buf = self.buf.take().unwrap();
            let (used, event) =
                self.connection.receive(&buf[self.at..self.end]).expect("a correct controller");
            self.at += used;
            let mut requested = None;
            let outcome = match event {
                None => None,
                Some(HostEvent::Connected) => Some(None),
                Some(HostEvent::Data { offset, bytes, .. }) => {
                    data[offset as usize..][..bytes.len()].copy_from_slice(bytes);
                    Some(None)
                }
                Some(HostEvent::Requested { slot, ttag, offset, len }) => {
                    requested = Some(Asked { slot, ttag, offset, len });
                    Some(None)
                }
                Some(HostEvent::Response { slot, cqe, intact, .. }) => {
                    assert!(intact);
                    Some(Some((slot, cqe)))
                }
                Some(HostEvent::Terminated(_)) => return Err(Ended),
            };
            self.buf = Some(buf);
            self.asked = self.asked.or(requested);
            if !self.withholds {
                self.give(payload).await?;
            }
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
            self.receive().await?;
        }
    }

    /// Waits until the controller asks for data that is withheld.
    pub(super) async fn asked(&mut self) {
        while self.asked.is_none() {
            self.event(&mut [], &[]).await.unwrap();
        }
    }

    /// Sends what the controller asked for last, if it did.
    pub(super) async fn give(&mut self, payload: &[u8]) -> Result<(), Ended> {
        let Some(Asked { slot, ttag, offset, len }) = self.asked.take() else { return Ok(()) };
        let mut out = Vec::new();
        self.connection.encode_h2c_data(slot, ttag, offset, len, &mut out);
        self.append_payload(&payload[offset as usize..][..len as usize], &mut out);
        self.send(&out).await
    }

    /// Announces all that the controller asked for last, and sends only `part` of it.
    pub(super) async fn give_part(&mut self, part: &[u8]) -> Result<(), Ended> {
        let Some(Asked { slot, ttag, offset, len }) = self.asked.take() else { return Ok(()) };
        let mut out = Vec::new();
        self.connection.encode_h2c_data(slot, ttag, offset, len, &mut out);
        out.extend_from_slice(part);
        self.send(&out).await
    }

    async fn receive(&mut self) -> Result<(), Ended> {
        let buf = self.buf.take().unwrap();
        let len = buf.len();
        let (buf, received) = self.stream.recv(buf, 0..len).await;
        self.buf = Some(buf);
        self.at = 0;
        self.end = received.unwrap_or(0);
        if self.end == 0 { Err(Ended) } else { Ok(()) }
    }

    /// Waits until the controller closes the connection.
    pub(super) async fn ended(&mut self) {
        while self.receive().await.is_ok() {}
    }
}

/// Brings a controller up; its admin queue and its identifier.
pub(super) async fn bring_up(
    address: SocketAddr,
    request: ICRequest,
    subsystem: &str,
    host: &str,
) -> Result<(HostQueue, u16), Status> {
    let mut admin = HostQueue::open(address, request).await.unwrap();
    let association = Association {
        subsystem: Nqn::new(subsystem).unwrap(),
        host: Nqn::new(host).unwrap(),
        host_id: Uuid::from_u128(1),
        admin_entries: ENTRIES,
        kato_ms: 0,
        io_queues: 4,
    };
    let (mut steps, mut step) = BringUp::start(association);
    loop {
        let (sqe, transfer, payload) = match step {
            BringUpStep::Send { sqe, transfer, payload } => (sqe, transfer, payload),
            BringUpStep::SendLater { sqe } => (sqe, HostTransfer::None, Vec::new()),
            BringUpStep::Ready { cntlid, .. } => return Ok((admin, cntlid)),
        };
        let (cqe, _) = admin.command(sqe, transfer, &payload).await.unwrap();
        step = match steps.next(&cqe) {
            Ok(step) => step,
            Err(_) => return Err(cqe.status()),
        };
    }
}

/// Connects an I/O queue.
pub(super) async fn io_queue(
    address: SocketAddr,
    request: ICRequest,
    cntlid: u16,
    qid: u16,
    flow_control: bool,
) -> Result<HostQueue, Status> {
    let mut queue = HostQueue::open(address, request).await.unwrap();
    let (host, subsystem) = (Nqn::new(super::HOST).unwrap(), Nqn::new(super::NQN).unwrap());
    let data = sqe::connect_data(&host, Uuid::from_u128(1), &subsystem, cntlid);
    let connect = sqe::connect(qid, ENTRIES, 0, flow_control);
    let status = queue.status(connect, HostTransfer::InCapsule(1024), data.as_bytes()).await;
    if status.is_success() { Ok(queue) } else { Err(status) }
}
