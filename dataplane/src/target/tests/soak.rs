//! Hosts that die at every point of a connection's life, again and again: all that they had comes back, counted.

use std::{env, net::SocketAddr, process::Command};

use nvmeof::{
    Nqn, Status,
    auth::{Credentials, DhGroup, HashFunction, Requirement},
    host::sqe,
    tls::{ConfiguredPsk, PskHash, RetainedPsk},
    transport::{HostTransfer, ICRequest},
};
use uuid::Uuid;

use super::{
    super::wait::race,
    HOST, NQN, Node, authentication,
    held::{Count, resident_bytes, settled},
    host::{HostQueue, bring_up, io_queue},
    on_core_0,
};
use crate::{
    host::{HostController, HostOptions, Payload},
    node::HostTls,
    rt::{self, Buf, Runtime, net::TcpStream},
};

/// Has to authenticate.
const GUARDED: &str = "nqn.2026-11.io.basalt:guarded";
const CORES: usize = 2;
const CYCLES: usize = 200;
/// Resident memory that allocators may keep for themselves. A lost stream buffer per cycle would be as much.
const RESIDENT_SLACK_BYTES: usize = 24 << 20;

/// Where a host dies.
#[derive(Debug, Clone, Copy)]
enum Death {
    BeforeAnyByte,
    WithinICReq,
    BeforeConnect,
    WithinConnect,
    AfterBreakingTheProtocol,
    WithEventsAwaited,
    WithinInCapsuleData,
    WithAnR2TUnanswered,
    WithinH2CData,
    WithAnswersUnread,
    WithinClientHello,
    InTlsWithCommandsUnderWay,
    BeforeAuthentication,
    WhileAuthenticating,
    AuthenticatedWithCommandsUnderWay,
}

const DEATHS: [Death; 15] = [
    Death::BeforeAnyByte,
    Death::WithinICReq,
    Death::BeforeConnect,
    Death::WithinConnect,
    Death::AfterBreakingTheProtocol,
    Death::WithEventsAwaited,
    Death::WithinInCapsuleData,
    Death::WithAnR2TUnanswered,
    Death::WithinH2CData,
    Death::WithAnswersUnread,
    Death::WithinClientHello,
    Death::InTlsWithCommandsUnderWay,
    Death::BeforeAuthentication,
    Death::WhileAuthenticating,
    Death::AuthenticatedWithCommandsUnderWay,
];

#[test]
fn two_hundred_hosts_that_die_leave_nothing() {
    const ALONE: &str = "BASALT_TEST_ALONE";
    if env::var_os(ALONE).is_some() {
        return soak();
    }
    // Descriptors and resident memory are the process's, where other tests run, too.
    let mut alone = Command::new(env::current_exe().unwrap());
    alone.args(["--exact", "--nocapture", "target::tests::soak::two_hundred_hosts_that_die_leave_nothing"]);
    let output = alone.env(ALONE, "1").output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn soak() {
    let node = Node::start(CORES);
    let key = admit_hosts(&node);
    let hosts = Runtime::start(1).unwrap();
    let address = node.target.portals()[0];
    let die = |cycle: usize| {
        let key = key.clone();
        on_core_0(&hosts, move || die(address, DEATHS[cycle % DEATHS.len()], key));
    };
    // What is made at first use and kept is made now.
    (0..2 * DEATHS.len()).for_each(die);
    let before = settled(&node, Count::Process, None);
    let resident_before = resident_bytes();
    (0..CYCLES).for_each(die);
    assert_eq!(settled(&node, Count::Process, Some(&before)), before);
    let grown = resident_bytes().saturating_sub(resident_before);
    assert!(grown < RESIDENT_SLACK_BYTES, "{grown} more bytes of memory");
}

/// Lets both hosts in, one with a key for TLS and one with a secret.
fn admit_hosts(node: &Node) -> RetainedPsk {
    node.admit(&[HOST, GUARDED]);
    let configured = ConfiguredPsk::generate(PskHash::Sha256, |bytes| bytes.fill(1));
    let key = RetainedPsk::new(&configured, Nqn::new(HOST).unwrap());
    let tls = HostTls { required: false, keys: vec![key.clone()] };
    node.target.set_host_tls(vec![(HOST.to_owned(), tls)]).unwrap();
    let requirement =
        Requirement { credentials: credentials(), hash: HashFunction::Sha256, group: DhGroup::Ffdhe2048 };
    node.target.set_requirements(vec![(GUARDED.to_owned(), requirement)]);
    key
}

fn credentials() -> Credentials {
    Credentials { host: authentication::secret(1), controller: None }
}

/// A host's life, which ends with all its sockets closed.
async fn die(address: SocketAddr, death: Death, key: RetainedPsk) {
    match death {
        Death::BeforeAnyByte => drop(TcpStream::connect(address).await.unwrap()),
        Death::WithinICReq => HostQueue::raw(address, &[0, 0, 128, 0, 128, 0, 0, 0, 0]).await,
        Death::BeforeConnect => drop(HostQueue::open(address, ICRequest::default()).await.unwrap()),
        Death::WithinConnect => {
            let mut queue = HostQueue::open(address, ICRequest::default()).await.unwrap();
            let connect = sqe::connect(0, 32, 0, true);
            queue.begin(connect, HostTransfer::InCapsule(1024), &[0; 100]).await.unwrap();
        }
        Death::AfterBreakingTheProtocol => {
            let mut queue = HostQueue::open(address, ICRequest::default()).await.unwrap();
            queue.send(&[0xFF; 200]).await.unwrap();
        }
        Death::WithinClientHello => HostQueue::raw(address, &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3]).await,
        Death::WithEventsAwaited
        | Death::WithinInCapsuleData
        | Death::WithAnR2TUnanswered
        | Death::WithinH2CData
        | Death::WithAnswersUnread => die_connected(address, death).await,
        Death::BeforeAuthentication => drop(authentication::connect(address, GUARDED).await),
        Death::WhileAuthenticating => {
            let (mut admin, _) = authentication::connect(address, GUARDED).await;
            // The controller computes its challenge.
            let (send, negotiate) = (sqe::authentication_send(72), authentication::negotiate());
            admin.begin(send, HostTransfer::InCapsule(72), &negotiate).await.unwrap();
        }
        Death::InTlsWithCommandsUnderWay => {
            let options = HostOptions { tls: Some(key), ..options(address, HOST) };
            die_with_commands_under_way(options).await;
        }
        Death::AuthenticatedWithCommandsUnderWay => {
            let options = HostOptions { credentials: Some(credentials()), ..options(address, GUARDED) };
            die_with_commands_under_way(options).await;
        }
    }
}

async fn die_connected(address: SocketAddr, death: Death) {
    let request = ICRequest { data_digest: true, ..ICRequest::default() };
    let (mut admin, cntlid) = bring_up(address, request, NQN, HOST).await.unwrap();
    let mut queue = io_queue(address, request, cntlid, 1, true).await.unwrap();
    let written = queue.status(sqe::write(1, 0, 8, false), HostTransfer::InCapsule(4096), &[7; 4096]).await;
    assert_eq!(written, Status::SUCCESS);
    match death {
        Death::WithEventsAwaited => {
            for _ in 0..4 {
                admin.begin(sqe::async_event_request(), HostTransfer::None, &[]).await.unwrap();
            }
        }
        Death::WithinInCapsuleData => {
            let write = sqe::write(1, 0, 16, false);
            queue.begin(write, HostTransfer::InCapsule(8192), &[7; 100]).await.unwrap();
        }
        Death::WithAnswersUnread => {
            // Ten MiB: more than the sockets take.
            for _ in 0..40 {
                queue.begin(sqe::read(1, 0, 512), HostTransfer::In(262_144), &[]).await.unwrap();
            }
        }
        _ => {
            queue.withholds = true;
            queue.begin(sqe::write(1, 0, 512, false), HostTransfer::Out(262_144), &[]).await.unwrap();
            queue.asked().await;
            if let Death::WithinH2CData = death {
                queue.give_part(&[7; 100_000]).await.unwrap();
            }
        }
    }
}

pub(super) fn options(address: SocketAddr, host: &str) -> HostOptions {
    HostOptions {
        address,
        subsystem: Nqn::new(NQN).unwrap(),
        host: Nqn::new(host).unwrap(),
        host_id: Uuid::from_u128(2),
        digests: ICRequest::default(),
        kato_ms: 0,
        io_queues: 2,
        credentials: None,
        tls: None,
    }
}

async fn die_with_commands_under_way(options: HostOptions) {
    let controller = HostController::connect(options).await.unwrap();
    let queue = controller.io_queue(1, 64).await.unwrap();
    let data = Buf::zeroed(262_144).await;
    let mut commands = vec![Box::pin(queue.command(sqe::write(1, 0, 512, false), Payload::Out(data)))];
    for _ in 0..40 {
        commands.push(Box::pin(queue.command(sqe::read(1, 0, 512), Payload::In(262_144))));
    }
    // One answer came, so the others are somewhere on their way.
    let first = queue.command(sqe::flush(1), Payload::None);
    race(rt::join_all(commands), first).await;
}
