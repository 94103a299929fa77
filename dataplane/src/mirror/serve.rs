//! What other nodes ask of a replica: a primary's commands, and messages to and fro.
//!
//! Writes, flushes and fetches end with their NVMe commands. Everything else is a message: one that comes is heard and its
//! command ends; one that goes waits in the mailbox of the connection on which its reader asks for it.

use std::{
    collections::VecDeque,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_channel::oneshot;
use nvmeof::{
    Status,
    command::{ReplicaBlocks, ReplicaCommand, ReplicaTag},
};
use replication::{BlockRange, Command, CommandId, Event, Message, NodeId, Outcome, Payload, Session};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{MirrorHandle, Mirrors, content::Content, encoding, replica::Mirror};
use crate::rt::{Buf, Signal};

/// What a Send carries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Envelope {
    /// Is there a replica of this volume?
    Hello(Uuid),
    Message(Message),
}

/// What a Receive brings.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Mail {
    pub(super) number: u32,
    pub(super) message: Message,
}

/// Messages that wait for a node to ask for them; more are lost, as on any connection that breaks.
const MAIL_MAX: usize = 4096;

/// Messages for one connected node.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    messages: Mutex<VecDeque<Vec<u8>>>,
    filled: Signal,
}

impl Mailbox {
    pub(super) fn put(&self, number: u32, message: &Message) {
        let mail = encoding::encode(&Mail { number, message: message.clone() });
        let mut messages = self.messages();
        if messages.len() < MAIL_MAX {
            messages.push_back(mail);
        }
        drop(messages);
        self.filled.raise();
    }

    /// Waits until there is a message, and leaves it there.
    pub(crate) async fn filled(&self) {
        self.filled.wait_until(|| (!self.messages().is_empty()).then_some(())).await;
    }

    fn take(&self) -> Option<Vec<u8>> {
        self.messages().pop_front()
    }

    fn messages(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a primary's command ended.
#[derive(Debug)]
pub(super) enum PeerOutcome {
    /// With the blocks of a fetch.
    Ended(Outcome, Option<Content>),
    Refused,
}

/// What the connection is answered.
#[derive(Debug)]
pub(crate) struct PeerAnswer {
    pub(crate) status: Status,
    pub(crate) data: Option<Buf>,
}

impl PeerAnswer {
    fn status(status: Status) -> Self {
        Self { status, data: None }
    }
}

/// Executes a command that node `from` sent about replica `number`.
pub(crate) async fn execute(
    mirrors: &Mirrors,
    from: NodeId,
    mailbox: &Arc<Mailbox>,
    number: u32,
    command: ReplicaCommand,
    data: Option<Buf>,
) -> PeerAnswer {
    if let ReplicaCommand::Receive { len_bytes } = command {
        return receive(mailbox, len_bytes).await;
    }
    let Some(handle) = mirrors.by_number(number) else {
        return PeerAnswer::status(Status::INVALID_NAMESPACE_OR_FORMAT);
    };
    match command {
        ReplicaCommand::Send { .. } => {
            let data = data.expect("a message comes with its command");
            let Ok(envelope) = encoding::decode(&data) else {
                return PeerAnswer::status(Status::INVALID_FIELD);
            };
            PeerAnswer::status(hear(&handle, from, mailbox.clone(), envelope).await)
        }
        ReplicaCommand::Write { tag, range, .. } => {
            let content = Content::Data(data.expect("a write begins when its data has come"));
            write(&handle, from, tag, block_range(range), content).await
        }
        ReplicaCommand::WriteZeroes { tag, range, zeroing } => {
            write(&handle, from, tag, block_range(range), Content::Zeros(zeroing)).await
        }
        ReplicaCommand::Flush { tag } => {
            let outcome = handle
                .at_home(move |mirror| async move { mirror.obey(from, tag, Command::Flush, None).await.0 })
                .await;
            PeerAnswer::status(outcome.unwrap_or(Status::INVALID_NAMESPACE_OR_FORMAT))
        }
        ReplicaCommand::Fetch { tag, range, len_bytes } => {
            fetch(&handle, from, tag, block_range(range), len_bytes).await
        }
        ReplicaCommand::Receive { .. } => unreachable!("handled above"),
    }
}

fn block_range(range: ReplicaBlocks) -> BlockRange {
    BlockRange { first: range.lba, count: range.blocks.into() }
}

async fn receive(mailbox: &Mailbox, len_bytes: u32) -> PeerAnswer {
    let Some(mail) = mailbox.take() else { return PeerAnswer::status(Status::ABORT_REQUESTED) };
    if mail.len() > len_bytes as usize {
        return PeerAnswer::status(Status::DATA_SGL_LENGTH_INVALID);
    }
    let data = Buf::copy_of(&mail).await;
    PeerAnswer { status: Status::SUCCESS, data: Some(data) }
}

async fn hear(handle: &MirrorHandle, from: NodeId, mailbox: Arc<Mailbox>, envelope: Envelope) -> Status {
    let heard = handle.at_home(move |mirror| async move {
        match envelope {
            Envelope::Hello(volume) => {
                mirror.hears_at(from, mailbox);
                volume == mirror.volume_uuid()
            }
            Envelope::Message(message) => {
                mirror.hear(from, mailbox, message);
                true
            }
        }
    });
    match heard.await {
        Some(true) => Status::SUCCESS,
        Some(false) | None => Status::INVALID_NAMESPACE_OR_FORMAT,
    }
}

async fn write(
    handle: &MirrorHandle,
    from: NodeId,
    tag: ReplicaTag,
    range: BlockRange,
    content: Content,
) -> PeerAnswer {
    let command = Command::Write(range);
    let status = match content {
        Content::Data(buf) if !handle.is_home() => {
            let bytes = buf.to_vec();
            let obeyed = handle.at_home(move |mirror| async move {
                let buf = Buf::copy_of(&bytes).await;
                mirror.obey(from, tag, command, Some(Content::Data(buf))).await.0
            });
            obeyed.await
        }
        Content::Data(_) => match handle.here() {
            Some(mirror) => Some(mirror.obey(from, tag, command, Some(content)).await.0),
            None => None,
        },
        Content::Zeros(zeroing) => {
            let obeyed = handle.at_home(move |mirror| async move {
                mirror.obey(from, tag, command, Some(Content::Zeros(zeroing))).await.0
            });
            obeyed.await
        }
    };
    PeerAnswer::status(status.unwrap_or(Status::INVALID_NAMESPACE_OR_FORMAT))
}

async fn fetch(
    handle: &MirrorHandle,
    from: NodeId,
    tag: ReplicaTag,
    range: BlockRange,
    len_bytes: u32,
) -> PeerAnswer {
    let fetched = handle.at_home(move |mirror| async move {
        let (status, content) = mirror.obey(from, tag, Command::Fetch(range), None).await;
        let blocks = match content {
            Some(Content::Data(buf)) => buf.to_vec(),
            Some(Content::Zeros(_)) | None => Vec::new(),
        };
        (status, blocks)
    });
    match fetched.await {
        Some((Status::SUCCESS, blocks)) if blocks.len() == len_bytes as usize => {
            let data = Buf::copy_of(&blocks).await;
            PeerAnswer { status: Status::SUCCESS, data: Some(data) }
        }
        Some((Status::SUCCESS, _)) => PeerAnswer::status(Status::DATA_SGL_LENGTH_INVALID),
        Some((status, _)) => PeerAnswer::status(status),
        None => PeerAnswer::status(Status::INVALID_NAMESPACE_OR_FORMAT),
    }
}

impl Mirror {
    /// Does what a primary asks, if it is obeyed.
    async fn obey(
        self: Rc<Self>,
        from: NodeId,
        tag: ReplicaTag,
        command: Command,
        content: Option<Content>,
    ) -> (Status, Option<Content>) {
        if let Some(status) = self.refusal(&command, content.as_ref()) {
            return (status, None);
        }
        let session = Session { incarnation: tag.incarnation, number: tag.session };
        let id = CommandId(tag.command);
        let payload = Payload::Received { from, session, id };
        if let Some(content) = content {
            self.contents.borrow_mut().insert(payload, content);
        }
        let (ended, end) = oneshot::channel();
        self.commands.borrow_mut().insert((from, id, session), ended);
        self.feed(Event::Message { from, message: Message::Command { session, id, command } });
        let outcome = end.await;
        self.contents.borrow_mut().remove(&payload);
        match outcome {
            Ok(PeerOutcome::Ended(Outcome::Ok, content)) => (Status::SUCCESS, content),
            Ok(PeerOutcome::Ended(Outcome::Failed, _)) => (Status::WRITE_FAULT, None),
            Ok(PeerOutcome::Refused) => (Status::REPLICA_REFUSED, None),
            Err(oneshot::Canceled) => (Status::INVALID_NAMESPACE_OR_FORMAT, None),
        }
    }

    /// A range that this replica does not have, or content of another length, is the other node's mistake.
    fn refusal(&self, command: &Command, content: Option<&Content>) -> Option<Status> {
        let (Command::Write(range) | Command::Fetch(range)) = command else { return None };
        let block_bytes = u64::from(self.volume.block_bytes());
        let blocks = self.size_bytes() / block_bytes;
        if range.first.checked_add(range.count).is_none_or(|end| end > blocks) {
            return Some(Status::LBA_OUT_OF_RANGE);
        }
        let len = |buf: &Buf| buf.len() as u64 == range.count * block_bytes;
        match content {
            Some(Content::Data(buf)) if !len(buf) => Some(Status::DATA_SGL_LENGTH_INVALID),
            _ => None,
        }
    }
}
