//! Volumes that span drives, as a host sees them: like any other.

use std::rc::Rc;

use dataplane::{
    host::{HostController, HostQueue, Payload},
    node::{BlockSize, CloneSpec, NodeError, SnapshotSpec, SnapshotVolumeSpec, VolumeInfo, VolumeSpec},
    rt::Buf,
};
use nvmeof::{Status, host::sqe};
use uuid::Uuid;

use crate::{
    commands::filled,
    support::{Bench, HOST, MIB},
};

/// Larger than each of the drives.
const SIZE: u64 = 160 * MIB;
/// Of the reads and writes here.
const LEN: u64 = 128 << 10;
const BLOCK: u64 = 4096;

/// A thick volume over both drives of a node, exported as NSID 1.
fn spanning() -> (Bench, VolumeInfo) {
    let bench = Bench::with_drives(2, &[128 * MIB, 144 * MIB, 96 * MIB]);
    let spec = VolumeSpec {
        uuid: bench.volume,
        size_bytes: SIZE,
        block_size: BlockSize::B4096,
        reserved_bytes: SIZE,
        drives: Vec::new(),
    };
    let made = bench.wait(bench.node.create_volume(spec)).unwrap();
    assert!(made.complete && made.parts.len() == 2, "{made:?}");
    assert_eq!((made.size_bytes, made.reserved_bytes), (SIZE, SIZE));
    bench.export(&[HOST], &[(1, bench.volume)]).unwrap();
    bench.node.open_portals();
    (bench, made)
}

async fn write(queue: &HostQueue, nsid: u32, offset: u64, byte: u8) {
    let data = filled(LEN as usize, byte).await;
    let command = sqe::write(nsid, offset / BLOCK, (LEN / BLOCK) as u32, false);
    assert_eq!(queue.command(command, Payload::Out(data)).await.unwrap().status(), Status::SUCCESS);
}

/// The byte that fills the range.
async fn byte(queue: &HostQueue, nsid: u32, offset: u64) -> u8 {
    let command = sqe::read(nsid, offset / BLOCK, (LEN / BLOCK) as u32);
    let answer = queue.command(command, Payload::In(LEN as u32)).await.unwrap();
    assert_eq!(answer.status(), Status::SUCCESS);
    let data: Buf = answer.data.unwrap();
    assert!(data.iter().all(|byte| *byte == data[0]), "one write filled it");
    data[0]
}

async fn connect(options: dataplane::host::HostOptions) -> (HostController, Rc<HostQueue>) {
    let controller = HostController::connect(options).await.unwrap();
    let queue = controller.io_queue(1, 32).await.unwrap();
    (controller, queue)
}

#[test]
fn reads_and_writes_go_over_the_border() {
    let (bench, made) = spanning();
    let border = made.parts[0].size_bytes;
    bench.host(move |options| async move {
        let (_controller, queue) = connect(options).await;
        let offsets = [0, border - LEN, border - LEN / 2, border, border + LEN, SIZE - LEN];
        for offset in offsets {
            write(&queue, 1, offset, 7).await;
            assert_eq!(byte(&queue, 1, offset).await, 7, "{offset}");
        }
        assert_eq!(queue.command(sqe::flush(1), Payload::None).await.unwrap().status(), Status::SUCCESS);
        let zeroes = sqe::write_zeroes(1, (border - LEN) / BLOCK, (2 * LEN / BLOCK) as u32, true);
        assert_eq!(queue.command(zeroes, Payload::None).await.unwrap().status(), Status::SUCCESS);
        assert_eq!(byte(&queue, 1, border - LEN / 2).await, 0);
        assert_eq!(byte(&queue, 1, border + LEN).await, 7);
        let beyond = sqe::read(1, (SIZE - LEN / 2) / BLOCK, (LEN / BLOCK) as u32);
        let beyond = queue.command(beyond, Payload::In(LEN as u32)).await.unwrap();
        assert_eq!(beyond.status(), Status::LBA_OUT_OF_RANGE);
    });
}

#[test]
fn snapshots_and_clones_have_all_parts() {
    let (bench, made) = spanning();
    let border = made.parts[0].size_bytes;
    let around = [border - LEN, border - LEN / 2, border];
    bench.host(move |options| async move {
        let (_controller, queue) = connect(options).await;
        write(&queue, 1, border - LEN / 2, 1).await;
    });
    let id = Uuid::from_u128;
    let thick =
        bench.wait(bench.node.create_snapshots(vec![SnapshotSpec { volume: bench.volume, snapshot: id(9) }]));
    let taken = thick.unwrap().remove(0);
    assert_eq!((taken.parts.len(), taken.size_bytes), (2, SIZE));
    bench.host(move |options| async move {
        let (_controller, queue) = connect(options).await;
        write(&queue, 1, around[1], 2).await;
    });
    let view = SnapshotVolumeSpec {
        uuid: id(10),
        snapshot: id(9),
        writable: false,
        size_bytes: SIZE,
        reserved_bytes: 0,
    };
    bench.wait(bench.node.create_snapshot_volume(view)).unwrap();
    let larger =
        CloneSpec { uuid: id(11), source: bench.volume, size_bytes: SIZE + 64 * MIB, reserved_bytes: 0 };
    let clone = bench.wait(bench.node.clone_volume(larger)).unwrap();
    assert_eq!((clone.parts.len(), clone.size_bytes), (2, SIZE + 64 * MIB));
    bench.export(&[HOST], &[(1, bench.volume), (2, id(10)), (3, id(11))]).unwrap();
    bench.host(move |options| async move {
        let (_controller, queue) = connect(options).await;
        write(&queue, 3, SIZE, 3).await;
        write(&queue, 3, around[0], 3).await;
        assert_eq!(byte(&queue, 1, around[1]).await, 2);
        assert_eq!(byte(&queue, 2, around[1]).await, 1);
        let read_only = sqe::write_zeroes(2, 0, 1, false);
        let refused = queue.command(read_only, Payload::None).await.unwrap().status();
        assert_eq!(refused, Status::NAMESPACE_IS_WRITE_PROTECTED);
    });
    // Without its snapshot and its source the clone lives on; everything comes back.
    bench.wait(bench.node.delete_snapshot(id(9))).unwrap();
    bench.export(&[HOST], &[(3, id(11))]).unwrap();
    for uuid in [bench.volume, id(10)] {
        bench.wait(bench.node.delete_volume(uuid)).unwrap();
    }
    let left: Vec<_> = bench.wait(bench.node.volumes()).into_iter().map(|volume| volume.uuid).collect();
    assert_eq!(left, [id(11)]);
    assert!(bench.wait(bench.node.snapshots()).is_empty());
}

#[test]
fn it_grows_onto_another_drive_while_it_is_used() {
    let (bench, made) = spanning();
    let uuid = bench.volume;
    let larger = SIZE + 140 * MIB;
    let alone = bench.wait(bench.node.expand_volume(uuid, larger, larger, &[]));
    assert!(matches!(alone, Err(NodeError::NoFreeSpace { .. })), "{alone:?}");
    assert_eq!(bench.wait(bench.node.volume(uuid)).unwrap(), made, "nothing changed");

    let third = bench.wait(bench.node.drives()).iter().map(|drive| drive.uuid).collect::<Vec<_>>();
    let grown = bench.wait(bench.node.expand_volume(uuid, larger, larger, &third)).unwrap();
    assert!(grown.parts.len() > 2, "{grown:?}");
    assert_eq!((grown.size_bytes, grown.reserved_bytes), (larger, larger));
    bench.host(move |options| async move {
        let (_controller, queue) = connect(options).await;
        let offsets = [SIZE - LEN / 2, SIZE, larger - LEN];
        for (offset, value) in offsets.into_iter().zip(1..) {
            write(&queue, 1, offset, value).await;
            assert_eq!(byte(&queue, 1, offset).await, value);
        }
    });
    bench.export(&[HOST], &[]).unwrap();
    bench.wait(bench.node.delete_volume(uuid)).unwrap();
    let drives = bench.wait(bench.node.drives());
    assert!(drives.iter().all(|drive| drive.unreserved_bytes > 60 * MIB), "{drives:?}");
}
