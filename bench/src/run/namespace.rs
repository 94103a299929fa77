//! What a controller says about the namespace under load.

use dataplane::host::{Answer, HostController, Payload};
use nvmeof::{
    host::sqe,
    wire::{
        identify::{IdentifyController, IdentifyNamespace},
        opcode::Cns,
    },
};
use zerocopy::FromBytes;

use super::LoadError;

/// One namespace, as far as a load needs to know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Namespace {
    pub(crate) nsid: u32,
    pub(crate) blocks: u64,
    pub(crate) block_bytes: u32,
    /// Largest transfer of one command.
    pub(crate) transfer_bytes_max: u32,
}

impl Namespace {
    /// The namespace with this id, or the first one.
    pub(crate) async fn read(controller: &HostController, nsid: Option<u32>) -> Result<Self, LoadError> {
        let active = identify(controller, Cns::ACTIVE_NAMESPACES, 0).await?;
        let ids = active.chunks_exact(4).map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]]));
        let mut ids = ids.take_while(|&id| id != 0);
        let found = match nsid {
            Some(wanted) => ids.find(|&id| id == wanted),
            None => ids.next(),
        };
        let nsid = found.ok_or(LoadError::NoNamespace)?;

        let bytes = identify(controller, Cns::CONTROLLER, 0).await?;
        let controller_data = IdentifyController::ref_from_bytes(&bytes).expect("the sizes agree");
        // In pages of 4 KiB, as CC.MPS says; 0 is no limit.
        let transfer_bytes_max = match controller_data.mdts {
            0 => u32::MAX,
            mdts => 4096u32.checked_shl(mdts.into()).unwrap_or(u32::MAX),
        };

        let bytes = identify(controller, Cns::NAMESPACE, nsid).await?;
        let namespace = IdentifyNamespace::ref_from_bytes(&bytes).expect("the sizes agree");
        // FLBAS: the format's index in bits 3:0, and its upper two bits in 6:5.
        let format = (namespace.flbas & 0xf) | (((namespace.flbas >> 5) & 0x3) << 4);
        let block_bytes = 1u32.checked_shl(namespace.lbaf[usize::from(format)].lbads.into());
        let block_bytes = block_bytes.filter(|&bytes| bytes >= 512).ok_or(LoadError::BlockSize)?;
        Ok(Self { nsid, blocks: namespace.nsze.get(), block_bytes, transfer_bytes_max })
    }
}

async fn identify(controller: &HostController, cns: Cns, nsid: u32) -> Result<Vec<u8>, LoadError> {
    let answer = controller.admin().command(sqe::identify(cns, nsid), Payload::In(IDENTIFY_BYTES)).await?;
    match answer {
        Answer { data: Some(data), received: IDENTIFY_BYTES, .. } => Ok(data.to_vec()),
        answer => Err(LoadError::Identify { cns, status: answer.status() }),
    }
}

const IDENTIFY_BYTES: u32 = 4096;
