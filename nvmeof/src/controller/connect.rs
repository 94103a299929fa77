//! Who may connect: the Connect command's checks, in the specification's words (Base §6.3).

use uuid::Uuid;
use zerocopy::FromBytes;

use crate::{
    Nqn, Status,
    command::{Connect, DataPointer},
    limits,
    wire::connect::{CNTLID_DYNAMIC, ConnectData},
};

/// Why a Connect is refused: the status and dword 0 of the response, which points at the wrong parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Connect refused with {status:?}, parameter {result:#x}")]
pub struct ConnectRefusal {
    pub status: Status,
    pub result: u32,
}

/// The host of an association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostIdentity {
    pub nqn: Nqn,
    pub id: Uuid,
}

/// A Connect whose form is right; whether it is let in depends on what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest {
    pub qid: u16,
    /// Submission queue size in entries.
    pub entries: u16,
    pub flow_control: bool,
    pub kato_ms: u32,
    pub host: HostIdentity,
    pub subsystem_nqn: Nqn,
    /// The controller that an I/O queue belongs to; `CNTLID_DYNAMIC` for an admin queue.
    pub cntlid: u16,
}

/// What a target knows about a controller that an I/O queue wants to join.
#[derive(Debug, Clone, Copy)]
pub struct JoinView<'a> {
    pub host: &'a HostIdentity,
    pub subsystem_nqn: &'a Nqn,
    pub ready: bool,
    /// I/O queues that the host was granted.
    pub io_queues: u16,
    /// The queue exists already.
    pub queue_exists: bool,
}

impl ConnectRefusal {
    /// A status that points at no parameter.
    pub fn plain(status: Status) -> Self {
        Self { status, result: 0 }
    }

    /// IATTR 0: a byte of the command itself.
    fn command(byte_offset: u32) -> Self {
        Self { status: Status::CONNECT_INVALID_PARAMETERS, result: byte_offset }
    }

    /// IATTR 1: a byte of the Connect data.
    fn data(byte_offset: u32) -> Self {
        Self { status: Status::CONNECT_INVALID_PARAMETERS, result: 1 << 16 | byte_offset }
    }

    /// The named subsystem does not exist here.
    pub fn unknown_subsystem() -> Self {
        Self::data(offset::SUBNQN)
    }

    /// The connection was secured with another host's key.
    pub fn wrong_host() -> Self {
        Self::data(offset::HOSTNQN)
    }

    /// The host may not use this subsystem, or not without TLS.
    pub fn host_not_allowed() -> Self {
        Self::plain(Status::CONNECT_INVALID_HOST)
    }

    /// The named controller does not exist here.
    pub fn unknown_controller() -> Self {
        Self::data(offset::CNTLID)
    }

    /// No controller is free.
    pub fn busy() -> Self {
        Self::plain(Status::CONNECT_CONTROLLER_BUSY)
    }
}

/// Byte offsets of parameters, in the command and in its data.
mod offset {
    pub(super) const QID: u32 = 42;
    pub(super) const SQSIZE: u32 = 44;
    pub(super) const HOSTID: u32 = 0;
    pub(super) const CNTLID: u32 = 16;
    pub(super) const SUBNQN: u32 = 256;
    pub(super) const HOSTNQN: u32 = 512;
}

impl ConnectRequest {
    /// Checks a Connect command and its data, which must have come within the capsule.
    pub fn parse(connect: &Connect, data: &[u8]) -> Result<Self, ConnectRefusal> {
        if connect.record_format != 0 {
            return Err(ConnectRefusal::plain(Status::CONNECT_INCOMPATIBLE_FORMAT));
        }
        let DataPointer::InCapsule { .. } = connect.data else {
            return Err(ConnectRefusal::plain(Status::SGL_DESCRIPTOR_TYPE_INVALID));
        };
        let in_capsule_len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        connect
            .data
            .check_from_host(size_of::<ConnectData>() as u32, in_capsule_len)
            .map_err(ConnectRefusal::plain)?;
        let (data, _) = ConnectData::read_from_prefix(data)
            .map_err(|_| ConnectRefusal::plain(Status::DATA_SGL_LENGTH_INVALID))?;

        let is_admin = connect.qid == 0;
        let entries_max = if is_admin { limits::ADMIN_QUEUE_ENTRIES_MAX } else { limits::QUEUE_ENTRIES_MAX };
        if connect.qid > limits::IO_QUEUES_MAX {
            return Err(ConnectRefusal::command(offset::QID));
        }
        if connect.sqsize_z == 0 || connect.sqsize_z >= entries_max {
            return Err(ConnectRefusal::command(offset::SQSIZE));
        }
        if is_admin && data.cntlid.get() != CNTLID_DYNAMIC {
            return Err(ConnectRefusal::unknown_controller());
        }
        let subsystem_nqn = Nqn::parse(&data.subnqn).map_err(|_| ConnectRefusal::data(offset::SUBNQN))?;
        let host_nqn = Nqn::parse(&data.hostnqn).map_err(|_| ConnectRefusal::data(offset::HOSTNQN))?;
        Ok(Self {
            qid: connect.qid,
            entries: connect.sqsize_z + 1,
            flow_control: !connect.disable_sq_flow_control,
            kato_ms: connect.kato_ms,
            host: HostIdentity { nqn: host_nqn, id: Uuid::from_bytes(data.hostid) },
            subsystem_nqn,
            cntlid: data.cntlid.get(),
        })
    }

    /// Checks an I/O queue against the controller that it names.
    pub fn join(&self, controller: &JoinView<'_>) -> Result<(), ConnectRefusal> {
        if self.subsystem_nqn != *controller.subsystem_nqn {
            return Err(ConnectRefusal::data(offset::SUBNQN));
        }
        if self.host.nqn != controller.host.nqn {
            return Err(ConnectRefusal::data(offset::HOSTNQN));
        }
        if self.host.id != controller.host.id {
            return Err(ConnectRefusal::data(offset::HOSTID));
        }
        if !controller.ready || controller.queue_exists {
            return Err(ConnectRefusal::plain(Status::COMMAND_SEQUENCE_ERROR));
        }
        if self.qid == 0 || self.qid > controller.io_queues {
            return Err(ConnectRefusal::command(offset::QID));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;

    fn command(qid: u16) -> Connect {
        Connect {
            record_format: 0,
            qid,
            sqsize_z: 31,
            disable_sq_flow_control: false,
            kato_ms: 5000,
            data: DataPointer::InCapsule { offset: 0, len: 1024 },
        }
    }

    fn data(cntlid: u16) -> ConnectData {
        let mut data = ConnectData::new_zeroed();
        data.hostid = [7; 16];
        data.cntlid = cntlid.into();
        data.subnqn = Nqn::new("nqn.x:subsystem").unwrap().encode();
        data.hostnqn = Nqn::new("nqn.x:host").unwrap().encode();
        data
    }

    fn refusal(connect: &Connect, data: &ConnectData) -> (Status, u32) {
        let refusal = ConnectRequest::parse(connect, data.as_bytes()).unwrap_err();
        (refusal.status, refusal.result)
    }

    #[test]
    fn each_wrong_parameter_is_pointed_at() {
        use Status as S;
        let invalid = S::CONNECT_INVALID_PARAMETERS;
        let good = data(CNTLID_DYNAMIC);
        assert!(ConnectRequest::parse(&command(0), good.as_bytes()).is_ok());

        let wrong = Connect { record_format: 1, ..command(0) };
        assert_eq!(refusal(&wrong, &good), (S::CONNECT_INCOMPATIBLE_FORMAT, 0));
        let wrong = Connect { sqsize_z: 0, ..command(0) };
        assert_eq!(refusal(&wrong, &good), (invalid, 44));
        let wrong = Connect { sqsize_z: limits::ADMIN_QUEUE_ENTRIES_MAX, ..command(0) };
        assert_eq!(refusal(&wrong, &good), (invalid, 44));
        assert_eq!(refusal(&command(limits::IO_QUEUES_MAX + 1), &good), (invalid, 42));
        assert_eq!(refusal(&command(0), &data(1)), (invalid, 1 << 16 | 16));
        let wrong = ConnectData { subnqn: [b'x'; 256], ..good };
        assert_eq!(refusal(&command(0), &wrong), (invalid, 1 << 16 | 256));
        let wrong = ConnectData { hostnqn: [0; 256], ..good };
        assert_eq!(refusal(&command(0), &wrong), (invalid, 1 << 16 | 512));
        let wrong = Connect { data: DataPointer::Transport { len: 1024 }, ..command(0) };
        assert_eq!(refusal(&wrong, &good), (S::SGL_DESCRIPTOR_TYPE_INVALID, 0));
        let wrong = Connect { data: DataPointer::InCapsule { offset: 0, len: 1000 }, ..command(0) };
        assert_eq!(refusal(&wrong, &good), (S::DATA_SGL_LENGTH_INVALID, 0));
        let short = ConnectRequest::parse(&command(0), &good.as_bytes()[..1000]).unwrap_err();
        assert_eq!(short.status, S::DATA_SGL_LENGTH_INVALID);
    }

    #[test]
    fn an_io_queue_joins_only_its_own_ready_controller() {
        let request = ConnectRequest::parse(&command(3), data(1).as_bytes()).unwrap();
        let host = HostIdentity { nqn: Nqn::new("nqn.x:host").unwrap(), id: Uuid::from_bytes([7; 16]) };
        let other = HostIdentity { nqn: Nqn::new("nqn.x:other").unwrap(), id: host.id };
        let twin = HostIdentity { nqn: host.nqn.clone(), id: Uuid::from_bytes([8; 16]) };
        let nqn = Nqn::new("nqn.x:subsystem").unwrap();
        let view =
            JoinView { host: &host, subsystem_nqn: &nqn, ready: true, io_queues: 4, queue_exists: false };
        assert_eq!(request.join(&view), Ok(()));

        let sequence = ConnectRefusal::plain(Status::COMMAND_SEQUENCE_ERROR);
        assert_eq!(request.join(&JoinView { ready: false, ..view }), Err(sequence));
        assert_eq!(request.join(&JoinView { queue_exists: true, ..view }), Err(sequence));
        assert_eq!(request.join(&JoinView { io_queues: 2, ..view }), Err(ConnectRefusal::command(42)));
        assert_eq!(request.join(&JoinView { host: &other, ..view }), Err(ConnectRefusal::data(512)));
        assert_eq!(request.join(&JoinView { host: &twin, ..view }), Err(ConnectRefusal::data(0)));
    }
}
