//! Fabrics commands (Base §6).

use zerocopy::transmute;

use super::DataPointer;
use crate::{
    Status,
    wire::{
        Sqe,
        connect::{CATTR_DISABLE_SQ_FLOW_CONTROL, ConnectSqe, PropertySqe},
        opcode::FabricsType,
        property::Property,
    },
};

/// A Fabrics command that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FabricsCommand {
    Connect(Connect),
    PropertyGet { property: Property, width: PropertyWidth },
    PropertySet { property: Property, width: PropertyWidth, value: u64 },
    Disconnect,
}

/// The entry of a Connect; what its data says is judged by `controller::connect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connect {
    /// Format of the Connect data; only zero is defined.
    pub record_format: u16,
    /// Zero is the admin queue.
    pub qid: u16,
    /// SQSIZE as sent, 0's based: judged, with its position, by the admission.
    pub sqsize_z: u16,
    /// The host does without submission queue flow control.
    pub disable_sq_flow_control: bool,
    /// Keep Alive Timeout in milliseconds; zero is off.
    pub kato_ms: u32,
    /// Where the Connect data is.
    pub data: DataPointer,
}

/// Size of a property access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyWidth {
    Four,
    Eight,
}

impl FabricsCommand {
    /// Parses an entry whose opcode is 7Fh.
    pub fn parse(sqe: &Sqe) -> Result<Self, Status> {
        match FabricsType(sqe.fctype()) {
            FabricsType::CONNECT => Ok(Self::Connect(Connect::parse(sqe)?)),
            FabricsType::PROPERTY_GET => {
                let get: PropertySqe = transmute!(*sqe);
                Ok(Self::PropertyGet { property: Property(get.ofst.get()), width: width(&get)? })
            }
            FabricsType::PROPERTY_SET => {
                let set: PropertySqe = transmute!(*sqe);
                let width = width(&set)?;
                let value = match width {
                    PropertyWidth::Four => set.value.get() & 0xFFFF_FFFF,
                    PropertyWidth::Eight => set.value.get(),
                };
                Ok(Self::PropertySet { property: Property(set.ofst.get()), width, value })
            }
            FabricsType::DISCONNECT => Ok(Self::Disconnect),
            _ => Err(Status::INVALID_OPCODE),
        }
    }
}

impl Connect {
    fn parse(sqe: &Sqe) -> Result<Self, Status> {
        let data = DataPointer::parse(sqe)?;
        let connect: ConnectSqe = transmute!(*sqe);
        Ok(Self {
            record_format: connect.recfmt.get(),
            qid: connect.qid.get(),
            sqsize_z: connect.sqsize_z.get(),
            disable_sq_flow_control: connect.cattr & CATTR_DISABLE_SQ_FLOW_CONTROL != 0,
            kato_ms: connect.kato.get(),
            data,
        })
    }
}

fn width(sqe: &PropertySqe) -> Result<PropertyWidth, Status> {
    match sqe.attrib & 0x7 {
        0 => Ok(PropertyWidth::Four),
        1 => Ok(PropertyWidth::Eight),
        _ => Err(Status::INVALID_FIELD),
    }
}
