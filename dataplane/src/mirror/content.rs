//! What a write puts into its blocks.

use nvmeof::wire::replica::Zeroing;

use super::META_BYTES;
use crate::{engine::EngineError, rt::Buf, volume::Volume};

/// Content on its way to this node's volume and to others. Copies share their bytes.
#[derive(Debug)]
pub(crate) enum Content {
    Data(Buf),
    /// The kinds that `nvmeof` parses.
    Zeros(Zeroing),
}

impl Content {
    pub(super) fn share(&mut self) -> Self {
        match self {
            Self::Data(buf) => Self::Data(buf.share()),
            Self::Zeros(zeroing) => Self::Zeros(*zeroing),
        }
    }

    /// Of blocks that were read to be copied: zeros travel as a word.
    pub(super) fn of_blocks(buf: Buf) -> Self {
        if is_zero(&buf) { Self::Zeros(Zeroing::ZEROES_DEALLOCATE) } else { Self::Data(buf) }
    }

    /// Puts it into a replica's blocks, at an offset as hosts count.
    pub(super) async fn write(
        self,
        volume: &Volume,
        offset_bytes: u64,
        len_bytes: u64,
    ) -> Result<(), EngineError> {
        let offset_bytes = offset_bytes + META_BYTES;
        match self {
            Self::Data(buf) => volume.write(offset_bytes, buf, false).await.1,
            Self::Zeros(Zeroing::DEALLOCATE) => volume.deallocate(offset_bytes, len_bytes).await,
            Self::Zeros(zeroing) => {
                let deallocate = zeroing == Zeroing::ZEROES_DEALLOCATE;
                volume.write_zeroes(offset_bytes, len_bytes, deallocate, false).await
            }
        }
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<64>();
    chunks.iter().all(|chunk| *chunk == [0; 64]) && rest.iter().all(|&byte| byte == 0)
}
