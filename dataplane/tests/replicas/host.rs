//! A host with a path to each node: a command that one path refuses is sent on the next.

use std::{net::SocketAddr, rc::Rc, sync::mpsc, time::Duration};

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
        loop {
            let path = &mut self.paths[self.at];
            if let Some(queue) = path.queue().await {
                let payload = match (data, len) {
                    ([], 0) => Payload::None,
                    ([], len) => Payload::In(len),
                    (data, _) => Payload::Out(buf(data).await),
                };
                match queue.command(sqe, payload).await {
                    Ok(answer) if answer.status().code() & 0x700 != 0x300 => {
                        let status = answer.status();
                        return (status, answer.data.map(|data| data.to_vec()).unwrap_or_default());
                    }
                    Ok(_) => {}
                    Err(_) => path.connection = None,
                }
            }
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

/// The bytes in memory to send from.
pub(crate) async fn buf(bytes: &[u8]) -> Buf {
    let mut buf = Buf::alloc(bytes.len()).await;
    buf.copy_from_slice(bytes);
    buf
}
