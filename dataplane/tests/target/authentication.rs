//! Hosts that prove a secret, and one that has another.

use std::rc::Rc;

use dataplane::{
    host::{HostController, HostError, HostOptions, HostQueue, Payload},
    node::{BlockSize, Credentials, DhGroup, HashFunction, Requirement, Secret},
    rt::{self, Buf},
};
use nvmeof::{
    Status,
    auth::{FailureReason, HostFailure},
    host::sqe,
};

use crate::support::{Bench, HOST};

fn secret(byte: u8) -> Secret {
    Secret::generate(HashFunction::Sha512, |key| key.fill(byte))
}

fn credentials(host: u8, controller: Option<u8>) -> Credentials {
    Credentials { host: secret(host), controller: controller.map(secret) }
}

fn require(bench: &Bench, host: u8, hash: HashFunction, group: DhGroup) {
    let requirement = Requirement { credentials: credentials(host, Some(2)), hash, group };
    bench.wait(bench.node.set_requirements(vec![(HOST.to_owned(), requirement)]));
}

/// Connects both queues and reads a block, as far as it gets.
async fn use_volume(
    options: HostOptions,
    credentials: Option<Credentials>,
) -> Result<(HostController, Rc<HostQueue>), HostError> {
    let controller = HostController::connect(HostOptions { credentials, ..options }).await?;
    let queue = controller.io_queue(1, 32).await?;
    let answer = queue.command(sqe::read(1, 0, 1), Payload::In(4096)).await?;
    assert_eq!(answer.status(), Status::SUCCESS);
    Ok((controller, queue))
}

#[test]
fn every_queue_authenticates_one_way_and_two_way() {
    let bench = Bench::new(2, BlockSize::B4096);
    let pairs = [
        (HashFunction::Sha256, DhGroup::Null),
        (HashFunction::Sha384, DhGroup::Ffdhe2048),
        (HashFunction::Sha512, DhGroup::Ffdhe3072),
    ];
    for (hash, group) in pairs {
        require(&bench, 1, hash, group);
        bench.host(|options| async move {
            for controller in [None, Some(2)] {
                use_volume(options.clone(), Some(credentials(1, controller))).await.unwrap();
            }
        });
    }
}

#[test]
fn nobody_else_gets_in() {
    let bench = Bench::new(2, BlockSize::B4096);
    require(&bench, 1, HashFunction::Sha256, DhGroup::Ffdhe2048);
    bench.host(|options| async move {
        let refused =
            |outcome: Result<(HostController, Rc<HostQueue>), HostError>| outcome.expect_err("it is refused");
        let failed = FailureReason::Failed;
        let wrong = refused(use_volume(options.clone(), Some(credentials(9, None))).await);
        assert!(matches!(wrong, HostError::Authentication(HostFailure::ByController(why)) if why == failed));
        let impostor = refused(use_volume(options.clone(), Some(credentials(1, Some(9)))).await);
        assert!(matches!(impostor, HostError::Authentication(HostFailure::ByHost(why)) if why == failed));
        assert!(matches!(refused(use_volume(options, None).await), HostError::NoSecret));
    });
}

#[test]
fn a_controller_that_asks_for_nothing_proves_nothing() {
    let bench = Bench::new(2, BlockSize::B4096);
    bench.host(|options| async move {
        use_volume(options.clone(), Some(credentials(1, None))).await.unwrap();
        let two_way = use_volume(options, Some(credentials(1, Some(2)))).await.expect_err("it is no proof");
        let unusable = FailureReason::ProtocolNotUsable;
        assert!(
            matches!(two_way, HostError::Authentication(HostFailure::ByController(why)) if why == unusable)
        );
    });
}

#[test]
fn one_hosts_requirement_changes_without_the_others() {
    let bench = Bench::new(2, BlockSize::B4096);
    require(&bench, 1, HashFunction::Sha256, DhGroup::Null);
    let update = |host: &str, requirement| {
        bench.wait(bench.node.update_requirements(vec![(host.to_owned(), requirement)]));
    };
    let connects = |secret| {
        let credentials = Some(credentials(secret, None));
        bench.host(move |options| async move { use_volume(options, credentials).await.is_ok() })
    };
    let (hash, group) = (HashFunction::Sha256, DhGroup::Null);
    let other = Requirement { credentials: credentials(3, None), hash, group };
    update("nqn.2014-08.org.example:other", Some(other.clone()));
    assert!(connects(1) && !connects(3));
    update(HOST, Some(other));
    assert!(!connects(1) && connects(3));
    update("nqn.2014-08.org.example:other", None);
    assert!(!connects(1), "another host's is not this one's");
    update(HOST, None);
    assert!(connects(1), "it is not asked for any secret");
}

#[test]
fn a_new_secret_counts_for_new_authentications_and_ends_no_connection() {
    let bench = Bench::new(2, BlockSize::B4096);
    let set = |host| require(&bench, host, HashFunction::Sha256, DhGroup::Null);
    set(1);
    let node = bench.node.clone();
    bench.host(|options| async move {
        let (_controller, queue) = use_volume(options.clone(), Some(credentials(1, None))).await.unwrap();
        let rotated = Requirement {
            credentials: credentials(3, None),
            hash: HashFunction::Sha256,
            group: DhGroup::Null,
        };
        node.set_requirements(vec![(HOST.to_owned(), rotated)]).await;
        let read = queue.command(sqe::read(1, 0, 1), Payload::In(4096)).await.unwrap();
        assert_eq!(read.status(), Status::SUCCESS);
        assert!(use_volume(options.clone(), Some(credentials(1, None))).await.is_err());
        use_volume(options.clone(), Some(credentials(3, None))).await.unwrap();
        node.set_requirements(Vec::new()).await;
        use_volume(options, None).await.unwrap();
    });
}

#[test]
fn queues_authenticate_anew_beside_their_commands() {
    let bench = Bench::new(2, BlockSize::B4096);
    require(&bench, 1, HashFunction::Sha384, DhGroup::Ffdhe2048);
    let node = bench.node.clone();
    bench.host(|options| async move {
        let good = Some(credentials(1, Some(2)));
        let (controller, queue) = use_volume(options, good).await.unwrap();
        let writer = queue.clone();
        let (done, written) = futures_channel::oneshot::channel();
        rt::spawn(async move {
            for block in 0..256 {
                let data = Buf::alloc(4096).await;
                let write = sqe::write(1, block, 1, false);
                let answer = writer.command(write, Payload::Out(data)).await.unwrap();
                assert_eq!(answer.status(), Status::SUCCESS);
            }
            done.send(()).unwrap();
        });
        for _ in 0..3 {
            controller.authenticate(controller.admin()).await.unwrap();
            controller.authenticate(&queue).await.unwrap();
        }
        written.await.unwrap();
        // When it fails, that is the end of the queue.
        node.set_requirements(Vec::new()).await;
        assert!(controller.authenticate(&queue).await.is_err());
        while queue.command(sqe::read(1, 0, 1), Payload::In(4096)).await.is_ok() {
            rt::yield_now().await;
        }
    });
}
