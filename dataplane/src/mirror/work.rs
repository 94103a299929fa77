//! Work on this node's volume, each piece a task that tells how it ended.

use std::rc::Rc;

use replication::{Payload, Work, WorkId};

use super::{META_BYTES, content::Content, replica::Mirror};
use crate::{
    engine::EngineError,
    rt::{self, Buf},
};

impl Mirror {
    pub(super) fn begin_work(self: &Rc<Self>, id: WorkId, work: Work) {
        let mirror = self.clone();
        match work {
            Work::Persist(change) => {
                if self.log.push(id, change) {
                    rt::spawn(async move { mirror.persist().await });
                }
            }
            Work::Write { range, payload } => {
                let content = self.content(payload);
                let (offset_bytes, len_bytes) = (self.bytes(range.first), self.bytes(range.count));
                rt::spawn(async move {
                    let result = match content {
                        Some(content) => content.write(&mirror.volume, offset_bytes, len_bytes).await,
                        None => unreachable!("content is kept for as long as the machine speaks of it"),
                    };
                    mirror.work_ended(id, result);
                });
            }
            Work::Read(range) => {
                let (offset_bytes, len_bytes) = (self.bytes(range.first), self.bytes(range.count));
                rt::spawn(async move {
                    let buf = Buf::alloc(len_bytes as usize).await;
                    let (buf, result) = mirror.volume.read(META_BYTES + offset_bytes, buf).await;
                    mirror.contents.borrow_mut().insert(Payload::Work(id), Content::Data(buf));
                    mirror.work_ended(id, result);
                });
            }
            Work::Flush => rt::spawn(async move {
                let result = mirror.volume.flush().await;
                mirror.work_ended(id, result);
            }),
        }
    }

    fn bytes(&self, blocks: u64) -> u64 {
        blocks * u64::from(self.volume.block_bytes())
    }

    /// Writes changes until none waits. A replica that cannot keep its fields cannot take part any more.
    async fn persist(self: Rc<Self>) {
        loop {
            match self.log.write_next(&self.volume).await {
                Ok(done) if done.is_empty() => return,
                Ok(done) => {
                    for id in done {
                        self.work_ended(id, Ok::<(), EngineError>(()));
                    }
                }
                Err(error) => {
                    tracing::error!(volume = %self.volume_uuid(), %error, "a replica stops: its fields cannot be written");
                    self.end();
                    return;
                }
            }
        }
    }
}
