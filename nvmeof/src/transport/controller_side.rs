//! The controller's end of a connection.

use zerocopy::{FromZeros, IntoBytes};

use super::{
    Negotiated, Role, Slot, TermReq, WantedPayload,
    commands::Commands,
    encode::{self, DataPart},
    framer::{Frame, Framer, Pdu},
};
use crate::{
    limits,
    wire::{
        Cqe, Sqe,
        pdu::{Fes, ICReq, ICResp, LAST_PDU, PduType, SUCCESS},
    },
};

/// What received bytes mean to a controller.
#[derive(Debug)]
pub enum ControllerEvent<'a> {
    /// ICReq: answer with [`ControllerConnection::encode_ic_resp`].
    Connected,
    /// A command. If `in_capsule_len` is not zero, `Data` and `DataDone` follow before the next capsule, whatever
    /// the command is; until then the command must not be answered.
    Capsule { slot: Slot, sqe: Sqe, in_capsule_len: u32 },
    /// The next `bytes` of a command's data belong at `offset`.
    Data { slot: Slot, offset: u32, bytes: &'a [u8] },
    /// All data came, of the capsule or of the R2T. Not `intact`: a data digest was wrong; answer with Transient
    /// Transport Error (TCP §3.3.1.2.1).
    DataDone { slot: Slot, intact: bool },
    /// The host gave up with H2CTermReq: close.
    Terminated(TermReq),
}

/// One connection as its controller sees it.
#[derive(Debug)]
pub struct ControllerConnection {
    framer: Framer,
    agreed: Option<Negotiated>,
    commands: Commands,
    /// The command whose data is arriving.
    receiving: Option<Slot>,
}

/// CPDA: we copy or receive payload into place, so any dword will do.
const CPDA_Z: u8 = 0;

impl ControllerConnection {
    /// A fresh connection with room for `entries` commands; the Connect command needs one.
    pub fn new(entries: u16) -> Self {
        let framer = Framer::new(Role::Controller, (CPDA_Z + 1) * 4);
        Self { framer, agreed: None, commands: Commands::new(entries), receiving: None }
    }

    /// Makes room for `entries` commands, once Connect has said how large the queue is.
    pub fn grow(&mut self, entries: u16) {
        self.commands.grow(entries);
    }

    /// Takes what it can of `bytes` up to one event. Returns the bytes used; call again with the rest until there is
    /// no event, which means that all bytes are used up.
    pub fn receive<'a>(&mut self, bytes: &'a [u8]) -> Result<(usize, Option<ControllerEvent<'a>>), TermReq> {
        let mut used = 0;
        loop {
            let (taken, frame) = self.framer.receive(&bytes[used..])?;
            used += taken;
            let event = match frame {
                None => return Ok((used, None)),
                Some(Frame::Header { pdu, payload_bytes }) => {
                    self.header(pdu, payload_bytes).map_err(|error| self.framer.break_off(error))?
                }
                Some(Frame::Payload(piece)) => self.receiving.map(|slot| {
                    let offset = self.commands.data(slot, piece.len() as u32);
                    ControllerEvent::Data { slot, offset, bytes: piece }
                }),
                Some(Frame::PayloadEnd { intact }) => self.receiving.take().and_then(|slot| {
                    let intact = self.commands.payload_end(slot, intact)?;
                    Some(ControllerEvent::DataDone { slot, intact })
                }),
            };
            if event.is_some() {
                return Ok((used, event));
            }
        }
    }

    /// If the very next bytes are payload: where they belong. They may then be received in place and that slice
    /// given to [`Self::receive`], which reports it as `Data` again and needs no copy.
    pub fn wants_payload(&self) -> Option<WantedPayload> {
        let len = self.framer.payload_left()?;
        let slot = self.receiving?;
        Some(WantedPayload { slot, offset: self.commands.received(slot), len })
    }

    /// What ICReq and ICResp agreed on; `None` before ICReq.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.agreed.as_ref()
    }

    /// Commands in flight.
    pub fn in_flight(&self) -> usize {
        self.commands.in_flight()
    }

    /// The identifier that the host gave the command.
    pub fn cid(&self, slot: Slot) -> u16 {
        self.commands.cid(slot)
    }

    /// Appends the ICResp.
    pub fn encode_ic_resp(&self, out: &mut Vec<u8>) {
        let mut resp = ICResp::new_zeroed();
        resp.ch.pdu_type = PduType::IC_RESP.0;
        resp.ch.hlen = size_of::<ICResp>() as u8;
        resp.ch.plen = (size_of::<ICResp>() as u32).into();
        resp.cpda_z = CPDA_Z;
        resp.dgst = self.agreed().dgst();
        resp.maxh2cdata = limits::MAXH2CDATA.into();
        out.extend_from_slice(resp.as_bytes());
    }

    /// Appends an R2T for all `len` bytes of a command. One R2T at a time suits every MAXR2T.
    pub fn encode_r2t(&mut self, slot: Slot, len: u32, out: &mut Vec<u8>) {
        self.commands.request_data(slot, len);
        encode::r2t(self.commands.cid(slot), slot.0, 0, len, self.agreed(), out);
    }

    /// Appends the header of a C2HData with all `len` bytes of a command's data. The caller sends the data after it,
    /// and after the data, if [`Negotiated::data_digest`], its CRC-32C in little-endian. With `success` the host
    /// completes the command by this PDU: only where flow control is off, and then [`Self::release`] it.
    pub fn encode_c2h_data(&self, slot: Slot, len: u32, success: bool, out: &mut Vec<u8>) {
        let flags = LAST_PDU | if success { SUCCESS } else { 0 };
        let part = DataPart { len, flags };
        encode::data(PduType::C2H_DATA, self.commands.cid(slot), 0, 0, part, self.agreed(), out);
    }

    /// Appends a response and gives the slot back. `cqe`'s identifier is filled in.
    pub fn encode_response(&mut self, slot: Slot, mut cqe: Cqe, out: &mut Vec<u8>) {
        cqe.cid = self.commands.cid(slot).into();
        encode::capsule_resp(&cqe, self.agreed(), out);
        self.commands.release(slot);
    }

    /// Gives back the slot of a command that was answered by the SUCCESS flag.
    pub fn release(&mut self, slot: Slot) {
        self.commands.release(slot);
    }

    /// Appends the C2HTermReq for an error that [`Self::receive`] returned; then send and close.
    pub fn encode_term_req(&self, error: TermReq, out: &mut Vec<u8>) {
        encode::term_req(PduType::C2H_TERM_REQ, error, self.framer.offending_header(), out);
    }

    fn agreed(&self) -> &Negotiated {
        self.agreed.as_ref().expect("nothing is sent before ICReq but TermReq")
    }

    fn header(&mut self, pdu: Pdu, payload_bytes: u32) -> Result<Option<ControllerEvent<'static>>, TermReq> {
        match pdu {
            Pdu::ICReq(req) => {
                let agreed = negotiate(&req)?;
                self.framer.connected(agreed.header_digest, agreed.data_digest);
                self.agreed = Some(agreed);
                Ok(Some(ControllerEvent::Connected))
            }
            Pdu::CapsuleCmd(sqe) => {
                let slot = self.commands.capsule(sqe.cid.get(), payload_bytes)?;
                if payload_bytes > 0 {
                    self.receiving = Some(slot);
                }
                Ok(Some(ControllerEvent::Capsule { slot, sqe, in_capsule_len: payload_bytes }))
            }
            Pdu::Data(header) => {
                self.receiving = Some(self.commands.h2c_data(&header, payload_bytes)?);
                Ok(None)
            }
            Pdu::TermReq(error) => Ok(Some(ControllerEvent::Terminated(error))),
            Pdu::ICResp(_) | Pdu::CapsuleResp(_) | Pdu::R2T(_) => {
                unreachable!("validation lets only a host's PDUs pass")
            }
        }
    }
}

/// Judges an ICReq (TCP §3.6.2.2).
fn negotiate(req: &ICReq) -> Result<Negotiated, TermReq> {
    const PFV: u32 = 8;
    const HPDA: u32 = 10;
    if req.pfv.get() != 0 {
        return Err(TermReq { fes: Fes::UNSUPPORTED_PARAMETER, fei: PFV });
    }
    if req.hpda_z > limits::PDA_Z_MAX {
        return Err(TermReq::header_field(HPDA));
    }
    let r2ts_max = req.maxr2t_z.get().saturating_add(1);
    Ok(Negotiated::from_dgst(req.dgst, req.hpda_z, r2ts_max, limits::MAXH2CDATA))
}
