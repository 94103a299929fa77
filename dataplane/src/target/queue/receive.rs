//! The receive task: bytes from the socket to commands and their data.

use std::rc::Rc;

use nvmeof::{
    Status,
    command::{AdminCommand, AuthenticationCommand, DataPointer},
    transport::{ControllerEvent, Slot, TermReq},
    wire::Sqe,
};

use super::{
    Answer, Kind, Queue,
    slots::{Pending, Slots, Task},
    solicit::solicit,
};
use crate::{
    limits,
    rt::{self, Buf},
    target::{
        admin::{self, AdminQueue},
        authentication,
        exports_view::ExportsView,
        io_command::{IoWork, Prepared},
    },
};

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::target) enum Flow {
    Continue,
    End(End),
}

/// How a queue pair ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::target) enum End {
    /// The peer is not there to take anything more.
    PeerGone,
    /// What is ready is still sent: the answer to a Disconnect, a TermReq.
    Goodbye,
    /// We were told to end.
    Told,
}

/// Receives until the host leaves or breaks the protocol.
pub(super) async fn receive_loop(queue: &Rc<Queue>) -> End {
    let stream_bytes = match queue.kind {
        Kind::Admin(_) => limits::ADMIN_STREAM_BYTES,
        Kind::Io(_) => limits::STREAM_BYTES,
    };
    let mut stream_buf = Buf::alloc(stream_bytes).await;
    loop {
        let in_place = queue.connection.borrow().wants_payload().and_then(|wanted| {
            let large = wanted.len as usize >= limits::RECEIVE_IN_PLACE_BYTES;
            let data = large.then(|| queue.slots.take_data(wanted.slot)).flatten()?;
            Some((wanted, data))
        });
        let flow = match in_place {
            Some((wanted, data)) => {
                let start = wanted.offset as usize;
                let (data, received) = queue.stream.recv(data, start..start + wanted.len as usize).await;
                let flow = match received {
                    Ok(count @ 1..) => placed(queue, &data[start..start + count]),
                    _ => Ok(Flow::End(End::PeerGone)),
                };
                queue.slots.put_data(wanted.slot, data);
                match flow {
                    // What the bytes completed is handled now that the buffer is back in its slot.
                    Ok(Flow::Continue) => understand(queue, &[]).await,
                    other => other,
                }
            }
            None => {
                let (buf, received) = queue.stream.recv(stream_buf, 0..stream_bytes).await;
                stream_buf = buf;
                match received {
                    Ok(count @ 1..) => understand(queue, &stream_buf[..count]).await,
                    _ => Ok(Flow::End(End::PeerGone)),
                }
            }
        };
        match flow {
            Ok(Flow::Continue) => {}
            Ok(Flow::End(end)) => return end,
            Err(error) => {
                tracing::info!(peer = %queue.association.peer, %error, "the host broke the protocol");
                queue.outbox.room().await;
                let connection = queue.connection.borrow();
                queue.outbox.fill().header(|bytes| connection.encode_term_req(error, bytes));
                return End::Goodbye;
            }
        }
    }
}

/// Tells the connection of payload that was received in place. All of it is one `Data` event.
fn placed(queue: &Queue, bytes: &[u8]) -> Result<Flow, TermReq> {
    let (used, event) = queue.connection.borrow_mut().receive(bytes)?;
    assert_eq!(used, bytes.len(), "only payload that was wanted is received in place");
    assert!(matches!(event, Some(ControllerEvent::Data { .. })), "payload is data");
    queue.data_received.set(queue.data_received.get() + bytes.len() as u64);
    Ok(Flow::Continue)
}

/// Handles all events of `bytes`.
async fn understand(queue: &Rc<Queue>, bytes: &[u8]) -> Result<Flow, TermReq> {
    let mut at = 0;
    loop {
        let (used, event) = queue.connection.borrow_mut().receive(&bytes[at..])?;
        at += used;
        let flow = match event {
            None => return Ok(Flow::Continue),
            Some(ControllerEvent::Capsule { slot, sqe, in_capsule_len }) => {
                on_capsule(queue, slot, &sqe, in_capsule_len).await
            }
            Some(ControllerEvent::Data { slot, offset, bytes }) => {
                queue.slots.fill(slot, offset, bytes);
                queue.data_received.set(queue.data_received.get() + bytes.len() as u64);
                Flow::Continue
            }
            Some(ControllerEvent::DataDone { slot, intact }) => on_data_done(queue, slot, intact).await,
            Some(ControllerEvent::Connected) => unreachable!("the handshake was before"),
            Some(ControllerEvent::Terminated(error)) => {
                tracing::info!(peer = %queue.association.peer, %error, "the host gave up");
                Flow::End(End::PeerGone)
            }
        };
        if queue.ended.get() {
            return Ok(Flow::End(End::PeerGone));
        }
        if let Flow::End(_) = flow {
            return Ok(flow);
        }
    }
}

async fn on_capsule(queue: &Rc<Queue>, slot: Slot, sqe: &Sqe, in_capsule_len: u32) -> Flow {
    queue.handle.counters.commands.add(1);
    queue.sqhd.set((queue.sqhd.get() + 1) % queue.entries);
    queue.slots.arrive(slot, sqe, queue.stream.received_since());
    if !queue.authentication.lets_pass(sqe) {
        return on_authentication(queue, slot, sqe, in_capsule_len).await;
    }
    let view = match &queue.kind {
        Kind::Admin(admin) => return on_admin_capsule(queue, admin, slot, sqe, in_capsule_len).await,
        Kind::Io(view) => ExportsView::current(view, &queue.association),
    };
    let prepared = {
        let mut sqe = *sqe;
        let half = queue.fused.arrive(&mut sqe);
        half.and_then(|half| IoWork::prepare(&view, &sqe, in_capsule_len, half))
    };
    match prepared {
        Ok(Prepared::Disconnect) => {
            queue.answer(slot, Answer::status(Status::SUCCESS)).await;
            Flow::End(End::Goodbye)
        }
        Ok(Prepared::Begin(work)) => {
            Slots::begin(queue, slot, Task::Execute { work, share: None });
            Flow::Continue
        }
        Ok(Prepared::AfterData { work, len_bytes }) if in_capsule_len == 0 => {
            Slots::begin(queue, slot, Task::Solicit { work, len_bytes });
            Flow::Continue
        }
        Ok(Prepared::AfterData { work, len_bytes }) => {
            let data = Buf::alloc(len_bytes as usize).await;
            queue.slots.await_data(slot, Pending::Io { work, solicited: None }, Some(data));
            Flow::Continue
        }
        Err(status) if in_capsule_len == 0 => {
            queue.answer(slot, Answer::status(status)).await;
            Flow::Continue
        }
        Err(status) => {
            queue.slots.await_data(slot, Pending::Refused(status), None);
            Flow::Continue
        }
    }
}

async fn on_admin_capsule(
    queue: &Rc<Queue>,
    admin: &AdminQueue,
    slot: Slot,
    sqe: &Sqe,
    in_capsule_len: u32,
) -> Flow {
    let sqe = *sqe;
    if in_capsule_len > 0 {
        let data = Buf::alloc(in_capsule_len as usize).await;
        queue.slots.await_data(slot, Pending::Admin { sqe, solicited: None }, Some(data));
        return Flow::Continue;
    }
    let wanted = AdminCommand::parse(&sqe).ok().and_then(|command| command.data_from_host());
    let Some(DataPointer::Transport { len }) = wanted else {
        return admin::execute(queue, admin, slot, &sqe, &[]).await;
    };
    let queue = queue.clone();
    rt::spawn(async move {
        solicit(&queue, slot, len, |share| Pending::Admin { sqe, solicited: Some(share) }).await;
    });
    Flow::Continue
}

/// A command of authentication, or one that comes before it.
async fn on_authentication(queue: &Rc<Queue>, slot: Slot, sqe: &Sqe, in_capsule_len: u32) -> Flow {
    match authentication::judge(sqe, in_capsule_len) {
        Ok(AuthenticationCommand::Receive { room_bytes }) if in_capsule_len == 0 => {
            return authentication::receive(queue, slot, room_bytes).await;
        }
        Ok(AuthenticationCommand::Receive { .. }) => {
            queue.slots.await_data(slot, Pending::Refused(Status::INVALID_FIELD), None);
        }
        Ok(AuthenticationCommand::Send(DataPointer::InCapsule { len, .. })) => {
            let data = Buf::alloc(in_capsule_len as usize).await;
            let pending = Pending::Authentication { len_bytes: len, solicited: None };
            queue.slots.await_data(slot, pending, Some(data));
        }
        Ok(AuthenticationCommand::Send(DataPointer::Transport { len })) => {
            let queue = queue.clone();
            rt::spawn(async move {
                let pending = |share| Pending::Authentication { len_bytes: len, solicited: Some(share) };
                solicit(&queue, slot, len, pending).await;
            });
        }
        Err(status) if in_capsule_len == 0 => queue.answer(slot, Answer::status(status)).await,
        Err(status) => queue.slots.await_data(slot, Pending::Refused(status), None),
    }
    Flow::Continue
}

async fn on_data_done(queue: &Rc<Queue>, slot: Slot, intact: bool) -> Flow {
    let pending = queue.slots.take_pending(slot);
    if let Some(
        Pending::Io { solicited: Some(_), .. }
        | Pending::Admin { solicited: Some(_), .. }
        | Pending::Authentication { solicited: Some(_), .. }
        | Pending::Aborted { solicited: Some(_), .. },
    ) = pending
    {
        queue.awaiting_data.set(queue.awaiting_data.get() - 1);
    }
    match pending {
        // A wrong data digest ends the command, not the connection (TCP §3.3.1.2.1).
        Some(Pending::Io { .. } | Pending::Admin { .. } | Pending::Authentication { .. }) if !intact => {
            drop(queue.slots.take_data(slot));
            queue.answer(slot, Answer::status(Status::TRANSIENT_TRANSPORT_ERROR)).await;
        }
        Some(Pending::Io { work, solicited: share }) => {
            Slots::begin(queue, slot, Task::Execute { work, share });
        }
        Some(Pending::Aborted { aborted, solicited: _ }) => {
            drop(queue.slots.take_data(slot));
            queue.answer(slot, Answer::status(Status::ABORT_REQUESTED)).await;
            // Whoever asked may be gone.
            let _ = aborted.send(true);
        }
        Some(Pending::Refused(status)) => queue.answer(slot, Answer::status(status)).await,
        Some(Pending::Authentication { len_bytes, solicited: share }) => {
            let data = queue.slots.take_data(slot).expect("it was collected");
            let flow = authentication::send(queue, slot, &data[..len_bytes as usize]).await;
            drop(share);
            return flow;
        }
        Some(Pending::Admin { sqe, solicited: share }) => {
            let Kind::Admin(admin) = &queue.kind else { unreachable!("only admin queues wait so") };
            let data = queue.slots.take_data(slot).expect("it was collected");
            let flow = admin::execute(queue, admin, slot, &sqe, &data).await;
            drop(share);
            return flow;
        }
        None => unreachable!("data comes for commands that wait for it"),
    }
    Flow::Continue
}
