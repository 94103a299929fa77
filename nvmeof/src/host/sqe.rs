//! Submission queue entries to send. Identifier and data pointer are filled in by the connection.

use uuid::Uuid;
use zerocopy::{FromZeros, IntoBytes, transmute};

use crate::{
    Nqn,
    command::{Instance, ReplicaBlocks, ReplicaTag},
    reservation::{AcquireAction, RegisterAction, ReleaseAction, ReservationType},
    wire::{
        Sqe,
        admin::{AbortSqe, CrossControllerResetSqe, FeaturesSqe, GetLogPageSqe, IdentifySqe},
        authentication::{AuthenticationSqe, SECP_NVME, SPSP},
        connect::{CATTR_DISABLE_SQ_FLOW_CONTROL, ConnectData, ConnectSqe, PropertySqe},
        nvm::{
            CONTROL_DEAC, CONTROL_FUA, CopyRange, CopySqe, DSM_DEALLOCATE, DsmRange, DsmSqe, GetLbaStatusSqe,
            RwSqe,
        },
        opcode::{AdminOpcode, Cns, FabricsType, FeatureId, LbaStatusAction, LogPageId, NvmOpcode},
        property::Property,
        replica::{ReplicaOpcode, ReplicaSqe, Zeroing},
        reservation::{EDS, IEKEY, ReservationKeys, ReservationReportSqe, ReservationSqe},
    },
};

fn fabrics(fctype: FabricsType) -> Sqe {
    let mut sqe = Sqe::new(AdminOpcode::FABRICS.0);
    sqe.nsid = u32::from(fctype.0).into();
    sqe
}

/// Connect of queue `qid` with `entries` entries; its data is [`connect_data`], sent in the capsule.
pub fn connect(qid: u16, entries: u16, kato_ms: u32, flow_control: bool) -> Sqe {
    assert!(entries > 1, "a queue has at least two entries");
    let mut connect: ConnectSqe = transmute!(fabrics(FabricsType::CONNECT));
    connect.qid = qid.into();
    connect.sqsize_z = (entries - 1).into();
    connect.cattr = if flow_control { 0 } else { CATTR_DISABLE_SQ_FLOW_CONTROL };
    connect.kato = kato_ms.into();
    transmute!(connect)
}

/// Who connects to what; `cntlid` names the controller of an I/O queue.
pub fn connect_data(host: &Nqn, host_id: Uuid, subsystem: &Nqn, cntlid: u16) -> ConnectData {
    let mut data = ConnectData::new_zeroed();
    data.hostid = *host_id.as_bytes();
    data.cntlid = cntlid.into();
    data.subnqn = subsystem.encode();
    data.hostnqn = host.encode();
    data
}

/// Property Get.
pub fn property_get(property: Property) -> Sqe {
    let mut get: PropertySqe = transmute!(fabrics(FabricsType::PROPERTY_GET));
    get.attrib = u8::from(property == Property::CAP);
    get.ofst = property.0.into();
    transmute!(get)
}

/// Property Set of a four-byte property.
pub fn property_set(property: Property, value: u32) -> Sqe {
    let mut set: PropertySqe = transmute!(fabrics(FabricsType::PROPERTY_SET));
    set.ofst = property.0.into();
    set.value = u64::from(value).into();
    transmute!(set)
}

/// Disconnect of an I/O queue.
pub fn disconnect() -> Sqe {
    fabrics(FabricsType::DISCONNECT)
}

/// Authentication Send of a message of `len` bytes, which goes with it in the capsule.
pub fn authentication_send(len: u32) -> Sqe {
    authentication(FabricsType::AUTHENTICATION_SEND, len)
}

/// Authentication Receive of at most `len` bytes.
pub fn authentication_receive(len: u32) -> Sqe {
    authentication(FabricsType::AUTHENTICATION_RECEIVE, len)
}

fn authentication(fctype: FabricsType, len: u32) -> Sqe {
    let mut command: AuthenticationSqe = transmute!(fabrics(fctype));
    (command.secp, command.spsp0, command.spsp1) = (SECP_NVME, SPSP, SPSP);
    command.length = len.into();
    transmute!(command)
}

/// Identify; its data has 4096 bytes.
pub fn identify(cns: Cns, nsid: u32) -> Sqe {
    let mut identify: IdentifySqe = transmute!(Sqe::new(AdminOpcode::IDENTIFY.0));
    identify.cns = cns.0;
    identify.nsid = nsid.into();
    transmute!(identify)
}

/// Get Log Page of `len` bytes from `offset`, both multiples of four.
pub fn get_log_page(page: LogPageId, offset: u64, len: u32) -> Sqe {
    assert!(len > 0 && len.is_multiple_of(4) && offset.is_multiple_of(4), "log pages are read in dwords");
    let mut get: GetLogPageSqe = transmute!(Sqe::new(AdminOpcode::GET_LOG_PAGE.0));
    let dwords_z = len / 4 - 1;
    get.nsid = crate::wire::opcode::NSID_ALL.into();
    get.lid = page.0;
    get.numdl_z = (dwords_z as u16).into();
    get.numdu = ((dwords_z >> 16) as u16).into();
    get.lpo = offset.into();
    transmute!(get)
}

/// Set Features with a number.
pub fn set_features(feature: FeatureId, value: u32) -> Sqe {
    let mut set: FeaturesSqe = transmute!(Sqe::new(AdminOpcode::SET_FEATURES.0));
    set.fid = feature.0;
    set.value = value.into();
    transmute!(set)
}

/// Get Features, current value.
pub fn get_features(feature: FeatureId) -> Sqe {
    let mut get: FeaturesSqe = transmute!(Sqe::new(AdminOpcode::GET_FEATURES.0));
    get.fid = feature.0;
    transmute!(get)
}

/// Cross-Controller Reset of controller `cntlid`, if it still is that instance.
pub fn cross_controller_reset(cntlid: u16, instance: Instance) -> Sqe {
    let mut reset: CrossControllerResetSqe = transmute!(Sqe::new(AdminOpcode::CROSS_CONTROLLER_RESET.0));
    reset.icid = cntlid.into();
    reset.ciu = instance.ciu;
    reset.cirn = instance.cirn.into();
    transmute!(reset)
}

/// Abort of command `cid` of queue `sqid`.
pub fn abort(sqid: u16, cid: u16) -> Sqe {
    let mut abort: AbortSqe = transmute!(Sqe::new(AdminOpcode::ABORT.0));
    abort.sqid = sqid.into();
    abort.abort_cid = cid.into();
    transmute!(abort)
}

/// Get LBA Status of some blocks, or with zero all up to the end; the answer has `len` bytes, a multiple of four.
pub fn get_lba_status(nsid: u32, action: LbaStatusAction, lba: u64, blocks: u16, len: u32) -> Sqe {
    assert!(len > 0 && len.is_multiple_of(4), "lists are read in dwords");
    let mut get: GetLbaStatusSqe = transmute!(Sqe::new(AdminOpcode::GET_LBA_STATUS.0));
    get.nsid = nsid.into();
    get.slba = lba.into();
    get.mndw_z = (len / 4 - 1).into();
    get.rl = blocks.into();
    get.atype = action.0;
    transmute!(get)
}

/// Keep Alive.
pub fn keep_alive() -> Sqe {
    Sqe::new(AdminOpcode::KEEP_ALIVE.0)
}

/// Asynchronous Event Request.
pub fn async_event_request() -> Sqe {
    Sqe::new(AdminOpcode::ASYNC_EVENT_REQUEST.0)
}

/// Flush.
pub fn flush(nsid: u32) -> Sqe {
    let mut sqe = Sqe::new(NvmOpcode::FLUSH.0);
    sqe.nsid = nsid.into();
    sqe
}

/// Read of 1 to 65,536 blocks.
pub fn read(nsid: u32, lba: u64, blocks: u32) -> Sqe {
    read_write(NvmOpcode::READ, nsid, lba, blocks, 0)
}

/// Write of 1 to 65,536 blocks.
pub fn write(nsid: u32, lba: u64, blocks: u32, fua: bool) -> Sqe {
    read_write(NvmOpcode::WRITE, nsid, lba, blocks, if fua { CONTROL_FUA } else { 0 })
}

/// Compare of 1 to 65,536 blocks with the command's data.
pub fn compare(nsid: u32, lba: u64, blocks: u32) -> Sqe {
    read_write(NvmOpcode::COMPARE, nsid, lba, blocks, 0)
}

/// The same commands as the two halves of a fused Compare and Write, to be sent one right after the other.
pub fn fused(compare: Sqe, write: Sqe) -> [Sqe; 2] {
    const FIRST: u8 = 0b01;
    const SECOND: u8 = 0b10;
    let mark = |sqe: Sqe, fuse: u8| Sqe { flags: sqe.flags | fuse, ..sqe };
    [mark(compare, FIRST), mark(write, SECOND)]
}

/// Verify of 1 to 65,536 blocks.
pub fn verify(nsid: u32, lba: u64, blocks: u32) -> Sqe {
    read_write(NvmOpcode::VERIFY, nsid, lba, blocks, 0)
}

/// Write Zeroes of 1 to 65,536 blocks.
pub fn write_zeroes(nsid: u32, lba: u64, blocks: u32, deallocate: bool) -> Sqe {
    read_write(NvmOpcode::WRITE_ZEROES, nsid, lba, blocks, if deallocate { CONTROL_DEAC } else { 0 })
}

/// Write Uncorrectable of 1 to 65,536 blocks.
pub fn write_uncorrectable(nsid: u32, lba: u64, blocks: u32) -> Sqe {
    read_write(NvmOpcode::WRITE_UNCORRECTABLE, nsid, lba, blocks, 0)
}

/// Dataset Management that deallocates; its data is one [`dsm_range`] for each of 1 to 256 ranges.
pub fn deallocate(nsid: u32, ranges: u32) -> Sqe {
    let mut dsm: DsmSqe = transmute!(Sqe::new(NvmOpcode::DATASET_MANAGEMENT.0));
    dsm.nsid = nsid.into();
    dsm.nr_z = u8::try_from(ranges - 1).expect("at most 256 ranges");
    dsm.attributes = DSM_DEALLOCATE.into();
    transmute!(dsm)
}

/// One range of Dataset Management.
pub fn dsm_range(lba: u64, blocks: u32) -> [u8; 16] {
    let range = DsmRange { context_attributes: 0.into(), length: blocks.into(), slba: lba.into() };
    range.as_bytes().try_into().expect("a range has 16 bytes")
}

/// Copy to `destination_lba` and on; its data is one [`copy_range`] for each of 1 to 256 ranges.
pub fn copy(nsid: u32, destination_lba: u64, ranges: u32, fua: bool) -> Sqe {
    let mut copy: CopySqe = transmute!(Sqe::new(NvmOpcode::COPY.0));
    copy.nsid = nsid.into();
    copy.sdlba = destination_lba.into();
    copy.nr_z = u8::try_from(ranges - 1).expect("at most 256 ranges");
    copy.control = if fua { CONTROL_FUA } else { 0 }.into();
    transmute!(copy)
}

/// The same with sources in any namespaces (descriptor format 2h); its data is [`copy_range_of`] for each range.
pub fn copy_across(nsid: u32, destination_lba: u64, ranges: u32) -> Sqe {
    let mut copy: CopySqe = transmute!(copy(nsid, destination_lba, ranges, false));
    copy.format = 2;
    transmute!(copy)
}

/// One source range of Copy across namespaces, 1 to 65,536 blocks.
pub fn copy_range_of(nsid: u32, lba: u64, blocks: u32) -> [u8; 32] {
    let mut range = copy_range(lba, blocks);
    range[..4].copy_from_slice(&nsid.to_le_bytes());
    range
}

/// One source range of Copy, 1 to 65,536 blocks.
pub fn copy_range(lba: u64, blocks: u32) -> [u8; 32] {
    let mut range = CopyRange::new_zeroed();
    range.slba = lba.into();
    range.nlb_z = u16::try_from(blocks - 1).expect("at most 65,536 blocks").into();
    range.as_bytes().try_into().expect("a range has 32 bytes")
}

/// Reservation Register; its data is [`reservation_keys`] of the current and the new key.
pub fn reservation_register(
    nsid: u32,
    action: RegisterAction,
    ignore_existing_key: bool,
    persistence: Option<bool>,
) -> Sqe {
    let cptpl = match persistence {
        None => 0b00,
        Some(false) => 0b10,
        Some(true) => 0b11,
    };
    let action = action as u8 | if ignore_existing_key { IEKEY } else { 0 };
    reservation(NvmOpcode::RESERVATION_REGISTER, nsid, action, 0, cptpl << 6)
}

/// Reservation Acquire; its data is [`reservation_keys`] of the current key and the one to preempt.
pub fn reservation_acquire(nsid: u32, action: AcquireAction, kind: ReservationType) -> Sqe {
    reservation(NvmOpcode::RESERVATION_ACQUIRE, nsid, action as u8, kind as u8, 0)
}

/// Reservation Release; its data is the current key, eight bytes.
pub fn reservation_release(nsid: u32, action: ReleaseAction, kind: ReservationType) -> Sqe {
    reservation(NvmOpcode::RESERVATION_RELEASE, nsid, action as u8, kind as u8, 0)
}

/// Data of Register and Acquire.
pub fn reservation_keys(current: u64, other: u64) -> [u8; 16] {
    let keys = ReservationKeys { crkey: current.into(), other: other.into() };
    keys.as_bytes().try_into().expect("two keys have 16 bytes")
}

/// Reservation Report of `len` bytes, a multiple of four, as the extended data structure.
pub fn reservation_report(nsid: u32, len: u32) -> Sqe {
    assert!(len > 0 && len.is_multiple_of(4), "reports are read in dwords");
    let mut report: ReservationReportSqe = transmute!(Sqe::new(NvmOpcode::RESERVATION_REPORT.0));
    report.nsid = nsid.into();
    report.numd_z = (len / 4 - 1).into();
    report.eds = EDS;
    transmute!(report)
}

fn reservation(opcode: NvmOpcode, nsid: u32, action: u8, rtype: u8, cptpl: u8) -> Sqe {
    let mut sqe: ReservationSqe = transmute!(Sqe::new(opcode.0));
    sqe.nsid = nsid.into();
    (sqe.action, sqe.rtype, sqe.cptpl) = (action, rtype, cptpl);
    transmute!(sqe)
}

fn read_write(opcode: NvmOpcode, nsid: u32, lba: u64, blocks: u32, control: u16) -> Sqe {
    let mut rw: RwSqe = transmute!(Sqe::new(opcode.0));
    rw.nsid = nsid.into();
    rw.slba = lba.into();
    rw.nlb_z = u16::try_from(blocks - 1).expect("at most 65,536 blocks").into();
    rw.control = control.into();
    transmute!(rw)
}

/// A message to the replica of volume `nsid`, which is the command's data.
pub fn replica_send(nsid: u32) -> Sqe {
    let mut sqe = Sqe::new(ReplicaOpcode::SEND.0);
    sqe.nsid = nsid.into();
    sqe
}

/// The next message from another node.
pub fn replica_receive() -> Sqe {
    Sqe::new(ReplicaOpcode::RECEIVE.0)
}

/// The command's data into blocks of a replica.
pub fn replica_write(nsid: u32, tag: ReplicaTag, range: ReplicaBlocks) -> Sqe {
    transmute!(replica(ReplicaOpcode::WRITE, nsid, tag, range))
}

/// Zeros into blocks of a replica.
pub fn replica_write_zeroes(nsid: u32, tag: ReplicaTag, range: ReplicaBlocks, zeroing: Zeroing) -> Sqe {
    let mut zeroes = replica(ReplicaOpcode::WRITE_ZEROES, nsid, tag, range);
    zeroes.zeroing = zeroing.0.into();
    transmute!(zeroes)
}

/// Flush of a replica.
pub fn replica_flush(nsid: u32, tag: ReplicaTag) -> Sqe {
    transmute!(replica(ReplicaOpcode::FLUSH, nsid, tag, ReplicaBlocks { lba: 0, blocks: 0 }))
}

/// Blocks of a replica.
pub fn replica_fetch(nsid: u32, tag: ReplicaTag, range: ReplicaBlocks) -> Sqe {
    transmute!(replica(ReplicaOpcode::FETCH, nsid, tag, range))
}

fn replica(opcode: ReplicaOpcode, nsid: u32, tag: ReplicaTag, range: ReplicaBlocks) -> ReplicaSqe {
    let mut replica: ReplicaSqe = transmute!(Sqe::new(opcode.0));
    replica.nsid = nsid.into();
    replica.session = tag.session.into();
    replica.incarnation = tag.incarnation.into();
    replica.command = tag.command.into();
    replica.slba = range.lba.into();
    replica.blocks = range.blocks.into();
    replica
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes;

    use super::*;

    /// Entries written out by hand: offset and value of every byte that is not zero.
    fn check(sqe: Sqe, expected: &[(usize, u8)]) {
        let mut bytes = [0; 64];
        // PSDT, and the transport data block descriptor that every entry begins with.
        (bytes[1], bytes[39]) = (0x40, 0x5A);
        for &(at, value) in expected {
            bytes[at] = value;
        }
        assert_eq!(sqe.as_bytes(), bytes);
    }

    #[test]
    fn golden_entries() {
        check(
            read(1, 0x0102_0304_0506, 8),
            &[(0, 2), (4, 1), (40, 6), (41, 5), (42, 4), (43, 3), (44, 2), (45, 1), (48, 7)],
        );
        check(write(2, 1, 65_536, true), &[(0, 1), (4, 2), (40, 1), (48, 0xFF), (49, 0xFF), (51, 0x40)]);
        check(write_zeroes(1, 0, 1, true), &[(0, 8), (4, 1), (51, 0x02)]);
        check(compare(1, 2, 3), &[(0, 5), (4, 1), (40, 2), (48, 2)]);
        check(write_uncorrectable(1, 2, 3), &[(0, 4), (4, 1), (40, 2), (48, 2)]);
        check(verify(1, 2, 3), &[(0, 0x0C), (4, 1), (40, 2), (48, 2)]);
        check(copy(1, 2, 3, true), &[(0, 0x19), (4, 1), (40, 2), (48, 2), (51, 0x40)]);
        let mut range = [0; 32];
        (range[8], range[16]) = (5, 6);
        assert_eq!(copy_range(5, 7), range);
        let register = reservation_register(1, RegisterAction::Replace, true, Some(true));
        check(register, &[(0, 0x0D), (4, 1), (40, 0x0A), (43, 0xC0)]);
        let acquire = reservation_acquire(1, AcquireAction::Preempt, ReservationType::ExclusiveAccess);
        check(acquire, &[(0, 0x11), (4, 1), (40, 1), (41, 2)]);
        let release = reservation_release(1, ReleaseAction::Clear, ReservationType::WriteExclusive);
        check(release, &[(0, 0x15), (4, 1), (40, 1), (41, 1)]);
        check(reservation_report(1, 4096), &[(0, 0x0E), (4, 1), (40, 0xFF), (41, 3), (44, 1)]);
        check(flush(3), &[(4, 3)]);
        check(deallocate(1, 256), &[(0, 9), (4, 1), (40, 255), (44, 4)]);
        check(
            connect(3, 128, 5000, false),
            &[(0, 0x7F), (4, 1), (42, 3), (44, 127), (46, 4), (48, 0x88), (49, 0x13)],
        );
        check(property_get(Property::CAP), &[(0, 0x7F), (4, 4), (40, 1)]);
        check(property_set(Property::CC, 0x0046_0001), &[(0, 0x7F), (44, 0x14), (48, 1), (50, 0x46)]);
        check(identify(Cns::CONTROLLER, 0), &[(0, 6), (40, 1)]);
        check(
            get_log_page(LogPageId::ERROR, 8, 1 << 18),
            &[(0, 2), (4, 255), (5, 255), (6, 255), (7, 255), (40, 1), (42, 0xFF), (43, 0xFF), (48, 8)],
        );
        check(set_features(FeatureId::NUMBER_OF_QUEUES, 0x0003_0003), &[(0, 9), (40, 7), (44, 3), (46, 3)]);
        let reset = cross_controller_reset(0x0102, Instance { ciu: 3, cirn: 4 });
        check(reset, &[(0, 0x38), (40, 2), (41, 1), (42, 3), (48, 4)]);
        check(abort(1, 0x0203), &[(0, 8), (40, 1), (42, 3), (43, 2)]);
        check(keep_alive(), &[(0, 0x18)]);
        let status = get_lba_status(1, LbaStatusAction::TRACKED_UNRECOVERABLE, 2, 3, 1032);
        check(status, &[(0, 0x86), (4, 1), (40, 2), (48, 1), (49, 1), (52, 3), (55, 0x11)]);
    }
}
