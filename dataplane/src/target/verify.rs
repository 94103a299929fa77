//! Commands that read and tell the host no more than how it went: Compare and Verify (NVM §3.3.1, §3.3.5).

use nvmeof::{Status, limits::TRANSFER_BYTES_MAX};

use super::{
    counters::QueueCounters,
    io_command::{Direction, read_piece, status_of},
    queue::Answer,
};
use crate::engine::Volume;

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
