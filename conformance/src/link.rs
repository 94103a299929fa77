//! One connection to a target: PDUs go out as given and come in as they are.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use nvmeof::{
    transport::Crc32c,
    wire::pdu::{DDGSTF, Fes, HDGSTF, ICResp, PduType},
};
use zerocopy::FromBytes;

use crate::{
    check::{Verdict, broken},
    limits,
    pdu::{self, Agreed, Wishes},
};

/// A TCP connection, before or after ICReq and ICResp.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    /// For each wait.
    patience: Duration,
    pub(crate) agreed: Agreed,
}

/// What came, or did not.
#[derive(Debug, Clone)]
pub(crate) enum Incoming {
    Pdu(Pdu),
    /// The target hung up, by whatever kind of segment.
    Closed,
    /// Nothing came within our patience.
    Silence,
}

/// A PDU taken apart, by what its own header says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pdu {
    pub(crate) pdu_type: u8,
    pub(crate) flags: u8,
    pub(crate) hlen: u8,
    pub(crate) pdo: u8,
    pub(crate) plen: u32,
    /// HLEN bytes.
    pub(crate) header: Vec<u8>,
    pub(crate) data: Vec<u8>,
    /// If there is one: whether it is right.
    pub(crate) header_digest: Option<bool>,
    pub(crate) data_digest: Option<bool>,
}

impl Pdu {
    pub(crate) fn is(&self, pdu_type: PduType) -> bool {
        self.pdu_type == pdu_type.0
    }

    /// Two bytes of the header.
    pub(crate) fn u16_at(&self, at: usize) -> u16 {
        self.header.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    /// Four bytes of the header.
    pub(crate) fn u32_at(&self, at: usize) -> u32 {
        u32::from(self.u16_at(at)) | u32::from(self.u16_at(at + 2)) << 16
    }

    /// FES and FEI of a C2HTermReq.
    pub(crate) fn fatal_error(&self) -> (Fes, u32) {
        (Fes(self.u16_at(8)), self.u32_at(10))
    }
}

impl Link {
    /// A TCP connection and nothing more.
    pub(crate) fn open(address: SocketAddr, patience: Duration) -> Verdict<Self> {
        let connected = TcpStream::connect_timeout(&address, patience).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(patience))?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => Ok(Self { stream, patience, agreed: Agreed::default() }),
            Err(error) => broken(format_args!("connecting to {address}: {error}")),
        }
    }

    /// Sends ICReq and takes ICResp; what was agreed on holds from here on.
    pub(crate) fn initialize(&mut self, wishes: Wishes) -> Verdict<Pdu> {
        self.send(&pdu::ic_req(wishes))?;
        let response = self.expect_pdu(PduType::IC_RESP)?;
        let Ok((fields, _)) = ICResp::read_from_prefix(&response.header) else {
            return broken(format_args!("an ICResp of {} bytes", response.header.len()));
        };
        self.agreed = Agreed {
            header_digest: fields.dgst & 1 != 0,
            data_digest: fields.dgst & 2 != 0,
            cpda_z: fields.cpda_z & 31,
            h2c_data_bytes_max: fields.maxh2cdata.get().max(4),
        };
        Ok(response)
    }

    /// Sends bytes that the target has to take.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Verdict {
        match self.stream.write_all(bytes) {
            Ok(()) => Ok(()),
            Err(error) => broken(format_args!("sending {} bytes: {error}", bytes.len())),
        }
    }

    /// Sends bytes at which the target may hang up: what it does then is seen by [`Self::receive`].
    pub(crate) fn provoke(&mut self, bytes: &[u8]) {
        // It may have read enough to close before we wrote the rest.
        let _closed = self.stream.write_all(bytes);
    }

    /// The next PDU, or how there is none.
    pub(crate) fn receive(&mut self) -> Verdict<Incoming> {
        let deadline = Instant::now() + self.patience;
        let mut common = [0; 8];
        if let Err(error) = self.read(&mut common, deadline) {
            return none(&error);
        }
        let plen = u32::from_le_bytes([common[4], common[5], common[6], common[7]]);
        if !(8..=limits::PDU_BYTES_MAX).contains(&plen) {
            return broken(format_args!("the target sent a PDU with PLEN {plen}: {common:02x?}"));
        }
        let mut bytes = common.to_vec();
        bytes.resize(plen as usize, 0);
        if let Err(error) = self.read(&mut bytes[8..], deadline) {
            return broken(format_args!("the target stopped within a PDU ({common:02x?}): {error}"));
        }
        take_apart(&bytes).map(Incoming::Pdu)
    }

    /// The next PDU, which has to be one of this type.
    pub(crate) fn expect_pdu(&mut self, pdu_type: PduType) -> Verdict<Pdu> {
        match self.next_pdu()? {
            pdu if pdu.is(pdu_type) => Ok(pdu),
            pdu => broken(format_args!("{} instead of {pdu_type:?}", describe(&pdu))),
        }
    }

    /// The next PDU, whatever it is, but no end of the connection.
    pub(crate) fn next_pdu(&mut self) -> Verdict<Pdu> {
        match self.receive()? {
            Incoming::Pdu(pdu) if pdu.is(PduType::C2H_TERM_REQ) => {
                broken(format_args!("the target ended the connection: {}", describe(&pdu)))
            }
            Incoming::Pdu(pdu) => Ok(pdu),
            Incoming::Closed => broken("the target closed the connection"),
            Incoming::Silence => broken(format_args!("no answer within {:?}", self.patience)),
        }
    }

    /// How the target ends a connection that we broke: its C2HTermReq if there is one, or that it closed. Other PDUs
    /// that were on their way are passed over.
    pub(crate) fn end(&mut self) -> Verdict<Incoming> {
        loop {
            match self.receive()? {
                Incoming::Pdu(pdu) if !pdu.is(PduType::C2H_TERM_REQ) => {}
                end => return Ok(end),
            }
        }
    }

    fn read(&mut self, mut bytes: &mut [u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => bytes = &mut bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn none(error: &io::Error) -> Verdict<Incoming> {
    match error.kind() {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Ok(Incoming::Silence),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ok(Incoming::Closed),
        _ => broken(format_args!("receiving: {error}")),
    }
}

/// Takes a PDU apart by its own header; only what leads out of the PDU is an error.
fn take_apart(bytes: &[u8]) -> Verdict<Pdu> {
    let (pdu_type, flags, hlen, pdo) = (bytes[0], bytes[1], bytes[2], bytes[3]);
    let (header_len, data_at) = (usize::from(hlen), usize::from(pdo));
    let digest = |at: usize, covered: &[u8]| {
        let received = bytes.get(at..at + 4)?;
        Some(received == Crc32c::of(covered).to_le_bytes())
    };
    let Some(header) = bytes.get(..header_len) else {
        return broken(format_args!("the target sent a PDU with HLEN {hlen} and PLEN {}", bytes.len()));
    };
    let is_term_req = pdu_type == PduType::C2H_TERM_REQ.0;
    let with_digests = !is_term_req && pdu_type != PduType::IC_RESP.0;
    let header_digest = if with_digests && flags & HDGSTF != 0 { digest(header_len, header) } else { None };
    let has_data_digest = with_digests && flags & DDGSTF != 0;
    let data_end = bytes.len() - if has_data_digest { 4.min(bytes.len()) } else { 0 };
    let data = if is_term_req {
        &bytes[header_len..]
    } else if pdu_type == PduType::C2H_DATA.0 {
        match bytes.get(data_at..data_end) {
            Some(data) if data_at >= header_len => data,
            _ => {
                return broken(format_args!("the target sent a PDU with PDO {pdo} and PLEN {}", bytes.len()));
            }
        }
    } else {
        &[]
    };
    let data_digest = if has_data_digest { digest(data_end, data) } else { None };
    Ok(Pdu {
        pdu_type,
        flags,
        hlen,
        pdo,
        plen: bytes.len() as u32,
        header: header.to_vec(),
        data: data.to_vec(),
        header_digest,
        data_digest,
    })
}

/// A PDU in a few words.
pub(crate) fn describe(pdu: &Pdu) -> String {
    if pdu.is(PduType::C2H_TERM_REQ) {
        let (fes, fei) = pdu.fatal_error();
        format!("C2HTermReq with FES {:02x}h ({fes:?}) and FEI {fei:#x}", fes.0)
    } else {
        format!("{:?} of {} bytes", PduType(pdu.pdu_type), pdu.plen)
    }
}

/// What came, in a few words.
pub(crate) fn describe_incoming(incoming: &Incoming) -> String {
    match incoming {
        Incoming::Pdu(pdu) => describe(pdu),
        Incoming::Closed => "the connection closed without a word".to_owned(),
        Incoming::Silence => "silence".to_owned(),
    }
}
