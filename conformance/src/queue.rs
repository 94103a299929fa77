//! One queue pair: commands out, their data and answers in.

use std::collections::BTreeMap;

use nvmeof::{
    Status,
    wire::{
        Cqe, Sqe,
        pdu::{LAST_PDU, PduType, SUCCESS},
        sqe::{SGL_IN_CAPSULE, SGL_TRANSPORT, SglDescriptor},
    },
};
use zerocopy::{FromBytes, FromZeros};

use crate::{
    check::{Verdict, broken},
    limits,
    link::{Link, Pdu, describe},
    pdu::{self, H2cData},
};

/// A command's data.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Data<'a> {
    None,
    /// Bytes wanted from the target.
    In(u32),
    /// For the target, in the capsule.
    Capsule(&'a [u8]),
    /// For the target, when it asks for it by R2T.
    Out(&'a [u8]),
    /// The entry's data pointer stays as it is; these bytes are in the capsule, and none are sent by R2T.
    AsIs(&'a [u8]),
}

/// The end of a command.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// `None`: a C2HData with SUCCESS stood for it.
    pub(crate) cqe: Option<Cqe>,
    pub(crate) data: Vec<u8>,
    /// Every PDU of this command in its order, without data.
    pub(crate) pdus: Vec<Pdu>,
}

impl Answer {
    pub(crate) fn status(&self) -> Status {
        self.cqe.map_or(Status::SUCCESS, |cqe| cqe.status())
    }

    /// Dwords 0 and 1 of the completion.
    pub(crate) fn result(&self) -> u64 {
        self.cqe.map_or(0, |cqe| cqe.result.get())
    }

    pub(crate) fn dword0(&self) -> u32 {
        self.result() as u32
    }
}

/// A command that is not answered yet.
#[derive(Debug, Default)]
struct Pending {
    answer: Answer,
    out: Vec<u8>,
    in_bytes: u32,
}

/// A queue pair over a link that has seen ICResp.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) link: Link,
    next_cid: u16,
    pending: BTreeMap<u16, Pending>,
    answered: BTreeMap<u16, Answer>,
    /// Largest H2CData payload that is sent, if smaller than what the target allows.
    pub(crate) h2c_piece_bytes: Option<u32>,
}

impl Queue {
    pub(crate) fn new(link: Link) -> Self {
        Self {
            link,
            // So that no answer with a CID of zero fits by chance.
            next_cid: 0x1001,
            pending: BTreeMap::new(),
            answered: BTreeMap::new(),
            h2c_piece_bytes: None,
        }
    }

    /// Sends a command and waits for its end.
    pub(crate) fn command(&mut self, sqe: Sqe, data: Data<'_>) -> Verdict<Answer> {
        let cid = self.issue(sqe, data)?;
        self.answer(cid)
    }

    /// Sends a command; its identifier.
    pub(crate) fn issue(&mut self, sqe: Sqe, data: Data<'_>) -> Verdict<u16> {
        let (cid, bytes) = self.prepare(sqe, data);
        self.link.send(&bytes)?;
        Ok(cid)
    }

    /// Sends commands in one go, so that they arrive together.
    pub(crate) fn issue_all(&mut self, commands: &[(Sqe, Data<'_>)]) -> Verdict<Vec<u16>> {
        let (mut cids, mut stream) = (Vec::new(), Vec::new());
        for &(sqe, data) in commands {
            let (cid, bytes) = self.prepare(sqe, data);
            cids.push(cid);
            stream.extend(bytes);
        }
        self.link.send(&stream)?;
        Ok(cids)
    }

    /// The capsule of a command, which is remembered as sent.
    pub(crate) fn prepare(&mut self, mut sqe: Sqe, data: Data<'_>) -> (u16, Vec<u8>) {
        let cid = self.next_cid;
        // Never FFFFh, which is reserved (Base §3.3.3.1).
        self.next_cid = if cid == 0x7FFF { 1 } else { cid + 1 };
        sqe.cid = cid.into();
        let mut pending = Pending::default();
        let in_capsule = match data {
            Data::None => {
                sqe.sgl = descriptor(SGL_TRANSPORT, 0);
                &[][..]
            }
            Data::In(bytes) => {
                sqe.sgl = descriptor(SGL_TRANSPORT, bytes);
                pending.in_bytes = bytes;
                &[]
            }
            Data::Capsule(bytes) => {
                sqe.sgl = descriptor(SGL_IN_CAPSULE, bytes.len() as u32);
                bytes
            }
            Data::Out(bytes) => {
                sqe.sgl = descriptor(SGL_TRANSPORT, bytes.len() as u32);
                pending.out = bytes.to_vec();
                &[]
            }
            Data::AsIs(bytes) => {
                pending.in_bytes = sqe.sgl.length.get().min(limits::PDU_BYTES_MAX);
                bytes
            }
        };
        self.pending.insert(cid, pending);
        (cid, pdu::capsule(&sqe, in_capsule, &self.link.agreed))
    }

    /// Waits for a command's end, and sends what the target asks for meanwhile.
    pub(crate) fn answer(&mut self, cid: u16) -> Verdict<Answer> {
        loop {
            if let Some(answer) = self.answered.remove(&cid) {
                return Ok(answer);
            }
            self.step()?;
        }
    }

    /// Whether a command was answered, as far as is known without waiting.
    pub(crate) fn is_answered(&self, cid: u16) -> bool {
        self.answered.contains_key(&cid)
    }

    /// Waits for the target's next R2T of a command, and serves none.
    pub(crate) fn requested(&mut self, cid: u16) -> Verdict<Pdu> {
        let pdu = self.link.next_pdu()?;
        if pdu.is(PduType::R2T) && pdu.u16_at(8) == cid {
            Ok(pdu)
        } else {
            broken(format_args!("{} where an R2T was due", describe(&pdu)))
        }
    }

    /// Takes one PDU.
    fn step(&mut self) -> Verdict {
        let pdu = self.link.next_pdu()?;
        if pdu.header.len() < 24 {
            return broken(format_args!("{} with HLEN {}", describe(&pdu), pdu.hlen));
        }
        match PduType(pdu.pdu_type) {
            PduType::CAPSULE_RESP => {
                let Ok((cqe, _)) = Cqe::read_from_prefix(&pdu.header[8..]) else {
                    return broken("a CapsuleResp without its entry");
                };
                let cid = cqe.cid.get();
                self.note(cid, &pdu)?.answer.cqe = Some(cqe);
                self.finish(cid);
            }
            PduType::C2H_DATA => self.take_data(&pdu)?,
            PduType::R2T => self.serve(&pdu)?,
            _ => return broken(format_args!("{} from a target that is connected", describe(&pdu))),
        }
        Ok(())
    }

    /// The command that a PDU belongs to, which remembers it.
    fn note(&mut self, cid: u16, pdu: &Pdu) -> Verdict<&mut Pending> {
        match self.pending.get_mut(&cid) {
            Some(pending) => {
                pending.answer.pdus.push(Pdu { data: Vec::new(), ..pdu.clone() });
                Ok(pending)
            }
            None => broken(format_args!("{} for command {cid:#x}, which is not there", describe(pdu))),
        }
    }

    fn finish(&mut self, cid: u16) {
        if let Some(pending) = self.pending.remove(&cid) {
            self.answered.insert(cid, pending.answer);
        }
    }

    fn take_data(&mut self, pdu: &Pdu) -> Verdict {
        let (cid, offset) = (pdu.u16_at(8), pdu.u32_at(12) as usize);
        let pending = self.note(cid, pdu)?;
        let end = offset + pdu.data.len();
        if end > pending.in_bytes as usize {
            let wanted = pending.in_bytes;
            return broken(format_args!("data up to byte {end} of a command that asked for {wanted}"));
        }
        let data = &mut pending.answer.data;
        if data.len() < end {
            data.resize(end, 0);
        }
        data[offset..end].copy_from_slice(&pdu.data);
        if pdu.flags & SUCCESS != 0 && pdu.flags & LAST_PDU != 0 {
            self.finish(cid);
        }
        Ok(())
    }

    /// Sends what an R2T asks for, in pieces that the target takes.
    fn serve(&mut self, r2t: &Pdu) -> Verdict {
        let cid = r2t.u16_at(8);
        let (ttag, offset, len) = (r2t.u16_at(10), r2t.u32_at(12) as usize, r2t.u32_at(16) as usize);
        let agreed = self.link.agreed;
        let piece = self.h2c_piece_bytes.unwrap_or(u32::MAX).min(agreed.h2c_data_bytes_max) as usize;
        let pending = self.note(cid, r2t)?;
        let Some(wanted) = pending.out.get(offset..offset.saturating_add(len)).filter(|_| len > 0) else {
            let have = pending.out.len();
            return broken(format_args!("an R2T for {len} bytes from {offset} of a command with {have}"));
        };
        let mut stream = Vec::new();
        for (index, data) in wanted.chunks(piece).enumerate() {
            let datao = offset + index * piece;
            let last = datao + data.len() == offset + len;
            let part = H2cData { cccid: cid, ttag, datao: datao as u32, datal: None, last, data };
            stream.extend(part.encode(&agreed));
        }
        self.link.send(&stream)
    }
}

/// An SGL descriptor of `length` bytes.
pub(crate) fn descriptor(sgl_id: u8, length: u32) -> SglDescriptor {
    let mut sgl = SglDescriptor::new_zeroed();
    sgl.sgl_id = sgl_id;
    sgl.length = length.into();
    sgl
}
