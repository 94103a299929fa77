//! PDUs to send: as the specification has them, for checks to change before they go out.

use nvmeof::{
    transport::Crc32c,
    wire::{
        Sqe,
        pdu::{DDGSTF, DIGEST_BYTES, Fes, HDGSTF, ICReq, LAST_PDU, PduType},
    },
};
use zerocopy::{FromZeros, IntoBytes};

/// What ICReq asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wishes {
    pub(crate) header_digest: bool,
    pub(crate) data_digest: bool,
    /// HPDA, 0's based in dwords.
    pub(crate) hpda_z: u8,
    /// MAXR2T, 0's based.
    pub(crate) maxr2t_z: u32,
}

/// What ICResp agreed to; nothing of it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) header_digest: bool,
    pub(crate) data_digest: bool,
    /// CPDA, 0's based in dwords.
    pub(crate) cpda_z: u8,
    /// Largest H2CData payload in bytes.
    pub(crate) h2c_data_bytes_max: u32,
}

impl Default for Agreed {
    fn default() -> Self {
        Self { header_digest: false, data_digest: false, cpda_z: 0, h2c_data_bytes_max: 4096 }
    }
}

/// The ICReq that a careful host sends.
pub(crate) fn ic_req(wishes: Wishes) -> Vec<u8> {
    let mut request = ICReq::new_zeroed();
    request.ch.pdu_type = PduType::IC_REQ.0;
    request.ch.hlen = size_of::<ICReq>() as u8;
    request.ch.plen = (size_of::<ICReq>() as u32).into();
    request.hpda_z = wishes.hpda_z;
    request.dgst = u8::from(wishes.header_digest) | u8::from(wishes.data_digest) << 1;
    request.maxr2t_z = wishes.maxr2t_z.into();
    request.as_bytes().to_vec()
}

/// A command capsule with its data, if any.
pub(crate) fn capsule(sqe: &Sqe, data: &[u8], agreed: &Agreed) -> Vec<u8> {
    let mut header = common(PduType::CAPSULE_CMD.0, 0, 72);
    header.extend_from_slice(sqe.as_bytes());
    seal(header, data, agreed)
}

/// One H2CData.
#[derive(Debug, Clone, Copy)]
pub(crate) struct H2cData<'a> {
    pub(crate) cccid: u16,
    pub(crate) ttag: u16,
    pub(crate) datao: u32,
    /// DATAL, if it shall say something else than how long the data is.
    pub(crate) datal: Option<u32>,
    pub(crate) last: bool,
    pub(crate) data: &'a [u8],
}

impl H2cData<'_> {
    pub(crate) fn encode(&self, agreed: &Agreed) -> Vec<u8> {
        let mut header = common(PduType::H2C_DATA.0, if self.last { LAST_PDU } else { 0 }, 24);
        header.extend_from_slice(&self.cccid.to_le_bytes());
        header.extend_from_slice(&self.ttag.to_le_bytes());
        header.extend_from_slice(&self.datao.to_le_bytes());
        header.extend_from_slice(&self.datal.unwrap_or(self.data.len() as u32).to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        seal(header, self.data, agreed)
    }
}

/// H2CTermReq about a header of ours.
pub(crate) fn term_req(fes: Fes, fei: u32, header: &[u8]) -> Vec<u8> {
    let mut pdu = common(PduType::H2C_TERM_REQ.0, 0, 24);
    pdu.extend_from_slice(&fes.0.to_le_bytes());
    pdu.extend_from_slice(&fei.to_le_bytes());
    pdu.extend_from_slice(&[0; 10]);
    pdu.extend_from_slice(header);
    set_plen(&mut pdu);
    pdu
}

/// A PDU of zeros but for its common header.
pub(crate) fn bare(pdu_type: u8, hlen: u8, plen: u32) -> Vec<u8> {
    let mut pdu = common(pdu_type, 0, hlen);
    pdu[4..8].copy_from_slice(&plen.to_le_bytes());
    pdu.resize((plen as usize).max(8), 0);
    pdu
}

fn common(pdu_type: u8, flags: u8, hlen: u8) -> Vec<u8> {
    vec![pdu_type, flags, hlen, 0, 0, 0, 0, 0]
}

fn set_plen(pdu: &mut [u8]) {
    let plen = pdu.len() as u32;
    pdu[4..8].copy_from_slice(&plen.to_le_bytes());
}

/// Adds to a header what was agreed on: digests, padding, PDO and PLEN (TCP §3.3.1.1, §3.3.1.2).
fn seal(mut pdu: Vec<u8>, data: &[u8], agreed: &Agreed) -> Vec<u8> {
    let hlen = pdu.len();
    let header_end = hlen + if agreed.header_digest { DIGEST_BYTES } else { 0 };
    let alignment = (usize::from(agreed.cpda_z) + 1) * 4;
    let data_at = if data.is_empty() { header_end } else { header_end.next_multiple_of(alignment) };
    let digest_data = agreed.data_digest && !data.is_empty();
    if !data.is_empty() {
        pdu[3] = u8::try_from(data_at).expect("header, digest and padding are at most 128 bytes");
    }
    pdu[1] |= if agreed.header_digest { HDGSTF } else { 0 } | if digest_data { DDGSTF } else { 0 };
    let plen = data_at + data.len() + if digest_data { DIGEST_BYTES } else { 0 };
    pdu[4..8].copy_from_slice(&(plen as u32).to_le_bytes());
    if agreed.header_digest {
        let digest = Crc32c::of(&pdu);
        pdu.extend_from_slice(&digest.to_le_bytes());
    }
    pdu.resize(data_at, 0);
    pdu.extend_from_slice(data);
    if digest_data {
        pdu.extend_from_slice(&Crc32c::of(data).to_le_bytes());
    }
    pdu
}
