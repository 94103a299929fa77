//! Queues that do not belong together: in TLS and not.

use nvmeof::{
    Nqn, Status,
    tls::{ConfiguredPsk, PskHash, RetainedPsk},
    transport::ICRequest,
};
use uuid::Uuid;

use super::{HOST, NQN, Node, host::io_queue};
use crate::{
    host::{HostController, HostOptions},
    node::HostTls,
};

#[test]
fn a_secured_association_takes_no_queue_without_tls() {
    let node = Node::start(2);
    let host = Nqn::new(HOST).unwrap();
    let key =
        RetainedPsk::new(&ConfiguredPsk::generate(PskHash::Sha256, |bytes| bytes.fill(1)), host.clone());
    let tls = HostTls { required: false, keys: vec![key.clone()] };
    node.target.set_host_tls(vec![(HOST.to_owned(), tls)]).unwrap();
    node.run(|address| async move {
        let options = HostOptions {
            address,
            subsystem: Nqn::new(NQN).unwrap(),
            host,
            host_id: Uuid::from_u128(1),
            digests: ICRequest::default(),
            kato_ms: 0,
            io_queues: 4,
            credentials: None,
            tls: Some(key),
        };
        let controller = HostController::connect(options).await.unwrap();
        let plain = io_queue(address, ICRequest::default(), controller.cntlid(), 1, true).await;
        assert_eq!(plain.err(), Some(Status::CONNECT_INVALID_HOST));
        controller.io_queue(1, 16).await.unwrap();
    });
}
