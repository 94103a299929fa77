//! Commands that read: Read, and Compare and Verify, which tell the host no more than how it went (NVM §3.3).

use nvmeof::{Status, limits::TRANSFER_BYTES_MAX};

use super::{
    counters::QueueCounters,
    io_command::{Direction, status_of},
    queue::Answer,
};
use crate::{engine::EngineError, rt::Buf, volume::Volume};

/// Sends what the volume holds.
pub(super) async fn read(
    volume: &Volume,
    offset_bytes: u64,
    len_bytes: u32,
    fua: bool,
    counters: &QueueCounters,
) -> Answer {
    match read_piece(volume, offset_bytes, len_bytes as usize, fua).await {
        Ok(buf) => {
            counters.reads.add(1);
            counters.bytes_read.add(u64::from(len_bytes));
            Answer { status: Status::SUCCESS, result: 0, data: Some(buf) }
        }
        Err(error) => status_of(Err(error), Direction::Read, counters),
    }
}

/// Reads into a fresh buffer. With `fua`, what is read cannot be lost afterwards.
pub(super) async fn read_piece(
    volume: &Volume,
    offset_bytes: u64,
    len_bytes: usize,
    fua: bool,
) -> Result<Buf, EngineError> {
    if fua {
        volume.flush().await?;
    }
    let (buf, result) = volume.read(offset_bytes, Buf::alloc(len_bytes).await).await;
    result.map(|()| buf)
}

/// Whether the volume holds what came from the host.
pub(super) async fn compare(
    volume: &Volume,
    offset_bytes: u64,
    expected: &[u8],
    fua: bool,
    counters: &QueueCounters,
) -> Answer {
    match read_piece(volume, offset_bytes, expected.len(), fua).await {
        Ok(found) => {
            counters.reads.add(1);
            counters.bytes_read.add(expected.len() as u64);
            let equal = *found == *expected;
            Answer::status(if equal { Status::SUCCESS } else { Status::COMPARE_FAILURE })
        }
        Err(error) => status_of(Err(error), Direction::Read, counters),
    }
}

/// Whether a range can be read, piece by piece.
pub(super) async fn verify(
    volume: &Volume,
    offset_bytes: u64,
    len_bytes: u64,
    fua: bool,
    counters: &QueueCounters,
) -> Answer {
    let mut done_bytes = 0;
    while done_bytes < len_bytes {
        let piece_bytes = (len_bytes - done_bytes).min(u64::from(TRANSFER_BYTES_MAX));
        // One flush covers all pieces.
        let fua = fua && done_bytes == 0;
        let piece = read_piece(volume, offset_bytes + done_bytes, piece_bytes as usize, fua).await;
        if let Err(error) = piece {
            return status_of(Err(error), Direction::Read, counters);
        }
        done_bytes += piece_bytes;
    }
    counters.reads.add(1);
    counters.bytes_read.add(len_bytes);
    Answer::status(Status::SUCCESS)
}
