//! Parsing: known commands, and the status of each thing that can be wrong.

use proptest::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

use super::*;
use crate::wire::{
    nvm::{DsmRange, RwSqe},
    opcode::{AdminOpcode, NvmOpcode},
};

fn rw(opcode: NvmOpcode, slba: u64, nlb_z: u16, control: u16, len: u32) -> Sqe {
    let mut sqe = Sqe::new(opcode.0);
    sqe.sgl.length = len.into();
    let mut rw: RwSqe = zerocopy::transmute!(sqe);
    rw.slba = slba.into();
    rw.nlb_z = nlb_z.into();
    rw.control = control.into();
    zerocopy::transmute!(rw)
}

#[test]
fn zeros_based_counts_are_undone() {
    let sqe = rw(NvmOpcode::WRITE, 7, 0, 1 << 14, 512);
    assert_eq!(
        NvmCommand::parse(&sqe),
        Ok(NvmCommand::Write {
            range: BlockRange { lba: 7, blocks: 1 },
            fua: true,
            data: DataPointer::Transport { len: 512 }
        })
    );
}

#[test]
fn protection_information_prps_and_fused_commands_are_refused() {
    assert_eq!(NvmCommand::parse(&rw(NvmOpcode::READ, 0, 0, 1 << 13, 512)), Err(Status::INVALID_FIELD));
    for flags in [0x00, 0x80, 0x41, 0x42] {
        let mut sqe = rw(NvmOpcode::READ, 0, 0, 0, 512);
        sqe.flags = flags;
        assert_eq!(NvmCommand::parse(&sqe), Err(Status::INVALID_FIELD), "flags {flags:#x}");
    }
}

#[test]
fn unknown_opcodes_and_descriptors_have_their_status() {
    assert_eq!(NvmCommand::parse(&Sqe::new(0xEE)), Err(Status::INVALID_OPCODE));
    assert_eq!(AdminCommand::parse(&Sqe::new(0xEE)), Err(Status::INVALID_OPCODE));
    let mut sqe = rw(NvmOpcode::READ, 0, 0, 0, 512);
    sqe.sgl.sgl_id = 0x40;
    assert_eq!(NvmCommand::parse(&sqe), Err(Status::SGL_DESCRIPTOR_TYPE_INVALID));
    let mut sqe = rw(NvmOpcode::WRITE, 0, 0, 0, 512);
    sqe.sgl.sgl_id = SGL_IN_CAPSULE;
    sqe.sgl.address = u64::MAX.into();
    assert_eq!(NvmCommand::parse(&sqe), Err(Status::SGL_OFFSET_INVALID));
}

#[test]
fn a_transfer_beyond_mdts_is_an_invalid_field() {
    let sqe = rw(NvmOpcode::READ, 0, 0, 0, limits::TRANSFER_BYTES_MAX + 1);
    assert_eq!(NvmCommand::parse(&sqe), Err(Status::INVALID_FIELD));
}

#[test]
fn data_lengths_must_match() {
    let transport = DataPointer::Transport { len: 512 };
    assert_eq!(transport.check_to_host(512), Ok(()));
    assert_eq!(transport.check_to_host(1024), Err(Status::DATA_SGL_LENGTH_INVALID));
    let in_capsule = DataPointer::InCapsule { offset: 0, len: 512 };
    assert_eq!(in_capsule.check_to_host(512), Err(Status::SGL_DESCRIPTOR_TYPE_INVALID));
    assert_eq!(in_capsule.check_from_host(512, 512), Ok(()));
    assert_eq!(in_capsule.check_from_host(512, 511), Err(Status::DATA_SGL_LENGTH_INVALID));
    let shifted = DataPointer::InCapsule { offset: 4, len: 512 };
    assert_eq!(shifted.check_from_host(512, 516), Err(Status::SGL_OFFSET_INVALID));
}

#[test]
fn a_range_beyond_the_namespace_is_out_of_range() {
    let range = BlockRange { lba: 9, blocks: 2 };
    assert_eq!(range.to_bytes(11, 512), Ok((9 * 512, 1024)));
    assert_eq!(range.to_bytes(10, 512), Err(Status::LBA_OUT_OF_RANGE));
    let wrapping = BlockRange { lba: u64::MAX, blocks: 2 };
    assert_eq!(wrapping.to_bytes(u64::MAX, 512), Err(Status::LBA_OUT_OF_RANGE));
}

#[test]
fn dataset_management_takes_the_ranges_it_names_from_a_larger_buffer() {
    let mut sqe = Sqe::new(NvmOpcode::DATASET_MANAGEMENT.0);
    sqe.sgl.length = 4096.into();
    sqe.cdw10 = 1.into();
    sqe.cdw11 = 4.into();
    let parsed = NvmCommand::parse(&sqe).unwrap();
    let data = DataPointer::Transport { len: 4096 };
    assert_eq!(parsed, NvmCommand::DatasetManagement { ranges: 2, deallocate: true, data });

    let mut bytes = [0; 4096];
    let range = DsmRange { context_attributes: 0.into(), length: 3.into(), slba: 5.into() };
    bytes[..16].copy_from_slice(range.as_bytes());
    let ranges: Vec<_> = dsm_ranges(&bytes, 2).collect();
    assert_eq!(ranges, [BlockRange { lba: 5, blocks: 3 }, BlockRange { lba: 0, blocks: 0 }]);

    sqe.sgl.length = 16.into();
    assert_eq!(NvmCommand::parse(&sqe), Err(Status::DATA_SGL_LENGTH_INVALID));
}

#[test]
fn copy_has_its_format_its_ranges_and_their_limit() {
    use crate::host::sqe;
    let parse = |sqe: Sqe, len: u32| {
        let mut sqe = sqe;
        sqe.sgl.length = len.into();
        NvmCommand::parse(&sqe)
    };
    let data = DataPointer::Transport { len: 64 };
    let (format, across) = (CopyFormat::WithinNamespace, CopyFormat::AcrossNamespaces);
    let two = NvmCommand::Copy { destination_lba: 9, format, ranges: 2, fua: true, data };
    assert_eq!(parse(sqe::copy(1, 9, 2, true), 64), Ok(two));
    let two = NvmCommand::Copy { destination_lba: 9, format: across, ranges: 2, fua: false, data };
    assert_eq!(parse(sqe::copy_across(1, 9, 2), 64), Ok(two));
    assert_eq!(parse(sqe::copy(1, 9, 2, true), 63), Err(Status::DATA_SGL_LENGTH_INVALID));
    let too_many = parse(sqe::copy(1, 9, 129, false), 129 * 32);
    assert_eq!(too_many, Err(Status::COMMAND_SIZE_LIMIT_EXCEEDED));
    // Another descriptor format, PRINFOR, a directive, PRINFOW, storage tag checks.
    for bit in [8, 12, 20, 24, 25, 26, 29] {
        let mut sqe = sqe::copy(1, 9, 1, false);
        sqe.cdw12 = (sqe.cdw12.get() | 1 << bit).into();
        assert_eq!(parse(sqe, 32), Err(Status::INVALID_FIELD), "bit {bit} of dword 12");
    }
    let mut bytes = [sqe::copy_range_of(3, 5, 7), sqe::copy_range(u64::MAX, 65_536)].concat();
    bytes[23] = 0x80;
    let of = |nsid, lba, blocks, fast_only| CopySource { nsid, range: BlockRange { lba, blocks }, fast_only };
    let sources: Vec<_> = format.sources(&bytes).collect();
    assert_eq!(sources, [of(None, 5, 7, false), of(None, u64::MAX, 65_536, false)]);
    let sources: Vec<_> = across.sources(&bytes).collect();
    assert_eq!(sources, [of(Some(3), 5, 7, true), of(Some(0), u64::MAX, 65_536, false)]);
}

#[test]
fn log_page_offsets_are_dwords() {
    let mut sqe = Sqe::new(AdminOpcode::GET_LOG_PAGE.0);
    sqe.sgl.length = 8.into();
    sqe.cdw10 = (1 << 16 | 0x02).into();
    assert!(matches!(
        AdminCommand::parse(&sqe),
        Ok(AdminCommand::GetLogPage(GetLogPage { len_bytes: 8, .. }))
    ));
    sqe.cdw12 = 2.into();
    assert_eq!(AdminCommand::parse(&sqe), Err(Status::INVALID_FIELD));
}

proptest! {
    #[test]
    fn any_entry_parses_or_has_a_status(bytes in prop::array::uniform32(any::<u8>()), tail in prop::array::uniform32(any::<u8>())) {
        let mut entry = [0; 64];
        entry[..32].copy_from_slice(&bytes);
        entry[32..].copy_from_slice(&tail);
        let sqe = Sqe::read_from_bytes(&entry).unwrap();
        if let Err(status) = NvmCommand::parse(&sqe) {
            prop_assert!(!status.is_success());
        }
        if let Err(status) = AdminCommand::parse(&sqe) {
            prop_assert!(!status.is_success());
        }
    }
}
