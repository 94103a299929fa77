//! Admin commands with data from the host.

use nvmeof::{
    Status,
    host::sqe,
    transport::{HostTransfer, ICRequest},
    wire::opcode::FeatureId,
};

use super::{HOST, NQN, Node, host::bring_up};

#[test]
fn data_of_an_admin_command_comes_in_its_capsule_or_is_asked_for() {
    Node::start(1).run(|address| async move {
        let (mut admin, _) = bring_up(address, ICRequest::default(), NQN, HOST).await.unwrap();
        for (minutes, transfer) in [(1, HostTransfer::InCapsule(8)), (2, HostTransfer::Out(8))] {
            let time_ms: u64 = minutes * 60_000;
            let set = sqe::set_features(FeatureId::TIMESTAMP, 0);
            assert_eq!(admin.status(set, transfer, &time_ms.to_le_bytes()).await, Status::SUCCESS);
            let get = sqe::get_features(FeatureId::TIMESTAMP);
            let (_, data) = admin.command(get, HostTransfer::In(8), &[]).await.unwrap();
            let value = u64::from_le_bytes(data.try_into().unwrap());
            assert_eq!(value >> 48, 0b10, "the host set it");
            assert!((value & 0xFFFF_FFFF_FFFF) >= time_ms && (value & 0xFFFF_FFFF_FFFF) < time_ms + 60_000);
        }
        let set = sqe::set_features(FeatureId::TIMESTAMP, 0);
        let short = admin.status(set, HostTransfer::InCapsule(4), &[0; 4]).await;
        assert_eq!(short, Status::DATA_SGL_LENGTH_INVALID);
    });
}
