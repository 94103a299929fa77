//! Writes that waited where nobody saw them, while their core stood still or received nothing (H1).

use std::{net::SocketAddr, rc::Rc, sync::mpsc, time::Duration};

use futures_channel::oneshot;
use nvmeof::{
    Nqn, Status,
    host::sqe,
    tls::{ConfiguredPsk, PskHash, RetainedPsk},
};

use super::{HOST, Node, on_core_0, soak::options};
use crate::{
    host::{HostController, HostOptions, HostQueue, Payload},
    limits,
    node::{HostTls, PortalConfig},
    rt::{self, Buf, CoreId, Runtime, RuntimeHandle},
};

/// Well above what a healthy core is not sure of.
const WRITE_WAIT_MAX: Duration = limits::BLOCK_MAX.saturating_mul(3);
/// Stops, and has no part in what is written to the drive.
const STOPPED: CoreId = CoreId(1);
const BLOCK_BYTES: u32 = 512;
/// Fits a capsule.
const SMALL_BLOCKS: u16 = 16;
/// Is asked for.
const LARGE_BLOCKS: u16 = 128;
/// What the first path writes too late, and the second meanwhile.
const LATE: u8 = 0xA;
const MEANWHILE: u8 = 0xB;

fn start() -> Node {
    Node::configured(2, |config| {
        let portal = PortalConfig { listen: "127.0.0.1:0".parse().unwrap(), advertise: None };
        config.portals = vec![portal.clone(), portal];
        config.write_wait_max = WRITE_WAIT_MAX;
    })
}

/// A controller with a queue that is served by `core`; it ends with the controller.
struct Path {
    _controller: HostController,
    queue: Rc<HostQueue>,
}

impl Path {
    async fn to(core: CoreId, options: HostOptions) -> Self {
        let controller = HostController::connect(options).await.unwrap();
        let is_there = |qid: u16| (controller.cntlid() + qid) % 2 == core.0;
        let qid = if is_there(1) { 1 } else { 2 };
        let queue = controller.io_queue(qid, 64).await.unwrap();
        Self { _controller: controller, queue }
    }

    async fn write(&self, lba: u64, blocks: u16, byte: u8) -> Status {
        write(&self.queue, lba, blocks, byte).await
    }

    /// Writes as hosts do, again if it counts as late: it may have come before the queue received again.
    async fn repeat_write(&self, lba: u64, blocks: u16, byte: u8) {
        loop {
            match self.write(lba, blocks, byte).await {
                Status::SUCCESS => return,
                status => assert_eq!(status, Status::INTERNAL_PATH_ERROR),
            }
        }
    }

    /// Begins a write, whose status comes some time.
    fn begin_write(&self, lba: u64, blocks: u16, byte: u8) -> oneshot::Receiver<Status> {
        let (answer, status) = oneshot::channel();
        let queue = self.queue.clone();
        rt::spawn(async move {
            let status = write(&queue, lba, blocks, byte).await;
            answer.send(status).unwrap();
        });
        status
    }

    /// Whether every byte of these blocks is `byte`.
    async fn reads(&self, lba: u64, blocks: u16, byte: u8) -> bool {
        let len = u32::from(blocks) * BLOCK_BYTES;
        let answer = self.queue.command(sqe::read(1, lba, blocks.into()), Payload::In(len)).await.unwrap();
        assert_eq!(answer.status(), Status::SUCCESS);
        answer.data.unwrap().iter().all(|&found| found == byte)
    }
}

async fn write(queue: &HostQueue, lba: u64, blocks: u16, byte: u8) -> Status {
    let mut data = Buf::alloc(usize::from(blocks) * BLOCK_BYTES as usize).await;
    data.fill(byte);
    queue.command(sqe::write(1, lba, blocks.into(), false), Payload::Out(data)).await.unwrap().status()
}

/// Blocks the thread of [`STOPPED`] until the answer is dropped.
async fn stop(target: &RuntimeHandle) -> mpsc::Sender<()> {
    let (go_on, wait) = mpsc::channel::<()>();
    let (stopped, is_stopped) = oneshot::channel();
    target.spawn_on(STOPPED, move || async move {
        stopped.send(()).unwrap();
        wait.recv().unwrap_err();
    });
    is_stopped.await.unwrap();
    go_on
}

/// Lets the host come in TLS as well.
fn add_key(node: &Node) -> RetainedPsk {
    let configured = ConfiguredPsk::generate(PskHash::Sha256, |bytes| bytes.fill(1));
    let key = RetainedPsk::new(&configured, Nqn::new(HOST).unwrap());
    let tls = HostTls { required: false, keys: vec![key.clone()] };
    node.target.set_host_tls(vec![(HOST.to_owned(), tls)]).unwrap();
    key
}

fn run<F: Future<Output = ()> + 'static>(make: impl FnOnce() -> F + Send + 'static) {
    let hosts = Runtime::start(1).unwrap();
    on_core_0(&hosts, make);
}

fn secured(address: SocketAddr, key: RetainedPsk) -> HostOptions {
    HostOptions { tls: Some(key), ..options(address, HOST) }
}

#[test]
fn what_lay_in_the_socket_while_its_core_stood_still_is_never_executed() {
    let node = start();
    let key = add_key(&node);
    let (target, portals) = (node.runtime.handle(), node.target.portals());
    run(move || async move {
        let first = Path::to(STOPPED, options(portals[1], HOST)).await;
        let secured = Path::to(STOPPED, secured(portals[1], key)).await;
        let second = Path::to(CoreId(0), options(portals[0], HOST)).await;
        let go_on = stop(&target).await;
        let late = [
            first.begin_write(0, SMALL_BLOCKS, LATE),
            first.begin_write(128, LARGE_BLOCKS, LATE),
            secured.begin_write(256, SMALL_BLOCKS, LATE),
            secured.begin_write(384, LARGE_BLOCKS, LATE),
        ];
        for lba in [0, 128, 256, 384] {
            assert_eq!(second.write(lba, LARGE_BLOCKS, MEANWHILE).await, Status::SUCCESS);
        }
        rt::sleep(WRITE_WAIT_MAX).await;
        drop(go_on);
        for status in late {
            assert_eq!(status.await, Ok(Status::INTERNAL_PATH_ERROR));
        }
        for lba in [0, 128, 256, 384] {
            assert!(second.reads(lba, LARGE_BLOCKS, MEANWHILE).await);
        }
        for path in [&first, &secured] {
            path.repeat_write(0, LARGE_BLOCKS, LATE).await;
        }
    });
}

#[test]
fn what_came_before_a_short_stop_is_executed() {
    let node = start();
    let (target, portals) = (node.runtime.handle(), node.target.portals());
    run(move || async move {
        let first = Path::to(STOPPED, options(portals[1], HOST)).await;
        let second = Path::to(CoreId(0), options(portals[0], HOST)).await;
        let go_on = stop(&target).await;
        let written = first.begin_write(0, SMALL_BLOCKS, LATE);
        assert!(second.reads(0, SMALL_BLOCKS, 0).await);
        drop(go_on);
        assert_eq!(written.await, Ok(Status::SUCCESS));
    });
}

/// The queue's receive task waits for memory for the first write's data, with some of the others received and some not.
#[test]
fn what_waited_behind_a_queue_that_received_nothing_is_never_executed() {
    let node = start();
    let (target, portals) = (node.runtime.handle(), node.target.portals());
    run(move || async move {
        let first = Path::to(STOPPED, options(portals[1], HOST)).await;
        let second = Path::to(CoreId(0), options(portals[0], HOST)).await;
        let (free, wait) = oneshot::channel::<()>();
        let (taken, is_taken) = oneshot::channel();
        target.spawn_on(STOPPED, move || async move {
            let all = rt::all_free_memory();
            taken.send(()).unwrap();
            wait.await.unwrap_err();
            drop(all);
        });
        is_taken.await.unwrap();
        // As much as the smallest receive window takes.
        let lbas = (0..7).map(|number| number * u64::from(SMALL_BLOCKS));
        let late: Vec<_> = lbas.clone().map(|lba| first.begin_write(lba, SMALL_BLOCKS, LATE)).collect();
        for lba in lbas.clone() {
            assert_eq!(second.write(lba, SMALL_BLOCKS, MEANWHILE).await, Status::SUCCESS);
        }
        rt::sleep(WRITE_WAIT_MAX).await;
        drop(free);
        for status in late {
            assert_eq!(status.await, Ok(Status::INTERNAL_PATH_ERROR));
        }
        for lba in lbas {
            assert!(second.reads(lba, SMALL_BLOCKS, MEANWHILE).await);
        }
        first.repeat_write(0, SMALL_BLOCKS, LATE).await;
    });
}

#[test]
fn the_first_write_after_a_long_pause_is_executed() {
    let node = start();
    let key = add_key(&node);
    let portals = node.target.portals();
    run(move || async move {
        let plain = Path::to(STOPPED, options(portals[1], HOST)).await;
        let secured = Path::to(STOPPED, secured(portals[1], key)).await;
        rt::sleep(WRITE_WAIT_MAX + limits::BLOCK_MAX).await;
        assert_eq!(plain.write(0, LARGE_BLOCKS, LATE).await, Status::SUCCESS);
        rt::sleep(WRITE_WAIT_MAX + limits::BLOCK_MAX).await;
        assert_eq!(secured.write(0, SMALL_BLOCKS, LATE).await, Status::SUCCESS);
    });
}
