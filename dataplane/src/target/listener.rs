//! Accepting connections: the handshake and Connect, then each queue pair goes to its core.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::{Rc, Weak},
    sync::Arc,
};

use nvmeof::{
    Status,
    command::FabricsCommand,
    controller::{ConnectRefusal, ConnectRequest},
    transport::{ControllerConnection, ControllerEvent, Slot},
    wire::{Cqe, Sqe, cqe::SQHD_DISABLED},
};

use super::{
    Shared,
    admin_queue::AdminQueue,
    association::{Association, Counters, QueueShared, Scope},
    io_queue::IoQueue,
    qpair::{Execute, Qpair},
    receive,
    registry::ExportCache,
};
use crate::{
    limits,
    rt::{
        self, Buf, CoreId, RuntimeHandle,
        net::{SendBatch, TcpListener, TcpStream},
    },
};

/// Accepts on one portal for as long as the runtime lives.
pub(super) fn start(handle: &RuntimeHandle, index: usize, listener: TcpListener, shared: Arc<Shared>) {
    let core = CoreId(u16::try_from(index % handle.cores()).expect("limits::CORES fits"));
    handle.spawn_on(core, move || async move {
        let shaking = Rc::new(Cell::new(0));
        loop {
            match listener.accept().await {
                Ok(stream) if shaking.get() < limits::HANDSHAKES => {
                    rt::spawn(greet(stream, shared.clone(), shaking.clone()));
                }
                // Too many half-open connections: a peer that means it comes again.
                Ok(stream) => drop(stream),
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    rt::sleep(limits::ACCEPT_BACKOFF).await;
                }
            }
        }
    });
}

/// A connection that got as far as its Connect command.
struct Arrived {
    stream: Arc<TcpStream>,
    connection: ControllerConnection,
    slot: Slot,
    sqe: Sqe,
    data: Vec<u8>,
    /// Bytes behind the Connect capsule.
    rest: Vec<u8>,
}

/// A queue pair on its way to its core.
struct Admitted {
    arrived: Arrived,
    request: ConnectRequest,
    association: Arc<Association>,
    queue: Arc<QueueShared>,
}

async fn greet(stream: TcpStream, shared: Arc<Shared>, shaking: Rc<Cell<usize>>) {
    shaking.set(shaking.get() + 1);
    let stream = Arc::new(stream);
    let done = Rc::new(Cell::new(false));
    rt::spawn(hang_up_late(stream.clone(), done.clone()));
    let arrived = shake_hands(stream).await;
    done.set(true);
    shaking.set(shaking.get() - 1);
    let Some(arrived) = arrived else { return };
    match admit(&shared, &arrived) {
        Ok((request, association, queue)) => {
            let core = core_of(request.qid, association.cntlid);
            let admitted = Admitted { arrived, request, association, queue };
            rt::spawn_on(core, move || serve(admitted, shared));
        }
        Err(refusal) => refuse(arrived, refusal).await,
    }
}

/// I/O queues of one controller go to different cores, and controllers begin at different ones.
fn core_of(qid: u16, cntlid: u16) -> CoreId {
    let cores = rt::core_count();
    let index = (usize::from(qid.saturating_sub(1)) + usize::from(cntlid)) % cores;
    CoreId(u16::try_from(index).expect("limits::CORES fits"))
}

/// Ends a connection that does not come to its Connect in time.
async fn hang_up_late(stream: Arc<TcpStream>, done: Rc<Cell<bool>>) {
    rt::sleep(limits::CONNECT_PATIENCE).await;
    if !done.get() {
        stream.shutdown();
    }
}

/// Answers ICReq and receives the Connect capsule. `None`: the peer did something else, and was told so.
async fn shake_hands(stream: Arc<TcpStream>) -> Option<Arrived> {
    let mut connection = ControllerConnection::new(1);
    let mut buf = Buf::alloc(limits::HANDSHAKE_BYTES).await;
    let mut capsule: Option<(Slot, Sqe)> = None;
    let mut data = Vec::new();
    loop {
        let (back, received) = stream.recv(buf, 0..limits::HANDSHAKE_BYTES).await;
        buf = back;
        let Ok(count @ 1..) = received else { return None };
        let mut bytes = &buf[..count];
        loop {
            let (used, event) = match connection.receive(bytes) {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!(%error, "a peer broke the transport protocol in its handshake");
                    send(&stream, |out| connection.encode_term_req(error, out)).await;
                    return None;
                }
            };
            bytes = &bytes[used..];
            let complete = match event {
                None => break,
                Some(ControllerEvent::Connected) => {
                    send(&stream, |out| connection.encode_ic_resp(out)).await;
                    false
                }
                Some(ControllerEvent::Capsule { slot, sqe, in_capsule_len }) => {
                    capsule = Some((slot, sqe));
                    in_capsule_len == 0
                }
                Some(ControllerEvent::Data { bytes, .. }) => {
                    data.extend_from_slice(bytes);
                    false
                }
                // A wrong data digest spoils the host's name: better no connection than a wrong one.
                Some(ControllerEvent::DataDone { intact, .. }) => intact,
                Some(ControllerEvent::Terminated(_)) => return None,
            };
            if complete {
                let (slot, sqe) = capsule?;
                return Some(Arrived { stream, connection, slot, sqe, data, rest: bytes.to_vec() });
            }
        }
    }
}

/// Sends what `encode` appends; a peer that is gone shows at the next receive.
async fn send(stream: &TcpStream, encode: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    let mut batch = Box::new(SendBatch::new());
    batch.push_inline(&bytes);
    let _ = stream.send_all(batch).await;
}

/// Judges a Connect and adds the queue to its controller.
fn admit(
    shared: &Shared,
    arrived: &Arrived,
) -> Result<(ConnectRequest, Arc<Association>, Arc<QueueShared>), ConnectRefusal> {
    let connect = match FabricsCommand::parse(&arrived.sqe) {
        Ok(FabricsCommand::Connect(connect)) if arrived.sqe.opcode == 0x7F => connect,
        Err(status) if arrived.sqe.opcode == 0x7F => return Err(ConnectRefusal::plain(status)),
        _ => return Err(ConnectRefusal::plain(Status::COMMAND_SEQUENCE_ERROR)),
    };
    let request = ConnectRequest::parse(&connect, &arrived.data)?;
    let queue = Arc::new(QueueShared {
        qid: request.qid,
        stream: arrived.stream.clone(),
        counters: Counters::default(),
    });
    let association = if request.qid == 0 {
        let scope = scope_for(shared, &request)?;
        let (peer, local) = addresses(&arrived.stream)?;
        let make = |cntlid| Association::new(cntlid, &request, scope, peer, local);
        shared.admit(make).ok_or(ConnectRefusal::busy())?
    } else {
        shared.find_association(request.cntlid).ok_or(ConnectRefusal::unknown_controller())?
    };
    if let Err(refusal) = association.join(&request, queue.clone()) {
        leave(shared, &association, &queue);
        return Err(refusal);
    }
    if let Scope::Nvm(subsystem) = &association.scope {
        // Permission may have gone between the admin queue's Connect and this one.
        if !subsystem.allows(&association.host.nqn) {
            leave(shared, &association, &queue);
            return Err(ConnectRefusal::host_not_allowed());
        }
        subsystem.count(queue.clone());
    }
    Ok((request, association, queue))
}

fn scope_for(shared: &Shared, request: &ConnectRequest) -> Result<Scope, ConnectRefusal> {
    if request.subsystem_nqn.as_str() == nvmeof::Nqn::DISCOVERY {
        return Ok(Scope::Discovery);
    }
    let subsystem = shared.registry.find(request.subsystem_nqn.as_str());
    let subsystem = subsystem.ok_or(ConnectRefusal::unknown_subsystem())?;
    if !subsystem.allows(&request.host.nqn) {
        return Err(ConnectRefusal::host_not_allowed());
    }
    Ok(Scope::Nvm(subsystem))
}

/// The peer's and our address of a connection; one that is gone already has none.
fn addresses(stream: &TcpStream) -> Result<(SocketAddr, SocketAddr), ConnectRefusal> {
    let gone = |_| ConnectRefusal::busy();
    Ok((stream.peer_addr().map_err(gone)?, stream.local_addr().map_err(gone)?))
}

async fn refuse(mut arrived: Arrived, refusal: ConnectRefusal) {
    tracing::info!(status = ?refusal.status, "refused a Connect");
    let cqe = Cqe::new(0, SQHD_DISABLED, refusal.status, u64::from(refusal.result));
    send(&arrived.stream, |out| arrived.connection.encode_response(arrived.slot, cqe, out)).await;
    arrived.stream.shutdown();
}

/// A queue pair's life on its core.
async fn serve(admitted: Admitted, shared: Arc<Shared>) {
    let Admitted { arrived, request, association, queue } = admitted;
    let Arrived { stream, mut connection, slot, rest, .. } = arrived;
    connection.grow(request.entries);
    let qpair = Qpair::new(stream.clone(), connection, request.entries, request.flow_control);
    let sender = qpair.clone();
    rt::spawn(async move { sender.outbox.run(stream).await });
    rt::spawn(watch_sender(Rc::downgrade(&qpair)));
    qpair.count_taken();
    qpair.respond(slot, Status::SUCCESS, u64::from(association.cntlid));
    match &association.scope {
        Scope::Nvm(subsystem) if request.qid != 0 => {
            let exports = ExportCache::new(subsystem.clone());
            run(
                &qpair,
                Rc::new(IoQueue { exports, association: association.clone(), shared: queue.clone() }),
                rest,
            )
            .await;
        }
        _ => {
            let admin = AdminQueue::start(&qpair, &request, &association, &queue, &shared);
            run(&qpair, admin, rest).await;
            // Without its admin queue a controller is no more.
            association.end();
        }
    }
    if let Scope::Nvm(subsystem) = &association.scope {
        subsystem.retire(&queue);
    }
    leave(&shared, &association, &queue);
}

async fn run<E: Execute>(qpair: &Rc<Qpair>, queue: Rc<E>, rest: Vec<u8>) {
    receive::run(qpair.clone(), queue, rest).await;
    qpair.close();
    qpair.drained().await;
}

fn leave(shared: &Shared, association: &Arc<Association>, queue: &Arc<QueueShared>) {
    if association.leave(queue) {
        shared.dismiss(association);
    }
}

/// Cuts off a peer that takes nothing of its answers for too long (E7).
async fn watch_sender(qpair: Weak<Qpair>) {
    loop {
        rt::sleep(limits::SEND_PATIENCE / 2).await;
        let Some(qpair) = qpair.upgrade() else { return };
        if qpair.is_closing() {
            return;
        }
        if qpair.outbox.is_stuck(rt::now()) {
            tracing::warn!("a host takes no answers: its connection ends");
            qpair.close();
        }
    }
}
