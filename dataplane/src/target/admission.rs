//! From a fresh connection to a queue pair: ICReq, Connect, and the choice of a core.

use std::{net::SocketAddr, sync::Arc};

use nvmeof::{
    Status,
    command::{AdminCommand, Connect, FabricsCommand},
    controller::{ConnectRefusal, ConnectRequest},
    limits::IN_CAPSULE_BYTES_MAX,
    tls::PskIdentity,
    transport::{ControllerConnection, ControllerEvent, Slot},
    wire::{Cqe, cqe::SQHD_DISABLED},
};

use super::{
    Shared,
    joining::Joined,
    portal::Serves,
    queue::{Admitted, Queue},
    wait::race,
};
use crate::{
    limits,
    rt::{
        self, Buf,
        net::{SendBatch, Stream, TcpStream, tls::TlsAcceptor},
    },
};

/// Takes a connection through its handshake, within a bounded time.
pub(super) async fn admit(shared: Arc<Shared>, stream: TcpStream, serves: Serves) {
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
    let handshake = Handshake::new(shared, Arrival { peer, local, serves });
    race(handshake.run(stream), rt::sleep(limits::HANDSHAKE_MAX)).await;
}

/// Where a connection came in, and from where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) serves: Serves,
}

struct Handshake {
    shared: Arc<Shared>,
    arrival: Arrival,
    connection: ControllerConnection,
    batch: Box<SendBatch>,
    /// What the host proved, if it came in TLS.
    secured: Option<PskIdentity>,
    /// The Connect that came, while its data arrives.
    connect: Option<Connect>,
    data: Vec<u8>,
}

/// A queue pair that was let in.
struct LetIn {
    slot: Slot,
    request: ConnectRequest,
    joined: Joined,
}

impl Handshake {
    fn new(shared: Arc<Shared>, arrival: Arrival) -> Self {
        Self {
            shared,
            arrival,
            connection: ControllerConnection::new(1),
            batch: Box::new(SendBatch::new()),
            secured: None,
            connect: None,
            data: Vec::new(),
        }
    }

    /// Ends when the connection was handed to its core, or is over.
    async fn run(mut self, stream: TcpStream) {
        let buf = Buf::alloc(IN_CAPSULE_BYTES_MAX as usize).await;
        let (mut buf, received) = stream.recv(buf, 0..IN_CAPSULE_BYTES_MAX as usize).await;
        let Ok(mut count @ 1..) = received else { return };
        let stream = if TlsAcceptor::is_tls(buf[0]) {
            let Some(secured) = self.secure(stream, &buf[..count]).await else { return };
            count = 0;
            secured
        } else {
            Stream::Plain(stream)
        };
        loop {
            if count == 0 {
                let (back, received) = stream.recv(buf, 0..IN_CAPSULE_BYTES_MAX as usize).await;
                buf = back;
                let Ok(more @ 1..) = received else { return };
                count = more;
            }
            let (let_in, end) = self.understand(&buf[..count]);
            count = 0;
            if let Some(let_in) = let_in {
                self.hand_over(stream, let_in);
                return;
            }
            let (batch, sent) = stream.send_all(self.batch).await;
            self.batch = batch;
            if sent.is_err() || end {
                stream.shutdown();
                return;
            }
        }
    }

    /// Shakes hands; `None` if the host has no key that we know.
    async fn secure(&mut self, stream: TcpStream, received: &[u8]) -> Option<Stream> {
        match self.shared.acceptor.accept(stream, received).await {
            Ok(tls) => {
                let identity = PskIdentity::parse(tls.identity());
                self.secured = Some(identity.expect("its key was found by it"));
                Some(Stream::Tls(Box::new(tls)))
            }
            Err(error) => {
                tracing::info!(peer = %self.arrival.peer, %error, "a TLS connection was refused");
                None
            }
        }
    }

    /// Handles all events of `bytes`: whom to let in, and whether it is over.
    fn understand(&mut self, bytes: &[u8]) -> (Option<LetIn>, bool) {
        let mut at = 0;
        loop {
            let event = match self.connection.receive(&bytes[at..]) {
                Ok((_, None)) => return (None, false),
                Ok((used, Some(event))) => {
                    at += used;
                    event
                }
                Err(error) => {
                    tracing::info!(peer = %self.arrival.peer, %error, "the host broke the protocol");
                    let connection = &self.connection;
                    push(&mut self.batch, |out| connection.encode_term_req(error, out));
                    return (None, true);
                }
            };
            match event {
                ControllerEvent::Connected => {
                    let connection = &self.connection;
                    push(&mut self.batch, |out| connection.encode_ic_resp(out));
                }
                ControllerEvent::Capsule { slot, sqe, in_capsule_len } => {
                    self.data.clear();
                    self.connect = match AdminCommand::parse(&sqe) {
                        Ok(AdminCommand::Fabrics(FabricsCommand::Connect(connect))) => Some(connect),
                        _ => None,
                    };
                    if in_capsule_len == 0 {
                        self.refuse(slot, self.plain_refusal());
                    }
                }
                ControllerEvent::Data { bytes, .. } => self.data.extend_from_slice(bytes),
                // Nothing may follow a Connect before its answer.
                ControllerEvent::DataDone { .. } if at < bytes.len() => return (None, true),
                ControllerEvent::DataDone { slot, intact } => match self.judge(slot, intact) {
                    Ok(let_in) => return (Some(let_in), false),
                    Err(refusal) => self.refuse(slot, refusal),
                },
                ControllerEvent::Terminated(_) => return (None, true),
            }
        }
    }

    fn judge(&self, slot: Slot, intact: bool) -> Result<LetIn, ConnectRefusal> {
        let connect = self.connect.as_ref().ok_or_else(|| self.plain_refusal())?;
        if !intact {
            return Err(ConnectRefusal::plain(Status::TRANSIENT_TRANSPORT_ERROR));
        }
        let request = ConnectRequest::parse(connect, &self.data)?;
        let joined = self.shared.join(&request, self.secured.as_ref(), self.arrival)?;
        Ok(LetIn { slot, request, joined })
    }

    /// For what is no Connect, or one without data.
    fn plain_refusal(&self) -> ConnectRefusal {
        ConnectRefusal::plain(match self.connect {
            Some(_) => Status::DATA_SGL_LENGTH_INVALID,
            None => Status::COMMAND_SEQUENCE_ERROR,
        })
    }

    fn refuse(&mut self, slot: Slot, refusal: ConnectRefusal) {
        tracing::info!(peer = %self.arrival.peer, %refusal, "a connection was refused");
        let cqe = Cqe::new(0, SQHD_DISABLED, refusal.status, u64::from(refusal.result));
        let connection = &mut self.connection;
        push(&mut self.batch, |out| connection.encode_response(slot, cqe, out));
    }

    fn hand_over(self, stream: Stream, let_in: LetIn) {
        let LetIn { slot, request, joined } = let_in;
        let core = joined.place.core;
        let admitted = Admitted {
            stream,
            connection: self.connection,
            slot,
            request,
            association: joined.association,
            handle: joined.handle,
            shared: self.shared,
            place: joined.place,
        };
        rt::spawn_on(core, move || Queue::run(admitted));
    }
}

fn push(batch: &mut SendBatch, encode: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    batch.push_inline(&bytes);
}
