//! What hosts ask of a replica: handed to the state machine, answered when it says so.

use std::rc::Rc;

use futures_channel::oneshot;
use nvmeof::wire::replica::Zeroing;
use replication::{BlockRange, Event, HostAnswer, HostRequest, OpId, Payload};

use super::{content::Content, replica::Mirror};
use crate::{engine::EngineError, rt::Buf};

/// How a host's operation ended, with the blocks that were read.
pub(super) type Answered = (HostAnswer, Option<Buf>);

impl Mirror {
    pub(super) async fn read(self: Rc<Self>, offset_bytes: u64, len_bytes: u64) -> Result<Buf, EngineError> {
        let range = self.range(offset_bytes, len_bytes)?;
        let blocks = self.ask(HostRequest::Read(range), None).await?;
        Ok(blocks.expect("a read is answered with its blocks"))
    }

    pub(super) async fn write(
        self: Rc<Self>,
        offset_bytes: u64,
        buf: Buf,
        fua: bool,
    ) -> Result<(), EngineError> {
        let range = self.range(offset_bytes, buf.len() as u64)?;
        self.change(range, Content::Data(buf), fua).await
    }

    pub(super) async fn zero(
        self: Rc<Self>,
        offset_bytes: u64,
        len_bytes: u64,
        zeroing: Zeroing,
        fua: bool,
    ) -> Result<(), EngineError> {
        let range = self.range(offset_bytes, len_bytes)?;
        self.change(range, Content::Zeros(zeroing), fua).await
    }

    pub(super) async fn flush(self: Rc<Self>) -> Result<(), EngineError> {
        self.ask(HostRequest::Flush, None).await.map(drop)
    }

    /// A write that shall be durable is one that is followed by a flush.
    async fn change(
        self: Rc<Self>,
        range: BlockRange,
        content: Content,
        fua: bool,
    ) -> Result<(), EngineError> {
        self.ask(HostRequest::Write(range), Some(content)).await?;
        if fua { self.flush().await } else { Ok(()) }
    }

    async fn ask(
        self: &Rc<Self>,
        request: HostRequest,
        content: Option<Content>,
    ) -> Result<Option<Buf>, EngineError> {
        let op = OpId(self.next_op.replace(self.next_op.get() + 1));
        if let Some(content) = content {
            self.contents.borrow_mut().insert(Payload::Host(op), content);
        }
        let (answer, answered) = oneshot::channel();
        self.answers.borrow_mut().insert(op, answer);
        self.feed(Event::Host { op, request });
        match answered.await {
            Ok((HostAnswer::Done(_), blocks)) => Ok(blocks),
            Ok((HostAnswer::Media, _)) => Err(self.last_error()),
            Ok((HostAnswer::Path, _)) | Err(oneshot::Canceled) => Err(EngineError::Elsewhere),
        }
    }

    /// Blocks of a range that lies within what hosts see.
    fn range(&self, offset_bytes: u64, len_bytes: u64) -> Result<BlockRange, EngineError> {
        let block_bytes = u64::from(self.volume.block_bytes());
        let end = offset_bytes.checked_add(len_bytes).ok_or(EngineError::OutOfRange)?;
        let aligned = offset_bytes.is_multiple_of(block_bytes) && len_bytes.is_multiple_of(block_bytes);
        if end > self.usable_bytes() || !aligned || len_bytes == 0 {
            return Err(EngineError::OutOfRange);
        }
        Ok(BlockRange { first: offset_bytes / block_bytes, count: len_bytes / block_bytes })
    }
}
