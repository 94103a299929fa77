//! What a replicated volume does not do yet is refused, and changes nothing.

use dataplane::{
    mirror::{Membership, NewReplica, NodeId, ReplicaIdentity},
    node::{BlockSize, CloneSpec, NodeError, NodeObject, SnapshotSpec, VolumeSpec},
};
use nvmeof::{Status, host::sqe, reservation::RegisterAction};
use uuid::Uuid;

use crate::{
    cluster::{MIB, TestCluster, VOLUME, VOLUME_BYTES, wait},
    host::run,
};

#[test]
fn what_replicas_do_not_do_together_is_refused() {
    let cluster = TestCluster::new(2, 2, 1);
    cluster.wait_for(&[0, 1]);
    let (_, node) = cluster.alive().next().unwrap();
    let is_invalid =
        |result: Result<(), NodeError>| assert!(matches!(result, Err(NodeError::Invalid(_))), "{result:?}");
    let other = Uuid::from_u128(1);
    is_invalid(wait(node.create_snapshots(vec![SnapshotSpec { volume: VOLUME, snapshot: other }])).map(drop));
    let clone = CloneSpec { uuid: other, source: VOLUME, size_bytes: VOLUME_BYTES, reserved_bytes: 0 };
    is_invalid(wait(node.clone_volume(clone)).map(drop));
    is_invalid(wait(node.expand_volume(VOLUME, VOLUME_BYTES + 4096, 0, &[])).map(drop));
    let spec = VolumeSpec {
        uuid: other,
        size_bytes: MIB + 4096,
        block_size: BlockSize::B4096,
        reserved_bytes: 0,
        drives: Vec::new(),
    };
    let new = NewReplica {
        identity: ReplicaIdentity { number: 9, me: NodeId(0) },
        membership: Membership::first(NodeId(0), [NodeId(0)]),
        complete: true,
    };
    is_invalid(wait(node.create_replica(spec, new)).map(drop));
    assert!(matches!(wait(node.delete_volume(VOLUME)), Err(NodeError::InUse(NodeObject::Volume))));
    let info = wait(node.volume(VOLUME)).unwrap();
    assert_eq!((info.size_bytes, info.replica.map(|replica| replica.number)), (VOLUME_BYTES, Some(7)));
    assert_eq!(wait(node.volumes()).len(), 1, "nothing was made");
    run(cluster.portals(), |mut host| async move {
        assert_eq!(host.send(sqe::write_uncorrectable(1, 0, 1)).await, Status::INVALID_OPCODE);
        let register = sqe::reservation_register(1, RegisterAction::Register, false, None);
        let keys = sqe::reservation_keys(0, 1);
        assert_eq!(host.send_data(register, &keys).await, Status::INVALID_OPCODE);
    });
}
