//! The host's end of a connection.

use zerocopy::{FromZeros, IntoBytes};

use super::{
    Negotiated, Role, Slot, TermReq, WantedPayload, dgst,
    encode::{self, DataPart},
    framer::{Frame, Framer, Pdu},
};
use crate::{
    Status,
    wire::{
        Cqe, Sqe,
        cqe::SQHD_DISABLED,
        pdu::{DataHeader, Fes, ICReq, ICResp, LAST_PDU, PduType, R2T, SUCCESS},
        sqe::{SGL_IN_CAPSULE, SGL_TRANSPORT},
    },
};

/// What a host asks for in ICReq.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ICRequest {
    pub header_digest: bool,
    pub data_digest: bool,
    /// HPDA: alignment in dwords of data sent to us, 0's based, up to 31.
    pub hpda_z: u8,
}

/// A command's data, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostTransfer {
    None,
    /// To the host, by C2HData.
    In(u32),
    /// To the controller, behind the command in its capsule.
    InCapsule(u32),
    /// To the controller, when it asks by R2T.
    Out(u32),
}

/// What received bytes mean to a host.
#[derive(Debug)]
pub enum HostEvent<'a> {
    /// ICResp: commands may go.
    Connected,
    /// The next `bytes` of a command's data belong at `offset`.
    Data { slot: Slot, offset: u32, bytes: &'a [u8] },
    /// The controller wants `len` bytes from `offset`: answer with [`HostConnection::encode_h2c_data`].
    Requested { slot: Slot, ttag: u16, offset: u32, len: u32 },
    /// A command is over; its slot is free. `received` bytes of data came. Not `intact`: a data digest was wrong.
    Response { slot: Slot, cqe: Cqe, received: u32, intact: bool },
    /// The controller gave up with C2HTermReq: close.
    Terminated(TermReq),
}

#[derive(Debug, Clone, Copy)]
struct Command {
    transfer: HostTransfer,
    received: u32,
    /// Bytes that R2Ts asked for, all of them answered but for `requested`.
    granted: u32,
    /// Bytes of the R2T that is not answered yet.
    requested: u32,
    intact: bool,
}

/// The command whose C2HData is arriving.
#[derive(Debug, Clone, Copy)]
struct Receiving {
    slot: Slot,
    success: bool,
}

/// One connection as its host sees it.
#[derive(Debug)]
pub struct HostConnection {
    framer: Framer,
    request: ICRequest,
    agreed: Option<Negotiated>,
    commands: Vec<Option<Command>>,
    receiving: Option<Receiving>,
}

impl HostConnection {
    /// A fresh connection for commands in slots below `entries`.
    pub fn new(entries: u16, request: ICRequest) -> Self {
        Self {
            framer: Framer::new(Role::Host, (request.hpda_z + 1) * 4),
            request,
            agreed: None,
            commands: vec![None; usize::from(entries)],
            receiving: None,
        }
    }

    /// Appends the ICReq, the first bytes to send.
    pub fn encode_ic_req(&self, out: &mut Vec<u8>) {
        let mut req = ICReq::new_zeroed();
        req.ch.pdu_type = PduType::IC_REQ.0;
        req.ch.hlen = size_of::<ICReq>() as u8;
        req.ch.plen = (size_of::<ICReq>() as u32).into();
        req.hpda_z = self.request.hpda_z;
        req.dgst = dgst(self.request.header_digest, self.request.data_digest);
        out.extend_from_slice(req.as_bytes());
    }

    /// Appends a command capsule; its identifier and data pointer are filled in. The caller sends in-capsule data
    /// after it, and after that data, if [`Negotiated::data_digest`], its CRC-32C in little-endian.
    pub fn encode_command(&mut self, slot: Slot, mut sqe: Sqe, transfer: HostTransfer, out: &mut Vec<u8>) {
        let command = &mut self.commands[slot.index()];
        assert!(command.is_none(), "a slot carries one command at a time");
        *command = Some(Command { transfer, received: 0, granted: 0, requested: 0, intact: true });
        let (sgl_id, len, in_capsule_len) = match transfer {
            HostTransfer::None => (SGL_TRANSPORT, 0, 0),
            HostTransfer::In(len) | HostTransfer::Out(len) => (SGL_TRANSPORT, len, 0),
            HostTransfer::InCapsule(len) => (SGL_IN_CAPSULE, len, len),
        };
        sqe.cid = slot.0.into();
        sqe.sgl.sgl_id = sgl_id;
        sqe.sgl.length = len.into();
        encode::capsule_cmd(&sqe, in_capsule_len, self.agreed(), out);
    }

    /// Appends the header of an H2CData: a part of what an R2T asked for, at most
    /// [`Negotiated::h2c_data_bytes_max`], in order; `last` with the part that ends it. Data and digest follow as
    /// for [`Self::encode_command`].
    pub fn encode_h2c_data(&mut self, slot: Slot, ttag: u16, offset: u32, len: u32, out: &mut Vec<u8>) {
        let limit = self.agreed().h2c_data_bytes_max;
        let command = self.commands[slot.index()].as_mut().expect("an R2T names a command in flight");
        assert!(len <= limit && len <= command.requested, "the caller keeps to MAXH2CDATA and the R2T");
        command.requested -= len;
        let flags = if command.requested == 0 { LAST_PDU } else { 0 };
        encode::data(PduType::H2C_DATA, slot.0, ttag, offset, DataPart { len, flags }, self.agreed(), out);
    }

    /// Appends the H2CTermReq for an error that [`Self::receive`] returned; then send and close.
    pub fn encode_term_req(&self, error: TermReq, out: &mut Vec<u8>) {
        encode::term_req(PduType::H2C_TERM_REQ, error, self.framer.offending_header(), out);
    }

    /// What ICReq and ICResp agreed on; `None` before ICResp.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.agreed.as_ref()
    }

    /// As [`super::ControllerConnection::wants_payload`].
    pub fn wants_payload(&self) -> Option<WantedPayload> {
        let len = self.framer.payload_left()?;
        let Receiving { slot, .. } = self.receiving?;
        let offset = self.commands[slot.index()].as_ref()?.received;
        Some(WantedPayload { slot, offset, len })
    }

    /// Takes what it can of `bytes` up to one event. Returns the bytes used; call again with the rest until there is
    /// no event, which means that all bytes are used up.
    pub fn receive<'a>(&mut self, bytes: &'a [u8]) -> Result<(usize, Option<HostEvent<'a>>), TermReq> {
        let mut used = 0;
        loop {
            let (taken, frame) = self.framer.receive(&bytes[used..])?;
            used += taken;
            let event = match frame {
                None => return Ok((used, None)),
                Some(Frame::Header { pdu, payload_bytes }) => {
                    self.header(pdu, payload_bytes).map_err(|error| self.framer.break_off(error))?
                }
                Some(Frame::Payload(piece)) => self.payload(piece),
                Some(Frame::PayloadEnd { intact }) => self.payload_end(intact),
            };
            if event.is_some() {
                return Ok((used, event));
            }
        }
    }

    fn agreed(&self) -> &Negotiated {
        self.agreed.as_ref().expect("nothing but ICReq is sent before ICResp")
    }

    fn header(&mut self, pdu: Pdu, payload_bytes: u32) -> Result<Option<HostEvent<'static>>, TermReq> {
        match pdu {
            Pdu::ICResp(resp) => {
                let agreed = self.accept(&resp)?;
                self.framer.connected(agreed.header_digest, agreed.data_digest);
                self.agreed = Some(agreed);
                Ok(Some(HostEvent::Connected))
            }
            Pdu::CapsuleResp(cqe) => {
                const CID: u32 = 20;
                let slot = Slot(cqe.cid.get());
                let command = self.commands.get_mut(slot.index()).and_then(Option::take);
                let Command { received, intact, .. } = command.ok_or(TermReq::header_field(CID))?;
                Ok(Some(HostEvent::Response { slot, cqe, received, intact }))
            }
            Pdu::Data(header) => {
                let slot = self.c2h_data(&header, payload_bytes)?;
                self.receiving = Some(Receiving { slot, success: header.ch.flags & SUCCESS != 0 });
                Ok(None)
            }
            Pdu::R2T(r2t) => self.requested(&r2t).map(Some),
            Pdu::TermReq(error) => Ok(Some(HostEvent::Terminated(error))),
            Pdu::ICReq(_) | Pdu::CapsuleCmd(_) => {
                unreachable!("validation lets only a controller's PDUs pass")
            }
        }
    }

    /// Judges an ICResp (TCP §3.6.2.3).
    fn accept(&self, resp: &ICResp) -> Result<Negotiated, TermReq> {
        const PFV: u32 = 8;
        const CPDA: u32 = 10;
        const DGST: u32 = 11;
        const MAXH2CDATA: u32 = 12;
        if resp.pfv.get() != 0 {
            return Err(TermReq { fes: Fes::UNSUPPORTED_PARAMETER, fei: PFV });
        }
        if resp.cpda_z > crate::limits::PDA_Z_MAX {
            return Err(TermReq::header_field(CPDA));
        }
        let agreed = Negotiated::from_dgst(resp.dgst, resp.cpda_z, 1, resp.maxh2cdata.get());
        if (agreed.header_digest, agreed.data_digest)
            != (self.request.header_digest, self.request.data_digest)
        {
            return Err(TermReq { fes: Fes::UNSUPPORTED_PARAMETER, fei: DGST });
        }
        if agreed.h2c_data_bytes_max < 4096 {
            return Err(TermReq::header_field(MAXH2CDATA));
        }
        Ok(agreed)
    }

    /// Judges a C2HData header: in order, within the command's transfer.
    fn c2h_data(&self, header: &DataHeader, payload_bytes: u32) -> Result<Slot, TermReq> {
        const CCCID: u32 = 8;
        const DATAL: u32 = 16;
        let slot = Slot(header.cccid.get());
        let command = self.commands.get(slot.index()).and_then(Option::as_ref);
        let Some(&Command { transfer: HostTransfer::In(len), received, .. }) = command else {
            return Err(TermReq::header_field(CCCID));
        };
        if header.datal.get() != payload_bytes {
            return Err(TermReq::header_field(DATAL));
        }
        if header.datao.get() != received || payload_bytes > len - received {
            return Err(TermReq::new(Fes::DATA_TRANSFER_OUT_OF_RANGE));
        }
        Ok(slot)
    }

    fn requested(&mut self, r2t: &R2T) -> Result<HostEvent<'static>, TermReq> {
        const CCCID: u32 = 8;
        let slot = Slot(r2t.cccid.get());
        let command = self.commands.get_mut(slot.index()).and_then(Option::as_mut);
        let Some(command @ Command { transfer: HostTransfer::Out(_), .. }) = command else {
            return Err(TermReq::header_field(CCCID));
        };
        let HostTransfer::Out(total) = command.transfer else { unreachable!("matched above") };
        if command.requested > 0 {
            return Err(TermReq::new(Fes::LIMIT_EXCEEDED));
        }
        let (offset, len) = (r2t.r2to.get(), r2t.r2tl.get());
        if offset != command.granted || len == 0 || len > total - command.granted {
            return Err(TermReq::new(Fes::DATA_TRANSFER_OUT_OF_RANGE));
        }
        command.granted += len;
        command.requested = len;
        Ok(HostEvent::Requested { slot, ttag: r2t.ttag.get(), offset, len })
    }

    fn payload<'a>(&mut self, piece: &'a [u8]) -> Option<HostEvent<'a>> {
        let Receiving { slot, .. } = self.receiving?;
        let command = self.commands[slot.index()].as_mut()?;
        let offset = command.received;
        command.received += piece.len() as u32;
        Some(HostEvent::Data { slot, offset, bytes: piece })
    }

    fn payload_end(&mut self, intact: bool) -> Option<HostEvent<'static>> {
        let Receiving { slot, success } = self.receiving.take()?;
        let command = self.commands[slot.index()].as_mut()?;
        command.intact &= intact;
        if !success {
            return None;
        }
        let Command { received, intact, .. } = self.commands[slot.index()].take()?;
        let cqe = Cqe::new(slot.0, SQHD_DISABLED, Status::SUCCESS, 0);
        Some(HostEvent::Response { slot, cqe, received, intact })
    }
}
