//! Get LBA Status: what the engine's maps say of a namespace's blocks (NVM §4.2.1).

use std::rc::Rc;

use nvmeof::{
    Status,
    command::{BlockRange, GetLbaStatus, LbaStatusWanted},
    transport::Slot,
};

use super::{
    io_command::{Direction, status_of},
    operation::blocks,
    queue::{Answer, Queue},
};
use crate::{engine::Sought, rt::Buf, volume::Volume};

/// Answers the command; the queue goes on meanwhile.
pub(super) async fn answer(queue: Rc<Queue>, slot: Slot, query: GetLbaStatus) {
    let exports = queue.association.subsystem.exports();
    let visible = exports.visible_to(&queue.association.host.nqn);
    let answer = match visible.iter().find(|namespace| namespace.nsid == query.nsid) {
        Some(namespace) => match namespace.path.refusal() {
            Some(status) => Answer::status(status),
            None => list(&queue, &namespace.volume, query).await,
        },
        None => Answer::status(Status::INVALID_NAMESPACE_OR_FORMAT),
    };
    queue.answer(slot, answer).await;
}

async fn list(queue: &Queue, volume: &Volume, query: GetLbaStatus) -> Answer {
    let (blocks, block_bytes) = (blocks(volume), u64::from(volume.block_bytes()));
    let end = match query.blocks {
        None if query.lba < blocks => blocks,
        None => return Answer::status(Status::LBA_OUT_OF_RANGE),
        Some(wanted) => {
            let range = BlockRange { lba: query.lba, blocks: wanted.into() };
            if let Err(status) = range.to_bytes(blocks, volume.block_bytes()) {
                return Answer::status(status);
            }
            query.lba + u64::from(wanted)
        }
    };
    let sought = match query.wanted {
        LbaStatusWanted::Allocated => Sought::Allocated,
        LbaStatusWanted::Unrecoverable => Sought::Uncorrectable,
    };
    let range = query.lba * block_bytes..end * block_bytes;
    match volume.survey(range, sought, query.descriptors_max()).await {
        Ok(survey) => {
            let in_blocks = |range: &std::ops::Range<u64>| {
                (range.start / block_bytes, (range.end - range.start) / block_bytes)
            };
            let ranges: Vec<_> = survey.ranges().iter().map(in_blocks).collect();
            let bytes = query.encode(&ranges, survey.is_complete());
            let data = Buf::copy_of(&bytes).await;
            Answer { status: Status::SUCCESS, result: 0, data: Some(data) }
        }
        Err(error) => status_of(Err(error), Direction::Read, &queue.handle.counters),
    }
}
