//! Commands on volumes.

use nvmeof::{
    Status,
    host::sqe,
    transport::{HostTransfer, ICRequest},
    wire::{cqe::SQHD_DISABLED, log_page::ErrorEntry, opcode::LogPageId},
};
use zerocopy::FromBytes;

use super::{
    HOST, NQN, Node, VOLUME_BYTES,
    host::{ENTRIES, bring_up, io_queue},
};

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(13) ^ (i >> 8) as u8 ^ seed).collect()
}

#[test]
fn writes_of_every_kind_are_read_back_under_all_digests() {
    let node = Node::start(2);
    node.run(|address| async move {
        for bits in 0..8 {
            let request = ICRequest {
                header_digest: bits & 1 != 0,
                data_digest: bits & 2 != 0,
                hpda_z: if bits & 4 != 0 { 7 } else { 0 },
            };
            let (_admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
            let mut queue = io_queue(address, request, cntlid, 1, bits & 4 == 0).await.unwrap();
            for (len, in_capsule) in [
                (512, true),
                (4096, true),
                (8192, true),
                (512, false),
                (4096, false),
                (65536, false),
                (262_144, false),
            ] {
                let data = pattern(len as usize, bits);
                let transfer = if in_capsule { HostTransfer::InCapsule(len) } else { HostTransfer::Out(len) };
                let write = sqe::write(1, 9, len / 512, false);
                assert_eq!(queue.status(write, transfer, &data).await, Status::SUCCESS);
                let read = sqe::read(1, 9, len / 512);
                let (cqe, got) = queue.command(read, HostTransfer::In(len), &[]).await.unwrap();
                assert_eq!(cqe.status(), Status::SUCCESS);
                assert!(got == data, "{len} bytes, digests {bits:#b}");
            }
        }
    });
}

#[test]
fn what_cannot_be_done_has_its_status_and_harms_nothing() {
    let node = Node::start(1);
    node.run(|address| async move {
        let request = ICRequest::default();
        let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
        let end = VOLUME_BYTES / 512;
        let data = pattern(1024, 0);
        let none = HostTransfer::None;
        let table = [
            (sqe::read(2, 0, 1), HostTransfer::In(512), Status::INVALID_NAMESPACE_OR_FORMAT),
            (sqe::read(1, end, 1), HostTransfer::In(512), Status::LBA_OUT_OF_RANGE),
            (sqe::read(1, u64::MAX, 2), HostTransfer::In(1024), Status::LBA_OUT_OF_RANGE),
            (sqe::write(1, end - 1, 2, false), HostTransfer::Out(1024), Status::LBA_OUT_OF_RANGE),
            (sqe::write(1, end - 1, 2, false), HostTransfer::InCapsule(1024), Status::LBA_OUT_OF_RANGE),
            (sqe::write(1, 0, 1, false), HostTransfer::Out(1024), Status::DATA_SGL_LENGTH_INVALID),
            (sqe::read(1, 0, 1), HostTransfer::In(1024), Status::DATA_SGL_LENGTH_INVALID),
            (sqe::read(1, 0, 2), HostTransfer::InCapsule(1024), Status::INVALID_FIELD),
            (sqe::write_zeroes(1, end, 1, false), none, Status::LBA_OUT_OF_RANGE),
            (sqe::flush(9), none, Status::INVALID_NAMESPACE_OR_FORMAT),
            (sqe::keep_alive(), none, Status::INVALID_OPCODE),
        ];
        let failures = table.len() as u64;
        for (sqe, transfer, status) in table {
            assert_eq!(queue.status(sqe, transfer, &data).await, status, "{sqe:?}");
        }
        let ranges = [sqe::dsm_range(0, 1), sqe::dsm_range(end, 1)].concat();
        let status = queue.status(sqe::deallocate(1, 2), HostTransfer::InCapsule(32), &ranges).await;
        assert_eq!(status, Status::LBA_OUT_OF_RANGE);
        let write = sqe::write(1, 0, 2, false);
        assert_eq!(queue.status(write, HostTransfer::Out(1024), &data).await, Status::SUCCESS);

        // All of it, and nothing else, is in the error log.
        let page = sqe::get_log_page(LogPageId::ERROR, 0, 64);
        let (_, newest) = admin.command(page, HostTransfer::In(64), &[]).await.unwrap();
        let entry = ErrorEntry::read_from_bytes(&newest).unwrap();
        assert_eq!((entry.error_count.get(), entry.opcode), (failures + 1, 0x09));
        assert_eq!(entry.status.get() >> 1, Status::LBA_OUT_OF_RANGE.0);
    });
}

#[test]
fn a_full_queue_is_served_and_its_head_is_told_unless_flow_control_is_off() {
    Node::start(2).run(|address| async move {
        let request = ICRequest::default();
        let (_admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
        for (qid, flow_control) in [(1, true), (2, false)] {
            let mut queue = io_queue(address, request, cntlid, qid, flow_control).await.unwrap();
            // Connect was the first entry. A queue of 64 is full with 63; the second time its head comes round.
            for begun in [1, ENTRIES] {
                for _ in 1..ENTRIES {
                    queue.begin(sqe::flush(1), HostTransfer::None, &[]).await.unwrap();
                }
                let mut last = begun;
                for _ in 1..ENTRIES {
                    let (_, cqe) = queue.other().await.unwrap();
                    assert_eq!(cqe.status(), Status::SUCCESS);
                    if !flow_control {
                        assert_eq!(cqe.sqhd.get(), SQHD_DISABLED);
                        continue;
                    }
                    // Entries taken since the round began, this answer's own among them.
                    let head = begun + (cqe.sqhd.get() + ENTRIES - begun % ENTRIES) % ENTRIES;
                    assert!(head >= last && head < begun + ENTRIES, "{head} after {last}");
                    last = head;
                }
                assert!(!flow_control || last == begun + ENTRIES - 1, "all were taken");
            }
        }
    });
}
