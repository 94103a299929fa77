//! Attachments: a small document beside a volume that the engine keeps and does not read.
//!
//! It is what must live exactly as long as its volume and be as durable as the answer to a command, and has no place
//! among blocks. A new one is a journal record of its own kind, absolute, alone in its group; checkpoints carry all of
//! them into the catalogue, and a move takes them along. Snapshots and clones are other volumes and begin without.

use std::sync::Arc;

use uuid::Uuid;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, little_endian::U32};

use super::{
    drive::DriveShared,
    error::EngineError,
    format::PAGE_BYTES,
    journal::group::encoded_len,
    part::Name,
    sync::lock,
    volume::{Volume, VolumeShared},
};

/// No attachment is longer: its record fits a journal group of one page, which is what one change may take.
pub const ATTACHMENT_BYTES_MAX: usize = 3584;

/// Begins an attachment in the catalogue and in the journal; its bytes follow, then zeros up to a multiple of 8.
#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
struct AttachmentHeader {
    volume: [u8; 16],
    /// 0, in the journal only: the volume has none any more.
    length_bytes: U32,
    part: u8,
    reserved: [u8; 3],
}

/// A volume's attachment, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub(crate) volume: Name,
    pub(crate) bytes: Arc<[u8]>,
}

impl Attachment {
    pub(crate) fn encoded_len(&self) -> usize {
        size_of::<AttachmentHeader>() + self.bytes.len().next_multiple_of(8)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.encoded_len();
        let header = AttachmentHeader {
            volume: self.volume.uuid.into_bytes(),
            length_bytes: U32::new(self.bytes.len() as u32),
            part: self.volume.index,
            reserved: [0; 3],
        };
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&self.bytes);
        out.resize(end, 0);
    }

    /// Takes one from the front of bytes whose checksum was right. `None`: it makes no sense all the same.
    pub(crate) fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (header, rest) = AttachmentHeader::read_from_prefix(bytes).ok()?;
        let length = header.length_bytes.get() as usize;
        if length > ATTACHMENT_BYTES_MAX {
            return None;
        }
        let (body, rest) = rest.split_at_checked(length.next_multiple_of(8))?;
        *bytes = rest;
        let volume = Name { uuid: Uuid::from_bytes(header.volume), index: header.part };
        Some(Self { volume, bytes: body[..length].into() })
    }
}

impl Volume {
    /// The document that was attached last; empty if none was.
    pub fn attachment(&self) -> Arc<[u8]> {
        lock(&self.volume.attachment).clone()
    }

    /// Attaches a document in place of the one before; an empty one takes that away. Durable when it answers.
    ///
    /// # Errors
    /// `Invalid` if it is longer than [`ATTACHMENT_BYTES_MAX`]; nothing changed then.
    pub async fn set_attachment(&self, bytes: &[u8]) -> Result<(), EngineError> {
        if bytes.len() > ATTACHMENT_BYTES_MAX {
            return Err(EngineError::Invalid(format!(
                "an attachment has {ATTACHMENT_BYTES_MAX} bytes at most"
            )));
        }
        self.drive.check_writable()?;
        let _turn = self.drive.structure.take().await;
        // Asked within the turn: no record may follow the one that takes the volume away.
        self.volume.check_here()?;
        self.drive.attach(&self.volume, bytes.into()).await
    }
}

impl DriveShared {
    /// Gives volumes of this drive, each a copy, the attachments of what they are copies of. Durable when it answers.
    pub(super) async fn copy_attachments(
        &self,
        originals: &[Arc<VolumeShared>],
        copies: &[Arc<VolumeShared>],
    ) -> Result<(), EngineError> {
        for (original, copy) in originals.iter().zip(copies) {
            assert_eq!(original.name, copy.name, "copies stand in the order of their originals");
            let bytes = lock(&original.attachment).clone();
            if !bytes.is_empty() {
                self.attach(copy, bytes).await?;
            }
        }
        Ok(())
    }

    async fn attach(&self, volume: &VolumeShared, bytes: Arc<[u8]>) -> Result<(), EngineError> {
        let _room = self.admit_clear().await?;
        let attachment = Attachment { volume: volume.name, bytes };
        let ticket = {
            let mut book = self.journal.book();
            // A checkpoint that cuts behind the record must find it here.
            *lock(&volume.attachment) = attachment.bytes.clone();
            book.attachment(attachment);
            book.close()
        };
        self.make_durable(ticket).await
    }
}

const _: () = {
    assert!(size_of::<AttachmentHeader>() == 24);
    assert!(encoded_len(1, size_of::<AttachmentHeader>() + ATTACHMENT_BYTES_MAX) == PAGE_BYTES);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_right() {
        use crate::engine::format::layout;
        layout!("Attachment header", AttachmentHeader: volume, length_bytes, part, reserved);
    }

    #[test]
    fn round_trip_and_truncation() {
        for len in [0, 1, 8, 9, ATTACHMENT_BYTES_MAX] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let volume = Name { uuid: Uuid::from_u128(7), index: 3 };
            let attachment = Attachment { volume, bytes: bytes.into() };
            let mut encoded = Vec::new();
            attachment.encode(&mut encoded);
            assert_eq!(encoded.len(), attachment.encoded_len());
            assert_eq!(Attachment::take(&mut &encoded[..encoded.len() - 1]), None);
            encoded.push(0xEE);
            let mut rest = encoded.as_slice();
            assert_eq!(Attachment::take(&mut rest), Some(attachment));
            assert_eq!(rest, [0xEE]);
        }
        let mut too_long = vec![0; 24 + 8192];
        too_long[16..20].copy_from_slice(&(ATTACHMENT_BYTES_MAX as u32 + 1).to_le_bytes());
        assert_eq!(Attachment::take(&mut too_long.as_slice()), None);
    }
}
