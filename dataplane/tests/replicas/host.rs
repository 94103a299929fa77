//! A host with a path to each node: a command that one path refuses is sent on the next.

use std::{future::poll_fn, net::SocketAddr, pin::pin, rc::Rc, sync::mpsc, task::Poll, time::Duration};

use dataplane::{
    host::{HostController, HostOptions, HostQueue, Payload},
    rt::{self, Buf, CoreId, Runtime},
};
use nvmeof::{Nqn, Status, host::sqe, transport::ICRequest, wire::Sqe};
use uuid::Uuid;

use crate::cluster::{HOST, SUBSYSTEM};

const BLOCK_BYTES: usize = 4096;
/// A path that refused is asked again after this long.
const PAUSE: Duration = Duration::from_millis(20);
/// However the nodes fail, some path serves long before this, as Linux would give a command up.
const LIMIT: Duration = Duration::from_secs(30);
/// A connection that stands later is not waited for.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Refusals that are remembered, to be told if none of them is the last.
const HEARD_MAX: usize = 6;

/// Runs a host's program on a runtime of its own.
pub(crate) fn run<T: Send + 'static, F: Future<Output = T> + 'static>(
    portals: Vec<SocketAddr>,
    program: impl FnOnce(MultipathHost) -> F + Send + 'static,
) -> T {
    let runtime = Runtime::start(1).unwrap();
    let (answer, wait) = mpsc::channel();
    runtime.handle().spawn_on(CoreId(0), move || async move {
        let paths = portals.into_iter().map(|address| Path { address, connection: None }).collect();
        answer.send(program(MultipathHost { paths, at: 0 }).await).unwrap();
    });
    wait.recv_timeout(Duration::from_secs(120)).expect("the host's program ends")
}

struct Path {
    address: SocketAddr,
    connection: Option<(HostController, Rc<HostQueue>)>,
}

pub(crate) struct MultipathHost {
    paths: Vec<Path>,
    at: usize,
}

impl Path {
    async fn queue(&mut self) -> Option<Rc<HostQueue>> {
        if self.connection.is_none() {
            let options = HostOptions {
                address: self.address,
                subsystem: Nqn::new(SUBSYSTEM).unwrap(),
                host: Nqn::new(HOST).unwrap(),
                host_id: Uuid::from_u128(1),
                digests: ICRequest::default(),
                kato_ms: 0,
                io_queues: 1,
                credentials: None,
                tls: None,
            };
            let controller = HostController::connect(options).await.ok()?;
            let queue = controller.io_queue(1, 64).await.ok()?;
            self.connection = Some((controller, queue));
        }
        self.connection.as_ref().map(|(_, queue)| queue.clone())
    }
}

impl MultipathHost {
    /// With the same paths, and connections of its own.
    pub(crate) fn another(&self) -> Self {
        let path = |path: &Path| Path { address: path.address, connection: None };
        Self { paths: self.paths.iter().map(path).collect(), at: 0 }
    }

    /// Any answer but one of the path.
    async fn command(&mut self, sqe: Sqe, data: &[u8], len: u32) -> (Status, Vec<u8>) {
        let begin = rt::now();
        let mut heard = Vec::new();
        loop {
            assert!(rt::now().since(begin) < LIMIT, "no path serves: {heard:?}");
            let path = &mut self.paths[self.at];
            let address = path.address;
            if let Some(queue) = within(CONNECT_MAX, path.queue()).await.flatten() {
                let payload = match (data, len) {
                    ([], 0) => Payload::None,
                    ([], len) => Payload::In(len),
                    (data, _) => Payload::Out(buf(data).await),
                };
                let answer = within(LIMIT, queue.command(sqe, payload)).await;
                match answer.unwrap_or_else(|| panic!("{address} neither answers nor breaks")) {
                    Ok(answer) if answer.status().code() & 0x700 != 0x300 => {
                        let status = answer.status();
                        return (status, answer.data.map(|data| data.to_vec()).unwrap_or_default());
                    }
                    Ok(answer) => heard.push(format!("{address}: {:?}", answer.status())),
                    Err(error) => {
                        heard.push(format!("{address}: {error}"));
                        path.connection = None;
                    }
                }
            } else {
                heard.push(format!("{address}: no connection"));
            }
            let old = heard.len().saturating_sub(HEARD_MAX);
            heard.drain(..old);
            self.at = (self.at + 1) % self.paths.len();
            rt::sleep(PAUSE).await;
        }
    }

    pub(crate) async fn write(&mut self, lba: u64, data: &[u8]) {
        let blocks = (data.len() / BLOCK_BYTES) as u32;
        let (status, _) = self.command(sqe::write(1, lba, blocks, false), data, 0).await;
        assert_eq!(status, Status::SUCCESS);
    }

    pub(crate) async fn read(&mut self, lba: u64, blocks: u32) -> Vec<u8> {
        let len = blocks * BLOCK_BYTES as u32;
        let (status, data) = self.command(sqe::read(1, lba, blocks), &[], len).await;
        assert_eq!(status, Status::SUCCESS);
        data
    }

    pub(crate) async fn send_data(&mut self, sqe: Sqe, data: &[u8]) -> Status {
        self.command(sqe, data, 0).await.0
    }

    pub(crate) async fn send(&mut self, sqe: Sqe) -> Status {
        self.command(sqe, &[], 0).await.0
    }
}

/// What block `lba` holds after its `version`-th write.
pub(crate) fn block(lba: u64, version: u8) -> Vec<u8> {
    let mut block = vec![version; BLOCK_BYTES];
    block[..8].copy_from_slice(&lba.to_le_bytes());
    block
}

/// What a future gives within a time.
async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut limit) = (pin!(future), pin!(rt::sleep(time)));
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        limit.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// The bytes in memory to send from.
pub(crate) async fn buf(bytes: &[u8]) -> Buf {
    let mut buf = Buf::alloc(bytes.len()).await;
    buf.copy_from_slice(bytes);
    buf
}
